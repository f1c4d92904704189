"""People drawn over a photo, or over a plain canvas where there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pose2mesh import render
from pose2mesh.predict import Person, Recovery

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
    picture, _ = render.fit_within(photo, LONGEST_OVERLAY_PX)
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
    return Ground(render.plain_canvas(height, width), origin, np.full(2, factor))


def draw_overlay(
    ground: Ground, people: list[Person], recovery: Recovery, colours: Sequence[render.Colour] = render.PALETTE
) -> NDArray[np.uint8]:
    """Everyone's mesh and input joints over a picture, the meshes in the colours given, from the first again."""
    meshes = [
        render.ProjectedMesh(
            ground.place(person.camera.project(person.vertices)),
            person.vertices_camera[:, 2],
            person.vertices,
            recovery.faces,
        )
        for person in people
    ]
    picture = render.draw_people(ground.picture, meshes, colours)
    for person in people:
        joints = ground.place(person.joints_px)
        picture = render.draw_skeleton(picture, joints, person.confidence, recovery.joint_set.edges)
    return picture
