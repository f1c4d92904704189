"""Movement of the predictions under input changes that should have no or little effect.

Pixels are those of an image in which the longer side of the box around the person's joints is 256 pixels long, so that
people of all sizes count alike. Movement is the mean distance over the vertices of root-aligned bodies, in millimetres.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from pose2mesh.evaluation.robustness.predictions import PredictionSet, distance_mm, person_box_px
from pose2mesh.evaluation.robustness.sample_sets import SampleSet, rederive
from pose2mesh.inference.predictor import LEAST_JOINTS, Predictor
from pose2mesh.skeletons import JointSet

Floats: TypeAlias = NDArray[np.floating]

BOX_PX = 256.0
JITTER_PX, JITTER_REPEATS = 2.0, 3
CROP_SHARE = 0.25
SMALL_BOX_PX = 64.0
_SYMMETRIC_M = 0.002  # largest distance of a vertex from the mirror image of its twin


@dataclass(frozen=True, eq=False)
class Consistency:
    """Movement of the predictions per sample; NaN where the change does not apply.

    Attributes:
        mirror_mm: (P,) for the mirrored pose, the prediction mirrored back.
        jitter_mm_per_px: (P,) for Gaussian errors of 2 px per axis on the joints, per px.
        dropped_mm_per_joint: (P,) for one missing joint, mean over the joints.
        dropped_mm: (P, J) for each missing joint.
        crop_mm_per_joint: (P,) for a quarter of the box cut off at each side in turn, per joint lost.
        shift_mm: (P,) for the person moved within the image and the image halved; the input is the same, so 0 is right.
        small_mm: (P,) for an image in which the box is 64 px long, joints rounded to whole pixels.
    """

    mirror_mm: NDArray[np.float64]
    jitter_mm_per_px: NDArray[np.float64]
    dropped_mm_per_joint: NDArray[np.float64]
    dropped_mm: NDArray[np.float64]
    crop_mm_per_joint: NDArray[np.float64]
    shift_mm: NDArray[np.float64]
    small_mm: NDArray[np.float64]


def measure_consistency(predictor: Predictor, people: SampleSet, predictions: PredictionSet, seed: int) -> Consistency:
    """Run the model on every changed input and compare with `predictions`, those from pixels alone."""
    joint_set, pixels, confidence = predictor.joint_set, people.joints_px, people.confidence
    box = person_box_px(pixels, confidence)
    rng = np.random.default_rng(seed)

    def movement(changed_px: Floats, changed_confidence: Floats) -> NDArray[np.float64]:
        return distance_mm(predictor.run(changed_px, changed_confidence)[1], predictions.vertices)

    jitter = np.zeros(len(people))
    for _ in range(JITTER_REPEATS):
        noise = rng.normal(size=pixels.shape) * (JITTER_PX * box / BOX_PX)[:, None, None]
        jitter += movement(*rederive(pixels + noise, confidence, joint_set)) / (JITTER_REPEATS * JITTER_PX)
    dropped = drop_each_joint(predictor, people, predictions)
    shifted = 0.5 * (pixels + rng.uniform(-100, 100, (len(people), 1, 2)))
    smaller = np.round(pixels * (SMALL_BOX_PX / box)[:, None, None])
    return Consistency(
        mirror_movement(predictor, people, predictions),
        jitter,
        _mean_of_finite(dropped),
        dropped,
        _mean_of_finite(crop_each_side(predictor, people, predictions)),
        movement(shifted, confidence),
        movement(*rederive(smaller, confidence, joint_set)),
    )


def mirror_movement(predictor: Predictor, people: SampleSet, predictions: PredictionSet) -> NDArray[np.float64]:
    """Movement (P,) between the predictions and the mirrored predictions for the mirrored inputs.

    It is over the vertices if the mesh at rest is its own mirror image, else over the joints.
    """
    flip = predictor.joint_set.flip_permutation
    mirrored = people.joints_px[:, flip] * np.array([-1, 1], np.float32)
    joints, vertices = predictor.run(mirrored, people.confidence[:, flip])
    back = np.array([-1, 1, 1], np.float32)
    twins = mirror_twins(predictor.template)
    if twins is None:
        return distance_mm(joints[:, flip] * back, predictions.joints)
    return distance_mm(vertices[:, twins] * back, predictions.vertices)


def mirror_twins(template: Floats) -> NDArray[np.intp] | None:
    """Index (V,) of each vertex's mirror image in a mesh (V, 3) at rest; None if the mesh is not symmetric."""
    middle = (template[:, 0].min() + template[:, 0].max()) / 2
    image = np.array([2 * middle, 0, 0]) + template * np.array([-1.0, 1.0, 1.0])
    distance, twins = cKDTree(template).query(image)
    symmetric = distance.max() < _SYMMETRIC_M and len(np.unique(twins)) == len(twins)
    return np.asarray(twins) if symmetric else None


