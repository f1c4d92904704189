"""Generate the examples of the web app, `src/pose2mesh/server/examples/`.

    python scripts/web_examples.py --motion dance_a.bvh

The images are those of `examples/coco_people.json`, one file each. The motion is a clip rendered by a virtual camera:
the exact keypoints of a synthetic body, one image a frame.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from pose2mesh.body_models.default_body import default_body
from pose2mesh.datasets.synthetic.bodies import BodySynthesiser
from pose2mesh.datasets.synthetic.detection_noise import NoiseConfig
from pose2mesh.datasets.synthetic.mocap import load_clip
from pose2mesh.motion.synthetic_video import synthesise_video
from pose2mesh.skeletons import COCO, COCO17

ROOT = Path(__file__).parents[1]
OUT = ROOT / "src" / "pose2mesh" / "server" / "examples"
TITLES = {442450: "Frisbee", 129648: "Skater", 227000: "In the street"}
EXACT = NoiseConfig(model="none", drop=0.0, clean=0.0, plain_confidence=1.0, out_of_picture=False)
FRAMES_PER_SECOND = 15
MARGIN_PX, HEIGHT_PX = 40, 480  # of the frames of the motion


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--motion", type=Path, required=True, help="a BVH clip")
    parser.add_argument("--title", default="A dance")
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1, help="seed of the body and the camera")
    arguments = parser.parse_args()
    OUT.mkdir(exist_ok=True)
    whole = json.loads((ROOT / "examples" / "coco_people.json").read_text(encoding="utf-8"))
    index = []
    for image in whole["images"]:
        people = [each for each in whole["annotations"] if each["image_id"] == image["id"]]
        name = f"coco_{image['id']}.json"
        write(OUT / name, {**whole, "images": [image], "annotations": people})
        index.append({"file": name, "title": TITLES[image["id"]]})
    write(OUT / "motion.json", motion(arguments.motion, arguments.frames, arguments.seed))
    index.append({"file": "motion.json", "title": arguments.title})
    write(OUT / "index.json", index)


def motion(path: Path, frames: int, seed: int) -> dict[str, Any]:
    """COCO annotations of a clip seen by a virtual camera: one person, one image a frame."""
    synthesiser = BodySynthesiser(default_body(), COCO, None)
    video = synthesise_video(load_clip(path, FRAMES_PER_SECOND), synthesiser, seed, EXACT, frames)
    pixels = video.joints_px[:, : len(COCO17)]
    pixels = pixels - pixels.min((0, 1))
    scale = (HEIGHT_PX - 2 * MARGIN_PX) / pixels[..., 1].max()
    pixels = pixels * scale + MARGIN_PX
    width = int(np.ceil(pixels[..., 0].max())) + MARGIN_PX
    images, people = [], []
    for number, person in enumerate(pixels):
        images.append({"id": number, "file_name": f"frame_{number:03d}", "width": width, "height": HEIGHT_PX})
        rows = np.column_stack([person.round(1), np.full(len(person), 2)])
        people.append(
            {"id": number, "image_id": number, "keypoints": [round(value, 1) for value in rows.ravel().tolist()]}
        )
    return {
        "info": {
            "description": f"A synthetic body that moves as {path.stem!r}, {FRAMES_PER_SECOND} frames a second",
            "source": "Motion: DeepMimic (github.com/xbpeng/DeepMimic, MIT); body: Anny (Apache-2.0)",
            "license": "CC0 1.0",
        },
        "images": images,
        "annotations": people,
    }


def write(path: Path, document: Any) -> None:
    path.write_text(json.dumps(document, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
