"""Keypoint similarity and silhouette IoU on images, on a body that is known to fit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pose2mesh.cli.main import main
from pose2mesh.errors import InputError
from pose2mesh.evaluation.image_metrics import evaluate_keypoints, polygon_mask
from pose2mesh.inference.predictor import Predictor
from pose2mesh.io.keypoints import read_keypoints
from pose2mesh.skeletons import COCO, HUMAN36

SIZE = (320, 240)
BOX = [100, 40, 200, 40, 200, 220, 100, 220]


def standing_joints() -> np.ndarray:
    """(19, 3) made-up joints in a box of 1 m by 1.8 m about the root, metres."""
    joints = np.random.default_rng(0).uniform((-0.5, -0.9, -0.1), (0.5, 0.9, 0.1), (19, 3))
    for name, parts in COCO.derived:
        joints[COCO.index(name)] = joints[[COCO.index(part) for part in parts]].mean(0)
    return joints


def box_vertices(faces: np.ndarray, count: int) -> np.ndarray:
    """The small body's sphere pulled onto a box that projects to `BOX` at 100 px/m, its centre at (150, 130)."""
    import trimesh

    sphere = np.array(trimesh.creation.icosphere(subdivisions=2).vertices)
    assert len(sphere) == count
    cube = sphere / np.abs(sphere).max(axis=1, keepdims=True)
    return cube * (0.5, 0.9, 0.1)


def annotation(path: Path, mask: object = None, labelled: int = 17, **more: object) -> Path:
    joints = standing_joints()[:17, :2] * 100 + (150, 130)
    rows = np.column_stack([joints, np.full(17, 2.0)])
    rows[labelled:] = 0
    person = {
        "id": 4,
        "image_id": 1,
        "keypoints": rows.ravel().tolist(),
        "segmentation": [BOX] if mask is None else mask,
    }
    image = {"id": 1, "file_name": "a.png", "width": SIZE[0], "height": SIZE[1]} | more
    path.write_text(json.dumps({"images": [image], "annotations": [person]}))
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.new("RGB", SIZE).save(folder / "a.png")
    return folder


def test_a_polygon_is_filled() -> None:
    mask = polygon_mask([BOX], SIZE)
    assert mask.shape == (240, 320)
    assert mask.sum() == pytest.approx(100 * 180, rel=0.02)
    assert mask[130, 150]
    assert not mask[30, 150]
    both = polygon_mask([BOX, [0, 0, 10, 0, 10, 10]], SIZE)
    assert both[2, 8]
    assert both.sum() > mask.sum()


@pytest.mark.parametrize(
    "polygon",
    [
        None,
        [],
        [1, 2],
        [1, 2, 3, 4, 5, 6, 7],
        [[1, 2], [3, 4], [5, 6]],
        ["a"] * 6,
        [1, 2, 3, 4, 5, float("nan")],
        [1e300] * 6,
    ],
)
def test_an_invalid_polygon_is_refused(polygon: object) -> None:
    with pytest.raises(InputError, match=r"file: annotation 4: .* is no polygon"):
        polygon_mask([polygon], SIZE, "file: annotation 4")


def test_a_body_that_fits_scores_one(bundle_file: Path, tmp_path: Path, photos: Path) -> None:
    predictor = Predictor.load(bundle_file)
    joints = standing_joints()
    vertices = box_vertices(predictor.faces, len(predictor.template))
    still = {"fits": (joints, vertices), "narrow": (joints, vertices * (0.5, 1, 1))}
    results = evaluate_keypoints(predictor, annotation(tmp_path / "a.json"), photos, still)
    assert results["people"] == 1
    assert results["input"] == "gt"
    assert results["fits_oks"] == pytest.approx(1, abs=1e-3)
    assert results["fits_iou"] > 0.95
    assert results["narrow_oks"] == pytest.approx(1, abs=1e-3)
    assert results["narrow_iou"] == pytest.approx(0.5, abs=0.03)
    assert 0 <= results["oks"] < 0.9  # the untrained model does not fit
    assert 0 <= results["iou"] <= 1


