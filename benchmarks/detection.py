"""Detectors on annotated images: precision and recall, AP, people detected twice, false people, time.

    python benchmarks/detection.py [--data COCO_FOLDER] [--detector NAME …] [--detector-model FILE …]
        [--results NAME=FILE.json …] [--images all|even|odd] [--out FOLDER] [--sheet]

The folder holds COCO's `person_keypoints.json` and `images/`. Each detector of the package, and each file of results
in COCO's format, is one row of the table. Definitions are in `pose2mesh/evaluation/detection_metrics.py`; precision,
recall and the outcomes of the other detections hold at an OKS of 0.5. All people with a labelled keypoint count, as in
COCO's evaluation; in the columns "8+" those with eight or more, the others ignored.

Written to --out: `detection.json` (with the outcomes per image), `detection.md`, the detections as `NAME_results.json`
in COCO's format, and with --sheet `NAME_sheet.png`: every image with its annotations (thin green lines) and detections
(white found, grey ignored, magenta double, orange misplaced, red false). --images chooses every second image:
thresholds are chosen on the even ones, and the odd ones report.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from pose2mesh.detectors.detection import Detection, Detector
from pose2mesh.detectors.registry import DETECTORS, load_detector
from pose2mesh.evaluation.detection_metrics import (
    AnnotatedImage,
    AnnotatedPerson,
    Outcome,
    average_precision,
    outcomes,
)
from pose2mesh.io.images import read_image
from pose2mesh.skeletons import COCO, COCO17
from pose2mesh.visualization import renderer

ROOT = Path(__file__).parents[1]
WELL_LABELLED = 8  # joints; the people of the tables in docs/detectors.md
COLOURS = {
    Outcome.FOUND: (255, 255, 255),
    Outcome.IGNORED: (150, 150, 150),
    Outcome.DOUBLE: (255, 0, 255),
    Outcome.MISPLACED: (255, 150, 0),
    Outcome.FALSE: (255, 40, 40),
}
EDGES = [edge for edge in COCO.edges if max(edge) < len(COCO17)]


def read_annotations(data: Path) -> dict[int, tuple[Path, list[AnnotatedPerson]]]:
    """Image id → file and annotated people, in the order of the ids."""
    content = json.loads((data / "person_keypoints.json").read_text(encoding="utf-8"))
    images: dict[int, tuple[Path, list[AnnotatedPerson]]] = {
        image["id"]: (data / "images" / image["file_name"], [])
        for image in sorted(content["images"], key=lambda image: image["id"])
    }
    for entry in content["annotations"]:
        rows = np.array(entry["keypoints"], np.float64).reshape(-1, 3)
        box = np.array(entry["bbox"], np.float64)
        box[2:] += box[:2]
        person = AnnotatedPerson(rows[:, :2], rows[:, 2] > 0, box, float(entry["area"]), bool(entry["iscrowd"]))
        images[entry["image_id"]][1].append(person)
    return images


def read_results(file: Path) -> tuple[dict[int, list[Detection]], dict[int, float]]:
    """Detections per image id from a file of results, and the time per image where it is given."""
    people: dict[int, list[Detection]] = {}
    times: dict[int, float] = {}
    for entry in json.loads(file.read_text(encoding="utf-8")):
        rows = np.array(entry["keypoints"], np.float32).reshape(-1, 3)
        known = rows[rows[:, 2] > 0, :2] if (rows[:, 2] > 0).any() else rows[:, :2]
        box = np.concatenate([known.min(axis=0), known.max(axis=0)])
        if "bbox" in entry:
            box = np.array(entry["bbox"], np.float32)
            box[2:] += box[:2]
        detection = Detection(rows[:, :2], rows[:, 2], box, float(entry["score"]))
        people.setdefault(entry["image_id"], []).append(detection)
        if "image_ms" in entry:
            times[entry["image_id"]] = float(entry["image_ms"])
    return people, times


def as_results(people: dict[int, list[Detection]], times: dict[int, float]) -> list[dict[str, Any]]:
    """The detections in COCO's format, and the milliseconds of their image."""
    return [
        {
            "image_id": image,
            "category_id": 1,
            "keypoints": np.column_stack([one.joints_px, one.confidence]).round(3).ravel().tolist(),
            "bbox": [*one.box_px[:2].tolist(), *(one.box_px[2:] - one.box_px[:2]).tolist()],
            "score": one.score,
            "image_ms": round(times[image], 1),
        }
        for image, found in people.items()
        for one in found
    ]


def detect(detector: Detector, files: dict[int, Path]) -> tuple[dict[int, list[Detection]], dict[int, float]]:
    """Detections and milliseconds of processor time per image, which other processes disturb less than the clock's.

    The first image is run once more before, so that no start is timed.
    """
    people, times = {}, {}
    images = {key: read_image(file) for key, file in files.items()}
    detector(next(iter(images.values())))
    for key, image in images.items():
        begun = time.process_time()
        people[key] = detector(image)
        times[key] = 1000 * (time.process_time() - begun)
    return people, times


