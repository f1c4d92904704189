"""Graphs of training runs from their `metrics.csv`: losses, joint errors and surface error against epochs.

For one run there is a figure each of its losses, joint errors and surface error; for several runs, these figures have
a panel per curve with a line per run. Figures are made as objects, not through pyplot, whose state is global.
"""

from __future__ import annotations

import csv
import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from pose2mesh.errors import InputError
from pose2mesh.io.atomic_write import replacing
from pose2mesh.training.distributed import Processes

_LOG = logging.getLogger(__name__)

# The colours of Okabe and Ito's palette (jfly.uni-koeln.de/color) that are dark enough for text on white.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b07c00", "#000000")
_DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)))
# Ratio of the largest to the smallest value from which an axis is logarithmic; smaller ranges look flat on one.
_LOG_FROM = 6.0
# Inches: a panel's plot area, its margins at the left, below and above, and the width of a letter of its labels.
_PLOT, _LEFT, _BELOW, _ABOVE, _LETTER = (5.0, 3.3), 0.8, 0.6, 0.75, 0.08
_PANELS_A_ROW = 2


@dataclass(frozen=True)
class _Measure:
    """A column of `metrics.csv`, with its label, and its figure, colour and dash pattern in the graphs of one run."""

    column: str
    name: str
    figure: str
    colour: int
    dash: int = 0

    @property
    def validated(self) -> bool:
        """Whether it is a validation error."""
        return self.column.startswith("val/")


_MEASURES = (
    _Measure("train/vertex", "vertex", "loss", 0),
    _Measure("train/normal", "normal", "loss", 1),
    _Measure("train/edge", "edge", "loss", 2),
    _Measure("train/mesh_joint", "mesh joint", "loss", 3),
    _Measure("train/lifted_joint", "lifted joint", "loss", 4),
    _Measure("train/landmark", "landmark", "loss", 4, 1),
    _Measure("train/loss", "total", "loss", 5, 1),
    _Measure("val/mesh_mpjpe_mm", "MPJPE, mesh", "joint_error", 0),
    _Measure("val/lifted_mpjpe_mm", "MPJPE, lifted", "joint_error", 0, 1),
    _Measure("val/mesh_pa_mpjpe_mm", "PA-MPJPE, mesh", "joint_error", 1),
    _Measure("val/lifted_pa_mpjpe_mm", "PA-MPJPE, lifted", "joint_error", 1, 1),
    _Measure("val/surface_mm", "surface error", "surface_error", 2),
    _Measure("val/landmarks_mm", "landmarks, lifted", "surface_error", 2, 1),
)
_TITLES = {
    "loss": "Training losses, weighted",
    "joint_error": "Joint error on validation samples",
    "surface_error": "Surface error on validation samples",
}


class _Curve(NamedTuple):
    """A line of a panel."""

    label: str
    epochs: np.ndarray  # (N,) finished epochs
    values: np.ndarray  # (N,)
    colour: str
    dash: Any


class _Panel(NamedTuple):
    title: str
    unit: str
    validated: bool
    curves: list[_Curve]


def refresh_graphs(folder: Path, processes: Processes) -> None:
    """Redraw the graphs of a run folder, in the first process alone; a failure is logged and does not end the run."""
    if not processes.first:
        return
    try:
        draw_run(folder)
    except Exception as error:  # a graph that fails must not end hours of training
        _LOG.warning("%s: the graphs could not be drawn (%s)", folder, error)


def draw_run(folder: Path) -> list[Path]:
    """Draw `loss.png`, `joint_error.png` and `surface_error.png` from a run folder's `metrics.csv`, beside it.

    Returns:
        The files that were written; a figure without any value yet is left out.

    Raises:
        InputError: there is no `metrics.csv` or it cannot be read.
    """
    curves = _read_run(folder)
    written = []
    for figure, title in _TITLES.items():
        drawn = [
            _Curve(item.name, *curves[item.column], _COLOURS[item.colour], _DASHES[item.dash])
            for item in _MEASURES
            if item.figure == figure and item.column in curves
        ]
        if drawn:
            panel = _Panel(title, "" if figure == "loss" else "mm", figure != "loss", drawn)
            written.append(_save(folder / f"{figure}.png", folder.resolve().name, [panel]))
    return written


