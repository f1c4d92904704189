"""Samples of a data set with posed bodies: from `Records` and a body model to `PosedSamples`, and to a `Batch`.

A `PosedDataset` holds the memory-mapped columns and the body model. `samples` poses the bodies of some rows at once, on
the device of the network; `make_batch` makes the common `Batch` of them, with true, noisy or detected 2D joints.
Training takes rows in random order (`datasets/mixed_sampler.py`), an evaluation in file order; both by the same calls:

    data = PosedDataset(records, body, joint_set, points=torch.arange(len(body.template)))
    samples = data.samples(rows)                          # ground truth in camera axes, relative to the root joint
    batch = make_batch(samples, "detected", joint_set)    # network input; ground truth rotated to the viewing ray
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pose2mesh.body_models.gendered import GenderedBody, GenderedPoints
from pose2mesh.datasets.batch import Batch
from pose2mesh.datasets.camera_batch import CameraBatch
from pose2mesh.datasets.fit_distance import fit_error_crop_px, fit_error_mm
from pose2mesh.datasets.records import Records
from pose2mesh.datasets.synthetic.bodies import rotation_to_ray, weighted_centre
from pose2mesh.datasets.synthetic.camera_sampling import CameraConfig, sample_cameras
from pose2mesh.datasets.synthetic.detection_noise import NoiseConfig, add_detection_noise, derive
from pose2mesh.errors import InputError
from pose2mesh.skeletons import COCO, HUMAN36, JointSet, convert

Input = Literal["gt", "noisy", "detected"]
LEAST_JOINTS = 5  # samples with fewer detected joints are not usable
_BLOCK = 65_536


@dataclass(frozen=True)
class LabelSettings:
    """Which labels of a data set are used as ground truth.

    Attributes:
        true_px: Source of true 2D joints: `projected` from the 3D ones, or `labelled` in the image (COCO's keypoints,
            some missing). A sample that lacks the chosen source uses the other.
        fit_limit_mm: Fitted bodies whose joints are on average further than this from the labelled 3D ones are not
            used; None for no limit.
        fit_limit_crop_px: The same for labelled 2D joints, in pixels of a crop of 64 × 64.
        shape_limit: Bodies with a shape coefficient beyond it get the mean shape; None for no limit.
        cameras: Distribution of the cameras that are sampled for data sets without cameras.
    """

    true_px: Literal["projected", "labelled"] = "projected"
    fit_limit_mm: float | None = None
    fit_limit_crop_px: float | None = None
    shape_limit: float | None = None
    cameras: CameraConfig = field(default_factory=CameraConfig)


@dataclass(frozen=True)
class PosedSamples:
    """Samples of a data set with their ground truth: the values of a `Batch`, and further values for evaluation.

    Metres; camera frame x right, y down, z forward. Values without a label are 0 and marked as not valid.

    Attributes:
        joints_cam: (B, J, 3) true joints of the requested joint set, relative to the root joint.
        joints_valid: (B, J) which of them are labelled.
        points_cam: (B, R, 3) true points of the surface, relative to the root joint regressed from it; None where they
            were not requested.
        surface_valid: (B,) which samples have a true surface.
        root_cam: (B, 3) the root joint in the camera frame; NaN where unknown.
        cameras: The camera of each.
        true_px: (B, J, 3) true x, y in pixels and visibility in [0, 1].
        detected_px: (B, J, 3) detected x, y and score in [0, 1]; None for a data set without detections.
    """

    joints_cam: Tensor
    joints_valid: Tensor
    points_cam: Tensor | None
    surface_valid: Tensor
    root_cam: Tensor
    cameras: CameraBatch
    true_px: Tensor
    detected_px: Tensor | None


class PosedDataset(torch.nn.Module):
    """The samples of a data set, in one joint set and with one body model; a module, so that it moves to a device.

    Joints are the labels of the data set where it has this joint set, otherwise regressed from the posed bodies. No
    body is posed where no points are requested and all joints are labelled. With points but without body
    parameters, surfaces are masked.

    Args:
        records: Memory-mapped columns, from a reader of `datasets/readers/`.
        body: The body model that `records.schema.body` names; None where no body has to be posed.
        joint_set: The requested joints.
        points: (R,) indices of the requested vertices, or None for joints alone.
        settings: Which labels are used.

    Raises:
        InputError: the joints are neither labelled nor can be regressed from a body.
    """

    _place: Tensor

    def __init__(
        self,
        records: Records,
        body: GenderedBody | None,
        joint_set: JointSet,
        points: Tensor | None = None,
        settings: LabelSettings | None = None,
    ) -> None:
        super().__init__()
        self.records, self.joint_set = records, joint_set
        self.settings = settings or LabelSettings()
        schema = records.schema
        self.same_joints = schema.joints == joint_set.names
        self.has_joints = self.same_joints and records.joints_m is not None
        if not schema.body and not self.has_joints:
            raise InputError(f"{schema.name}: has neither bodies nor labelled 3D joints of {joint_set.name!r}")
        self.fills_joints = bool(schema.body) and self._without_labels().any()
        posed = bool(schema.body) and (points is not None or self.fills_joints)
        if posed and (body is None or body.main.model != schema.body):
            found = "none is given" if body is None else f"{body.main.path} is of {body.main.model}"
            raise InputError(f"{schema.name}: its bodies are of {schema.body}, {found}")
        self.points = points
        fit_names, fit_joints = self._fit_joints() if posed else ((), None)
        self.fit_columns = [schema.joints.index(name) for name in fit_names]
        self.poser: GenderedPoints | None = None
        if posed and body is not None:
            rows = [body.regressor(joint_set)]
            if fit_joints is not None:
                rows.append(body.regressor(fit_joints)[[fit_joints.index(name) for name in fit_names]])
            vertices = torch.zeros(0, dtype=torch.long) if points is None else points
            self.poser = GenderedPoints(body, vertices, torch.cat(rows))
        self.register_buffer("_place", torch.zeros(0), persistent=False)  # holds the device

    def _without_labels(self) -> NDArray[np.bool_]:
        """(N,) which records have a body but no labelled joints of the joint set, so that these are regressed."""
        records = self.records
        bodies = np.zeros(len(self), np.bool_) if records.body_valid is None else np.asarray(records.body_valid)
        if not self.has_joints or records.joints_valid is None:
            return bodies
        return np.asarray(bodies & ~records.joints_valid[:, self.joint_set.root_index])

    def _fit_joints(self) -> tuple[tuple[str, ...], JointSet | None]:
        """Labelled joints that fits are compared with, and the joint set of their regressor; none without a limit."""
        records, settings = self.records, self.settings
        if settings.fit_limit_mm is not None and records.joints_m is not None:
            chosen = HUMAN36
        elif settings.fit_limit_crop_px is not None and records.joints_px is not None:
            chosen = COCO
        else:
            return (), None
        derived = dict(chosen.derived)
        names = (name for name in records.schema.joints if name in chosen.names and name not in derived)
        return tuple(names), chosen

    def __len__(self) -> int:
        return len(self.records)

    @property
    def virtual(self) -> bool:
        """Whether the data set has poses without images, so that cameras are sampled."""
        records = self.records
        return all(value is None for value in (records.intrinsics, records.weak_camera, records.joints_px))

    def usable(self, input: Input, whole: bool = False) -> NDArray[np.int64]:
        """Rows of the records that have a ground truth and input 2D joints.

        Args:
            input: Source of the 2D joints.
            whole: Only records with every requested label: every joint that is evaluated and, where points were
                requested, the body.
        """
        records, joint_set = self.records, self.joint_set
        bodies: NDArray[np.bool_] = np.zeros(len(self), np.bool_)
        if self.poser is not None and records.body_valid is not None:
            bodies = np.asarray(records.body_valid)
        joints = bodies
        if self.has_joints and records.joints_valid is not None:
            needed = [*joint_set.evaluation_indices, joint_set.root_index] if whole else [joint_set.root_index]
            joints = np.asarray(records.joints_valid[:, needed].all(1))
            if self.fills_joints:
                joints = joints | self._without_labels()
        found = joints & bodies if whole and self.points is not None else joints | bodies
        if input == "detected":
            if records.detected_px is None:
                return np.zeros(0, np.int64)
            for start in range(0, len(self), _BLOCK):
                detected = (records.detected_px[start : start + _BLOCK, :, 2] > 0).sum(1)
                found[start : start + _BLOCK] &= detected >= LEAST_JOINTS
        return found.nonzero()[0]

    def samples(self, rows: NDArray[np.integer], generator: torch.Generator | None = None) -> PosedSamples:
        """Samples of some records, with posed bodies, on the device of this module.

        Args:
            rows: (B,) indices into the records.
            generator: Random numbers for the cameras of a data set that has none; on the device.
        """
        rows = np.asarray(rows)
        J = len(self.joint_set)
        cameras = None if self.virtual else self._cameras(rows)
        surface, regressed = self._zeros(len(rows), 0, 3), None
        surface_valid, placed = self._zeros(len(rows)).bool(), self._zeros(len(rows)).bool()
        if self.poser is not None:
            posed, surface_valid, placed = self._pose(self.poser, rows)
            if cameras is None:
                posed, cameras = self._sample_cameras(posed, generator)
            # In the order of the poser: vertices, joints, the joints that fits are compared with.
            surface, regressed = posed[:, : -self.poser.main.count], posed[:, -self.poser.main.count :]
            surface_valid = surface_valid & self._fits(rows, regressed[:, J:], cameras)
        assert cameras is not None  # only records with a body can be without a camera
        joints, valid, placed = self._joints(rows, regressed, surface_valid, placed)
        root = joints[:, self.joint_set.root_index]
        points = None if self.points is None else self._zeros(len(rows), len(self.points), 3)
        if regressed is not None and points is not None:
            relative = surface - regressed[:, self.joint_set.root_index, None]
            points = torch.where(surface_valid[:, None, None], relative, points)
        return PosedSamples(
            joints_cam=torch.where(valid[..., None], joints - root[:, None], 0.0),
            joints_valid=valid,
            points_cam=points,
            surface_valid=surface_valid,
            root_cam=torch.where(placed[:, None], root, torch.nan),
            cameras=cameras,
            true_px=self._true_px(rows, cameras.project(joints), valid & placed[:, None] & cameras.before(joints)),
            detected_px=self._detected_px(rows),
        )

    def posed(self, rows: NDArray[np.integer]) -> tuple[Tensor, Tensor, Tensor, CameraBatch | None]:
        """The requested points of the body parameters, whatever the quality of the fit.

        Returns:
            Points (B, R, 3) in the camera frame (world axes where there is no camera), metres; (B,) which have a body;
            (B,) whose position relative to the camera is known; the cameras, or None.
        """
        assert self.poser is not None
        points, valid, placed = self._pose(self.poser, rows)
        return points[:, : -self.poser.main.count], valid, placed, None if self.virtual else self._cameras(rows)

    def _zeros(self, *shape: int) -> Tensor:
        return self._place.new_zeros(*shape)

    def _column(self, name: str, rows: NDArray[np.integer]) -> Tensor | None:
        column = getattr(self.records, name)
        return None if column is None else torch.from_numpy(column[rows]).to(self._place.device)

    def _cameras(self, rows: NDArray[np.integer]) -> CameraBatch:
        size = torch.from_numpy(self.records.image_size[rows]).to(self._place.device).float()
        size = torch.where(size > 0, size, torch.inf)
        unknown = self._zeros(len(rows), 4) + torch.nan
        cameras = [self._column(name, rows) for name in ("intrinsics", "weak_camera")]
        intrinsics, weak = (unknown if camera is None else camera for camera in cameras)
        perspective = ~intrinsics.isnan().any(1)
        known = torch.where(perspective[:, None], intrinsics, weak)
        return CameraBatch(known[:, :2], known[:, 2:], perspective, size)

    def _pose(self, poser: GenderedPoints, rows: NDArray[np.integer]) -> tuple[Tensor, Tensor, Tensor]:
        """Points (B, N, 3) in camera axes (world axes without cameras); (B,) valid; (B,) with known position."""
        pose, shape, valid = (self._column(name, rows) for name in ("pose", "shape", "body_valid"))
        assert pose is not None
        assert shape is not None
        assert valid is not None
        if self.settings.shape_limit is not None:
            shape = shape * (shape.abs() <= self.settings.shape_limit).all(1, keepdim=True)
        gender = self._column("gender", rows)
        points = poser(pose, shape, torch.zeros_like(valid, dtype=torch.int8) if gender is None else gender)
        translation, weak = self._column("translation_m", rows), self._column("weak_camera", rows)
        placed = valid & self.virtual
        if weak is not None:
            placed |= valid & ~weak.isnan().any(1)
        if translation is not None and not self.virtual:
            placed |= valid & ~translation.isnan().any(1)
            points = points + translation.nan_to_num()[:, None]
        rotation, origin = self._column("rotation", rows), self._column("origin_m", rows)
        if rotation is not None and origin is not None:
            points = points @ rotation.nan_to_num().mT + origin.nan_to_num()[:, None]
        return points, valid, placed

    def _sample_cameras(self, points: Tensor, generator: torch.Generator | None) -> tuple[Tensor, CameraBatch]:
        """Sample a camera for each body: points in world axes, z up → points in the camera frame, and the cameras."""
        if generator is None:
            raise ValueError(f"{self.records.schema.name} has no cameras; a generator is needed to sample them")
        assert self.poser is not None
        joints = points[:, -self.poser.main.count :][:, : len(self.joint_set)]
        stature = (joints[..., 2].amax(1) - joints[..., 2].amin(1)).clamp_min(1.2)
        cameras = sample_cameras(len(points), stature, self.settings.cameras, generator)
        root = joints[:, self.joint_set.root_index, None]
        return cameras.to_camera(points - root) + cameras.position_cam[:, None], CameraBatch.of_cameras(cameras)

    def _fits(self, rows: NDArray[np.integer], fitted: Tensor, cameras: CameraBatch) -> Tensor:
        """(B,) whose body is within the limit of the labelled joints, by the same joints of it (B, N, 3)."""
        records, limits = self.records, self.settings
        if not self.fit_columns:
            return torch.ones(len(rows), dtype=torch.bool, device=fitted.device)
        if limits.fit_limit_mm is not None and records.joints_m is not None:
            error = fit_error_mm(records.joints_m[rows][:, self.fit_columns], fitted.cpu().numpy())
            return torch.from_numpy(error <= limits.fit_limit_mm).to(fitted.device)
        assert limits.fit_limit_crop_px is not None
        assert records.joints_px is not None
        labelled = records.joints_px[rows][:, self.fit_columns]
        error = fit_error_crop_px(labelled, cameras.project(fitted).cpu().numpy())
        return torch.from_numpy(error <= limits.fit_limit_crop_px).to(fitted.device)

    def _joints(
        self, rows: NDArray[np.integer], regressed: Tensor | None, surface_valid: Tensor, placed: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Joints (B, J, 3) in the camera frame, which are valid (B, J), and whose position is known (B,)."""
        J = len(self.joint_set)
        if not self.has_joints:
            assert regressed is not None
            return regressed[:, :J], surface_valid[:, None].expand(-1, J), placed
        joints, valid = self._column("joints_m", rows), self._column("joints_valid", rows)
        assert joints is not None
        assert valid is not None
        # Joints are relative to the root, so none is valid without it.
        valid = valid & valid[:, self.joint_set.root_index, None]
        labelled = valid.any(1)
        if not self.fills_joints or regressed is None:
            return joints, valid, labelled
        joints = torch.where(labelled[:, None, None], joints, regressed[:, :J])
        return joints, valid | (surface_valid & ~labelled)[:, None], labelled | placed

    def _true_px(self, rows: NDArray[np.integer], projected: Tensor, visible: Tensor) -> Tensor:
        """True 2D joints (B, J, 3): projected (B, J, 2) where `visible`, or labelled; `settings` decides which."""
        projected = torch.where(
            visible[..., None], torch.cat((projected, torch.ones_like(projected[..., :1])), dim=-1), 0.0
        )
        labelled = self._column("joints_px", rows) if self.same_joints else None
        if labelled is None:
            return projected
        first, second = projected, labelled
        if self.settings.true_px == "labelled":
            first, second = labelled, projected
        return torch.where(first[..., 2:] > 0, first, second)

    def _detected_px(self, rows: NDArray[np.integer]) -> Tensor | None:
        """Detected joints (B, J, 3) in the requested joint set; those not detected are derived or missing."""
        if self.records.detected_px is None:
            return None
        found = self.records.detected_px[rows]
        score = found[..., 2].clip(0, 1)
        joints_px, confidence = convert(found[..., :2], score, self.records.schema.detected, self.joint_set)
        whole = np.concatenate((joints_px, confidence[..., None]), axis=-1)
        return torch.from_numpy(whole).to(self._place.device)


