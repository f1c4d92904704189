"""Renders meshes and skeletons on the CPU, without OpenGL: a z-buffer, shading over images, contact sheets.

Convention: pixels with the origin at the top left corner of the image, so the centre of the first pixel is (0.5, 0.5)
and a change of size is a plain factor; camera frame x right, y down, z forward; colours are 8-bit sRGB.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pose2mesh.io.mesh_files import atomic_write, vertex_normals

Floats: TypeAlias = NDArray[np.floating]
Integers: TypeAlias = NDArray[np.integer]
RGBImage: TypeAlias = NDArray[np.uint8]
Colour: TypeAlias = tuple[int, int, int]

# Okabe and Ito's palette (jfly.uni-koeln.de/color), which colour-blind people tell apart, without black.
PALETTE: tuple[Colour, ...] = (
    (86, 180, 233), (230, 159, 0), (0, 158, 115), (204, 121, 167), (240, 228, 66), (0, 114, 178), (213, 94, 0),
)  # fmt: skip

# Vertices are snapped to 1/256 px, as GPUs do, so that the edge tests are exact in integers: two faces that share an
# edge leave no gap and cover no pixel twice.
_SUBPIXELS = 256
# A face that reaches farther out than this almost touches the camera; the bound keeps the integers under 2^63.
_FARTHEST_PX = 2.0**17
# Spans are computed for about this many bounding-box pixels at once, to bound the memory of a close-up.
_CHUNK_PX = 2_000_000
_SUPERSAMPLED_PX = 1_000_000
_HEAD_LIGHT = np.array([0.0, 0.0, -1.0])
_KEY_LIGHT = np.array([-0.5, -0.7, -0.5]) / np.linalg.norm([-0.5, -0.7, -0.5])


@dataclass(frozen=True)
class Raster:
    """The visible face at every pixel.

    Attributes:
        face_index: (H, W) the face in front, −1 for none.
        pixels: (N,) flat indices of the covered pixels.
        barycentric: (N, 3) weights of that face's corners there, corrected for perspective.
    """

    face_index: NDArray[np.int32]
    pixels: Integers
    barycentric: Floats


@dataclass(frozen=True)
class ProjectedMesh:
    """A person's mesh, projected into the image.

    Attributes:
        vertices_px: (V, 2) pixels.
        depth_m: (V,) distance along the optical axis, metres.
        vertices_cam: (V, 3) metres, for the normals only: root-relative suffices.
        faces: (F, 3), outward faces counter-clockwise.
    """

    vertices_px: Floats
    depth_m: Floats
    vertices_cam: Floats
    faces: Integers


def rasterise(vertices_px: Floats, depth_m: Floats, faces: Integers, height: int, width: int) -> Raster:
    """Find the face in front at every pixel centre: a z-buffer over exact scanline spans.

    Faces are clipped to the image. Back faces are culled; so are faces with a corner behind the camera (depth ≤ 0),
    not finite, or more than 131,072 px away.

    Args:
        vertices_px: (V, 2).
        depth_m: (V,).
        faces: (F, 3), outward faces counter-clockwise seen from outside.
        height: Rows of the image.
        width: Columns of the image.
    """
    triangles = _visible_triangles(vertices_px, depth_m, faces, height, width)
    # 1/z is linear in the image (z is not): a plane per face; the greatest value is in front.
    area = triangles.area[:, None]
    plane = [
        np.einsum("nk,nk->n", edge / area, triangles.inverse_depth)
        for edge in (triangles.step_x, triangles.step_y, triangles.offset)
    ]
    nearest = np.zeros(height * width)
    winner = np.full(height * width, -1, np.int32)
    for triangle, row, column in _covered_pixels(triangles, height, width):
        inverse = plane[0][triangle] * column + (plane[1][triangle] * row + plane[2][triangle])
        pixel = row * width + column
        np.maximum.at(nearest, pixel, inverse)
        front = inverse == nearest[pixel]
        winner[pixel[front]] = triangle[front]
    pixels = np.flatnonzero(winner >= 0)
    row, column, triangle = pixels // width, pixels % width, winner[pixels]
    weights = triangles.step_x[triangle] * column[:, None] + triangles.step_y[triangle] * row[:, None]
    weights = (weights + triangles.offset[triangle]) * triangles.inverse_depth[triangle]
    barycentric = weights / weights.sum(axis=1, keepdims=True)
    winner[pixels] = triangles.face[triangle]
    return Raster(winner.reshape(height, width), pixels, barycentric.astype(np.float32)[:, [0, 2, 1]])


class _Triangles(NamedTuple):
    """The T visible faces, corners clockwise in the image (order 0, 2, 1), in integers of 1/256 px.

    The edge function opposite corner k is `step_x[k] · column + step_y[k] · row + offset[k]` at a pixel centre. It is
    positive inside and the doubled area of a part of the triangle, hence the barycentric weight, too (Pineda 1988).
    """

    face: Integers  # (T,) index of the face
    step_x: Integers  # (T, 3)
    step_y: Integers  # (T, 3)
    offset: Integers  # (T, 3)
    bias: Integers  # (T, 3) 0 where pixel centres on the edge belong to the face, else 1
    area: Integers  # (T,) doubled
    inverse_depth: Floats  # (T, 3)
    low: Integers  # (T, 2) first column and row of the bounding box, within the image
    high: Integers  # (T, 2) last


def _visible_triangles(
    vertices_px: Floats,
    depth_m: Floats,
    faces: Integers,
    height: int,
    width: int,
) -> _Triangles:
    usable = np.isfinite(depth_m) & (depth_m > 0) & (np.abs(vertices_px) < _FARTHEST_PX).all(axis=1)
    # Minus half a pixel: the centre of pixel k is then at k · 256.
    fixed = np.rint((np.where(usable[:, None], vertices_px, 0.0) - 0.5) * _SUBPIXELS).astype(np.int64)
    corner = fixed[faces]
    first, second = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]
    # Right × down = forward, so the cross product in pixels has the sign of the outward normal's z: negative faces us.
    area = -(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0])
    low = np.maximum(-(-corner.min(axis=1) // _SUBPIXELS), 0)
    high = np.minimum(corner.max(axis=1) // _SUBPIXELS, (width - 1, height - 1))
    face = np.flatnonzero((area > 0) & (low <= high).all(axis=1) & usable[faces].all(axis=1))
    corner = corner[face][:, [0, 2, 1]]
    start, along = corner[:, [1, 2, 0]], corner[:, [2, 0, 1]] - corner[:, [1, 2, 0]]
    x, y = along[..., 0], along[..., 1]
    return _Triangles(
        face=face,
        step_x=-y * _SUBPIXELS,
        step_y=x * _SUBPIXELS,
        offset=y * start[..., 0] - x * start[..., 1],
        # The two faces at an edge run along it in opposite directions: one of them has the centres on it.
        bias=np.where((y < 0) | ((y == 0) & (x > 0)), 0, 1),
        area=area[face],
        inverse_depth=1.0 / depth_m[faces[face]][:, [0, 2, 1]],
        low=low[face],
        high=high[face],
    )


def _covered_pixels(triangles: _Triangles, height: int, width: int) -> Iterator[tuple[Integers, Integers, Integers]]:
    """All (triangle, row, column) where a pixel centre lies in a triangle, in chunks of bounded size."""
    size = triangles.high - triangles.low + 1
    chunk = np.cumsum(size[:, 0] * size[:, 1]) // _CHUNK_PX
    for members in np.split(np.arange(len(chunk)), np.flatnonzero(np.diff(chunk)) + 1):
        which, step = _expand(size[members, 1])
        triangle = members[which]
        row = triangles.low[triangle, 1] + step
        left, right = triangles.low[triangle, 0], triangles.high[triangle, 0]
        for k in range(3):
            slope = triangles.step_x[triangle, k]
            value = triangles.step_y[triangle, k] * row + (triangles.offset[triangle, k] - triangles.bias[triangle, k])
            # slope · column + value ≥ 0, solved for whole columns; a flat edge takes all of the row or nothing.
            bound = value // np.maximum(np.abs(slope), 1)
            left = np.where(slope > 0, np.maximum(left, -bound), left)
            right = np.where(slope < 0, np.minimum(right, bound), right)
            right = np.where((slope == 0) & (value < 0), -1, right)
        which, step = _expand(np.maximum(right - left + 1, 0))
        yield triangle[which], row[which], left[which] + step


def _expand(counts: Integers) -> tuple[Integers, Integers]:
    """For groups of `counts[i]` elements: the group of every element, and its index from 0 within the group."""
    which = np.repeat(np.arange(len(counts)), counts)
    starts = np.cumsum(counts) - counts
    return which, np.arange(len(which)) - starts[which]


def silhouette(vertices_px: Floats, depth_m: Floats, faces: Integers, height: int, width: int) -> NDArray[np.bool_]:
    """The mask (H, W) of a mesh: arguments as in `rasterise`."""
    return rasterise(vertices_px, depth_m, faces, height, width).face_index >= 0


def render_mesh(
    canvas: RGBImage,
    vertices_px: Floats,
    depth_m: Floats,
    vertices_cam: Floats,
    faces: Integers,
    colour: Colour = PALETTE[0],
    alpha: float = 0.9,
) -> RGBImage:
    """Draw one shaded mesh over an image: `draw_people` for one person, with the fields of `ProjectedMesh`."""
    return draw_people(canvas, [ProjectedMesh(vertices_px, depth_m, vertices_cam, faces)], [colour], alpha)


def draw_people(
    canvas: RGBImage,
    people: Sequence[ProjectedMesh],
    colours: Sequence[Colour] = PALETTE,
    alpha: float = 0.9,
) -> RGBImage:
    """Draw shaded meshes over an image.

    The people share one z-buffer, so that occlusion is resolved per pixel, also where arms cross.

    Args:
        canvas: (H, W, 3), not changed.
        people: The meshes, in any order.
        colours: Person i takes colour i, cyclically.
        alpha: Opacity of the meshes.

    Returns:
        A new image (H, W, 3).
    """
    out = canvas.copy()
    box = _bounding_box(people, *canvas.shape[:2])
    if box is None:
        return out
    left, top, right, bottom = box
    height, width = bottom - top, right - left
    # Twice the resolution smooths the outlines; a close-up in a large image is not supersampled, for speed.
    factor = 2 if height * width <= _SUPERSAMPLED_PX else 1
    starts = np.cumsum([0] + [len(person.depth_m) for person in people[:-1]])
    faces = np.concatenate([person.faces + start for person, start in zip(people, starts, strict=True)])
    raster = rasterise(
        (np.concatenate([person.vertices_px for person in people]) - (left, top)) * factor,
        np.concatenate([person.depth_m for person in people]),
        faces,
        height * factor,
        width * factor,
    )
    face = raster.face_index.ravel()[raster.pixels]
    normals = np.concatenate([vertex_normals(person.vertices_cam, person.faces) for person in people])
    owner = np.repeat(np.arange(len(people)) % len(colours), [len(person.faces) for person in people])[face]
    # The normal is interpolated within the face (Phong 1975).
    diffuse, highlight = _brightness(np.einsum("nk,nkc->nc", raster.barycentric, normals[faces[face]]))

    # Every pixel takes the mean of its samples; the uncovered share keeps the image.
    row, column = np.divmod(raster.pixels, width * factor)
    target = row // factor * width + column // factor
    share = alpha / factor**2
    region = out[top:bottom, left:right]
    kept = 1.0 - share * np.bincount(target, minlength=height * width).reshape(height, width)
    for channel in range(3):
        value = np.minimum(np.asarray(colours, np.float32)[owner, channel] * diffuse + highlight, 255.0)
        added = share * np.bincount(target, weights=value, minlength=height * width).reshape(height, width)
        region[..., channel] = np.rint(region[..., channel] * kept + added)
    return out


def _bounding_box(people: Sequence[ProjectedMesh], height: int, width: int) -> tuple[int, int, int, int] | None:
    """The (left, top, right, bottom) of the part of the image that the meshes can cover, or None for nothing."""
    corners = [
        person.vertices_px[np.isfinite(person.vertices_px).all(axis=1) & (person.depth_m > 0)] for person in people
    ]
    px = np.concatenate([*corners, np.empty((0, 2))])
    if len(px) == 0:
        return None
    left, top = np.clip(np.floor(px.min(axis=0)), 0, (width, height)).astype(int).tolist()
    right, bottom = np.clip(np.ceil(px.max(axis=0)), 0, (width, height)).astype(int).tolist()
    return (left, top, right, bottom) if left < right and top < bottom else None


def _brightness(normals: Floats) -> tuple[Floats, Floats]:
    """Diffuse light (N,) by Lambert's law, and highlights (N,), on surfaces with normals (N, 3) in the camera frame."""
    unit = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    head, key = np.maximum(unit @ _HEAD_LIGHT, 0.0), np.maximum(unit @ _KEY_LIGHT, 0.0)
    halfway = (_HEAD_LIGHT + _KEY_LIGHT) / np.linalg.norm(_HEAD_LIGHT + _KEY_LIGHT)
    return 0.22 + 0.42 * head + 0.48 * key, 30.0 * np.maximum(unit @ halfway, 0.0) ** 16


