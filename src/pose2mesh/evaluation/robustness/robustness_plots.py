"""Plots of the robustness report: curves, calibration and the gap, without matplotlib's global state."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pose2mesh.evaluation.robustness.calibration import Calibration
from pose2mesh.evaluation.robustness.curves import Curve
from pose2mesh.evaluation.robustness.generalization_gap import MARGIN, ClipErrors, Gap, clip_means
from pose2mesh.evaluation.robustness.measure import Measures
from pose2mesh.io.atomic_write import replacing

# The colours of Okabe and Ito's palette (jfly.uni-koeln.de/color) that are dark enough for lines on white.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b07c00", "#000000")


def draw_curves(path: Path, sets: Sequence[Measures]) -> None:
    """Plot a panel for each axis and measure, with a line and its 95% band for each set."""
    panels = list(dict.fromkeys((curve.axis, curve.measure) for measures in sets for curve in measures.curves))
    columns = 2
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(5.2 * columns, 3.4 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (axis, measure) in zip(grid, panels, strict=False):
        for index, measures in enumerate(sets):
            for curve in measures.curves:
                if (curve.axis, curve.measure) == (axis, measure):
                    _draw_curve(axes, curve, _COLOURS[index % len(_COLOURS)], measures.people.name)
        axes.set_ylim(bottom=0)
        if axis.startswith("yaw"):
            axes.set_xticks(range(-180, 181, 90))
        axes.set_xlabel(axis, fontsize=9)
        axes.set_title(measure, loc="left", fontsize=10)
        axes.legend(fontsize=8, frameon=False)
        _plain(axes)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    _save(figure, path)


def _draw_curve(axes: Axes, curve: Curve, colour: str, label: str) -> None:
    pairs = zip(curve.places, curve.values, strict=True)
    points = [(place, interval) for place, interval in pairs if interval is not None]
    # A point from a single clip or image is unreliable and omitted, unless the set has no more.
    points = [point for point in points if point[1].groups > 1] or points
    if not points:
        return
    places = np.array([place for place, _ in points])
    middle, low, high = (
        np.array([getattr(interval, end) for _, interval in points]) for end in ("value", "low", "high")
    )
    axes.plot(places, middle, color=colour, linewidth=1.6, marker="o", markersize=3.5, label=label)
    axes.fill_between(places, low, high, color=colour, alpha=0.15, linewidth=0)


def draw_calibration(path: Path, calibrations: dict[str, Calibration]) -> None:
    """Plot the mean similarity of the joints of each bin over their mean confidence; the diagonal marks equality."""
    figure = Figure(figsize=(5.2, 4.0), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=1, linestyle=(0, (4, 3)))
    for index, (name, calibration) in enumerate(calibrations.items()):
        _, confidence, similarity = zip(*calibration.bins, strict=True)
        axes.plot(confidence, similarity, color=_COLOURS[index % len(_COLOURS)], marker="o", markersize=4, label=name)
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02))
    axes.set_xlabel("confidence of the input joint", fontsize=9)
    axes.set_title("Similarity of the body's joint with the true joint", loc="left", fontsize=10)
    axes.legend(fontsize=8, frameon=False)
    _plain(axes)
    _save(figure, path)


def draw_gap(
    path: Path,
    gap: Gap,
    train: ClipErrors,
    validation: ClipErrors,
) -> None:
    """Plot the model's error over the reference's, one dot per clip, with the fitted lines and that of the margin."""
    figure = Figure(figsize=(5.6, 4.2), layout="constrained")
    axes = figure.subplots()
    x, y = {}, {}
    for name, part in (("training clips", train), ("validation clips", validation)):
        x[name], y[name] = clip_means(part.reference, part.clip), clip_means(part.model, part.clip)
    all_x = np.concatenate(list(x.values()))
    along = np.array([all_x.min(), all_x.max()])
    # The fitted line passes through the mean of the validation clips.
    middle = float(y["validation clips"].mean() - gap.slope * x["validation clips"].mean())
    base = middle - np.log(gap.ratio)
    for name, colour, shift in (
        ("training clips", _COLOURS[0], 0.0),
        ("validation clips", _COLOURS[1], np.log(gap.ratio)),
    ):
        axes.plot(np.exp(x[name]), np.exp(y[name]), "o", markersize=4, alpha=0.7, color=colour, label=name)
        axes.plot(np.exp(along), np.exp(base + gap.slope * along + shift), color=colour, linewidth=1.4)
    limit = np.exp(base + gap.slope * along + np.log(1 + MARGIN))
    axes.plot(
        np.exp(along), limit, color="#777777", linewidth=1, linestyle=(0, (4, 3)), label=f"margin of {MARGIN:.0%}"
    )
    axes.set_xlabel("error of the reference (mm): difficulty of the clip", fontsize=9)
    axes.set_title("Error of the model (mm), one dot per clip", loc="left", fontsize=10)
    axes.legend(fontsize=8, frameon=False)
    _plain(axes)
    _save(figure, path)


def _plain(axes: Axes) -> None:
    axes.tick_params(labelsize=8, color="#999999")
    axes.grid(True, linewidth=0.5, color="#e2e2e2")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#999999")


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as partial:
        figure.savefig(partial, format="png", dpi=100)
