"""Side and top views of people, orthographic and to scale; and joints coloured by their confidence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pose2mesh.inference.person import Person
from pose2mesh.visualization import renderer

Floats = NDArray[np.floating]

# Rows: the view's right, down and forward axes in camera axes; SIDE looks from the camera's right, TOP from above with
# the camera at the lower edge of the view.
SIDE: Floats = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
TOP: Floats = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])

_WIDTH = 0.6  # width of a view, relative to its height
_FILLED = 0.86
_LEAST_M = 2.0  # smallest extent shown by a view
_LINE = (205, 206, 210)  # colour of the grid, which has one line per metre
# From confidence 0 to 1, in colours that colour-blind people tell apart (Okabe and Ito).
_SCALE = np.array([(213, 94, 0), (240, 228, 66), (0, 158, 115)], float)


def extent_of(people: Sequence[Person]) -> Floats:
    """Least and greatest coordinates (2, 3) of people in the camera frame, metres; a cube of 2 m without people."""
    if not people:
        return np.array([[-1.0, -1, 2], [1, 1, 4]])
    corners = [(each.vertices_camera.min(0), each.vertices_camera.max(0)) for each in people]
    return np.stack([np.min([low for low, _ in corners], axis=0), np.max([high for _, high in corners], axis=0)])


def draw_view(
    people: Sequence[Person],
    faces: NDArray[np.integer],
    axes: Floats,
    extent: Floats,
    height: int,
    colours: Sequence[renderer.Colour] = renderer.PALETTE,
) -> NDArray[np.uint8]:
    """Draw an orthographic view (H, W, 3) of people over a grid of metres.

    Args:
        people: The people to draw.
        faces: (F, 3) triangles of the meshes, as vertex indices.
        axes: `SIDE` or `TOP`.
        extent: (2, 3) least and greatest coordinates to show, in the camera frame: the same for all frames of a video.
        height: Height of the view in pixels.
        colours: Person i takes colour i.
    """
    width = round(_WIDTH * height)
    low, high = np.sort(extent @ axes.T, axis=0)
    middle, room = (low + high) / 2, np.maximum(high - low, _LEAST_M)
    px_per_m = _FILLED * min(width / room[0], height / room[1])
    centre = np.array([width, height]) / 2
    canvas = _grid(height, width, centre - px_per_m * middle[:2], px_per_m)
    meshes = []
    for person in people:
        turned = person.vertices_camera @ axes.T
        # A large constant depth, so that the perspective-correct interpolation is nearly linear.
        depth = turned[:, 2] - low[2] + 100 * room.max()
        meshes.append(renderer.ProjectedMesh(centre + px_per_m * (turned - middle)[:, :2], depth, turned, faces))
    return renderer.draw_people(canvas, meshes, colours, alpha=1.0)


def _grid(height: int, width: int, origin_px: Floats, px_per_m: float) -> NDArray[np.uint8]:
    canvas = renderer.plain_canvas(height, width)
    for axis, side in ((1, width), (0, height)):
        first = np.ceil(-origin_px[1 - axis] / px_per_m)
        for line in np.arange(origin_px[1 - axis] + first * px_per_m, side, px_per_m):
            canvas[(slice(None), int(line)) if axis else int(line)] = _LINE
    return canvas


def draw_confidences(canvas: NDArray[np.uint8], joints_px: Floats, confidence: Floats) -> NDArray[np.uint8]:
    """Draw a dot on every present joint (J, 2), from red for a confidence of 0 to green for 1, with its percentage."""
    from PIL import Image, ImageDraw, ImageFont

    height, width = canvas.shape[:2]
    radius = max(3.0, max(height, width) / 200)
    image = Image.fromarray(canvas)
    pen = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=max(9, round(2.2 * radius)))
    places = np.linspace(0, 1, len(_SCALE))
    for (x, y), value in zip(joints_px.tolist(), confidence.tolist(), strict=True):
        if not (value > 0 and -radius < x < width + radius and -radius < y < height + radius):
            continue
        red, green, blue = (round(float(np.interp(value, places, _SCALE[:, channel]))) for channel in range(3))
        pen.circle((x, y), radius, fill=(red, green, blue), outline=(30, 30, 30))
        label = f"{100 * value:.0f}"
        pen.text(
            (x + 1.3 * radius, y - 1.3 * radius), label, (255, 255, 255), font, stroke_width=1, stroke_fill=(30, 30, 30)
        )
    return np.array(image)
