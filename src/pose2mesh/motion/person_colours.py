"""Colours of a person as a descriptor: histograms of head, torso, arms and legs, sampled around the 2D joints.

Colours tell people apart where the motion does not: after an occlusion, and where people cross. A descriptor is an
array (R, B): for each of `R` regions a histogram whose sum is the weight of the region, between 0 (not visible) and 1.
The weighted mean over frames is therefore the sum of descriptors, and a person without a description (keypoints without
an image) has zeros. Each histogram consists of three parts of equal weight, of L, a and b of CIE L*a*b* (D65); a sample
is shared by the two nearest bins. Descriptors are compared by Bhattacharyya's coefficient (1943).
"""

from __future__ import annotations

from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pose2mesh.skeletons import COCO17

Floats: TypeAlias = NDArray[np.floating]

REGIONS = ("head", "torso", "arms", "legs")
# First and last bin centre of L, a and b, and the number of bins: clothes and skin differ little in a and b.
_CHANNELS = ((10.0, 90.0, 6), (-42.0, 42.0, 8), (-42.0, 42.0, 8))
BINS = sum(count for _, _, count in _CHANNELS)
# A sample nearer to a bone of another person than this does not count; relative to that person's torso length.
_BODY_RADIUS = 0.22
NEUTRAL = 0.88  # similarity at which two descriptors are as likely of one person as of two
_FULL_CONFIDENCE = 0.6  # joints from this confidence on have full weight
_RGB_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])  # sRGB, D65
_BONES = (
    ("left_shoulder", "right_shoulder"), ("left_shoulder", "left_hip"), ("right_shoulder", "right_hip"),
    ("left_shoulder", "right_hip"), ("right_shoulder", "left_hip"), ("left_hip", "right_hip"),
    ("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist"), ("right_shoulder", "right_elbow"),
    ("right_elbow", "right_wrist"), ("left_hip", "left_knee"), ("left_knee", "left_ankle"),
    ("right_hip", "right_knee"), ("right_knee", "right_ankle"), ("nose", "left_shoulder"), ("nose", "right_shoulder"),
)  # fmt: skip


def describe_people(image: NDArray[np.uint8], joints_px: Floats, confidence: Floats) -> NDArray[np.float32]:
    """Descriptors (P, R, B) of the people of an image.

    Args:
        image: (H, W, 3) RGB.
        joints_px: (P, 17, 2) in the order of `skeletons.COCO17`.
        confidence: (P, 17) in [0, 1], 0 for a missing joint.
    """
    weights, _ = body_samples()
    points = np.einsum("sj,pjc->psc", weights, np.asarray(joints_px, np.float64))
    visible = sample_visibility(points, joints_px, confidence)
    pixels = np.floor(points).astype(int)
    inside = ((pixels >= 0) & (pixels < image.shape[1::-1])).all(-1)
    pixels = np.clip(pixels, 0, np.array(image.shape[1::-1]) - 1)
    return histograms(lab_from_rgb(image[pixels[..., 1], pixels[..., 0]]), visible * inside)


def histograms(lab: Floats, weight: Floats) -> NDArray[np.float32]:
    """Descriptors (P, R, B) of colours (P, S, 3) at the `S` samples of a body, with weights (P, S) in [0, 1]."""
    _, regions = body_samples()
    found = np.zeros((len(lab), len(REGIONS), BINS), np.float32)
    people = np.arange(len(lab))[:, None]
    counts = np.bincount(regions, minlength=len(REGIONS))
    share = weight / (3 * counts[regions])
    first = 0
    for channel, (low, high, bins) in enumerate(_CHANNELS):
        place = np.clip((lab[..., channel] - low) / (high - low), 0, 1) * (bins - 1)
        lower = np.minimum(place.astype(int), bins - 2)
        upper_share = place - lower
        np.add.at(found, (people, regions, first + lower), share * (1 - upper_share))
        np.add.at(found, (people, regions, first + lower + 1), share * upper_share)
        first += bins
    return found


def similarity(first: Floats, second: Floats) -> tuple[Floats, Floats]:
    """Similarity of descriptors (…, R, B), which are broadcast, and the reliability of that number; both (…) in [0, 1].

    The similarity is the mean of the regions' Bhattacharyya coefficients, weighted by the visibility of the region in
    both; the reliability is the mean of that visibility, 0 without a common region.
    """
    weights = first.sum(-1), second.sum(-1)
    both = np.minimum(np.minimum(*weights), 1.0)
    scale = np.sqrt(np.maximum(weights[0] * weights[1], 1e-12))
    regions = np.sqrt(first * second).sum(-1) / scale
    total = both.sum(-1)
    return (both * regions).sum(-1) / np.maximum(total, 1e-9), total / len(REGIONS)


