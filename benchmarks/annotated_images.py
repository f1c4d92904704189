"""How well recovered bodies meet photos, beside bodies that do not follow the person.

    python benchmarks/annotated_images.py --keypoints person_keypoints.json --images images [--model default]
                                [--motions BVH_DIR] [--detector mediapipe|rtmpose --detector-model FILE …]
                                [--sheet sheet.png]

Over the people with 12 or more labelled keypoints: mean OKS of the reprojected joints (area: the person's mask), mean
IoU of the mesh's silhouette with COCO's person mask. The same camera fit is given to a T-pose and to the mean pose (of
the motion clips where given, else of the joint-limit sampler), both facing the camera.

With --detector: the people it finds among these (OKS of its joints with the labels of at least 0.5), recovered from its
joints and from the labels, both held against the labels and masks. --sheet draws everyone it finds over every photo.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from pose2mesh.body_models.bones import BODY_BONES
from pose2mesh.body_models.default_body import default_body
from pose2mesh.datasets.synthetic.pose_sampling import PoseConfig, PoseSource
from pose2mesh.datasets.synthetic.pose_sources import clip_poses
from pose2mesh.detectors.detection import Detector
from pose2mesh.detectors.image_keypoints import detect_image
from pose2mesh.detectors.registry import load_detector
from pose2mesh.evaluation.image_metrics import evaluate_keypoints, measurable_in_image, score_person
from pose2mesh.geometry.rotations import WORLD_TO_CAMERA, axis_rotation
from pose2mesh.inference.person import Person
from pose2mesh.inference.predictor import Predictor
from pose2mesh.io.image_lookup import match_images
from pose2mesh.io.images import read_image
from pose2mesh.io.keypoints import PoseInput, read_keypoints
from pose2mesh.model_zoo import load_model
from pose2mesh.skeletons import COCO, COCO17
from pose2mesh.visualization import renderer
from pose2mesh.visualization.overlay import draw_overlay, image_canvas

ARM_TO_LEVEL_RAD = 0.72  # Anny's rest arms hang some 41° below the horizontal
FOUND_OKS = 0.5


class Detected(NamedTuple):
    """What a detector's people are worth.

    Attributes:
        measurable: People with enough labels.
        labelled, detected: (N, 3) OKS and IoU of the bodies of those who were found, recovered from the labels and from
            the detector's joints, and the OKS of the joints that were the input.
        sheet: Every photo with those who were found, and a caption.
    """

    measurable: int
    labelled: np.ndarray
    detected: np.ndarray
    sheet: list[tuple[np.ndarray, str]]


def t_pose() -> torch.Tensor:
    """(1, 22, 3, 3) arms level, all else at rest."""
    pose = torch.eye(3).repeat(1, len(BODY_BONES), 1, 1)
    for index, name in enumerate(BODY_BONES):
        if name.endswith(("Arm", "ForeArm", "Hand")):
            pose[0, index] = axis_rotation(
                1, torch.tensor(-ARM_TO_LEVEL_RAD if name.startswith("Left") else ARM_TO_LEVEL_RAD)
            )
    return pose


def mean_pose(source: PoseSource, count: int = 4000) -> torch.Tensor:
    """(1, 22, 3, 3) the chordal mean of each bone's orientation, every pose first turned to face the camera."""
    poses = source.sample(count, torch.Generator().manual_seed(0))
    left = poses[:, 0, :, 0]
    turned = axis_rotation(2, -torch.atan2(left[:, 1], left[:, 0]))[:, None] @ poses
    u, _, vt = torch.linalg.svd(turned.mean(0, keepdim=True))
    sign = torch.ones_like(u[..., 0])
    sign[..., -1] = torch.linalg.det(u @ vt)
    return (u * sign[..., None, :]) @ vt


