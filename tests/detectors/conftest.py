"""Synthetic images with known people, and small ONNX files with the interfaces of YOLOX and RTMPose that detect them.

A person is a blue square, which the person detectors detect, and for each joint a disc of its own colour, which the
pose network detects.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pose2mesh.detectors.detection import Detection

BLUE = np.array([0, 0, 200])  # RGB
SQUARE_PX = 32  # a cell of the finest grid of the person detector, in an image of 640 pixels
BOX_PX = (110.0, 150.0)
NETWORK_PX = 160  # side of the input of the person detector
MEAN, SPREAD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def joint_colours() -> NDArray[np.int64]:
    """(17, 3) RGB, bright, and far from each other and from blue."""
    levels = np.stack(np.meshgrid(*[[0, 85, 170, 255]] * 3), axis=-1).reshape(-1, 3)
    bright = levels[(levels.max(axis=1) == 255) & (np.linalg.norm(levels - BLUE, axis=1) > 140)]
    return bright[:17]


@pytest.fixture(scope="session")
def draw() -> Callable[..., NDArray[np.uint8]]:
    """Draws people: `draw(size, centres, joints)` with size (width, height), centres (P, 2) and joints (P, 17, 2)."""

    def draw_people(
        size: tuple[int, int], centres: NDArray[np.floating], joints: NDArray[np.floating], radius: float = 3.0
    ) -> NDArray[np.uint8]:
        image = np.zeros((size[1], size[0], 3))
        down, across = np.mgrid[: size[1], : size[0]]
        for left, top in np.asarray(centres) - SQUARE_PX / 2:
            image[max(0, int(top)) : int(top) + SQUARE_PX, max(0, int(left)) : int(left) + SQUARE_PX] = BLUE
        for person in joints:
            for (x, y), colour in zip(person, joint_colours(), strict=True):
                cover = np.clip(radius + 0.5 - np.hypot(across - x, down - y), 0, 1)[..., None]
                image = image * (1 - cover) + colour * cover
        return image.round().astype(np.uint8)

    return draw_people


@pytest.fixture(scope="session")
def stand() -> Callable[[float, float], NDArray[np.float64]]:
    """The joints (17, 2) of a person around a centre, none of them on a whole pixel."""

    def around(x: float, y: float) -> NDArray[np.float64]:
        angle = np.linspace(0, 2 * np.pi, 17, endpoint=False)
        return np.stack([x + 40.3 * np.sin(angle), y - 61.7 * np.cos(angle)], axis=1)

    return around


@pytest.fixture(scope="session")
def save_network(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes an ONNX file: `save_network(name, size, outputs, nodes, constants)`."""
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    folder = tmp_path_factory.mktemp("networks")

    def single(value: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(value, np.float32) if value.dtype == np.float64 else value

    def save(
        name: str, size: tuple[int, int], outputs: list[str], nodes: list[Any], constants: dict[str, NDArray[Any]]
    ) -> Path:
        helper, kinds = onnx.helper, onnx.TensorProto
        made = [helper.make_node(kind, takes, gives, **options) for kind, takes, gives, options in nodes]
        graph = helper.make_graph(
            made,
            name,
            [helper.make_tensor_value_info("input", kinds.FLOAT, [1, 3, size[1], size[0]])],
            [
                helper.make_tensor_value_info(each, kinds.INT64 if each == "labels" else kinds.FLOAT, None)
                for each in outputs
            ],
            [onnx.numpy_helper.from_array(single(value), key) for key, value in constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.save(model, folder / name)
        return folder / name

    return save


@pytest.fixture(scope="session", params=[(192, 256), (288, 384)], ids=["256x192", "384x288"])
def pose_file(request: pytest.FixtureRequest, save_network: Callable[..., Path]) -> Path:
    """RTMPose's interface: the peak of each joint's scores is at the centre of its colour."""
    width, height = request.param
    constants = {
        "mean": np.array(MEAN, np.float32).reshape(1, 3, 1, 1),
        "spread": np.array(SPREAD, np.float32).reshape(1, 3, 1, 1),
        "colours": joint_colours().astype(np.float32).reshape(1, 17, 3, 1, 1),
        "axis_1": np.array([1], np.int64),
        "axis_2": np.array([2], np.int64),
        "both": np.array([2, 3], np.int64),
        "sharp": np.float32(-1 / 600),
        "enough": np.float32(1 / 4),
        "one": np.float32(1),
        "tiny": np.float32(1e-9),
        "wide": np.float32(-1 / 20),
        "x": np.arange(width, dtype=np.float32).reshape(1, 1, 1, width),
        "y": np.arange(height, dtype=np.float32).reshape(1, 1, height, 1),
        "bins_x": np.arange(2 * width, dtype=np.float32).reshape(1, 1, -1) / 2,
        "bins_y": np.arange(2 * height, dtype=np.float32).reshape(1, 1, -1) / 2,
    }
    nodes = [
        ("Mul", ["input", "spread"], ["scaled"], {}),
        ("Add", ["scaled", "mean"], ["rgb"], {}),
        ("Unsqueeze", ["rgb", "axis_1"], ["rgb_5d"], {}),
        ("Sub", ["rgb_5d", "colours"], ["difference"], {}),
        ("Mul", ["difference", "difference"], ["squared"], {}),
        ("ReduceSum", ["squared", "axis_2"], ["distance"], {"keepdims": 0}),
        ("Mul", ["distance", "sharp"], ["exponent"], {}),
        ("Exp", ["exponent"], ["alike"], {}),
        ("ReduceSum", ["alike", "both"], ["amount"], {"keepdims": 1}),
        ("Add", ["amount", "tiny"], ["divisor"], {}),
        ("Mul", ["amount", "enough"], ["share"], {}),
        ("Min", ["share", "one"], ["peak_4d"], {}),
        ("Squeeze", ["peak_4d", "axis_2"], ["peak"], {}),
    ]
    for axis in ("x", "y"):
        nodes += [
            ("Mul", ["alike", axis], [f"weighted_{axis}"], {}),
            ("ReduceSum", [f"weighted_{axis}", "both"], [f"sum_{axis}"], {"keepdims": 1}),
            ("Div", [f"sum_{axis}", "divisor"], [f"mean_{axis}_4d"], {}),
            ("Squeeze", [f"mean_{axis}_4d", "axis_2"], [f"mean_{axis}"], {}),
            ("Sub", [f"bins_{axis}", f"mean_{axis}"], [f"off_{axis}"], {}),
            ("Mul", [f"off_{axis}", f"off_{axis}"], [f"off2_{axis}"], {}),
            ("Mul", [f"off2_{axis}", "wide"], [f"fall_{axis}"], {}),
            ("Exp", [f"fall_{axis}"], [f"bell_{axis}"], {}),
            ("Mul", [f"bell_{axis}", "peak"], [f"simcc_{axis}"], {}),
        ]
    return save_network(f"pose_{width}.onnx", (width, height), ["simcc_x", "simcc_y"], nodes, constants)


@pytest.fixture(scope="session")
def finder_file(save_network: Callable[..., Path]) -> Path:
    """YOLOX's own interface, for BGR: a box of `BOX_PX` around each blue square of an image of 640 pixels."""
    cells = NETWORK_PX // 8
    coarser = (NETWORK_PX // 16) ** 2 + (NETWORK_PX // 32) ** 2
    places = np.full((1, cells**2, 4), 0.5, np.float32)
    places[..., 2:] = np.log(np.array(BOX_PX) * NETWORK_PX / 640 / 8)
    classes = np.zeros((1, cells**2, 80), np.float32)
    classes[..., 0] = 1
    constants = {
        "blue_less_red": np.array([1, 0, -1], np.float32).reshape(1, 3, 1, 1) / BLUE[2],
        "row": np.array([1, -1, 1], np.int64),
        "places": places,
        "classes": classes,
        "no_person": np.zeros((1, coarser, 85), np.float32),
    }
    nodes = [
        ("Conv", ["input", "blue_less_red"], ["blue"], {}),
        ("AveragePool", ["blue"], ["cells"], {"kernel_shape": [8, 8], "strides": [8, 8]}),
        ("Reshape", ["cells", "row"], ["objects"], {}),
        ("Concat", ["places", "objects", "classes"], ["fine"], {"axis": 2}),
        ("Concat", ["fine", "no_person"], ["output"], {"axis": 1}),
    ]
    return save_network("yolox.onnx", (NETWORK_PX, NETWORK_PX), ["output"], nodes, constants)


@pytest.fixture(scope="session")
def end_to_end_file(save_network: Callable[..., Path]) -> Path:
    """MMDeploy's interface of YOLOX: two people, a dog and a person with too low a score, for every image."""
    boxes = [[10, 10, 40, 70, 0.6], [80, 20, 130, 90, 0.9], [5, 5, 60, 60, 0.95], [90, 90, 99, 99, 0.1]]
    constants = {
        "boxes": np.array([boxes], np.float32),
        "labels_of_boxes": np.array([[0, 0, 16, 0]], np.int64),
        "zero": np.float32(0),
    }
    nodes = [
        ("ReduceMean", ["input"], ["mean"], {"keepdims": 0}),
        ("Mul", ["mean", "zero"], ["nothing"], {}),
        ("Add", ["boxes", "nothing"], ["dets"], {}),
        ("Identity", ["labels_of_boxes"], ["labels"], {}),
    ]
    return save_network("end2end.onnx", (NETWORK_PX, NETWORK_PX), ["dets", "labels"], nodes, constants)


@pytest.fixture
def person() -> Callable[..., Detection]:
    """A synthetic detection: `person(shift=0, score=1, detected=17)`, 100 x 200 pixels at the origin."""

    def make(shift: float = 0.0, score: float = 1.0, detected: int = 17) -> Detection:
        joints = np.random.default_rng(0).uniform((0, 0), (100, 200), (17, 2)) + shift
        confidence = (np.arange(17) < detected).astype(np.float32)
        box = np.array([0, 0, 100, 200], np.float32) + np.float32(shift)
        return Detection(joints.astype(np.float32), confidence, box, score)

    return make
