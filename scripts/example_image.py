"""Draw the image of the README: the keypoints of the example, the predicted meshes, and the meshes from the side.

python scripts/example_image.py [--keypoints examples/coco_people.json] [--out docs/example.png]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from contact_sheet import draw_tile

from pose2mesh import load
from pose2mesh.io.keypoints import read_keypoints
from pose2mesh.visualization import renderer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keypoints", type=Path, default=Path("examples/coco_people.json"))
    parser.add_argument("--out", type=Path, default=Path("docs/example.png"))
    arguments = parser.parse_args()
    predictor = load()
    tiles = []
    for image in read_keypoints(arguments.keypoints):
        for person in image.people:
            found = predictor.recover_converted(person.joints_px[None], person.confidence[None], image_size=image.size)[
                0
            ]
            tiles.append(draw_tile(person, None, found, predictor.faces))
    renderer.save_image(arguments.out, renderer.contact_sheet(tiles, [""] * len(tiles), columns=2, tile=(260, 780)))


if __name__ == "__main__":
    main()
