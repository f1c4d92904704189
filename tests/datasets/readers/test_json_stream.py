"""The streaming JSON parser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pose2mesh.datasets.readers import json_stream
from pose2mesh.datasets.readers.json_stream import members, sections
from pose2mesh.errors import InputError

leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
values = st.recursive(leaves, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=3), v, max_size=3))


@pytest.mark.thorough
@given(content=st.dictionaries(st.text(max_size=3), values, max_size=4), chunk=st.integers(1, 9), indent=st.booleans())
def test_windows_of_any_size(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, Any], chunk: int, indent: bool
) -> None:
    path = tmp_path_factory.mktemp("json") / "file.json"
    path.write_text(json.dumps(content, indent=2 if indent else None))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "_CHUNK", chunk)
        assert dict(members(path)) == content
        apart = [
            (key, item) for key, value in content.items() for item in (value if isinstance(value, list) else [value])
        ]
        assert list(sections(path)) == apart


def test_a_list_is_taken_apart(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text(" [1, [2], {}] \n")
    assert list(sections(path)) == [("", 1), ("", [2]), ("", {})]


@pytest.mark.parametrize("length", range(1, 30, 3))
def test_cut_short(tmp_path: Path, length: int) -> None:
    path = tmp_path / "file.json"
    path.write_text('{"a": [1, {"b": 2}], "c": "d"}'[:length])
    with pytest.raises(InputError, match=r"file\.json: cut short at character \d+, expected") as caught:
        list(sections(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["7", '{"a" 1}', "[1 2]", "{1: 2}", "[1] x", "hello", ""])
def test_no_json(tmp_path: Path, content: str) -> None:
    path = tmp_path / "file.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"file\.json: (not JSON|cut short) at character"):
        list(sections(path))


def test_other_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.json: No such file"):
        list(sections(tmp_path / "none.json"))
    (tmp_path / "bytes.json").write_bytes(b'["\xff"]')
    with pytest.raises(InputError, match=r"bytes\.json: not a text file"):
        list(sections(tmp_path / "bytes.json"))
