"""Draw the 91 landmarks on the body in the rest pose, from the front, the back and its left side.

    python scripts/landmarks_image.py

writes `docs/baselines/landmarks.png`. Rings are joints, dots are points of the skin; orange is left, blue is right.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pose2mesh.baselines.common.landmarks import NAMES, landmark_regressor
from pose2mesh.body_models.default_body import default_body
from pose2mesh.skeletons import COCO17
from pose2mesh.visualization import renderer

OUT = Path(__file__).parents[1] / "docs/baselines/landmarks.png"
HEIGHT, PX_PER_M = 560, 270
SUPERSAMPLING = 3  # rendered at this multiple of the size, then downscaled
FAR = 100.0  # metres; approximates a parallel projection
_LEFT, _RIGHT, _MIDDLE, _SKIN = (213, 94, 0), (0, 114, 178), (0, 158, 115), (200, 200, 205)
# For each view: right, down and forward in the body's axes, and the width of the image.
VIEWS = (
    ([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]], 360),
    ([[-1.0, 0, 0], [0, 0, -1], [0, -1, 0]], 360),
    ([[0.0, 1, 0], [0, 0, -1], [-1, 0, 0]], 220),
)


def main() -> None:
    body = default_body()
    template, faces = body.template.numpy(), body.faces.numpy()
    landmarks = (landmark_regressor(body) @ body.template).numpy()
    views = [draw_view(template, faces, landmarks, np.array(axes), width) for axes, width in VIEWS]
    OUT.parent.mkdir(exist_ok=True)
    image = Image.fromarray(np.concatenate(views, axis=1))
    image.quantize(128, method=Image.Quantize.FASTOCTREE).save(OUT, optimize=True)


def draw_view(
    template: NDArray[np.floating],
    faces: NDArray[np.integer],
    landmarks: NDArray[np.floating],
    axes: NDArray[np.floating],
    width: int,
) -> NDArray[np.uint8]:
    """View (HEIGHT, width, 3) with the visible landmarks; joints may lie up to 10 cm below the skin."""
    vertices, points = template @ axes.T, landmarks @ axes.T
    height_px, width_px = SUPERSAMPLING * HEIGHT, SUPERSAMPLING * width

    def pixels(places: NDArray[np.floating]) -> NDArray[np.floating]:
        return SUPERSAMPLING * (np.array([width / 2, HEIGHT / 2 - 28]) + PX_PER_M * places[:, :2])

    depth = vertices[:, 2] + FAR
    canvas = np.full((height_px, width_px, 3), 255, np.uint8)
    mesh = renderer.ProjectedMesh(pixels(vertices), depth, vertices, faces)
    image = Image.fromarray(renderer.draw_people(canvas, [mesh], [_SKIN], alpha=1.0))
    raster = renderer.rasterise(pixels(vertices), depth, faces, height_px, width_px)
    front = np.full(height_px * width_px, np.inf)
    corners = faces[raster.face_index.ravel()[raster.pixels]]
    front[raster.pixels] = (depth[corners] * raster.barycentric).sum(1)
    front = front.reshape(height_px, width_px)
    pen = ImageDraw.Draw(image)
    for name, (x, y), point_depth in zip(NAMES, pixels(points), points[:, 2] + FAR, strict=True):
        row, column = int(y), int(x)
        nearest = front[row - 2 : row + 3, column - 2 : column + 3]
        is_joint = name in COCO17
        if point_depth > np.where(np.isinf(nearest), -np.inf, nearest).max() + (0.1 if is_joint else 0.012):
            continue
        colour = _LEFT if name.startswith("left_") else _RIGHT if name.startswith("right_") else _MIDDLE
        box = (x - 11, y - 11, x + 11, y + 11)
        pen.ellipse(box, outline=colour, width=6, fill=None if is_joint else colour)
    return np.asarray(image.resize((width, HEIGHT), Image.Resampling.LANCZOS))


if __name__ == "__main__":
    main()
