"""Measure a model on a data set of the literature, by one of its protocols.

The network gets pixels alone; where the data set tells the camera, the errors with it are told too (`known_camera_…`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pose2mesh.body_models.gendered import GenderedBody, open_body
from pose2mesh.body_models.joint_regressors import FITTED, load_regressor
from pose2mesh.datasets.annotation import OnFault
from pose2mesh.datasets.data_config import DatasetConfig
from pose2mesh.datasets.dataset_source import VALIDATION, DatasetMember, labelled_genders
from pose2mesh.datasets.posed_dataset import Input, PosedDataset, PosedSamples, make_batch
from pose2mesh.datasets.records import Records
from pose2mesh.datasets.synthetic.detection_noise import measured_noise
from pose2mesh.errors import InputError
from pose2mesh.evaluation.protocol_metrics import (
    by_action,
    means,
    person_errors,
    relative_joints,
    sequence_errors,
    stretches,
)
from pose2mesh.evaluation.protocols import Protocol, find_protocol
from pose2mesh.geometry.camera import Intrinsics
from pose2mesh.inference.predictor import Predictor, unusable
from pose2mesh.io.downloads import cache_folder
from pose2mesh.metrics import BodyPoints
from pose2mesh.skeletons import JointSet

if TYPE_CHECKING:
    from pose2mesh.datasets.data_config import DataConfig

PART = 64  # people posed in full at a time


@dataclass(frozen=True)
class EvaluationBatch:
    """Some people of a test: what the network gets of them, and the truth.

    Attributes:
        rows: (B,) of the records.
        pixels, confidence: (B, J, 2) and (B, J) in the model's joint set.
        truth: What the protocol compares with.
        cameras: Theirs; None where not everyone's is known.
    """

    rows: NDArray[np.int64]
    pixels: NDArray[np.float32]
    confidence: NDArray[np.float32]
    truth: BodyPoints
    cameras: list[Intrinsics] | None


class ProtocolTest:
    """The people of a protocol and what is true of them, for one model.

    Args:
        recovery: The model. One of another mesh than the data set's bodies is measured by its joints alone.
        records: Of the protocol's split.
        body: Poses their true meshes.
        protocol: Who is compared by what.

    Attributes:
        left_out: How many of the protocol's people are not measured, by reason.

    Raises:
        InputError: the model's mesh has no such joints.
    """

    def __init__(self, recovery: Predictor, records: Records, body: GenderedBody, protocol: Protocol) -> None:
        self.protocol, self.records, self.joint_set = protocol, records, recovery.joint_set
        self.data = PosedDataset(records, body, self.joint_set, torch.arange(len(body.template)))
        self.true_regressor, self.true_root = self._regressors(body)
        self.same_mesh = np.array_equal(recovery.faces, body.faces.numpy())
        if self.same_mesh:
            self.regressor = self.true_regressor
        elif recovery.info.body == "anny" and protocol.joint_set.name in FITTED:
            self.regressor = torch.from_numpy(load_regressor(protocol.joint_set.name)).double()
        else:
            raise InputError(
                f"model {recovery.info.name!r} is of body {recovery.info.body!r}, of which joint set "
                f"{protocol.joint_set.name!r} is not known; {protocol.name} needs it"
            )
        self.left_out: Counter[str] = Counter()

    def _regressors(self, body: GenderedBody) -> tuple[Tensor, Tensor]:
        """Of the protocol's joints, (J, V), and of the one that vertices are relative to, (V,).

        In double precision: in single, the sum of a long row is off by 1e-5 m.
        """
        root = self.protocol.mesh_root
        return body.regressor(self.protocol.joint_set).double(), body.regressor(root)[root.root_index].double()

    def rows(self, input_: Input) -> NDArray[np.int64]:
        """Who is measured; counts who is not.

        Raises:
            InputError: nobody is.
        """
        chosen = np.ones(len(self.records), bool)
        for column, wanted in (("subject", self.protocol.subjects), ("camera", self.protocol.cameras)):
            if wanted:
                chosen &= np.isin(getattr(self.records, column), wanted)
        if not chosen.any():
            raise InputError(f"{self.protocol.name}: nobody of {len(chosen)} people is of its subjects and cameras")
        everyone = np.arange(len(chosen))
        labelled, seen = (np.isin(everyone, self.data.usable(name, True)) for name in ("gt", input_))
        self.left_out += Counter({"no body fit": int((chosen & ~labelled).sum())})
        self.left_out += Counter({"no detection": int((chosen & labelled & ~seen).sum())})
        found = (chosen & seen).nonzero()[0]
        if not len(found):
            raise self.nobody()
        return found

    def nobody(self) -> InputError:
        told = ", ".join(f"{count} × {reason}" for reason, count in self.left_out.items())
        return InputError(f"{self.protocol.name}: nobody can be measured ({told})")

    def parts(self, rows: NDArray[np.int64], input_: Input, seed: int) -> Iterator[EvaluationBatch]:
        """The people a part at a time, but for those whom no network can use; these are counted."""
        generator, noise = torch.Generator().manual_seed(seed), measured_noise(input_, self.joint_set)
        for start in range(0, len(rows), PART):
            part = rows[start : start + PART]
            people = self.data.samples(part, generator)
            batch = make_batch(people, input_, self.joint_set, noise, generator)
            pixels, confidence = batch.joints_px.numpy(), batch.confidence.numpy()
            joints = zip(pixels, confidence, strict=True)
            keep = np.array([unusable(*person, self.joint_set) is None for person in joints])
            self.left_out += Counter({"too few 2D joints": int((~keep).sum())})
            if keep.any():
                cameras = intrinsics(people)
                kept = None if cameras is None else [cameras[index] for index in keep.nonzero()[0]]
                yield EvaluationBatch(part[keep], pixels[keep], confidence[keep], self.truth(people, part, keep), kept)

    def truth(self, people: PosedSamples, rows: NDArray[np.int64], keep: NDArray[np.bool_]) -> BodyPoints:
        """What is true of those of the people to `keep`, (B,)."""
        assert people.points_cam is not None
        vertices = people.points_cam[torch.from_numpy(keep)].double()
        joints = self.true_regressor @ vertices
        if self.protocol.truth == "labels":
            assert self.records.joints_m is not None
            joints = torch.from_numpy(self.records.joints_m[rows[keep]]).double()
        return BodyPoints(joints, vertices, self.true_root @ vertices)

    def found(self, vertices: NDArray[np.float32]) -> BodyPoints:
        """A model's answer, vertices (B, V, 3), as the protocol takes it."""
        points = torch.from_numpy(vertices).double()
        joints = self.regressor @ points
        return BodyPoints(joints, points, self.true_root @ points) if self.same_mesh else BodyPoints(joints)


