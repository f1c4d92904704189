"""Sampled finger poses: inside their limits, coupled, mirrored, and as different as hands are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from pose2mesh.body_models.bones import FINGER_BONES, FINGERS
from pose2mesh.body_models.finger_pose import mirror_fingers
from pose2mesh.datasets.synthetic.finger_retarget import template_fingers
from pose2mesh.datasets.synthetic.finger_sampling import (
    ARCHETYPES,
    angle_bounds,
    archetype_angles,
    finger_rotations,
    sample_fingers,
    sample_hand_angles,
)


def pose_of(name: str) -> Tensor:
    """(1, 30, 3, 3) an archetype on both hands."""
    angles = torch.tensor([archetype_angles(name)])
    return finger_rotations(angles, angles)


def points(fingers: Tensor, side: str = "Left") -> dict[str, np.ndarray]:
    """Joints and tip (4, 3) of each finger from the hand's head, in metres, of rotations (1, 30, 3, 3)."""
    out = {}
    for finger in FINGERS:
        head, *ways = template_fingers(side)[finger]
        first = FINGER_BONES.index(f"{side}Hand{finger}1")
        at = [head]
        for joint, way in enumerate(ways):
            at.append(at[-1] + fingers[0, first + joint].numpy() @ way)
        out[finger] = np.stack(at)
    return out


def bend_deg(above: np.ndarray, way: np.ndarray) -> float:
    cosine = above @ way / np.linalg.norm(above) / np.linalg.norm(way)
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def test_samples_are_rotations_inside_the_limits() -> None:
    generator = torch.Generator().manual_seed(0)
    fingers = sample_fingers(200, generator)
    assert fingers.shape == (200, 30, 3, 3)
    torch.testing.assert_close(fingers @ fingers.mT, torch.eye(3).expand_as(fingers), rtol=0, atol=1e-5)
    torch.testing.assert_close(torch.linalg.det(fingers), torch.ones(200, 30), rtol=0, atol=1e-5)
    angles, (low, high) = sample_hand_angles(2000, generator), angle_bounds()
    assert ((angles >= low) & (angles <= high)).all()
    assert (angles.std(0) > 2.5).all()


def test_the_same_state_gives_the_same_hands() -> None:
    one, other = (sample_fingers(5, torch.Generator().manual_seed(1)) for _ in range(2))
    torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_shares_sum_to_one_and_archetypes_keep_the_limits() -> None:
    assert sum(share for share, _, _ in ARCHETYPES.values()) == pytest.approx(1)
    low, high = angle_bounds()
    for name in ARCHETYPES:
        angles = torch.tensor(archetype_angles(name))
        assert angles.shape == (16,)
        assert ((angles >= low) & (angles <= high)).all(), name


def test_the_last_joint_follows_the_middle_one() -> None:
    for name in ("relaxed", "fist", "hook"):
        for finger, at in list(points(pose_of(name)).items())[1:]:
            first, second, third = np.diff(at, axis=0)
            assert bend_deg(second, third) == pytest.approx(2 / 3 * bend_deg(first, second), abs=4), (name, finger)


def test_right_hands_mirror_left_ones() -> None:
    left, right = (sample_hand_angles(10, torch.Generator().manual_seed(seed)) for seed in (0, 1))
    both = finger_rotations(left, right)
    torch.testing.assert_close(mirror_fingers(both), finger_rotations(right, left))
    one, other = points(both, "Left"), points(mirror_fingers(both), "Right")
    for finger in FINGERS:
        np.testing.assert_allclose(one[finger] * [-1, 1, 1], other[finger], atol=1e-6)


def test_archetypes_look_like_their_names() -> None:
    def reach(name: str, finger: str) -> float:
        return float(np.linalg.norm(points(pose_of(name))[finger][3]))

    for finger in FINGERS[1:]:
        assert reach("fist", finger) < 0.6 * reach("open", finger)
    assert reach("point", "Index") > 1.6 * reach("point", "Middle")
    assert reach("two", "Middle") > 1.6 * reach("two", "Ring")
    spread, flat = points(pose_of("spread")), points(pose_of("flat"))
    for one, other in (("Index", "Middle"), ("Middle", "Ring"), ("Ring", "Pinky")):
        across = flat["Pinky"][0] - flat["Index"][0]
        wide, narrow = ((at[other][3] - at[one][3]) @ across / np.linalg.norm(across) for at in (spread, flat))
        assert wide > narrow + 0.008, (one, other)
    pinch = points(pose_of("pinch"))
    assert np.linalg.norm(pinch["Thumb"][3] - pinch["Index"][3]) < 0.03
    fist = points(pose_of("fist"))
    assert np.linalg.norm(fist["Thumb"][3] - fist["Middle"][1:3].mean(0)) < 0.03
    assert np.linalg.norm(points(pose_of("thumb up"))["Thumb"][3] - fist["Index"][1]) > 0.05


def test_half_of_the_hands_are_alike() -> None:
    fingers = sample_fingers(2000, torch.Generator().manual_seed(0))
    apart = (fingers - mirror_fingers(fingers)).square().sum((1, 2, 3)).sqrt()
    assert 0.4 < (apart < 4).float().mean() < 0.75
    assert apart.max() > 6
