"""The end of a run: measure what was trained, make the bundle that ships it, and show what it answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from pose2mesh.body_models.interface import BodyModel
from pose2mesh.config.config_files import dump_config
from pose2mesh.config.train_config import TrainConfig
from pose2mesh.datasets.dataset_source import DatasetSource
from pose2mesh.datasets.source import DataSource
from pose2mesh.datasets.synthetic.bodies import BodySynthesiser, SyntheticConfig, detect, sample_people
from pose2mesh.datasets.synthetic.detection_noise import NoiseConfig
from pose2mesh.datasets.synthetic.pose_sampling import PoseSource
from pose2mesh.datasets.synthetic_source import SyntheticSource
from pose2mesh.evaluation.synthetic_evaluator import evaluate_synthetic
from pose2mesh.inference.predictor import Predictor, bone_log_lengths
from pose2mesh.inference.torch_backend import TorchBackend
from pose2mesh.metrics import BodyPoints, compute_errors
from pose2mesh.models.bundle.bundle import Bundle, save_bundle
from pose2mesh.models.bundle.bundle_info import BundleInfo
from pose2mesh.models.mesh_topology import MeshTopology
from pose2mesh.models.pose2mesh import Pose2Mesh
from pose2mesh.training.sample_predictions import write_samples

MEASURED_SAMPLES = 4000
MEASURED_SEED = 7


def finish(path: Path, config: TrainConfig, network: Pose2Mesh, surface: MeshTopology, supply: DataSource) -> Bundle:
    """Make the bundle of a trained network and write it to `path`, and sample predictions to `samples` beside it.

    A whole network's errors are measured on validation people, of drawn ones with true and with noisy 2D joints, and
    with drawn people its statures are calibrated; a lifter's bundle carries no errors, it is a stage on the way.

    Args:
        path: The file.
        config, network, surface, supply: Of the run.
    """
    info = BundleInfo(
        name=config.name,
        joint_set=config.joint_set,
        body=supply.body_name,
        config=yaml.safe_load(dump_config(config)),
        data=supply.describe(),
        licence=supply.licence(),
    )
    forget_paths(info.config)
    bundle = Bundle(network.cpu().eval(), surface, info)
    if config.stage == "pose2mesh":
        recovery = Predictor(TorchBackend(bundle))
        if isinstance(supply, SyntheticSource):
            measure_drawn(recovery, supply)
        if isinstance(supply, DatasetSource):
            measure_recorded(recovery, supply)
    save_bundle(path, bundle)
    write_samples(path.parent / "samples", config.stage, bundle.model, surface.faces, supply)
    return bundle


def forget_paths(config: dict[str, Any]) -> None:
    """Take folders and files of the machine that trained out of a config: they say nothing elsewhere."""
    data = config["data"]
    config["pretrained"] = data["motions"] = data["folder"] = data["cache"] = data["body"]["folder"] = None
    data["body"]["regressors"] = {}
    for choice in (*data["sets"].values(), data["validation"] or {}):
        choice["folder"] = None
        for file in ("detections", "annotations", "fits"):
            choice[file] = choice.get(file) and Path(choice[file]).name


def measure_drawn(recovery: Predictor, supply: SyntheticSource) -> None:
    """Calibrate what heights a network's answers stand for, and measure it on the validation poses."""
    info, body = recovery.info, supply.body.cpu()
    info.stature_features = fit_stature(recovery, body, supply.train_poses, supply.config)
    for input_ in ("gt", "noisy"):
        results = evaluate_synthetic(
            recovery, supply.validation_poses, MEASURED_SAMPLES, MEASURED_SEED, input_, body=body
        )
        measured = {name: round(value, 1) for name, value in results.items() if name.endswith("_mm")}
        info.errors[f"validation clips, {input_} 2D"] = measured


def measure_recorded(recovery: Predictor, supply: DatasetSource) -> None:
    """Measure a network on the validation people of data sets, seen as in validation."""
    joint_set, errors = recovery.joint_set, dict[str, list[Tensor]]()
    with torch.no_grad():
        for batch in supply.whole_validation_batches(torch.Generator().manual_seed(MEASURED_SEED)):
            assert batch.points is not None
            found = recovery.run(batch.joints_px.numpy(), batch.confidence.numpy())
            joints, vertices = map(torch.from_numpy, found)
            ground_truth = BodyPoints(batch.joints, batch.points)
            for name, values in compute_errors(BodyPoints(joints, vertices), ground_truth, joint_set).items():
                errors.setdefault(f"{name}_mm", []).append(values)
    measured = {name: round(1000 * float(torch.cat(values).mean()), 1) for name, values in errors.items()}
    recovery.info.errors[supply.validation_title] = measured


def fit_stature(recovery: Predictor, body: BodyModel, source: PoseSource, config: SyntheticConfig) -> list[float]:
    """Weights and offset of `Predictor.stature`: which standing height predicted bone lengths stand for.

    A network that cannot tell sizes answers with some middle size. The height that its answer stands for is the true
    one divided by the scale that would bring the answer closest to the truth; its logarithm is regressed on those of
    the predicted bone lengths (ridge), over people of the training clips.
    """
    generator = torch.Generator().manual_seed(MEASURED_SEED + 1)
    synthesiser = BodySynthesiser(body, recovery.joint_set, None)
    with torch.no_grad():
        people = sample_people(MEASURED_SAMPLES, source, synthesiser, config, generator)
        noise = NoiseConfig(model="none", drop=0.0, plain_confidence=1.0, out_of_picture=False)
        batch = detect(people, recovery.joint_set, noise, generator)
    joints, _ = recovery.run(batch.joints_px.numpy(), batch.confidence.numpy())
    truth = batch.joints.numpy()
    scale = (joints * truth).sum((1, 2)) / (joints**2).sum((1, 2))
    heights = body.stature(people.phenotypes).numpy()
    fits = scale > 0.3
    features = bone_log_lengths(joints[fits], recovery.joint_set)
    goal = np.log(heights[fits] / scale[fits])
    middle = features.mean(0)
    centred = features - middle
    ridge = 0.01 * len(centred) * np.eye(centred.shape[1])
    weights = np.linalg.solve(centred.T @ centred + ridge, centred.T @ (goal - goal.mean()))
    return [*weights.tolist(), float(goal.mean() - middle @ weights)]
