"""Splits of motion clips: plain and by kind, malformed files, and those of the repository."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pose2mesh.datasets.synthetic.mocap import Clip
from pose2mesh.datasets.synthetic.motion_split import load_split, read_split
from pose2mesh.errors import InputError

CONFIGS = Path(__file__).parents[3] / "configs"


def _clip(name: str) -> Clip:
    poses = np.tile(np.eye(3, dtype=np.float32), (2, 22, 1, 1))
    return Clip(name, 30.0, poses, np.zeros((2, 3), np.float32), np.arange(2) / 30)


def test_plain_split(tmp_path: Path) -> None:
    split = tmp_path / "split.yaml"
    split.write_text("train: [b]\nvalidation: [a]\n")
    train, validation = load_split(split, [_clip("a"), _clip("b")])
    assert [clip.name for clip in train] == ["b"]
    assert [clip.name for clip in validation] == ["a"]
    assert read_split(split).kinds == {}


def test_split_by_kind(tmp_path: Path) -> None:
    split = tmp_path / "split.yaml"
    split.write_text("kinds:\n  walk: {train: [b], validation: [a]}\n  fall: {train: [d, c], validation: [e]}\n")
    found = read_split(split)
    assert found.train == ("b", "d", "c")
    assert found.validation == ("a", "e")
    assert found.kinds == {"a": "walk", "b": "walk", "c": "fall", "d": "fall", "e": "fall"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train: [a, c]\nvalidation: [b]\n", "train: clip 'c' is not among the 2 clips"),
        ("train: [a, b]\nvalidation: [b]\n", "validation: clip 'b' is in 'train' already"),
        ("train: [a]\ntest: [b]\n", "expected the keys 'train' and 'validation'"),
        ("train: a\nvalidation: [b]\n", "expected a list of clip names"),
        ("train: [1]\nvalidation: [b]\n", "train: 1, expected the name of a clip"),
        ("train: [a\n", "not YAML"),
        ("kinds: {walk: {train: [a]}}\n", r"kinds\.walk: holds \['train'\], expected the keys"),
        ("kinds: {walk: {train: [a], validation: []}}\n", r"kinds\.walk\.validation: \[\], expected a list"),
        (
            "kinds: {walk: {train: [a], validation: [b]}, run: {train: [a], validation: [b]}}\n",
            r"kinds\.run\.train: clip 'a' is in 'kinds\.walk\.train' already",
        ),
    ],
)
def test_faults_of_split_files(tmp_path: Path, text: str, message: str) -> None:
    split = tmp_path / "split.yaml"
    split.write_text(text)
    with pytest.raises(InputError, match=message):
        load_split(split, [_clip("a"), _clip("b")])


def test_missing_split_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_split(tmp_path / "none.yaml")


def test_split_by_kind_of_the_repository_keeps_the_sides_of_the_plain_one() -> None:
    plain, by_kind = read_split(CONFIGS / "mocap_split.yaml"), read_split(CONFIGS / "motion_split.yaml")
    assert set(plain.train) < set(by_kind.train)
    assert set(plain.validation) < set(by_kind.validation)
    assert set(by_kind.kinds) == {*by_kind.train, *by_kind.validation}
    for kind in set(by_kind.kinds.values()):
        assert any(by_kind.kinds[name] == kind for name in by_kind.validation)


@pytest.mark.thorough
def test_splits_of_the_repository_name_the_development_clips(shared_data: Path) -> None:
    folder = shared_data / "mocap"
    names = {file.relative_to(folder).with_suffix("").as_posix() for file in folder.rglob("*.bvh")}
    by_kind = read_split(CONFIGS / "motion_split.yaml")
    assert names == {*by_kind.train, *by_kind.validation}
