"""The BVH reader: forward kinematics by hand, channel orders, and the errors for broken files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pose2mesh.datasets.synthetic.bvh import forward_kinematics, read_bvh
from pose2mesh.errors import InputError

ARM = """HIERARCHY
ROOT Hips
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Bone
  {
    OFFSET 0 2 0
    CHANNELS 3 Xrotation Yrotation Zrotation
    JOINT Bone
    {
      OFFSET 1 0 0
      CHANNELS 3 Zrotation Yrotation Xrotation
      End Site
      {
        OFFSET 1 0 0
      }
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.05
0 0 0 0 0 0 0 0 0 0 0 0
1 2 3 90 0 0 0 90 0 0 0 90
"""


@pytest.fixture
def write(tmp_path: Path):
    def _write(text: str) -> Path:
        path = tmp_path / "clip.bvh"
        path.write_text(text)
        return path

    return _write


def test_hierarchy(write) -> None:
    bvh = read_bvh(write(ARM))
    assert bvh.names == ("Hips", "Bone", "Bone", "Bone end")  # the name repeats; indices tell them apart
    assert bvh.parents == (-1, 0, 1, 2)
    assert bvh.is_end.tolist() == [False, False, False, True]
    assert bvh.frame_time == 0.05
    assert bvh.rotations.shape == (2, 4, 3, 3)
    np.testing.assert_allclose(bvh.rest_positions(), [[0, 0, 0], [0, 2, 0], [1, 2, 0], [2, 2, 0]])


def test_forward_kinematics_by_hand(write) -> None:
    rotations, positions = forward_kinematics(read_bvh(write(ARM)))
    np.testing.assert_allclose(positions[0], [[0, 0, 0], [0, 2, 0], [1, 2, 0], [2, 2, 0]], atol=1e-12)
    # The root turns 90° about z: +y becomes −x, so the first bone's head is 2 to the left of the root. That bone
    # turns 90° about its own y, which takes its +x to −z, and the root leaves z alone. The last turn is about the bone.
    np.testing.assert_allclose(positions[1], [[1, 2, 3], [-1, 2, 3], [-1, 2, 2], [-1, 2, 1]], atol=1e-12)
    np.testing.assert_allclose(rotations[1, 0], [[0, -1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(rotations), 1)


def test_rotations_multiply_in_the_order_of_the_channels(write) -> None:
    rows = ARM.splitlines()
    rows[-1] = "0 0 0 0 0 0 90 90 0 90 90 0"
    local = read_bvh(write("\n".join(rows))).rotations[1]
    x = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])
    y = np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    z = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]])
    np.testing.assert_allclose(local[1], x @ y, atol=1e-12)
    np.testing.assert_allclose(local[2], z @ y, atol=1e-12)


def test_position_channels_below_the_root(write) -> None:
    six = ARM.replace("CHANNELS 3 Xr", "CHANNELS 6 Xposition Yposition Zposition Xr")
    rows = six.splitlines()
    rows[-2:] = ["0 0 0 0 0 0 0 0 0 0 0 0 0 0 0", "0 0 0 0 0 0 0 5 0 0 0 0 0 0 0"]
    moved = read_bvh(write("\n".join(rows))).translations[:, 1]
    np.testing.assert_array_equal(moved, [[0, 0, 0], [0, 5, 0]])
    rows[-1] = rows[-2]  # zero throughout: relative to the offset
    np.testing.assert_array_equal(read_bvh(write("\n".join(rows))).translations[:, 1], [[0, 2, 0], [0, 2, 0]])


def test_layout_of_the_text_does_not_matter(write) -> None:
    text = ARM.replace("ROOT Hips\n{", "ROOT Hips {").replace("Frame Time:", "Frame Time:\t").replace("\n", "\r\n")
    np.testing.assert_array_equal(read_bvh(write(text + "\r\n\r\n")).rotations, read_bvh(write(ARM)).rotations)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("HIERARCHY", "solid cube", "line 1: not a BVH file: 'solid', expected 'HIERARCHY'"),
        (ARM[ARM.index("    JOINT") :], "", "line 9: the file ends inside the hierarchy"),
        ("  }\n}\nMOTION", "MOTION", "MOTION inside the hierarchy"),
        ("CHANNELS 3 Z", "CHANNELS 3 Zrotation Z", "CHANNELS '3 Zrotation Zrotation Yrotation Xrotation'"),
        ("CHANNELS 3 Zrotation", "CHANNELS 3 Wrotation", "line 13: CHANNELS"),
        (
            "CHANNELS 3 Zrotation Yrotation Xrotation",
            "CHANNELS 2 Zrotation Yrotation",
            "12 numbers, expected one for each",
        ),
        ("CHANNELS 3 Zrotation Yrotation", "CHANNELS 3 Zrotation Zrotation", "names one twice"),
        ("OFFSET 0 2 0", "OFFSET 0 2", "line 8: OFFSET '0 2', expected three finite numbers"),
        ("OFFSET 0 2 0", "OFFSET 0 nan 0", "line 8: OFFSET"),
        ("    OFFSET 0 2 0\n", "", "'Bone' has no OFFSET"),
        ("  JOINT", "  BONE", "line 6: 'BONE' is not a BVH keyword"),
        ("JOINT Bone\n  {", "ROOT Bone\n  {", "one ROOT, first, expected"),
        ("Frames: 2", "Frames: 3", "2 frames of values, expected the 3"),
        ("Frames: 2", "Frames: 1", "2 frames of values, expected the 1"),
        ("Frames: 2", "Frames: 0", "'Frames: 0', expected"),
        ("Frames: 2", "Frames: two", "line 22: 'Frames: two', expected"),
        ("Frame Time: 0.05", "Frame Time: 0", "line 23: 'Frame Time: 0', expected"),
        ("1 2 3 90", "1 2 3 ninety", "line 25: 'ninety', expected a finite number"),
        ("1 2 3 90", "1 2 inf 90", "line 25: 'inf', expected a finite number"),
        ("1 2 3 90", "1 2 90", "line 25: 11 numbers, expected one for each of 12 channels"),
    ],
)
def test_broken_files_name_the_fault(write, old: str, new: str, message: str) -> None:
    assert old in ARM
    path = write(ARM.replace(old, new, 1))
    with pytest.raises(InputError) as error:
        read_bvh(path)
    assert str(error.value).startswith(str(path))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_files_that_cannot_be_read(tmp_path: Path, write) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_bvh(tmp_path / "missing.bvh")
    with pytest.raises(InputError, match="not a BVH file"):
        read_bvh(write(""))
    binary = tmp_path / "photo.bvh"
    binary.write_bytes(bytes(range(256)))
    with pytest.raises(InputError, match="not a BVH file"):
        read_bvh(binary)
