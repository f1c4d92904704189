"""Crops of people in real photos: the same windows, sizes and greys as of drawn people."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from pose2mesh.baselines.observation import CROP_PX, Crops, Observation
from pose2mesh.baselines.rendering.appearance import BEYOND
from pose2mesh.errors import InputError

_LARGEST_HALF_PX = 1024  # a larger window is cut from a reduced photo, to bound the memory


def seen_of_joints(joints_px: Tensor, confidence: Tensor) -> Observation:
    """People of whom only 2D joints (P, J, 2) in pixels and confidences (P, J) are known."""
    crops = Crops.around(joints_px, confidence)
    return Observation(crops.units(joints_px) * (confidence > 0)[..., None], confidence)


def crops_of(photo: NDArray[np.uint8], joints_px: Tensor, confidence: Tensor) -> Observation:
    """People in a photo, with their pictures; what lies beyond the photo's border is grey.

    Args:
        photo: (H, W, 3) red, green and blue.
        joints_px: (P, J, 2) as detected, pixels.
        confidence: (P, J) in [0, 1]; 0 where missing.

    Raises:
        InputError: the photo is not an 8-bit picture of three colours, or the joints are not finite ones of people.
    """
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3:
        raise InputError(f"photo: an array {photo.shape} of {photo.dtype}; expected (H, W, 3) of uint8")
    if joints_px.ndim != 3 or joints_px.shape[2] != 2 or confidence.shape != joints_px.shape[:2]:
        raise InputError(
            f"joints: arrays {tuple(joints_px.shape)} and {tuple(confidence.shape)}; expected (P, J, 2) and (P, J)"
        )
    if not (joints_px.isfinite().all() and confidence.isfinite().all()):
        raise InputError("joints: a coordinate or confidence is not a finite number; missing joints have confidence 0")
    crops = Crops.around(joints_px, confidence)
    pictures = [
        _window(photo, centre, half)
        for centre, half in zip(crops.centre_px.tolist(), crops.half_px.tolist(), strict=True)
    ]
    stacked = np.stack(pictures) if pictures else np.zeros((0, CROP_PX, CROP_PX, 3), np.uint8)
    seen = seen_of_joints(joints_px, confidence)
    return Observation(seen.joints, confidence, torch.from_numpy(stacked).permute(0, 3, 1, 2).float() / 255)


def _window(photo: NDArray[np.uint8], centre_px: list[float], half_px: float) -> NDArray[np.uint8]:
    """(CROP_PX, CROP_PX, 3): the window around a pixel, each of its pixels a weighted mean of those it covers."""
    reduced = max(1, int(half_px // _LARGEST_HALF_PX))
    image = Image.fromarray(photo)
    if reduced > 1:
        image = image.reduce(reduced)
    half, (x, y) = half_px / reduced, (at / reduced for at in centre_px)
    # Whole pixels around the window, and a few more for the filter at its edge.
    margin = 2 + 2 * int(np.ceil(half / CROP_PX))
    left, top = int(np.floor(x - half)) - margin, int(np.floor(y - half)) - margin
    side = int(np.ceil(2 * half)) + 1 + 2 * margin
    canvas = Image.new("RGB", (side, side), (round(BEYOND * 255),) * 3)
    canvas.paste(image, (-left, -top))
    box = (x - half - left, y - half - top, x + half - left, y + half - top)
    return np.asarray(canvas.resize((CROP_PX, CROP_PX), Image.Resampling.BILINEAR, box=box))
