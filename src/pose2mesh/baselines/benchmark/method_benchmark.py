"""All methods on the same drawn people: what each answers, how far it is off, and how long it takes.

Everyone is drawn once and seen by every method: as 2D joints, as a picture, and as the part maps, silhouettes and
landmarks of simulated detectors, in one and the same crop.
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
    """A method: what it answers to people of whom it may look at the joints in pixels, or at all that is seen.

    Attributes:
        answer: Bodies of a chunk of people.
        needs: What it looks at beside the joints.
    """

    answer: Callable[[BaselineInput, Observation], BodyEstimate]
    needs: frozenset[Need] = frozenset()


@dataclass(frozen=True)
class MethodPredictions:
    """What a method answered for `N` people.

    Attributes:
        errors_mm: (N, 4) MPJPE, PA-MPJPE, MPVPE and PA-MPVPE, root-aligned.
        parameters: Of those answered, where the method has them.
        true_parameters: Of the people; orientations in the axes of the camera that faces each.
        seconds: Of CPU time in all.
    """

    errors_mm: Tensor
    parameters: Parameters | None
    true_parameters: Parameters
    seconds: float

    @property
    def milliseconds(self) -> float:
        """A person."""
        return 1000 * self.seconds / len(self.errors_mm)


def judge(
    methods: Mapping[str, BenchmarkedMethod],
    layer: BodyLayer,
    poses: PoseSource,
    samples: int,
    input_: Input,
    seed: int = SEED,
) -> dict[str, MethodPredictions]:
    """Ask every method for the same people, those of `pose2mesh evaluate --motions` with the same seed.

    Args:
        methods: By name.
        layer: The body.
        poses: Of the people.
        samples: How many.
        input_: True or noisy joints, maps and landmarks. Pictures are the same, but for their crop.
        seed: Decides them.
    """
    body = layer.body
    needs = frozenset[Need]().union(*(method.needs for method in methods.values()))
    stream = SampleStream(body, COCO, poses, benchmark_rendering(input_, layer), needs)
    synthesiser, generator = BodySynthesiser(body, COCO, None), torch.Generator().manual_seed(seed)
    errors: dict[str, list[Tensor]] = {name: [] for name in methods}
    parameters: dict[str, list[Parameters]] = {name: [] for name in methods}
    truths: list[Parameters] = []
    seconds = dict.fromkeys(methods, 0.0)
    with torch.no_grad():
        for start in range(0, samples, CHUNK):
            count = min(CHUNK, samples - start)
            people = sample_people(count, poses, synthesiser, SyntheticConfig(views=1), generator)
            batch = detect(people, COCO, measured_noise(input_, COCO), generator)
            seen = stream.observe(people, batch.joints_px, batch.confidence, start // CHUNK, seed)
            orientations = people.cameras.rotation[:, None] @ people.orientations
            vertices = body(people.phenotypes, orientations)
            joints = body.regressor(COCO) @ vertices
            truths.append(Parameters(people.phenotypes, batch.to_ray[:, None] @ orientations))
            observed = BaselineInput(batch.joints_px, batch.confidence, torch.arange(count))
            for name, method in methods.items():
                began = time.process_time()
                found = method.answer(observed, seen)
                seconds[name] += time.process_time() - began
                errors[name].append(person_errors(found.joints, found.vertices, joints, vertices))
                if found.parameters is not None:
                    parameters[name].append(found.parameters)
    truth = _joined(truths)
    return {
        name: MethodPredictions(
            torch.cat(parts), _joined(parameters[name]) if parameters[name] else None, truth, seconds[name]
        )
        for name, parts in errors.items()
    }


def _joined(parts: list[Parameters]) -> Parameters:
    phenotypes = torch.cat([part.phenotypes for part in parts])
    return Parameters(phenotypes, torch.cat([part.orientations for part in parts]))


def person_errors(joints: Tensor, vertices: Tensor, true_joints: Tensor, true_vertices: Tensor) -> Tensor:
    """(B, 4) MPJPE, PA-MPJPE, MPVPE and PA-MPVPE in mm, root-aligned."""
    errors = compute_errors(BodyPoints(joints, vertices), BodyPoints(true_joints, true_vertices), COCO)
    return 1000 * torch.stack(list(errors.values()), dim=1)


def of_joints(baseline: FittingBaseline) -> BenchmarkedMethod:
    """A method that fits bodies to 2D joints."""
    return BenchmarkedMethod(lambda observed, _: baseline(observed))


def of_pictures(backend: LearnedBackend) -> BenchmarkedMethod:
    """A learned method."""
    return BenchmarkedMethod(lambda _, seen: backend.estimate(seen), backend.network.needs)


def of_bundle(recovery: Predictor) -> BenchmarkedMethod:
    """A bundle of Pose2Mesh."""

    def answer(observed: BaselineInput, _: Observation) -> BodyEstimate:
        joints, vertices = recovery.run(observed.joints_px.numpy(), observed.confidence.numpy())
        return BodyEstimate(torch.from_numpy(joints), torch.from_numpy(vertices), observed.joints_px)

    return BenchmarkedMethod(answer)


def mean_body(fitter: Fitter) -> BenchmarkedMethod:
    """Everyone is the mean adult in the prior's mean pose, facing the camera."""
    still = torch.zeros(1, 2)
    mean = FitState(torch.zeros(1, 6), fitter.prior.mean[None], torch.tensor(WORLD_TO_CAMERA)[None], still[:, 0], still)
    vertices = fitter.layer.vertices(mean.parameters(torch.zeros(1, dtype=torch.long)))
    joints = fitter.body.regressor(COCO) @ vertices

    def answer(observed: BaselineInput, _: Observation) -> BodyEstimate:
        people = len(observed.joints_px)
        return BodyEstimate(joints.expand(people, -1, -1), vertices.expand(people, -1, -1), observed.joints_px)

    return BenchmarkedMethod(answer)
