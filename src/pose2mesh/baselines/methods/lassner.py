"""Lassner, Romero, Kiefel, Bogo, Black and Gehler 2017 ("Unite the People", arXiv 1701.02468): random forests
predict a body from 91 landmarks in the image, without a fit of the pose.

Landmarks are normalised in position and size. Each bone has a forest that predicts its rotation from the landmarks near
the bone; two more predict the shape and the depth. Then only the orientation and the position of the whole body are
optimised, by the reprojection error of the landmarks.

Differs from the paper: the body and its landmarks; rotations are those of bones in camera axes instead of relative to
their parents, and landmarks near a bone are also given relative to their mean (on training clips held out from the
forests, the joint error fell from 131 mm to 127 mm by the latter, and to 73 mm by both); size is a root mean square
distance, because the height in the image depends on the pose (sitting, lying); missing landmarks are filled in
(`common/landmark_completion.py`); depth is the logarithm of the scale of the camera.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from pose2mesh.baselines.common import energy_terms
from pose2mesh.baselines.common.baseline_camera import project, solve_camera
from pose2mesh.baselines.common.body_layer import BodyLayer, BodyParameters
from pose2mesh.baselines.common.landmark_completion import Completion, StandardisedLandmarks, detected_mask
from pose2mesh.baselines.common.landmarks import landmark_regressor
from pose2mesh.baselines.common.lbfgs import minimise
from pose2mesh.baselines.common.random_forest import Forest, ForestConfig
from pose2mesh.baselines.interface import BodyEstimate, Chunks, LearnedBaseline
from pose2mesh.baselines.observation import LANDMARKS, GroundTruth, Need, Observation
from pose2mesh.body_models.bones import BODY_BONES, PARENTS
from pose2mesh.body_models.interface import PHENOTYPES
from pose2mesh.body_models.skinning import SkinnedPoints
from pose2mesh.datasets.synthetic.pose_tree import to_local
from pose2mesh.errors import InputError
from pose2mesh.geometry.rotations import nearest_rotation, rotation_from_vector

_LEAST_LANDMARKS = 8  # minimum number of input landmarks of a bone's forest
_LEAST_VISIBLE = 6  # minimum number of annotated joints to solve the camera of a training sample
_ROBUST = 0.2  # scale of the robust reprojection error, as a share of the person's size


@dataclass
class LassnerSettings:
    """Settings of the method.

    Attributes:
        growth: Sizes and training options of every forest.
        people: Maximum number of samples with 3D labels to train on.
        rank: Rank of the linear model that fills in landmarks.
        rounds: Evaluations of the final fit.
    """

    growth: ForestConfig = field(default_factory=lambda: ForestConfig(trees=10, leaves=1200))
    people: int = 40_000
    rank: int = 24
    rounds: int = 20


class Lassner(LearnedBaseline):
    """The method as a `LearnedBaseline`.

    Args:
        layer: The body layer.
        settings: Its settings.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"landmarks"})

    def __init__(self, layer: BodyLayer, settings: LassnerSettings | None = None) -> None:
        super().__init__()
        self.settings = settings or LassnerSettings()
        self.layer, self.joint_set = layer, layer.joint_set
        regressor = landmark_regressor(layer.body)
        self.points = SkinnedPoints(layer.body, regressor)
        self.near = landmarks_near((regressor @ layer.body.body_bone_weights()).argmax(1))
        growth = self.settings.growth
        self.completion = Completion(LANDMARKS, self.settings.rank)
        self.bones = nn.ModuleList(Forest(2 * len(near) + 2, 6, growth) for near in self.near)
        self.shape = Forest(2 * LANDMARKS, len(PHENOTYPES), growth)
        self.depth = Forest(2 * LANDMARKS, 1, growth)

    def losses(self, observation: Observation, ground_truth: GroundTruth, progress: float) -> dict[str, Tensor]:
        """Empty: the forests are trained by `fit`."""
        return {}

    @torch.no_grad()
    def fit(self, chunks: Chunks, count: int, log: Callable[[str], None]) -> bool:
        """Train the forests on the samples with 3D labels. See `LearnedBaseline`.

        Raises:
            InputError: fewer samples have labels than the linear model of the landmarks needs, or scikit-learn is not
                installed.
        """
        landmarks, confidence, ground_truth = self._labelled(chunks, count)
        log(f"{len(landmarks)} samples with 3D labels")
        self.completion.fit_to(ground_truth.project(self._posed(ground_truth)))
        completed = self.completion(landmarks, confidence)
        targets = ground_truth.orientations[..., :2].flatten(2)
        tasks = [
            (name, cast(Forest, forest), near_features(completed, near), targets[:, bone])
            for bone, (name, forest, near) in enumerate(zip(BODY_BONES, self.bones, self.near, strict=True))
        ]
        flat = completed.landmarks.flatten(1)
        tasks.append(("shape", self.shape, flat, self.layer.phenotypes(ground_truth.shape)))
        tasks.append(("depth", self.depth, flat, (ground_truth.log_scale - completed.unit.log())[:, None]))
        seed = int(torch.randint(2**31, ()))
        for index, (name, forest, features, values) in enumerate(tasks):
            began = time.perf_counter()
            forest.grow(features, values, seed)
            log(f"forest {index + 1} of {len(tasks)}, {name}: {time.perf_counter() - began:.1f} s")
        return True

    @torch.no_grad()
    def estimate(self, observation: Observation) -> BodyEstimate:
        """See `LearnedBaseline`."""
        landmarks, confidence = landmarks_of(observation)
        prediction = self.predict(self.completion(landmarks, confidence))
        return self.layer.estimate(self.align(prediction, landmarks, confidence))

    def predict(self, completed: StandardisedLandmarks) -> BodyParameters:
        """Predictions of the forests, shifted so that the means of predicted and detected landmarks agree."""
        columns = [forest(near_features(completed, near)) for forest, near in zip(self.bones, self.near, strict=True)]
        flat = completed.landmarks.flatten(1)
        prediction = BodyParameters(
            shape=self.layer.shape_of(self.shape(flat)),
            rotations=to_local(rotation_of_columns(torch.stack(columns, dim=1))),
            log_scale=self.depth(flat)[:, 0] + completed.unit.log(),
            shift_m=completed.centre.new_zeros(len(flat), 2),
        )
        missed = completed.centre - prediction.project(self._posed(prediction)).mean(1)
        return replace(prediction, shift_m=missed / prediction.log_scale.exp()[:, None])

    def align(self, prediction: BodyParameters, landmarks: Tensor, confidence: Tensor) -> BodyParameters:
        """The same bodies, rotated and moved as a whole to minimise the reprojection error of the landmarks."""
        weight = confidence * detected_mask(confidence)
        points = self._posed(prediction)
        unit = StandardisedLandmarks.of(prediction.project(points)).unit
        target = landmarks / unit[:, None, None]
        start = torch.cat(
            (torch.zeros_like(points[:, 0]), (prediction.log_scale - unit.log())[:, None], prediction.shift_m), 1
        )

        def energy(flat: Tensor) -> Tensor:
            turn, log_scale, shift_m = flat.reshape(start.shape).split((3, 1, 2), dim=1)
            turned = points @ rotation_from_vector(turn).mT
            return energy_terms.reprojection(project(turned, log_scale[:, 0].exp(), shift_m), target, weight, _ROBUST)

        owner = torch.arange(len(start)).repeat_interleave(start.shape[1])
        best, _ = minimise(energy, start.flatten(), owner, self.settings.rounds)
        turn, log_scale, shift_m = best.reshape(start.shape).split((3, 1, 2), dim=1)
        rotations = prediction.rotations.clone()
        rotations[:, 0] = rotation_from_vector(turn) @ rotations[:, 0]
        return replace(prediction, rotations=rotations, log_scale=log_scale[:, 0] + unit.log(), shift_m=shift_m)

    def _posed(self, prediction: BodyParameters) -> Tensor:
        """(B, 91, 3) landmarks of bodies relative to the hips, metres, camera axes."""
        return self.points(*self.layer.skeleton(prediction))

    def _labelled(self, chunks: Chunks, count: int) -> tuple[Tensor, Tensor, BodyParameters]:
        """Landmarks (P, 91, 2), confidences (P, 91), and true bodies and cameras of samples with 3D labels."""
        columns_of_chunks: list[tuple[Tensor, ...]] = []
        sample_count = 0
        for chunk in range(count):
            observation, ground_truth = chunks(chunk)
            usable = ground_truth.labelled & (ground_truth.visible.sum(1) >= _LEAST_VISIBLE)
            columns_of_chunk = (
                *landmarks_of(observation),
                ground_truth.joints_2d,
                ground_truth.visible,
                ground_truth.phenotypes,
                ground_truth.orientations,
            )
            columns_of_chunks.append(tuple(value[usable] for value in columns_of_chunk))
            sample_count += int(usable.sum())
            if sample_count >= self.settings.people:
                break
        if sample_count <= 2 * LANDMARKS:
            raise InputError(
                f"{sample_count} samples have 3D labels; expected more than {2 * LANDMARKS} to grow forests on"
            )
        columns = [torch.cat(column)[: self.settings.people] for column in zip(*columns_of_chunks, strict=True)]
        landmarks, confidence, joints_2d, visible, phenotypes, orientations = columns
        nowhere = torch.zeros(len(landmarks), 3)
        prediction = BodyParameters(
            self.layer.shape_of(phenotypes), to_local(orientations), nowhere[:, 0], nowhere[:, :2]
        )
        scale, shift_m = solve_camera(self.layer.joints(prediction), joints_2d, visible)
        return landmarks, confidence, replace(prediction, log_scale=scale.log(), shift_m=shift_m)


