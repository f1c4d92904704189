"""How well the fitted bodies of a data set meet its labels: distance, left and right, and where they stand."""

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

PART = 64
USUAL_LIMIT_MM, USUAL_LIMIT_CROP_PX = 25.0, 3.0
ASTRAY_M = 0.5  # a fit whose joints' mean is farther than that from the labels' stands somewhere else


@dataclass(frozen=True)
class FitErrors:
    """What was found of some fits.

    Attributes:
        rows: (S,) which of the records were posed.
        error: (S,) distance from the labels in `unit`; NaN where there are none.
        unit: `mm`, or `px of a crop of 64`.
        limit: Beyond it a fit is bad.
        mirrored: (S,) fits that meet the labels far better with left and right exchanged.
        astray: (S,) fits that stand somewhere else than the labels.
    """

    rows: NDArray[np.int64]
    error: NDArray[np.float64]
    unit: str
    limit: float
    mirrored: NDArray[np.bool_]
    astray: NDArray[np.bool_]

    def findings(self, records: Records) -> list[Finding]:
        known = np.isfinite(self.error)
        if not known.any():
            return [Finding("fits posed, with no labels to compare them with", len(self.rows))]
        mean = f"mean {np.nanmean(self.error):.1f}, largest {np.nanmax(self.error):.1f} {self.unit}"
        lines = [Finding("fits posed and compared with the labels", int(known.sum()), example=mean)]
        for what, who in (
            (f"fits worse than {self.limit:g} {self.unit}", self.error > self.limit),
            ("fits with left and right exchanged", self.mirrored),
            (f"fits more than {ASTRAY_M:g} m from their labels", self.astray),
        ):
            example = name_person(records, int(self.rows[who][0])) if who.any() else ""
            lines.append(Finding(what, int(who.sum()), int(known.sum()), True, example))
        return lines


class DatasetFits:
    """The fitted bodies of a data set, to be posed.

    Args:
        records: With body parameters.
        body: Their model.

    Raises:
        InputError: a regressor that the labels need is missing.
    """

    def __init__(self, records: Records, body: GenderedBody) -> None:
        self.records, self.body = records, body
        self.data = PosedDataset(
            records, body, HAND if body.main.model == "mano" else SMPL, torch.arange(len(body.template))
        )
        labelled, joint_set = records.schema.joints, self._joint_set()
        # The labelled joints that the body has too, and where they stand in the records.
        self.names = [name for name in labelled if name in joint_set.names and name not in dict(joint_set.derived)]
        self.columns = [labelled.index(name) for name in self.names]
        rows = [joint_set.index(name) for name in self.names]
        self._main = body.regressor(joint_set)[rows]
        self._others = {int(number): other.regressor(joint_set)[rows] for number, other in body.others.items()}

    def _regress(self, vertices: Tensor, rows: NDArray[np.int64]) -> Tensor:
        """(B, J, 3) the labelled joints of bodies, each by the regressor of its own gender, as the labels were."""
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

    def draw(self, count: int, seed: int) -> NDArray[np.int64]:
        """At most so many rows of people who have a fit, in order."""
        assert self.records.body_valid is not None
        rows = np.flatnonzero(self.records.body_valid)
        if count < len(rows):
            rows = np.sort(np.random.default_rng(seed).choice(rows, count, replace=False))
        return rows

    def judge(self, rows: NDArray[np.int64], limit: float | None = None) -> FitErrors:
        """Pose people and compare them with their labels: 3D joints where there are any, else 2D ones."""
        records, name = self.records, self.records.schema.name
        flip = [self.names.index(_other_side(joint)) for joint in self.names]
        in_space = records.joints_m is not None
        if in_space:
            limit, unit = limit or LARGEST_ERROR_MM.get(name, USUAL_LIMIT_MM), "mm"
        else:
            limit, unit = LARGEST_ERROR_CROP_PX.get(name, USUAL_LIMIT_CROP_PX), "px of a crop of 64"
        error, exchanged = np.full(len(rows), np.nan), np.zeros(len(rows), bool)
        astray = np.zeros(len(rows), bool)
        for start in range(0, len(rows) if self.names else 0, PART):
            part, place = rows[start : start + PART], slice(start, start + PART)
            with torch.no_grad():
                vertices, _, placed, views = self.data.posed(part)
                fitted = self._regress(vertices, part)
                seen = views.project(fitted).numpy() if views is not None else None
            if records.joints_m is not None and records.joints_valid is not None:
                ground_truth, valid = (
                    records.joints_m[part][:, self.columns],
                    records.joints_valid[part][:, self.columns],
                )
                whole, joints = valid.all(1), fitted.numpy()
                error[place] = np.where(whole, fit_error_mm(ground_truth, joints), np.nan)
                exchanged[place] = mirrored(ground_truth, joints, valid, flip)
                away = np.linalg.norm(ground_truth.mean(1) - joints.mean(1), axis=1)
                astray[place] = placed.numpy() & whole & (away > ASTRAY_M)
            elif records.joints_px is not None and seen is not None:
                labels = records.joints_px[part][:, self.columns]
                visible = placed.numpy()
                error[place] = np.where(visible, fit_error_crop_px(labels, seen), np.nan)
                exchanged[place] = visible & mirrored(labels[..., :2], seen, labels[..., 2] > 0, flip)
        return FitErrors(rows, error, unit, float(limit), exchanged, astray)

    def project(self, row: int) -> ProjectedMesh | None:
        """One person's mesh as the camera sees it; None where there is no body, or nothing tells where it is seen.

        A body whose place is not told is laid on its labelled joints; one without any camera is seen from its front.
        """
        rows = np.array([row])
        with torch.no_grad():
            vertices, valid, placed, views = self.data.posed(rows)
            if not bool(valid):
                return None
            if views is None:
                seen = vertices[0].numpy() @ np.array(WORLD_TO_CAMERA).T
                return ProjectedMesh(seen[:, :2], seen[:, 2] - seen[:, 2].min() + 1, seen, self.body.faces.numpy())
            if not bool(placed):
                if self.records.joints_m is None or not self.names:
                    return None
                labels = torch.from_numpy(self.records.joints_m[rows][:, self.columns])
                vertices = vertices + (labels - self._regress(vertices, rows)).mean(1, keepdim=True)
            pixels, depth = views.project(vertices)[0].numpy(), vertices[0, :, 2].numpy()
        if not bool(views.perspective):
            depth = depth - depth.min() + 1  # from anywhere: only the order counts
        return ProjectedMesh(pixels, depth, vertices[0].numpy(), self.body.faces.numpy())


def _other_side(name: str) -> str:
    if name.startswith("left_"):
        return name.replace("left_", "right_", 1)
    return name.replace("right_", "left_", 1) if name.startswith("right_") else name