def measure_detected(recovery: Predictor, detector: Detector, keypoints: Path, images: Path) -> Detected:
    """The people of COCO annotations whom a detector finds in their photos, and its poses over every photo."""
    labelled, detected, sheet = [], [], []
    measurable = 0
    pictures = read_keypoints(keypoints)
    photos = match_images(pictures, images)
    for picture in pictures:
        if picture.stem not in photos:
            continue
        photo = read_image(photos[picture.stem], picture.size)
        size = photo.shape[1], photo.shape[0]
        found = detect_image(photos[picture.stem], photo, detector)
        overlay = draw_overlay(image_canvas(photo, size), recover_all(recovery, found.people, size), recovery)
        sheet.append((overlay, f"{picture.stem}: {len(found.people)} found"))
        for person, mask in measurable_in_image(picture, size, keypoints):
            measurable += 1
            likeness = [alike(person, other, mask) for other in found.people]
            if likeness and max(likeness) >= FOUND_OKS:
                match = found.people[int(np.argmax(likeness))]
                for scores, source in ((labelled, person), (detected, match)):
                    (body,) = recover_all(recovery, [source], size)
                    score = score_person(person, mask, body.joints, body.vertices, body.camera, recovery.faces)
                    scores.append((*score, 1.0 if source is person else max(likeness)))
    return Detected(measurable, np.array(labelled).reshape(-1, 3), np.array(detected).reshape(-1, 3), sheet)


def recover_all(recovery: Predictor, people: list[PoseInput], size: tuple[int, int]) -> list[Person]:
    """People in a picture of `size` (width, height)."""
    if not people:
        return []
    pixels = np.stack([person.joints_px for person in people])
    return recovery.recover_converted(pixels, np.stack([person.confidence for person in people]), image_size=size)


def alike(person: PoseInput, found: PoseInput, mask: np.ndarray) -> float:
    """OKS of detected joints with a person's labels; a labelled joint that is not detected counts 0."""
    seen = person.confidence[: len(COCO17)] > 0
    squared = np.square(person.joints_px - found.joints_px)[: len(COCO17)].sum(1)
    spread = 2 * np.array(COCO.oks_sigmas[: len(COCO17)])
    closeness = np.exp(-squared / (2 * mask.sum() * spread**2)) * (found.confidence[: len(COCO17)] > 0)
    return float(closeness[seen].mean())


def print_detected(found: Detected) -> None:
    """Means, and their standard errors."""
    count = len(found.labelled)
    print(f"found {count} of {found.measurable}; of these:")
    for name, scores in (("labelled keypoints", found.labelled), ("detected keypoints", found.detected)):
        mean, error = scores.mean(0), scores.std(0, ddof=1) / np.sqrt(count)
        columns = zip(("input OKS", "OKS", "IoU"), mean[[2, 0, 1]], error[[2, 0, 1]], strict=True)
        print(f"{name:20}", "  ".join(f"{column} {value:.3f} ± {spread:.3f}" for column, value, spread in columns))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keypoints", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--motions", type=Path)
    parser.add_argument("--model", default="default")
    parser.add_argument("--detector", choices=("auto", "mediapipe", "rtmpose"))
    parser.add_argument("--detector-model", type=Path, nargs="+")
    parser.add_argument("--sheet", type=Path, help="a picture for your eyes: COCO's photos are not ours to publish")
    arguments = parser.parse_args()
    recovery = load_model(arguments.model)
    if arguments.detector is not None:
        detector = load_detector(arguments.detector, tuple(arguments.detector_model or ()), offline=True)
        found = measure_detected(recovery, detector, arguments.keypoints, arguments.images)
        print_detected(found)
        if arguments.sheet is not None:
            pictures, captions = zip(*found.sheet, strict=True)
            renderer.save_image(arguments.sheet, renderer.contact_sheet(pictures, captions, columns=4, tile=(360, 480)))
        return
    body = default_body()
    source = clip_poses(arguments.motions) if arguments.motions else PoseSource(None, PoseConfig(procedural=1.0))
    still = {}
    to_camera = torch.tensor(WORLD_TO_CAMERA)
    for name, pose in (("t_pose", t_pose()), ("mean_pose", mean_pose(source))):
        vertices = body(body.mean_phenotypes[None], pose) @ to_camera.T
        joints = body.regressor(recovery.joint_set) @ vertices
        root = joints[:, recovery.joint_set.root_index]
        still[name] = (np.asarray((joints - root)[0]), np.asarray((vertices - root)[0]))
    results = evaluate_keypoints(recovery, arguments.keypoints, arguments.images, still)
    print(f"{'':12} {'OKS':>6} {'IoU':>6}   ({results['people']} people)")
    for name, prefix in ((results["model"], ""), ("T-pose", "t_pose_"), ("mean pose", "mean_pose_")):
        print(f"{name:12} {results[f'{prefix}oks']:6.3f} {results[f'{prefix}iou']:6.3f}")
    out = Path(__file__).parent / "out" / "photos.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
