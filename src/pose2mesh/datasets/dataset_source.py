"""Data source of one or several data sets: a mixture to train on, and one data set for validation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pose2mesh.body_models.gendered import GenderedBody, open_body
from pose2mesh.body_models.shape_basis import ShapeBasis
from pose2mesh.body_models.smpl import Variant
from pose2mesh.datasets.batch import Batch, join_batches, mirror_batch
from pose2mesh.datasets.data_config import DataConfig, DatasetConfig
from pose2mesh.datasets.mixed_sampler import MixedSampler
from pose2mesh.datasets.posed_dataset import Input, LabelSettings, PosedDataset, make_batch
from pose2mesh.datasets.records import GENDERS, Records
from pose2mesh.datasets.source import VALIDATION_BATCH, ValidationSample
from pose2mesh.errors import InputError
from pose2mesh.io.downloads import cache_folder
from pose2mesh.skeletons import JointSet

VALIDATION = "validation"  # name of the validation data set in error messages and descriptions


@dataclass(frozen=True)
class DatasetMember:
    """One data set of a training run, with its config.

    Attributes:
        name: Its name in the config.
        config: Its part of the config.
        records: Its records.
    """

    name: str
    config: DatasetConfig
    records: Records

    @property
    def title(self) -> str:
        """The usual name of the data set, and the split."""
        return f"{self.config.spec(self.name).title} {self.config.part(self.name, self.name == VALIDATION)}".strip()


class DatasetSource:
    """Samples of data sets as a `datasets.source.DataSource`.

    Args:
        body: Body model that poses all samples.
        body_name: Its name in a bundle.
        joint_set: Joints of the samples.
        members: The data sets to train on.
        validation: The data set to validate on.
        data: The config: mirroring, noise, cameras, numbers of samples.
        seed: Decides the order of the training samples.

    Raises:
        InputError: a data set has no usable record, or lacks the joints.
    """

    def __init__(
        self,
        body: GenderedBody,
        body_name: str,
        joint_set: JointSet,
        members: list[DatasetMember],
        validation: DatasetMember,
        data: DataConfig,
        seed: int,
    ) -> None:
        self.body, self.body_name, self.joint_set = body, body_name, joint_set
        self._members, self._validation, self._data, self._seed = members, validation, data, seed
        self.samples_per_epoch = self.validation_batches = 0  # until `prepare` has counted the usable records

    def describe(self) -> str:
        return f"{', '.join(member.title for member in self._members)}; validated on {self._validation.title}"

    @property
    def validation_title(self) -> str:
        """Name of the data set, and of the input, that validation errors are measured on."""
        return f"{self._validation.title}, {self._validation.config.input} 2D"

    def licence(self) -> str:
        body = "MANO" if self.body.main.model == "mano" else "SMPL"
        terms = {f"{body}: non-commercial research alone": None}
        for member in self._members:
            spec = member.config.spec(member.name)
            terms[f"{spec.title}: {member.config.licence or spec.licence}"] = None
        return "; ".join(terms)

    def prepare(self, points: Tensor | None, shape_basis: ShapeBasis | None = None) -> None:
        """See `DataSource.prepare`; batches contain no shapes."""
        self._sets = [self._posed_dataset(member, points) for member in self._members]
        self._rows = [
            _require_any(member, data.usable(member.config.input))
            for member, data in zip(self._members, self._sets, strict=True)
        ]
        weights = [member.config.weight for member in self._members]
        sizes = [len(rows) for rows in self._rows]
        self._mixture = MixedSampler(sizes, weights, self._data.samples_per_epoch, self._seed)
        self.samples_per_epoch = self._mixture.samples_per_epoch
        self._held_out = self._posed_dataset(self._validation, points)
        rows = _require_any(self._validation, self._held_out.usable(self._validation.config.input, whole=True))
        self._validation_rows = _spread(rows, self._data.validation_samples)
        self.validation_batches = -(-len(self._validation_rows) // VALIDATION_BATCH)

    def _posed_dataset(self, member: DatasetMember, points: Tensor | None) -> PosedDataset:
        limits = member.config.limits(member.name)
        if member is self._validation:  # validation samples are not selected by how well a body fits them
            limits |= {"fit_limit_mm": None, "fit_limit_crop_px": None}
        settings = LabelSettings(member.config.true_px, cameras=self._data.synthetic.cameras, **limits)
        return PosedDataset(member.records, self.body, self.joint_set, points, settings)

    def posed_bodies(self, count: int, generator: torch.Generator) -> np.ndarray:
        points = torch.arange(len(self.body.template))
        bodies, share = [], -(-count // len(self._members))
        for member in self._members:
            if member.records.body_valid is None:
                continue
            data = self._posed_dataset(member, points)
            rows = _spread(np.flatnonzero(member.records.body_valid), share)
            samples = data.samples(rows, generator)
            assert samples.points_cam is not None
            bodies.append(samples.points_cam[samples.surface_valid].numpy())
        return np.concatenate(bodies)

    def training_batch(self, epoch: int, first: int, count: int, generator: torch.Generator) -> Batch:
        which, positions = self._mixture.sample(epoch, first, count)
        parts, places = [], []
        for number, (member, data) in enumerate(zip(self._members, self._sets, strict=True)):
            chosen = np.flatnonzero(which == number)
            if len(chosen):
                rows = self._rows[number][positions[chosen]]
                parts.append(self._batch(data, rows, member.config.input, generator))
                places.append(chosen)
        where = torch.from_numpy(np.concatenate(places)).to(generator.device)
        batch = join_batches(parts, where)
        if self._data.mirror:
            mirrored = torch.rand(count, generator=generator, device=generator.device) < self._data.mirror
            batch = mirror_batch(batch, self.joint_set, mirrored)
        return batch

    def _batch(self, data: PosedDataset, rows: np.ndarray, input: Input, generator: torch.Generator) -> Batch:
        samples = data.to(generator.device).samples(rows, generator)
        return make_batch(samples, input, self.joint_set, self._data.synthetic.noise, generator)

    def validation_batch(self, index: int, generator: torch.Generator) -> Batch:
        first = VALIDATION_BATCH * (index % self.validation_batches)
        rows = self._validation_rows[first : first + VALIDATION_BATCH]
        return self._batch(self._held_out, rows, self._validation.config.input, generator)

    def whole_validation_batches(self, generator: torch.Generator) -> Iterator[Batch]:
        """All validation samples on the CPU in batches, with every vertex of the mesh."""
        data = self._posed_dataset(self._validation, torch.arange(len(self.body.template))).cpu()
        for first in range(0, len(self._validation_rows), VALIDATION_BATCH):
            rows = self._validation_rows[first : first + VALIDATION_BATCH]
            yield self._batch(data, rows, self._validation.config.input, generator)

    def validation_samples(self, count: int, vertices: bool, generator: torch.Generator) -> ValidationSample:
        points = torch.arange(len(self.body.template)) if vertices else None
        data = self._posed_dataset(self._validation, points).cpu()
        rows = _spread(self._validation_rows, count)
        batch = self._batch(data, rows, self._validation.config.input, generator)
        return ValidationSample(batch, batch.points)


def open_dataset_source(data: DataConfig, joint_set: JointSet, seed: int) -> DatasetSource:
    """Open the data sets and the body model of a config.

    Raises:
        InputError: a folder or file is missing or cannot be used.
    """
    root = None if data.folder is None else Path(data.folder)
    cache = cache_folder() / "sets" if data.cache is None else Path(data.cache)
    members = [DatasetMember(name, choice, choice.open(name, root, cache)) for name, choice in data.sets.items()]
    assert data.validation is not None
    held_out = DatasetMember(
        VALIDATION, data.validation, data.validation.open(VALIDATION, root, cache, validation=True)
    )
    genders = labelled_genders([*members, held_out]) if data.body.model == "smpl" else {}
    body = open_body(data.body, genders)
    return DatasetSource(body, data.body.name, joint_set, members, held_out, data, seed)


def labelled_genders(members: list[DatasetMember]) -> Mapping[int, Variant]:
    """Genders among the records that are posed by the body model of their own gender, by index in `GENDERS`."""
    columns = [
        np.unique(member.records.gender[member.records.body_valid])
        for member in members
        if member.config.genders == "labelled" and member.records.gender is not None
    ]
    found: set[int] = set(np.concatenate(columns).tolist()) if columns else set()
    variants: tuple[Variant, ...] = ("neutral", "male", "female")
    assert variants == GENDERS
    return {number: variants[number] for number in sorted(found)}


def _require_any(member: DatasetMember, rows: np.ndarray) -> np.ndarray:
    if len(rows) == 0:
        raise InputError(
            f"data set {member.name}: none of its {len(member.records)} records has both a ground truth and "
            f"{member.config.input} 2D joints"
        )
    return rows


def _spread(rows: np.ndarray, count: int) -> np.ndarray:
    """At most `count` of the rows, evenly spaced."""
    return rows if len(rows) <= count else rows[np.linspace(0, len(rows) - 1, count).astype(int)]
