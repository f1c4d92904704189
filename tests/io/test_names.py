"""The nearest known name."""

from __future__ import annotations

import pytest

from pose2mesh.io.names import nearest


@pytest.mark.parametrize(("name", "expected"), [("human35m", "human36m"), ("coc", "coco"), ("", "human36m")])
def test_the_nearest_name_is_given_however_far_it_is(name: str, expected: str) -> None:
    assert nearest(name, ["coco", "human36m"]) == expected


def test_without_known_names_there_is_no_nearest() -> None:
    with pytest.raises(ValueError, match="no known names"):
        nearest("coco", [])
