"""A second lifter, registered by this test alone, goes through the config, training, bundles, inference and export."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pose2mesh.config.train_config import TrainConfig
from pose2mesh.errors import InputError
from pose2mesh.inference.onnx_export import export_onnx
from pose2mesh.inference.predictor import Predictor
from pose2mesh.models import losses
from pose2mesh.models.bundle.bundle import Bundle, load_bundle, save_bundle
from pose2mesh.models.bundle.bundle_file import read_bundle
from pose2mesh.models.bundle.bundle_info import BundleInfo
from pose2mesh.models.lifter import Lifted, Lifter
from pose2mesh.models.lifter_registry import LIFTERS, LifterEntry, OnnxWriter, find_lifter
from pose2mesh.models.mesh_topology import MeshTopology
from pose2mesh.models.network_config import LIFTER_PREFIX, NetworkConfig
from pose2mesh.models.onnx_graph.graph_builder import LiftedNames, OnnxGraph
from pose2mesh.models.pose2mesh import Pose2Mesh
from pose2mesh.skeletons import COCO
from pose2mesh.training.pretrained import load_pretrained

J = len(COCO)


@dataclass
class TinySettings:
    hidden: int = 8
    window: int = 3


class TinyLifter(Lifter):
    """Two linear layers over the mean of the window's frames."""

    settings: ClassVar[type | None] = TinySettings
    needs_confidence: ClassVar[bool] = True

    def __init__(self, joints: int, in_channels: int, settings: TinySettings) -> None:
        super().__init__()
        self.window = settings.window
        self.first = nn.Linear(joints * in_channels, settings.hidden)
        self.last = nn.Linear(settings.hidden, joints * 3)

    @classmethod
    def from_config(cls, config: NetworkConfig, joints: int) -> TinyLifter:
        return cls(joints, config.in_channels, TinySettings(**config.lifter_settings))

    def forward(self, x: Tensor) -> Lifted:
        assert x.shape[1] == self.window
        return Lifted(self.last(self.first(x.mean(1).flatten(1)).relu()).unflatten(1, (-1, 3)), None)


def write_tiny(graph: OnnxGraph, x: str, config: NetworkConfig, joints: int) -> LiftedNames:
    hidden = graph.op("Gemm", graph.op("Flatten", x), *graph.linear(f"{LIFTER_PREFIX}first"), transB=1)
    flat = graph.op("Gemm", graph.op("Relu", hidden), *graph.linear(f"{LIFTER_PREFIX}last"), transB=1)
    return LiftedNames(graph.op("Reshape", flat, [-1, joints, 3], output="lifted"), None)


def _network() -> type[Lifter]:
    return TinyLifter


def _writer() -> OnnxWriter:
    return write_tiny


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch, small_config: NetworkConfig) -> NetworkConfig:
    monkeypatch.setitem(LIFTERS, "tiny", LifterEntry(_network, _writer))
    return replace(small_config, lifter="tiny", lifter_settings={"hidden": 6})


@pytest.fixture
def tiny(config: NetworkConfig, small_surface: MeshTopology) -> Pose2Mesh:
    torch.manual_seed(0)
    return Pose2Mesh(config, COCO, small_surface)


@pytest.fixture
def tiny_bundle(tiny: Pose2Mesh, small_surface: MeshTopology, tmp_path: Path) -> Path:
    info = BundleInfo("tiny", "coco", "ellipsoid", {"network": tiny.config.as_dict()}, "nothing", "Apache-2.0")
    save_bundle(tmp_path / "tiny.safetensors", Bundle(tiny.eval(), small_surface, info))
    return tmp_path / "tiny.safetensors"


def keypoints(count: int) -> np.ndarray:
    """(P, 17, 3) keypoints in COCO's order."""
    rng = np.random.default_rng(0)
    return np.concatenate([rng.uniform(100, 300, (count, 17, 2)), rng.uniform(0.5, 1, (count, 17, 1))], axis=-1)


# Network


def test_one_training_step_moves_the_lifter(tiny: Pose2Mesh, small_surface: MeshTopology) -> None:
    optimiser = torch.optim.Adam(tiny.parameters(), lr=1e-3)
    before = tiny.lifter.state_dict()["first.weight"].clone()
    prediction = tiny(60 * torch.randn(4, J, 2), torch.ones(4, J))
    target = torch.zeros(4, J, 3)
    loss = losses.masked_l1(prediction.lifted, target, torch.ones(4, J)) + prediction.points.square().mean()
    loss.backward()
    optimiser.step()
    assert prediction.points.shape == (4, len(small_surface.points), 3)
    assert not torch.equal(tiny.lifter.state_dict()["first.weight"], before)


def test_a_window_gives_the_middle_frame_and_a_single_frame_is_repeated(tiny: Pose2Mesh) -> None:
    tiny.eval()
    frames, confidence = 60 * torch.randn(2, 3, J, 2), torch.ones(2, 3, J)
    window, single = tiny(frames, confidence), tiny(frames[:, 1], confidence[:, 1])
    assert window.points.shape == single.points.shape
    assert not torch.allclose(window.lifted, single.lifted)
    still = frames[:, 1:2].expand(-1, 3, -1, -1)
    torch.testing.assert_close(tiny(still, confidence).points, single.points)


