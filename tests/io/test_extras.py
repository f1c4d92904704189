"""Optional packages: the error when one is missing or does not load."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest

from pose2mesh.errors import InputError
from pose2mesh.io.extras import install_command, not_installed, require


def test_an_installed_module_is_imported() -> None:
    assert require("json", "train") is sys.modules["json"]


@pytest.mark.parametrize(("title", "named"), [(None, "no_such_package"), ("No Such Package", "No Such Package")])
def test_a_missing_package_is_named_with_the_command_that_installs_it(title: str | None, named: str) -> None:
    with pytest.raises(InputError) as caught:
        require("no_such_package.part", "onnx", title)
    assert str(caught.value) == f'{named} is not installed; `pip install "pose2mesh[onnx]"` brings it'


@pytest.mark.parametrize("fault", ["ImportError", "OSError"])
def test_a_package_that_does_not_load_is_no_missing_one(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"broken_{fault.lower()}.py").write_text(f"raise {fault}('libGL.so.1:\\n cannot open')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=r"^Broken does not load \(libGL\.so\.1: cannot open\)$"):
        require(f"broken_{fault.lower()}", "onnx", "Broken")


def test_the_message_is_made_from_the_command() -> None:
    assert install_command("train") in not_installed("Anny", "train")


def test_source_names_extras_that_exist() -> None:
    root = Path(__file__).parents[2]
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {"train", "onnx", "video", "smpl", "serve", "crawl", "baselines", "tensorboard"} <= set(extras)
    spelt = [path for path in (root / "src").rglob("*.py") if "pip install" in path.read_text(encoding="utf-8")]
    assert spelt == [root / "src" / "pose2mesh" / "io" / "extras.py"]
