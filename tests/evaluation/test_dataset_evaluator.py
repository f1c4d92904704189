"""Evaluation of a model on a data set under its protocol, against errors computed without the package."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from pose2mesh.body_models.gendered import BodyConfig, GenderedBody
from pose2mesh.body_models.joint_regressors import load_regressor
from pose2mesh.body_models.smpl import SmplBody, find_regressors, find_smpl
from pose2mesh.cli.main import main
from pose2mesh.datasets.data_config import DataConfig, DatasetConfig
from pose2mesh.datasets.readers.pw3d import read_pw3d
from pose2mesh.errors import InputError
from pose2mesh.evaluation.dataset_evaluator import ProtocolTest, evaluate_records, open_test
from pose2mesh.evaluation.evaluate_options import EvaluateOptions
from pose2mesh.evaluation.evaluator import evaluate_model
from pose2mesh.evaluation.protocols import PROTOCOLS
from pose2mesh.inference.predictor import Predictor
from pose2mesh.models.bundle.bundle import Bundle, save_bundle
from pose2mesh.models.bundle.bundle_info import BundleInfo
from pose2mesh.models.mesh_topology import build_topology
from pose2mesh.models.network_config import NetworkConfig
from pose2mesh.models.pose2mesh import Pose2Mesh
from pose2mesh.skeletons import COCO, HUMAN36
from tests.datasets import literature
from tests.pw3d_fixtures import People, smpl_poses, write_models, write_pw3d


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("PW3D")


@pytest.fixture(scope="module")
def people(models: Path, folder: Path) -> People:
    return write_pw3d(folder, models, write_models(models))


@pytest.fixture(scope="module")
def body(models: Path, people: People) -> GenderedBody:
    regressors = find_regressors(models)
    bodies = {number: SmplBody(find_smpl(models, "smpl", name), "smpl", regressors) for number, name in _NAMED.items()}
    return GenderedBody(bodies.pop(0), bodies)


_NAMED = {0: "neutral", 1: "male", 2: "female"}


@pytest.fixture(scope="module")
def bundle(body: GenderedBody, small_config: NetworkConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network on the made-up SMPL."""
    with torch.no_grad():
        posed = body.main(torch.from_numpy(smpl_poses(24, 5)).float(), torch.zeros(24, 10)).numpy()
    surface = build_topology(body, COCO, small_config, posed)
    torch.manual_seed(0)
    info = BundleInfo("untrained", "coco", "smpl", {"network": small_config.as_dict()}, "nothing", "Apache-2.0")
    path = tmp_path_factory.mktemp("run") / "bundle.safetensors"
    save_bundle(path, Bundle(Pose2Mesh(small_config, COCO, surface).eval(), surface, info))
    return path


@pytest.fixture(scope="module")
def predictor(bundle: Path) -> Predictor:
    return Predictor.load(bundle)


@pytest.fixture
def config(folder: Path, models: Path, tmp_path: Path) -> Path:
    """A training config whose validation data set is the synthetic one."""
    path = tmp_path / "config.yaml"
    data = {
        "folder": str(folder.parent),
        "cache": str(tmp_path / "cache"),
        "body": {"model": "smpl", "folder": str(models)},
        "sets": {"pw3d": {"folder": str(folder), "split": "test"}},
        "validation": {"reader": "pw3d", "folder": str(folder)},
    }
    path.write_text(json.dumps({"stage": "pose2mesh", "data": data}))  # JSON is YAML
    return path


def aligned(points: np.ndarray, ground_truth: np.ndarray) -> np.ndarray:
    """Points aligned to the ground truth by the best similarity, with SciPy's rotations."""
    centred, target = points - points.mean(0), ground_truth - ground_truth.mean(0)
    rotation, _ = Rotation.align_vectors(target, centred)
    turned = rotation.apply(centred)
    return turned * (turned * target).sum() / (turned**2).sum() + ground_truth.mean(0)


