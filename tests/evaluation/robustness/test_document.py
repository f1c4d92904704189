"""Markdown and HTML of the same blocks."""

from __future__ import annotations

from pathlib import Path

from pose2mesh.evaluation.robustness.document import Heading, ImageBlock, Table, Text, to_html, to_markdown


def blocks(folder: Path) -> list:
    (folder / "a.png").write_bytes(b"PNG")
    return [
        Heading("Of `light`", 1),
        Text("**5 < 6** and `a` & b"),
        Table(("x", "y|z"), [("one", "1.0"), ("two", "–")]),
        ImageBlock(folder / "a.png", "What it shows"),
    ]


def test_markdown(tmp_path: Path) -> None:
    assert to_markdown(blocks(tmp_path)).split("\n\n") == [
        "# Of `light`",
        "**5 < 6** and `a` & b",
        "| x | y\\|z |\n| --- | ---: |\n| one | 1.0 |\n| two | – |",
        "![What it shows](a.png)",
        "*What it shows*\n",
    ]


def test_html_is_self_contained(tmp_path: Path) -> None:
    page = to_html(blocks(tmp_path))
    assert "<h1>Of <code>light</code></h1>" in page
    assert "<p><strong>5 &lt; 6</strong> and <code>a</code> &amp; b</p>" in page
    assert "<th>y|z</th>" in page
    assert 'src="data:image/png;base64,UE5H"' in page
    assert "http" not in page
