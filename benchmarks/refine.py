"""What `--refine` brings and costs: agreement with images, errors in 3D, milliseconds a person; before and after.

    python benchmarks/refine.py [--keypoints COCO.json --images FOLDER [--detect]] [--motions BVH_FOLDER]

- Images: OKS and silhouette IoU of bodies from labelled joints, refined by the joints alone and by the masks too; for
  every second person of the file separately, since settings were chosen on this set. With `--detect` the same from the
  detector's joints and masks, for the people it finds, against the labels.
- Clips: MPJPE, PA-MPJPE, MPVPE and PA-MPVPE in mm on the validation clips of the split, without a camera, under the
  nominal and the true one, from true and noisy joints; the change with its standard error over samples. No masks.
- Time: of refinement alone, for batches of 1, 8 and 64 people, with and without masks; the least of seven
  runs, since other work on the machine only adds to it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import trange

from pose2mesh.body_models.default_body import default_body
from pose2mesh.datasets.synthetic.bodies import BodySynthesiser, SyntheticConfig, detect, sample_people
from pose2mesh.datasets.synthetic.detection_noise import measured_noise
from pose2mesh.datasets.synthetic.mocap import load_clips
from pose2mesh.datasets.synthetic.motion_split import load_split
from pose2mesh.datasets.synthetic.pose_sources import unchanged_poses
from pose2mesh.evaluation.image_metrics import measurable_in_image, score_person
from pose2mesh.geometry.camera import Intrinsics, nominal_intrinsics
from pose2mesh.inference.person import Person, solve_camera
from pose2mesh.inference.predictor import Predictor
from pose2mesh.inference.refinement import refine_people
from pose2mesh.io.body_mask import BodyMask, body_mask
from pose2mesh.io.image_lookup import match_images
from pose2mesh.io.images import read_image
from pose2mesh.io.keypoints import PoseInput, read_keypoints
from pose2mesh.metrics import STANDARD_MEASURES, BodyPoints, compute_errors
from pose2mesh.model_zoo import load_model

SPLIT = Path(__file__).parents[1] / "configs" / "mocap_split.yaml"
CHUNK = 64
FOUND_OKS = 0.5
WAYS = ("network", "joints", "joints, mask")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="default")
    parser.add_argument("--keypoints", type=Path)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--detect", action="store_true")
    parser.add_argument("--motions", type=Path)
    parser.add_argument("--samples", type=int, default=2000)
    options = parser.parse_args()
    predictor = load_model(options.model)
    if options.keypoints is not None:
        people, masks = measure_images(predictor, options.keypoints, options.images, options.detect)
        measure_time(predictor, people, masks)
    if options.motions is not None:
        measure_clips(predictor, options.motions, options.samples)


def ways(predictor: Predictor, people: Sequence[Person], masks: Sequence[BodyMask | None]) -> list[list[Person]]:
    """The people as the network predicts them, refined by their joints, and by joints and masks."""
    return [list(people), refine_people(predictor, people), refine_people(predictor, people, masks)]


def measure_images(
    predictor: Predictor, annotations: Path, images: Path, detects: bool
) -> tuple[list[Person], list[BodyMask | None]]:
    """Print OKS and IoU; returns the people from labels, and their masks."""
    inputs = read_keypoints(annotations)
    files = match_images(inputs, images)
    labelled: list[np.ndarray] = []
    detected: list[np.ndarray] = []
    all_people, all_masks = [], []
    detector = None
    if detects:
        from pose2mesh.detectors.image_keypoints import detect_image
        from pose2mesh.detectors.registry import load_detector

        detector = load_detector("auto", None, True)
    for image in inputs:
        if image.stem not in files:
            continue
        pixels = read_image(files[image.stem], image.size)
        size = (pixels.shape[1], pixels.shape[0])
        measurable = list(measurable_in_image(image, size, annotations))
        if not measurable:
            continue
        given = [person for person, _ in measurable]
        people, masks = recover(predictor, given, size), [body_mask(person.mask) for person in given]
        all_people += people
        all_masks += masks
        tried = ways(predictor, people, masks)
        labelled += [scores(predictor, *each, tried, index) for index, each in enumerate(measurable)]
        if detector is not None:
            found = detect_image(files[image.stem], pixels, detector).people
            if found:
                people = recover(predictor, found, size)
                tried = ways(predictor, people, [body_mask(person.mask) for person in found])
                for label, mask in measurable:
                    alike = [similarity(label, other, float(mask.sum())) for other in found]
                    if max(alike) >= FOUND_OKS:
                        detected.append(scores(predictor, label, mask, tried, int(np.argmax(alike))))
    print_scores("labelled joints", np.array(labelled))
    print_scores("  first half", np.array(labelled[::2]))
    print_scores("  second half", np.array(labelled[1::2]))
    if detected:
        print_scores("detected joints", np.array(detected))
    return all_people, all_masks


def recover(predictor: Predictor, people: Sequence[PoseInput], size: tuple[int, int]) -> list[Person]:
    pixels = np.stack([person.joints_px for person in people])
    confidence = np.stack([person.confidence for person in people])
    return predictor.recover_converted(pixels, confidence, nominal_intrinsics(size), image_size=size)


def similarity(label: PoseInput, found: PoseInput, area: float) -> float:
    """OKS of detected joints with labelled ones."""
    from pose2mesh.skeletons import COCO

    seen = (label.confidence > 0)[:17]
    squared = np.square(label.joints_px - found.joints_px).sum(1)[:17]
    close = np.exp(-squared / (2 * area * (2 * np.array(COCO.oks_sigmas[:17])) ** 2)) * (found.confidence[:17] > 0)
    return float(close[seen].mean())


def scores(
    predictor: Predictor, label: PoseInput, mask: np.ndarray, tried: list[list[Person]], index: int
) -> np.ndarray:
    """(3, 2) OKS and IoU of one person by each way, against the label and its mask."""
    people = [way[index] for way in tried]
    return np.array([score_person(label, mask, p.joints, p.vertices, p.camera, predictor.faces) for p in people])


def print_scores(name: str, values: np.ndarray) -> None:
    print(f"{name} ({len(values)} people)")
    for way, (oks, iou) in zip(WAYS, values.mean(0), strict=True):
        print(f"    {way:14} OKS {oks:.3f}  IoU {iou:.3f}")


def measure_time(predictor: Predictor, people: list[Person], masks: list[BodyMask | None]) -> None:
    """Print milliseconds a person for several batches."""
    for count in (1, 8, 64):
        chosen = np.arange(count) % len(people)
        batch = [people[index] for index in chosen]
        for name, given in (("joints", None), ("joints, mask", [masks[index] for index in chosen])):
            elapsed = []
            for _ in range(7):
                begun = time.perf_counter()
                refine_people(predictor, batch, given)
                elapsed.append(1000 * (time.perf_counter() - begun) / count)
            print(f"batch of {count:2}, {name:14} {min(elapsed):6.2f} ms a person")


def measure_clips(predictor: Predictor, motions: Path, samples: int) -> None:
    """Print errors before and after, on the validation clips."""
    source = unchanged_poses(load_split(SPLIT, load_clips(motions))[1])
    body = default_body()
    synthesiser = BodySynthesiser(body, predictor.joint_set, None)
    regressor = body.regressor(predictor.joint_set).double()
    print(f"{'camera, joints':20}" + "".join(f"{name:>28}" for name in STANDARD_MEASURES))
    for input_ in ("gt", "noisy"):
        noise, generator = measured_noise(input_, predictor.joint_set, 1.0), torch.Generator().manual_seed(7)
        errors: dict[str, list[np.ndarray]] = {}
        for start in trange(0, samples, CHUNK, disable=None):
            with torch.no_grad():
                bodies = sample_people(
                    min(CHUNK, samples - start), source, synthesiser, SyntheticConfig(views=1), generator
                )
                batch = detect(bodies, predictor.joint_set, noise, generator)
                vertices = bodies.cameras.to_camera(body(bodies.phenotypes, bodies.orientations))
            truth = BodyPoints((regressor @ vertices.double()).float(), vertices)
            sizes = [(int(width), int(height)) for width, height in bodies.cameras.size_px]
            observed = batch.joints_px.numpy(), batch.confidence.numpy()
            for name, cameras in (
                ("none", None),
                ("nominal", [nominal_intrinsics(size) for size in sizes]),
                ("true", bodies.cameras.intrinsics()),
            ):
                people = predict(predictor, *observed, cameras, sizes)
                pair = [_errors(predictor, each, truth) for each in (people, refine_people(predictor, people))]
                errors.setdefault(name, []).append(np.stack(pair))  # (2, measures, B)
        for name, values in errors.items():
            before, after = np.concatenate(values, axis=2)
            change = after - before
            spread = change.std(1) / change.shape[1] ** 0.5
            cells = zip(before.mean(1), after.mean(1), spread, strict=True)
            print(f"{name + ', ' + input_:20}" + "".join(f"{b:10.1f} →{a:7.1f} ± {s:4.2f} " for b, a, s in cells))


def predict(
    predictor: Predictor,
    pixels: np.ndarray,
    confidence: np.ndarray,
    cameras: list[Intrinsics] | None,
    sizes: list[tuple[int, int]],
) -> list[Person]:
    """Recover people that each have a camera of their own, or none, in images of their own sizes."""
    joints, vertices = predictor.run(pixels, confidence, cameras)
    people = []
    of_people = [None] * len(joints) if cameras is None else cameras
    for index, camera in enumerate(of_people):
        body, observed = (joints[index], vertices[index]), (pixels[index], confidence[index].astype(np.float32))
        solved = solve_camera(body[0], *observed, camera, sizes[index])
        people.append(Person(*body, *observed, solved, predictor.stature(body[0]), 1.0))
    return people


def _errors(predictor: Predictor, people: list[Person], truth: BodyPoints) -> np.ndarray:
    joints, vertices = (
        torch.from_numpy(np.stack([getattr(person, part) for person in people])) for part in ("joints", "vertices")
    )
    found = compute_errors(BodyPoints(joints, vertices), truth, predictor.joint_set)
    return 1000 * torch.stack(list(found.values())).numpy()


if __name__ == "__main__":
    main()