def direct(predictor: Predictor, body: GenderedBody, people: People) -> dict[str, np.ndarray]:
    """Errors (N,) in millimetres of the same samples, computed without reader, protocol and metrics."""
    ones = np.ones(people.coco_px.shape[:2])
    vertices = predictor.run(people.coco_px, ones)[1].astype(np.float64)
    human36, pelvis = body.regressor(HUMAN36).numpy(), body.main.joint_regressor[0].numpy()
    found, ground_truth = human36 @ vertices, people.human36
    found, ground_truth = found - found[:, :1], ground_truth - ground_truth[:, :1]
    chosen = [1, 2, 3, 4, 5, 6, 8, 10, 11, 12, 13, 14, 15, 16]
    mesh = vertices - (pelvis @ vertices)[:, None]
    return {
        "mpjpe_mm": 1000 * np.linalg.norm(found - ground_truth, axis=-1)[:, chosen].mean(1),
        "pa_mpjpe_mm": 1000
        * np.array(
            [
                np.linalg.norm(aligned(a[chosen], b[chosen]) - b[chosen], axis=1).mean()
                for a, b in zip(found, ground_truth, strict=True)
            ]
        ),
        "mpvpe_mm": 1000 * np.linalg.norm(mesh - people.true_mesh, axis=-1).mean(1),
        "pa_mpvpe_mm": 1000
        * np.array(
            [np.linalg.norm(aligned(a, b) - b, axis=1).mean() for a, b in zip(mesh, people.true_mesh, strict=True)]
        ),
    }


def test_through_the_files_as_measured_directly(
    predictor: Predictor, body: GenderedBody, people: People, folder: Path, tmp_path: Path
) -> None:
    records = read_pw3d(folder, tmp_path, split="test")
    results = evaluate_records(predictor, records, body, PROTOCOLS["3dpw"])
    expected = direct(predictor, body, people)
    assert results["samples"] == len(people.genders)
    for name, values in expected.items():
        assert results[name] == pytest.approx(values.mean(), abs=1e-3), name
        assert values.mean() > 20
    assert results["left_out"] == {}


class Known:
    """Model double that predicts the true meshes of the samples, found by their pixels, times a factor."""

    joint_set = COCO

    def __init__(self, people: People, body: GenderedBody, factor: float = 1.0) -> None:
        self.people, self.factor, self.asked = people, factor, list[Any]()
        self.faces, self.template = body.faces.numpy(), body.template.numpy()
        self.info = SimpleNamespace(name="known", body="smpl-neutral")

    def run(self, pixels: np.ndarray, confidence: np.ndarray, intrinsics: Any = None) -> tuple[np.ndarray, np.ndarray]:
        self.asked.append((pixels, confidence, intrinsics))
        distance = np.abs(pixels[:, None, :17] - self.people.coco_px[None, :, :17]).mean((2, 3))
        vertices = self.factor * self.people.true_mesh[distance.argmin(1)]
        return np.zeros((len(pixels), 19, 3), np.float32), vertices.astype(np.float32)


def test_the_ground_truth_has_no_error(people: People, body: GenderedBody, folder: Path, tmp_path: Path) -> None:
    known = Known(people, body)
    results = evaluate_records(known, read_pw3d(folder, tmp_path, split="test"), body, PROTOCOLS["3dpw"])  # type: ignore[arg-type]
    for name in ("mpjpe_mm", "pa_mpjpe_mm", "mpvpe_mm", "pa_mpvpe_mm", "known_camera_mpvpe_mm"):
        assert results[name] == pytest.approx(0, abs=1e-3), name
    assert results["sequences"]["acceleration_mm"] == pytest.approx(0, abs=1e-3)
    # One walk of 15 frames for each of the two people.
    assert (results["sequences"]["sequences"], results["sequences"]["frames"]) == (2, 30)
    assert results["sequences"]["smoothed_mpjpe_mm"] > 1
    (_, _, none), (_, _, cameras) = known.asked
    assert none is None
    assert (cameras[0].fx, cameras[3].cy) == (1961, 960)


def test_a_wrong_size_is_forgiven_by_alignment_alone(
    people: People, body: GenderedBody, folder: Path, tmp_path: Path
) -> None:
    known = Known(people, body, 0.9)
    results = evaluate_records(known, read_pw3d(folder, tmp_path, split="test"), body, PROTOCOLS["3dpw"])  # type: ignore[arg-type]
    expected = 100 * np.linalg.norm(people.true_mesh, axis=-1).mean()
    assert results["mpvpe_mm"] == pytest.approx(expected, abs=1e-2)
    assert results["pa_mpjpe_mm"] == pytest.approx(0, abs=1e-3)
    assert results["mpjpe_mm"] > 1


def test_detections_are_the_input_of_the_model(
    people: People, body: GenderedBody, folder: Path, tmp_path: Path
) -> None:
    known = Known(people, body)
    results = evaluate_records(known, read_pw3d(folder, tmp_path, split="test"), body, PROTOCOLS["3dpw"], "detected")  # type: ignore[arg-type]
    assert results["left_out"] == {"no detection": 6}
    assert results["samples"] == 24
    pixels, confidence, _ = known.asked[0]
    np.testing.assert_allclose(confidence, 0.9, rtol=1e-6)
    off = np.abs(pixels[0, :17] - people.coco_px[1, :17])
    assert 1 < off.mean() < 10
    # Missing detections leave gaps: these frames have no input.
    assert results["sequences"]["sequences"] > 2


