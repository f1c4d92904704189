"""Validation clips of a config by kind of motion, and the table of errors by kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pose2mesh.datasets.data_config import DataConfig
from pose2mesh.datasets.synthetic.mocap import Clip, load_clips
from pose2mesh.datasets.synthetic.motion_split import load_split, read_split
from pose2mesh.errors import InputError
from pose2mesh.evaluation.robustness.document import Table, to_markdown

# Columns of the table: head, name in the report, and the factor and decimals with which it is printed.
_COLUMNS = (
    ("samples", "samples", 1, 0),
    ("MPJPE", "mpjpe_mm", 1, 1),
    ("PA-MPJPE", "pa_mpjpe_mm", 1, 1),
    ("MPVPE", "mpvpe_mm", 1, 1),
    ("PA-MPVPE", "pa_mpvpe_mm", 1, 1),
    ("limb < 0.7, %", "thin_limbs_70", 100, 1),
    ("limb < 0.5, %", "thin_limbs_50", 100, 1),
)


def validation_clips(data: DataConfig, patterns: Sequence[str] = ()) -> dict[str, list[Clip]]:
    """The validation clips of a config's split, by kind of motion; those of a plain split are of the kind "".

    Args:
        data: Names the folder of the clips and the split.
        patterns: If any, only clips whose name matches one of them, such as `mesh2motion/*`, are kept.

    Raises:
        InputError: there are no clips or no split, a file cannot be used, or a pattern matches no validation clip.
    """
    if data.motions is None or data.split is None:
        raise InputError("--clips: selects validation clips, and the config has no data.motions with a data.split")
    _, clips = load_split(data.split, load_clips(Path(data.motions), data.fps))
    for pattern in patterns:
        if not any(fnmatchcase(clip.name, pattern) for clip in clips):
            raise InputError(f"--clips {pattern}: matches none of the {len(clips)} validation clips of {data.split}")
    kinds = read_split(data.split).kinds
    found: dict[str, list[Clip]] = {}
    for clip in clips:
        if not patterns or any(fnmatchcase(clip.name, pattern) for pattern in patterns):
            found.setdefault(kinds.get(clip.name, ""), []).append(clip)
    return found


def kinds_table(results: Mapping[str, Any]) -> str:
    """Markdown table of the figures by kind of a report of `synthetic_evaluator.evaluate_kinds`, the total last."""
    rows = {**results["kinds"], "all": results}
    lines = [
        [kind, *(f"{factor * figures[name]:.{digits}f}" for _, name, factor, digits in _COLUMNS)]
        for kind, figures in rows.items()
    ]
    return to_markdown([Table(["kind", *(head for head, *_ in _COLUMNS)], lines)])
