"""3D joints that a detector estimated from the image, checked and converted to the joint set of a model."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pose2mesh.errors import InputError
from pose2mesh.skeletons import JointSet, convert


def split_joints3d(joints3d_m: ArrayLike, pixels: NDArray[np.floating]) -> NDArray[np.float32]:
    """3D joints (P, J, 3) from the array that `Predictor.recover` takes beside pixels (P, J, 2).

    Raises:
        InputError: another shape, or no numbers.
    """
    try:
        array = np.asarray(joints3d_m, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"joints3d_m are not an array of numbers ({error})") from error
    array = array[None] if array.ndim == 2 else array
    if array.shape != (*pixels.shape[:2], 3):
        raise InputError(f"joints3d_m have shape {array.shape}, expected {(*pixels.shape[:2], 3)}")
    return array


def convert_joints3d(
    joints3d_m: NDArray[np.floating], source: tuple[str, ...], joint_set: JointSet
) -> NDArray[np.float32]:
    """3D joints (…, J, 3) in the order `source`, NaN where missing, in the order of `joint_set`."""
    present = np.isfinite(joints3d_m).all(-1)
    joints, found = convert(np.where(present[..., None], joints3d_m, 0), present.astype(np.float32), source, joint_set)
    joints[found <= 0] = np.nan
    return joints
