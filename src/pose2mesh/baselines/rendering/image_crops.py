"""Crops of people in real images, with the same window, size and padding as the rendered training crops."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from pose2mesh.baselines.observation import CROP_PX, Crops, Observation
from pose2mesh.baselines.rendering.appearance import PADDING_GREY
from pose2mesh.errors import InputError

_LARGEST_HALF_PX = 1024  # a larger window is cut from a downscaled image, to bound memory


def observe_joints(joints_px: Tensor, confidence: Tensor) -> Observation:
    """Observation that holds only 2D joints (P, J, 2), in pixels, and confidences (P, J)."""
    crops = Crops.around(joints_px, confidence)
    return Observation(crops.units(joints_px) * (confidence > 0)[..., None], confidence)


def crop_image(image: NDArray[np.uint8], joints_px: Tensor, confidence: Tensor) -> Observation:
    """Observation of the people in an image, with a crop of each; pixels outside the image are grey.

    Args:
        image: (H, W, 3) red, green and blue.
        joints_px: (P, J, 2) as detected, pixels.
        confidence: (P, J) in [0, 1]; 0 where missing.

    Raises:
        InputError: the image is not an (H, W, 3) array of uint8, or the joints have another shape or are not finite.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise InputError(f"image: an array {image.shape} of {image.dtype}; expected (H, W, 3) of uint8")
    if joints_px.ndim != 3 or joints_px.shape[2] != 2 or confidence.shape != joints_px.shape[:2]:
        raise InputError(
            f"joints: arrays {tuple(joints_px.shape)} and {tuple(confidence.shape)}; expected (P, J, 2) and (P, J)"
        )
    if not (joints_px.isfinite().all() and confidence.isfinite().all()):
        raise InputError("joints: a coordinate or confidence is not a finite number; missing joints have confidence 0")
    crops = Crops.around(joints_px, confidence)
    windows = [
        _window(image, centre, half)
        for centre, half in zip(crops.centre_px.tolist(), crops.half_px.tolist(), strict=True)
    ]
    stacked = np.stack(windows) if windows else np.zeros((0, CROP_PX, CROP_PX, 3), np.uint8)
    observation = observe_joints(joints_px, confidence)
    return Observation(observation.joints, confidence, torch.from_numpy(stacked).permute(0, 3, 1, 2).float() / 255)


def _window(image: NDArray[np.uint8], centre_px: list[float], half_px: float) -> NDArray[np.uint8]:
    """The window around a pixel, resampled to (CROP_PX, CROP_PX, 3) with an antialiasing filter."""
    reduced = max(1, int(half_px // _LARGEST_HALF_PX))
    source = Image.fromarray(image)
    if reduced > 1:
        source = source.reduce(reduced)
    half, (x, y) = half_px / reduced, (at / reduced for at in centre_px)
    # The canvas covers the window in whole pixels, plus a margin for the filter at its edge.
    margin = 2 + 2 * int(np.ceil(half / CROP_PX))
    left, top = int(np.floor(x - half)) - margin, int(np.floor(y - half)) - margin
    side = int(np.ceil(2 * half)) + 1 + 2 * margin
    canvas = Image.new("RGB", (side, side), (round(PADDING_GREY * 255),) * 3)
    canvas.paste(source, (-left, -top))
    box = (x - half - left, y - half - top, x + half - left, y + half - top)
    return np.asarray(canvas.resize((CROP_PX, CROP_PX), Image.Resampling.BILINEAR, box=box))
