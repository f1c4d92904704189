"""Published results, and the report tables that compare with them."""

from __future__ import annotations

from typing import Any

import pytest

from pose2mesh.evaluation.protocols import PROTOCOLS
from pose2mesh.evaluation.published_results import PUBLISHED, action_table, markdown_table, report_tables

REPORT: dict[str, Any] = {
    "model": "mine", "input": "gt", "samples": 1234, "mpjpe_mm": 51.04, "pa_mpjpe_mm": 35.0, "mpvpe_mm": None,
    "pa_mpvpe_mm": None, "left_out": {"no body fit": 5},
}  # fmt: skip


def rows(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_rows_are_of_protocols_and_name_their_source() -> None:
    for row in PUBLISHED:
        assert row.protocol in PROTOCOLS
        assert row.source
        assert row.mpjpe is None or row.pa_mpjpe is None or row.pa_mpjpe < row.mpjpe


def test_published_numbers() -> None:
    found = {(row.protocol, row.method, row.input_): row for row in PUBLISHED}
    assert len(found) == len(PUBLISHED)
    ours = found["human36m-p2", "Pose2Mesh", "detected"], found["3dpw", "Pose2Mesh", "detected"]
    assert [(row.mpjpe, row.pa_mpjpe, row.mpvpe) for row in ours] == [(64.9, 46.3, None), (88.9, 58.3, 106.3)]


def test_beside_the_published_rows() -> None:
    head, _, own, *others = rows(markdown_table("3dpw", REPORT))
    assert head == ["method", "input", "MPJPE", "PA-MPJPE", "MPVPE", "PA-MPVPE", "source"]
    assert own == ["**mine**", "gt", "51.0", "35.0", "–", "–", "this run"]
    assert [row[0] for row in others] == ["Pose2Mesh", "Pose2Mesh", "GATOR"]
    assert all(len(row) == len(head) for row in others)


def test_hands_have_f_scores() -> None:
    head, _, own, published = rows(markdown_table("freihand", REPORT | {"f_score_5mm": 0.5, "f_score_15mm": 0.9}))
    assert head[6:8] == ["F@5 mm", "F@15 mm"]
    assert own[6:8] == ["0.500", "0.900"]
    assert published[6:8] == ["0.674", "0.969"]


def test_the_mean_over_actions_is_unweighted() -> None:
    actions = {
        "Eating": {"samples": 3, "mpjpe_mm": 10.0, "known_camera_mpjpe_mm": 9.0},
        "Posing": {"samples": 1, "mpjpe_mm": 20.0, "known_camera_mpjpe_mm": 9.0},
    }
    table = rows(action_table(actions))
    assert table[0] == ["action", "samples", "MPJPE"]
    assert table[2:] == [["Eating", "3", "10.0"], ["Posing", "1", "20.0"], ["mean of the actions", "", "15.0"]]


def test_a_whole_report() -> None:
    sequences = {"sequences": 2, "frames": 1000, "acceleration_mm": 20.0}
    for way in ("filtered", "smoothed"):
        sequences |= {f"{way}_acceleration_mm": 5.0, f"{way}_mpjpe_mm": 50.0, f"{way}_pa_mpjpe_mm": 34.0}
    text = report_tables(PROTOCOLS["3dpw"], REPORT | {"sequences": sequences, "known_camera_mpjpe_mm": 48.0})
    assert text.startswith("## 3DPW, test\n")
    assert "1,234 samples (5 left out: no body fit)" in text
    assert "Given the camera: MPJPE 48.0." in text
    assert "| as predicted | 20.0 | 51.0 | 35.0 |" in text
    assert "| One-Euro, both ways | 5.0 | 50.0 | 34.0 |" in text


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_has_a_table(name: str) -> None:
    assert "**mine**" in report_tables(PROTOCOLS[name], REPORT)
