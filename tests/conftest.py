"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of development data (motion clips, COCO photos), which is not part of the repository."""
    folder = Path(os.environ.get("POSE2MESH_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no development data at {folder}; name its folder in POSE2MESH_DATA")
    return folder
