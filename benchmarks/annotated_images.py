"""Accuracy of predicted bodies on annotated images, beside constant poses as a baseline.

    python benchmarks/annotated_images.py --keypoints person_keypoints.json --images images [--model default]
        [--motions BVH_DIR] [--detector blazepose|rtmpose --detector-model FILE … --sheet sheet.png]

Over the people with 12 or more annotated keypoints: mean OKS of the reprojected joints (area: the person's mask), mean
IoU of the mesh's silhouette with COCO's person mask. The same camera fit is applied to a T-pose and to the mean pose
(of the motion clips where given, else of the joint-limit sampler), both facing the camera.

With --detector: the people it detects among these (OKS of its joints with the annotations of at least 0.5), with bodies
predicted from its joints and from the annotated ones, both compared with annotations and masks. --sheet draws all
detected people over every image.
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

ARM_TO_LEVEL_RAD = 0.72  # arms of Anny's rest pose hang some 41° below the horizontal
FOUND_OKS = 0.5


class Detected(NamedTuple):
    """Accuracy with a detector.

    Attributes:
        measurable: Number of people with enough annotated joints.
        labelled, detected: (N, 3) OKS and IoU of the bodies of the detected people, predicted from the annotated and
            from the detected joints, and the OKS of the input joints.
        sheet: Every image with the detected people drawn over it, and a caption.
    """

    measurable: int
    labelled: np.ndarray
    detected: np.ndarray
    sheet: list[tuple[np.ndarray, str]]


def t_pose() -> torch.Tensor:
    """Orientations (1, 22, 3, 3) with level arms and all other bones at rest."""
    pose = torch.eye(3).repeat(1, len(BODY_BONES), 1, 1)
    for index, name in enumerate(BODY_BONES):
        if name.endswith(("Arm", "ForeArm", "Hand")):
            pose[0, index] = axis_rotation(
                1, torch.tensor(-ARM_TO_LEVEL_RAD if name.startswith("Left") else ARM_TO_LEVEL_RAD)
            )
    return pose


def mean_pose(source: PoseSource, count: int = 4000) -> torch.Tensor:
    """Chordal mean (1, 22, 3, 3) of the bone orientations, after every pose is turned to face the camera."""
    poses = source.sample(count, torch.Generator().manual_seed(0))
    left = poses[:, 0, :, 0]
    turned = axis_rotation(2, -torch.atan2(left[:, 1], left[:, 0]))[:, None] @ poses
    u, _, vt = torch.linalg.svd(turned.mean(0, keepdim=True))
    sign = torch.ones_like(u[..., 0])
    sign[..., -1] = torch.linalg.det(u @ vt)
    return (u * sign[..., None, :]) @ vt


def measure_detected(predictor: Predictor, detector: Detector, keypoints: Path, images: Path) -> Detected:
    """Evaluate a detector and the bodies predicted from its joints on the people of COCO annotations."""
    labelled, detected, sheet = [], [], []
    measurable = 0
    annotations = read_keypoints(keypoints)
    image_files = match_images(annotations, images)
    for image in annotations:
        if image.stem not in image_files:
            continue
        image_pixels = read_image(image_files[image.stem], image.size)
        size = image_pixels.shape[1], image_pixels.shape[0]
        found = detect_image(image_files[image.stem], image_pixels, detector)
        overlay = draw_overlay(image_canvas(image_pixels, size), recover_all(predictor, found.people, size), predictor)
        sheet.append((overlay, f"{image.stem}: {len(found.people)} found"))
        for person, mask in measurable_in_image(image, size, keypoints):
            measurable += 1
            likeness = [similarity(person, other, mask) for other in found.people]
            if likeness and max(likeness) >= FOUND_OKS:
                match = found.people[int(np.argmax(likeness))]
                for scores, source in ((labelled, person), (detected, match)):
                    (body,) = recover_all(predictor, [source], size)
                    score = score_person(person, mask, body.joints, body.vertices, body.camera, predictor.faces)
                    scores.append((*score, 1.0 if source is person else max(likeness)))
    return Detected(measurable, np.array(labelled).reshape(-1, 3), np.array(detected).reshape(-1, 3), sheet)


def recover_all(predictor: Predictor, people: list[PoseInput], size: tuple[int, int]) -> list[Person]:
    """Predict the bodies of people in an image of `size` (width, height)."""
    if not people:
        return []
    pixels = np.stack([person.joints_px for person in people])
    return predictor.recover_converted(pixels, np.stack([person.confidence for person in people]), image_size=size)


def similarity(person: PoseInput, found: PoseInput, mask: np.ndarray) -> float:
    """OKS of detected joints with annotated ones; an annotated joint that is not detected counts 0."""
    labelled_joints = person.confidence[: len(COCO17)] > 0
    squared = np.square(person.joints_px - found.joints_px)[: len(COCO17)].sum(1)
    spread = 2 * np.array(COCO.oks_sigmas[: len(COCO17)])
    closeness = np.exp(-squared / (2 * mask.sum() * spread**2)) * (found.confidence[: len(COCO17)] > 0)
    return float(closeness[labelled_joints].mean())


def print_detected(found: Detected) -> None:
    """Print means and their standard errors."""
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
    parser.add_argument("--detector", choices=("auto", "movenet", "blazepose", "rtmpose"))
    parser.add_argument("--detector-model", type=Path, nargs="+")
    parser.add_argument("--sheet", type=Path, help="image to write, for local use: COCO's images are not free")
    arguments = parser.parse_args()
    predictor = load_model(arguments.model)
    if arguments.detector is not None:
        detector = load_detector(arguments.detector, tuple(arguments.detector_model or ()), offline=True)
        found = measure_detected(predictor, detector, arguments.keypoints, arguments.images)
        print_detected(found)
        if arguments.sheet is not None:
            overlays, captions = zip(*found.sheet, strict=True)
            renderer.save_image(arguments.sheet, renderer.contact_sheet(overlays, captions, columns=4, tile=(360, 480)))
        return
    body = default_body()
    source = clip_poses(arguments.motions) if arguments.motions else PoseSource(None, PoseConfig(procedural=1.0))
    static_bodies = {}
    to_camera = torch.tensor(WORLD_TO_CAMERA)
    for name, pose in (("t_pose", t_pose()), ("mean_pose", mean_pose(source))):
        vertices = body(body.mean_phenotypes[None], pose) @ to_camera.T
        joints = body.regressor(predictor.joint_set) @ vertices
        root = joints[:, predictor.joint_set.root_index]
        static_bodies[name] = (np.asarray((joints - root)[0]), np.asarray((vertices - root)[0]))
    results = evaluate_keypoints(predictor, arguments.keypoints, arguments.images, static_bodies)
    print(f"{'':12} {'OKS':>6} {'IoU':>6}   ({results['people']} people)")
    for name, prefix in ((results["model"], ""), ("T-pose", "t_pose_"), ("mean pose", "mean_pose_")):
        print(f"{name:12} {results[f'{prefix}oks']:6.3f} {results[f'{prefix}iou']:6.3f}")
    out = Path(__file__).parent / "out" / "photos.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
