from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pose2mesh.detectors.onnx_files import OnnxNetwork
from pose2mesh.detectors.yolox import PersonDetector, decode, letterbox
from pose2mesh.errors import InputError


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (640, 640)])
def test_the_grid_is_decoded_into_the_pixels_of_the_image(
    size: tuple[int, int], finder_file: Path, draw: Callable
) -> None:
    centres = np.array([[144, 240], [400, 176]]) if size[0] == 640 else np.array([[144, 240], [304, 496]])
    boxes, scores = PersonDetector(OnnxNetwork(finder_file))(draw(size, centres, []))
    order, half = np.argsort(boxes[:, 0]), np.array([55, 75])
    expected = np.hstack([centres - half, centres + half])
    np.testing.assert_allclose(boxes[order], np.clip(expected, 0, size * 2), atol=0.01)
    assert scores.min() > 0.9


def test_an_image_of_another_size_gives_boxes_in_its_own_pixels(finder_file: Path, draw: Callable) -> None:
    small = draw((640, 480), np.array([[336, 240]]), [])
    large = small.repeat(2, axis=0).repeat(2, axis=1)
    detector = PersonDetector(OnnxNetwork(finder_file))
    np.testing.assert_allclose(detector(large)[0], 2 * detector(small)[0], atol=0.01)


def test_no_person_gives_no_box(finder_file: Path) -> None:
    boxes, scores = PersonDetector(OnnxNetwork(finder_file))(np.zeros((480, 640, 3), np.uint8))
    assert boxes.shape == (0, 4)
    assert scores.shape == (0,)


def test_boxes_of_an_export_with_suppression_are_scaled_and_chosen(end_to_end_file: Path) -> None:
    boxes, scores = PersonDetector(OnnxNetwork(end_to_end_file))(np.zeros((320, 160, 3), np.uint8))
    np.testing.assert_allclose(boxes, [[160, 40, 160, 180], [20, 20, 80, 140]])  # twice as large, clipped to 160 x 320
    np.testing.assert_allclose(scores, [0.9, 0.6])


def test_decoding_reads_every_grid() -> None:
    rows = np.zeros((8 * 4 + 4 * 2 + 2 * 1, 6), np.float32)  # an image of 64 x 32
    rows[[9, 32 + 6, 40 + 1], 4:] = (0.5, 0.8)
    rows[32 + 6, :4] = (0.25, 0.75, np.log(2), np.log(3))
    boxes, scores = decode(rows, (64, 32))
    assert np.flatnonzero(scores).tolist() == [9, 38, 41]
    np.testing.assert_allclose(scores[[9, 38, 41]], 0.4)
    np.testing.assert_allclose(boxes[9], [4, 4, 12, 12])  # column 1 of row 1, of cells of 8
    np.testing.assert_allclose(boxes[38], [2.25 * 16 - 16, 1.75 * 16 - 24, 2.25 * 16 + 16, 1.75 * 16 + 24], rtol=1e-6)
    np.testing.assert_allclose(boxes[41], [16, -16, 48, 16])


def test_the_letterbox_keeps_proportions_and_fills_with_grey() -> None:
    squared, factor = letterbox(np.full((100, 200, 3), 255, np.uint8), (50, 40))
    assert factor == 0.25
    assert squared.shape == (40, 50, 3)
    assert (squared[:25] == 255).all()
    assert (squared[25:] == 114).all()


def test_another_network_is_refused(pose_file: Path) -> None:
    with pytest.raises(InputError, match=r"pose_.*outputs .* expected YOLOX"):
        PersonDetector(OnnxNetwork(pose_file))(np.zeros((64, 64, 3), np.uint8))


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    (tmp_path / "broken.onnx").write_bytes(b"not a network")
    with pytest.raises(InputError, match=r"broken\.onnx: cannot be read as an ONNX file"):
        OnnxNetwork(tmp_path / "broken.onnx")
