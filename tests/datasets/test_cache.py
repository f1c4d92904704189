"""The cache of records, and records opened from it."""

from __future__ import annotations

import os
import pickle
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pose2mesh.datasets.annotation import Annotation
from pose2mesh.datasets.cache import RecordWriter, cached_records
from pose2mesh.datasets.readers.coco import read_coco
from pose2mesh.datasets.records import Records, Schema, describe, open_records
from pose2mesh.errors import InputError
from pose2mesh.skeletons import HUMAN36

SCHEMA = Schema("made_up", HUMAN36.names, ("joints_px", "joints_m", "joints_valid", "pose", "gender"), pose_joints=24)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.json"
    path.write_text("{}")
    return path


def made_up(cache: Path, source: Path, people: int = 3, calls: list[int] | None = None, **options: Any) -> Records:
    def build(writer: RecordWriter) -> None:
        if calls is not None:
            calls.append(people)
        for person in range(people):
            where = Annotation(source, f"person {person}", {})
            told = {"gender": 2} if person < 10 else {}
            writer.add(where, person, file=f"é{person // 2}.jpg", sequence="s", frame=person, joints_px=person, **told)

    return cached_records(cache, SCHEMA, [source], options, build)


def test_columns_survive(cache: Path, source: Path) -> None:
    records = made_up(cache, source, people=9001)  # more than two blocks
    assert len(records) == 9001
    np.testing.assert_array_equal(records.frame, np.arange(9001))
    np.testing.assert_array_equal(records.joints_px[:, 3, 1], np.arange(9001))
    assert records.joints_px.dtype == np.float32
    assert isinstance(records.joints_px, np.memmap)
    assert [len(records.files), records.files[4500], records.files[-1]] == [4501, "é4500.jpg", "é4500.jpg"]
    with pytest.raises(IndexError):
        records.files[4501]
    assert records.schema == SCHEMA
    # What nobody told has its column's value for "none".
    assert set(records.subject.tolist()) == {-1}
    np.testing.assert_array_equal(np.flatnonzero(records.gender), np.arange(10))
    assert not records.joints_valid.any()
    assert np.isnan(records.box).all()
    assert records.detected_px is None


def test_built_once_until_a_source_changes(cache: Path, source: Path) -> None:
    calls: list[int] = []
    for _ in range(3):
        assert len(made_up(cache, source, 3, calls)) == 3
    assert calls == [3]
    os.utime(source, ns=(1, 1))
    assert len(made_up(cache, source, 4, calls)) == 4
    assert calls == [3, 4]
    assert len(list(cache.iterdir())) == 1  # the old one is gone
    assert len(made_up(cache, source, 5, calls, split="test")) == 5
    assert len(made_up(cache, source, 6, calls)) == 4
    assert calls == [3, 4, 5]
    assert len(list(cache.iterdir())) == 2


def test_whole_or_not_at_all(cache: Path, source: Path) -> None:
    def build(writer: RecordWriter) -> None:
        writer.add(Annotation(source, "person 0", {}), 0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached_records(cache, SCHEMA, [source], {}, build)
    assert not any(cache.iterdir())
    # A killed build cannot clean up; a day later the next one does.
    left = cache / ".made_up-1-2.999"
    left.mkdir()
    made_up(cache, source)
    assert left.is_dir()
    os.utime(left, ns=(1, 1))
    made_up(cache, source, split="test")
    assert not left.exists()


def test_faulty_sources(cache: Path, source: Path) -> None:
    with pytest.raises(InputError, match=r"none\.json: No such file"):
        made_up(cache, source.with_name("none.json"))
    with pytest.raises(InputError, match=r"source\.json: no record is left of made_up \(it is empty\)"):
        made_up(cache, source, people=0)


def test_a_cache_that_cannot_be_written(source: Path) -> None:
    with pytest.raises(InputError, match=r"source\.json"):
        made_up(source / "cache", source)


def test_a_damaged_index(cache: Path, source: Path) -> None:
    records = made_up(cache, source)
    column = records.folder / "frame.npy"
    column.write_bytes(column.read_bytes()[:-4])
    with pytest.raises(InputError, match="delete it to have it built again"):
        made_up(cache, source)


def test_sent_to_another_process_they_are_mapped_again(cache: Path, coco_folder: Path) -> None:
    records = read_coco(coco_folder, cache)
    sent = pickle.dumps(records)
    assert len(sent) < 1000
    again = pickle.loads(sent)
    np.testing.assert_array_equal(again.joints_px, records.joints_px)
    assert again.left_out == records.left_out


def test_200_thousand_people_open_at_once(tmp_path: Path) -> None:
    people = 200_000
    for name, (shape, kind, _) in SCHEMA.column_types().items():
        path = tmp_path / f"{name}.npy"
        np.lib.format.open_memmap(path, "w+", kind, (people, *shape)).flush()  # empty pages take no disk
    names = b"S1/image_00000000.jpg" * people
    np.save(tmp_path / "files.npy", np.frombuffer(names, np.uint8))
    np.save(tmp_path / "files_ends.npy", np.arange(1, people + 1) * 21)
    (tmp_path / "index.json").write_text(
        describe(SCHEMA, sequences=["s"], left_out={}, faults=0, fault_messages=[]), encoding="utf-8"
    )
    tracemalloc.start()
    began = time.perf_counter()
    records = open_records(tmp_path)
    seconds = time.perf_counter() - began
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(records) == people
    assert records.files[people - 1] == "S1/image_00000000.jpg"
    assert seconds < 600
    assert held < 1e6