def draw_curves(runs: dict[str, Path], out: Path) -> list[Path]:
    """Plot several runs together: the same three files, with a panel per curve and a line per run.

    Args:
        runs: Label to run folder.
        out: Folder for the graphs, made if need be.

    Returns:
        The files that were written; runs without a curve are left out of its panel.

    Raises:
        InputError: a run has no readable `metrics.csv`.
    """
    curves = {label: _read_run(folder) for label, folder in runs.items()}
    styles = {
        label: (_COLOURS[index % len(_COLOURS)], _DASHES[index // len(_COLOURS) % len(_DASHES)])
        for index, label in enumerate(runs)
    }
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for figure, title in _TITLES.items():
        panels = []
        for item in _MEASURES:
            drawn = [
                _Curve(label, *found[item.column], *styles[label])
                for label, found in curves.items()
                if item.figure == figure and item.column in found
            ]
            if drawn:
                panels.append(_Panel(item.name, "mm" if item.validated else "", item.validated, drawn))
        if panels:
            written.append(_save(out / f"{figure}.png", title, panels))
    return written


def _read_run(folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The curves of a run; the sum of the losses is left out if there is only one loss."""
    curves = read_curves(folder / "metrics.csv")
    if sum(name.startswith("train/") for name in curves) == 2:
        curves.pop("train/loss", None)
    return curves


def read_curves(file: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Each column of a `metrics.csv` that has finite values: epochs (N,) finished, in order, and values (N,).

    If an epoch occurs twice, the later row is used; rows without an epoch (learning rates) are skipped.

    Raises:
        InputError: there is no such file or it cannot be read.
    """
    found: dict[str, dict[int, float]] = {}
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                epoch = _number(row.get("epoch"))
                for column, cell in row.items():
                    value = _number(cell)
                    if epoch is not None and value is not None and column not in ("epoch", "step"):
                        found.setdefault(column, {})[int(epoch) + 1] = value
    except OSError as error:
        raise InputError(f"{file}: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file}: cannot be read as CSV ({error})") from error
    return {
        column: (np.array(sorted(values)), np.array([values[epoch] for epoch in sorted(values)]))
        for column, values in found.items()
    }


def _number(cell: Any) -> float | None:
    """The number in a cell; None if it is empty, truncated, not a number or not finite."""
    try:
        value = float(cell)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def _save(path: Path, heading: str, panels: list[_Panel]) -> Path:
    """Draw a figure of panels in rows and write it atomically."""
    columns = min(_PANELS_A_ROW, len(panels))
    rows = -(-len(panels) // columns)
    longest = max(len(curve.label) for panel in panels for curve in panel.curves)
    cell = _LEFT + _PLOT[0] + 0.6 + _LETTER * max(longest + 7, 16), _BELOW + _PLOT[1] + _ABOVE
    size = columns * cell[0], rows * cell[1]
    figure = Figure(figsize=size, facecolor="white")
    for index, panel in enumerate(panels):
        left = index % columns * cell[0] + _LEFT
        bottom = (rows - 1 - index // columns) * cell[1] + _BELOW
        place = (left / size[0], bottom / size[1], _PLOT[0] / size[0], _PLOT[1] / size[1])
        _draw_panel(figure.add_axes(place), panel, heading)
    with replacing(path) as partial:
        figure.savefig(partial, format="png", dpi=130)
    return path


def _draw_panel(axes: Axes, panel: _Panel, heading: str) -> None:
    for curve in panel.curves:
        # Markers for validation errors, none for losses, which are means over an epoch; a single epoch needs one.
        dots = panel.validated or len(curve.epochs) == 1
        few = len(curve.epochs) <= 40
        axes.plot(
            curve.epochs, curve.values, color=curve.colour, linestyle=curve.dash, linewidth=1.6,
            marker="o" if dots and few else None, markersize=3.2,
        )  # fmt: skip
        if panel.validated:
            best = curve.values.argmin()
            axes.plot(
                curve.epochs[best], curve.values[best], "o", markersize=8, color=curve.colour, markerfacecolor="none"
            )
    _draw_scales(axes, panel)
    _draw_labels(axes, panel)
    axes.set_title(panel.title, loc="left", fontsize=12, fontweight="bold", pad=22)
    note = f"{heading} · rings mark the best epoch" if panel.validated else heading
    axes.text(0, 1.03, note, transform=axes.transAxes, fontsize=9, color="#555555")


def _draw_scales(axes: Axes, panel: _Panel) -> None:
    """Set up the axes: integer epochs, and a logarithmic scale for a large range of values."""
    values = np.concatenate([curve.values for curve in panel.curves])
    low, high = values.min(), values.max()
    logarithmic = low > 0 and high > _LOG_FROM * low
    if logarithmic:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    last = max(int(curve.epochs[-1]) for curve in panel.curves)
    first = min(int(curve.epochs[0]) for curve in panel.curves)
    margin = 0.03 * max(last - first, 1)
    axes.set_xlim(first - margin, last + margin)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=9, min_n_ticks=1))
    kind = "error" if panel.validated else "loss"
    quality = ", ".join(part for part in (panel.unit, "log scale" if logarithmic else "") if part)
    axes.set_ylabel(f"{kind} ({quality})" if quality else kind, fontsize=10)
    axes.set_xlabel("finished epochs", fontsize=10)
    axes.tick_params(labelsize=9, color="#999999")
    axes.grid(True, linewidth=0.5, color="#dddddd")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#999999")


def _draw_labels(axes: Axes, panel: _Panel) -> None:
    """Write each curve's name and last value at its end; labels that would overlap are moved apart."""
    axes.get_ylim()  # computes the limits that the transforms below depend on
    to_share = axes.transData + axes.transAxes.inverted()
    ends = to_share.transform([(curve.epochs[-1], curve.values[-1]) for curve in panel.curves])
    places = spread(ends[:, 1], 0.125 if panel.validated else 0.065)
    for curve, end, place in zip(panel.curves, ends, places, strict=True):
        text = f"{curve.label}  {curve.values[-1]:.3g}"
        if panel.validated:
            best = curve.values.argmin()
            text = f"{curve.label}  {curve.values[-1]:.1f}\nbest {curve.values[best]:.1f} after {curve.epochs[best]}"
        axes.text(1.06, place, text, transform=axes.transAxes, color=curve.colour, fontsize=9, va="center")
        across, along = (end[0] + 0.015, 1.05), (end[1], place)
        axes.plot(across, along, transform=axes.transAxes, color=curve.colour, linewidth=0.6, alpha=0.5, clip_on=False)


def spread(wanted: np.ndarray, gap: float) -> np.ndarray:
    """Heights (N,) near the wanted ones, at least `gap` apart, in the same order, in [0, 1] as far as they fit.

    Crowded labels are stacked around their mean (pool adjacent violators).
    """
    order = np.argsort(wanted, kind="stable")
    groups: list[list[float]] = []  # per group its members' wanted heights, minus the gaps of the labels below
    for rank, height in enumerate(wanted[order]):
        groups.append([height - rank * gap])
        while len(groups) > 1 and np.mean(groups[-2]) >= np.mean(groups[-1]):
            joined = groups.pop()
            groups[-1] += joined
    level = np.concatenate([np.full(len(group), np.mean(group)) for group in groups])
    placed = np.empty(len(wanted))
    placed[order] = level.clip(0, max(0.0, 1 - gap * (len(wanted) - 1))) + gap * np.arange(len(wanted))
    return placed