def make_batch(
    samples: PosedSamples,
    input: Input,
    joint_set: JointSet,
    noise: NoiseConfig | None = None,
    generator: torch.Generator | None = None,
) -> Batch:
    """Make a batch of samples: input 2D joints, and the ground truth rotated to the viewing ray.

    Args:
        samples: From `PosedDataset.samples`.
        input: `gt` the true 2D joints; `noisy` those with synthesised errors; `detected` the data set's detections.
        joint_set: Joint set of the samples.
        noise, generator: For `noisy`.

    Raises:
        ValueError: `detected` of a data set without detections; `noisy` without noise and generator.
    """
    if input == "detected":
        if samples.detected_px is None:
            raise ValueError("the data set has no detections")
        joints_px, confidence = samples.detected_px[..., :2], samples.detected_px[..., 2]
    else:
        joints_px, confidence = samples.true_px[..., :2], samples.true_px[..., 2]
        if input == "noisy":
            if noise is None or generator is None:
                raise ValueError("noisy joints need noise and a generator")
            there = confidence > 0
            # A joint without a label is put at the centre, so that it does not change the size that errors scale with.
            middle = weighted_centre(joints_px, there.float())
            filled = torch.where(there[..., None], joints_px, middle[:, None])
            joints_px, confidence = add_detection_noise(filled, joint_set, noise, generator, samples.cameras.size_px)
            confidence = confidence * there
        # The projection of the middle of two joints in space is not the middle of their projections.
        joints_px, confidence = derive(joints_px, confidence, joint_set)
    joints_px = joints_px * (confidence > 0)[..., None]
    to_ray = rotation_to_ray(samples.cameras.ray(weighted_centre(joints_px, confidence)))
    return Batch(
        joints_px=joints_px,
        confidence=confidence,
        joints=samples.joints_cam @ to_ray.mT,
        points=None if samples.points_cam is None else samples.points_cam @ to_ray.mT,
        joints_valid=samples.joints_valid,
        surface_valid=samples.surface_valid,
        to_ray=to_ray,
    )