def test_similarity_is_over_the_labelled_joints(bundle_file: Path, tmp_path: Path, photos: Path) -> None:
    """OKS as COCO defines it, over the 17 joints of the file: pelvis and neck are not labelled."""
    predictor, source = Predictor.load(bundle_file), annotation(tmp_path / "a.json", labelled=14)
    person = read_keypoints(source)[0].people[0]
    found = predictor.recover_converted(person.joints_px[None], person.confidence[None], image_size=SIZE)[0]
    squared = ((found.camera.project(found.joints) - person.joints_px)[:14] ** 2).sum(1)
    area = polygon_mask([BOX], SIZE).sum()
    expected = np.exp(-squared / (2 * area * (2 * np.array(COCO.oks_sigmas[:14])) ** 2)).mean()
    assert evaluate_keypoints(predictor, source, photos)["oks"] == pytest.approx(expected, abs=1e-3)


def test_an_image_stored_on_its_side(bundle_file: Path, tmp_path: Path, photos: Path) -> None:
    predictor, source = Predictor.load(bundle_file), annotation(tmp_path / "a.json")
    upright = evaluate_keypoints(predictor, source, photos)
    Image.new("RGB", SIZE[::-1]).save(photos / "a.png")
    assert evaluate_keypoints(predictor, source, photos) == upright


def test_people_who_cannot_be_measured(bundle_file: Path, tmp_path: Path, photos: Path) -> None:
    predictor = Predictor.load(bundle_file)
    for source in (
        annotation(tmp_path / "few.json", labelled=11),
        annotation(tmp_path / "run.json", mask={"counts": [1, 2], "size": [240, 320]}),
    ):
        with pytest.raises(InputError, match=f"{source.name}: no person has 12 labelled joints and a polygon mask"):
            evaluate_keypoints(predictor, source, photos)


def test_the_size_comes_from_the_image_if_the_file_has_none(bundle_file: Path, tmp_path: Path, photos: Path) -> None:
    predictor = Predictor.load(bundle_file)
    known = evaluate_keypoints(predictor, annotation(tmp_path / "a.json"), photos)
    assert known == evaluate_keypoints(predictor, annotation(tmp_path / "b.json", width=None, height=None), photos)


@pytest.mark.parametrize(
    ("mask", "more", "fault"),
    [
        ([["x"]], {}, "annotation 4: .* is no polygon"),
        (None, {"width": 640, "height": 480}, "a.png: is 320x240 pixels; expected 640x480 as annotated"),
        (None, {"file_name": "b.png"}, "has no 'b.png'"),
    ],
)
def test_files_that_do_not_fit(
    mask: object, more: dict, fault: str, bundle_file: Path, tmp_path: Path, photos: Path
) -> None:
    with pytest.raises(InputError, match=fault):
        evaluate_keypoints(Predictor.load(bundle_file), annotation(tmp_path / "a.json", mask, **more), photos)


def test_an_unreadable_image(bundle_file: Path, tmp_path: Path, photos: Path) -> None:
    (photos / "a.png").write_text("text")
    with pytest.raises(InputError, match=r"a\.png: cannot be read as an image"):
        evaluate_keypoints(Predictor.load(bundle_file), annotation(tmp_path / "a.json"), photos)


def test_a_model_of_other_joints_is_refused(bundle_file: Path, tmp_path: Path, photos: Path) -> None:
    predictor = Predictor.load(bundle_file)
    predictor.joint_set = HUMAN36
    with pytest.raises(InputError, match="model 'small' has joint set 'human36'; expected 'coco'"):
        evaluate_keypoints(predictor, annotation(tmp_path / "a.json"), photos)


def test_the_command_reports_it(
    bundle_file: Path, tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, report = annotation(tmp_path / "a.json"), tmp_path / "report.json"
    arguments = ["evaluate", str(bundle_file), "--keypoints", str(source), "--images", str(photos)]
    assert main([*arguments, "--report", str(report)]) == 0
    document = json.loads(report.read_text())
    assert document.keys() == {"model", "input", "people", "oks", "iou"}
    lines = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines())
    assert float(lines["oks"]) == pytest.approx(document["oks"], abs=1e-3)


def test_real_images(bundle_file: Path, shared_data: Path) -> None:
    folder = shared_data / "coco_mini"
    source = next(folder.glob("*.json"))
    images = folder / "images" if (folder / "images").is_dir() else folder
    results = evaluate_keypoints(Predictor.load(bundle_file), source, images)
    assert results["people"] > 20
    assert 0 < results["iou"] < 1
