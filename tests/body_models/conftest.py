"""The Anny body, built once."""

from __future__ import annotations

from typing import Any

import pytest

from pose2mesh.body_models.anny import AnnyBody, _anny_model


@pytest.fixture(scope="session")
def anny_body() -> AnnyBody:
    return AnnyBody()


@pytest.fixture(scope="session")
def anny_model() -> Any:
    """The model of the package `anny` itself."""
    return _anny_model()