def test_noise_is_decided_by_the_seed(predictor: Predictor, body: GenderedBody, folder: Path, tmp_path: Path) -> None:
    records = read_pw3d(folder, tmp_path, split="test")

    def errors(**options: Any) -> dict[str, Any]:
        return evaluate_records(predictor, records, body, PROTOCOLS["3dpw"], "noisy", **options)

    assert errors(seed=1) == errors(seed=1)
    assert errors(seed=1)["mpjpe_mm"] != errors(seed=2)["mpjpe_mm"]
    few = errors(samples=5)
    assert few["samples"] == 5
    assert "sequences" not in few  # the frames of random samples are not consecutive


def test_a_model_of_another_mesh_is_measured_by_its_joints(people: People, body: GenderedBody, tmp_path: Path) -> None:
    known = Known(people, body)
    anny = load_regressor("human36")
    known.faces, known.template = np.zeros((1, 3), np.int64), np.zeros((anny.shape[1], 3))
    known.info = SimpleNamespace(name="light", body="anny")
    # A mesh whose regressed joints are the true ones: the smallest one, by the pseudo-inverse of the regressor.
    spread = np.linalg.pinv(anny.astype(np.float64))
    ground_truth = people.human36 - people.human36[:, :1]

    def run(pixels: np.ndarray, confidence: np.ndarray, intrinsics: Any = None) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros((len(pixels), 19, 3), np.float32), (spread @ ground_truth).astype(np.float32)

    known.run = run  # type: ignore[method-assign]
    records = read_pw3d(people.folder, tmp_path, split="test")
    results = evaluate_records(known, records, body, PROTOCOLS["3dpw"])  # type: ignore[arg-type]
    assert results["mpjpe_mm"] == pytest.approx(0, abs=1e-2)
    assert results["mpvpe_mm"] is results["pa_mpvpe_mm"] is None
    known.info = SimpleNamespace(name="other", body="ellipsoid")
    with pytest.raises(
        InputError, match="model 'other' is of body 'ellipsoid', for which joint set 'human36' is not known"
    ):
        evaluate_records(known, records, body, PROTOCOLS["3dpw"])  # type: ignore[arg-type]


def test_samples_of_the_protocol(predictor: Predictor, body: GenderedBody, folder: Path, tmp_path: Path) -> None:
    records = read_pw3d(folder, tmp_path, split="test")
    protocol = replace(PROTOCOLS["3dpw"], subjects=(1,), frames_per_second=0.0)
    results = evaluate_records(predictor, records, body, protocol)
    assert results["samples"] == 15
    with pytest.raises(InputError, match="3dpw: none of 30 samples is of its subjects and cameras"):
        evaluate_records(predictor, records, body, replace(protocol, cameras=(4,)))


def test_on_the_command_line(bundle: Path, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "report.json"
    arguments = ["evaluate", str(bundle), "--data", str(config), "--report", str(report)]
    assert main([*arguments, "--input", "detected", "--seed", "3"]) == 0
    document = json.loads(report.read_text())
    known = {"model": "untrained", "protocol": "3dpw", "samples": 24, "seed": 3, "input": "detected", "faults": 0}
    assert known.items() <= document.items()
    assert {"mpjpe_mm", "pa_mpjpe_mm", "mpvpe_mm", "pa_mpvpe_mm"} < document.keys()
    text = report.with_suffix(".md").read_text()
    assert text == capsys.readouterr().out
    assert f"| **untrained** | detected | {document['mpjpe_mm']:.1f} |" in text
    assert "| Pose2Mesh | detected | 88.9 |" in text
    assert main([*arguments, "--protocol", "surreal"]) == 2
    assert "--protocol surreal: is for surreal; the config has pw3d, pw3d" in capsys.readouterr().err
    assert main([*arguments, "--set", "data.cach=x"]) == 2
    assert main(["evaluate", str(bundle), "--motions", str(tmp_path), "--protocol", "3dpw"]) == 2
    assert "--protocol: goes with --data" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message", "lost"),
    [
        (lambda data: data["images"][2].pop("cam_param"), "image 2: cam_param is missing", 2),
        (lambda data: data["annotations"][3]["smpl_param"]["pose"].pop(), "annotation 3: smpl_param: pose has 71 ", 1),
        (
            lambda data: data["annotations"][4]["smpl_param"].update(shape=[0]),
            "annotation 4: smpl_param: shape has 1 ",
            1,
        ),
        (lambda data: data["annotations"][6].update(id=5), "annotation 5: id 5 is there twice", 1),
        (lambda data: data["annotations"][7].update(image_id=99), "annotation 7: image_id 99 is not among", 1),
    ],
)
def test_a_fault_is_named_and_skipped_on_request(
    bundle: Path, config: Path, folder: Path, tmp_path: Path, change: Callable, message: str, lost: int
) -> None:
    copy = tmp_path / "PW3D"
    shutil.copytree(folder, copy)
    labels = copy / "data" / "3DPW_latest_test.json"
    data = json.loads(labels.read_text())
    change(data)
    labels.write_text(json.dumps(data))
    moved = (f"data.validation.folder={copy}",)
    options = EvaluateOptions(data=config, overrides=moved)
    with pytest.raises(InputError) as caught:
        evaluate_model(Predictor.load(bundle), options, print)
    assert str(caught.value).startswith(f"{labels}: {message}")
    options = EvaluateOptions(data=config, overrides=moved, on_fault="skip")
    results = evaluate_model(Predictor.load(bundle), options, print)
    assert results["samples"] == 30 - lost
    assert results["faults"] > 0


