"""Graphs of a run: what is read from its log, what is drawn, and what a fault may not do."""

from __future__ import annotations

import csv
import logging
import struct
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from pose2mesh.errors import InputError
from pose2mesh.training import plots
from pose2mesh.training.distributed import Processes


def write_log(folder: Path, epochs: int, stage: str = "pose2mesh") -> Path:
    """A log as a run writes it, a row per epoch; the edge term begins with the third."""
    rows: list[dict[str, Any]] = []
    for epoch in range(epochs):
        fall = 0.9**epoch
        losses, errors = {"lifted_joint": 0.1}, {"lifted_mpjpe": 100.0, "lifted_pa_mpjpe": 90.0}
        if stage == "pose2mesh":
            losses = {
                "vertex": 0.9,
                "normal": 0.1,
                **({"edge": 2.0} if epoch >= 2 else {}),
                "mesh_joint": 0.1,
                **losses,
            }
            errors |= {"surface": 130.0, "mesh_mpjpe": 100.0, "mesh_pa_mpjpe": 90.0}
        losses["loss"] = sum(losses.values())
        row = {f"train/{name}": value * fall for name, value in losses.items()}
        row |= {f"val/{name}_mm": value * fall for name, value in errors.items()}
        rows.append({"epoch": epoch, "step": 10 * epoch + 10, **row, "learning_rate": 1e-3})
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "metrics.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)
    return folder


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, Figure]:
    """The figures that are saved, by file name."""
    figures: dict[str, Figure] = {}
    save = Figure.savefig

    def spy(self: Figure, path: Path, **options: Any) -> None:
        figures[path.name.removeprefix(".").removesuffix(".part")] = self
        save(self, path, **options)

    monkeypatch.setattr(Figure, "savefig", spy)
    return figures


def lines(figure: Figure, panel: int = 0) -> list[tuple[list[float], list[float]]]:
    """The curves of a panel: without the rings and the lines that lead to labels."""
    axes = figure.axes[panel]
    found = [line for line in axes.lines if line.get_transform() == axes.transData and line.get_linestyle() != "None"]
    return [(np.asarray(line.get_xdata()).tolist(), np.asarray(line.get_ydata()).tolist()) for line in found]


def words(figure: Figure, panel: int = 0) -> str:
    axes = figure.axes[panel]
    return "\n".join([axes.get_title("left"), axes.get_ylabel(), *(text.get_text() for text in axes.texts)])


def png_size(path: Path) -> tuple[int, int]:
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", data[16:24])


