"""Hands: processor time beside that of the people, and agreement with MediaPipe's hand landmarker.

    python benchmarks/hand_agreement.py IMAGES [--task hand_landmarker.task] [--python MEDIAPIPE_PYTHON]

People and hands are detected as `predict` does it. With a task file, both implementations get the same windows of 400
pixels about the wrists. MediaPipe runs in mode IMAGE, in the interpreter --python if it is not installed in this one.
MediaPipe's graph of tasks turns the region of a palm by 90 radians where 90 degrees are meant (as in its older graphs,
and here): the same turn is applied here, so that both landmark networks see the same pixels.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pose2mesh.detectors.blazepose.region import Region, crop
from pose2mesh.detectors.hands.hand_detector import HandDetector
from pose2mesh.detectors.hands.hand_network import HandLandmarks
from pose2mesh.detectors.hands.hand_region import forearm_length, window_at_wrist
from pose2mesh.detectors.people_detector import PeopleDetector
from pose2mesh.io.images import read_image
from pose2mesh.skeletons import COCO17

WINDOW_PX, LEAST_SCORE, LEAST_FOREARM_PX = 400, 0.5, 20.0
TURN = (90 - np.pi / 2 + np.pi) % (2 * np.pi) - np.pi
SCALE, SHIFT = 2.6, 0.5  # of a hand's region over its palm
REFERENCE = """
import sys
import mediapipe, numpy as np
from mediapipe.tasks.python import BaseOptions, vision
task, source, target = sys.argv[1:]
options = vision.HandLandmarkerOptions(base_options=BaseOptions(model_asset_path=task), num_hands=10)
found = {}
with vision.HandLandmarker.create_from_options(options) as landmarker, np.load(source) as windows:
    for name in windows.files:
        result = landmarker.detect(mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=windows[name]))
        size = windows[name].shape[0]
        hands = zip(result.hand_landmarks, result.hand_world_landmarks, result.handedness)
        found[name] = np.array([[(p.x * size, p.y * size, w.x, w.y, w.z, side[0].category_name == "Right")
                                 for p, w in zip(points, world)] for points, world, side in hands])
np.savez_compressed(target, **found)
"""


def reference(windows: dict[str, NDArray[np.uint8]], task: Path, python: str) -> dict[str, NDArray[np.float64]]:
    """MediaPipe's hands of each window (N, 21, 6): pixels, world landmarks, whether it is a right hand."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "windows.npz"), Path(folder, "found.npz")
        np.savez(source, **windows)  # type: ignore[arg-type]
        done = subprocess.run([python, "-c", REFERENCE, task, source, target], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{python}: MediaPipe failed: {done.stderr.strip().splitlines()[-1]}")
        with np.load(target) as found:
            return {name: found[name] for name in found.files}


def own_hands(detector: HandDetector, window: NDArray[np.uint8]) -> list[HandLandmarks]:
    """The hands of a window as MediaPipe finds them: palms, then one run of the landmark network."""
    whole = Region(np.full(2, WINDOW_PX / 2), float(WINDOW_PX), 0.0)
    regions = []
    for palm in detector.palm_network(window, [whole], LEAST_SCORE)[0]:
        side, angle = palm.region.side_px / SCALE, palm.region.angle + TURN
        turned = Region(np.zeros(2), 1.0, angle).rotation - palm.region.rotation
        regions.append(Region(palm.region.centre_px + turned @ (0, -SHIFT * side), palm.region.side_px, angle))
    return [hand for hand in detector.hand_network(window, regions) if hand.presence > LEAST_SCORE]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, help="folder of images")
    parser.add_argument("--task", type=Path)
    parser.add_argument("--python", default=sys.executable, help="interpreter that has MediaPipe")
    options = parser.parse_args()
    files = sorted(file for file in options.images.iterdir() if file.suffix.lower() in Image.registered_extensions())
    if not files:
        parser.error(f"{options.images}: has no images")
    people_detector, hand_detector = PeopleDetector(), HandDetector()
    seconds, count, windows = np.zeros(2), np.zeros(2, int), {}
    for file in files:
        image = read_image(file)
        start = time.process_time()
        people = people_detector(image)
        middle = time.process_time()
        with_hands = hand_detector(image, people)
        seconds += middle - start, time.process_time() - middle
        count += len(people), sum(sum(person.hands.present) for person in with_hands if person.hands is not None)
        for index, person in enumerate(people):
            length = forearm_length(person.joints_px, person.confidence)
            for side in ("left", "right"):
                wrist, elbow = (COCO17.index(f"{side}_{name}") for name in ("wrist", "elbow"))
                if length >= LEAST_FOREARM_PX and (person.confidence[[wrist, elbow]] > 0).all():
                    joints = person.joints_px.astype(np.float64)
                    window = window_at_wrist(joints[wrist], joints[elbow], length)
                    windows[f"{file.stem}_{index}_{side}"] = crop(image, window, WINDOW_PX, repeat_edge=False)
    people_ms, hands_ms = 1000 * seconds / len(files)
    print(
        f"{len(files)} images, {count[0]} people, {count[1]} hands; processor time an image: people {people_ms:.0f} ms,"
    )
    print(f"hands {hands_ms:.0f} ms ({hands_ms / people_ms:.0%})")
    if options.task is None:
        return
    theirs = reference(windows, options.task, options.python)
    pairs, only_ours = [], 0
    for name, window in windows.items():
        own = own_hands(hand_detector, window)
        only_ours += len(own)
        for rows in theirs[name]:
            distances = [np.linalg.norm(hand.points_px - rows[:, :2], axis=1) for hand in own]
            best = min(range(len(own)), key=lambda index: distances[index].mean(), default=None)
            if best is None or distances[best].mean() > 0.1 * WINDOW_PX:
                continue
            only_ours -= 1
            world = 1000 * np.linalg.norm(own[best].world_m - rows[:, 2:5], axis=1)
            pairs.append((distances[best].mean(), world.mean(), (own[best].right > 0.5) == (rows[0, 5] > 0.5)))
    total = sum(map(len, theirs.values()))
    print(f"MediaPipe {total} hands in {len(windows)} windows, paired {len(pairs)}, only ours {only_ours}")
    if pairs:
        spread = np.percentile(np.array([pair[:2] for pair in pairs]), (50, 95), axis=0)
        print(f"landmarks {spread[0, 0]:.2f}, {spread[1, 0]:.2f} px (median, 95th percentile)")
        print(f"world landmarks {spread[0, 1]:.2f}, {spread[1, 1]:.2f} mm; same side {sum(p[2] for p in pairs)}")


if __name__ == "__main__":
    main()