def without(
    pixels: Floats, confidence: Floats, lost: NDArray[np.bool_], joint_set: JointSet
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """Pixels and confidences without the joints marked by `lost` (P, J), and which people (P,) have enough left."""
    fewer_px, fewer = rederive(pixels, np.where(lost, 0, confidence), joint_set)
    labelled = [index for index, name in enumerate(joint_set.names) if name not in dict(joint_set.derived)]
    present = fewer[:, labelled] > 0
    mask, places = present[..., None], fewer_px[:, labelled]
    spread = np.where(mask, places, -np.inf).max(1) - np.where(mask, places, np.inf).min(1)
    return fewer_px, fewer, (present.sum(1) >= LEAST_JOINTS) & (spread > 1e-3).all(1)


def drop_each_joint(predictor: Predictor, people: SampleSet, predictions: PredictionSet) -> NDArray[np.float64]:
    """Movement (P, J) without that joint; NaN for derived and missing joints, and where too few joints are left."""
    joint_set = predictor.joint_set
    out = np.full(people.confidence.shape, np.nan)
    for joint, name in enumerate(joint_set.names):
        if name in dict(joint_set.derived):
            continue
        lost = np.zeros(people.confidence.shape, bool)
        lost[:, joint] = people.confidence[:, joint] > 0
        _measure_movement(predictor, people, predictions, lost, out[:, joint])
    return out


def crop_each_side(predictor: Predictor, people: SampleSet, predictions: PredictionSet) -> NDArray[np.float64]:
    """Movement (P, 4) per lost joint when a quarter of the box is cut off at the left, top, right, bottom."""
    out = np.full((len(people), 4), np.nan)
    present = (people.confidence > 0)[..., None]
    low = np.where(present, people.joints_px, np.inf).min(1)
    high = np.where(present, people.joints_px, -np.inf).max(1)
    derived = [predictor.joint_set.index(name) for name, _ in predictor.joint_set.derived]
    for side in range(4):
        axis = side % 2
        place = people.joints_px[..., axis]
        cut = CROP_SHARE * (high - low)[:, axis]
        beyond = place < (low[:, axis] + cut)[:, None] if side < 2 else place > (high[:, axis] - cut)[:, None]
        lost = beyond & present[..., 0]
        lost[:, derived] = False
        _measure_movement(predictor, people, predictions, lost, out[:, side])
        out[:, side] /= np.maximum(lost.sum(1), 1)
    return out


def _measure_movement(
    predictor: Predictor,
    people: SampleSet,
    predictions: PredictionSet,
    lost: NDArray[np.bool_],
    out: NDArray[np.float64],
) -> None:
    """Write the movement of the samples that lose a joint and keep enough to `out` (P,)."""
    pixels, confidence, enough = without(people.joints_px, people.confidence, lost, predictor.joint_set)
    chosen = np.flatnonzero(enough & lost.any(1))
    if len(chosen):
        out[chosen] = distance_mm(predictor.run(pixels[chosen], confidence[chosen])[1], predictions.vertices[chosen])


def _mean_of_finite(values: Floats) -> NDArray[np.float64]:
    """Mean (P,) over the columns that are not NaN; NaN where all are."""
    finite = np.isfinite(values)
    total = np.where(finite, values, 0).sum(1)
    return np.where(finite.any(1), total / np.maximum(finite.sum(1), 1), np.nan)