def test_the_three_graphs_of_a_whole_network(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    folder = write_log(tmp_path / "light", 5)
    written = plots.draw_run(folder)
    assert [path.name for path in written] == ["loss.png", "joint_error.png", "surface_error.png"]
    assert {path.name for path in folder.iterdir()} == {"metrics.csv", *(path.name for path in written)}
    assert all(min(png_size(path)) > 400 for path in written)

    loss, joint, surface = (drawn[path.name] for path in written)
    for name in ("vertex", "normal", "edge", "mesh joint", "lifted joint", "total", "light", "log scale"):
        assert name in words(loss)
    assert loss.axes[0].get_yscale() == "log"
    curves = lines(loss)
    assert len(curves) == 6
    assert curves[0] == ([1, 2, 3, 4, 5], pytest.approx([0.9 * 0.9**epoch for epoch in range(5)]))
    assert curves[2] == ([3, 4, 5], pytest.approx([2 * 0.9**epoch for epoch in (2, 3, 4)]))
    assert curves[5][1][0] == pytest.approx(1.2)

    assert len(lines(joint)) == 4
    assert joint.axes[0].get_yscale() == "linear"
    for name in ("MPJPE, mesh", "MPJPE, lifted", "PA-MPJPE, mesh", "PA-MPJPE, lifted", "(mm)", "validation"):
        assert name in words(joint)
    assert "surface error  85.3\nbest 85.3 after 5" in words(surface)


def test_a_lifter_has_no_surface(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    written = plots.draw_run(write_log(tmp_path, 3, "posenet"))
    assert [path.name for path in written] == ["loss.png", "joint_error.png"]
    assert len(lines(drawn["loss.png"])) == 1
    assert len(lines(drawn["joint_error.png"])) == 2


def test_the_best_epoch_is_named_and_ringed(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    (tmp_path / "metrics.csv").write_text("epoch,step,val/surface_mm\n0,9,120\n1,19,90.04\n2,29,95\n")
    plots.draw_run(tmp_path)
    assert "surface error  95.0\nbest 90.0 after 2" in words(drawn["surface_error.png"])
    rings = [line for line in drawn["surface_error.png"].axes[0].lines if line.get_markerfacecolor() == "none"]
    assert [(list(ring.get_xdata()), list(ring.get_ydata())) for ring in rings] == [([2], [90.04])]


def test_one_epoch_is_a_dot(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    plots.draw_run(write_log(tmp_path, 1))
    assert all(line.get_marker() == "o" for line in drawn["loss.png"].axes[0].lines if len(line.get_xdata()) == 1)
    assert lines(drawn["surface_error.png"]) == [([1], [130])]


@pytest.mark.parametrize("text", ["", "epoch,step,train/vertex\n", "epoch,step,train/vertex\n,3,\n0,9,nan\n1\n"])
def test_a_log_without_values_gives_no_graph(text: str, tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text(text)
    assert plots.draw_run(tmp_path) == []
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.csv"]


def test_a_missing_or_unreadable_log_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"metrics\.csv: No such file"):
        plots.draw_run(tmp_path)
    (tmp_path / "metrics.csv").write_bytes(b"epoch\xff\n0\n")
    with pytest.raises(InputError, match=r"metrics\.csv: cannot be read as CSV"):
        plots.draw_run(tmp_path)


def test_of_an_epoch_that_is_there_twice_the_later_counts(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("epoch,step,train/vertex\n1,19,0.7\n0,9,0.9\n1,19,0.6\n1,19,inf\n")
    epochs, values = plots.read_curves(tmp_path / "metrics.csv")["train/vertex"]
    assert epochs.tolist() == [1, 2]
    assert values.tolist() == [0.9, 0.6]


@pytest.mark.thorough
def test_runs_are_laid_over_one_another(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    runs = {
        "rmsprop": write_log(tmp_path / "a", 4),
        "adam": write_log(tmp_path / "b", 3),
        "lifter": write_log(tmp_path / "c", 6, "posenet"),
    }
    written = plots.draw_curves(runs, tmp_path / "study" / "graphs")
    assert [path.name for path in written] == ["loss.png", "joint_error.png", "surface_error.png"]
    titles = [axes.get_title("left") for axes in drawn["joint_error.png"].axes]
    assert titles == ["MPJPE, mesh", "MPJPE, lifted", "PA-MPJPE, mesh", "PA-MPJPE, lifted"]
    assert [len(epochs) for epochs, _ in lines(drawn["joint_error.png"], 0)] == [4, 3]
    assert [len(epochs) for epochs, _ in lines(drawn["joint_error.png"], 1)] == [4, 3, 6]
    assert "adam  81.0" in words(drawn["joint_error.png"], 0)
    colours = {line.get_color() for line in drawn["loss.png"].axes[4].lines}
    assert len(colours) == 3


@pytest.mark.thorough
def test_many_runs_differ_in_colour_or_dash(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    plots.draw_curves({f"run {index}": write_log(tmp_path / str(index), 2) for index in range(9)}, tmp_path / "out")
    axes = drawn["surface_error.png"].axes[0]
    styles = [
        (line.get_color(), line.get_linestyle(), getattr(line, "_dash_pattern", None))
        for line in axes.lines
        if line.get_transform() == axes.transData and line.get_linestyle() != "None"
    ]
    assert len(styles) == len({str(style) for style in styles}) == 9


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.floats(0.01, 0.12))
def test_labels_keep_their_distance_and_their_order(wanted: list[float], gap: float) -> None:
    placed = plots.spread(np.array(wanted), gap)
    order = np.argsort(wanted, kind="stable")
    assert (np.diff(placed[order]) >= gap - 1e-9).all()
    assert placed.min() >= -1e-9
    assert placed.max() <= 1 + 1e-9
    if len(wanted) == 1:
        assert placed[0] == pytest.approx(wanted[0])


def test_labels_that_have_room_stay() -> None:
    np.testing.assert_allclose(plots.spread(np.array([0.9, 0.1, 0.5]), 0.1), [0.9, 0.1, 0.5])


def test_global_state_of_matplotlib_is_left_alone(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    plots.draw_run(write_log(tmp_path, 2))
    assert dict(matplotlib.rcParams) == before


def test_the_graphs_are_drawn_when_an_epoch_has_ended(tmp_path: Path) -> None:
    """In the first process alone."""
    write_log(tmp_path, 2)
    plots.refresh_graphs(tmp_path, Processes(2, rank=1))
    assert not (tmp_path / "loss.png").exists()
    plots.refresh_graphs(tmp_path, Processes())
    assert (tmp_path / "loss.png").exists()


def test_a_fault_is_logged_and_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_log(tmp_path / "run", 2)

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("no font")

    monkeypatch.setattr(Figure, "savefig", fail)
    with caplog.at_level(logging.WARNING, "pose2mesh"):
        plots.refresh_graphs(tmp_path / "run", Processes())
        plots.refresh_graphs(tmp_path / "none", Processes())
    assert "graphs could not be drawn (no font)" in caplog.text
    assert "No such file" in caplog.text
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["metrics.csv"]
