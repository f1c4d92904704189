"""The default body: which body model is used where a config or a bundle names no other."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pose2mesh.body_models.interface import BodyModel

# The name of the default body in bundles, configs and results.
DEFAULT_BODY: Final = "anny"


def default_body() -> BodyModel:
    """Build the default body on the CPU, which takes seconds.

    Raises:
        InputError: the package `anny` is not installed.
    """
    from pose2mesh.body_models.anny import AnnyBody

    return AnnyBody()


def default_body_installed() -> bool:
    """Whether the package of the default body is installed; it is not imported."""
    return find_spec("anny") is not None
