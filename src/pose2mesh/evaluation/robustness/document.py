"""A report as a list of blocks, written as Markdown with separate images or as one HTML file with embedded images."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias


@dataclass(frozen=True)
class Heading:
    """A heading; `level` 1 is the title."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Table:
    """A table; the first column is text, the others are numbers. Each row has as many cells as the head."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class ImageBlock:
    """A PNG or JPEG file beside the report, with its caption."""

    file: Path
    caption: str


Block: TypeAlias = Heading | Text | Table | ImageBlock

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #ddd; text-align: right; white-space: nowrap }
th:first-child, td:first-child { text-align: left; white-space: normal }
img { max-width: 100%; height: auto }
figcaption { color: #555; font-size: .9rem }
"""


def to_markdown(blocks: Sequence[Block]) -> str:
    """Markdown of the blocks; images are referenced by file name, since they lie beside the report."""
    return "\n\n".join(_markdown(block) for block in blocks) + "\n"


def _markdown(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * level} {text}"
        case Text(text):
            return text
        case Table(head, rows):
            rule = ["---", *["---:"] * (len(head) - 1)]
            lines = [head, rule, *rows]
            return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
        case ImageBlock(file, caption):
            return f"![{caption}]({file.name})\n\n*{caption}*"


def to_html(blocks: Sequence[Block]) -> str:
    """HTML of the blocks as one self-contained file with embedded images."""
    title = next((block.text for block in blocks if isinstance(block, Heading)), "Report")
    body = "\n".join(_html(block) for block in blocks)
    return (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _html(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"<h{level}>{_inline(text)}</h{level}>"
        case Text(text):
            return f"<p>{_inline(text)}</p>"
        case Table(head, rows):
            top = "".join(f"<th>{_inline(cell)}</th>" for cell in head)
            lines = "\n".join("<tr>" + "".join(f"<td>{_inline(cell)}</td>" for cell in row) + "</tr>" for row in rows)
            return f"<table>\n<thead><tr>{top}</tr></thead>\n<tbody>\n{lines}\n</tbody>\n</table>"
        case ImageBlock(file, caption):
            data = base64.b64encode(file.read_bytes()).decode("ascii")
            kind, text = "png" if file.suffix == ".png" else "jpeg", html.escape(caption)
            image = f'<img alt="{text}" src="data:image/{kind};base64,{data}">'
            return f"<figure>{image}<figcaption>{text}</figcaption></figure>"


def _inline(text: str) -> str:
    """HTML of a text with `code` and **strong** parts."""
    escaped = html.escape(text, quote=False)
    for mark, tag in (("**", "strong"), ("`", "code")):
        parts = escaped.split(mark)
        if len(parts) % 2:  # marks in pairs only
            escaped = "".join(part if i % 2 == 0 else f"<{tag}>{part}</{tag}>" for i, part in enumerate(parts))
    return escaped
