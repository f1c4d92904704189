"""Crops of real images use the same window as rendered ones: a dot at a joint lands at its crop coordinates."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pose2mesh.baselines.observation import CROP_PX, Crops
from pose2mesh.baselines.rendering.image_crops import crop_image, observe_joints
from pose2mesh.errors import InputError


def person(x: float, y: float, reach: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Joints at the ends of a cross."""
    ends = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    return (torch.tensor([x, y]) + reach * ends)[None], torch.ones(1, 4)


@pytest.mark.parametrize(
    ("window", "place"),
    [
        ((150.0, 110.0, 60.0), (160.0, 120.0)),
        ((20.3, 30.8, 90.0), (40.0, 50.0)),
        ((300.0, 200.0, 25.5), (310.0, 190.0)),
    ],
)
def test_a_dot_lands_at_its_crop_coordinates(window: tuple[float, float, float], place: tuple[float, float]) -> None:
    joints, confidence = person(*window)
    crops = Crops.around(joints, confidence)
    spread = 1.5 * float(crops.half_px[0]) * 2 / CROP_PX
    row, column = np.mgrid[:300, :400] + 0.5
    spot = np.exp(-0.5 * ((column - place[0]) ** 2 + (row - place[1]) ** 2) / spread**2)
    image = np.repeat((255 * spot).astype(np.uint8)[..., None], 3, axis=2)
    observation = crop_image(image, joints, confidence)
    assert observation.images is not None
    across, down = ((crops.units(torch.tensor([[place]]))[0, 0] + 1) * (CROP_PX / 2)).tolist()
    left, top = int(across) - 8, int(down) - 8
    near = observation.images[0, 0, top : top + 17, left : left + 17]
    middle = torch.arange(17) + 0.5
    assert abs(float((near.sum(0) * middle).sum() / near.sum()) + left - across) < 0.2
    assert abs(float((near.sum(1) * middle).sum() / near.sum()) + top - down) < 0.2


def test_a_window_much_larger_than_the_image() -> None:
    joints, confidence = person(200.0, 150.0, 5000.0)
    image = np.full((300, 400, 3), 255, np.uint8)
    observation = crop_image(image, joints, confidence)
    assert observation.images is not None
    bright = (observation.images[0].amin(0) > 0.6).nonzero()
    assert 4 <= len(bright) <= 16  # 4 × 3 pixels of 102
    assert ((bright.float().mean(0) + 0.5 - CROP_PX / 2).abs() < 1).all()


def test_grey_beyond_the_border() -> None:
    joints, confidence = person(10.0, 100.0, 80.0)
    observation = crop_image(np.zeros((200, 200, 3), np.uint8), joints, confidence)
    assert observation.images is not None
    grey = (observation.images[0] - 0.5).abs().amax(0) < 0.01
    border = CROP_PX // 2 - round(10 / 104 * CROP_PX / 2)
    assert grey[:, : border - 1].all()
    assert not grey[8:-8, border + 1 :].any()


def test_detail_is_averaged_not_skipped() -> None:
    """A fine chequerboard in a large image becomes uniform grey."""
    image = np.zeros((1200, 1200, 3), np.uint8)
    image[::2, ::2] = image[1::2, 1::2] = 255
    joints, confidence = person(600.0, 600.0, 400.0)
    observation = crop_image(image, joints, confidence)
    assert observation.images is not None
    assert observation.images.std() < 0.03


def test_joints_in_units_of_the_crop() -> None:
    joints, confidence = person(100.0, 50.0, 40.0)
    confidence[0, 3] = 0
    observation = observe_joints(joints, confidence)
    assert (observation.joints[0, 3] == 0).all()
    assert observation.joints.abs().max() < 1
    assert crop_image(np.zeros((9, 9, 3), np.uint8), joints[:0], confidence[:0]).images.shape == (
        0,
        3,
        CROP_PX,
        CROP_PX,
    )


@pytest.mark.parametrize(
    ("image", "joints", "message"),
    [
        (np.zeros((9, 9), np.uint8), (1, 4, 2), r"expected \(H, W, 3\) of uint8"),
        (np.zeros((9, 9, 3), np.float32), (1, 4, 2), r"expected \(H, W, 3\) of uint8"),
        (np.zeros((9, 9, 3), np.uint8), (4, 2), r"expected \(P, J, 2\)"),
        (np.zeros((9, 9, 3), np.uint8), (1, 5, 2), r"expected \(P, J, 2\)"),
    ],
)
def test_bad_input(image: np.ndarray, joints: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        crop_image(image, torch.zeros(joints), torch.ones(1, 4))


def test_joints_that_are_not_finite() -> None:
    joints, confidence = person(10.0, 10.0, 5.0)
    joints[0, 1, 0] = torch.nan
    with pytest.raises(InputError, match="not a finite number"):
        crop_image(np.zeros((20, 20, 3), np.uint8), joints, confidence)
