"""Chooses the camera of an image or video: given, from its metadata, or nominal by its size."""

from __future__ import annotations

from typing import Literal

from pose2mesh.errors import InputError
from pose2mesh.geometry.camera import Intrinsics, equivalent_intrinsics, nominal_intrinsics
from pose2mesh.pipelines.predict_options import AUTO, NOMINAL


def choose_intrinsics(
    option: Intrinsics | Literal["auto", "nominal"] | None,
    size: tuple[int, int] | None,
    focal_35mm: float | None,
    name: str,
) -> Intrinsics | None:
    """The camera of an image or video.

    Args:
        option: `PredictOptions.camera`.
        size: (width, height) in pixels of the keypoints, where it is known.
        focal_35mm: The 35 mm equivalent focal length in the metadata, where there is one.
        name: Name of the image, for the error.

    Returns:
        The intrinsics; None for weak perspective: no camera is wanted, or with `auto` the size is unknown.

    Raises:
        InputError: a nominal camera is requested, and the size is unknown.
    """
    if option != AUTO and option != NOMINAL:
        return option
    if size is None:
        if option == NOMINAL:
            raise InputError(
                f"--intrinsics {NOMINAL}: the size of the image {name!r} is unknown; give --image-size or --image"
            )
        return None
    if option == AUTO and focal_35mm is not None:
        return equivalent_intrinsics(focal_35mm, size, "metadata")
    return nominal_intrinsics(size)
