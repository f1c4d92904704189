"""Benchmark of all methods on the same synthetic samples: predictions, errors and run time.

Each sample is generated once and given to every method in the same crop: as 2D joints, as an image, and as the part
maps, silhouettes and landmarks of simulated detectors.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor

from pose2mesh.baselines.baseline_samples import benchmark_rendering
from pose2mesh.baselines.common.body_layer import BodyLayer
from pose2mesh.baselines.common.fitting import FitState, Fitter
from pose2mesh.baselines.interface import BaselineInput, BodyEstimate, FittingBaseline, Parameters
from pose2mesh.baselines.learned_backend import LearnedBackend
from pose2mesh.baselines.observation import Need, Observation
from pose2mesh.baselines.rendering.rendering_config import CHUNK
from pose2mesh.baselines.rendering.sample_stream import SampleStream
from pose2mesh.datasets.synthetic.bodies import BodySynthesiser, SyntheticConfig, detect, sample_people
from pose2mesh.datasets.synthetic.detection_noise import measured_noise
from pose2mesh.datasets.synthetic.pose_sampling import PoseSource
from pose2mesh.geometry.rotations import WORLD_TO_CAMERA
from pose2mesh.inference.predictor import Predictor
from pose2mesh.metrics import BodyPoints, compute_errors
from pose2mesh.skeletons import COCO

Input: TypeAlias = Literal["gt", "noisy"]
SEED = 7
COLUMNS = COCO.evaluation_indices
MEASURES = ("mpjpe", "pa_mpjpe", "mpvpe")  # the columns of `person_errors` that are reported


class BenchmarkedMethod(NamedTuple):
    """A method under test.

    Attributes:
        predict: Predicts the bodies of a chunk of samples, from 2D joints in pixels or from all observations in a crop.
        needs: Observations that it uses in addition to the joints.
    """

    predict: Callable[[BaselineInput, Observation], BodyEstimate]
    needs: frozenset[Need] = frozenset()


@dataclass(frozen=True)
class MethodPredictions:
    """Errors and body parameters of a method on `N` samples.

    Attributes:
        errors_mm: (N, 4) MPJPE, PA-MPJPE, MPVPE and PA-MPVPE, root-aligned.
        parameters: Predicted body parameters; None if the method has none.
        true_parameters: Ground truth; orientations in the axes of a camera that faces the person.
        seconds: Total CPU time.
    """

    errors_mm: Tensor
    parameters: Parameters | None
    true_parameters: Parameters
    seconds: float

    @property
    def milliseconds(self) -> float:
        """CPU time per sample."""
        return 1000 * self.seconds / len(self.errors_mm)


def benchmark_methods(
    methods: Mapping[str, BenchmarkedMethod],
    layer: BodyLayer,
    poses: PoseSource,
    samples: int,
    input_: Input,
    seed: int = SEED,
) -> dict[str, MethodPredictions]:
    """Run every method on the same samples, which are those of `pose2mesh evaluate --motions` with the same seed.

    Args:
        methods: Methods by name.
        layer: The body.
        poses: Source of the poses.
        samples: Number of samples.
        input_: Exact or noisy joints, maps and landmarks. Images are the same, apart from their crop.
        seed: Seed of the samples.
    """
    body = layer.body
    needs = frozenset[Need]().union(*(method.needs for method in methods.values()))
    stream = SampleStream(body, COCO, poses, benchmark_rendering(input_, layer), needs)
    synthesiser, generator = BodySynthesiser(body, COCO, None), torch.Generator().manual_seed(seed)
    errors: dict[str, list[Tensor]] = {name: [] for name in methods}
    parameters: dict[str, list[Parameters]] = {name: [] for name in methods}
    true_parts: list[Parameters] = []
    seconds = dict.fromkeys(methods, 0.0)
    with torch.no_grad():
        for start in range(0, samples, CHUNK):
            count = min(CHUNK, samples - start)
            people = sample_people(count, poses, synthesiser, SyntheticConfig(views=1), generator)
            batch = detect(people, COCO, measured_noise(input_, COCO), generator)
            observation = stream.observe(people, batch.joints_px, batch.confidence, start // CHUNK, seed)
            orientations = people.cameras.rotation[:, None] @ people.orientations
            vertices = body(people.phenotypes, orientations)
            joints = body.regressor(COCO) @ vertices
            true_parts.append(Parameters(people.phenotypes, batch.to_ray[:, None] @ orientations))
            inputs = BaselineInput(batch.joints_px, batch.confidence, torch.arange(count))
            for name, method in methods.items():
                began = time.process_time()
                found = method.predict(inputs, observation)
                seconds[name] += time.process_time() - began
                errors[name].append(body_errors_mm(found.joints, found.vertices, joints, vertices))
                if found.parameters is not None:
                    parameters[name].append(found.parameters)
    ground_truth = _joined(true_parts)
    return {
        name: MethodPredictions(
            torch.cat(parts), _joined(parameters[name]) if parameters[name] else None, ground_truth, seconds[name]
        )
        for name, parts in errors.items()
    }


def _joined(parts: list[Parameters]) -> Parameters:
    phenotypes = torch.cat([part.phenotypes for part in parts])
    return Parameters(phenotypes, torch.cat([part.orientations for part in parts]))


def body_errors_mm(joints: Tensor, vertices: Tensor, true_joints: Tensor, true_vertices: Tensor) -> Tensor:
    """MPJPE, PA-MPJPE, MPVPE and PA-MPVPE (B, 4) in mm, root-aligned; the arguments are in metres."""
    errors = compute_errors(BodyPoints(joints, vertices), BodyPoints(true_joints, true_vertices), COCO)
    return 1000 * torch.stack(list(errors.values()), dim=1)


def fitting_method(baseline: FittingBaseline) -> BenchmarkedMethod:
    """Wrap an optimisation method, which fits bodies to 2D joints."""
    return BenchmarkedMethod(lambda inputs, _: baseline(inputs))


def learned_method(backend: LearnedBackend) -> BenchmarkedMethod:
    """Wrap a learned baseline."""
    return BenchmarkedMethod(lambda _, observation: backend.estimate(observation), backend.network.needs)


def pose2mesh_method(predictor: Predictor) -> BenchmarkedMethod:
    """Wrap a Pose2Mesh bundle."""

    def predict(inputs: BaselineInput, _: Observation) -> BodyEstimate:
        joints, vertices = predictor.run(inputs.joints_px.numpy(), inputs.confidence.numpy())
        return BodyEstimate(torch.from_numpy(joints), torch.from_numpy(vertices), inputs.joints_px)

    return BenchmarkedMethod(predict)


def mean_body(fitter: Fitter) -> BenchmarkedMethod:
    """Constant prediction: the mean adult in the mean pose of the prior, facing the camera."""
    still = torch.zeros(1, 2)
    mean = FitState(torch.zeros(1, 6), fitter.prior.mean[None], torch.tensor(WORLD_TO_CAMERA)[None], still[:, 0], still)
    vertices = fitter.layer.vertices(mean.parameters(torch.zeros(1, dtype=torch.long)))
    joints = fitter.body.regressor(COCO) @ vertices

    def predict(inputs: BaselineInput, _: Observation) -> BodyEstimate:
        samples = len(inputs.joints_px)
        return BodyEstimate(joints.expand(samples, -1, -1), vertices.expand(samples, -1, -1), inputs.joints_px)

    return BenchmarkedMethod(predict)
