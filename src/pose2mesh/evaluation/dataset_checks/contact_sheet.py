"""Contact sheet of samples of a data set: the image if available, labelled joints, and the mesh of the fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pose2mesh.errors import InputError
from pose2mesh.io.images import read_image
from pose2mesh.skeletons import JOINT_SETS
from pose2mesh.visualization import renderer

TILE_PX = 260
_MARGIN = 0.15
_JOINT_COLOUR = (214, 60, 40)


@dataclass(frozen=True)
class SheetSample:
    """One sample of a sheet.

    Attributes:
        caption: One line below the tile.
        joints_px: (J, 3) labelled x, y and visibility.
        names: Names of the `J` joints.
        image_file: The image file; None if there is none.
        size: Width and height of the image according to the data set; (0, 0) if unknown.
        mesh: The body projected into the image; None without a body or a camera.
    """

    caption: str
    joints_px: NDArray[np.floating]
    names: tuple[str, ...]
    image_file: Path | None
    size: tuple[int, int]
    mesh: renderer.ProjectedMesh | None


def write_sheet(path: Path, people: Sequence[SheetSample], columns: int = 6) -> None:
    """Draw samples in rows and write the sheet to a PNG file.

    Raises:
        InputError: the file cannot be written.
    """
    tiles = [draw_tile(person) for person in people]
    sheet = renderer.contact_sheet(tiles, [person.caption for person in people], columns, (TILE_PX, TILE_PX))
    renderer.save_image(path, sheet)


def draw_tile(person: SheetSample) -> renderer.RGBImage:
    """Tile (TILE_PX, TILE_PX, 3): the square around a person, the mesh half transparent under the joints."""
    corners = [person.joints_px[person.joints_px[:, 2] > 0, :2]]
    if person.mesh is not None:
        corners.append(person.mesh.vertices_px[np.isfinite(person.mesh.vertices_px).all(1)])
    points = np.concatenate(corners) if any(len(part) for part in corners) else np.zeros((1, 2))
    low, high = points.min(0), points.max(0)
    side = max(float((high - low).max()), 2.0) * (1 + 2 * _MARGIN)
    origin, scale = (low + high) / 2 - side / 2, TILE_PX / side
    tile = _background(person, origin, side)
    if person.mesh is not None:
        mesh = person.mesh
        placed = renderer.ProjectedMesh(
            (mesh.vertices_px - origin) * scale, mesh.depth_m, mesh.vertices_cam, mesh.faces
        )
        tile = renderer.draw_people(tile, [placed], alpha=0.6)
    joints = (person.joints_px[:, :2] - origin) * scale
    return renderer.draw_skeleton(tile, joints, person.joints_px[:, 2], _edges(person.names), _JOINT_COLOUR)


def _background(person: SheetSample, origin: NDArray[np.floating], side: float) -> renderer.RGBImage:
    """The square of the image, grey beyond its border; a plain canvas if it cannot be read."""
    if person.image_file is None:
        return renderer.plain_canvas(TILE_PX, TILE_PX)
    from PIL import Image

    try:
        image = Image.fromarray(read_image(person.image_file, person.size if all(person.size) else None))
    except InputError:
        return renderer.plain_canvas(TILE_PX, TILE_PX)
    # The image may be a scaled copy of the labelled one.
    factor = np.array(image.size) / np.array(person.size if all(person.size) else image.size)
    (left, top), (right, bottom) = origin * factor, (origin + side) * factor
    matrix = ((right - left) / TILE_PX, 0, left, 0, (bottom - top) / TILE_PX, top)
    crop = image.transform((TILE_PX, TILE_PX), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    return np.array(crop)


def _edges(names: tuple[str, ...]) -> list[tuple[int, int]]:
    """Bones between joints of these names, from the joint set with the most names in common."""
    nearest = max(JOINT_SETS.values(), key=lambda joint_set: len(set(names) & set(joint_set.names)))
    return [(names.index(a), names.index(b)) for a, b in nearest.bones if a in names and b in names]
