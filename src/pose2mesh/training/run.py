"""One training run from config to bundle: builds the parts, hands them to Lightning, writes the run folder.

A run folder holds `config.yaml` (resolved), `metrics.csv`, at most two checkpoints (`last.ckpt`, `best.ckpt`) and in
the end `bundle.safetensors`.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint, TQDMProgressBar
from torch import nn
from torch.utils.data import DataLoader

from pose2mesh.body.anny import AnnyBody
from pose2mesh.config import TrainConfig, dump_config, load_config
from pose2mesh.data.poses import PoseSource
from pose2mesh.data.sources import pose_sources
from pose2mesh.data.synthetic import BodySynthesiser
from pose2mesh.errors import InputError, one_line
from pose2mesh.models.bundle import load_bundle
from pose2mesh.models.pose2mesh import Pose2Mesh, Surface
from pose2mesh.models.surface import build_surface
from pose2mesh.skeletons import JOINT_SETS
from pose2mesh.training.checkpoints import AtomicCheckpoints, open_log
from pose2mesh.training.finish import finish
from pose2mesh.training.module import TrainingModule

SAMPLE_BODIES = 200  # posed bodies that a coarse surface's linear step is fitted to


def train(config: TrainConfig, out: Path, resume: Path | None = None) -> Path:
    """Run or resume a training run; returns the bundle's path.

    Args:
        config: The run's.
        out: Its folder, made if need be.
        resume: A checkpoint to go on from.

    Raises:
        InputError: the folder holds another run, a clip folder or a pretrained file is missing or does not fit.
    """
    if resume is None and (out / "last.ckpt").exists():
        raise InputError(f"{out}: holds an unfinished run; give --resume {out} or another --out")
    if resume is None and (out / "bundle.safetensors").exists():
        raise InputError(f"{out}: holds a finished run; give another --out")
    L.seed_everything(config.seed, verbose=False)
    body = AnnyBody()
    train_poses, validation_poses = pose_sources(config.data)
    surface, network = build_network(config, body, train_poses)
    if config.pretrained is not None and resume is None:
        load_pretrained(network, Path(config.pretrained))
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "config.yaml").write_text(dump_config(config), encoding="utf-8")
    except OSError as error:
        raise InputError(f"{out}: cannot make the run folder ({error.strerror})") from error

    points = torch.from_numpy(surface.points) if config.stage == "pose2mesh" else None
    module = TrainingModule(
        config,
        network,
        BodySynthesiser(body, JOINT_SETS[config.joint_set], points),
        train_poses,
        validation_poses,
        torch.from_numpy(surface.point_faces),
    )
    batches = _indices(config.data.samples_per_epoch, config.batch_size)
    monitored = "val/mesh_mpjpe_mm" if config.stage == "pose2mesh" else "val/lifted_mpjpe_mm"
    best = ModelCheckpoint(
        out, filename="best", monitor=monitored, save_last=True, save_top_k=1, enable_version_counter=False
    )
    with warnings.catch_warnings():
        # The loader yields indices; the batches are drawn on the device, so worker processes would have nothing to do.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists.*")
        warnings.filterwarnings("ignore", message=".*logs directory .* exists.*")
        logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
        trainer = L.Trainer(
            max_epochs=config.epochs,
            precision="bf16-mixed" if config.precision == "bf16" else "32-true",
            callbacks=[best, LearningRateMonitor("epoch"), TQDMProgressBar(refresh_rate=20)],
            logger=open_log(out, resume),
            plugins=[AtomicCheckpoints()],
            num_sanity_val_steps=0,
            log_every_n_steps=min(50, len(batches)),
            accelerator="auto",
            devices=1,
            enable_model_summary=False,
        )
        trainer.fit(
            module,
            batches,
            _indices(config.data.validation_samples, config.batch_size),
            ckpt_path=resume,
            weights_only=True,
        )
    if best.best_model_path:
        state = torch.load(best.best_model_path, map_location="cpu", weights_only=True)
        module.load_state_dict(state["state_dict"])
    body.cpu()
    finish(out / "bundle.safetensors", config, network, surface, body, (train_poses, validation_poses))
    (out / "last.ckpt").unlink(missing_ok=True)
    return out / "bundle.safetensors"


def _indices(samples: int, batch_size: int) -> DataLoader:
    count = max(1, samples // batch_size)
    return DataLoader([torch.tensor([index]) for index in range(count)], batch_size=None)  # type: ignore[arg-type]


def build_network(config: TrainConfig, body: AnnyBody, poses: PoseSource) -> tuple[Surface, Pose2Mesh]:
    """The surface and a fresh network on it, both decided by the config and its seed."""
    joint_set = JOINT_SETS[config.joint_set]
    posed = None
    if config.network.finest > 0:
        generator = torch.Generator().manual_seed(config.seed)
        with torch.no_grad():
            shapes = config.data.synthetic.shapes.draw(SAMPLE_BODIES, generator)
            posed = body(shapes, poses.draw(SAMPLE_BODIES, generator)).numpy()
    surface = build_surface(body, joint_set, config.network, posed)
    return surface, Pose2Mesh(config.network, joint_set, surface)


def load_pretrained(network: nn.Module, source: Path) -> None:
    """Start from the PoseNet of a run folder, a checkpoint or a bundle.

    Raises:
        InputError: nothing to load there, or its PoseNet has other shapes.
    """
    if source.is_dir():
        candidates = [source / name for name in ("bundle.safetensors", "best.ckpt", "last.ckpt")]
        found = next((path for path in candidates if path.is_file()), None)
        if found is None:
            raise InputError(f"{source}: no bundle or checkpoint in this run folder")
        source = found
    if source.suffix == ".ckpt":
        try:
            state = torch.load(source, map_location="cpu", weights_only=True)["state_dict"]
        except Exception as error:
            raise InputError(f"{source}: cannot be read as a checkpoint ({one_line(error)})") from error
        state = {name.removeprefix("network."): value for name, value in state.items()}
    else:
        state = load_bundle(source).model.state_dict()
    own = {name: value.shape for name, value in network.state_dict().items() if name.startswith("posenet.")}
    lifter = {name: value for name, value in state.items() if name.startswith("posenet.")}
    shapes = {name: value.shape for name, value in lifter.items()}
    misfits = [name for name in own | shapes if own.get(name) != shapes.get(name)]
    if misfits:
        name = misfits[0]
        there, wanted = (tuple(shape[name]) if name in shape else "none" for shape in (shapes, own))
        raise InputError(f"{source}: its PoseNet does not fit this network: {name} is {there}, expected {wanted}")
    network.load_state_dict(lifter, strict=False)


def resume_config(folder: Path) -> tuple[TrainConfig, Path]:
    """The config and the last checkpoint of an interrupted run; `folder` may also be the checkpoint itself.

    Raises:
        InputError: there is nothing to resume.
    """
    checkpoint = folder if folder.is_file() else folder / "last.ckpt"
    if not checkpoint.is_file():
        raise InputError(f"{folder}: nothing to resume; expected last.ckpt there")
    return load_config(checkpoint.parent / "config.yaml"), checkpoint