def intrinsics(people: PosedSamples) -> list[Intrinsics] | None:
    """Everyone's camera, or None where one is not known."""
    if not people.cameras.perspective.all():
        return None
    return [Intrinsics(*row) for row in torch.cat((people.cameras.scale, people.cameras.offset), dim=1).tolist()]


@dataclass(frozen=True)
class TestSet:
    """The data set of a config that a protocol tests on, opened.

    Attributes:
        protocol: The test.
        member: The data set, and what of it is used.
        body: Poses its people.
    """

    protocol: Protocol
    member: DatasetMember
    body: GenderedBody

    @property
    def records(self) -> Records:
        return self.member.records


def open_test(
    data: DataConfig,
    source: str,
    joint_set: JointSet,
    protocol: str | None,
    input_: Input,
    on_fault: OnFault | None,
) -> TestSet:
    """Find and read what a protocol tests on among the data sets of a config.

    A protocol of the literature tests the last part of a data set, whatever the config takes of it; without one, it is
    the part to validate on.

    Args:
        data: Of the config.
        source: Its file, for errors.
        joint_set: Of the model.
        protocol: A name of `PROTOCOLS`; the usual one of the data set to validate on where None.
        input_: Where the 2D joints come from.
        on_fault: What to do about entries that cannot be used; as the config says where None.

    Raises:
        InputError: no data set of the config goes with the protocol; a file is missing or cannot be used.
    """
    chosen: list[tuple[str, DatasetConfig]] = [] if data.validation is None else [(VALIDATION, data.validation)]
    chosen += data.sets.items()
    readers = [choice.reader or name for name, choice in chosen]
    test = find_protocol(protocol, readers, joint_set)
    at = next((index for index, reader in enumerate(readers) if reader in test.data_sets), 0)
    name, choice = chosen[at]
    if input_ == "detected" and not choice.spec(name).detections and readers[at] != "pw3d_sequences":
        raise InputError(f"--input detected: {readers[at]} has no detections; expected gt or noisy")
    choice = replace(choice, input=input_, on_fault=on_fault or choice.on_fault)
    if test.data_sets:  # the reader's own choices of subjects and frames are the protocol's
        choice = replace(choice, split=None, protocol=None, stride=None)
    root = None if data.folder is None else Path(data.folder)
    cache = cache_folder() / "sets" if data.cache is None else Path(data.cache)
    member = DatasetMember(name, choice, choice.open(name, root, cache, validation=True))
    if data.body.model != member.records.schema.body:
        raise InputError(
            f"{source}: data.body.model is {data.body.model}; {test.name} needs {member.records.schema.body}"
        )
    genders = labelled_genders([member]) if data.body.model == "smpl" else {}
    return TestSet(test, member, open_body(data.body, genders))


