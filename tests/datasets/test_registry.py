"""Registry and config of data sets: options reach the reader, and wrong ones are named."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

from pose2mesh.datasets.data_config import CHOICES, DatasetConfig
from pose2mesh.datasets.registry import DATASETS
from pose2mesh.errors import InputError
from tests.datasets.literature import PEOPLE, write_data_sets


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data_sets(tmp_path_factory.mktemp("sets"))


@pytest.mark.parametrize("name", [name for name in DATASETS if name != "own"])
def test_every_data_set_opens_from_its_usual_folder(name: str, root: Path, tmp_path: Path) -> None:
    if name == "pw3d_sequences":
        with pytest.raises(InputError, match=r"PW3D/sequenceFiles/train: has no \.pkl file"):
            DatasetConfig().open(name, root, tmp_path)
        return
    split = "test" if name == "pw3d" else None
    records = DatasetConfig(split=split).open(name, root, tmp_path)
    assert len(records) >= min(PEOPLE, 3)
    assert DATASETS[name].body in ("", records.schema.body)


def test_what_readers_take_can_be_chosen() -> None:
    """But for folders and faults every argument of every reader is a key of a config, and the other way round."""
    taken = {key for source in DATASETS.values() for key in inspect.signature(source.read).parameters}
    assert taken - {"folder", "cache", "images", "on_fault", "split"} == set(CHOICES)
    for source in DATASETS.values():
        assert ("split" in inspect.signature(source.read).parameters) == bool(source.splits)


def test_choices_reach_the_reader(root: Path, tmp_path: Path) -> None:
    every = DatasetConfig(split="test", protocol=1, stride=100, input="detected").open("human36m", root, tmp_path)
    assert every.subject.tolist() == [11, 11]
    assert every.detected_px is not None
    assert (every.detected_px[..., 2] == 1).all()  # the usual file
    assert len(DatasetConfig(which="closest").open("muco", root, tmp_path)) == PEOPLE // 2
    mine = DatasetConfig(reader="coco", folder=str(root / "COCO"), fits="annotations/coco_smplify_train.json")
    assert len(mine.open("any name", None, tmp_path)) == PEOPLE


def test_the_usual_limits_are_those_of_the_reference() -> None:
    assert DatasetConfig().limits("human36m") == {"fit_limit_mm": 25.0, "fit_limit_crop_px": None, "shape_limit": 3.0}
    assert DatasetConfig().limits("coco") == {"fit_limit_mm": None, "fit_limit_crop_px": 3.0, "shape_limit": 3.0}
    assert DatasetConfig(fit_limit_mm=0.0, shape_limit=2.0).limits("muco") == {
        "fit_limit_mm": None, "fit_limit_crop_px": None, "shape_limit": 2.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "choices", "fault"),
    [
        ("human35m", {}, "human35m.reader is 'human35m', which is not known; the nearest is 'human36m'"),
        ("validation", {}, "validation.reader is missing; expected one of human36m, coco"),
        ("coco", {"protocol": 1}, "coco.protocol: reader coco has no such choice; leave it out"),
        ("coco", {"split": "test"}, "coco.split is 'test', expected one of train, val"),
        ("amass", {"split": "test"}, "amass.split is 'test', expected none: it has one part only"),
        ("human36m", {"protocol": 3}, "human36m.protocol is 3, expected 1 or 2"),
        ("muco", {"input": "detected"}, "muco.input is detected, but reader muco has no detections"),
        ("muco", {"weight": 0.0}, "muco.weight is 0.0, expected more than 0"),
        ("muco", {"fit_limit_mm": -1.0}, "muco.fit_limit_mm is -1.0, expected 0 or more"),
    ],
)
def test_what_cannot_be_chosen(name: str, choices: dict[str, Any], fault: str) -> None:
    with pytest.raises(InputError) as caught:
        DatasetConfig(**choices).check("a.yaml", f"data.sets.{name}", name)
    assert str(caught.value).startswith(f"a.yaml: data.sets.{fault}")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="data set coco: no folder; name it in its own `folder`, or all of them in data"
    ):
        DatasetConfig().open("coco", None, tmp_path)
    with pytest.raises(InputError, match="MuCo: no such folder, expected that of data set muco"):
        DatasetConfig().open("muco", tmp_path, tmp_path)
