"""Samples of a data set with posed bodies: from `Records` and a body model to `PosedSamples`, and to a `Batch`.

A `PosedDataset` holds the memory-mapped columns and the body model. `samples` poses the bodies of some rows at once, on
the device of the network; `make_batch` makes the common `Batch` of them, with true, noisy or detected 2D joints.
Training takes rows in random order (`datasets/mixed_sampler.py`), an evaluation in file order; both by the same calls:

    data = PosedDataset(records, body, joint_set, points=torch.arange(len(body.template)))
    people = data.samples(rows)                                # truth in the camera's axes, relative to the root joint
    batch = look(people, "detected", joint_set)               # what the network sees, truth turned to the ray it sees
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
LEAST_JOINTS = 5  # fewer detected ones do not make a person
_BLOCK = 65_536


@dataclass(frozen=True)
class LabelSettings:
    """What of a data set's labels is believed.

    Attributes:
        true_px: Where true 2D joints come from: `projected` from the 3D ones, or as `labelled` in the picture (COCO's
            keypoints, some missing). Whoever lacks the one gets the other.
        fit_limit_mm: Fitted bodies whose joints are on average further than this from the labelled 3D ones are no
            truth; None for no limit.
        fit_limit_crop_px: The same for labelled 2D joints, in pixels of a crop of 64 × 64.
        shape_limit: Bodies with a shape coefficient beyond it get the mean shape; None for no limit.
        cameras: For data sets without cameras.
    """

    true_px: Literal["projected", "labelled"] = "projected"
    fit_limit_mm: float | None = None
    fit_limit_crop_px: float | None = None
    shape_limit: float | None = None
    cameras: CameraConfig = field(default_factory=CameraConfig)


@dataclass(frozen=True)
class PosedSamples:
    """Some people of a data set with their truth; what a `Batch` is made from, and what an evaluation needs beyond it.

    Metres; camera frame x right, y down, z forward. What has no label is 0 and marked.

    Attributes:
        joints_cam: (B, J, 3) true joints of the joint set asked for, relative to the root joint.
        joints_valid: (B, J) which of them are labelled.
        points_cam: (B, R, 3) true points of the surface, relative to the root joint regressed from it; None where they
            were not asked for.
        surface_valid: (B,) who has a true surface.
        root_cam: (B, 3) the root joint in the camera's frame; NaN where the data set does not tell.
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
    """The people of a data set, in one joint set and on one body. Moves to a device as any module does.

    Joints are the data set's own where it labels just this joint set, else regressed from the posed bodies. Without
    points, and with everyone's joints its own, nobody is posed at all. With points but without any body, surfaces are
    masked.

    Args:
        records: Memory-mapped columns; `data/sets/` has the readers.
        body: The model that `records.schema.body` names; None where nobody has to be posed.
        joint_set: The joints asked for.
        points: (R,) vertex indices of the surface asked for, or None for joints alone.
        settings: What is believed of the labels.

    Raises:
        InputError: the joints are neither labelled nor to be had from the body.
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
        self.register_buffer("_place", torch.zeros(0), persistent=False)  # tells the device

    def _without_labels(self) -> NDArray[np.bool_]:
        """(N,) who has a body and no labelled joints of the joint set: theirs are regressed from the body."""
        records = self.records
        bodies = np.zeros(len(self), np.bool_) if records.body_valid is None else np.asarray(records.body_valid)
        if not self.has_joints or records.joints_valid is None:
            return bodies
        return np.asarray(bodies & ~records.joints_valid[:, self.joint_set.root_index])

    def _fit_joints(self) -> tuple[tuple[str, ...], JointSet | None]:
        """Which labelled joints fits are judged by, and whose regressor gives them; none without a limit."""
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
        """Whether the data set is of poses alone, which nobody photographed, so that cameras are drawn."""
        records = self.records
        return all(value is None for value in (records.intrinsics, records.weak_camera, records.joints_px))

    def usable(self, input: Input, whole: bool = False) -> NDArray[np.int64]:
        """Rows of people with a truth and with 2D joints to see them by.

        Args:
            input: Where the 2D joints come from.
            whole: Only people of whom nothing that was asked for is missing: every joint that is evaluated and, where
                points were asked for, the body.
        """
        records, joint_set = self.records, self.joint_set
        bodies: NDArray[np.bool_] = np.zeros(len(self), np.bool_)
        if self.poser is not None and records.body_valid is not None:
            bodies = np.asarray(records.body_valid)
        joints = bodies
        if self.has_joints and records.joints_valid is not None:
            asked = [*joint_set.evaluation_indices, joint_set.root_index] if whole else [joint_set.root_index]
            joints = np.asarray(records.joints_valid[:, asked].all(1))
            if self.fills_joints:
                joints = joints | self._without_labels()
        found = joints & bodies if whole and self.points is not None else joints | bodies
        if input == "detected":
            if records.detected_px is None:
                return np.zeros(0, np.int64)
            for start in range(0, len(self), _BLOCK):
                seen = (records.detected_px[start : start + _BLOCK, :, 2] > 0).sum(1)
                found[start : start + _BLOCK] &= seen >= LEAST_JOINTS
        return found.nonzero()[0]

    def samples(self, rows: NDArray[np.integer], generator: torch.Generator | None = None) -> PosedSamples:
        """Pose people and look up their labels, on the device of this module.

        Args:
            rows: (B,) indices into the records.
            generator: Draws the cameras of a data set that has none; on the device.
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
            # In the order of the poser: vertices, joints, the joints that fits are judged by.
            surface, regressed = posed[:, : -self.poser.main.count], posed[:, -self.poser.main.count :]
            surface_valid = surface_valid & self._fits(rows, regressed[:, J:], cameras)
        assert cameras is not None  # only bodies can be without a camera
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
        """The points asked for as the data set has them, fitted well or badly.

        Returns:
            Points (B, R, 3) from the camera, in its axes (the world's where there is none), metres; (B,) who has a
            body; (B,) whose place before the camera is known; the cameras, or None.
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
        """Points (B, N, 3) in the camera's axes (the world's where it is drawn); who has them; who is placed."""
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
        """Points in the world's axes, z up → in those of a camera drawn for each of them."""
        if generator is None:
            raise ValueError(f"{self.records.schema.name} has no cameras: to draw them takes a generator")
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
        """Joints (B, J, 3) from the camera, which are valid (B, J), and whose place is known (B,)."""
        J = len(self.joint_set)
        if not self.has_joints:
            assert regressed is not None
            return regressed[:, :J], surface_valid[:, None].expand(-1, J), placed
        joints, valid = self._column("joints_m", rows), self._column("joints_valid", rows)
        assert joints is not None
        assert valid is not None
        valid = valid & valid[:, self.joint_set.root_index, None]  # without the root, nothing is relative to it
        labelled = valid.any(1)
        if not self.fills_joints or regressed is None:
            return joints, valid, labelled
        joints = torch.where(labelled[:, None, None], joints, regressed[:, :J])
        return joints, valid | (surface_valid & ~labelled)[:, None], labelled | placed

    def _true_px(self, rows: NDArray[np.integer], projected: Tensor, seen: Tensor) -> Tensor:
        """(B, J, 3): projected joints (B, J, 2) where `seen`, and labelled ones, one before the other."""
        projected = torch.where(
            seen[..., None], torch.cat((projected, torch.ones_like(projected[..., :1])), dim=-1), 0.0
        )
        labelled = self._column("joints_px", rows) if self.same_joints else None
        if labelled is None:
            return projected
        first, second = projected, labelled
        if self.settings.true_px == "labelled":
            first, second = labelled, projected
        return torch.where(first[..., 2:] > 0, first, second)

    def _detected_px(self, rows: NDArray[np.integer]) -> Tensor | None:
        """(B, J, 3) in the joint set asked for; what the detector lacks is derived or missing."""
        if self.records.detected_px is None:
            return None
        found = self.records.detected_px[rows]
        score = found[..., 2].clip(0, 1)
        joints_px, confidence = convert(found[..., :2], score, self.records.schema.detected, self.joint_set)
        whole = np.concatenate((joints_px, confidence[..., None]), axis=-1)
        return torch.from_numpy(whole).to(self._place.device)


