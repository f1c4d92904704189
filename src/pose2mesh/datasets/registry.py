"""Registry of the data sets: reader, usual folder, licence and splits by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pose2mesh.datasets.readers.amass import read_amass
from pose2mesh.datasets.readers.coco import read_coco
from pose2mesh.datasets.readers.custom import read_custom
from pose2mesh.datasets.readers.freihand import read_freihand, read_freihand_coco
from pose2mesh.datasets.readers.human36m import read_human36m
from pose2mesh.datasets.readers.muco import read_muco
from pose2mesh.datasets.readers.pw3d import read_pw3d, read_pw3d_sequences
from pose2mesh.datasets.readers.surreal import read_surreal
from pose2mesh.datasets.records import Records


@dataclass(frozen=True)
class DatasetSpec:
    """A data set of the literature, or the user's own.

    Attributes:
        read: Its reader, a function of `datasets.readers`.
        title: Its usual name.
        folder: Its usual folder.
        licence: Terms of its owners.
        splits: Values of the reader's `split`, first the one to train on; empty where there is only one.
        detections: Files of detected 2D joints in its folder, by split.
        body: Body model of its parameters; "" for either.
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

DATASETS: dict[str, DatasetSpec] = {
    "human36m": DatasetSpec(
        read_human36m, "Human3.6M", "Human36M", f"{_RESEARCH}, by agreement with its owners", ("train", "test"),
        (("test", "absnet_output_on_testset.json"),), shape_limit=3.0,
    ),
    "coco": DatasetSpec(
        read_coco, "COCO", "COCO", "annotations CC BY 4.0, photos under their own terms", ("train", "val"),
        shape_limit=3.0,
    ),
    "muco": DatasetSpec(read_muco, "MuCo-3DHP", "MuCo", _RESEARCH, shape_limit=3.0),
    "pw3d": DatasetSpec(
        read_pw3d, "3DPW", "PW3D", _RESEARCH, ("train", "validation", "test"),
        tuple((split, f"data/darkpose_3dpw_{split}set_output.json") for split in ("train", "validation", "test")),
    ),
    "pw3d_sequences": DatasetSpec(read_pw3d_sequences, "3DPW", "PW3D", _RESEARCH, ("train", "validation", "test")),
    "amass": DatasetSpec(read_amass, "AMASS", "AMASS", _RESEARCH),
    "surreal": DatasetSpec(
        read_surreal, "SURREAL", "SURREAL", _RESEARCH, ("train", "val"),
        tuple((split, f"data/hrnet_output_on_{split}set.json") for split in ("train", "val")),
    ),
    "freihand": DatasetSpec(read_freihand, "FreiHAND", "FreiHAND", _RESEARCH, ("training", "evaluation"), body="mano"),
    "freihand_coco": DatasetSpec(
        read_freihand_coco, "FreiHAND", "FreiHAND", _RESEARCH, ("train", "eval"),
        tuple((split, f"data/hrnet_output_on_{split}set.json") for split in ("train", "eval")), body="mano",
    ),
    "own": DatasetSpec(read_custom, "own data", "own", "as its owners allow", body=""),
}  # fmt: skip
