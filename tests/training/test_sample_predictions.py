"""Sample predictions: what the files say is what the network answered, beside the truth in the same frame."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from pose2mesh import metrics
from pose2mesh.body_models import anny
from pose2mesh.body_models.default_body import default_body
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.config.train_config import TrainConfig, parse_config
from pose2mesh.datasets.synthetic.pose_sampling import PoseSource
from pose2mesh.datasets.synthetic_source import SyntheticSource
from pose2mesh.evaluation.synthetic_evaluator import evaluate_synthetic
from pose2mesh.inference.predictor import Predictor
from pose2mesh.inference.torch_backend import TorchBackend
from pose2mesh.models.bundle.bundle import Bundle
from pose2mesh.models.bundle.bundle_info import BundleInfo
from pose2mesh.models.pose2mesh import Pose2Mesh
from pose2mesh.skeletons import COCO
from pose2mesh.training import finalize, sample_predictions
from pose2mesh.training.pose2mesh_task import build_network

COUNT = sample_predictions.SAMPLE_COUNT


@pytest.fixture(scope="module")
def config() -> TrainConfig:
    network = {
        "confidence_input": True, "isotropic": True, "posenet_width": 16, "posenet_unit_m": 1.0, "posenet_blocks": 1,
        "coarsenings": 8,
        "finest": 7, "joint_widths": [8], "block_widths": [[8, 8], [8, 8]], "head_width": 8,
    }  # fmt: skip
    data = {"synthetic": {"poses": {"procedural": 1.0}, "noise": {"drop": 1.0}}}
    return parse_config({"stage": "pose2mesh", "network": network, "data": data, "name": "tiny"}, "test")


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return default_body()


@pytest.fixture(scope="module")
def source(config: TrainConfig) -> PoseSource:
    return PoseSource(None, config.data.synthetic.poses)


@pytest.fixture(scope="module")
def data_source(config: TrainConfig, body: BodyModel, source: PoseSource) -> SyntheticSource:
    return SyntheticSource(body, COCO, (source, source), config.data.synthetic)


@pytest.fixture(scope="module")
def network(config: TrainConfig, data_source: SyntheticSource) -> Pose2Mesh:
    torch.manual_seed(0)
    return build_network(config, data_source)[1].eval()


@pytest.fixture(scope="module")
def written(network: Pose2Mesh, data_source: SyntheticSource, tmp_path_factory: Any) -> dict[str, Path]:
    """The folders of a whole network's samples and of a lifter's."""
    folder = tmp_path_factory.mktemp("run")
    stages: tuple[Literal["pose2mesh", "posenet"], ...] = ("pose2mesh", "posenet")
    for stage in stages:
        sample_predictions.write_samples(folder / stage, stage, network, data_source.body.faces.numpy(), data_source)
    return {"pose2mesh": folder / "pose2mesh", "posenet": folder / "posenet"}


@pytest.fixture(scope="module")
def drawn(network: Pose2Mesh, data_source: SyntheticSource) -> sample_predictions.SamplePredictions:
    return sample_predictions.predict_samples("pose2mesh", network, data_source)


@pytest.mark.thorough
def test_the_files(written: dict[str, Path]) -> None:
    tables = {f"sample_{index}.csv" for index in range(COUNT)}
    meshes = {f"sample_{index}.obj" for index in range(COUNT)}
    assert {path.name for path in written["pose2mesh"].iterdir()} == tables | meshes | {"samples.png"}
    assert {path.name for path in written["posenet"].iterdir()} == tables | {"samples.png"}


@pytest.mark.parametrize("stage", ["pose2mesh", "posenet"])
def test_coordinates_and_errors_agree(stage: str, written: dict[str, Path]) -> None:
    for index in range(COUNT):
        comment, *lines = (written[stage] / f"sample_{index}.csv").read_text().splitlines()
        rows = list(csv.DictReader(lines))
        assert [row["joint"] for row in rows] == list(COCO.names)
        found, truth = (
            torch.tensor([[float(row[f"{prefix}{axis}_mm"]) for axis in "xyz"] for row in rows])
            for prefix in ("", "true_")
        )
        distance = (found - truth).norm(dim=-1)
        torch.testing.assert_close(distance, torch.tensor([float(row["error_mm"]) for row in rows]), atol=0.3, rtol=0)
        said = {part.split()[0]: float(part.split()[1]) for part in comment[2:].split(";")[0].split(", ")}
        assert set(said) == ({"MPJPE", "PA-MPJPE", "MPVPE"} if stage == "pose2mesh" else {"MPJPE", "PA-MPJPE"})
        chosen = COCO.evaluation_indices
        assert said["MPJPE"] == pytest.approx(float(distance[chosen].mean()), abs=0.3)
        aligned = metrics.procrustes_distance(found[None, chosen], truth[None, chosen])
        assert said["PA-MPJPE"] == pytest.approx(float(aligned), abs=0.3)
        assert (found[COCO.root_index] == 0).all()
        assert (truth[COCO.root_index] == 0).all()
        assert 1000 < float(truth[:, 1].max() - truth[:, 1].min()) + float(truth[:, 2].max() - truth[:, 2].min()) < 4000


def test_joints_and_vertices_share_a_frame(drawn: sample_predictions.SamplePredictions, body: BodyModel) -> None:
    """The truth's vertices are turned to the ray as its joints are; both are relative to the regressed root."""
    assert drawn.vertices is not None
    assert drawn.true_vertices is not None
    regressor = body.regressor(COCO).numpy()
    np.testing.assert_allclose(regressor @ drawn.true_vertices, drawn.true_joints, atol=1e-4)
    np.testing.assert_allclose(regressor @ drawn.vertices, drawn.joints, atol=1e-4)
    distance = np.linalg.norm(drawn.vertices - drawn.true_vertices, axis=-1).mean(-1)
    np.testing.assert_allclose([1000 * value for value in distance], [e["MPVPE"] for e in drawn.errors], rtol=1e-4)


