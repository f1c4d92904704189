"""`pose2mesh data check` on the command line: on sound, faulty and unknown data sets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pose2mesh.cli.main import main
from pose2mesh.evaluation.dataset_checks.check_datasets import table
from pose2mesh.evaluation.dataset_checks.findings import Finding
from pose2mesh.skeletons import SMPL
from tests.datasets import literature


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    literature.write_models(tmp_path / "models")
    return tmp_path


@pytest.fixture
def check(disk: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, dict[str, str], str]]:
    """Runs the command; its status, the table's lines by what they count, and standard error."""

    def run(path: Path, *arguments: str) -> tuple[int, dict[str, str], str]:
        models = ["--models", str(disk / "models"), "--cache", str(disk / "cache"), "--sheet", str(disk / "sheet.png")]
        status = main(["data", "check", str(path), *models, *arguments])
        out = capsys.readouterr()
        lines = {}
        for line in out.out.splitlines():
            if line.startswith(("  ", "! ")):
                what = line[2:].split("   ")[0].strip()
                lines[what] = line[0] + " ".join(line[2 + len(what) :].split())
        return status, lines, out.err

    return run


def edit(path: Path, change: Callable[[Any], Any]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


SETS: dict[str, tuple[Callable[[Path], None], int]] = {
    "human36m": (literature.write_human36m, 2),
    "coco": (literature.write_coco, 1),
    "pw3d": (literature.write_pw3d, 2),
    "surreal": (literature.write_surreal, 2),
    "amass": (literature.write_amass, 1),
}


@pytest.mark.parametrize("name", SETS)
def test_nothing_is_wrong_with_a_sound_data_set(
    name: str, disk: Path, check: Callable, capsys: pytest.CaptureFixture[str]
) -> None:
    write, parts = SETS[name]
    write(disk / "set")
    status, lines, err = check(disk / "set", "--shown", "3")
    assert (status, err) == (0, "")
    assert not [line for line in lines.values() if line.startswith("!")]
    if name != "amass":
        assert "mean 0.0, largest 0.0" in lines["fits posed and compared with the labels"]
    sheet = np.array(Image.open(disk / "sheet.png"))
    assert sheet.shape[:2] == (6 + 260 + 22 + 6, 6 + 3 * parts * (260 + 6))  # a row: three people of each part
    assert (sheet.reshape(-1, 3) == (214, 60, 40)).all(1).any() == (name != "amass")  # joints


def test_what_is_left_out_is_counted(disk: Path, check: Callable) -> None:
    literature.write_coco(disk / "set")
    status, lines, _ = check(disk / "set")
    assert status == 0
    assert lines["people"] == " 6"
    assert lines["left out: crowd"] == " 1"
    assert lines["without a body fit"].startswith(" 1 16.7 % of 6 annotation 505 in train2017/000000000005.jpg")


def spoil(change: Callable[[list[dict[str, Any]]], Any]) -> Callable[[Path], None]:
    return lambda folder: edit(folder / "data" / "3DPW_latest_test.json", lambda data: change(data["annotations"]))


def swap_sides(annotation: dict[str, Any]) -> None:
    for key in ("joint_cam", "joint_img"):
        annotation[key] = [annotation[key][joint] for joint in SMPL.flip_permutation]


def scale(annotation: dict[str, Any], factor: float) -> None:
    annotation["joint_cam"] = (factor * np.array(annotation["joint_cam"])).tolist()


def move(annotation: dict[str, Any], metres: float) -> None:
    annotation["smpl_param"]["trans"][0] += metres


def bend(annotation: dict[str, Any]) -> None:
    annotation["smpl_param"]["pose"][3:] = np.random.default_rng(0).normal(0, 1, 69).tolist()


@pytest.mark.parametrize(
    ("change", "what", "line"),
    [
        (lambda a: a[2].update(id=1), "faulty entries", "!1 {labels}: annotation 1: id 1 is there twice"),
        (lambda a: scale(a[2], 1000), "too large: millimetres taken for metres?", "!1 16.7 % of 6 annotation 2 in"),
        (lambda a: scale(a[4], 0.001), "too small: metres taken for millimetres?", "!1 16.7 % of 6 annotation 4 in"),
        (lambda a: swap_sides(a[3]), "fits with left and right exchanged", "!1 16.7 % of 6 annotation 3 in"),
        (lambda a: move(a[5], 2.0), "fits more than 0.5 m from their labels", "!1 16.7 % of 6 annotation 5 in"),
        (lambda a: bend(a[1]), "fits worse than 25 mm", "!1 16.7 % of 6 annotation 1 in"),
        (lambda a: a[1].update(bbox=a[0]["bbox"]), "same box twice in an image", "!1 16.7 % of 6 annotation 1 in"),
        (
            lambda a: a[0].update(joint_img=[[-50.0, 40.0]] * 24),
            "most labelled joints outside the image",
            "!1 16.7 % of 6 annotation 0 in",
        ),
    ],
)
def test_faults_are_reported(disk: Path, check: Callable, change: Callable, what: str, line: str) -> None:
    literature.write_pw3d(disk / "set")
    (disk / "set" / "data" / "3DPW_latest_validation.json").unlink()
    spoil(change)(disk / "set")
    status, lines, _ = check(disk / "set")
    assert status == 1
    labels = disk / "set" / "data" / "3DPW_latest_test.json"
    assert lines[what].startswith(line.format(labels=labels))


def test_detections_with_left_and_right_exchanged_are_reported(disk: Path, check: Callable) -> None:
    literature.write_surreal(disk / "set")

    def change(found: list[dict[str, Any]]) -> None:
        found[0]["keypoints"] = [found[0]["keypoints"][joint] for joint in SMPL.flip_permutation]

    edit(disk / "set" / "data" / "hrnet_output_on_valset.json", change)
    status, lines, _ = check(disk / "set")
    assert status == 0  # a detector may err
    assert lines["detected with left and right exchanged"].startswith(" 1 20.0 % of 5 annotation 50 in 0.jpg")
    assert lines["no detection"].startswith(" 1 16.7 % of 6 annotation 55")


def test_images_that_are_not_there(disk: Path, check: Callable) -> None:
    literature.write_pw3d(disk / "set")
    folder = disk / "set" / "imageFiles" / "downtown_bar_00"
    folder.mkdir(parents=True)
    for frame in (0, 2):
        Image.new("RGB", literature.SIZE, (90, 120, 90)).save(folder / f"image_{frame:05d}.jpg")
    status, lines, _ = check(disk / "set")
    assert status == 1
    assert lines["missing images"].startswith(f"!1 33.3 % of 3 {folder / 'image_00001.jpg'}")
    sheet = np.array(Image.open(disk / "sheet.png")).reshape(-1, 3).astype(int)
    assert (np.abs(sheet - (90, 120, 90)).max(1) < 4).any()  # the images are on the sheet


def test_own_keypoints(shared_data: Path, disk: Path, check: Callable) -> None:
    status, lines, _ = check(shared_data / "coco_mini" / "person_keypoints.json")
    assert status == 0
    assert lines["people"] == " 86"
    assert lines["missing images"] == " 0 0.0 % of 28"


def test_a_file_cut_short(disk: Path, check: Callable) -> None:
    """Records before the cut are checked; without any, the other splits are, and the status is 1."""
    literature.write_pw3d(disk / "set")
    labels = disk / "set" / "data" / "3DPW_latest_test.json"
    text = labels.read_text()
    labels.write_text(text[:-100])
    status, lines, err = check(disk / "set")
    assert (status, err) == (1, "")
    assert lines["faulty entries"].startswith(f"!1 {labels}: cut short at character")
    labels.write_text(text[:100])
    status, lines, err = check(disk / "set")
    assert status == 1
    assert err.startswith(f"pose2mesh: {labels}: ")
    assert lines["people"] == " 6"  # of the other part
    (disk / "set" / "data" / "3DPW_latest_validation.json").unlink()
    assert check(disk / "set")[0] == 2


@pytest.mark.parametrize(
    ("path", "arguments", "message"),
    [
        ("nowhere", [], "nowhere: no such folder or file, expected a data set"),
        ("models", [], "models: no known data set; expected a layout of docs/data_sets.md"),
        ("models", ["--samples", "0"], "--samples 0: expected at least 1"),
        ("models", ["--fit-limit", "-1"], "--fit-limit -1.0: expected millimetres"),
        ("models", ["--images", "nowhere"], "--images nowhere: no such folder"),
        ("models", ["--set", "a=b"], "--set: goes with a config"),
    ],
)
def test_inputs_that_cannot_be_checked(
    disk: Path, check: Callable, path: str, arguments: list[str], message: str
) -> None:
    status, _, err = check(disk / path, *arguments)
    assert status == 2
    assert message in err
    assert err.count("\n") == 1


def test_a_sheet_that_cannot_be_written(disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(disk / "set"), "--sheet", str(disk / "x.jpg")]) == 2
    assert "x.jpg: expected the name of a .png file in a folder that exists" in capsys.readouterr().err