def make_batch(
    people: PosedSamples,
    input: Input,
    joint_set: JointSet,
    noise: NoiseConfig | None = None,
    generator: torch.Generator | None = None,
) -> Batch:
    """What the network sees of people, and their truth turned to the ray that it sees them along.

    Args:
        people: Of `PosedDataset.samples`.
        input: `gt` the true 2D joints; `noisy` those with synthesised errors; `detected` the data set's detections.
        joint_set: Theirs.
        noise, generator: For `noisy`.

    Raises:
        ValueError: `detected` of a data set without detections; `noisy` without noise and generator.
    """
    if input == "detected":
        if people.detected_px is None:
            raise ValueError("the data set has no detections")
        joints_px, confidence = people.detected_px[..., :2], people.detected_px[..., 2]
    else:
        joints_px, confidence = people.true_px[..., :2], people.true_px[..., 2]
        if input == "noisy":
            if noise is None or generator is None:
                raise ValueError("noisy joints need noise and a generator")
            there = confidence > 0
            # A joint without a label stands in the middle: it must not stretch the person that errors are scaled by.
            middle = weighted_centre(joints_px, there.float())
            filled = torch.where(there[..., None], joints_px, middle[:, None])
            joints_px, confidence = add_detection_noise(filled, joint_set, noise, generator, people.cameras.size_px)
            confidence = confidence * there
        # The middle of two joints in a picture is not where the middle in space is seen.
        joints_px, confidence = derive(joints_px, confidence, joint_set)
    joints_px = joints_px * (confidence > 0)[..., None]
    to_ray = rotation_to_ray(people.cameras.ray(weighted_centre(joints_px, confidence)))
    return Batch(
        joints_px=joints_px,
        confidence=confidence,
        joints=people.joints_cam @ to_ray.mT,
        points=None if people.points_cam is None else people.points_cam @ to_ray.mT,
        joints_valid=people.joints_valid,
        surface_valid=people.surface_valid,
        to_ray=to_ray,
    )
