"""The data sets to check: those of a config, or those in a folder, recognised by file names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pose2mesh.datasets.data_config import DatasetConfig
from pose2mesh.datasets.readers.json_stream import sections
from pose2mesh.datasets.records import Records
from pose2mesh.datasets.registry import DATASETS, DatasetSpec
from pose2mesh.errors import InputError
from pose2mesh.skeletons import HAND

if TYPE_CHECKING:
    from pose2mesh.datasets.data_config import DataConfig

# A split exists if one of these files does; {split} is its name.
_SPLIT_FILES: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("coco", ("train", "val"), "annotations/person_keypoints_{split}2017.json"),
    ("pw3d", ("train", "validation", "test"), "data/3DPW_latest_{split}.json"),
    ("pw3d_sequences", ("train", "validation", "test"), "sequenceFiles/{split}/*.pkl"),
    ("muco", ("",), "data/MuCo-3DHP.json"),
    ("surreal", ("train", "val"), "data/{split}.json"),
    ("freihand", ("training", "evaluation"), "{split}_K.json"),
    ("freihand_coco", ("train", "eval"), "data/freihand_{split}_coco.json"),
)
_HUMAN36M = {"train": (1, 5, 6, 7, 8), "test": (9, 11)}

# Image folder within a data set's folder; image names are relative to it. AMASS has no images.
_IMAGES = {
    "human36m": "images", "coco": "images", "pw3d": "imageFiles", "pw3d_sequences": "imageFiles", "muco": "data",
    "surreal": "images/{split}", "freihand": ".", "freihand_coco": "data", "own": "images",
}  # fmt: skip


@dataclass(frozen=True)
class DatasetSplit:
    """A split of a data set.

    Attributes:
        name: Key of the data set in a config.
        config: Its configuration, with reader and split.
        folder: Folder of the data set.
    """

    name: str
    config: DatasetConfig
    folder: Path

    @property
    def source(self) -> DatasetSpec:
        return self.config.spec(self.name)

    @property
    def title(self) -> str:
        part = self.config.split or Path(self.config.annotations or self.folder).name
        return f"{self.source.title}, {part}"

    @property
    def images(self) -> Path | None:
        """The usual folder that image names are relative to; None for a data set without images."""
        place = _IMAGES.get(self.config.reader or self.name)
        if place is None:
            return None
        folder = self.folder / place.format(split=self.config.split)
        return self.folder if self.source is DATASETS["own"] and not folder.is_dir() else folder

    def open(self, cache: Path) -> Records:
        """The usable records, with detections if their usual file exists.

        Raises:
            InputError: see `cache.cached_records`.
        """
        usual = dict(self.source.detections).get(self.config.split or "")
        there = usual is not None and (self.folder / usual).is_file()
        config = replace(self.config, input="detected") if there else self.config
        return replace(config, on_fault="skip", folder=str(self.folder)).open(self.name, None, cache)


def recognise(path: Path) -> list[DatasetSplit]:
    """The known data sets in a folder, split by split; or a custom data set in COCO keypoint format.

    Args:
        path: A data set's folder, or a keypoint file in COCO format.

    Raises:
        InputError: there is no such folder or file, or it holds no known data set.
    """
    if path.is_file():
        return [_own(path)]
    if not path.is_dir():
        raise InputError(f"{path}: no such folder or file, expected a data set")
    files = [*sorted(path.glob("*.json")), *sorted(path.glob("annotations/*.json"))]
    found = list(_known(path)) or [_own(file) for file in files if _first_keypoints(file) is not None]
    if not found:
        raise InputError(f"{path}: no known data set; expected a layout of docs/data_sets.md, or a COCO keypoint file")
    return found


def config_parts(data: DataConfig, source: Path) -> list[DatasetSplit]:
    """The training and validation data sets of a config.

    Args:
        data: The `data` section of the config.
        source: The config file, for errors.

    Raises:
        InputError: there are none, or one has no folder.
    """
    chosen: list[tuple[str, DatasetConfig, int]] = [(name, choice, 0) for name, choice in data.sets.items()]
    chosen += [] if data.validation is None else [("validation", data.validation, -1)]
    if not chosen:
        raise InputError(f"{source}: data.sets is empty, expected data sets to check")
    parts = []
    for name, choice, usual in chosen:
        found = choice.spec(name)
        if choice.folder is None and data.folder is None:
            raise InputError(f"{source}: no folder for data set {name}; name it in its own `folder`, or in data.folder")
        folder = Path(choice.folder or Path(data.folder or "") / found.folder)
        split = choice.split or (found.splits[usual] if found.splits else None)
        parts.append(DatasetSplit(name, replace(choice, split=split), folder))
    return parts


def _known(folder: Path) -> Iterator[DatasetSplit]:
    for split, subjects in _HUMAN36M.items():
        if any((folder / "annotations" / f"Human36M_subject{subject}_data.json").is_file() for subject in subjects):
            yield DatasetSplit("human36m", DatasetConfig(split=split), folder)
    for reader, splits, sign in _SPLIT_FILES:
        for split in splits:
            if any(folder.glob(sign.format(split=split))):
                yield DatasetSplit(reader, DatasetConfig(split=split or None), folder)
    sets = tuple(sorted({file.relative_to(folder).parts[0] for file in folder.glob("*/*/*_poses.npz")}))
    if sets:
        yield DatasetSplit("amass", DatasetConfig(sets=sets), folder)


def _own(file: Path) -> DatasetSplit:
    keypoints = _first_keypoints(file)
    if keypoints is None:
        raise InputError(f"{file}: no annotation with keypoints, expected a COCO keypoint file")
    hand = isinstance(keypoints, list) and len(keypoints) == 3 * len(HAND)
    folder = (file.parent.parent if file.parent.name == "annotations" else file.parent).resolve()
    config = DatasetConfig(annotations=str(file.resolve()), joints=HAND.name if hand else None)
    return DatasetSplit("own", config, folder)


def _first_keypoints(file: Path) -> Any:
    """The keypoints of the first annotation of a file in COCO format; None where it has none, or is cut before it."""
    try:
        for section, value in sections(file):
            if section == "annotations" and isinstance(value, dict) and "keypoints" in value:
                return value["keypoints"]
            if section == "":  # a list: results, or something else
                return None
    except InputError:
        return None
    return None
