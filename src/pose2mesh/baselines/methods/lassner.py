"""Lassner, Romero, Kiefel, Bogo, Black and Gehler 2017 ("Unite the People", arXiv 1701.02468): from 91 landmarks in the
picture to a body by random forests, with no fit of the pose.

Landmarks are brought to one place and size. Each bone has a forest of its own, which looks at the landmarks near the
bone and gives its rotation; two more give the shape and the depth. Then only where the whole body faces and where it
is are optimised, until its landmarks are seen where they were found.

Differs from the paper: the body and its landmarks; rotations are those of bones in camera axes, not relative to their
parents, and landmarks near a bone are seen from their middle, too (on training clips not grown on, the joints' error
fell from 131 mm to 127 mm by the latter, and to 73 mm by both); size is a root mean square distance, because people who
sit or lie have no height; landmarks that were not found are filled in (`completion`); depth is the logarithm of the
scale in the picture.
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
from pose2mesh.baselines.common.landmark_completion import Completion, StandardisedLandmarks, found
from pose2mesh.baselines.common.landmarks import landmark_regressor
from pose2mesh.baselines.common.lbfgs import minimise
from pose2mesh.baselines.common.random_forest import Forest, ForestConfig
from pose2mesh.baselines.interface import BodyEstimate, LearnedBaseline
from pose2mesh.baselines.observation import LANDMARKS, GroundTruth, Need, Observation
from pose2mesh.body_models.bones import BODY_BONES, PARENTS
from pose2mesh.body_models.interface import PHENOTYPES
from pose2mesh.body_models.skinning import SkinnedPoints
from pose2mesh.datasets.synthetic.pose_sampling import to_local
from pose2mesh.errors import InputError
from pose2mesh.geometry.rotations import nearest_rotation, rotation_from_vector

_LEAST_LANDMARKS = 8  # that a bone's forest looks at
_LEAST_VISIBLE = 6  # joints, for a person's camera to be known
_ROBUST = 0.2  # of a person's size: landmarks farther off hardly pull


@dataclass
class LassnerSettings:
    """What the method is.

    Attributes:
        growth: Of every forest.
        people: With 3D labels to grow on, at most.
        rank: Of the linear model that fills in landmarks.
        rounds: Of the final fit.
    """

    growth: ForestConfig = field(default_factory=lambda: ForestConfig(trees=10, leaves=1200))
    people: int = 40_000
    rank: int = 24
    rounds: int = 20


class Lassner(LearnedBaseline):
    """The method.

    Args:
        layer: The body.
        settings: What it is.
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
        """None: forests are grown, by `fit`."""
        return {}

    @torch.no_grad()
    def fit(
        self, chunks: Callable[[int], tuple[Observation, GroundTruth]], count: int, log: Callable[[str], None]
    ) -> bool:
        """Grow the forests on the people with 3D labels. See `LearnedBaseline`.

        Raises:
            InputError: fewer people have labels than the linear model of the landmarks needs, or there is no
                scikit-learn.
        """
        landmarks, confidence, ground_truth = self._labelled(chunks, count)
        log(f"{len(landmarks)} people with 3D labels")
        self.completion.learn(ground_truth.project(self._posed(ground_truth)))
        whole = self.completion(landmarks, confidence)
        targets = ground_truth.orientations[..., :2].flatten(2)
        tasks = [
            (name, cast(Forest, forest), near_features(whole, near), targets[:, bone])
            for bone, (name, forest, near) in enumerate(zip(BODY_BONES, self.bones, self.near, strict=True))
        ]
        flat = whole.landmarks.flatten(1)
        tasks.append(("shape", self.shape, flat, self.layer.phenotypes(ground_truth.shape)))
        tasks.append(("depth", self.depth, flat, (ground_truth.log_scale - whole.unit.log())[:, None]))
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
        prediction = self.look(self.completion(landmarks, confidence))
        return self.layer.estimate(self.turn(prediction, landmarks, confidence))

    def look(self, whole: StandardisedLandmarks) -> BodyParameters:
        """What the forests say, with the middle of the body's landmarks where that of the landmarks seen is."""
        columns = [forest(near_features(whole, near)) for forest, near in zip(self.bones, self.near, strict=True)]
        flat = whole.landmarks.flatten(1)
        prediction = BodyParameters(
            shape=self.layer.shape_of(self.shape(flat)),
            rotations=to_local(rotation_of_columns(torch.stack(columns, dim=1))),
            log_scale=self.depth(flat)[:, 0] + whole.unit.log(),
            shift_m=whole.centre.new_zeros(len(flat), 2),
        )
        missed = whole.centre - prediction.project(self._posed(prediction)).mean(1)
        return replace(prediction, shift_m=missed / prediction.log_scale.exp()[:, None])

    def turn(self, prediction: BodyParameters, landmarks: Tensor, confidence: Tensor) -> BodyParameters:
        """The same bodies, turned as a whole and moved until landmarks are seen where they were found."""
        weight = confidence * found(confidence)
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
        """(B, 91, 3) the bodies' landmarks about the hips, metres, camera axes."""
        return self.points(*self.layer.skeleton(prediction))

    def _labelled(
        self, chunks: Callable[[int], tuple[Observation, GroundTruth]], count: int
    ) -> tuple[Tensor, Tensor, BodyParameters]:
        """Landmarks (P, 91, 2) and confidences (P, 91) of people with 3D labels, and their bodies and cameras."""
        drawn: list[tuple[Tensor, ...]] = []
        people = 0
        for chunk in range(count):
            observation, ground_truth = chunks(chunk)
            who = ground_truth.labelled & (ground_truth.visible.sum(1) >= _LEAST_VISIBLE)
            of_chunk = (
                *landmarks_of(observation),
                ground_truth.joints_2d,
                ground_truth.visible,
                ground_truth.phenotypes,
                ground_truth.orientations,
            )
            drawn.append(tuple(value[who] for value in of_chunk))
            people += int(who.sum())
            if people >= self.settings.people:
                break
        if people <= 2 * LANDMARKS:
            raise InputError(f"{people} people have 3D labels; expected more than {2 * LANDMARKS} to grow forests on")
        columns = [torch.cat(column)[: self.settings.people] for column in zip(*drawn, strict=True)]
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


def near_features(whole: StandardisedLandmarks, near: Tensor) -> Tensor:
    """(B, 2 n + 2) where `n` landmarks are, from their middle, and where that is."""
    landmarks = whole.landmarks[:, near]
    middle = landmarks.mean(1, keepdim=True)
    return torch.cat((landmarks - middle, middle), dim=1).flatten(1)


def landmarks_near(bone_of: Tensor) -> list[Tensor]:
    """For each of `BODY_BONES` the indices of landmarks, of which each belongs to a bone, near it along the skeleton.

    Those of the bone and its neighbours, or, where these are few, of as many steps along as it takes for enough.
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
    """The rotations (…, 3, 3) whose first two columns are closest to those in (…, 6), row by row, in least squares."""
    matrix = columns.unflatten(-1, (3, 2))
    third = torch.linalg.cross(matrix[..., 0], matrix[..., 1])
    return nearest_rotation(torch.cat((matrix, third[..., None]), dim=-1))
