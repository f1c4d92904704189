"""Draw the images of the README: the photo and the keypoints of the examples, with the bodies recovered from them.

python scripts/example_image.py [--docs docs]

Writes `example_photo.jpg`: the photo, the bodies over it, and the bodies seen from the side. Writes `example.png`: the
keypoints of `examples/coco_people.json`, the bodies over them, and the bodies seen from the side.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from contact_sheet import draw_tile
from numpy.typing import NDArray
from PIL import Image

from pose2mesh import load
from pose2mesh.detectors.image_keypoints import detect_image
from pose2mesh.detectors.registry import load_detector
from pose2mesh.inference.predictor import Predictor
from pose2mesh.io.images import read_image
from pose2mesh.io.keypoints import read_keypoints
from pose2mesh.pipelines.image_pipeline import recover_image
from pose2mesh.pipelines.predict_options import PredictOptions
from pose2mesh.visualization import orthographic_views, renderer
from pose2mesh.visualization.overlay import draw_overlay, image_canvas

EXAMPLES = Path(__file__).parents[1] / "examples"
MARGIN = 0.12  # around the people, relative to the larger side of the box that holds them all
PHOTO_PX = 420  # height of the panels of the photo


def draw_photo(predictor: Predictor, path: Path) -> NDArray[np.uint8]:
    """Panels (H, W, 3): the part of a photo that shows its people; the bodies over it; the bodies from the side."""
    photo = read_image(path)
    result = recover_image(predictor, detect_image(path, photo, load_detector("auto")), photo, PredictOptions())
    people = result.people
    canvas = image_canvas(photo, None)
    overlay = draw_overlay(canvas, people, predictor)
    corners = np.concatenate([canvas.place(each.camera.project(each.vertices)) for each in people])
    low, high = corners.min(0), corners.max(0)
    margin = MARGIN * (high - low).max()
    left, top = np.maximum(low - margin, 0).astype(int)
    right, bottom = np.minimum(high + margin, canvas.image.shape[1::-1]).astype(int)
    panels = [image[top:bottom, left:right] for image in (canvas.image, overlay)]
    width = round(PHOTO_PX * (right - left) / (bottom - top))
    scaled = [np.asarray(Image.fromarray(each).resize((width, PHOTO_PX), Image.Resampling.LANCZOS)) for each in panels]
    extent = orthographic_views.extent_of(people)
    side = orthographic_views.draw_view(people, predictor.faces, orthographic_views.SIDE, extent, PHOTO_PX)
    return np.concatenate([*scaled, side], axis=1)


def draw_keypoints(predictor: Predictor, path: Path) -> NDArray[np.uint8]:
    """Sheet (H, W, 3) of the people of a keypoint file, two in a row."""
    tiles = []
    for image in read_keypoints(path):
        for person in image.people:
            found = predictor.recover_converted(person.joints_px[None], person.confidence[None], image_size=image.size)
            tiles.append(draw_tile(person, None, found[0], predictor.faces))
    return renderer.contact_sheet(tiles, [""] * len(tiles), columns=2, tile=(260, 780))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docs", type=Path, default=Path("docs"))
    docs = parser.parse_args().docs
    predictor = load()
    photo = Image.fromarray(draw_photo(predictor, EXAMPLES / "two_people.jpg"))
    photo.save(docs / "example_photo.jpg", quality=85, optimize=True)
    renderer.save_image(docs / "example.png", draw_keypoints(predictor, EXAMPLES / "coco_people.json"))


if __name__ == "__main__":
    main()