def landmarks_of(observation: Observation) -> tuple[Tensor, Tensor]:
    """Landmarks (B, 91, 2) and their confidences (B, 91)."""
    assert observation.landmarks is not None
    assert observation.landmark_confidence is not None
    return observation.landmarks, observation.landmark_confidence


def near_features(completed: StandardisedLandmarks, near: Tensor) -> Tensor:
    """(B, 2 n + 2) the positions of `n` landmarks relative to their mean, and the mean."""
    landmarks = completed.landmarks[:, near]
    middle = landmarks.mean(1, keepdim=True)
    return torch.cat((landmarks - middle, middle), dim=1).flatten(1)


def landmarks_near(bone_of: Tensor) -> list[Tensor]:
    """Indices of the landmarks near each of `BODY_BONES`, along the skeleton; `bone_of` is the bone of each landmark.

    These are the landmarks of the bone and its neighbours or, where they are fewer than `_LEAST_LANDMARKS`, of the
    bones within the smallest number of steps that gives enough.
    """
    bones = range(len(BODY_BONES))
    linked = torch.eye(len(BODY_BONES), dtype=torch.bool)
    for bone in bones[1:]:
        linked[bone, PARENTS[bone]] = linked[PARENTS[bone], bone] = True
    near = []
    for bone in bones:
        reached = linked[bone]
        while int(reached[bone_of].sum()) < _LEAST_LANDMARKS:
            reached = linked[reached].any(0)
        near.append(reached[bone_of].nonzero()[:, 0])
    return near


def rotation_of_columns(columns: Tensor) -> Tensor:
    """Rotations (…, 3, 3) whose first two columns are nearest, in least squares, to those in (…, 6), stored by rows."""
    matrix = columns.unflatten(-1, (3, 2))
    third = torch.linalg.cross(matrix[..., 0], matrix[..., 1])
    return nearest_rotation(torch.cat((matrix, third[..., None]), dim=-1))
