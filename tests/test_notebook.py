"""The quick-start notebook runs from top to bottom, and the outputs saved in it are those it has today."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "docs" / "quickstart.ipynb"


@pytest.mark.thorough
def test_the_quick_start_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The kernel finds the examples by walking up from its folder, and leaves its files there.
    (tmp_path / "examples").symlink_to(NOTEBOOK.parents[1] / "examples")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    saved = [texts(cell) for cell in notebook.cells]
    # Ten minutes a cell are a safety net, not a judgement.
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert [texts(cell) for cell in notebook.cells] == saved
    assert (tmp_path / "person.obj").stat().st_size > 500_000
    assert os.listdir(NOTEBOOK.parent).count("person.obj") == 0


def texts(cell: nbformat.NotebookNode) -> list[str]:
    """The plain text of a cell's results."""
    return [output["data"]["text/plain"] for output in cell.get("outputs", []) if "data" in output]
