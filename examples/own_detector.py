"""Use your own 2D pose detector: from video frames to keypoints, and from these to every output of `predict`.

    pip install ".[video]"
    python examples/own_detector.py clip.mp4
    pose2mesh predict clip_keypoints.json --video clip.mp4 --out results

Put your detector into `detect_people`. The file between the two steps is in COCO's format of detection results, a list
with one item for every person and frame, so the first step can also be in another language or on another machine.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from pose2mesh import load
from pose2mesh.pipelines.video.frame_reader import Video


def detect_people(image: np.ndarray) -> np.ndarray:
    """Detect (P, 17, 3): x and y in pixels and a confidence from 0 to 1, in COCO's order, in an RGB image (H, W, 3).

    A placeholder: one person who stands in the middle of every image.
    """
    height, width = image.shape[:2]
    sides = [
        (0.02, -0.44),
        (0.04, -0.43),
        (0.11, -0.31),
        (0.14, -0.15),
        (0.15, 0),
        (0.07, 0),
        (0.07, 0.22),
        (0.07, 0.44),
    ]
    standing = [(0.0, -0.42)] + [(sign * x, y) for x, y in sides for sign in (1, -1)]
    joints = 0.9 * height * np.array(standing) + np.array([width, height]) / 2
    return np.column_stack([joints, np.full(17, 0.9)])[None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    path: Path = parser.parse_args().video
    target = Path(f"{path.stem}_keypoints.json")
    print(f"{write_keypoints(path, target)} people in {target}")

    # The same without files, for an image in memory:
    image = next(Video(path).frames())
    people = load().recover(detect_people(image), joints="coco", image_size=(image.shape[1], image.shape[0]))
    print(f"the first frame's: {len(people[0].vertices)} vertices, {people[0].stature_m:.2f} m tall")


def write_keypoints(path: Path, target: Path) -> int:
    """Detect people in every frame of a video; returns the total number of detections."""
    results = [
        {"image_id": frame, "category_id": 1, "keypoints": person.ravel().round(3).tolist(), "score": 1.0}
        for frame, image in enumerate(Video(path).frames())
        for person in detect_people(image)
    ]
    target.write_text(json.dumps(results))
    return len(results)


if __name__ == "__main__":
    main()
