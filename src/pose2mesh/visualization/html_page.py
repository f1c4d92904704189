"""`STEM.html`: people in 3D as one self-contained page that opens from disk and loads nothing from the network."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from pose2mesh.inference.predictor import Predictor
from pose2mesh.io.mesh_files import atomic_write
from pose2mesh.visualization.scene import describe_scene

STATIC = Path(__file__).parent / "static"


def write_page(
    path: str | Path,
    title: str,
    predictor: Predictor,
    frames: list[dict[str, Any]],
    frames_per_second: float | None = None,
) -> None:
    """Write a page that shows people in 3D.

    Args:
        path: HTML file to write.
        title: Heading of the page.
        predictor: The model that recovered the people.
        frames: One or more frames from `scene.describe_frame`; with several the page has a slider.
        frames_per_second: Playback rate of a video.

    Raises:
        InputError: the file cannot be written.
    """
    with atomic_write(path) as file:
        file.write(page_text(title, predictor, frames, frames_per_second).encode())


def page_text(
    title: str, predictor: Predictor, frames: list[dict[str, Any]], frames_per_second: float | None = None
) -> str:
    """The page as HTML; its content security policy allows only its own inline script and style."""
    style, script = ((STATIC / name).read_text(encoding="utf-8") for name in ("style.css", "pose2mesh.js"))
    scene = json.dumps(
        describe_scene(title, predictor, frames, frames_per_second), separators=(",", ":"), allow_nan=False
    )
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
    return Template((STATIC / "page.html").read_text(encoding="utf-8")).substitute(
        policy=policy,
        title=escape(title),
        model=escape(predictor.info.name),
        style=style,
        script=script,
        scene=scene.replace("<", "\\u003c"),  # text of the document must not end the script element
    )


def _hash(text: str) -> str:
    """Hash source of an inline script or style (Content Security Policy, level 2)."""
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
