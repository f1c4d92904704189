"""Calibrations by Qualisys: one written here, faults, and a real one where the development data are available."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pose2mesh.datasets.readers.qualisys import read_qualisys
from pose2mesh.errors import InputError

REAL = Path(__file__).parents[4] / "shared" / "data" / "multiview" / "Calib.qca.txt"
CAMERA = """
    <camera active="1" serial="{serial}" viewrotation="0">
      <transform r11="-1" r12="0" r13="0" r21="0" r22="0" r23="1" r31="0" r32="1" r33="0" x="0" y="3000" z="1500"/>
      <intrinsic centerPointU="34112" centerPointV="61440" focalLengthU="107520" focalLengthV="107584"
        radialDistortion1="-0.046" radialDistortion2="0.14" radialDistortion3="0.0" sensorMaxU="69568"
        sensorMaxV="122816" sensorMinU="0.0" sensorMinV="0.0" skew="0.0" tangentalDistortion1="0.0006"
        tangentalDistortion2="-0.0007"/>
    </camera>"""


def written(folder: Path, body: str) -> Path:
    path = folder / "Calib.qca.txt"
    path.write_text(f"<?xml version='1.0' encoding='ASCII'?>\n<calibration><cameras>{body}</cameras></calibration>")
    return path


def test_units_and_axes(tmp_path: Path) -> None:
    inactive = CAMERA.format(serial="off").replace('active="1"', 'active="0"')
    (camera,) = read_qualisys(written(tmp_path, CAMERA.format(serial="cam01") + inactive))
    assert camera.name == "cam01"
    assert camera.intrinsics.fx == 1680
    assert camera.intrinsics.fy == 1681
    assert (camera.intrinsics.cx, camera.intrinsics.cy) == (533, 960)
    assert camera.intrinsics.distortion == (-0.046, 0.14, 0.0006, -0.0007)
    assert camera.image_size == (1088, 1920)
    # The camera stands 3 m along y, 1.5 m high, and looks back along −y: its z is −y of the world, its y is −z.
    assert np.allclose(camera.to_camera(np.array([0, 0, 1.5])), [0, 0, 3])
    assert np.allclose(camera.to_camera(np.array([0, 0, 2.0])), [0, -0.5, 3])
    assert np.allclose(camera.to_camera(np.array([1.0, 0, 1.5])), [-1, 0, 3])
    assert np.isclose(np.linalg.det(camera.rotation), 1)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('serial="cam01" ', "", "a <camera> has no serial"),
        (' x="0"', "", "camera cam01: <transform> has no x"),
        (' x="0"', ' x="zero"', "camera cam01: x is 'zero', expected a number"),
        (' x="0"', ' x="nan"', "x is 'nan', expected a number"),
        ('r11="-1"', 'r11="1"', "r11 … r33 are no rotation"),
        ('focalLengthU="107520"', 'focalLengthU="-1"', "focal lengths are .* expected positive numbers"),
        ('radialDistortion3="0.0"', 'radialDistortion3="0.1"', "radialDistortion3, which are not supported"),
        ('sensorMaxU="69568"', 'sensorMaxU="0"', "its sensor has 1 x 1920 pixels"),
        ("<intrinsic", "<extrinsic", "camera cam01: has no <intrinsic>"),
        ('active="1"', 'active="0"', "has no active <camera>"),
    ],
)
def test_damaged_fields(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = CAMERA.format(serial="cam01")
    assert old in text
    path = written(tmp_path, text.replace(old, new))
    with pytest.raises(InputError, match=message) as raised:
        read_qualisys(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_files_that_are_no_calibration(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_qualisys(tmp_path / "missing.qca.txt")
    path = tmp_path / "other.qca.txt"
    path.write_text("FX,FY,CX,CY")
    with pytest.raises(InputError, match="is not a Qualisys calibration"):
        read_qualisys(path)
    path.write_text("<!DOCTYPE x [<!ENTITY a 'aaaa'>]><calibration/>")
    with pytest.raises(InputError, match="declares entities"):
        read_qualisys(path)
    twice = CAMERA.format(serial="cam01") * 2
    with pytest.raises(InputError, match="serial 'cam01' occurs 2 times"):
        read_qualisys(written(tmp_path, twice))
    cut = written(tmp_path, CAMERA.format(serial="cam01"))
    cut.write_text(cut.read_text()[:400])
    with pytest.raises(InputError, match="is not a Qualisys calibration"):
        read_qualisys(cut)


@pytest.mark.assets
@pytest.mark.skipif(not REAL.is_file(), reason="needs the development data beside the checkout")
def test_the_real_cameras_look_at_one_place() -> None:
    cameras = read_qualisys(REAL)
    assert [camera.name for camera in cameras] == ["cam01", "cam02", "cam03", "cam04"]
    assert all(camera.image_size == (1088, 1920) for camera in cameras)
    pixels = np.stack([camera.project(np.array([[-0.3, -0.4, 0.9]])) for camera in cameras])[:, 0]
    assert ((pixels > 0) & (pixels < [1088, 1920])).all()
