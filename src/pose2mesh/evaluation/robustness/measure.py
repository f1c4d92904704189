"""Everything that is measured of a model on one set of people."""

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
# The error by which the gap and the worst cases are told: people are seen by their true camera.
GAP_ERROR = "known_mpjpe_mm"
_PLAUSIBLE = (
    "asymmetry_percent", "odd_bones_percent", "beyond_limits_percent", "depth_mm", "intersecting_percent",
    "floating_mm",
)  # fmt: skip
WORST = 6
PER_CLIP, _CLIPS_AT_ONCE = 40, 8


@dataclass(frozen=True, eq=False)
class Case:
    """One person of the gallery: `index` in the set, the answer (J, 3), (V, 3) and the true vertices where known."""

    index: int
    joints: NDArray[np.float32]
    vertices: NDArray[np.float32]
    true_vertices: NDArray[np.float32] | None


@dataclass(frozen=True, eq=False)
class Measures:
    """Of one set.

    Attributes:
        people: The set.
        joint_names: The `J` joints.
        values: Measure to its values (P,); NaN where a person cannot be measured.
        true_values: The same of the true bodies, for plausibility.
        dropped_mm: (P, J) movement when that joint is taken away.
        beyond: Joint angle to whether it is past its range (P,).
        calibration: Of the confidences.
        curves: Against noise, missing joints and view.
        worst: The gallery's cases, worst first.
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
        """The mean of a measure, or None where it was not taken."""
        return mean_interval(self.values[measure], self.people.group, seed) if measure in self.values else None


class Meter:
    """Measures a model on sets of people.

    Args:
        recovery: A model of the Anny body.
        body: That body.
        synthesiser: Of it and the model's joint set.

    Raises:
        InputError: the model is of another body.
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
        """Tells how hard a pose is; made when it is first asked for."""
        return PoseDifficulty(self.synthesiser)

    def __call__(self, people: SampleSet, seed: int, say: Callable[[str], None]) -> Measures:
        """Measure one set; `say` takes a line before each part."""
        predictor, ground_truth = self.predictor, people.ground_truth
        say(f"{people.name}: {len(people)} people")
        predictions = predict(predictor, people)
        seen = predictions if ground_truth is None else predict(predictor, people, camera_known=True)
        values = self._accuracy(people, predictions, seen)
        say(f"{people.name}: consistency")
        consistent = measure_consistency(predictor, people, predictions, seed)
        values |= {name: value for name, value in vars(consistent).items() if name != "dropped_mm"}
        true_values: dict[str, NDArray[np.float64]] = {}
        if ground_truth is None:
            plausible = self.plausibility(predictions)
        else:
            plausible = self.plausibility(seen, ground_truth.vertices, ground_truth.up)
            true_bodies = self.plausibility(
                PredictionSet(ground_truth.joints, ground_truth.vertices), ground_truth.vertices, ground_truth.up
            )
            true_values = _of_plausibility(true_bodies)
        values |= _of_plausibility(plausible)
        say(f"{people.name}: calibration and curves")
        facing = ground_truth.facing_rad if ground_truth is not None else self._facing(predictions)
        per_view = {name: values[key] for name, key in _PER_VIEW.items() if key in values}
        curves = noise_and_missing(predictor, people, seen, seed) + by_view(facing, per_view, people.group, seed)
        worst = worst_of_groups(values[GAP_ERROR] if ground_truth is not None else -values["oks"], people.group)
        return Measures(
            people,
            predictor.joint_set.names,
            values,
            true_values,
            consistent.dropped_mm,
            plausible.beyond,
            measure_calibration(predictor, people, seed),
            curves,
            [
                Case(i, seen.joints[i], seen.vertices[i], None if ground_truth is None else ground_truth.vertices[i])
                for i in worst
            ],
        )

    def _accuracy(
        self, people: SampleSet, predictions: PredictionSet, seen: PredictionSet
    ) -> dict[str, NDArray[np.float64]]:
        """Against the truth, from pixels alone and by the true camera (`seen`), and against the picture."""
        joint_set = self.predictor.joint_set
        values: dict[str, NDArray[np.float64]] = {}
        if people.ground_truth is not None:
            values |= errors_mm(predictions, people, joint_set)
            values |= {f"known_{name}": error for name, error in errors_mm(seen, people, joint_set).items()}
            values["difficulty_mm"] = self.reference.difficulty_mm(people)
        given = people.joints_px, people.confidence
        laid = reproject(predictions.joints, *given, people.joints_px, people.area_px, joint_set)
        values |= {"oks": laid.oks, "reprojection_percent": 100 * laid.error}
        if any(mask is not None for mask in people.masks):
            values["iou"] = silhouette_iou(predictions, people, self.predictor)
        return values

    def of_clips(self, clips: Sequence[Clip], seed: int) -> ClipErrors:
        """For the gap: 40 people of every clip."""
        errors, difficulty, group = [], [], []
        for start in range(0, len(clips), _CLIPS_AT_ONCE):
            part = clips[start : start + _CLIPS_AT_ONCE]
            people = from_clips("", "clips", part, self.body, self.synthesiser, PER_CLIP * len(part), seed)
            seen = predict(self.predictor, people, camera_known=True)
            errors.append(errors_mm(seen, people, self.predictor.joint_set)["mpjpe_mm"])
            difficulty.append(self.reference.difficulty_mm(people))
            group.append(start + people.group)
        return ClipErrors(np.concatenate(errors), np.concatenate(difficulty), np.concatenate(group))

    def _facing(self, predictions: PredictionSet) -> NDArray[np.float64]:
        """Yaw (P,) of answers, by their hips."""
        left, right = (self.predictor.joint_set.index(f"{side}_hip") for side in ("left", "right"))
        across = predictions.joints[:, left] - predictions.joints[:, right]
        return np.asarray(np.arctan2(-across[:, 2], across[:, 0]), np.float64)


def worst_of_groups(error: Floats, group: NDArray[np.integer]) -> list[int]:
    """The people with the largest errors (P,), worst first, one of each group: frames of one clip are alike."""
    order = np.argsort(-error, kind="stable")
    _, first = np.unique(group[order], return_index=True)
    return [int(order[place]) for place in np.sort(first)[:WORST]]


_PER_VIEW = {"MPJPE (mm)": GAP_ERROR, "reprojection error (% of √area)": "reprojection_percent"}


def _of_plausibility(found: Plausibility) -> dict[str, NDArray[np.float64]]:
    values = {name: np.asarray(getattr(found, name), np.float64) for name in _PLAUSIBLE}
    return {name: value for name, value in values.items() if np.isfinite(value).any()}
