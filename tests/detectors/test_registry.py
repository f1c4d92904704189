from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pose2mesh.detectors import registry as module
from pose2mesh.detectors.registry import load_detector
from pose2mesh.errors import InputError
from pose2mesh.io import downloads


def test_an_unknown_detector_is_named() -> None:
    with pytest.raises(InputError, match="'openpose': expected one of auto, mediapipe, movenet, rtmpose"):
        load_detector("openpose")


def test_movenet_takes_one_file(tmp_path: Path) -> None:
    files = (tmp_path / "one.onnx", tmp_path / "two.onnx")
    for file in files:
        file.touch()
    with pytest.raises(InputError, match=r"two\.onnx: expected one \.onnx file for movenet"):
        load_detector("movenet", files)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--detector-model .*none\.task: no such file"):
        load_detector("auto", (tmp_path / "none.task",))


def test_without_any_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=r'no detector is installed; `pip install "pose2mesh\[mediapipe\]"`'):
        load_detector("auto")


@pytest.mark.parametrize(
    ("name", "library"), [("mediapipe", "mediapipe"), ("rtmpose", "onnxruntime")], ids=["mediapipe", "rtmpose"]
)
def test_without_its_library_it_says_what_to_install(name: str, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(InputError, match=rf'`pip install "pose2mesh\[{name}\]"` brings it'):
        load_detector(name, offline=True)


@pytest.mark.parametrize("fault", [ImportError("libGL.so.1: cannot open"), OSError("libEGL.so.1: cannot open")])
def test_without_gl_it_says_what_to_install(fault: Exception, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Broken:
        def find_spec(self, name: str, *_: object) -> None:
            if name.startswith("mediapipe"):
                raise fault

    for name in [name for name in sys.modules if name.partition(".")[0] == "mediapipe"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(InputError, match=r"lib\w+\.so\.1: cannot open.*apt-get install libgl1 libegl1 libgles2"):
        load_detector("mediapipe", offline=True)


@pytest.mark.parametrize(
    ("installed", "cached", "expected"),
    [
        (["mediapipe", "onnxruntime"], ["yolox", "rtmpose"], "rtmpose"),
        (["mediapipe", "onnxruntime"], ["yolox"], "mediapipe"),
        (["mediapipe"], ["yolox", "rtmpose"], "mediapipe"),
        (["onnxruntime"], [], "rtmpose"),
    ],
)
def test_auto_takes_the_better_one_where_it_costs_no_download(
    installed: list[str], cached: list[str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen: list[str] = []
    monkeypatch.setattr(module, "find_spec", lambda name: name if name in installed else None)
    monkeypatch.setattr(downloads, "find_cached", lambda key: Path(key) if key in cached else None)
    monkeypatch.setattr(module, "_mediapipe", lambda files, offline: chosen.append("mediapipe"))
    monkeypatch.setattr(module, "_rtmpose", lambda files, offline: chosen.append("rtmpose"))
    load_detector("auto")
    assert chosen == [expected]
