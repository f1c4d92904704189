from __future__ import annotations

import sys
from typing import Any

import pytest

from pose2mesh.body_models import default_body as module
from pose2mesh.body_models.default_body import DEFAULT_BODY, default_body, default_body_installed
from pose2mesh.body_models.interface import BodyMesh, BodyModel
from pose2mesh.errors import InputError
from pose2mesh.inference.predictor import Predictor
from pose2mesh.skeletons import COCO


def members(protocol: type) -> set[str]:
    """Names that a protocol declares, those of its bases included."""
    declared = {name for base in protocol.__mro__ if base.__module__ == BodyMesh.__module__ for name in vars(base)}
    return {name for name in declared if not name.startswith("_")}


def test_the_default_body_has_the_whole_interface(anny_body: BodyModel) -> None:
    assert members(BodyMesh) < members(BodyModel)
    assert not [name for name in members(BodyModel) if not hasattr(anny_body, name)]
    assert type(default_body()) is type(anny_body)
    assert anny_body.regressor(COCO).shape == (len(COCO), len(anny_body.template))


def test_the_shipped_bundle_is_of_the_default_body() -> None:
    assert Predictor.load().info.body == DEFAULT_BODY


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "anny", None)
    with pytest.raises(InputError, match="the Anny body is not installed"):
        default_body()


@pytest.mark.parametrize(("spec", "expected"), [(None, False), (object(), True)])
def test_whether_the_package_is_installed(spec: Any, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: spec)
    assert default_body_installed() is expected