def draw_skeleton(
    canvas: RGBImage,
    joints_px: Floats,
    confidence: Floats,
    edges: Sequence[tuple[int, int]],
    colour: Colour = (255, 255, 255),
) -> RGBImage:
    """Draw thin lines along the bones and a dot on every joint; a missing joint and its bones are left out.

    Args:
        canvas: (H, W, 3), not changed.
        joints_px: (J, 2).
        confidence: (J,) in [0, 1]; 0 marks a missing joint.
        edges: Index pairs, as `JointSet.edges` has them.
        colour: Colour of the lines; dots and lines have a dark rim, to be visible on any background.

    Returns:
        A new image (H, W, 3).
    """
    from PIL import Image, ImageDraw

    height, width = canvas.shape[:2]
    present = (confidence > 0) & (np.abs(joints_px) < _FARTHEST_PX).all(axis=1)
    if not present.any():
        return canvas.copy()
    # Drawn on a layer of twice the resolution, because PIL's lines are not anti-aliased.
    thickness = max(2.0, max(height, width) / 350)
    low = np.clip(np.floor(joints_px[present].min(axis=0) - 3 * thickness), 0, (width - 1, height - 1)).astype(int)
    high = np.clip(np.ceil(joints_px[present].max(axis=0) + 3 * thickness), low + 1, (width, height)).astype(int)
    layer = Image.new("RGBA", tuple(((high - low) * 2).tolist()), (*colour, 0))
    pen = ImageDraw.Draw(layer)
    points = [tuple(point) for point in ((joints_px - low) * 2 - 0.5).tolist()]
    for shade, grow in (((30, 30, 30, 255), thickness), ((*colour, 255), 0.0)):
        for a, b in edges:
            if present[a] and present[b]:
                pen.line((points[a], points[b]), fill=shade, width=round(2 * thickness + grow))
        for index in np.flatnonzero(present):
            pen.circle(points[index], 2 * thickness + grow / 2, fill=shade)
    image = Image.fromarray(canvas)
    layer = layer.reduce(2)
    image.paste(layer, tuple(low.tolist()), layer)
    return np.array(image)


