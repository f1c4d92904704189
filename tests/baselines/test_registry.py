"""Registry: every name is known to the command line, has a page and a test, and builds its method."""

from __future__ import annotations

from pathlib import Path

import pytest

from pose2mesh.baselines.registry import FITTING_METHODS, LEARNED_METHODS, PRETRAINING, find_learned_method
from pose2mesh.errors import InputError

ROOT = Path(__file__).parents[2]
# Variants that share the page and the file of another method.
PAGES = {"smplify-started": "smplify", "retrained": "arnab"}
FILES = {"smplify-started": "smplify", "retrained": "hmr_video_fits", PRETRAINING: "pretraining_network"}


@pytest.mark.parametrize("name", [*FITTING_METHODS, *LEARNED_METHODS])
def test_every_name_has_a_page_and_a_test(name: str) -> None:
    file = FILES.get(name, name)
    assert (ROOT / f"src/pose2mesh/baselines/methods/{file}.py").is_file()
    assert (ROOT / f"tests/baselines/methods/test_{file}.py").is_file()
    assert (ROOT / f"docs/baselines/{PAGES.get(name, name)}.md").is_file()
    assert f"`{name}`" in (ROOT / "docs/baselines.md").read_text() + (ROOT / "docs/baselines/training.md").read_text()


@pytest.mark.parametrize("name", LEARNED_METHODS)
def test_learned_methods_have_settings_with_defaults(name: str) -> None:
    method = find_learned_method(name, "test")
    method.settings()
    assert method.starts_from is None or method.starts_from in LEARNED_METHODS


def test_the_nearest_name_is_given() -> None:
    with pytest.raises(InputError, match="run: method 'hrm' is not known; the nearest is 'hmr'"):
        find_learned_method("hrm", "run")
