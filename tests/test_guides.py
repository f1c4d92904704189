"""The guides hold: their code is written into a copy of the package, and the test at the end of each passes.

A code block that begins with `# src/…` or `# tests/…` is a file; one with `# append to …` is added to the end of one.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GUIDES = sorted((ROOT / "docs" / "guides").glob("*.md"))
BLOCK = re.compile(r"^```python\n# (append to )?((?:src|tests)/\S+\.py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# A safety net, not a judgement.
TIMEOUT_S = 600


def test_every_kind_of_extension_has_a_guide() -> None:
    kinds = {"joint-set", "dataset", "loss", "lifter", "baseline", "format", "detector", "body-model"}
    assert {guide.stem.removeprefix("add-") for guide in GUIDES} == kinds


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package's code; weights are linked."""
    folder = tmp_path_factory.mktemp("package") / "src" / "pose2mesh"
    shutil.copytree(ROOT / "src" / "pose2mesh", folder, ignore=shutil.ignore_patterns("weights", "__pycache__"))
    (folder / "weights").symlink_to(ROOT / "src" / "pose2mesh" / "weights")
    return folder


@pytest.mark.thorough
@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
def test_the_steps_of_a_guide_work(guide: Path, package: Path, tmp_path: Path) -> None:
    shutil.copytree(package, tmp_path / "src" / "pose2mesh", symlinks=True)
    blocks = BLOCK.findall(guide.read_text(encoding="utf-8"))
    written = [(bool(append), Path(name), code) for append, name, code in blocks]
    tests = [str(name) for _, name, _ in written if name.parts[0] == "tests"]
    assert tests, f"{guide}: no test at its end"
    for append, name, code in written:
        file = tmp_path / name
        assert file.exists() == append, f"{guide}: {name} {'is not there' if append else 'is there already'}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text((file.read_text(encoding="utf-8") if append else "") + code, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "src"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib", *tests]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