def test_a_file_cut_short(bundle: Path, config: Path, folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "PW3D"
    shutil.copytree(folder, copy)
    labels = copy / "data" / "3DPW_latest_test.json"
    text = labels.read_text()
    labels.write_text(text[: text.index('"id": 20,')])
    moved = (f"data.validation.folder={copy}",)
    with pytest.raises(InputError, match=r"3DPW_latest_test\.json: cut short at character"):
        evaluate_model(Predictor.load(bundle), EvaluateOptions(data=config, overrides=moved), print)
    options = EvaluateOptions(data=config, overrides=moved, on_fault="skip")
    results = evaluate_model(Predictor.load(bundle), options, print)
    assert (results["samples"], results["faults"]) == (20, 1)


def test_own_data_has_the_plain_protocol(
    bundle: Path, config: Path, people: People, body: GenderedBody, predictor: Predictor, tmp_path: Path
) -> None:
    """The model's joints, here COCO's, from the true mesh; neutral bodies without a known gender."""
    source = json.loads((people.folder / "data" / "3DPW_latest_test.json").read_text())
    camera = {"focal": [1961.0, 1969.0], "princpt": [540.0, 960.0]}
    images = [{"id": 0, "file_name": "a.jpg", "width": 1080, "height": 1920, "cam_param": camera}]
    annotations = []
    for found, seen in zip(source["annotations"], people.coco_px, strict=True):
        keypoints = np.insert(seen[:17], 2, 2, axis=1).ravel().tolist()
        kept = {key: found[key] for key in ("id", "bbox", "smpl_param")}
        annotations.append({**kept, "image_id": 0, "keypoints": keypoints})
    own = tmp_path / "own"
    own.mkdir()
    (own / "annotations.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    overrides = ("data.validation.reader=own", f"data.validation.folder={own}")
    results = evaluate_model(Predictor.load(bundle), EvaluateOptions(data=config, overrides=overrides), print)
    assert (results["protocol"], results["samples"]) == ("plain", 30)
    regressor = body.regressor(COCO).numpy()
    found = regressor @ predictor.run(people.coco_px, np.ones(people.coco_px.shape[:2]))[1].astype(np.float64)
    off = (found - found[:, 17, None]) - (regressor @ (people.vertices - (regressor @ people.vertices)[:, 17, None]))
    assert results["mpjpe_mm"] == pytest.approx(1000 * np.linalg.norm(off[:, :17], axis=-1).mean(), abs=1e-2)


def test_a_protocol_chooses_subjects_and_frames_itself(tmp_path: Path) -> None:
    """The split of the config does not matter: here subject 11 alone, every hundredth frame."""
    literature.write_models(tmp_path / "models")
    literature.write_human36m(tmp_path / "Human36M")
    data = DataConfig(
        body=BodyConfig("smpl", str(tmp_path / "models")),
        validation=DatasetConfig(reader="human36m", protocol=1, stride=100, split="train"),
        folder=str(tmp_path),
        cache=str(tmp_path / "cache"),
    )
    for protocol, count in (("human36m-p2", 6), ("human36m-p1", 3)):
        test = open_test(data, "config.yaml", COCO, protocol, "gt", None)
        assert test.records.subject.tolist() == [9, 9, 9, 11, 11, 11]
        model = SimpleNamespace(joint_set=COCO, faces=test.body.faces.numpy())
        rows = ProtocolTest(model, test.records, test.body, test.protocol).rows("gt")  # type: ignore[arg-type]
        assert len(rows) == count
