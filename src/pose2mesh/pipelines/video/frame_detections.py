"""Who is seen in each frame: by a detector, or by the detector of others, whose keypoints are in files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pose2mesh.detectors.detection import Detector
from pose2mesh.detectors.image_keypoints import pose_input
from pose2mesh.inference.predictor import usable_people
from pose2mesh.io.atomic_write import replacing
from pose2mesh.io.keypoints import PoseInput
from pose2mesh.pipelines.video.detection_store import DetectionStore
from pose2mesh.pipelines.video.frame_reader import Video
from pose2mesh.pipelines.video.keypoint_frames import KeypointFrames
from pose2mesh.pipelines.video.tracking_detector import TrackingDetector
from pose2mesh.skeletons import JointSet

Joints: TypeAlias = tuple[NDArray[np.float32], NDArray[np.float32]]


class FrameDetections:
    """The people of every frame. At least a video and a detector, or keypoints and a rate, are needed.

    Args:
        joint_set: The model's, of what is given.
        video: The frames.
        detector: Looks for people where there are no keypoints.
        keypoints: Take precedence.
        rate: Frames a second, where there is no video.

    Attributes:
        fault: After the last frame: why there are fewer than expected, or None.
    """

    def __init__(
        self,
        joint_set: JointSet,
        video: Video | None,
        detector: Detector | None,
        keypoints: KeypointFrames | None,
        rate: Fraction | None,
    ) -> None:
        self.joint_set, self.video, self.detector, self.keypoints = joint_set, video, detector, keypoints
        self._rate = rate
        self.fault: str | None = None

    @property
    def rate(self) -> Fraction:
        """Frames a second, as far as it is known; see `Video.rate`."""
        rate = self._rate if self.video is None else self.video.rate
        assert rate is not None
        return rate

    def frames(self, start: int = 0, before: Joints | None = None) -> Iterator[Joints]:
        """Joints (D, J, 2) in pixels and confidences (D, J) of each frame from `start` on.

        Args:
            start: The number of the first frame.
            before: What this gave for the frame before it, if there is one.

        Raises:
            InputError: the keypoints cannot be read.
        """
        if self.keypoints is None:
            assert self.video is not None
            assert self.detector is not None
            follow = TrackingDetector(self.detector, float(self.video.rate))
            seen = before or self._usable([])
            for frame, picture in enumerate(self.video.frames(start), start):
                people = follow(picture, frame, *seen)
                seen = self._usable([pose_input(person, index) for index, person in enumerate(people)])
                yield seen
            self.fault = self.video.fault
        else:
            for given in self._given(self.keypoints, start):
                yield self._usable(given)

    def _usable(self, people: list[PoseInput]) -> Joints:
        return usable_people(people, self.joint_set)[1:3]

    def _given(self, keypoints: KeypointFrames, start: int) -> Iterator[list[PoseInput]]:
        """Keypoints of as many frames as the video has, if there is one."""
        given = keypoints.frames(start)
        if self.video is None:
            yield from given
            return
        for _ in self.video.frames(start):
            yield next(given, [])
        self.fault = self.video.fault
        left = sum(1 for _ in given)
        if left and self.fault is None:
            self.fault = f"ends {left} frames before the keypoints in {keypoints.path}"


def keep_sightings(
    sightings: FrameDetections, detections: DetectionStore, facts_file: Path, step: Callable[[int], object]
) -> tuple[Fraction, str | None]:
    """Look at all frames that were not looked at yet.

    Args:
        sightings: What there is to see.
        detections: Where it is kept.
        facts_file: Where it is kept how fast the frames follow each other, and whether some were missing; it is there
            when all frames are.
        step: Hears how many frames more were seen.

    Returns:
        Frames a second, and why there are fewer than expected, or None.
    """
    step(len(detections))
    if not facts_file.exists():
        done = len(detections)
        for joints_px, confidence in sightings.frames(done, detections[done - 1] if done else None):
            detections.append(joints_px, confidence)
            step(1)
        with replacing(facts_file) as partial:
            partial.write_text(json.dumps({"rate": str(sightings.rate), "fault": sightings.fault}))
    facts = json.loads(facts_file.read_text())
    return Fraction(facts["rate"]), facts["fault"]
