"""`STEM.html`: people in one page that opens from disk, can be mailed, and asks nobody for anything."""

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
    recovery: Predictor,
    frames: list[dict[str, Any]],
    frames_per_second: float | None = None,
) -> None:
    """Write a page that shows people in 3D.

    Args:
        path: The file.
        title: Its heading.
        recovery: What the people were recovered by.
        frames: One or more, as `scene.describe_frame` gives them; several get a slider.
        frames_per_second: Of a video, to play them at.

    Raises:
        InputError: the file cannot be written.
    """
    with atomic_write(path) as file:
        file.write(page_text(title, recovery, frames, frames_per_second).encode())


def page_text(
    title: str, recovery: Predictor, frames: list[dict[str, Any]], frames_per_second: float | None = None
) -> str:
    """The page itself; its policy lets the browser run and load what stands in it, and nothing else."""
    style, script = ((STATIC / name).read_text(encoding="utf-8") for name in ("style.css", "pose2mesh.js"))
    scene = json.dumps(
        describe_scene(title, recovery, frames, frames_per_second), separators=(",", ":"), allow_nan=False
    )
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
    return Template((STATIC / "page.html").read_text(encoding="utf-8")).substitute(
        policy=policy,
        title=escape(title),
        model=escape(recovery.info.name),
        style=style,
        script=script,
        scene=scene.replace("<", "\\u003c"),  # no text of the document may end the element it stands in
    )


def _hash(text: str) -> str:
    """The source that names an inline script or style by what it says (Content Security Policy, level 2)."""
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
