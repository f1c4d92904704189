"""Limbs of several frames, and perturbations with heavy tails."""

from __future__ import annotations

import torch

from pose2mesh.body_models.bones import BODY_BONES
from pose2mesh.datasets.synthetic.pose_augmentation import bone_frames, perturbation

PICKED = torch.tensor([[10, 11, 12, 13, 14]])


def frames_of(*, recombined: bool, mixed: bool) -> dict[str, int]:
    source = bone_frames(PICKED, torch.tensor([recombined]), torch.tensor([mixed]))
    return dict(zip(BODY_BONES, source[0].tolist(), strict=True))


def test_each_limb_has_its_frame() -> None:
    source = frames_of(recombined=False, mixed=True)
    assert {source[name] for name in ("Hips", "Spine", "Spine2", "Neck", "Head")} == {10}
    for side, leg, arm in (("Left", 11, 12), ("Right", 13, 14)):
        assert {source[side + name] for name in ("UpLeg", "Leg", "Foot", "ToeBase")} == {leg}
        assert {source[side + name] for name in ("Shoulder", "Arm", "ForeArm", "Hand")} == {arm}
    assert set(frames_of(recombined=False, mixed=False).values()) == {10}


def test_halves() -> None:
    source = frames_of(recombined=True, mixed=False)
    assert {source[name] for name in ("Hips", "LeftUpLeg", "RightFoot")} == {10}
    assert {source[name] for name in ("Spine", "Head", "LeftArm", "RightHand")} == {11}


def angles(tails: bool) -> torch.Tensor:
    turns = perturbation(2000, 0.05, torch.full((2000,), tails), torch.Generator().manual_seed(0))
    torch.testing.assert_close(turns @ turns.mT, torch.eye(3).expand_as(turns), atol=1e-5, rtol=0)
    return torch.arccos(((turns.diagonal(dim1=2, dim2=3).sum(-1) - 1) / 2).clamp(-1, 1)).flatten()


def test_tails_are_heavy_and_the_middle_is_alike() -> None:
    plain, heavy = angles(False), angles(True)
    torch.testing.assert_close(plain.mean(), torch.tensor(0.05 * (8 / torch.pi) ** 0.5), atol=0.002, rtol=0)
    assert 1.0 < heavy.median() / plain.median() < 1.3
    assert heavy.quantile(0.99) > 1.8 * plain.quantile(0.99)
    assert heavy.quantile(0.999) > 2.2 * plain.quantile(0.999)
    assert heavy.max() < 1.5
