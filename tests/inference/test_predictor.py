"""Predictor: checks of the input, coordinate frames, heights and cameras."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pose2mesh.errors import InputError
from pose2mesh.geometry.camera import Intrinsics, look_at, nominal_intrinsics
from pose2mesh.inference import torch_backend
from pose2mesh.inference.person import canvas_size
from pose2mesh.inference.predictor import Predictor
from pose2mesh.inference.torch_backend import TorchBackend
from pose2mesh.models.bundle.bundle import Bundle, load_bundle
from pose2mesh.models.bundle.bundle_info import BundleInfo
from pose2mesh.models.mesh_topology import MeshTopology
from pose2mesh.models.pose2mesh import Mesh, Prediction
from pose2mesh.skeletons import COCO

CAMERA = Intrinsics(800, 820, 500, 400)


def people_px(count: int = 1, seed: int = 0) -> np.ndarray:
    """(P, 17, 3) made-up pixels and confidences."""
    rng = np.random.default_rng(seed)
    pixels = rng.uniform(100, 400, (count, 17, 2)) + rng.uniform(0, 300, (count, 1, 2))
    return np.concatenate([pixels, rng.uniform(0.3, 1, (count, 17, 1))], axis=2)


class Oracle(nn.Module):
    """A network with a fixed output: joints (J, 3) in the axes of a camera that faces the person."""

    joint_set = COCO

    def __init__(self, joints: np.ndarray) -> None:
        super().__init__()
        self.output = torch.from_numpy(joints.astype(np.float32))[None]
        self.received_px: Tensor | None = None

    def forward(self, joints_px: Tensor, confidence: Tensor) -> Prediction:
        self.received_px = joints_px
        points = self.output.expand(len(joints_px), -1, -1)
        return Prediction(points, points)

    def joints(self, points: Tensor) -> Tensor:
        return points

    def vertices(self, points: Tensor) -> Tensor:
        return torch.cat((points, points + 0.01), dim=1)

    def mesh(self, prediction: Prediction) -> Mesh:
        return Mesh(self.joints(prediction.points), self.vertices(prediction.points), None)

    def expected_errors(self, prediction: Prediction) -> None:
        return None


def oracle(joints: np.ndarray, surface: MeshTopology, **info: Any) -> tuple[Predictor, Oracle]:
    network = Oracle(joints)
    description = BundleInfo("oracle", "coco", "none", info.pop("config", {}), "", "", **info)
    return Predictor(TorchBackend(Bundle(network, surface, description))), network  # type: ignore[arg-type]


@pytest.fixture
def predictor(bundle_file: Path) -> Predictor:
    return Predictor.load(bundle_file)


def test_a_person_far_off_the_axis_comes_back_where_they_stand(small_surface: MeshTopology) -> None:
    """The network gets the pixels of a camera turned to the person; its output is turned back onto the right ray."""
    rng = np.random.default_rng(0)
    joints = rng.normal(size=(19, 3)) * (0.3, 0.6, 0.25) + (3.2, -1.0, 4.5)
    root = joints[COCO.root_index]
    pixels = CAMERA.project(joints)
    _, turn = look_at(pixels, np.ones(19), CAMERA)
    predictor, network = oracle((joints - root) @ turn.T, small_surface)

    person = predictor.recover(pixels, intrinsics=CAMERA)[0]

    assert network.received_px is not None
    np.testing.assert_allclose(network.received_px[0], CAMERA.project(joints @ turn.T), atol=1e-3)
    np.testing.assert_allclose(person.joints, joints - root, atol=1e-5)
    np.testing.assert_allclose(person.camera.translation_m, root, atol=1e-4)
    np.testing.assert_allclose(person.joints_camera, joints, atol=1e-4)
    np.testing.assert_allclose(person.vertices_camera[19:], joints + turn.T @ np.full(3, 0.01), atol=1e-4)
    np.testing.assert_allclose(person.camera.project(person.joints), pixels, atol=0.05)
    assert person.camera.kind == "perspective"
    assert person.camera.scale_px_per_m == pytest.approx(math.sqrt(800 * 820) / root[2], rel=1e-4)
    np.testing.assert_allclose(person.camera.shift_px, CAMERA.project(root), atol=0.05)


def test_without_intrinsics_the_joints_lie_over_the_input(small_surface: MeshTopology) -> None:
    joints = np.random.default_rng(1).normal(size=(19, 3)) * (0.3, 0.6, 0.25)
    joints -= joints[COCO.root_index]
    predictor, _ = oracle(joints, small_surface)
    pixels = 140 * joints[:, :2] + (310, 220)
    camera = predictor.recover(pixels, intrinsics=None, image_size=(640, 480))[0].camera
    assert camera.kind == "weak_perspective"
    assert camera.scale_px_per_m == pytest.approx(140, rel=1e-5)
    np.testing.assert_allclose(camera.project(joints), pixels, atol=1e-3)
    # The nominal pinhole camera in the scene file shows the root at the same place and size.
    np.testing.assert_allclose(camera.intrinsics.project(camera.translation_m), camera.shift_px, atol=1e-6)
    assert camera.intrinsics.fx / camera.translation_m[2] == pytest.approx(140, rel=1e-5)
    assert (camera.intrinsics.cx, camera.intrinsics.cy) == (320, 240)


def test_the_camera_of_a_known_image_size_is_used_by_default(predictor: Predictor) -> None:
    pixels = people_px()[0]
    by_size = predictor.recover(pixels, image_size=(640, 480))[0]
    by_image = predictor.recover(pixels, image=np.zeros((480, 640, 3), np.uint8))[0]
    by_camera = predictor.recover(pixels, intrinsics=nominal_intrinsics((640, 480)))[0]
    for person in (by_size, by_image):
        assert (person.camera.kind, person.camera.source) == ("perspective", "nominal")
        np.testing.assert_array_equal(person.vertices, by_camera.vertices)
    assert predictor.recover(pixels)[0].camera.source == "none"
    assert predictor.recover(pixels, intrinsics=CAMERA)[0].camera.source == "given"


@pytest.mark.parametrize(
    ("size", "fault"),
    [((20, 15), "person 0: no joint lies in the image of 20x15"), ((0, 480), "expected width and height in pixels")],
)
def test_a_size_that_cannot_be_that_of_the_image(predictor: Predictor, size: tuple[int, int], fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        predictor.recover(people_px()[0] + (100, 100, 0), image_size=size)


def test_a_height_scales_the_body_and_its_distance(small_surface: MeshTopology) -> None:
    joints = np.random.default_rng(2).normal(size=(19, 3)) * (0.3, 0.6, 0.25) + (0.5, 0.2, 5)
    features = [1 / len(COCO.bones)] * len(COCO.bones) + [math.log(5.0)]
    pixels = CAMERA.project(joints)
    _, turn = look_at(pixels, np.ones(19), CAMERA)
    output = (joints - joints[COCO.root_index]) @ turn.T
    predictor, _ = oracle(output, small_surface, stature_features=features)
    plain = predictor.recover(pixels, intrinsics=CAMERA)[0]
    tall = predictor.recover(pixels, intrinsics=CAMERA, height_m=1.93)[0]
    assert plain.stature_m == pytest.approx(predictor.stature(plain.joints))
    assert tall.stature_m == 1.93
    assert predictor.stature(tall.joints) == pytest.approx(1.93, rel=1e-5)
    factor = 1.93 / plain.stature_m
    np.testing.assert_allclose(tall.vertices, factor * plain.vertices, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(tall.camera.translation_m, factor * plain.camera.translation_m, rtol=1e-4)
    np.testing.assert_allclose(tall.camera.project(tall.joints), pixels, atol=0.05)


def test_a_model_without_heights_refuses_one(small_surface: MeshTopology) -> None:
    predictor, _ = oracle(np.random.default_rng(0).normal(size=(19, 3)), small_surface)
    assert math.isnan(predictor.recover(people_px()[0])[0].stature_m)
    with pytest.raises(InputError, match=r"--height 1.7: model 'oracle' does not predict heights"):
        predictor.recover(people_px()[0], height_m=1.7)


def test_people_keep_their_order_and_do_not_affect_each_other(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = people_px(5)
    together = predictor.recover(array, image_size=(800, 800))
    monkeypatch.setattr(torch_backend, "CHUNK", 2)
    in_parts = predictor.recover(array, image_size=(800, 800))
    assert len(together) == len(in_parts) == 5
    for index, person in enumerate(together):
        alone = predictor.recover(array[index], image_size=(800, 800))[0]
        for other in (alone, in_parts[index]):
            np.testing.assert_allclose(other.vertices, person.vertices, atol=1e-6)
            np.testing.assert_allclose(other.camera.translation_m, person.camera.translation_m, rtol=1e-3)
        np.testing.assert_allclose(person.joints_px[:17], array[index, :, :2], rtol=1e-6)
        assert person.score == pytest.approx(person.confidence.mean(), abs=1e-6)
    assert not np.allclose(together[0].vertices, together[1].vertices)


def test_shapes_frames_and_the_regressor(predictor: Predictor, small_surface: MeshTopology) -> None:
    person = predictor.recover(people_px()[0])[0]
    assert person.vertices.shape == (162, 3)
    assert person.joints.shape == (19, 3)
    np.testing.assert_array_equal(person.joints[COCO.root_index], 0)
    # The joints are those of the mesh: both are relative to the same root.
    np.testing.assert_allclose(small_surface.joint_regressor @ person.vertices, person.joints, atol=1e-5)


def test_people_of_an_image_share_its_nominal_camera(predictor: Predictor) -> None:
    array = people_px(3)
    array[1, :, :2] += 900
    cameras = [person.camera.intrinsics for person in predictor.recover(array)]
    assert cameras[0] == cameras[1] == cameras[2]
    assert cameras[0].cx > 450  # the canvas contains the outermost person


def test_no_people_is_an_empty_list(predictor: Predictor) -> None:
    assert predictor.recover(np.zeros((0, 17, 3))) == []


@pytest.mark.parametrize(
    ("order", "count"),
    [
        ("coco", 17),
        ("coco", 19),
        ("human36", 17),
        ("smpl", 24),
        ("wholebody", 67),
        ("wholebody133", 133),
        ("halpe136", 136),
        ("openpose25", 25),
        ("openpose25", 67),
        ("mediapipe33", 33),
        ("mediapipe33", 75),
    ],
)
def test_every_joint_order_is_taken(predictor: Predictor, order: str, count: int) -> None:
    array = np.random.default_rng(0).uniform(0, 300, (count, 2))
    person = predictor.recover(array, joints=order)[0]
    assert np.isfinite(person.vertices).all()
    assert (person.confidence > 0).sum() >= 12


def test_two_columns_mark_missing_joints_by_zeros(predictor: Predictor) -> None:
    array = people_px()[0]
    array[:, 2] = 1
    array[[3, 9]] = 0
    plain, marked = predictor.recover(array[:, :2])[0], predictor.recover(array)[0]
    np.testing.assert_array_equal(plain.vertices, marked.vertices)
    np.testing.assert_array_equal(np.flatnonzero(plain.confidence == 0), [3, 9])


def test_coordinates_of_a_missing_joint_do_not_matter(predictor: Predictor) -> None:
    first, second = people_px()[0], people_px()[0]
    first[4], second[4] = (0, 0, 0), (np.nan, np.inf, 0)
    np.testing.assert_array_equal(predictor.recover(first)[0].vertices, predictor.recover(second)[0].vertices)


@pytest.mark.parametrize("shift", [-5000.0, -300.0, 0.0, 9e5])
def test_people_are_in_front_of_the_camera_for_any_pixels(predictor: Predictor, shift: float) -> None:
    person = predictor.recover(people_px()[0] + (shift, shift, 0))[0]
    assert person.camera.translation_m[2] > 0
    assert np.isfinite(person.camera.translation_m).all()


def test_a_canvas_holds_its_points_with_a_margin() -> None:
    assert canvas_size(np.array([[100.0, 50.0], [300.0, 100.0]])) == (350, 150)
    assert min(canvas_size(np.array([[-900.0, -700.0], [-800.0, -500.0]]))) > 0


def bad(change: str) -> np.ndarray:
    array = people_px()[0]
    if change == "nan":
        array[2, 0] = np.nan
    elif change == "infinite":
        array[2, 1] = np.inf
    elif change == "huge":
        array[2, 1] = 1e9
    elif change == "confidence":
        array[2, 2] = np.nan
    elif change == "one place":
        array[:, :2] = 50
    elif change == "line":
        array[:, 0] = 50
    elif change == "one joint":
        array[1:, 2] = 0
    elif change == "count":
        array = array[:16]
    elif change == "columns":
        array = np.concatenate([array, array], axis=1)
    elif change == "dimensions":
        array = array[0]
    return array


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("nan", "no finite pixel"),
        ("infinite", "no finite pixel"),
        ("huge", "no finite pixel"),
        ("confidence", "confidence that is not finite"),
        ("one place", "person 0: all joints are in one place"),
        ("line", "person 0: all joints are on one vertical or horizontal line"),
        ("one joint", "person 0: 1 of the joints of 'coco' are there, at least 5"),
        ("count", "16 joints given"),
        ("columns", r"shape \(17, 6\), expected \(J, 2\|3\)"),
        ("dimensions", r"shape \(3,\)"),
    ],
)
def test_bad_arrays_are_refused(predictor: Predictor, change: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        predictor.recover(bad(change))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ["text", [[1, 2], [3]], [None, {}]])
def test_input_that_is_no_array_is_refused(predictor: Predictor, value: Any) -> None:
    with pytest.raises(InputError, match="keypoints"):
        predictor.recover(value)


def test_3d_joints_of_a_detector_turn_the_body(predictor: Predictor) -> None:
    keypoints = people_px(3)
    joints3d = np.random.default_rng(1).normal(0, 0.3, (3, 17, 3))
    joints3d[1] = np.nan
    before, after = predictor.recover(keypoints), predictor.recover(keypoints, joints3d_m=joints3d)
    moved = [np.abs(a.vertices - b.vertices).max() for a, b in zip(before, after, strict=True)]
    assert min(moved[0], moved[2]) > 1e-3
    assert moved[1] < 1e-5


def test_3d_joints_of_another_shape_are_refused(predictor: Predictor) -> None:
    with pytest.raises(InputError, match=r"joints3d_m have shape \(1, 17, 2\), expected \(1, 17, 3\)"):
        predictor.recover(people_px(), joints3d_m=np.zeros((17, 2)))
    with pytest.raises(InputError, match="joints3d_m are not an array of numbers"):
        predictor.recover(people_px(), joints3d_m="depth")  # type: ignore[arg-type]


def test_an_unknown_order_is_refused(predictor: Predictor) -> None:
    with pytest.raises(InputError, match="joint set 'lsp' is not known"):
        predictor.recover(people_px()[0], joints="lsp")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_an_unavailable_device_is_refused(bundle_file: Path) -> None:
    with pytest.raises(InputError, match="--device cuda: no CUDA device is available"):
        Predictor.load(bundle_file, "cuda")


def test_an_unknown_device_is_refused(bundle_file: Path) -> None:
    with pytest.raises(InputError, match="--device 'tpu': expected cpu or cuda"):
        Predictor.load(bundle_file, "tpu")


@pytest.mark.gpu
def test_the_gpu_agrees_with_the_cpu(bundle_file: Path) -> None:
    array = people_px(3)
    for own, other in zip(
        Predictor.load(bundle_file).recover(array), Predictor.load(bundle_file, "cuda").recover(array), strict=True
    ):
        np.testing.assert_allclose(own.vertices, other.vertices, atol=1e-4)


def test_a_lifter_alone_is_refused(bundle_file: Path) -> None:
    bundle = load_bundle(bundle_file)
    bundle.info.config["stage"] = "posenet"
    with pytest.raises(InputError, match="model 'small' is a lifter without a mesh"):
        Predictor(TorchBackend(bundle))
