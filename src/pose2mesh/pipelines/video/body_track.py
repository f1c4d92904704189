"""The bodies of one tracked person of a video: recovered frame by frame, smoothed, of one constant shape; on disk.

Where the model's mesh is the Anny body, that body is fitted to every frame's mesh with one shape for all frames: its
bone rotations go into animation files, and its surface is drawn and written. With other models people keep the
network's surface, scaled to one size.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pose2mesh.errors import InputError
from pose2mesh.geometry.camera import Intrinsics, nominal_intrinsics
from pose2mesh.inference.person import Camera, Person
from pose2mesh.inference.predictor import Predictor
from pose2mesh.io.atomic_write import replacing
from pose2mesh.motion.smoothing import steady_bodies
from pose2mesh.pipelines.video.array_file import ArrayFile
from pose2mesh.pipelines.video.track_store import Track
from pose2mesh.pipelines.video.track_windows import joined, windows

if TYPE_CHECKING:
    from pose2mesh.motion.body_motion import BodyMotion
    from pose2mesh.motion.person_fitting import Rig

BATCH = 32
_GRAVITY_FRAMES = 100
_SHAPE_FRAMES = 64  # number of frames, spread over the track, that the shape is fitted to
TURNS = 22 * 9


@dataclass(frozen=True)
class VideoConditions:
    """Camera and frame rate of a video, height of the people, and whether to filter over time.

    Attributes:
        fps: Frames per second.
        size: (width, height) of the frames.
        intrinsics: Intrinsics of the camera, where known.
        height_m: Standing height of the people, where known.
        smooth: Whether to filter over time; each person has one size and shape in either case.
        refine: Whether to move the bodies of each frame to their 2D joints before.
    """

    fps: float
    size: tuple[int, int]
    intrinsics: Intrinsics | None
    height_m: float | None
    smooth: bool
    refine: bool = False

    @property
    def nominal_or_known(self) -> Intrinsics:
        return self.intrinsics or nominal_intrinsics(self.size)

    @property
    def camera_kind(self) -> str:
        return "weak_perspective" if self.intrinsics is None else "perspective"


class BodyTrack:
    """The bodies of one person, stored in the folder of their track.

    Attributes:
        track: The detections of the person.
        predictor, conditions: The model, and its camera and height.
        bodies: (T, 1 + J + V, 3) metres, camera axes: position of the root joint, joints and vertices relative to it.
        poses: (T, 22 · 9 + 4) of the Anny body, in camera axes: orientations (22, 3, 3), position of the hips, and the
            residual in mm; empty for a model of another body.
    """

    def __init__(self, track: Track, predictor: Predictor, conditions: VideoConditions) -> None:
        self.track, self.predictor, self.conditions = track, predictor, conditions
        shape = (1 + len(predictor.joint_set) + len(predictor.template), 3)
        self._raw, self.bodies, self._steady = (
            ArrayFile(track.folder / f"{name}.rows", np.float32, shape) for name in ("raw", "bodies", "steady")
        )
        self.poses = ArrayFile(track.folder / "poses.rows", np.float32, (TURNS + 4,))
        self._windows = windows(len(track), *(predictor.window or (BATCH, 0)))
        self._shape_file = track.folder / "shape.json"

    @property
    def has_rig(self) -> bool:
        """Whether the Anny body was fitted."""
        return self._shape_file.exists()

    @cached_property
    def shape(self) -> dict[str, Any]:
        """The one shape of the Anny body, as `RigFit.shape_of` describes it."""
        return json.loads(self._shape_file.read_text())

    @property
    def phenotypes(self) -> NDArray[np.float32]:
        """(6,) parameters of the shape of the Anny body."""
        return np.array(list(self.shape["phenotypes"].values()), np.float32)

    @property
    def recovered(self) -> int:
        """Number of recovered frames; a frame in two windows counts twice."""
        return len(self.track) if len(self.bodies) == len(self.track) else len(self._raw)

    def finish(self, rig: Rig | None, step: Callable[[int], object]) -> None:
        """Recover the missing frames, smooth them and fit the body; resumes an interrupted run.

        Args:
            rig: The body to fit; None for no fit.
            step: Called with the number of further frames.
        """
        T = len(self.track)
        if len(self.bodies) == T:
            step(T)
            return
        self._recover_windows(step)
        # The next steps change the file in place, so it is renamed only when all are complete.
        self._steady.cut(0)
        for frames in joined(self._raw, self._windows):
            self._steady.append(frames)
        fps, joint_set = self.conditions.fps, self.predictor.joint_set
        seen = self.track.rows[:]["confidence"][:, joint_set.evaluation_indices].mean(1)
        steady_bodies(self._steady, fps, joint_set, filtered=self.conditions.smooth, confidence=seen)
        if rig is not None:
            self._fit(rig)
        os.replace(self._steady.path, self.bodies.path)
        self._raw.path.unlink()
        self.bodies = ArrayFile(self.bodies.path, self.bodies.dtype, self.bodies.shape)

    def _recover_windows(self, step: Callable[[int], object]) -> None:
        done = 0
        for number, window in enumerate(self._windows):
            rows = self.track.rows[window]
            done += len(rows)
            if len(self._raw) < done:
                self._raw.cut(done - len(rows))  # drops an incomplete window
                self.recover(rows)
            step(window.stop - (self._windows[number - 1].stop if number else 0))

    def recover(self, rows: NDArray[Any], image: NDArray[np.uint8] | None = None) -> None:
        """Recover the next frames of the track and append them.

        Args:
            rows: Rows of the track.
            image: (H, W, 3) RGB, the frame, for models that take images.
        """
        conditions = self.conditions
        people = self.predictor.recover_converted(
            rows["joints_px"],
            rows["confidence"],
            conditions.intrinsics,
            conditions.height_m,
            conditions.size,
            image,
            one_person=True,
            joints3d_m=rows["joints3d_m"],
        )
        if conditions.refine:
            from pose2mesh.inference.refinement import refine_people

            people = refine_people(self.predictor, people)
        bodies = [np.concatenate([each.camera.translation_m[None], each.joints, each.vertices]) for each in people]
        self._raw.append(np.stack(bodies))

    def _fit(self, rig: Rig) -> None:
        T, first = len(self.track), 1 + len(self.predictor.joint_set)
        present = self.track.present()
        count = min(len(present), _SHAPE_FRAMES)
        chosen = present[np.unique(np.linspace(0, len(present) - 1, count).round().astype(int))]
        fit = rig.fit(np.stack([self._steady[int(t)][first:] for t in chosen]), one_person=True)
        with replacing(self._shape_file) as partial:
            partial.write_text(json.dumps(fit.shape_of(0)))
        self.poses.cut(0)
        for start in range(0, T, BATCH):
            steady = self._steady[start : start + BATCH]
            poses, both = rig.pose(steady[:, first:], fit.phenotypes[0])
            root = both[:, self.predictor.joint_set.root_index, None]
            both = np.concatenate([steady[:, :1] + root, both - root], axis=1)
            for t, body in enumerate(both, start):
                self._steady[t] = body
            poses[:, TURNS : TURNS + 3] += steady[:, 0]
            self.poses.append(poses)

    def person(self, frame: int) -> Person:
        """The body in a frame of the video; the person must be in view there."""
        t = frame - self.track.first_frame
        row, body, first = self.track.rows[t], self.bodies[t], 1 + len(self.predictor.joint_set)
        root, confidence = body[0].astype(np.float64), row["confidence"]
        intrinsics = self.conditions.nominal_or_known
        camera = Camera(
            self.conditions.camera_kind,
            intrinsics,
            root,
            float(np.sqrt(intrinsics.fx * intrinsics.fy) / root[2]),
            intrinsics.project(root),
        )
        score = float(confidence[confidence > 0].mean())
        return Person(body[1:first], body[first:], row["joints_px"], confidence, camera, self.stature_m, score)

    def some_joints(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Joints (T, J, 3) in the camera frame, and confidences (T, J), of up to `_GRAVITY_FRAMES` frames spread over
        the track, of those in which the person was detected."""
        rows = self.track.rows[:]
        detected = np.flatnonzero(~(rows["bridged"] | rows["absent"]))
        chosen = detected[np.unique(np.linspace(0, len(detected) - 1, min(len(detected), _GRAVITY_FRAMES)).astype(int))]
        bodies = np.stack([self.bodies[int(t)][: 1 + len(self.predictor.joint_set)] for t in chosen])
        return bodies[:, 1:] + bodies[:, :1], rows["confidence"][chosen]

    @cached_property
    def stature_m(self) -> float:
        """The standing height of a body of one size; NaN for a model that does not define it."""
        if self.conditions.height_m is not None:
            return self.conditions.height_m
        return self.predictor.stature(self.bodies[0][1 : 1 + len(self.predictor.joint_set)])

    @property
    def residual_mm(self) -> float:
        """Mean distance of the Anny body from the meshes it was fitted to, over all frames."""
        parts = [self.poses[start : start + BATCH][:, -1].sum() for start in range(0, len(self.poses), BATCH)]
        return float(sum(parts) / len(self.poses))

    def is_bridged(self, frame: int) -> bool:
        return bool(self.track.rows[frame - self.track.first_frame]["bridged"])

    def is_present(self, frame: int) -> bool:
        """Whether the person is shown in a frame of the video."""
        t = frame - self.track.first_frame
        return 0 <= t < len(self.track) and not self.track.rows[t]["absent"]

    def motion(self) -> BodyMotion:
        """The bone rotations, for animation files.

        Raises:
            InputError: the model's body is not Anny.
        """
        if not self.has_rig:
            raise InputError(f"model {self.predictor.info.name!r} has another body than Anny, which glb and bvh need")
        from pose2mesh.motion.body_motion import BodyMotion

        poses = self.poses[:]
        return BodyMotion(
            f"person_{self.track.number}",
            self.phenotypes,
            poses[:, :TURNS].reshape(-1, 22, 3, 3),
            poses[:, TURNS : TURNS + 3],
            self.conditions.fps,
            self.track.first_frame,
            tuple(self.track.stretches("absent")),
        )
