from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pose2mesh.detectors.onnx_files import OnnxNetwork
from pose2mesh.detectors.registry import load_detector
from pose2mesh.detectors.rtmpose import PoseNetwork, RTMPoseDetector, crop, crop_window
from pose2mesh.detectors.yolox import PersonDetector
from pose2mesh.errors import InputError


def assert_close(found: np.ndarray, expected: np.ndarray, step: float = 0.75) -> None:
    """To about half a pixel of the network (`step`), and much closer on the mean, where rounding averages out."""
    assert np.abs(found - expected).max() < 0.7 * step
    assert np.abs((found - expected).mean(axis=0)).max() < 0.15 * step


@pytest.fixture
def detector(finder_file: Path, pose_file: Path) -> RTMPoseDetector:
    return RTMPoseDetector(PersonDetector(OnnxNetwork(finder_file)), PoseNetwork(OnnxNetwork(pose_file)))


@pytest.mark.thorough
@pytest.mark.parametrize("size", [(640, 480), (480, 640)])
def test_people_are_detected_to_a_fraction_of_a_pixel(
    size: tuple[int, int], detector: RTMPoseDetector, draw: Callable, stand: Callable
) -> None:
    centres = np.array([[112, 112], [368, 368]])
    joints = np.stack([stand(*centre) for centre in centres])
    people = detector(draw(size, centres, joints))
    assert len(people) == 2
    for person in people:
        expected = joints[int(person.box_px[0] > 200)]
        assert_close(person.joints_px, expected)
        assert person.confidence.min() > 0.99
        assert 0.9 < person.score <= 1


def test_joints_beyond_the_border_have_no_confidence(
    detector: RTMPoseDetector, draw: Callable, stand: Callable
) -> None:
    centre = np.array([[16, 240]])
    joints = stand(16, 240)
    (person,) = detector(draw((640, 480), centre, joints[None]))
    inside, outside = joints[:, 0] > 3, joints[:, 0] < -4
    assert outside.sum() >= 5
    assert (person.confidence[outside] == 0).all()
    assert (person.confidence[inside] > 0.9).all()
    assert_close(person.joints_px[inside], joints[inside])
    assert person.box_px[0] == 0


@pytest.mark.thorough
def test_a_large_person_is_detected(detector: RTMPoseDetector, draw: Callable, stand: Callable) -> None:
    joints = 6 * stand(120, 130)
    image = draw((1440, 1560), np.zeros((0, 2)), joints[None], radius=18)
    (person,) = detector(image, np.array([[380, 330, 1060, 1230]]))
    assert_close(person.joints_px, joints, step=4.4)


def test_known_boxes_give_one_pose_each_in_their_order(
    detector: RTMPoseDetector, draw: Callable, stand: Callable
) -> None:
    joints = np.stack([stand(112, 112), stand(368, 368)])
    boxes = np.array([[300, 290, 440, 450], [500, 20, 600, 200], [50, 30, 180, 190], [50, 30, 180, 190]])
    people = detector(draw((640, 480), np.zeros((0, 2)), joints), boxes)
    assert_close(people[0].joints_px, joints[1])
    assert (people[1].confidence == 0).all()
    assert people[1].score == 0
    for person in people[2:]:
        assert_close(person.joints_px, joints[0])
    np.testing.assert_array_equal([person.box_px for person in people], boxes)


def test_one_person_detected_twice_is_returned_once(
    end_to_end_file: Path, pose_file: Path, stand: Callable, draw: Callable
):
    network = PoseNetwork(OnnxNetwork(pose_file))
    detector = RTMPoseDetector(PersonDetector(OnnxNetwork(end_to_end_file)), network)
    image = draw((640, 640), np.zeros((0, 2)), stand(300, 300)[None])
    detector.person_detector = lambda _: (
        np.array([[240, 220, 360, 370], [250, 230, 350, 380]], np.float32),
        np.array([0.5, 0.9]),
    )
    (person,) = detector(image)
    assert person.score == pytest.approx(0.9, abs=0.01)


def test_no_person_gives_an_empty_list(detector: RTMPoseDetector) -> None:
    assert detector(np.zeros((480, 640, 3), np.uint8)) == []


def test_boxes_grow_to_the_proportions_of_the_network() -> None:
    centre, extent = crop_window(np.array([10.0, 20.0, 110.0, 60.0]), (192, 256))
    np.testing.assert_allclose(centre, (60, 40))
    np.testing.assert_allclose(extent, (125, 125 * 256 / 192))
    centre, extent = crop_window(np.array([0.0, 0.0, 10.0, 200.0]), (192, 256))
    np.testing.assert_allclose(extent, (250 * 192 / 256, 250))


def test_a_crop_at_scale_one_is_a_slice_of_the_image() -> None:
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    part = crop(image, np.array([40.0, 30.0]), np.array([20.0, 10.0]), (20, 10))
    np.testing.assert_array_equal(part, image[25:35, 30:50])


def test_files_are_accepted_in_any_order(finder_file: Path, pose_file: Path) -> None:
    for files in ((finder_file, pose_file), (pose_file, finder_file)):
        for name in ("rtmpose", "auto"):
            detector = load_detector(name, files)
            assert isinstance(detector, RTMPoseDetector)
            assert detector.network.network.path == pose_file


@pytest.mark.parametrize("count", [1, 2, 3])
def test_wrong_files_are_named(count: int, pose_file: Path) -> None:
    with pytest.raises(InputError, match=r"--detector-model .*pose_.*expected two \.onnx files"):
        load_detector("rtmpose", (pose_file,) * count)


def test_a_network_of_other_joints_is_refused(save_network: Callable[..., Path]) -> None:
    constants = {"ones": np.ones((1, 26, 384), np.float32), "zero": np.float32(0)}
    nodes = [
        ("ReduceMean", ["input"], ["mean"], {"keepdims": 0}),
        ("Mul", ["mean", "zero"], ["nothing"], {}),
        ("Add", ["ones", "nothing"], ["simcc_x"], {}),
        ("Add", ["ones", "nothing"], ["simcc_y"], {}),
    ]
    path = save_network("halpe26.onnx", (192, 256), ["simcc_x", "simcc_y"], nodes, constants)
    with pytest.raises(InputError, match=r"halpe26\.onnx: outputs \(1, 26, 384\).*expected \(1, 17, 384\)"):
        PoseNetwork(OnnxNetwork(path))(np.zeros((64, 64, 3), np.uint8), np.array([0, 0, 9, 9]))
