"""The data sets by name: who reads each, where it usually lies, what may be done with it; a config's choice of one."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pose2mesh.datasets.annotation import OnFault
from pose2mesh.datasets.fit_distance import LARGEST_ERROR_CROP_PX, LARGEST_ERROR_MM
from pose2mesh.datasets.readers.amass import amass
from pose2mesh.datasets.readers.coco import coco
from pose2mesh.datasets.readers.custom import own
from pose2mesh.datasets.readers.freihand import freihand, freihand_coco
from pose2mesh.datasets.readers.human36m import human36m
from pose2mesh.datasets.readers.muco import muco
from pose2mesh.datasets.readers.pw3d import pw3d, pw3d_sequences
from pose2mesh.datasets.readers.surreal import surreal
from pose2mesh.datasets.records import Records
from pose2mesh.errors import InputError


@dataclass(frozen=True)
class DatasetSpec:
    """One data set of the literature, or one's own.

    Attributes:
        read: Its reader.
        title: As people call it.
        folder: Its usual folder.
        licence: What its owners allow.
        splits: What its reader takes as `split`, first the one to train on; empty where there is only one.
        detections: Files of detected 2D joints, by split, in its folder.
        body: The model of its body parameters.
        shape_limit: Bodies with a shape coefficient beyond it get the mean shape, as in the reference implementation.
    """

    read: Callable[..., Records]
    title: str
    folder: str
    licence: str
    splits: tuple[str, ...] = ()
    detections: tuple[tuple[str, str], ...] = ()
    body: Literal["smpl", "mano", ""] = "smpl"
    shape_limit: float | None = None


_RESEARCH = "non-commercial research alone"

SOURCES: dict[str, DatasetSpec] = {
    "human36m": DatasetSpec(
        human36m, "Human3.6M", "Human36M", f"{_RESEARCH}, by agreement with its owners", ("train", "test"),
        (("test", "absnet_output_on_testset.json"),), shape_limit=3.0,
    ),
    "coco": DatasetSpec(
        coco, "COCO", "COCO", "annotations CC BY 4.0, photos under their own terms", ("train", "val"), shape_limit=3.0
    ),
    "muco": DatasetSpec(muco, "MuCo-3DHP", "MuCo", _RESEARCH, shape_limit=3.0),
    "pw3d": DatasetSpec(
        pw3d, "3DPW", "PW3D", _RESEARCH, ("train", "validation", "test"),
        tuple((split, f"data/darkpose_3dpw_{split}set_output.json") for split in ("train", "validation", "test")),
    ),
    "pw3d_sequences": DatasetSpec(pw3d_sequences, "3DPW", "PW3D", _RESEARCH, ("train", "validation", "test")),
    "amass": DatasetSpec(amass, "AMASS", "AMASS", _RESEARCH),
    "surreal": DatasetSpec(
        surreal, "SURREAL", "SURREAL", _RESEARCH, ("train", "val"),
        tuple((split, f"data/hrnet_output_on_{split}set.json") for split in ("train", "val")),
    ),
    "freihand": DatasetSpec(freihand, "FreiHAND", "FreiHAND", _RESEARCH, ("training", "evaluation"), body="mano"),
    "freihand_coco": DatasetSpec(
        freihand_coco, "FreiHAND", "FreiHAND", _RESEARCH, ("train", "eval"),
        tuple((split, f"data/hrnet_output_on_{split}set.json") for split in ("train", "eval")), body="mano",
    ),
    "own": DatasetSpec(own, "own data", "own", "as its owners allow", body=""),
}  # fmt: skip


# What readers take beyond folder and split: keys of `DatasetConfig`.
CHOICES = (
    "protocol", "stride", "detections", "which", "versions", "sets", "frames_per_second", "annotations", "fits",
    "joints",
)  # fmt: skip


@dataclass
class DatasetConfig:
    """One data set of a config: where it is, which part, what of it is used. None stands for the usual.

    Attributes:
        reader: One of `SOURCES`; by default what the data set is called in the config.
        folder: By default its usual folder in `data.folder`.
        split: By default the one to train on, or for validation the last one.
        input: `noisy`: true 2D joints with synthesised errors; `gt`: the true ones; `detected`: the detections that
            come with the data set.
        true_px: See `LabelSettings`.
        weight: How often it is drawn, relative to the others: equal weights draw every data set equally often,
            whatever its size.
        genders: `labelled` poses everyone by the body of their gender; `main` by the body of the config.
        fit_limit_mm, fit_limit_crop_px, shape_limit: See `LabelSettings`; 0 is no limit. Fits are only judged in
            training. The usual limits are those of the reference implementation.
        on_fault: `skip` goes on without the entries that cannot be used.
        licence: What may be done with a model trained on it, where it is one's own.
        protocol, stride, detections, which, versions, sets, frames_per_second, annotations, fits, joints: What its
            reader takes (`data/sets/`); files are named relative to the data set's folder.
    """

    reader: str | None = None
    folder: str | None = None
    split: str | None = None
    input: Literal["gt", "noisy", "detected"] = "noisy"
    true_px: Literal["projected", "labelled"] = "projected"
    weight: float = 1.0
    genders: Literal["labelled", "main"] = "labelled"
    fit_limit_mm: float | None = None
    fit_limit_crop_px: float | None = None
    shape_limit: float | None = None
    on_fault: OnFault = "raise"
    licence: str | None = None
    protocol: int | None = None
    stride: int | None = None
    detections: str | None = None
    which: Literal["all", "closest"] | None = None
    versions: tuple[str, ...] | None = None
    sets: tuple[str, ...] | None = None
    frames_per_second: float | None = None
    annotations: str | None = None
    fits: str | None = None
    joints: str | None = None

    def source(self, name: str) -> DatasetSpec:
        """Which data set this is; `name` is what the config calls it."""
        return SOURCES[self.reader or name]

    def part(self, name: str, validation: bool) -> str:
        """The split, the usual one where none is told; "" for a data set that has one part only."""
        splits = self.source(name).splits
        return (self.split or splits[-1 if validation else 0]) if splits else ""

    def choices(self) -> dict[str, Any]:
        """What is asked of the reader beyond folder and split."""
        return {key: getattr(self, key) for key in CHOICES if getattr(self, key) is not None}

    def check(self, source: str, key: str, name: str) -> None:
        """Refuse what the reader does not know.

        Args:
            source: The config file.
            key: Of this group in it.
            name: What the config calls the data set.

        Raises:
            InputError: names the file and the key.
        """
        reader = self.reader or name
        if reader not in SOURCES:
            if self.reader is None and name == "validation":
                raise InputError(f"{source}: {key}.reader is missing; expected one of {', '.join(SOURCES)}")
            near = difflib.get_close_matches(reader, SOURCES, n=1, cutoff=0.0)[0]
            raise InputError(f"{source}: {key}.reader is {reader!r}, which is not known; the nearest is {near!r}")
        found = SOURCES[reader]
        known = inspect.signature(found.read).parameters
        for choice in self.choices():
            if choice not in known:
                raise InputError(f"{source}: {key}.{choice}: reader {reader} has no such choice; leave it out")
        if self.split is not None and self.split not in found.splits:
            expected = f"one of {', '.join(found.splits)}" if found.splits else "none: it has one part only"
            raise InputError(f"{source}: {key}.split is {self.split!r}, expected {expected}")
        if self.protocol not in (None, 1, 2):
            raise InputError(f"{source}: {key}.protocol is {self.protocol}, expected 1 or 2")
        if self.input == "detected" and "detections" not in known and reader != "pw3d_sequences":
            raise InputError(f"{source}: {key}.input is detected, but reader {reader} has no detections")
        if not self.weight > 0:
            raise InputError(f"{source}: {key}.weight is {self.weight}, expected more than 0")
        for name in ("fit_limit_mm", "fit_limit_crop_px", "shape_limit", "stride", "frames_per_second"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise InputError(f"{source}: {key}.{name} is {value}, expected 0 or more")

    def open(self, name: str, root: Path | None, cache: Path, validation: bool = False) -> Records:
        """The records of the data set, read into the cache on first use.

        Args:
            name: What the config calls it.
            root: The folder that data sets lie in, for those without a folder of their own.
            cache: Folder of indices.
            validation: Whether the usual split is the last one.

        Raises:
            InputError: its folder is not told or not there; see `index.cached`.
        """
        found = self.source(name)
        if self.folder is None and root is None:
            raise InputError(f"data set {name}: no folder; name it in its own `folder`, or all of them in data.folder")
        folder = Path(self.folder) if self.folder is not None else Path(root or "") / found.folder
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder, expected that of data set {name}")
        choices = self.choices()
        if part := self.part(name, validation):
            choices["split"] = part
            usual = dict(found.detections).get(part)
            if self.input == "detected" and usual and self.detections is None and found.read is not pw3d:
                choices["detections"] = usual
        for file in ("detections", "annotations", "fits"):
            if file in choices and choices[file] not in ("darkpose", "openpose"):
                choices[file] = folder / choices[file]
        return found.read(folder, cache, on_fault=self.on_fault, **choices)

    def limits(self, name: str) -> dict[str, float | None]:
        """The three limits of `LabelSettings`, the usual ones where none are told."""
        reader = self.reader or name
        usual = {
            "fit_limit_mm": LARGEST_ERROR_MM.get(reader),
            "fit_limit_crop_px": LARGEST_ERROR_CROP_PX.get(reader),
            "shape_limit": self.source(name).shape_limit,
        }
        told = {key: getattr(self, key) for key in usual}
        return {key: (usual[key] if told[key] is None else told[key]) or None for key in usual}
