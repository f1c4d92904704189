"""BlazePose of this package beside MediaPipe's pose landmarker, which runs the same networks: same people, same points?

    python benchmarks/blazepose_agreement.py IMAGES --task pose_landmarker_full.task [--python MEDIAPIPE_PYTHON]

Both get the same pixels, the whole image, ten people at most. MediaPipe runs in mode IMAGE, in the interpreter
--python if it is not installed in this one; the task file is that of its model page. A person of MediaPipe and one of
ours are paired by the least mean distance of their landmarks. Reported over pairs: distances in pixels of the
landmarks with a confidence above 0.5 and of all, of world landmarks in millimetres, of confidences, and the IoU of the
masks over the pixels of the image. `--list` prints one line per pair.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import map_coordinates

from pose2mesh.detectors.blazepose.blazepose_detector import BlazePoseDetector
from pose2mesh.detectors.blazepose.landmark_network import Landmarks
from pose2mesh.io.images import read_image

MOST_PEOPLE, LEAST_SCORE, CONFIDENT, UPRIGHT_DEGREES = 10, 0.5, 0.5, 30.0
REFERENCE = """
import sys
import mediapipe, numpy as np
from mediapipe.tasks.python import BaseOptions, vision
task, source, target, people = sys.argv[1:]
options = vision.PoseLandmarkerOptions(
    base_options=BaseOptions(model_asset_path=task), num_poses=int(people), output_segmentation_masks=True)
found = {}
with vision.PoseLandmarker.create_from_options(options) as landmarker, np.load(source) as images:
    for name in images.files:
        image = images[name]
        size = np.array(image.shape[1::-1])
        result = landmarker.detect(mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=image))
        for index, (points, world) in enumerate(zip(result.pose_landmarks, result.pose_world_landmarks)):
            rows = [(p.x * size[0], p.y * size[1], p.visibility * p.presence, w.x, w.y, w.z)
                    for p, w in zip(points, world)]
            found[f"{name}/{index}/rows"] = np.array(rows)
            found[f"{name}/{index}/mask"] = np.squeeze(result.segmentation_masks[index].numpy_view()).copy()
np.savez_compressed(target, **found)
"""


def reference(
    images: dict[str, NDArray[np.uint8]], task: Path, python: str
) -> dict[str, list[tuple[NDArray[np.float64], NDArray[np.float32]]]]:
    """MediaPipe's people of each image: rows (33, 6) of x, y, confidence and world landmarks, and mask (H, W)."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "images.npz"), Path(folder, "found.npz")
        np.savez(source, **{name: np.ascontiguousarray(image) for name, image in images.items()})  # type: ignore[arg-type]
        command = [python, "-c", REFERENCE, task, source, target, MOST_PEOPLE]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{python}: MediaPipe failed: {done.stderr.strip().splitlines()[-1]}")
        people: dict[str, list[Any]] = {name: [] for name in images}
        with np.load(target) as found:
            for key in found.files:
                if key.endswith("/rows"):
                    people[key.split("/")[0]].append((found[key], found[key.replace("/rows", "/mask")]))
    return people


def own_people(detector: BlazePoseDetector, image: NDArray[np.uint8]) -> list[Landmarks]:
    """People of the whole image, as MediaPipe keeps them."""
    window = np.array([0, 0, image.shape[1], image.shape[0]], np.float64)
    proposals = detector.person_network(image, [window], LEAST_SCORE)[0][:MOST_PEOPLE]
    found = detector.landmark_network(image, [proposal.region for proposal in proposals])
    return [each for each in found if each.presence > LEAST_SCORE]


def mask_iou(own: Landmarks, mask: NDArray[np.float32]) -> float:
    """IoU of a person's silhouette and a mask (H, W) over the pixels of the image."""
    height, width = mask.shape
    y, x = np.mgrid[:height, :width]
    to_mask = np.linalg.inv(np.vstack([own.mask.to_image, [0, 0, 1]]))
    across, down, _ = to_mask @ np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
    inside = map_coordinates(own.mask.probability, [down, across], order=1, cval=0.0).reshape(mask.shape) > 0.5
    union = (inside | (mask > 0.5)).sum()
    return float((inside & (mask > 0.5)).sum() / union) if union else 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, help="folder of images")
    parser.add_argument("--task", type=Path, required=True)
    parser.add_argument("--python", default=sys.executable, help="interpreter that has MediaPipe")
    parser.add_argument("--quarter-turns", type=int, default=0, help="turn the images, so that people lie")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    files = sorted(file for file in options.images.iterdir() if file.suffix.lower() in Image.registered_extensions())
    if not files:
        parser.error(f"{options.images}: has no images")
    images = {file.stem: np.ascontiguousarray(np.rot90(read_image(file), options.quarter_turns)) for file in files}
    theirs, detector = reference(images, options.task, options.python), BlazePoseDetector(scales=())
    pairs, only_ours = [], 0
    for name, image in images.items():
        own = own_people(detector, image)
        only_ours += len(own)
        for rows, mask in theirs[name]:
            distances = [np.linalg.norm(each.points_px - rows[:, :2], axis=1) for each in own]
            if not distances:
                continue
            best = int(np.argmin([each.mean() for each in distances]))
            if distances[best].mean() > 0.2 * np.ptp(rows[:, 1]):
                continue
            only_ours -= 1
            person, sure = own[best], rows[:, 2] > CONFIDENT
            world = 1000 * np.linalg.norm(person.world_m - rows[:, 3:], axis=1)
            iou = mask_iou(person, mask)
            turned = abs(np.rad2deg(person.region.angle)) > UPRIGHT_DEGREES
            pairs.append((distances[best], sure, world, np.abs(person.confidence - rows[:, 2]), iou, turned))
            if options.list:
                near = distances[best][sure].mean() if sure.any() else np.nan
                print(
                    f"{name}: angle {np.rad2deg(person.region.angle):.0f}, side {person.region.side_px:.0f} of "
                    f"{image.shape[1]} x {image.shape[0]}: {distances[best].mean():.2f} px, confident "
                    f"{near:.2f}, {world.mean():.1f} mm, IoU {iou:.3f}"
                )
    total = sum(map(len, theirs.values()))
    print(f"MediaPipe {total} people, paired {len(pairs)}, only ours {only_ours}\n")
    print("| people | number | confident px | all px | world mm | confidence | mask IoU |\n" + "| --- " * 7 + "|")
    for label, chosen in (
        ("upright", [pair for pair in pairs if not pair[5]]),
        (f"turned by more than {UPRIGHT_DEGREES:.0f}°", [pair for pair in pairs if pair[5]]),
        ("all", pairs),
    ):
        if chosen:
            spread = [
                np.percentile(np.concatenate(values), (50, 95))
                for values in (
                    [pair[0][pair[1]] for pair in chosen],
                    *([pair[index] for pair in chosen] for index in (0, 2, 3)),
                )
            ]
            cells = [f"{low:.2f}, {high:.2f}" for low, high in spread]
            print(
                f"| {label} | {len(chosen)} | {' | '.join(cells)} | {np.median([p[4] for p in chosen]):.3f}, "
                f"least {min(p[4] for p in chosen):.3f} |"
            )


if __name__ == "__main__":
    main()
