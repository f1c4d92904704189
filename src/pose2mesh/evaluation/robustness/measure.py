"""All robustness measures of a model on one sample set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pose2mesh.body_models.interface import BodyModel
from pose2mesh.datasets.synthetic.bodies import BodySynthesiser
from pose2mesh.datasets.synthetic.mocap import Clip
from pose2mesh.errors import InputError
from pose2mesh.evaluation.robustness.bootstrap import Interval, mean_interval
from pose2mesh.evaluation.robustness.calibration import Calibration, measure_calibration
from pose2mesh.evaluation.robustness.consistency import measure_consistency
from pose2mesh.evaluation.robustness.curves import Curve, by_view, noise_and_missing
from pose2mesh.evaluation.robustness.generalization_gap import ClipErrors
from pose2mesh.evaluation.robustness.plausibility import Plausibility, PlausibilityMeter
from pose2mesh.evaluation.robustness.pose_difficulty import PoseDifficulty
from pose2mesh.evaluation.robustness.predictions import PredictionSet, errors_mm, predict, reproject, silhouette_iou
from pose2mesh.evaluation.robustness.sample_sets import SampleSet, from_clips
from pose2mesh.inference.predictor import Predictor

Floats: TypeAlias = NDArray[np.floating]
# The error, given the true camera, from which the gap and the worst cases are computed.
GAP_ERROR = "known_mpjpe_mm"
_PLAUSIBLE = (
    "asymmetry_percent", "odd_bones_percent", "beyond_limits_percent", "depth_mm", "intersecting_percent",
    "floating_mm",
)  # fmt: skip
WORST = 6
PER_CLIP, _CLIPS_PER_CHUNK = 40, 8


@dataclass(frozen=True, eq=False)
class Case:
    """One sample of the gallery: `index` in the set, predicted joints (J, 3) and vertices (V, 3), true ones."""

    index: int
    joints: NDArray[np.float32]
    vertices: NDArray[np.float32]
    true_vertices: NDArray[np.float32] | None


@dataclass(frozen=True, eq=False)
class Measures:
    """Measures on one sample set.

    Attributes:
        people: The sample set.
        joint_names: Names of the `J` joints.
        values: Measure to its values (P,); NaN where a sample cannot be measured.
        true_values: The plausibility measures of the true bodies.
        dropped_mm: (P, J) movement without that joint.
        beyond: Joint angle to whether it is outside its range (P,).
        calibration: Calibration of the confidences.
        curves: Curves over noise, missing joints and view.
        worst: Cases of the gallery, worst first.
    """

    people: SampleSet
    joint_names: tuple[str, ...]
    values: dict[str, NDArray[np.float64]]
    true_values: dict[str, NDArray[np.float64]]
    dropped_mm: NDArray[np.float64]
    beyond: dict[str, NDArray[np.bool_]]
    calibration: Calibration
    curves: list[Curve]
    worst: list[Case]

    def interval(self, measure: str, seed: int = 0) -> Interval | None:
        """Mean of a measure with its interval, or None if it was not taken."""
        return mean_interval(self.values[measure], self.people.group, seed) if measure in self.values else None


class Meter:
    """Measures a model on sample sets.

    Args:
        predictor: A model of the default body.
        body: The default body.
        synthesiser: Makes bodies of it with the joints of the model's joint set.

    Raises:
        InputError: the model has another body.
    """

    def __init__(self, predictor: Predictor, body: BodyModel, synthesiser: BodySynthesiser) -> None:
        if len(predictor.template) != len(body.template):
            name, other = predictor.info.name, predictor.info.body
            raise InputError(f"model {name!r} is of body {other!r}; robustness is measured of models of body 'anny'")
        self.predictor, self.body = predictor, body
        self.plausibility = PlausibilityMeter(body, synthesiser)
        self.synthesiser = synthesiser

    @cached_property
    def reference(self) -> PoseDifficulty:
        """The reference that measures difficulty, built on first use."""
        return PoseDifficulty(self.synthesiser)

    def __call__(self, people: SampleSet, seed: int, say: Callable[[str], None]) -> Measures:
        """Measure one set; `say` prints a line before each part."""
        predictor, ground_truth = self.predictor, people.ground_truth
        say(f"{people.name}: {len(people)} people")
        predictions = predict(predictor, people)
        given_camera = predictions if ground_truth is None else predict(predictor, people, give_camera=True)
        values = self._accuracy(people, predictions, given_camera)
        say(f"{people.name}: consistency")
        consistency = measure_consistency(predictor, people, predictions, seed)
        values |= {name: value for name, value in vars(consistency).items() if name != "dropped_mm"}
        true_values: dict[str, NDArray[np.float64]] = {}
        if ground_truth is None:
            plausible = self.plausibility(predictions)
        else:
            plausible = self.plausibility(given_camera, ground_truth.vertices, ground_truth.up)
            true_bodies = self.plausibility(
                PredictionSet(ground_truth.joints, ground_truth.vertices), ground_truth.vertices, ground_truth.up
            )
            true_values = _of_plausibility(true_bodies)
        values |= _of_plausibility(plausible)
        say(f"{people.name}: calibration and curves")
        facing = ground_truth.facing_rad if ground_truth is not None else self._facing(predictions)
        per_view = {name: values[key] for name, key in _PER_VIEW.items() if key in values}
        curves = noise_and_missing(predictor, people, given_camera, seed) + by_view(
            facing, per_view, people.group, seed
        )
        worst = worst_of_groups(values[GAP_ERROR] if ground_truth is not None else -values["oks"], people.group)
        return Measures(
            people,
            predictor.joint_set.names,
            values,
            true_values,
            consistency.dropped_mm,
            plausible.beyond,
            measure_calibration(predictor, people, seed),
            curves,
            [
                Case(
                    i,
                    given_camera.joints[i],
                    given_camera.vertices[i],
                    None if ground_truth is None else ground_truth.vertices[i],
                )
                for i in worst
            ],
        )

    def _accuracy(
        self, people: SampleSet, predictions: PredictionSet, given_camera: PredictionSet
    ) -> dict[str, NDArray[np.float64]]:
        """Errors of `predictions` (from pixels alone) and `given_camera`, difficulty, and agreement with the image."""
        joint_set = self.predictor.joint_set
        values: dict[str, NDArray[np.float64]] = {}
        if people.ground_truth is not None:
            values |= errors_mm(predictions, people, joint_set)
            values |= {f"known_{name}": error for name, error in errors_mm(given_camera, people, joint_set).items()}
            values["difficulty_mm"] = self.reference.difficulty_mm(people)
        inputs = people.joints_px, people.confidence
        reprojection = reproject(predictions.joints, *inputs, people.joints_px, people.area_px, joint_set)
        values |= {"oks": reprojection.oks, "reprojection_percent": 100 * reprojection.error}
        if any(mask is not None for mask in people.masks):
            values["iou"] = silhouette_iou(predictions, people, self.predictor)
        return values

    def of_clips(self, clips: Sequence[Clip], seed: int) -> ClipErrors:
        """Errors on 40 samples of every clip, for the generalization gap."""
        errors, difficulty, group = [], [], []
        for start in range(0, len(clips), _CLIPS_PER_CHUNK):
            part = clips[start : start + _CLIPS_PER_CHUNK]
            people = from_clips("", "clips", part, self.body, self.synthesiser, PER_CLIP * len(part), seed)
            given_camera = predict(self.predictor, people, give_camera=True)
            errors.append(errors_mm(given_camera, people, self.predictor.joint_set)["mpjpe_mm"])
            difficulty.append(self.reference.difficulty_mm(people))
            group.append(start + people.group)
        return ClipErrors(np.concatenate(errors), np.concatenate(difficulty), np.concatenate(group))

    def _facing(self, predictions: PredictionSet) -> NDArray[np.float64]:
        """Yaw (P,) of predicted bodies, by their hips."""
        left, right = (self.predictor.joint_set.index(f"{side}_hip") for side in ("left", "right"))
        across = predictions.joints[:, left] - predictions.joints[:, right]
        return np.asarray(np.arctan2(-across[:, 2], across[:, 0]), np.float64)


def worst_of_groups(error: Floats, group: NDArray[np.integer]) -> list[int]:
    """Indices of the samples with the largest errors (P,), worst first, one per group: frames of one clip are alike."""
    order = np.argsort(-error, kind="stable")
    _, first = np.unique(group[order], return_index=True)
    return [int(order[place]) for place in np.sort(first)[:WORST]]


_PER_VIEW = {"MPJPE (mm)": GAP_ERROR, "reprojection error (% of √area)": "reprojection_percent"}


def _of_plausibility(found: Plausibility) -> dict[str, NDArray[np.float64]]:
    values = {name: np.asarray(getattr(found, name), np.float64) for name in _PLAUSIBLE}
    return {name: value for name, value in values.items() if np.isfinite(value).any()}
