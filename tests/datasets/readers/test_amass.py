"""AMASS's reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pose2mesh.datasets.readers.amass import read_amass
from pose2mesh.errors import InputError


def motion(path: Path, rate: float = 120.0, frames: int = 150, **changed: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    told: dict[str, Any] = {
        "poses": np.arange(frames)[:, None] + np.arange(156)[None] / 1000,
        "trans": np.tile([0.5, 0.6, 0.9], (frames, 1)),
        "betas": np.arange(16.0),
        "dmpls": np.zeros((frames, 8)),
        "gender": np.array("female"),
        "mocap_framerate": np.array(rate),
    }
    np.savez(path, **{key: value for key, value in (told | changed).items() if value is not None})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    motion(tmp_path / "amass" / "CMU" / "01" / "01_01_poses.npz")
    motion(tmp_path / "amass" / "CMU" / "02" / "02_01_poses.npz", rate=60.0, gender=np.array(b"male"))
    motion(tmp_path / "amass" / "BMLrub" / "rub001" / "0000_poses.npz")
    (tmp_path / "amass" / "CMU" / "01" / "shape.npz").touch()
    return tmp_path / "amass"


def test_frames_at_a_rate(folder: Path, cache: Path) -> None:
    records = read_amass(folder, cache, sets=("cmu",))
    assert records.sequences == ["CMU/01/01_01_poses.npz", "CMU/02/02_01_poses.npz"]
    assert records.frame.tolist() == [0, 60, 120, 0, 30, 60, 90, 120]
    assert records.gender.tolist() == [2] * 3 + [1] * 5
    np.testing.assert_allclose(records.pose[1, 21], [60.063, 60.064, 60.065], rtol=1e-6)
    assert (records.pose[:, 22:] == 0).all()
    np.testing.assert_allclose(records.shape[0], np.arange(10))
    np.testing.assert_allclose(records.translation_m[0], [0.5, 0.6, 0.9])
    assert records.joints_px is None
    assert len(records.files) == 0
    assert len(read_amass(folder, cache, frames_per_second=500)) == 300


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"poses": np.zeros((150, 72))}, "motion: poses has 10800 numbers, expected 23400"),
        ({"trans": None}, "motion: trans is missing"),
        ({"mocap_framerate": np.array(0.0)}, "motion: mocap_framerate is 0, expected frames a second"),
        ({"gender": np.array("x")}, "motion: gender is 'x', expected one of neutral, male, female"),
        ({"betas": np.zeros(3)}, "motion: betas has 3 numbers, expected at least 10"),
    ],
)
def test_faulty_motions(folder: Path, cache: Path, changed: dict[str, Any], message: str) -> None:
    path = folder / "CMU" / "01" / "01_02_poses.npz"
    motion(path, **changed)
    with pytest.raises(InputError) as caught:
        read_amass(folder, cache)
    assert str(caught.value) == f"{path}: {message}"
    records = read_amass(folder, cache, on_fault="skip")
    assert (len(records), records.faults) == (8, 1)


def test_damaged_files(folder: Path, cache: Path) -> None:
    path = folder / "CMU" / "01" / "01_02_poses.npz"
    path.write_bytes((folder / "CMU" / "01" / "01_01_poses.npz").read_bytes()[:2000])
    with pytest.raises(InputError, match=r"01_02_poses\.npz: not an \.npz file of AMASS"):
        read_amass(folder, cache)


def test_sets_that_are_not_there(folder: Path, cache: Path) -> None:
    with pytest.raises(InputError, match="has no folder 'KIT'"):
        read_amass(folder, cache, sets=("CMU", "KIT"))
