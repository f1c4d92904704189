"""Output formats: the registry, and that help and documents name every format."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pose2mesh.cli.main import main
from pose2mesh.errors import InputError
from pose2mesh.pipelines.formats import FORMATS, WRITERS, Writer, chosen_formats, name_files, writers

DOCS = Path(__file__).parents[2] / "docs"


def test_a_name_is_unique_within_its_kind() -> None:
    assert len({(writer.kind, writer.name) for writer in WRITERS}) == len(WRITERS)


@pytest.mark.parametrize("writer", WRITERS, ids=lambda writer: f"{writer.kind}-{writer.name}")
def test_a_format_with_files_has_a_suffix_and_a_media_type(writer: Writer) -> None:
    assert writer.title
    assert bool(writer.suffix) == bool(writer.media_type) == (writer.write is not None)


def test_help_names_every_format(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "--help"]) == 0
    text = capsys.readouterr().out
    assert not [name for name in FORMATS if not re.search(rf"\b{name}\b", text)]


@pytest.mark.parametrize(("page", "kind"), [("video.md", "video"), ("serve.md", "image")])
def test_documents_name_every_format(page: str, kind: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    downloads = [name for name, writer in writers(kind).items() if kind == "video" or writer.write is not None]  # type: ignore[arg-type]
    assert not [name for name in downloads if not re.search(rf"`[^`]*\b{name}\b[^`]*`", text)]


def test_usual_formats_are_written_where_none_is_named() -> None:
    assert chosen_formats("image", None) == ("obj", "glb", "json", "npz", "overlay")
    assert chosen_formats("video", None) == ("mp4", "glb", "bvh", "rig", "npz", "json")


def test_formats_of_another_kind_are_refused() -> None:
    with pytest.raises(InputError, match=r"--formats obj: expected some of mp4, .* for a video"):
        chosen_formats("video", ("obj",))


def test_file_names() -> None:
    files = name_files("image", "a", 2, ("json", "obj", "glb", "rig", "overlay"))
    assert files[1] == {"obj": "a_1.obj", "glb": "a.glb", "overlay": "a_overlay.png"}
    assert name_files("video", "a", 1, ("mp4", "bvh"))[0] == {"mp4": "a_overlay.mp4", "bvh": "a_0.bvh"}
