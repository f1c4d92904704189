"""Protocols: their samples and joints, and the look-up by name."""

from __future__ import annotations

import pytest

from pose2mesh.datasets.readers.human36m import PROTOCOLS as SPLITS
from pose2mesh.datasets.registry import DATASETS
from pose2mesh.errors import InputError
from pose2mesh.evaluation.protocols import HUMAN36M_ACTIONS, PROTOCOLS, find_protocol
from pose2mesh.skeletons import COCO, HUMAN36


def test_every_protocol_has_a_source_and_a_data_set_with_a_reader() -> None:
    for name, protocol in PROTOCOLS.items():
        assert protocol.name == name
        assert protocol.source
        assert set(protocol.data_sets) <= set(DATASETS)
        assert protocol.mesh_root.root in protocol.mesh_root.names


def test_human36m() -> None:
    protocol = PROTOCOLS["human36m-p2"]
    # Of the 17 joints, in their order, pelvis, torso and nose are left out.
    assert protocol.columns == [1, 2, 3, 4, 5, 6, 8, 10, 11, 12, 13, 14, 15, 16]
    assert protocol.subjects == SPLITS[2].test
    assert not protocol.cameras
    assert (PROTOCOLS["human36m-p1"].subjects, PROTOCOLS["human36m-p1"].cameras) == ((11,), (4,))
    assert PROTOCOLS["human36m-frontal"].cameras == (4,)
    assert [HUMAN36M_ACTIONS[number] for number in (2, 10, 16)] == ["Directions", "SittingDown", "WalkTogether"]
    assert len(HUMAN36M_ACTIONS) == 15


def test_the_others_joints() -> None:
    assert [len(PROTOCOLS[name].columns) for name in ("3dpw", "surreal", "freihand")] == [14, 24, 21]
    assert PROTOCOLS["3dpw"].joint_set is HUMAN36
    assert PROTOCOLS["freihand"].f_scores_mm == (5, 15)


@pytest.mark.parametrize(
    ("name", "data_sets", "expected"),
    [
        (None, ["human36m"], "human36m-p2"),
        (None, ["pw3d_sequences", "human36m"], "3dpw"),
        (None, ["own", "human36m"], "plain"),
        (None, ["surreal"], "surreal"),
        (None, ["freihand_coco"], "freihand"),
        ("human36m-p1", ["coco", "human36m"], "human36m-p1"),
    ],
)
def test_found(name: str | None, data_sets: list[str], expected: str) -> None:
    assert find_protocol(name, data_sets, COCO).name == expected


@pytest.mark.parametrize(
    ("name", "data_sets", "message"),
    [
        ("3dwp", ["pw3d"], r"--protocol '3dwp' is not known; the nearest is '3dpw' of human36m-p1, .*"),
        (
            "3dpw",
            ["human36m", "coco"],
            r"--protocol 3dpw: is for pw3d or pw3d_sequences; the config has human36m",
        ),
    ],
)
def test_not_found(name: str | None, data_sets: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        find_protocol(name, data_sets, COCO)
