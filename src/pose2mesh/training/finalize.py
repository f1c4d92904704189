"""End of a run: evaluation of the trained network, its bundle, and sample predictions."""

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
from pose2mesh.datasets.batch import Batch
from pose2mesh.datasets.dataset_source import DatasetSource
from pose2mesh.datasets.source import DataSource
from pose2mesh.datasets.synthetic.bodies import (
    BodySynthesiser,
    SyntheticConfig,
    SyntheticSamples,
    detect,
    sample_people,
)
from pose2mesh.datasets.synthetic.detection_noise import NoiseConfig
from pose2mesh.datasets.synthetic.pose_sampling import PoseSource
from pose2mesh.datasets.synthetic_source import SyntheticSource
from pose2mesh.evaluation.expected_errors import absolute_error_values, fit_quantiles
from pose2mesh.evaluation.synthetic_evaluator import evaluate_synthetic
from pose2mesh.geometry.camera import nominal_intrinsics
from pose2mesh.inference.predictor import Predictor, bone_log_lengths
from pose2mesh.inference.torch_backend import TorchBackend
from pose2mesh.metrics import BodyPoints, compute_errors
from pose2mesh.models.bundle.bundle import Bundle, save_bundle
from pose2mesh.models.bundle.bundle_info import BundleInfo
from pose2mesh.models.mesh_topology import MeshTopology
from pose2mesh.models.pose2mesh import Pose2Mesh
from pose2mesh.skeletons import JointSet
from pose2mesh.training.sample_predictions import write_samples

MEASURED_SAMPLES = 4000
MEASURED_SEED = 7


def finish(
    path: Path, config: TrainConfig, network: Pose2Mesh, surface: MeshTopology, data_source: DataSource
) -> Bundle:
    """Make the bundle of a trained network and write it to `path`, and sample predictions to `samples` beside it.

    A whole network is evaluated on validation samples (synthetic ones with true and with noisy 2D joints), and its
    stature is calibrated on synthetic training samples. The bundle of a lifter, an intermediate stage, has no errors.

    Args:
        path: Path of the bundle.
        config, network, surface, data_source: Config, trained network, mesh topology and data source of the run.
    """
    info = BundleInfo(
        name=config.name,
        joint_set=config.joint_set,
        body=data_source.body_name,
        config=yaml.safe_load(dump_config(config)),
        data=data_source.describe(),
        licence=data_source.licence(),
    )
    forget_paths(info.config)
    bundle = Bundle(network.cpu().eval(), surface, info)
    if config.stage == "pose2mesh":
        predictor = Predictor(TorchBackend(bundle))
        if isinstance(data_source, SyntheticSource):
            measure_synthetic(predictor, data_source)
        if isinstance(data_source, DatasetSource):
            measure_datasets(predictor, data_source)
    save_bundle(path, bundle)
    write_samples(path.parent / "samples", config.stage, bundle.model, surface.faces, data_source)
    return bundle


def forget_paths(config: dict[str, Any]) -> None:
    """Remove paths from a config: those of the training machine do not exist on others."""
    data = config["data"]
    config["pretrained"] = config["pretrained_meshnet"] = data["motions"] = data["folder"] = data["cache"] = data[
        "body"
    ]["folder"] = None
    data["body"]["regressors"] = {}
    for choice in (*data["sets"].values(), data["validation"] or {}):
        choice["folder"] = None
        for file in ("detections", "annotations", "fits"):
            choice[file] = choice.get(file) and Path(choice[file]).name


def measure_synthetic(predictor: Predictor, data_source: SyntheticSource) -> None:
    """Calibrate the stature of a network and evaluate it on the validation poses."""
    info, body = predictor.info, data_source.body.cpu()
    if predictor.info.config["network"]["expected_errors"]:
        info.error_quantiles = fit_error_quantiles(predictor, body, data_source.train_poses, data_source.config)
    info.stature_features = fit_stature(predictor, body, data_source.train_poses, data_source.config)
    for input_ in ("gt", "noisy"):
        results = evaluate_synthetic(
            predictor, data_source.validation_poses, MEASURED_SAMPLES, MEASURED_SEED, input_, body=body
        )
        measured = {name: round(value, 1) for name, value in results.items() if name.endswith("_mm")}
        info.errors[f"validation clips, {input_} 2D"] = measured


