"""Checks of the fitted bodies of a data set against its labels: distance, exchanged sides, and position."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pose2mesh.body_models.gendered import GenderedBody
from pose2mesh.datasets.fit_distance import LARGEST_ERROR_CROP_PX, LARGEST_ERROR_MM, fit_error_crop_px, fit_error_mm
from pose2mesh.datasets.label_checks import mirrored
from pose2mesh.datasets.posed_dataset import PosedDataset
from pose2mesh.datasets.records import Records
from pose2mesh.evaluation.dataset_checks.findings import Finding, name_person
from pose2mesh.geometry.rotations import WORLD_TO_CAMERA
from pose2mesh.skeletons import COCO, HAND, HUMAN36, SMPL, JointSet
from pose2mesh.visualization.renderer import ProjectedMesh

CHUNK = 64  # bodies posed at a time
DEFAULT_LIMIT_MM, DEFAULT_LIMIT_CROP_PX = 25.0, 3.0
MAX_OFFSET_M = 0.5  # a fit whose mean joint is farther from that of the labels is misplaced


@dataclass(frozen=True)
class FitErrors:
    """Errors of `S` fits against their labels.

    Attributes:
        rows: (S,) indices of the posed records.
        error: (S,) distance from the labels in `unit`; NaN without labels.
        unit: `mm`, or `px of a crop of 64`.
        limit: Largest error of a good fit.
        mirrored: (S,) fits that agree with the labels far better with left and right exchanged.
        misplaced: (S,) fits far from the position of their labels.
    """

    rows: NDArray[np.int64]
    error: NDArray[np.float64]
    unit: str
    limit: float
    mirrored: NDArray[np.bool_]
    misplaced: NDArray[np.bool_]

    def findings(self, records: Records) -> list[Finding]:
        """The errors as lines of the table."""
        known = np.isfinite(self.error)
        if not known.any():
            return [Finding("fits posed, with no labels to compare them with", len(self.rows))]
        mean = f"mean {np.nanmean(self.error):.1f}, largest {np.nanmax(self.error):.1f} {self.unit}"
        lines = [Finding("fits posed and compared with the labels", int(known.sum()), example=mean)]
        for what, found in (
            (f"fits worse than {self.limit:g} {self.unit}", self.error > self.limit),
            ("fits with left and right exchanged", self.mirrored),
            (f"fits more than {MAX_OFFSET_M:g} m from their labels", self.misplaced),
        ):
            example = name_person(records, int(self.rows[found][0])) if found.any() else ""
            lines.append(Finding(what, int(found.sum()), int(known.sum()), True, example))
        return lines


class DatasetFits:
    """Fitted bodies of a data set, posed on demand.

    Args:
        records: Records with body parameters.
        body: The body model of the fits.

    Raises:
        InputError: a regressor that the labels need is missing.
    """

    def __init__(self, records: Records, body: GenderedBody) -> None:
        self.records, self.body = records, body
        self.data = PosedDataset(
            records, body, HAND if body.main.model == "mano" else SMPL, torch.arange(len(body.template))
        )
        labelled, joint_set = records.schema.joints, self._joint_set()
        # The labelled joints that the body has too, and their columns in the records.
        self.names = [name for name in labelled if name in joint_set.names and name not in dict(joint_set.derived)]
        self.columns = [labelled.index(name) for name in self.names]
        rows = [joint_set.index(name) for name in self.names]
        self._main = body.regressor(joint_set)[rows]
        self._others = {int(number): other.regressor(joint_set)[rows] for number, other in body.others.items()}

    def _regress(self, vertices: Tensor, rows: NDArray[np.int64]) -> Tensor:
        """Labelled joints (B, J, 3) of bodies, regressed by the regressor of each body's gender, like the labels."""
        joints = self._main @ vertices
        for number, regressor in self._others.items():
            assert self.records.gender is not None
            of_gender = torch.from_numpy(self.records.gender[rows] == number)
            joints[of_gender] = regressor @ vertices[of_gender]
        return joints

    def _joint_set(self) -> JointSet:
        labelled = self.records.schema.joints
        for joint_set in (SMPL, HAND):
            if labelled == joint_set.names:
                return joint_set
        if not labelled:
            return self.data.joint_set
        return HUMAN36 if self.records.joints_m is not None else COCO

    def sample_rows(self, count: int, seed: int) -> NDArray[np.int64]:
        """Indices of at most `count` records with a fit, chosen at random, in order."""
        assert self.records.body_valid is not None
        rows = np.flatnonzero(self.records.body_valid)
        if count < len(rows):
            rows = np.sort(np.random.default_rng(seed).choice(rows, count, replace=False))
        return rows

    def evaluate(self, rows: NDArray[np.int64], limit: float | None = None) -> FitErrors:
        """Pose fits and compare them with their labels: 3D joints if labelled, else 2D joints."""
        records, name = self.records, self.records.schema.name
        flip = [self.names.index(_other_side(joint)) for joint in self.names]
        if records.joints_m is not None:
            limit, unit = limit or LARGEST_ERROR_MM.get(name, DEFAULT_LIMIT_MM), "mm"
        else:
            limit, unit = LARGEST_ERROR_CROP_PX.get(name, DEFAULT_LIMIT_CROP_PX), "px of a crop of 64"
        error, exchanged = np.full(len(rows), np.nan), np.zeros(len(rows), bool)
        misplaced = np.zeros(len(rows), bool)
        for start in range(0, len(rows) if self.names else 0, CHUNK):
            part, place = rows[start : start + CHUNK], slice(start, start + CHUNK)
            with torch.no_grad():
                vertices, _, placed, views = self.data.posed(part)
                fitted = self._regress(vertices, part)
                fitted_px = views.project(fitted).numpy() if views is not None else None
            if records.joints_m is not None and records.joints_valid is not None:
                ground_truth, valid = (
                    records.joints_m[part][:, self.columns],
                    records.joints_valid[part][:, self.columns],
                )
                whole, joints = valid.all(1), fitted.numpy()
                error[place] = np.where(whole, fit_error_mm(ground_truth, joints), np.nan)
                exchanged[place] = mirrored(ground_truth, joints, valid, flip)
                away = np.linalg.norm(ground_truth.mean(1) - joints.mean(1), axis=1)
                misplaced[place] = placed.numpy() & whole & (away > MAX_OFFSET_M)
            elif records.joints_px is not None and fitted_px is not None:
                labels = records.joints_px[part][:, self.columns]
                visible = placed.numpy()
                error[place] = np.where(visible, fit_error_crop_px(labels, fitted_px), np.nan)
                exchanged[place] = visible & mirrored(labels[..., :2], fitted_px, labels[..., 2] > 0, flip)
        return FitErrors(rows, error, unit, float(limit), exchanged, misplaced)

    def project(self, row: int) -> ProjectedMesh | None:
        """Mesh of one record projected into its image; None without a body or a known position.

        A body without a position is moved onto its labelled joints; one without a camera is viewed from its front.
        """
        rows = np.array([row])
        with torch.no_grad():
            vertices, valid, placed, views = self.data.posed(rows)
            if not bool(valid):
                return None
            if views is None:
                front = vertices[0].numpy() @ np.array(WORLD_TO_CAMERA).T
                return ProjectedMesh(front[:, :2], front[:, 2] - front[:, 2].min() + 1, front, self.body.faces.numpy())
            if not bool(placed):
                if self.records.joints_m is None or not self.names:
                    return None
                labels = torch.from_numpy(self.records.joints_m[rows][:, self.columns])
                vertices = vertices + (labels - self._regress(vertices, rows)).mean(1, keepdim=True)
            pixels, depth = views.project(vertices)[0].numpy(), vertices[0, :, 2].numpy()
        if not bool(views.perspective):
            depth = depth - depth.min() + 1  # any positive depth: only the order counts
        return ProjectedMesh(pixels, depth, vertices[0].numpy(), self.body.faces.numpy())


def _other_side(name: str) -> str:
    if name.startswith("left_"):
        return name.replace("left_", "right_", 1)
    return name.replace("right_", "left_", 1) if name.startswith("right_") else name