def test_the_prediction_is_the_network_s(
    drawn: sample_predictions.SamplePredictions, network: Pose2Mesh, data_source: SyntheticSource
) -> None:
    pixels, confidence = torch.from_numpy(drawn.joints_px), torch.from_numpy(drawn.confidence)
    with torch.no_grad():
        prediction = network(pixels, confidence)
    joints = network.joints(prediction.points)
    np.testing.assert_allclose(drawn.joints, joints - joints[:, COCO.root_index, None], atol=1e-5)
    lifter = sample_predictions.predict_samples("posenet", network, data_source)
    lifted = prediction.lifted - prediction.lifted[:, COCO.root_index, None]
    np.testing.assert_allclose(lifter.joints, lifted, atol=1e-5)
    assert lifter.vertices is None


def test_no_joint_is_missing_and_the_seed_of_the_run_does_not_matter(
    drawn: sample_predictions.SamplePredictions, network: Pose2Mesh, data_source: SyntheticSource
) -> None:
    assert (drawn.confidence > 0).all()
    torch.manual_seed(99)
    again = sample_predictions.predict_samples("pose2mesh", network, data_source)
    for name in ("joints_px", "joints", "true_joints", "vertices", "true_vertices"):
        np.testing.assert_array_equal(getattr(drawn, name), getattr(again, name))
    assert drawn.errors == again.errors


def test_the_mesh_file_is_the_prediction(
    written: dict[str, Path], drawn: sample_predictions.SamplePredictions, body: BodyModel
) -> None:
    assert drawn.vertices is not None
    mesh = trimesh.load(written["pose2mesh"] / "sample_3.obj", process=False)
    np.testing.assert_allclose(mesh.vertices, drawn.vertices[3] * (1, -1, -1), atol=2e-5)
    np.testing.assert_array_equal(mesh.faces, body.faces.numpy())


def test_a_tile_shows_input_prediction_and_truth(drawn: sample_predictions.SamplePredictions, body: BodyModel) -> None:
    size = sample_predictions.TILE_PX
    lifter = replace(drawn, vertices=None, true_vertices=None)
    for shown, faces in ((drawn, body.faces.numpy()), (lifter, body.faces.numpy())):
        tile = sample_predictions.draw_tile(shown, 0, COCO, faces)
        assert tile.shape == (size, 5 * size, 3)
        panels = [tile[:, start : start + size].astype(int) for start in range(0, 5 * size, size)]
        inked = [np.abs(panel - sample_predictions._panel("").astype(int)).sum(-1) > 60 for panel in panels]
        assert all(mask.mean() > 0.01 for mask in inked)
        red, blue = (panel[mask].mean(0) for panel, mask in zip(panels[:2], inked[:2], strict=True))
        assert red[0] > red[2]
        assert blue[2] > blue[0]
        # Where prediction and truth are the same, so are their shapes.
        same = replace(shown, joints=shown.true_joints, vertices=shown.true_vertices)
        tile = sample_predictions.draw_tile(same, 0, COCO, faces)
        for left in (1, 3):
            grey = tile[30:, left * size : (left + 2) * size].astype(int).mean(-1)
            ground = sample_predictions._panel("")[30:].astype(int).mean(-1)
            masks = [np.abs(grey[:, part] - ground) > 25 for part in (slice(0, size), slice(size, None))]
            assert (masks[0] & masks[1]).sum() > 0.9 * (masks[0] | masks[1]).sum()


def test_the_sheet_holds_every_sample(written: dict[str, Path]) -> None:
    for folder in written.values():
        with Image.open(folder / "samples.png") as sheet:
            assert sheet.width > 2 * 5 * sample_predictions.TILE_PX
            assert sheet.height > COUNT // 2 * sample_predictions.TILE_PX


def test_a_run_ends_with_samples_and_one_body(
    config: TrainConfig,
    network: Pose2Mesh,
    body: BodyModel,
    source: PoseSource,
    data_source: SyntheticSource,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    surface, fresh = build_network(config, data_source)
    fresh.load_state_dict(network.state_dict())
    monkeypatch.setattr(finalize, "MEASURED_SAMPLES", 8)
    with monkeypatch.context() as patch:
        patch.setattr(anny, "AnnyBody", lambda: pytest.fail("another body was built"))
        bundle = finalize.finish(tmp_path / "bundle.safetensors", config, fresh, surface, data_source)
    assert {path.name for path in tmp_path.iterdir()} == {"bundle.safetensors", "samples"}
    assert (tmp_path / "samples" / "samples.png").is_file()
    assert len(bundle.info.errors) == 2
    # The body that is passed along changes nothing.
    info = BundleInfo("tiny", "coco", "anny", {"network": config.network.as_dict()}, "nothing", "Apache-2.0")
    recovery = Predictor(TorchBackend(Bundle(fresh, surface, info)))
    own, passed = (evaluate_synthetic(recovery, source, 4, 1, "gt", body=given) for given in (None, body))
    assert own == passed