def measure_datasets(predictor: Predictor, data_source: DatasetSource) -> None:
    """Evaluate a network on the validation samples of data sets, with the 2D joints of validation."""
    joint_set, errors = predictor.joint_set, dict[str, list[Tensor]]()
    with torch.no_grad():
        for batch in data_source.whole_validation_batches(torch.Generator().manual_seed(MEASURED_SEED)):
            assert batch.points is not None
            predicted = predictor.run(batch.joints_px.numpy(), batch.confidence.numpy())
            joints, vertices = map(torch.from_numpy, predicted)
            ground_truth = BodyPoints(batch.joints, batch.points)
            for name, values in compute_errors(BodyPoints(joints, vertices), ground_truth, joint_set).items():
                errors.setdefault(f"{name}_mm", []).append(values)
    measured = {name: round(1000 * float(torch.cat(values).mean()), 1) for name, values in errors.items()}
    predictor.info.errors[data_source.validation_title] = measured


def _sample(
    joint_set: JointSet, body: BodyModel, source: PoseSource, config: SyntheticConfig, noise: NoiseConfig, seed: int
) -> tuple[SyntheticSamples, Batch]:
    """`MEASURED_SAMPLES` samples with joints alone, and their 2D joints with the errors of `noise`."""
    generator = torch.Generator().manual_seed(seed)
    synthesiser = BodySynthesiser(body, joint_set, None)
    with torch.no_grad():
        people = sample_people(MEASURED_SAMPLES, source, synthesiser, config, generator)
        return people, detect(people, joint_set, noise, generator)


def fit_error_quantiles(
    predictor: Predictor, body: BodyModel, source: PoseSource, config: SyntheticConfig
) -> dict[str, list[float]]:
    """`BundleInfo.error_quantiles`, over training samples with the nominal camera of their images and their noise."""
    joint_set = predictor.joint_set
    people, batch = _sample(joint_set, body, source, config, config.noise, MEASURED_SEED + 2)
    pixels, confidence = batch.joints_px.numpy(), batch.confidence.numpy()
    cameras = [nominal_intrinsics((int(width), int(height))) for width, height in people.cameras.size_px]
    bodies = predictor.run_bodies(pixels, confidence, cameras)
    assert bodies.expected_errors_m is not None
    errors = absolute_error_values(bodies.joints, people.joints_cam, pixels, confidence, cameras, joint_set.root_index)
    return fit_quantiles(errors.numpy(), bodies.expected_errors_m, joint_set.root_index)


def fit_stature(predictor: Predictor, body: BodyModel, source: PoseSource, config: SyntheticConfig) -> list[float]:
    """Weights and offset of `Predictor.stature`, the standing height that predicted bone lengths correspond to.

    2D joints do not determine a person's size, so that a network predicts some average size. The height of a predicted
    body is the true height divided by the scale that minimises the squared distance of the prediction from the ground
    truth; its logarithm is regressed on those of the predicted bone lengths (ridge), over samples of training clips.
    """
    exact = NoiseConfig(model="none", drop=0.0, plain_confidence=1.0, out_of_picture=False)
    people, batch = _sample(predictor.joint_set, body, source, config, exact, MEASURED_SEED + 1)
    joints, _ = predictor.run(batch.joints_px.numpy(), batch.confidence.numpy())
    true_joints = batch.joints.numpy()
    scale = (joints * true_joints).sum((1, 2)) / (joints**2).sum((1, 2))
    heights = body.stature(people.phenotypes).numpy()
    fits = scale > 0.3
    features = bone_log_lengths(joints[fits], predictor.joint_set)
    goal = np.log(heights[fits] / scale[fits])
    middle = features.mean(0)
    centred = features - middle
    ridge = 0.01 * len(centred) * np.eye(centred.shape[1])
    weights = np.linalg.solve(centred.T @ centred + ridge, centred.T @ (goal - goal.mean()))
    return [*weights.tolist(), float(goal.mean() - middle @ weights)]
