"""The benchmark of detectors on a folder in COCO's format, with a file of results as the detector."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import detection
import numpy as np
import pytest
from PIL import Image

from pose2mesh.detectors.detection import Detection

POSE = np.random.default_rng(0).uniform(0, 1, (17, 2)) * (40, 100) + (20, 10)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    images, annotations = [], []
    for index in range(2):
        Image.new("RGB", (160, 120), (90, 120, 150)).save(tmp_path / "images" / f"{index}.png")
        images.append({"id": index, "file_name": f"{index}.png", "width": 160, "height": 120})
        keypoints = np.column_stack([POSE, np.full(17, 2)]).ravel().tolist()
        annotations.append({
            "id": index, "image_id": index, "iscrowd": 0, "num_keypoints": 17, "area": 2800.0,
            "bbox": [20, 10, 40, 100], "keypoints": keypoints,
        })  # fmt: skip
    content = {"images": images, "annotations": annotations}
    (tmp_path / "person_keypoints.json").write_text(json.dumps(content), encoding="utf-8")
    keypoints = np.column_stack([POSE, np.ones(17)]).ravel().tolist()
    results = [{"image_id": 0, "category_id": 1, "keypoints": keypoints, "score": 0.9, "image_ms": 12.0}]
    (tmp_path / "results.json").write_text(json.dumps(results), encoding="utf-8")
    return tmp_path


def test_results_are_measured_and_drawn(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["--data", str(folder), "--results", f"mine={folder / 'results.json'}", "--out", str(folder), "--sheet"]
    monkeypatch.setattr(sys, "argv", ["detection.py", *arguments])
    detection.main()
    row = json.loads((folder / "detection.json").read_text(encoding="utf-8"))["mine"]
    assert (row["all"]["people"], row["all"]["found"], row["all"]["false"]) == (2, 1, 0)
    assert row["all"]["ap"] == pytest.approx(51 / 101)
    assert row["ms"]["mean"] == 12.0
    assert row["outcomes"] == {"0": ["found"], "1": []}
    assert "| mine | 1 of 2 | 1.000 | 0.500 |" in (folder / "detection.md").read_text(encoding="utf-8")
    with Image.open(folder / "mine_sheet.png") as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    assert (pixels == (255, 255, 255)).all(axis=-1).any()  # the detection
    assert ((pixels[..., 1] > 200) & (pixels[..., 0] < 120)).any()  # the annotation


def test_detections_survive_the_file(folder: Path) -> None:
    people, times = detection.read_results(folder / "results.json")
    again = detection.as_results(people, times)
    (folder / "again.json").write_text(json.dumps(again), encoding="utf-8")
    read, _ = detection.read_results(folder / "again.json")
    assert np.allclose(read[0][0].joints_px, POSE, atol=1e-3)
    assert np.allclose(read[0][0].box_px, people[0][0].box_px)


def test_a_detector_runs_on_every_image(folder: Path) -> None:
    sizes: list[tuple[int, ...]] = []

    def see(image: np.ndarray, boxes: np.ndarray | None = None) -> list[Detection]:
        sizes.append(image.shape)
        return [Detection(POSE.astype(np.float32), np.ones(17, np.float32), np.array([20, 10, 60, 110]), 0.5)]

    files = {key: file for key, (file, _) in detection.read_annotations(folder).items()}
    people, times = detection.detect(see, files)
    assert sizes == [(120, 160, 3)] * 3  # the first once more
    assert set(people) == set(times) == {0, 1}