def lab_from_rgb(rgb: NDArray[np.uint8]) -> Floats:
    """CIE L*a*b* (…, 3) of sRGB colours (…, 3) of uint8, white D65."""
    linear = _linear()[rgb]
    xyz = linear @ (_RGB_TO_XYZ / _RGB_TO_XYZ.sum(1, keepdims=True)).T
    root = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    return np.stack(
        [116 * root[..., 1] - 16, 500 * (root[..., 0] - root[..., 1]), 200 * (root[..., 1] - root[..., 2])], axis=-1
    )


@cache
def _linear() -> Floats:
    """Linear intensity (256,) of an sRGB value."""
    value = np.arange(256) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


@cache
def body_samples() -> tuple[Floats, NDArray[np.intp]]:
    """The samples of a body: weights (S, 17) of the joints, whose mean is the position, and the region (S,) of each."""
    rows: list[Floats] = []
    regions: list[int] = []

    def add(region: str, **weights: float) -> None:
        row = np.zeros(len(COCO17))
        for name, weight in weights.items():
            row[COCO17.index(name)] += weight
        rows.append(row)
        regions.append(REGIONS.index(region))

    for across in np.linspace(0.15, 0.85, 5):
        for down in np.linspace(0.1, 0.9, 7):
            add(
                "torso",
                left_shoulder=across * (1 - down),
                right_shoulder=(1 - across) * (1 - down),
                left_hip=across * down,
                right_hip=(1 - across) * down,
            )
        for up in (0.0, 0.12, 0.24, 0.36):  # from the ears to the hair, away from the shoulders
            ears, shoulders = (1 + up), -up / 2
            add(
                "head",
                left_ear=ears * across,
                right_ear=ears * (1 - across),
                left_shoulder=shoulders,
                right_shoulder=shoulders,
            )
    for side in ("left", "right"):
        for part in np.linspace(0.15, 0.95, 8):
            add("arms", **{f"{side}_shoulder": 1 - part, f"{side}_elbow": part})
            add("arms", **{f"{side}_elbow": 1 - part, f"{side}_wrist": part})
            add("legs", **{f"{side}_hip": 1 - part, f"{side}_knee": part})
            add("legs", **{f"{side}_knee": 1 - part, f"{side}_ankle": part})
    return np.array(rows), np.array(regions)


def sample_visibility(points: Floats, joints_px: Floats, confidence: Floats) -> Floats:
    """Weights (P, S) of samples (P, S, 2): the least confidence of their joints, 0 where another person may be."""
    weights, _ = body_samples()
    sure = np.minimum(confidence / _FULL_CONFIDENCE, 1)
    visible = np.where(weights != 0, sure[:, None], 1).min(-1)
    for index in range(len(points)):
        for other in range(len(points)):
            if other != index and confidence[other].any():
                visible[index] *= ~near_body(points[index], joints_px[other], confidence[other])
    return visible


def near_body(points: Floats, joints_px: Floats, confidence: Floats) -> NDArray[np.bool_]:
    """Which points (S, 2) are on or near the body of a person (17, 2)."""
    present = joints_px[confidence > 0]
    size = float(np.linalg.norm(np.ptp(present, axis=0))) if len(present) else 0.0
    radius = _BODY_RADIUS * 0.3 * size  # a torso is some 0.3 of a person's extent
    low, high = present.min(0) - radius, present.max(0) + radius
    near = ((points >= low) & (points <= high)).all(-1)
    if not near.any():
        return near
    ends = np.array([(COCO17.index(a), COCO17.index(b)) for a, b in _BONES])
    ends = ends[(confidence[ends] > 0).all(1)]
    start, way = joints_px[ends[:, 0]], joints_px[ends[:, 1]] - joints_px[ends[:, 0]]
    along = ((points[near][:, None] - start) * way).sum(-1) / np.maximum((way**2).sum(-1), 1e-9)
    gap = points[near][:, None] - start - np.clip(along, 0, 1)[..., None] * way
    near[near] = ((gap**2).sum(-1) < radius**2).any(-1)
    return near
