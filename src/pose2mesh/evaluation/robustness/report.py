"""The robustness report: all measures side by side for the sample sets, as tables and plots, and as JSON."""

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
    """A measure in a table: its key, its title and its decimals."""

    key: str
    name: str
    decimals: int = 1


ACCURACY = (
    ReportRow("mpjpe_mm", "MPJPE (mm)"),
    ReportRow("pa_mpjpe_mm", "PA-MPJPE (mm)"),
    ReportRow("mpvpe_mm", "MPVPE (mm)"),
    ReportRow("known_mpjpe_mm", "MPJPE, camera given (mm)"),
    ReportRow("known_mpvpe_mm", "MPVPE, camera given (mm)"),
    ReportRow("difficulty_mm", "MPJPE of the reference: difficulty (mm)"),
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
    ReportRow("beyond_limits_percent", "people with a joint beyond its limits (%)"),
    ReportRow("intersecting_percent", "people with self-intersection over 20 mm (%)"),
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
    """Write `report.md`, `report.html`, `report.json` and their images to an existing folder.

    Args:
        out: The folder; files of the same name are replaced.
        predictor: The model.
        command: Command line that makes the report again.
        sets: Measures on each sample set.
        gap: Gap between training and validation clips, if measured.
        parts: Errors on the training and the validation clips.
        seed: Seed of the intervals.
    """
    blocks: list[Block] = [
        Heading(f"Robustness of `{predictor.info.name}`", 1),
        Text(f"**{verdict(gap)}**"),
        Text(f"Command: `{command}`. Numbers are means over samples, with 95% intervals over clips or images."),
        _people_table(sets),
    ]
    if gap is not None and parts is not None:
        plot = out / "gap.png"
        robustness_plots.draw_gap(plot, gap, *parts)
        blocks += _gap_blocks(gap, plot)
    blocks += [Heading("Accuracy"), _table(ACCURACY, sets, seed)]
    blocks += [Heading("Consistency"), _table(CONSISTENCY, sets, seed), *_dropped(sets)]
    blocks += [Heading("Plausibility"), _table(PLAUSIBILITY, sets, seed, with_ground_truth=True)]
    blocks += [_limits_table(sets), *_calibration_blocks(out, sets)]
    robustness_plots.draw_curves(out / "curves.png", sets)
    caption = "Noise, missing joints and view: means and 95% bands. Movement is relative to the undisturbed prediction."
    blocks += [Heading("Curves"), ImageBlock(out / "curves.png", caption), Heading("The worst cases")]
    for index, measures in enumerate(sets):
        image = out / f"worst_{index + 1}.jpg"
        renderer.save_image(image, draw_gallery(measures, predictor))
        beside = "" if measures.people.ground_truth is None else ", the true body in grey"
        text = f"{measures.people.name}: input joints, the predicted body over them, and from the side{beside}."
        blocks.append(ImageBlock(image, text))
    _write(out / "report.md", to_markdown(blocks))
    _write(out / "report.html", to_html(blocks))
    write_json(out / "report.json", _numbers(predictor, command, sets, gap, seed))


def _write(path: Path, text: str) -> None:
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def format_interval(found: Interval | None, decimals: int) -> str:
    """`value [low, high]`, or a dash."""
    if found is None:
        return "–"
    value = f"{found.value:.{decimals}f}"
    return value if np.isnan(found.low) else f"{value} [{found.low:.{decimals}f}, {found.high:.{decimals}f}]"


def _people_table(sets: Sequence[Measures]) -> Table:
    rows = []
    for measures in sets:
        people = measures.people
        groups, whole = len(np.unique(people.group)), "image" if people.ground_truth is None else "clip"
        kind = {"own": "own data", "clips": "clips", "train": "training clips", "validation": "validation clips"}
        counted = f"{groups} {whole}{'s' * (groups != 1)}"
        rows.append((people.name, kind[people.role], str(len(people)), counted))
    return Table(("set", "kind", "samples", "from"), rows)


def _table(rows: Sequence[ReportRow], sets: Sequence[Measures], seed: int, *, with_ground_truth: bool = False) -> Table:
    """Table with a column for each set, and one for the true bodies of sets that have them."""
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
            cells.append((row.name, *(format_interval(each, row.decimals) for each in found)))
    return Table(head, cells)


def _gap_blocks(gap: Gap, plot: Path) -> list[Block]:
    change = gap.difficulty_ratio - 1
    harder = "as hard" if abs(change) < 0.05 else "harder" if change > 0 else "easier"
    return [
        Heading("Overfitting"),
        Text(
            f"The mean error on validation clips is {gap.plain_ratio:.2f} times that on training clips. For the "
            f"reference, which is trained on neither, the ratio is {gap.difficulty_ratio:.2f}: the validation clips "
            f"are {harder}. At equal difficulty the errors of clips still differ by {100 * gap.spread:.0f}% (one "
            "standard deviation), within either part."
        ),
        ImageBlock(plot, "Error of each clip over its difficulty, and the fitted lines of both parts."),
    ]


def _dropped(sets: Sequence[Measures]) -> list[Block]:
    """Movement by missing joint, left and right averaged."""
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
    return [Text("Movement in mm by missing joint:"), Table(("joint", *_names(sets)), rows)]


def _limits_table(sets: Sequence[Measures]) -> Table:
    rows = [
        (
            f"{limit.name} ({limit.low:g}° to {limit.high:g}°)",
            *(f"{100 * measures.beyond[limit.name].mean():.1f}" for measures in sets),
        )
        for limit in LIMITS
    ]
    return Table(("people beyond the limits (%)", *_names(sets)), rows)


def _names(sets: Sequence[Measures]) -> list[str]:
    return [measures.people.name for measures in sets]


def _calibration_blocks(out: Path, sets: Sequence[Measures]) -> list[Block]:
    plot = out / "calibration.png"
    robustness_plots.draw_calibration(plot, {measures.people.name: measures.calibration for measures in sets})
    rows = []
    for measures in sets:
        found = measures.calibration
        ranks = ["–" if np.isnan(rank) else f"{rank:.2f}" for rank in (found.joint_rank, found.person_rank)]
        rows.append((measures.people.name, found.source, *ranks, f"{found.error:.2f}"))
    return [
        Heading("Calibration of the confidences"),
        Table(
            ("set", "confidences", "rank correlation, joints", "rank correlation, people", "calibration error"), rows
        ),
        ImageBlock(plot, "Joints by input confidence. Above the dashed line the similarity exceeds the confidence."),
    ]


def _numbers(
    predictor: Predictor, command: str, sets: Sequence[Measures], gap: Gap | None, seed: int
) -> dict[str, Any]:
    """All numbers of the tables and the curves, for `report.json`."""
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
