"""Error and movement as functions of the difficulty of the input: noise, missing joints, the view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pose2mesh.evaluation.robustness.bootstrap import Interval, mean_interval
from pose2mesh.evaluation.robustness.consistency import BOX_PX, without
from pose2mesh.evaluation.robustness.predictions import PredictionSet, distance_mm, person_box_px
from pose2mesh.evaluation.robustness.sample_sets import SampleSet, rederive
from pose2mesh.inference.predictor import Predictor

Floats: TypeAlias = NDArray[np.floating]
NOISE_PX = (0.0, 1.0, 2.0, 4.0, 8.0)
MISSING = (0, 2, 4, 6, 8, 10)
YAW_DEG = (-180, -135, -90, -45, 0, 45, 90, 135)


@dataclass(frozen=True, eq=False)
class Curve:
    """Values of a measure (named with its unit) at places along an axis; None where no sample was measured."""

    axis: str
    measure: str
    places: tuple[float, ...]
    values: list[Interval | None]


def noise_and_missing(predictor: Predictor, people: SampleSet, predictions: PredictionSet, seed: int) -> list[Curve]:
    """Curves over the size of Gaussian errors of the joints, and over the number of randomly removed joints.

    Movement is that of the vertices from the undisturbed `predictions`; MPJPE needs a ground truth. For samples from
    clips the camera is given in both, so that only the change of the joints counts.
    """
    joint_set, rng = predictor.joint_set, np.random.default_rng(seed)
    box = person_box_px(people.joints_px, people.confidence)
    direction = rng.normal(size=people.joints_px.shape)  # the same errors at every size
    rank = np.where(people.confidence > 0, rng.random(people.confidence.shape), 2.0)
    rank[:, [joint_set.index(name) for name, _ in joint_set.derived]] = 2.0
    order = rank.argsort(1).argsort(1)
    noisy, fewer = [], []
    all_samples = np.ones(len(people), bool)
    for size in NOISE_PX:
        moved = people.joints_px + direction * (size * box / BOX_PX)[:, None, None]
        noisy.append(
            _measure(predictor, people, predictions, *rederive(moved, people.confidence, joint_set), all_samples)
        )
    for count in MISSING:
        lost = (order < count) & (rank < 2)
        pixels, confidence, enough = without(people.joints_px, people.confidence, lost, joint_set)
        fewer.append(_measure(predictor, people, predictions, pixels, confidence, enough & (lost.sum(1) == count)))
    curves = []
    for axis, places, points in (
        ("errors of joints (px, box of 256 px)", NOISE_PX, noisy),
        ("joints missing", MISSING, fewer),
    ):
        for column, measure in enumerate(("movement of vertices (mm)", "MPJPE (mm)")):
            if column == 0 or people.ground_truth is not None:
                found = [mean_interval(point[column], people.group, seed) for point in points]
                curves.append(Curve(axis, measure, tuple(map(float, places)), found))
    return curves


def _measure(
    predictor: Predictor,
    people: SampleSet,
    predictions: PredictionSet,
    pixels: Floats,
    confidence: Floats,
    measured: NDArray[np.bool_],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Movement and MPJPE (P,); NaN for samples outside the mask `measured` (P,) or without a ground truth."""
    moved, error = np.full(len(people), np.nan), np.full(len(people), np.nan)
    chosen = np.flatnonzero(measured)
    if len(chosen):
        ground_truth = people.ground_truth
        cameras = None if ground_truth is None else [ground_truth.intrinsics[person] for person in chosen]
        joints, vertices = predictor.run(pixels[chosen], confidence[chosen], cameras)
        moved[chosen] = distance_mm(vertices, predictions.vertices[chosen])
        if ground_truth is not None:
            columns = predictor.joint_set.evaluation_indices
            error[chosen] = distance_mm(joints[:, columns], ground_truth.joints[chosen][:, columns])
    return moved, error


def by_view(
    facing_rad: Floats, measures: dict[str, NDArray[np.float64]], group: NDArray[np.integer], seed: int
) -> list[Curve]:
    """Curves over the direction that people face, in eighths of a full turn.

    Args:
        facing_rad: (P,) yaw, as `SampleGroundTruth.facing_rad`.
        measures: Name to values (P,).
        group: (P,) index of each sample's group.
        seed: Seed of the intervals.
    """
    step = 2 * np.pi / len(YAW_DEG)
    sector = np.round((facing_rad + np.pi) / step).astype(int) % len(YAW_DEG)
    curves = []
    for name, values in measures.items():
        found = [mean_interval(np.where(sector == index, values, np.nan), group, seed) for index in range(len(YAW_DEG))]
        curves.append(Curve("yaw (°; 0 faces the camera)", name, tuple(map(float, YAW_DEG)), found))
    return curves