def plain_canvas(height: int, width: int) -> RGBImage:
    """A canvas (H, W, 3) for input without an image: nearly white, a little darker downwards."""
    tone = np.linspace(248.0, 214.0, height)[:, None, None] + np.array([-2.0, 0.0, 3.0])
    return np.broadcast_to(np.rint(tone), (height, width, 3)).astype(np.uint8)


def fit_within(image: RGBImage, longest_px: int = 1600) -> tuple[RGBImage, float]:
    """Shrink an image (H, W, 3) so that its longer side is at most `longest_px`.

    Returns:
        The image, the same one where it is small enough, and the factor for pixel coordinates in it.
    """
    height, width = image.shape[:2]
    scale = min(1.0, longest_px / max(height, width))
    if scale == 1.0:
        return image, scale
    from PIL import Image

    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.array(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)), scale


def contact_sheet(images: Sequence[RGBImage], captions: Sequence[str], columns: int, tile: tuple[int, int]) -> RGBImage:
    """Lay out images in rows, each scaled into a tile with its caption underneath.

    Args:
        images: (H, W, 3) each, of any size.
        captions: One line each, cut where it is wider than the tile.
        columns: Tiles in a row.
        tile: Height and width of a tile, pixels.

    Raises:
        ValueError: there is no image, or the number of captions differs from that of the images.
    """
    from PIL import Image, ImageDraw, ImageFont, ImageOps

    if not images or columns < 1:
        raise ValueError(f"{len(images)} images in {columns} columns; expected at least one of each")
    height, width = tile
    gap, strip = 6, 22
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    size = (gap + columns * (width + gap), gap + rows * (height + strip + gap))
    sheet = Image.new("RGB", size, (255, 255, 255))
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=14)
    for index, (image, caption) in enumerate(zip(images, captions, strict=True)):
        left = gap + index % columns * (width + gap)
        top = gap + index // columns * (height + strip + gap)
        pen.rectangle((left, top, left + width - 1, top + height - 1), fill=(236, 238, 241))
        fitted = ImageOps.contain(Image.fromarray(image), (width, height))
        sheet.paste(fitted, (left + (width - fitted.width) // 2, top + (height - fitted.height) // 2))
        while caption and font.getlength(caption) > width:
            caption = caption[:-1]
        pen.text((left, top + height + 3), caption, fill=(40, 40, 40), font=font)
    return np.array(sheet)


def save_image(path: str | Path, image: RGBImage) -> None:
    """Write an image (H, W, 3) as PNG, or as JPEG where the suffix is .jpg or .jpeg, atomically.

    Raises:
        InputError: the file cannot be written.
    """
    from PIL import Image

    jpeg = Path(path).suffix.lower() in (".jpg", ".jpeg")
    with atomic_write(path) as file:
        if jpeg:
            Image.fromarray(image).save(file, format="JPEG", quality=92)
        else:
            # Level 1 takes a third of the default's time, for files a tenth larger.
            Image.fromarray(image).save(file, format="PNG", compress_level=1)