# Config


def check(network: NetworkConfig) -> None:
    config = TrainConfig(network=network)
    config.data.synthetic.poses.procedural = 1.0
    config.check("a.yaml")


def test_settings_are_validated(config: NetworkConfig) -> None:
    check(config)
    for change, fault in (
        ({"lifter": "tony"}, "a.yaml: network.lifter 'tony' is not known; the nearest is 'tiny'"),
        (
            {"lifter_settings": {"hiden": 3}},
            "'network.lifter_settings.hiden' is not known; the nearest is 'netw",
        ),
        ({"lifter_settings": {"hidden": "many"}}, "network.lifter_settings.hidden is 'many', expected int"),
        ({"confidence_input": False}, "network.confidence_input is false, expected true for network.lifter 'tiny'"),
        ({"lifter": "posenet"}, "network.lifter_settings has hidden, expected none for 'posenet'"),
    ):
        with pytest.raises(InputError) as caught:
            check(replace(config, **change))
        assert fault in str(caught.value)


def test_an_unknown_lifter_is_refused_by_the_network(small_config: NetworkConfig, small_surface: MeshTopology) -> None:
    with pytest.raises(InputError, match="lifter 'pose_net' is not known; the nearest is 'posenet'"):
        Pose2Mesh(replace(small_config, lifter="pose_net"), COCO, small_surface)


@pytest.mark.parametrize("name", list(LIFTERS))
def test_every_lifter_predicts_its_joints(name: str, small_config: NetworkConfig) -> None:
    lifter = find_lifter(name).network().from_config(replace(small_config, lifter=name), 17).eval()
    x = torch.zeros(2, 17, 3) if lifter.window == 1 else torch.zeros(2, lifter.window, 17, 3)
    assert lifter(x).joints.shape == (2, 17, 3)
    assert lifter.window % 2 == 1


# Bundles


def test_bundle_round_trip(tiny_bundle: Path, tiny: Pose2Mesh) -> None:
    loaded = load_bundle(tiny_bundle).model
    assert isinstance(loaded.lifter, TinyLifter)
    x = 60 * torch.randn(2, J, 2), torch.ones(2, J)
    with torch.no_grad():
        torch.testing.assert_close(loaded(*x).points, tiny.eval()(*x).points, atol=1e-2, rtol=1e-2)


def test_bundle_of_before_there_was_a_choice_has_posenet(bundle_file: Path) -> None:
    values: dict[str, Any] = dict(read_bundle(bundle_file).info.config["network"])
    del values["lifter"], values["lifter_settings"], values["posenet_unit_m"]
    config = NetworkConfig.from_bundle(values)
    assert (config.lifter, config.lifter_settings, config.posenet_unit_m) == ("posenet", {}, 1.0)


def test_bundle_with_an_unknown_lifter_names_it(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(LIFTERS, "tiny")
    for backend in ("torch", "onnx"):
        with pytest.raises(InputError, match=r"tiny\.safetensors: .*network\.lifter 'tiny' is not known"):
            Predictor.load(tiny_bundle, backend=backend)


# Inference


def test_predict_with_pytorch_onnx_runtime_and_an_exported_file(tiny_bundle: Path, tmp_path: Path) -> None:
    exported = tmp_path / "tiny.onnx"
    export_onnx(str(tiny_bundle), exported)
    expected = Predictor.load(tiny_bundle).recover(keypoints(3))
    for other in (Predictor.load(tiny_bundle, backend="onnx"), Predictor.load(exported)):
        for person, reference in zip(other.recover(keypoints(3)), expected, strict=True):
            np.testing.assert_allclose(person.vertices, reference.vertices, atol=1e-4)


def test_a_lifter_without_onnx_nodes_says_so(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LIFTERS, "tiny", LifterEntry(_network))
    assert Predictor.load(tiny_bundle).recover(keypoints(1))
    fault = r"tiny\.safetensors: network\.lifter 'tiny' has no ONNX form; expected --backend torch"
    with pytest.raises(InputError, match=fault):
        Predictor.load(tiny_bundle, backend="onnx")
    with pytest.raises(InputError, match=fault):
        export_onnx(str(tiny_bundle), tmp_path / "tiny.onnx")


# Starting from another run


def test_a_run_starts_from_the_same_lifter_alone(
    tiny_bundle: Path, tiny: Pose2Mesh, network: Pose2Mesh, config: NetworkConfig, small_surface: MeshTopology
) -> None:
    fresh, said = Pose2Mesh(config, COCO, small_surface), list[str]()
    load_pretrained(fresh, tiny_bundle, True, said.append)
    for name, value in fresh.lifter.state_dict().items():
        torch.testing.assert_close(value, tiny.lifter.state_dict()[name], atol=1e-3, rtol=1e-3)
    with pytest.raises(InputError, match=r"its network\.lifter is 'tiny', expected 'posenet'"):
        load_pretrained(network, tiny_bundle, False, said.append)
