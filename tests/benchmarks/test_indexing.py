"""The benchmark of indexing writes a data set that the reader accepts completely."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import numpy as np
from indexing import Index, private_mb, visit, write_set

from pose2mesh.datasets.readers.human36m import read_human36m


def test_the_set_it_writes_is_read(tmp_path: Path) -> None:
    size = write_set(tmp_path / "set", 1440)  # two frames of each subject, action, subaction and camera
    assert size == sum(path.stat().st_size for path in (tmp_path / "set").rglob("*.json"))
    records = Index(tmp_path / "set")()
    assert len(records) == 1440
    assert records.body_valid is not None
    assert records.body_valid.all()
    assert sorted(np.unique(records.action).tolist()) == list(range(2, 17))
    thinned = read_human36m(tmp_path / "set", tmp_path / "cache", split="train", protocol=1, stride=2)
    assert len(thinned) == 720


def test_a_worker_reads_all_records(tmp_path: Path) -> None:
    write_set(tmp_path / "set", 720)
    records = Index(tmp_path / "set")()
    receiver, sender = multiprocessing.Pipe(duplex=False)
    visit(records.folder, 0, sender)
    before, after, total = receiver.recv()
    assert records.joints_m is not None
    assert records.pose is not None
    assert abs(total - float(records.joints_m.sum() + records.pose.sum())) < 1
    assert after - before < 50
    assert private_mb() > 10
