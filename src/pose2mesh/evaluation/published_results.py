"""Published results on the protocols of `evaluation/protocols.py`, and report tables that compare with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pose2mesh.evaluation.protocols import Protocol

MethodInput = Literal["image", "detected", "gt"]

_POSE2MESH = "Choi et al., ECCV 2020"
_GATOR = "You et al., ICASSP 2023"
_HMR_FRONTAL = "PA-MPJPE over the frontal camera"


@dataclass(frozen=True)
class PublishedRow:
    """Errors of a published method under one protocol.

    Attributes:
        protocol: A key of `PROTOCOLS`.
        method: Name of the method.
        input_: Input of the method: the `image`, `detected` or true (`gt`) 2D joints.
        source: The paper, and differences from the protocol.
        mpjpe, pa_mpjpe, mpvpe, pa_mpvpe: Millimetres; None where not published.
        f_scores: F-scores at 5 and 15 mm, after alignment.
    """

    protocol: str
    method: str
    input_: MethodInput
    source: str
    mpjpe: float | None = None
    pa_mpjpe: float | None = None
    mpvpe: float | None = None
    pa_mpvpe: float | None = None
    f_scores: tuple[float, float] | None = None


# HMR, GraphCMR and SPIN use one of the four cameras for PA-MPJPE; the methods that take 2D poses use all four.
PUBLISHED: tuple[PublishedRow, ...] = (
    PublishedRow("human36m-p2", "Lassner et al.", "image", "Lassner et al., CVPR 2017", None, 93.9),
    PublishedRow("human36m-p2", "HMR", "image", f"Kanazawa et al., CVPR 2018; {_HMR_FRONTAL}", 88.0, 56.8),
    PublishedRow("human36m-p2", "NBF", "image", "Omran et al., 3DV 2018", None, 59.9),
    PublishedRow("human36m-p2", "Pavlakos et al.", "image", "Pavlakos et al., CVPR 2018", None, 75.9),
    PublishedRow("human36m-p2", "GraphCMR", "image", f"Kolotouros et al., CVPR 2019; {_HMR_FRONTAL}", None, 50.1),
    PublishedRow("human36m-p2", "Arnab et al.", "image", "Arnab et al., CVPR 2019", 77.8, 54.3),
    PublishedRow("human36m-p2", "SPIN", "image", f"Kolotouros et al., ICCV 2019; {_HMR_FRONTAL}", 62.5, 41.1),
    PublishedRow("human36m-p2", "Pose2Mesh", "detected", _POSE2MESH, 64.9, 46.3),
    PublishedRow(
        "human36m-p2", "Pose2Mesh, Adam", "detected", "trained with another optimiser, as reported later", 60.2, 47.2
    ),
    PublishedRow("human36m-p2", "GTRS", "detected", "Zheng et al., ACM MM 2022", 64.3, 45.4),
    PublishedRow("human36m-p2", "GATOR", "detected", _GATOR, 64.0, 44.7),
    PublishedRow("human36m-p2", "Pose2Mesh", "gt", _POSE2MESH, 51.3, 35.6),
    PublishedRow("human36m-p2", "GATOR", "gt", _GATOR, 48.8, 31.2),
    PublishedRow("human36m-frontal", "HMR", "image", "Kanazawa et al., CVPR 2018; every fifth frame", None, 56.8),
    PublishedRow(
        "human36m-frontal", "GraphCMR", "image", "Kolotouros et al., CVPR 2019; every fifth frame", None, 50.1
    ),
    PublishedRow("human36m-frontal", "SPIN", "image", "Kolotouros et al., ICCV 2019; every fifth frame", None, 41.1),
    PublishedRow("3dpw", "Pose2Mesh", "detected", f"{_POSE2MESH}, with DarkPose's detections", 88.9, 58.3, 106.3),
    PublishedRow("3dpw", "Pose2Mesh", "gt", _POSE2MESH, 63.1, 35.4),
    PublishedRow("3dpw", "GATOR", "gt", _GATOR, 50.8, 30.5),
    PublishedRow("freihand", "Pose2Mesh", "detected", _POSE2MESH, None, 7.7, None, 7.8, (0.674, 0.969)),
)

_COLUMNS = (
    ("MPJPE", "mpjpe"),
    ("PA-MPJPE", "pa_mpjpe"),
    ("MPVPE", "mpvpe"),
    ("PA-MPVPE", "pa_mpvpe"),
)


def report_tables(protocol: Protocol, results: Mapping[str, Any]) -> str:
    """Results under a protocol as Markdown: beside published results, by action, over time, with omitted samples.

    Args:
        protocol: The protocol.
        results: The report of `evaluation.dataset_evaluator.evaluate_records`, with `model` and `input`.
    """
    samples = f"{results['samples']:,} samples"
    left_out = "; ".join(f"{count:,} left out: {reason}" for reason, count in results["left_out"].items())
    parts = [
        f"## {protocol.title}\n\n{protocol.source}. {samples}{f' ({left_out})' if left_out else ''}. Errors in mm.",
        markdown_table(protocol.name, results),
    ]
    if results.get("known_camera_mpjpe_mm") is not None:
        given = [f"MPJPE {results['known_camera_mpjpe_mm']:.1f}"]
        if "known_camera_mpvpe_mm" in results:
            given.append(f"MPVPE {results['known_camera_mpvpe_mm']:.1f}")
        parts.append(f"Given the camera: {', '.join(given)}.")
    if results.get("actions"):
        parts.append(action_table(results["actions"]))
    if results.get("sequences"):
        parts.append(sequence_table(results["sequences"], results))
    return "\n\n".join(parts)


def markdown_table(protocol: str, results: Mapping[str, Any]) -> str:
    """Errors of a model above the published errors under the same protocol, as a Markdown table.

    Args:
        protocol: A key of `PROTOCOLS`.
        results: The report: `model`, `input`, `mpjpe_mm` and so on; None where not measured.
    """
    rows = [row for row in PUBLISHED if row.protocol == protocol]
    scores = [key for key in results if key.startswith("f_score_")]
    names = [name for name, _ in _COLUMNS] + [f"F@{key.split('_')[2].removesuffix('mm')} mm" for key in scores]
    own = [_number(results.get(f"{key}_mm")) for _, key in _COLUMNS] + [f"{results[key]:.3f}" for key in scores]
    lines = [_line("method", "input", *names, "source"), _line(*["---"] * (len(names) + 3))]
    lines.append(_line(f"**{results['model']}**", results["input"], *own, "this run"))
    for row in rows:
        values = [_number(getattr(row, key)) for _, key in _COLUMNS]
        values += [f"{value:.3f}" for value in row.f_scores or ()] if scores else []
        lines.append(_line(row.method, row.input_, *values, *["–"] * (len(names) - len(values)), row.source))
    return "\n".join(lines)


def action_table(actions: Mapping[str, Mapping[str, float]]) -> str:
    """Errors by action as a Markdown table, and the unweighted mean over the actions.

    Args:
        actions: Name of the action to its `samples` and errors `…_mm`.
    """
    columns = [(name, f"{key}_mm") for name, key in _COLUMNS if f"{key}_mm" in next(iter(actions.values()))]
    lines = [_line("action", "samples", *(name for name, _ in columns)), _line(*["---"] * (len(columns) + 2))]
    measures = [key for _, key in columns]
    for name, errors in actions.items():
        lines.append(_line(name, str(errors["samples"]), *(_number(errors[key]) for key in measures)))
    means = [sum(errors[key] for errors in actions.values()) / len(actions) for key in measures]
    lines.append(_line("mean of the actions", "", *(_number(mean) for mean in means)))
    return "\n".join(lines)


def sequence_table(sequences: Mapping[str, Any], results: Mapping[str, Any]) -> str:
    """Errors over time, as predicted and after the One-Euro filter, as a Markdown table.

    Args:
        sequences: The results of `evaluation.protocol_metrics.sequence_errors`.
        results: The report that contains them.
    """
    head = f"{sequences['sequences']} stretches, {sequences['frames']:,} frames"
    lines = [_line(head, "acceleration error, mm/frame²", "MPJPE", "PA-MPJPE"), _line(*["---"] * 4)]
    for name, prefix in (("as predicted", ""), ("One-Euro, live", "filtered_"), ("One-Euro, both ways", "smoothed_")):
        errors = [(sequences if prefix else results).get(f"{prefix}{key}") for key in ("mpjpe_mm", "pa_mpjpe_mm")]
        lines.append(_line(name, _number(sequences[f"{prefix}acceleration_mm"]), *(_number(each) for each in errors)))
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