def test_without_models_fits_are_not_checked(disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    literature.write_pw3d(disk / "set")
    arguments = ["--cache", str(disk / "cache"), "--sheet", str(disk / "sheet.png")]
    assert main(["data", "check", str(disk / "set"), *arguments]) == 0
    assert "fits not checked" in capsys.readouterr().out


def test_a_config(disk: Path, check: Callable) -> None:
    literature.write_pw3d(disk / "data" / "PW3D")
    literature.write_coco(disk / "data" / "COCO")
    config = disk / "config.yaml"
    data = {
        "folder": str(disk / "data"),
        "body": {"model": "smpl", "folder": str(disk / "models")},
        "sets": {"coco": {}},
        "validation": {"reader": "pw3d"},
    }
    config.write_text(json.dumps({"data": data}))
    status, lines, _ = check(config)
    assert status == 0
    assert lines["fits posed and compared with the labels"].startswith(" 6")  # 3DPW's, the last
    assert check(config, "--set", f"data.folder={disk / 'nowhere'}")[0] == 2


def test_a_table_marks_what_is_wrong() -> None:
    text = table("Title", [Finding("a", 0, 10, True), Finding("bcd", 1234, 2000, True, "x"), Finding("e", 5)])
    assert text.splitlines() == [
        "Title",
        "  a             0    0.0 % of 10",
        "! bcd       1,234   61.7 % of 2,000        x",
        "  e             5",
    ]
