"""Sampling weights of clip frames."""

from __future__ import annotations

import torch
from torch import Tensor

from pose2mesh.datasets.synthetic.frame_weights import pose_features, rarity_weights
from pose2mesh.datasets.synthetic.pose_tree import mirror
from pose2mesh.datasets.synthetic.procedural_poses import sample_procedural
from pose2mesh.geometry.rotations import axis_rotation


def clips() -> Tensor:
    """900 frames of nearly one pose, then 100 different ones."""
    poses = sample_procedural(101, torch.Generator().manual_seed(0))
    return torch.cat((poses[:1].expand(900, -1, -1, -1), poses[1:]))


def test_a_common_pose_counts_little() -> None:
    frames = clips()
    shares = [
        float(weights[:900].sum() / weights.sum()) for weights in (rarity_weights(frames, e) for e in (0.0, 0.5, 1.0))
    ]
    assert abs(shares[0] - 0.9) < 1e-4
    assert shares[0] > shares[1] + 0.2
    assert shares[1] > shares[2] + 0.05


def test_weights_are_bounded() -> None:
    weights = rarity_weights(clips(), 1.0)
    assert (weights > 0).all()
    assert weights.max() <= 30.001 * weights.median()


def test_many_frames_are_compared_with_some_of_them() -> None:
    frames = clips().repeat_interleave(13, dim=0)
    weights = rarity_weights(frames, 1.0)
    assert weights.shape == (13000,)
    few = rarity_weights(clips(), 1.0)
    torch.testing.assert_close(
        weights[: 13 * 900].sum() / weights.sum(), few[:900].sum() / few.sum(), atol=0.03, rtol=0
    )


def test_features_see_the_orientation_but_not_the_yaw() -> None:
    poses = sample_procedural(5, torch.Generator().manual_seed(1))
    features = pose_features(poses)
    assert features.shape == (5, 33)
    yawed = axis_rotation(2, torch.tensor(1.0)) @ poses
    torch.testing.assert_close(pose_features(yawed), features, atol=1e-5, rtol=0)
    lying = axis_rotation(0, torch.tensor(1.0)) @ poses
    assert (pose_features(lying) - features).norm(dim=1).min() > 0.8
    assert (pose_features(mirror(poses)) - features).norm(dim=1).min() > 0.1
