from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pose2mesh.detectors import registry as module
from pose2mesh.detectors.registry import load_detector
from pose2mesh.errors import InputError
from pose2mesh.io import downloads


def test_an_unknown_detector_is_named() -> None:
    with pytest.raises(InputError, match="'openpose': expected one of auto, blazepose, movenet, rtmpose"):
        load_detector("openpose")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--detector-model .*none\.task: no such file"):
        load_detector("auto", (tmp_path / "none.task",))


@pytest.mark.parametrize("name", ["blazepose", "movenet", "rtmpose"])
def test_without_its_library_it_says_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r'onnxruntime is not installed; `pip install "pose2mesh\[\w+\]"` brings it'):
        load_detector(name, offline=True)


@pytest.mark.parametrize("name", ["blazepose", "movenet"])
def test_those_that_ship_take_no_files(name: str, tmp_path: Path) -> None:
    (tmp_path / "pose.task").touch()
    with pytest.raises(InputError, match=rf"pose\.task: {name} ships with its files; expected --detector rtmpose"):
        load_detector(name, (tmp_path / "pose.task",))


@pytest.mark.parametrize(
    ("cached", "given", "expected"),
    [
        (["yolox", "rtmpose"], False, "rtmpose"),
        (["yolox"], False, "movenet"),
        ([], False, "movenet"),
        ([], True, "rtmpose"),
    ],
)
def test_auto_takes_the_better_one_where_it_costs_no_download(
    cached: list[str], given: bool, expected: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    chosen: list[str] = []
    monkeypatch.setattr(downloads, "find_cached", lambda key: Path(key) if key in cached else None)
    for name in ("movenet", "rtmpose"):
        monkeypatch.setattr(module, f"_{name}", lambda files, offline, name=name: chosen.append(name))
    (tmp_path / "pose.onnx").touch()
    load_detector("auto", (tmp_path / "pose.onnx",) if given else None)
    assert chosen == [expected]
