"""The end of a run: measure what was trained, make the bundle that ships it, and show what it answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import yaml

from pose2mesh.body.anny import AnnyBody
from pose2mesh.config import TrainConfig, dump_config
from pose2mesh.data.noise import NoiseConfig
from pose2mesh.data.poses import PoseSource
from pose2mesh.data.synthetic import BodySynthesiser, SyntheticConfig, detect, draw_people
from pose2mesh.evaluate import evaluate_motions
from pose2mesh.models.bundle import Bundle, save_bundle
from pose2mesh.models.bundle_info import BundleInfo
from pose2mesh.models.pose2mesh import Pose2Mesh
from pose2mesh.models.surface import Surface
from pose2mesh.models.torch_backend import TorchBackend
from pose2mesh.predict import Recovery, bone_log_lengths
from pose2mesh.training.samples import write_samples

MEASURED_SAMPLES = 4000
MEASURED_SEED = 7


def finish(
    path: Path,
    config: TrainConfig,
    network: Pose2Mesh,
    surface: Surface,
    body: AnnyBody,
    sources: tuple[PoseSource, ...],
) -> Bundle:
    """Make the bundle of a trained network and write it to `path`, and sample predictions to `samples` beside it.

    A whole network's statures are calibrated on training people and its errors measured on the validation poses, with
    true and with noisy 2D joints; a lifter's bundle carries no errors, it is a stage on the way.

    Args:
        path: The file.
        config, network, surface, body: Of the run.
        sources: Training and validation poses.
    """
    info = BundleInfo(
        name=config.name,
        joint_set=config.joint_set,
        body="anny",
        config=yaml.safe_load(dump_config(config)),
        data=describe_data(config),
        licence="Apache-2.0",
    )
    info.config["data"]["motions"] = None  # a folder of the machine it was trained on says nothing elsewhere
    info.config["pretrained"] = None
    bundle = Bundle(network.cpu().eval(), surface, info)
    if config.stage == "pose2mesh":
        recovery = Recovery(TorchBackend(bundle))
        info.stature_features = fit_stature(recovery, body, sources[0], config.data.synthetic)
        for input_ in ("gt", "noisy"):
            results = evaluate_motions(recovery, sources[1], MEASURED_SAMPLES, MEASURED_SEED, input_, body=body)
            measured = {name: round(value, 1) for name, value in results.items() if name.endswith("_mm")}
            info.errors[f"validation clips, {input_} 2D"] = measured
    save_bundle(path, bundle)
    write_samples(path.parent / "samples", config, bundle.model, surface.faces, body, sources[1])
    return bundle


def describe_data(config: TrainConfig) -> str:
    """What a run is trained on, in one line; clips are named after their folders, without the path to these."""
    clips = ""
    if config.data.motions is not None:
        folders = {file.parent.name for file in Path(config.data.motions).rglob("*.bvh")}
        clips = f"of motion clips ({', '.join(sorted(folders))}) and "
    return f"Anny bodies in poses {clips}drawn from joint limits, virtual cameras, synthesised detections"


def fit_stature(recovery: Recovery, body: AnnyBody, source: PoseSource, config: SyntheticConfig) -> list[float]:
    """Weights and offset of `Recovery.stature`: which standing height predicted bone lengths stand for.

    A network that cannot tell sizes answers with some middle size. The height that its answer stands for is the true
    one divided by the scale that would bring the answer closest to the truth; its logarithm is regressed on those of
    the predicted bone lengths (ridge), over people of the training clips.
    """
    generator = torch.Generator().manual_seed(MEASURED_SEED + 1)
    synthesiser = BodySynthesiser(body, recovery.joint_set, None)
    with torch.no_grad():
        people = draw_people(MEASURED_SAMPLES, source, synthesiser, config, generator)
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