def measure(images: dict[int, AnnotatedImage], times: dict[int, float]) -> dict[str, Any]:
    """What the table prints, and the outcomes per image."""
    result: dict[str, Any] = {"images": len(images)}
    for name, least in (("all", 1), ("8+", WELL_LABELLED)):
        counts: Counter[Outcome] = Counter()
        people = found_people = 0
        for image in images.values():
            kinds, found = outcomes(image, least)
            counts.update(kinds)
            people += sum(not one.is_crowd and int(one.labelled.sum()) >= least for one in image.people)
            found_people += int(found.sum())
        counted = sum(counts.values()) - counts[Outcome.IGNORED]
        precisions, recalls = average_precision(list(images.values()), least)
        result[name] = {
            "people": people,
            **{kind.value: counts[kind] for kind in Outcome},
            "precision": counts[Outcome.FOUND] / max(counted, 1),
            "recall": found_people / max(people, 1),
            "ap": float(precisions.mean()),
            "ap50": float(precisions[0]),
            "ap75": float(precisions[5]),
            "ar": float(recalls.mean()),
        }
    for area in ("medium", "large"):
        result["all"][f"ap_{area}"] = float(average_precision(list(images.values()), 1, area)[0].mean())
    if times:
        spent = np.array(list(times.values()))
        result["ms"] = {"mean": float(spent.mean()), "median": float(np.median(spent)), "most": float(spent.max())}
    result["outcomes"] = {str(key): [kind.value for kind in outcomes(image)[0]] for key, image in images.items()}
    return result


def table(rows: dict[str, dict[str, Any]]) -> str:
    """The measurements as a table in Markdown."""
    lines = [
        "| detector | found | precision | recall | AP | AP50 | AP medium | AP large | doubles | misplaced | false "
        "| found 8+ | AP 8+ | CPU ms |",
        "| --- |" + " --- |" * 13,
    ]
    for name, row in rows.items():
        every, well = row["all"], row["8+"]
        cells = [
            name,
            f"{every['found']} of {every['people']}",
            *(f"{every[key]:.3f}" for key in ("precision", "recall", "ap", "ap50", "ap_medium", "ap_large")),
            *(str(every[key]) for key in ("double", "misplaced", "false")),
            f"{well['found']} of {well['people']}",
            f"{well['ap']:.3f}",
            f"{row['ms']['mean']:.0f}" if "ms" in row else "",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def draw_image(pixels: np.ndarray, image: AnnotatedImage) -> np.ndarray:
    """An image with its annotations and detections, at twice its size."""
    canvas = Image.fromarray(pixels).resize((2 * pixels.shape[1], 2 * pixels.shape[0]))
    drawn = np.asarray(canvas)
    kinds, _ = outcomes(image)
    for kind, one in zip(kinds, image.detections, strict=True):
        drawn = renderer.draw_skeleton(drawn, 2 * one.joints_px, one.confidence, EDGES, COLOURS[kind])
    canvas = Image.fromarray(drawn)
    pen = ImageDraw.Draw(canvas)
    for person in image.people:
        if person.is_crowd:
            continue
        for a, b in EDGES:
            if person.labelled[a] and person.labelled[b]:
                pen.line([tuple(2 * person.joints_px[a]), tuple(2 * person.joints_px[b])], (60, 255, 60), 2)
        if not person.labelled.any():
            pen.rectangle([tuple(2 * person.box_px[:2]), tuple(2 * person.box_px[2:])], outline=(60, 140, 60))
    for kind, one in zip(kinds, image.detections, strict=True):
        pen.rectangle([tuple(2 * one.box_px[:2]), tuple(2 * one.box_px[2:])], outline=COLOURS[kind], width=3)
        pen.text(tuple(2 * one.box_px[:2] + 4), f"{one.score:.2f}", COLOURS[kind], font_size=24)
    return np.asarray(canvas)


def sheet(images: dict[int, AnnotatedImage], files: dict[int, Path], columns: int = 4) -> np.ndarray:
    """Contact sheet of all images."""
    drawn, captions = [], []
    for key, image in images.items():
        counts = Counter(outcomes(image)[0])
        drawn.append(draw_image(read_image(files[key]), image))
        people = sum(not one.is_crowd and bool(one.labelled.any()) for one in image.people)
        captions.append(f"{key}: {people} people; " + ", ".join(f"{counts[kind]} {kind.value}" for kind in counts))
    return renderer.contact_sheet(drawn, captions, columns, tile=(480, 640))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT / "../shared/data/coco_mini")
    parser.add_argument("--detector", nargs="*", choices=tuple(DETECTORS), default=[])
    parser.add_argument("--detector-model", type=Path, nargs="+", default=[])
    parser.add_argument("--results", nargs="*", default=[], metavar="NAME=FILE")
    parser.add_argument("--images", choices=("all", "even", "odd"), default="all")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "out")
    parser.add_argument("--sheet", action="store_true")
    options = parser.parse_args()
    annotated = read_annotations(options.data)
    chosen = list(annotated)[{"all": slice(None), "even": slice(0, None, 2), "odd": slice(1, None, 2)}[options.images]]
    files = {key: annotated[key][0] for key in chosen}
    options.out.mkdir(parents=True, exist_ok=True)
    rows: dict[str, dict[str, Any]] = {}
    runs = [(name, None) for name in options.detector or ([] if options.results else ["auto"])]
    for name, file in runs + [text.split("=", 1) for text in options.results]:
        if file is None:
            people, times = detect(load_detector(name, tuple(options.detector_model)), files)
            (options.out / f"{name}_results.json").write_text(json.dumps(as_results(people, times)), encoding="utf-8")
        else:
            people, times = read_results(Path(file))
            times = {key: value for key, value in times.items() if key in files}
        images = {key: AnnotatedImage(annotated[key][1], people.get(key, [])) for key in files}
        rows[name] = measure(images, times)
        if options.sheet:
            renderer.save_image(options.out / f"{name}_sheet.png", sheet(images, files))
    (options.out / "detection.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    (options.out / "detection.md").write_text(table(rows), encoding="utf-8")
    print(table(rows), end="")


if __name__ == "__main__":
    main()
