"""Config of the training data: data sets of the literature or the user's own, or synthetic samples."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from pose2mesh.body_models.default_body import DEFAULT_BODY
from pose2mesh.body_models.gendered import BodyConfig
from pose2mesh.datasets.annotation import OnFault
from pose2mesh.datasets.fit_distance import LARGEST_ERROR_CROP_PX, LARGEST_ERROR_MM
from pose2mesh.datasets.readers.pw3d import read_pw3d
from pose2mesh.datasets.records import Records
from pose2mesh.datasets.registry import DATASETS, DatasetSpec
from pose2mesh.datasets.synthetic.bodies import SyntheticConfig
from pose2mesh.errors import InputError
from pose2mesh.io.names import nearest
from pose2mesh.skeletons import BODY_JOINT_SETS, HAND

# Options of readers beyond folder and split: keys of `DatasetConfig`.
CHOICES = (
    "protocol", "stride", "detections", "which", "versions", "sets", "frames_per_second", "annotations", "fits",
    "joints",
)  # fmt: skip


@dataclass
class DatasetConfig:
    """One data set of a config: its folder, split and options. None stands for the default.

    Attributes:
        reader: One of `DATASETS`; by default the key of the data set in the config.
        folder: By default its usual folder in `data.folder`.
        split: By default the one to train on, for validation the last one.
        input: `noisy`: true 2D joints with synthesised errors; `gt`: the true ones; `detected`: the detections that
            come with the data set.
        true_px: See `LabelSettings`.
        weight: Relative sampling frequency: with equal weights every data set gives equally many samples, whatever its
            size.
        genders: `labelled` poses each sample by the body model of its gender; `main` by the body model of the config.
        fit_limit_mm, fit_limit_crop_px, shape_limit: See `LabelSettings`; 0 is no limit. Fits are only checked in
            training. The default limits are those of the reference implementation.
        on_fault: `skip` continues without the annotations that cannot be used.
        licence: Terms for a model trained on it, where it is the user's own data.
        protocol, stride, detections, which, versions, sets, frames_per_second, annotations, fits, joints: Options of
            its reader (`datasets/readers/`); file names are relative to the data set's folder.
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

    def spec(self, name: str) -> DatasetSpec:
        """Registry entry of the data set; `name` is its key in the config."""
        return DATASETS[self.reader or name]

    def part(self, name: str, validation: bool) -> str:
        """The split, or the default one; "" for a data set without splits."""
        splits = self.spec(name).splits
        return (self.split or splits[-1 if validation else 0]) if splits else ""

    def choices(self) -> dict[str, Any]:
        """Options for the reader beyond folder and split."""
        return {key: getattr(self, key) for key in CHOICES if getattr(self, key) is not None}

    def check(self, source: str, key: str, name: str) -> None:
        """Refuse options that the reader does not have.

        Args:
            source: The config file.
            key: Dotted key of this data set in it.
            name: Name of the data set in the config.

        Raises:
            InputError: names the file and the key.
        """
        reader = self.reader or name
        if reader not in DATASETS:
            if self.reader is None and name == "validation":
                raise InputError(f"{source}: {key}.reader is missing; expected one of {', '.join(DATASETS)}")
            near = nearest(reader, DATASETS)
            raise InputError(f"{source}: {key}.reader is {reader!r}, which is not known; the nearest is {near!r}")
        found = DATASETS[reader]
        options = inspect.signature(found.read).parameters
        for choice in self.choices():
            if choice not in options:
                raise InputError(f"{source}: {key}.{choice}: reader {reader} has no such choice; leave it out")
        if self.split is not None and self.split not in found.splits:
            expected = f"one of {', '.join(found.splits)}" if found.splits else "none: it has one part only"
            raise InputError(f"{source}: {key}.split is {self.split!r}, expected {expected}")
        if self.protocol not in (None, 1, 2):
            raise InputError(f"{source}: {key}.protocol is {self.protocol}, expected 1 or 2")
        if self.input == "detected" and "detections" not in options and reader != "pw3d_sequences":
            raise InputError(f"{source}: {key}.input is detected, but reader {reader} has no detections")
        if not self.weight > 0:
            raise InputError(f"{source}: {key}.weight is {self.weight}, expected more than 0")
        for name in ("fit_limit_mm", "fit_limit_crop_px", "shape_limit", "stride", "frames_per_second"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise InputError(f"{source}: {key}.{name} is {value}, expected 0 or more")

    def open(self, name: str, root: Path | None, cache: Path, validation: bool = False) -> Records:
        """Open the records of the data set, which are read into the cache on first use.

        Args:
            name: Name of the data set in the config.
            root: Folder of all data sets, for those without a `folder`.
            cache: Folder of the cached records.
            validation: Whether the default split is the last one.

        Raises:
            InputError: its folder is not given or missing; see `cache.cached_records`.
        """
        found = self.spec(name)
        if self.folder is None and root is None:
            raise InputError(f"data set {name}: no folder; name it in its own `folder`, or all of them in data.folder")
        folder = Path(self.folder) if self.folder is not None else Path(root or "") / found.folder
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder, expected that of data set {name}")
        choices = self.choices()
        if part := self.part(name, validation):
            choices["split"] = part
            usual = dict(found.detections).get(part)
            if self.input == "detected" and usual and self.detections is None and found.read is not read_pw3d:
                choices["detections"] = usual
        for file in ("detections", "annotations", "fits"):
            if file in choices and choices[file] not in ("darkpose", "openpose"):
                choices[file] = folder / choices[file]
        return found.read(folder, cache, on_fault=self.on_fault, **choices)

    def limits(self, name: str) -> dict[str, float | None]:
        """The three limits of `LabelSettings`, with the defaults of the data set."""
        reader = self.reader or name
        usual = {
            "fit_limit_mm": LARGEST_ERROR_MM.get(reader),
            "fit_limit_crop_px": LARGEST_ERROR_CROP_PX.get(reader),
            "shape_limit": self.spec(name).shape_limit,
        }
        given = {key: getattr(self, key) for key in usual}
        return {key: (usual[key] if given[key] is None else given[key]) or None for key in usual}


@dataclass
class DataConfig:
    """The training and validation data: synthetic samples, or data sets (`sets`) with the user's body model.

    Attributes:
        motions: Folder of BVH clips, or None for poses sampled from joint limits alone.
        split: YAML file that names the training and the validation clips; needed with `motions`.
        fps: Frame rate at which clips are read.
        body: Body model whose mesh is predicted.
        sets: Data sets to train on, each under the name of its reader, or any name with `reader` (see `DatasetConfig`).
        validation: The data set to validate on, with its `reader`; needed with `sets`.
        folder: Folder that contains the data sets' usual folders.
        cache: Folder of the cached records; in the user's cache folder by default.
        mirror: Share of the samples of data sets that are mirrored; for joints alone.
        synthetic: Ranges of the random shapes, poses, cameras and noise. With data sets only cameras (for those without
            any) and noise are used.
        samples_per_epoch: Training samples in an epoch. None means 200,000 synthetic samples, none of which is
            repeated, or for data sets the least number that contains every sample.
        validation_samples: Number of validation samples: from the validation clips (or new procedural poses), sampled
            once, with a seed of their own; or evenly spread over the validation data set.
    """

    motions: str | None = None
    split: str | None = None
    fps: float = 30.0
    body: BodyConfig = field(default_factory=BodyConfig)
    sets: dict[str, DatasetConfig] = field(default_factory=dict)
    validation: DatasetConfig | None = None
    folder: str | None = None
    cache: str | None = None
    mirror: float = 0.0
    synthetic: SyntheticConfig = field(default_factory=SyntheticConfig)
    samples_per_epoch: int | None = None
    validation_samples: int = 4000

    def check(self, source: str, joint_set: str) -> None:
        """Refuse combinations and values that cannot work.

        Args:
            source: The config file.
            joint_set: Name of the joint set that is trained on.

        Raises:
            InputError: names the file and the keys.
        """
        if self.sets:
            self._check_datasets(source, joint_set)
        else:
            self._check_synthetic(source, joint_set)
        if self.synthetic.noise.model == "human36" and joint_set != "human36":
            raise InputError(f"{source}: data.synthetic.noise.model human36 needs joint_set human36")
        for key, count in (
            ("samples_per_epoch", 1 if self.samples_per_epoch is None else self.samples_per_epoch),
            ("validation_samples", self.validation_samples),
        ):
            if count < 1:
                raise InputError(f"{source}: data.{key} is {count}, expected at least 1")
        if not self.fps > 0:
            raise InputError(f"{source}: data.fps is {self.fps}, expected more than 0")
        if not 0 <= self.mirror <= 1:
            raise InputError(f"{source}: data.mirror is {self.mirror}, expected 0 to 1")
        check_synthetic(self.synthetic, source, "data.synthetic")

    def _check_synthetic(self, source: str, joint_set: str) -> None:
        for key, given in (("validation", self.validation), ("mirror", self.mirror)):
            if given:
                raise InputError(f"{source}: data.{key} goes with data.sets, which are not given")
        if self.body.model != DEFAULT_BODY:
            raise InputError(
                f"{source}: data.body.model is {self.body.model}, which goes with data.sets; expected anny"
            )
        if joint_set not in BODY_JOINT_SETS:
            expected = ", ".join(BODY_JOINT_SETS)
            raise InputError(f"{source}: joint_set is {joint_set}, expected one of the Anny body: {expected}")
        if self.motions is not None and self.split is None:
            raise InputError(f"{source}: data.split is missing; with data.motions it must name the split file")
        if self.motions is None and self.synthetic.poses.procedural < 1:
            raise InputError(
                f"{source}: data.motions is missing; without clips data.synthetic.poses.procedural must be 1, "
                f"found {self.synthetic.poses.procedural}"
            )

    def _check_datasets(self, source: str, joint_set: str) -> None:
        if self.motions is not None:
            raise InputError(f"{source}: data.motions and data.sets are both given, expected one of them")
        if self.validation is None:
            raise InputError(f"{source}: data.validation is missing; data.sets needs a data set to validate on")
        chosen = [(f"data.sets.{name}", name, choice) for name, choice in self.sets.items()]
        for key, name, choice in [*chosen, ("data.validation", "validation", self.validation)]:
            choice.check(source, key, name)
            body = choice.spec(name).body
            if body and body != self.body.model:
                raise InputError(f"{source}: data.body.model is {self.body.model}, expected {body}, that of {key}")
        if self.body.model == DEFAULT_BODY:
            raise InputError(f"{source}: data.body.model is anny, expected smpl or mano, that of data.sets")
        if (joint_set == HAND.name) != (self.body.model == "mano"):
            raise InputError(f"{source}: joint_set {joint_set} does not go with data.body.model {self.body.model}")


def check_synthetic(config: SyntheticConfig, source: str, prefix: str) -> None:
    """Refuse values that cannot be sampled with; `prefix` is the place of `config` in the config file.

    Raises:
        InputError: names the file, the key and the value.
    """
    if config.views < 1:
        raise InputError(f"{source}: {prefix}.views is {config.views}, expected at least 1")
    if not 0 <= config.fingers <= 1:
        raise InputError(f"{source}: {prefix}.fingers is {config.fingers}, expected 0 to 1")
    shares = {
        "poses": (
            "procedural",
            "mirror",
            "recombine",
            "perturb",
            "tumble",
            "rarity",
            "mix_limbs",
            "tails",
            "archetypes",
            "rest",
            "any_orientation",
        ),
        "noise": ("swap", "drop", "scattered", "plain_confidence", "clean"),
        "cameras": ("steep",),
    }
    for group, names in shares.items():
        for name in names:
            share = getattr(getattr(config, group), name)
            if not 0 <= share <= 1:
                raise InputError(f"{source}: {prefix}.{group}.{name} is {share}, expected 0 to 1")
    temperature_m = config.poses.rest_temperature_m
    if not temperature_m > 0:
        raise InputError(f"{source}: {prefix}.poses.rest_temperature_m is {temperature_m}, expected more than 0")
    bounds = {f"shapes.{item.name}": getattr(config.shapes, item.name) for item in fields(config.shapes)}
    bounds |= {
        "noise.scale": config.noise.scale,
        "cameras.view_deg": config.cameras.view_deg,
        "cameras.fill": config.cameras.fill,
    }
    for name, (low, high) in bounds.items():
        if low > high:
            raise InputError(f"{source}: {prefix}.{name} is [{low}, {high}], expected the smaller first")
