"""Chooses the camera of an image or video: given, from its metadata, or nominal by its size."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pose2mesh.errors import InputError
from pose2mesh.geometry.camera import Intrinsics, equivalent_intrinsics, nominal_intrinsics
from pose2mesh.pipelines.predict_options import AUTO, NOMINAL

# `PredictOptions.camera`: known intrinsics, a known 35 mm equivalent focal length, a way to choose them, or none.
CameraOption: TypeAlias = Intrinsics | float | Literal["auto", "nominal"] | None


def choose_intrinsics(
    option: CameraOption,
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
        InputError: a nominal camera or a focal length in mm is given, and the size is unknown.
    """
    if option is None or isinstance(option, Intrinsics):
        return option
    if size is None:
        if option == AUTO:
            return None
        shown = NOMINAL if option == NOMINAL else f"{option:g}mm"
        raise InputError(
            f"--intrinsics {shown}: the size of the image {name!r} is unknown; give --image-size or --image"
        )
    if isinstance(option, float):
        return equivalent_intrinsics(option, size, "given")
    if option == AUTO and focal_35mm is not None:
        return equivalent_intrinsics(focal_35mm, size, "metadata")
    return nominal_intrinsics(size)
