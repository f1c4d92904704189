"""People drawn over a photo, or over a plain canvas where there is none."""

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
_PLAIN_PX = 900  # longer side of the canvas where nothing says how large the picture was


@dataclass(frozen=True)
class Ground:
    """What an overlay is drawn on.

    Attributes:
        picture: (H, W, 3).
        origin_px: (2,) its top left corner, in the pixels of the keypoints.
        factor: (2,) its pixels for each of theirs, across and down.
    """

    picture: NDArray[np.uint8]
    origin_px: NDArray[np.floating]
    factor: NDArray[np.floating]

    def place(self, pixels: NDArray[np.floating]) -> NDArray[np.floating]:
        """Pixels (N, 2) of the keypoints → pixels of the ground."""
        return (pixels - self.origin_px) * self.factor


def photo_ground(photo: NDArray[np.uint8], size: tuple[int, int] | None) -> Ground:
    """A photo, at most 1,600 pixels on its longer side, for keypoints in a picture of `size` (width, height)."""
    picture, _ = renderer.fit_within(photo, LONGEST_OVERLAY_PX)
    shown = np.array(picture.shape[1::-1], np.float64)
    return Ground(picture, np.zeros(2), shown / np.array(size or photo.shape[1::-1]))


def plain_ground(people: list[Person], size: tuple[int, int] | None) -> Ground:
    """A plain canvas: the whole picture where its size is known, else a window around the people.

    It is never larger than an overlay may be, however far apart the coordinates are.
    """
    origin, extent = np.zeros(2), np.array(size or (640, 480), np.float64)
    if size is None and people:
        joints = np.concatenate([person.joints_px[person.confidence > 0] for person in people]).astype(np.float64)
        low, high = joints.min(0), joints.max(0)
        margin = 0.25 * float((high - low).max())
        origin, extent = low - margin, high - low + 2 * margin
    factor = _PLAIN_PX / extent.max() if size is None else min(1.0, LONGEST_OVERLAY_PX / extent.max())
    width, height = (max(16, round(float(side))) for side in extent * factor)
    return Ground(renderer.plain_canvas(height, width), origin, np.full(2, factor))


@dataclass(frozen=True)
class OverlayParts:
    """What an overlay shows; the fields are what `--overlay` takes.

    Attributes:
        mesh, joints, confidences: Over the picture: bodies, input joints, these with their confidences.
        side, top: Views beside the picture.
    """

    mesh: bool = False
    joints: bool = False
    confidences: bool = False
    side: bool = False
    top: bool = False

    @classmethod
    def parse(cls, text: str) -> OverlayParts:
        """From names separated by commas.

        Raises:
            InputError: no name, or one that is none of the fields.
        """
        names = [part.strip() for part in text.split(",") if part.strip()]
        possible = [field.name for field in fields(cls)]
        if not names or not set(names) <= set(possible):
            raise InputError(f"--overlay {text!r}: expected some of {', '.join(possible)}, separated by commas")
        return cls(**dict.fromkeys(names, True))


USUAL_PARTS = OverlayParts(mesh=True, joints=True)


def draw_overlay(
    ground: Ground,
    people: list[Person],
    recovery: Predictor,
    colours: Sequence[renderer.Colour] = renderer.PALETTE,
    parts: OverlayParts = USUAL_PARTS,
    extent: NDArray[np.floating] | None = None,
) -> NDArray[np.uint8]:
    """People over a picture, and seen from elsewhere beside it.

    Args:
        ground: The picture.
        people: Whom.
        recovery: The model that recovered them.
        colours: Of the meshes; person i takes colour i, from the start again.
        parts: What to draw.
        extent: (2, 3) of the room that side and top views show; None for the people's own.
    """
    picture = draw_meshes(ground, people, recovery, colours) if parts.mesh else ground.picture.copy()
    for person in people:
        joints = ground.place(person.joints_px)
        if parts.joints or parts.confidences:
            picture = renderer.draw_skeleton(picture, joints, person.confidence, recovery.joint_set.edges)
        if parts.confidences:
            picture = orthographic_views.draw_confidences(picture, joints, person.confidence)
    extent = orthographic_views.extent_of(people) if extent is None else extent
    axes = [
        axes for axes, wanted in ((orthographic_views.SIDE, parts.side), (orthographic_views.TOP, parts.top)) if wanted
    ]
    beside = [
        orthographic_views.draw_view(people, recovery.faces, each, extent, len(picture), colours) for each in axes
    ]
    return np.concatenate([picture, *beside], axis=1)


def draw_meshes(
    ground: Ground, people: list[Person], recovery: Predictor, colours: Sequence[renderer.Colour] = renderer.PALETTE
) -> NDArray[np.uint8]:
    """Everyone's mesh over a picture."""
    meshes = [
        renderer.ProjectedMesh(
            ground.place(person.camera.project(person.vertices)),
            person.vertices_camera[:, 2],
            person.vertices,
            recovery.faces,
        )
        for person in people
    ]
    return renderer.draw_people(ground.picture, meshes, colours)
