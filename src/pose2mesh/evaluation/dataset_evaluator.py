"""Evaluation of a model on a data set under one of its protocols.

The network gets 2D joints in pixels alone; where the data set has the camera, the errors given the camera are reported
too (`known_camera_…`).
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

from pose2mesh.body_models.default_body import DEFAULT_BODY
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

CHUNK = 64  # samples whose whole mesh is in memory at a time


@dataclass(frozen=True)
class EvaluationBatch:
    """Input and ground truth of `B` samples of a protocol.

    Attributes:
        rows: (B,) indices into the records.
        pixels, confidence: (B, J, 2) and (B, J) 2D joints in the model's joint set.
        ground_truth: Joints and vertices that the protocol compares with.
        cameras: One per sample; None unless all are known.
    """

    rows: NDArray[np.int64]
    pixels: NDArray[np.float32]
    confidence: NDArray[np.float32]
    ground_truth: BodyPoints
    cameras: list[Intrinsics] | None


class ProtocolTest:
    """Samples of a protocol with their inputs and ground truth, for one model.

    Args:
        predictor: The model. A model with another mesh than the data set's bodies is evaluated by its joints alone.
        records: The protocol's split.
        body: The body model of the true meshes.
        protocol: The protocol.

    Attributes:
        left_out: Number of the protocol's samples that are not evaluated, by reason.

    Raises:
        InputError: the protocol's joints cannot be regressed from the model's mesh.
    """

    def __init__(self, predictor: Predictor, records: Records, body: GenderedBody, protocol: Protocol) -> None:
        self.protocol, self.records, self.joint_set = protocol, records, predictor.joint_set
        self.data = PosedDataset(records, body, self.joint_set, torch.arange(len(body.template)))
        self.true_regressor, self.true_root = self._regressors(body)
        self.same_mesh = np.array_equal(predictor.faces, body.faces.numpy())
        if self.same_mesh:
            self.regressor = self.true_regressor
        elif predictor.info.body == DEFAULT_BODY and protocol.joint_set.name in FITTED:
            self.regressor = torch.from_numpy(load_regressor(protocol.joint_set.name)).double()
        else:
            raise InputError(
                f"model {predictor.info.name!r} is of body {predictor.info.body!r}, for which joint set "
                f"{protocol.joint_set.name!r} is not known; {protocol.name} needs it"
            )
        self.left_out: Counter[str] = Counter()

    def _regressors(self, body: GenderedBody) -> tuple[Tensor, Tensor]:
        """Regressors of the protocol's joints, (J, V), and of the joint that vertices are relative to, (V,).

        In double precision: in single precision the sum of a long row is off by 1e-5 m.
        """
        root = self.protocol.mesh_root
        return body.regressor(self.protocol.joint_set).double(), body.regressor(root)[root.root_index].double()

    def rows(self, input_: Input) -> NDArray[np.int64]:
        """Indices of the records to evaluate; counts the others in `left_out`.

        Raises:
            InputError: there are none.
        """
        chosen = np.ones(len(self.records), bool)
        for column, wanted in (("subject", self.protocol.subjects), ("camera", self.protocol.cameras)):
            if wanted:
                chosen &= np.isin(getattr(self.records, column), wanted)
        if not chosen.any():
            raise InputError(f"{self.protocol.name}: none of {len(chosen)} samples is of its subjects and cameras")
        rows = np.arange(len(chosen))
        labelled, observed = (np.isin(rows, self.data.usable(name, True)) for name in ("gt", input_))
        self.left_out += Counter({"no body fit": int((chosen & ~labelled).sum())})
        self.left_out += Counter({"no detection": int((chosen & labelled & ~observed).sum())})
        usable = (chosen & observed).nonzero()[0]
        if not len(usable):
            raise self.no_samples()
        return usable

    def no_samples(self) -> InputError:
        """The error for a protocol without any usable sample, with the reasons."""
        reasons = ", ".join(f"{count} × {reason}" for reason, count in self.left_out.items())
        return InputError(f"{self.protocol.name}: no sample can be evaluated ({reasons})")

    def batches(self, rows: NDArray[np.int64], input_: Input, seed: int) -> Iterator[EvaluationBatch]:
        """The samples of `rows` in chunks, without those with too few 2D joints, which `left_out` counts."""
        generator, noise = torch.Generator().manual_seed(seed), measured_noise(input_, self.joint_set)
        for start in range(0, len(rows), CHUNK):
            part = rows[start : start + CHUNK]
            people = self.data.samples(part, generator)
            batch = make_batch(people, input_, self.joint_set, noise, generator)
            pixels, confidence = batch.joints_px.numpy(), batch.confidence.numpy()
            joints = zip(pixels, confidence, strict=True)
            keep = np.array([unusable(*person, self.joint_set) is None for person in joints])
            self.left_out += Counter({"too few 2D joints": int((~keep).sum())})
            if keep.any():
                cameras = intrinsics(people)
                kept = None if cameras is None else [cameras[index] for index in keep.nonzero()[0]]
                yield EvaluationBatch(
                    part[keep], pixels[keep], confidence[keep], self.ground_truth(people, part, keep), kept
                )

    def ground_truth(self, people: PosedSamples, rows: NDArray[np.int64], keep: NDArray[np.bool_]) -> BodyPoints:
        """Ground truth of the samples selected by the mask `keep` (B,)."""
        assert people.points_cam is not None
        vertices = people.points_cam[torch.from_numpy(keep)].double()
        joints = self.true_regressor @ vertices
        if self.protocol.ground_truth == "labels":
            assert self.records.joints_m is not None
            joints = torch.from_numpy(self.records.joints_m[rows[keep]]).double()
        return BodyPoints(joints, vertices, self.true_root @ vertices)

    def predicted(self, vertices: NDArray[np.float32]) -> BodyPoints:
        """Joints and vertices compared by the protocol, from predicted vertices (B, V, 3)."""
        points = torch.from_numpy(vertices).double()
        joints = self.regressor @ points
        return BodyPoints(joints, points, self.true_root @ points) if self.same_mesh else BodyPoints(joints)


def intrinsics(people: PosedSamples) -> list[Intrinsics] | None:
    """Intrinsics of every sample, or None where one is unknown."""
    if not people.cameras.perspective.all():
        return None
    return [Intrinsics(*row) for row in torch.cat((people.cameras.scale, people.cameras.offset), dim=1).tolist()]


@dataclass(frozen=True)
class TestSet:
    """The data set of a config that a protocol evaluates on, opened.

    Attributes:
        protocol: The protocol.
        member: The data set and its configuration.
        body: The body model of its samples.
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
    """Find and open the data set that a protocol evaluates on among those of a config.

    A protocol of the literature uses the last split of a data set, whichever split the config selects; the plain
    protocol uses the validation split.

    Args:
        data: The `data` section of the config.
        source: The config file, for errors.
        joint_set: Joint set of the model.
        protocol: A key of `PROTOCOLS`; the default of the validation data set where None.
        input_: Source of the 2D joints.
        on_fault: Treatment of unusable annotations; the config's setting where None.

    Raises:
        InputError: the protocol applies to no data set of the config; a file is missing or cannot be used.
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
    if test.data_sets:  # subjects and frames are the protocol's, not the config's
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
    predictor: Predictor,
    records: Records,
    body: GenderedBody,
    protocol: Protocol,
    input_: Input = "gt",
    samples: int | None = None,
    seed: int = 7,
) -> dict[str, Any]:
    """Errors of a model on the samples of a protocol.

    Args:
        predictor, records, body, protocol: See `ProtocolTest`.
        input_: 2D joints: `gt` is ground truth, `noisy` adds synthesised errors, `detected` are those of the data set.
        samples: Number of samples, chosen at random; all where None. Errors over time need all.
        seed: Seed of the chosen samples and the synthesised errors.

    Returns:
        `mpjpe_mm`, `pa_mpjpe_mm`, `mpvpe_mm`, `pa_mpvpe_mm` (None where the meshes differ) and, if the
        protocol has them, F-scores, `actions`, `sequences`; `known_camera_…` where the intrinsics are known;
        `spread_mm`: the standard error of `mpjpe_mm`; `samples`; `left_out`: samples not evaluated, by reason.

    Raises:
        InputError: no sample can be evaluated, or see `ProtocolTest`.
    """
    from tqdm import tqdm

    test = ProtocolTest(predictor, records, body, protocol)
    rows = test.rows(input_)
    complete = samples is None or samples >= len(rows)
    if not complete:
        rows = np.sort(np.random.default_rng(seed).choice(rows, samples, replace=False))
    error_chunks: dict[str, list[NDArray[np.floating]]] = {}
    joints: list[tuple[Tensor, Tensor]] = []
    evaluated: list[NDArray[np.int64]] = []
    with torch.no_grad():
        batches = test.batches(rows, input_, seed)
        for batch in tqdm(batches, total=-(-len(rows) // CHUNK), desc="evaluating", unit="part", disable=None):
            ground_truth = batch.ground_truth
            prediction = test.predicted(predictor.run(batch.pixels, batch.confidence)[1])
            for name, values in person_errors(protocol, prediction, ground_truth).items():
                error_chunks.setdefault(name, []).append(values.numpy())
            if batch.cameras is not None:
                given_camera = test.predicted(predictor.run(batch.pixels, batch.confidence, batch.cameras)[1])
                # Given the camera the axes are rotated, which does not change errors after alignment.
                for name, values in person_errors(protocol, given_camera, ground_truth, aligned=False).items():
                    error_chunks.setdefault(f"known_camera_{name}", []).append(values.numpy())
            joints.append(
                (relative_joints(protocol, prediction.joints), relative_joints(protocol, ground_truth.joints))
            )
            evaluated.append(batch.rows)
    if not evaluated:
        raise test.no_samples()
    rows = np.concatenate(evaluated)
    errors = {name: np.concatenate(values) for name, values in error_chunks.items()}
    results: dict[str, Any] = {name: None for name in ("mpjpe_mm", "pa_mpjpe_mm", "mpvpe_mm", "pa_mpvpe_mm")}
    results |= means(errors)
    results["samples"] = len(rows)
    if len(rows) > 1:
        results["spread_mm"] = float(errors["mpjpe_mm"].std(ddof=1) / len(rows) ** 0.5)
    if protocol.actions:
        results["actions"] = by_action(protocol, errors, records.action[rows])
    if protocol.frames_per_second and complete:
        runs = list(stretches(records.sequence[rows], records.subject[rows], records.frame[rows]))
        predicted, true = (torch.cat(side).numpy() for side in zip(*joints, strict=True))
        results["sequences"] = sequence_errors(predicted, true, runs, protocol.frames_per_second)
    results["left_out"] = dict(test.left_out)
    return results