def evaluate_records(
    recovery: Predictor,
    records: Records,
    body: GenderedBody,
    protocol: Protocol,
    input_: Input = "gt",
    samples: int | None = None,
    seed: int = 7,
) -> dict[str, Any]:
    """Errors of a model over the people of a protocol.

    Args:
        recovery, records, body, protocol: See `ProtocolTest`.
        input_: `gt`: the true 2D joints; `noisy`: with synthesised errors; `detected`: those that come with the data.
        samples: So many people, drawn by `seed`; everyone where None. Errors over time are told of everyone only.
        seed: Decides who is drawn and the synthesised errors.

    Returns:
        `mpjpe_mm`, `pa_mpjpe_mm`, `mpvpe_mm`, `pa_mpvpe_mm` (None where the meshes do not compare) and what the
        protocol has besides: F-scores, `actions`, `sequences`; `known_camera_…` where intrinsics are known;
        `spread_mm`: the standard error of `mpjpe_mm`; `samples`; `left_out`: who of the protocol is not among them.

    Raises:
        InputError: nobody can be measured, or as `ProtocolTest`.
    """
    from tqdm import tqdm

    test = ProtocolTest(recovery, records, body, protocol)
    rows = test.rows(input_)
    whole = samples is None or samples >= len(rows)
    if not whole:
        rows = np.sort(np.random.default_rng(seed).choice(rows, samples, replace=False))
    errors: dict[str, list[NDArray[np.floating]]] = {}
    joints: list[tuple[Tensor, Tensor]] = []
    measured: list[NDArray[np.int64]] = []
    with torch.no_grad():
        parts = test.parts(rows, input_, seed)
        for part in tqdm(parts, total=-(-len(rows) // PART), desc="evaluating", unit="part", disable=None):
            found = test.found(recovery.run(part.pixels, part.confidence)[1])
            for name, values in person_errors(protocol, found, part.truth).items():
                errors.setdefault(name, []).append(values.numpy())
            if part.cameras is not None:
                looked = test.found(recovery.run(part.pixels, part.confidence, part.cameras)[1])
                # A turn of the axes is what the other errors forgive.
                for name, values in person_errors(protocol, looked, part.truth, aligned=False).items():
                    errors.setdefault(f"known_camera_{name}", []).append(values.numpy())
            joints.append((relative_joints(protocol, found.joints), relative_joints(protocol, part.truth.joints)))
            measured.append(part.rows)
    if not measured:
        raise test.nobody()
    everyone = np.concatenate(measured)
    whole_errors = {name: np.concatenate(values) for name, values in errors.items()}
    results: dict[str, Any] = {name: None for name in ("mpjpe_mm", "pa_mpjpe_mm", "mpvpe_mm", "pa_mpvpe_mm")}
    results |= means(whole_errors)
    results["samples"] = len(everyone)
    if len(everyone) > 1:
        results["spread_mm"] = float(whole_errors["mpjpe_mm"].std(ddof=1) / len(everyone) ** 0.5)
    if protocol.actions:
        results["actions"] = by_action(protocol, whole_errors, records.action[everyone])
    if protocol.frames_per_second and whole:
        runs = list(stretches(records.sequence[everyone], records.subject[everyone], records.frame[everyone]))
        pairs = [torch.cat(side).numpy() for side in zip(*joints, strict=True)]
        results["sequences"] = sequence_errors(pairs[0], pairs[1], runs, protocol.frames_per_second)
    results["left_out"] = dict(test.left_out)
    return results
