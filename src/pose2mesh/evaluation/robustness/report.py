"""The report: what was measured, set beside set, as tables and pictures, and the same numbers as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from pose2mesh.evaluation.robustness import robustness_plots
from pose2mesh.evaluation.robustness.bootstrap import Interval, mean_interval
from pose2mesh.evaluation.robustness.document import Block, Heading, ImageBlock, Table, Text, to_html, to_markdown
from pose2mesh.evaluation.robustness.gallery import draw_gallery
from pose2mesh.evaluation.robustness.generalization_gap import ClipErrors, Gap, verdict
from pose2mesh.evaluation.robustness.joint_angles import LIMITS
from pose2mesh.evaluation.robustness.measure import Measures
from pose2mesh.inference.predictor import Predictor
from pose2mesh.io.atomic_write import replacing
from pose2mesh.io.mesh_files import write_json
from pose2mesh.visualization import renderer

Parts: TypeAlias = tuple[ClipErrors, ClipErrors]


class ReportRow(NamedTuple):
    """A measure in a table: its key, what it is called, and its decimals."""

    key: str
    name: str
    decimals: int = 1


ACCURACY = (
    ReportRow("mpjpe_mm", "MPJPE (mm)"),
    ReportRow("pa_mpjpe_mm", "PA-MPJPE (mm)"),
    ReportRow("mpvpe_mm", "MPVPE (mm)"),
    ReportRow("known_mpjpe_mm", "MPJPE, camera known (mm)"),
    ReportRow("known_mpvpe_mm", "MPVPE, camera known (mm)"),
    ReportRow("difficulty_mm", "MPJPE of the reference: how hard it is (mm)"),
    ReportRow("oks", "reprojection OKS", 3),
    ReportRow("reprojection_percent", "reprojection error (% of √area)", 2),
    ReportRow("iou", "silhouette IoU", 3),
)
CONSISTENCY = (
    ReportRow("mirror_mm", "mirrored (mm)"),
    ReportRow("jitter_mm_per_px", "joints jittered by 2 px (mm per px)"),
    ReportRow("dropped_mm_per_joint", "one joint missing (mm per joint)"),
    ReportRow("crop_mm_per_joint", "a quarter cropped at one side (mm per joint lost)"),
    ReportRow("shift_mm", "moved and halved in size (mm)", 2),
    ReportRow("small_mm", "64 px tall, whole pixels (mm)"),
)
PLAUSIBILITY = (
    ReportRow("asymmetry_percent", "left and right bones differ (%)"),
    ReportRow("odd_bones_percent", "bones of rare proportion (%; true bodies: 1)"),
    ReportRow("beyond_limits_percent", "people with a joint past its limits (%)"),
    ReportRow("intersecting_percent", "people passing through themselves by over 20 mm (%)"),
    ReportRow("depth_mm", "deepest overlap, mean (mm)"),
    ReportRow("floating_mm", "feet above the ground (mm)"),
)


def write_report(
    out: Path,
    predictor: Predictor,
    command: str,
    sets: Sequence[Measures],
    gap: Gap | None,
    parts: Parts | None,
    seed: int,
) -> None:
    """Write `report.md`, `report.html`, `report.json` and the pictures to a folder that exists.

    Args:
        out: The folder; files of the same name are replaced.
        recovery: The model.
        command: How the report is made again.
        sets: What was measured.
        gap: Between training and validation clips, where there are such.
        parts: The training and the validation clips that it was measured on.
        seed: Of the intervals.
    """
    blocks: list[Block] = [
        Heading(f"Robustness of `{predictor.info.name}`", 1),
        Text(f"**{verdict(gap)}**"),
        Text(f"Made by `{command}`. Numbers are means over people, with 95% intervals over clips or pictures."),
        _people_table(sets),
    ]
    if gap is not None and parts is not None:
        picture = out / "gap.png"
        robustness_plots.draw_gap(picture, gap, *parts)
        blocks += _gap_blocks(gap, picture)
    blocks += [Heading("How well it meets truth and picture"), _table(ACCURACY, sets, seed)]
    blocks += [Heading("How much its answers move"), _table(CONSISTENCY, sets, seed), *_dropped(sets)]
    blocks += [Heading("Whether its answers can be bodies"), _table(PLAUSIBILITY, sets, seed, with_ground_truth=True)]
    blocks += [_limits_table(sets), *_calibration_blocks(out, sets)]
    robustness_plots.draw_curves(out / "curves.png", sets)
    caption = "Noise, missing joints and view: means and 95% bands. Movement is from the undisturbed answer."
    blocks += [Heading("Curves"), ImageBlock(out / "curves.png", caption), Heading("The worst cases")]
    for index, measures in enumerate(sets):
        picture = out / f"worst_{index + 1}.jpg"
        renderer.save_image(picture, draw_gallery(measures, predictor))
        beside = "" if measures.people.ground_truth is None else ", the true body in grey"
        text = f"{measures.people.name}: input joints, the answer over them, and from the side{beside}."
        blocks.append(ImageBlock(picture, text))
    _write(out / "report.md", to_markdown(blocks))
    _write(out / "report.html", to_html(blocks))
    write_json(out / "report.json", _numbers(predictor, command, sets, gap, seed))


def _write(path: Path, text: str) -> None:
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def show(found: Interval | None, decimals: int) -> str:
    """`value [low, high]`, or a dash."""
    if found is None:
        return "–"
    value = f"{found.value:.{decimals}f}"
    return value if np.isnan(found.low) else f"{value} [{found.low:.{decimals}f}, {found.high:.{decimals}f}]"


def _people_table(sets: Sequence[Measures]) -> Table:
    rows = []
    for measures in sets:
        people = measures.people
        groups, whole = len(np.unique(people.group)), "picture" if people.ground_truth is None else "clip"
        kind = {"own": "own data", "clips": "clips", "train": "training clips", "validation": "validation clips"}
        counted = f"{groups} {whole}{'s' * (groups != 1)}"
        rows.append((people.name, kind[people.role], str(len(people)), counted))
    return Table(("set", "what it is", "people", "from"), rows)


def _table(rows: Sequence[ReportRow], sets: Sequence[Measures], seed: int, *, with_ground_truth: bool = False) -> Table:
    """A column for each set, and one more for the true bodies of those that have some."""
    head, columns = ["measure"], []
    for measures in sets:
        head.append(measures.people.name)
        columns.append(measures.values)
        if with_ground_truth and measures.true_values:
            head.append(f"true bodies of {measures.people.name}")
            columns.append(measures.true_values)
    groups = [
        measures.people.group
        for measures in sets
        for _ in range(2 if with_ground_truth and measures.true_values else 1)
    ]  # fmt: skip
    cells = []
    for row in rows:
        found = [
            mean_interval(values[row.key], group, seed) if row.key in values else None
            for values, group in zip(columns, groups, strict=True)
        ]
        if any(each is not None for each in found):
            cells.append((row.name, *(show(each, row.decimals) for each in found)))
    return Table(head, cells)


def _gap_blocks(gap: Gap, picture: Path) -> list[Block]:
    change = gap.difficulty_ratio - 1
    harder = "as hard" if abs(change) < 0.05 else "harder" if change > 0 else "easier"
    return [
        Heading("Does it overfit?"),
        Text(
            f"Mean errors stand {gap.plain_ratio:.2f} to 1. By the reference, which knows no clip and errs "
            f"{gap.difficulty_ratio:.2f} to 1, the validation clips are {harder}. At equal difficulty clips still "
            f"differ by {100 * gap.spread:.0f}% (one standard deviation), whichever part they are of."
        ),
        ImageBlock(picture, "Each clip's error against its difficulty, and the fitted lines of both parts."),
    ]


def _dropped(sets: Sequence[Measures]) -> list[Block]:
    """Movement by the joint that is missing, left and right taken together."""
    names = sets[0].joint_names
    rows = []
    for part in dict.fromkeys(name.removeprefix("left_").removeprefix("right_") for name in names):
        columns = [index for index, name in enumerate(names) if name in (part, f"left_{part}", f"right_{part}")]
        means = []
        for measures in sets:
            values = measures.dropped_mm[:, columns]
            means.append(f"{values[np.isfinite(values)].mean():.1f}" if np.isfinite(values).any() else "–")
        if set(means) != {"–"}:
            rows.append((part, *means))
    return [Text("Movement in mm by the joint that is missing:"), Table(("joint", *_names(sets)), rows)]


def _limits_table(sets: Sequence[Measures]) -> Table:
    rows = [
        (
            f"{limit.name} ({limit.low:g}° to {limit.high:g}°)",
            *(f"{100 * measures.beyond[limit.name].mean():.1f}" for measures in sets),
        )
        for limit in LIMITS
    ]
    return Table(("people past the limits (%)", *_names(sets)), rows)


def _names(sets: Sequence[Measures]) -> list[str]:
    return [measures.people.name for measures in sets]


def _calibration_blocks(out: Path, sets: Sequence[Measures]) -> list[Block]:
    picture = out / "calibration.png"
    robustness_plots.draw_calibration(picture, {measures.people.name: measures.calibration for measures in sets})
    rows = []
    for measures in sets:
        found = measures.calibration
        ranks = ["–" if np.isnan(rank) else f"{rank:.2f}" for rank in (found.joint_rank, found.person_rank)]
        rows.append((measures.people.name, found.source, *ranks, f"{found.error:.2f}"))
    return [
        Heading("What confidences are worth"),
        Table(
            ("set", "confidences", "rank correlation, joints", "rank correlation, people", "calibration error"), rows
        ),
        ImageBlock(
            picture, "Joints by the confidence they came with. Above the dashed line the body is better than promised."
        ),
    ]


def _numbers(
    predictor: Predictor, command: str, sets: Sequence[Measures], gap: Gap | None, seed: int
) -> dict[str, Any]:
    """The report as JSON: everything in the tables and the curves."""
    return {
        "model": predictor.info.name,
        "command": command,
        "seed": seed,
        "verdict": verdict(gap),
        "gap": None if gap is None else {**asdict(gap), "overfits": gap.overfits},
        "sets": [
            {
                "name": measures.people.name,
                "role": measures.people.role,
                "people": len(measures.people),
                "measures": {key: _plain(measures.interval(key, seed)) for key in measures.values},
                "true_bodies": {
                    key: _plain(mean_interval(value, measures.people.group, seed))
                    for key, value in measures.true_values.items()
                },
                "calibration": {
                    "error": measures.calibration.error,
                    "joint_rank": _finite(measures.calibration.joint_rank),
                    "person_rank": _finite(measures.calibration.person_rank),
                    "bins": [list(each) for each in measures.calibration.bins],
                },
                "curves": [
                    {
                        "axis": curve.axis,
                        "measure": curve.measure,
                        "places": list(curve.places),
                        "values": [_plain(found) for found in curve.values],
                    }
                    for curve in measures.curves
                ],
                "worst": [measures.people.labels[case.index] for case in measures.worst],
            }
            for measures in sets
        ],
    }


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _plain(found: Interval | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {key: _finite(value) if isinstance(value, float) else value for key, value in asdict(found).items()}
