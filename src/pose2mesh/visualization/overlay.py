"""Overlays: meshes and joints drawn over an image, or over a blank canvas where there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from pose2mesh.errors import InputError
from pose2mesh.inference.person import Person
from pose2mesh.inference.predictor import Predictor
from pose2mesh.visualization import orthographic_views, renderer

LONGEST_OVERLAY_PX = 1600
_PLAIN_PX = 900  # longer side of the canvas where the image size is unknown


@dataclass(frozen=True)
class Canvas:
    """The image that an overlay is drawn on.

    Attributes:
        image: (H, W, 3).
        origin_px: (2,) top left corner of the canvas, in pixels of the keypoints.
        factor: (2,) canvas pixels per pixel of the keypoints, horizontally and vertically.
    """

    image: NDArray[np.uint8]
    origin_px: NDArray[np.floating]
    factor: NDArray[np.floating]

    def place(self, pixels: NDArray[np.floating]) -> NDArray[np.floating]:
        """Pixels (N, 2) of the keypoints → pixels of the canvas."""
        return (pixels - self.origin_px) * self.factor


def image_canvas(image: NDArray[np.uint8], size: tuple[int, int] | None) -> Canvas:
    """An image as a canvas of at most 1,600 pixels, for keypoints in an image of `size` (width, height)."""
    fitted, _ = renderer.fit_within(image, LONGEST_OVERLAY_PX)
    drawn_size = np.array(fitted.shape[1::-1], np.float64)
    return Canvas(fitted, np.zeros(2), drawn_size / np.array(size or image.shape[1::-1]))


def blank_canvas(people: list[Person], size: tuple[int, int] | None) -> Canvas:
    """A blank canvas: the whole image where its size is known, else a window around the people.

    Its size is bounded, however far apart the coordinates are.
    """
    origin, extent = np.zeros(2), np.array(size or (640, 480), np.float64)
    if size is None and people:
        joints = np.concatenate([person.joints_px[person.confidence > 0] for person in people]).astype(np.float64)
        low, high = joints.min(0), joints.max(0)
        margin = 0.25 * float((high - low).max())
        origin, extent = low - margin, high - low + 2 * margin
    factor = _PLAIN_PX / extent.max() if size is None else min(1.0, LONGEST_OVERLAY_PX / extent.max())
    width, height = (max(16, round(float(side))) for side in extent * factor)
    return Canvas(renderer.plain_canvas(height, width), origin, np.full(2, factor))


@dataclass(frozen=True)
class OverlayParts:
    """Elements of an overlay; the field names are the values of `--overlay`.

    Attributes:
        mesh, joints, confidences: Over the image: meshes, input joints, input joints with their confidences.
        side, top: Orthographic views beside the image.
    """

    mesh: bool = False
    joints: bool = False
    confidences: bool = False
    side: bool = False
    top: bool = False

    @classmethod
    def parse(cls, text: str) -> OverlayParts:
        """Parse names separated by commas.

        Raises:
            InputError: there is no name, or an unknown one.
        """
        names = [part.strip() for part in text.split(",") if part.strip()]
        possible = [field.name for field in fields(cls)]
        if not names or not set(names) <= set(possible):
            raise InputError(f"--overlay {text!r}: expected some of {', '.join(possible)}, separated by commas")
        return cls(**dict.fromkeys(names, True))


USUAL_PARTS = OverlayParts(mesh=True, joints=True)


def draw_overlay(
    canvas: Canvas,
    people: list[Person],
    predictor: Predictor,
    colours: Sequence[renderer.Colour] = renderer.PALETTE,
    parts: OverlayParts = USUAL_PARTS,
    extent: NDArray[np.floating] | None = None,
) -> NDArray[np.uint8]:
    """Draw people over a canvas, and their side and top views beside it.

    Args:
        canvas: Background; not modified.
        people: The people to draw.
        predictor: The model that recovered them.
        colours: Mesh colours; person i takes colour i, cyclically.
        parts: Elements to draw.
        extent: (2, 3) least and greatest coordinates that side and top views show; those of the people for None.

    Returns:
        An RGB image (H, W, 3).
    """
    image = draw_meshes(canvas, people, predictor, colours) if parts.mesh else canvas.image.copy()
    for person in people:
        joints = canvas.place(person.joints_px)
        if parts.joints or parts.confidences:
            image = renderer.draw_skeleton(image, joints, person.confidence, predictor.joint_set.edges)
        if parts.confidences:
            image = orthographic_views.draw_confidences(image, joints, person.confidence)
    extent = orthographic_views.extent_of(people) if extent is None else extent
    axes = [
        axes for axes, wanted in ((orthographic_views.SIDE, parts.side), (orthographic_views.TOP, parts.top)) if wanted
    ]
    beside = [orthographic_views.draw_view(people, predictor.faces, each, extent, len(image), colours) for each in axes]
    return np.concatenate([image, *beside], axis=1)


def draw_meshes(
    canvas: Canvas, people: list[Person], predictor: Predictor, colours: Sequence[renderer.Colour] = renderer.PALETTE
) -> NDArray[np.uint8]:
    """Draw the meshes of all people over a canvas; returns an RGB image (H, W, 3)."""
    meshes = [
        renderer.ProjectedMesh(
            canvas.place(person.camera.project(person.vertices)),
            person.vertices_camera[:, 2],
            person.vertices,
            predictor.faces,
        )
        for person in people
    ]
    return renderer.draw_people(canvas.image, meshes, colours)
