"""Who is seen in each frame: by a detector, or by the detector of others, whose keypoints are in files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pose2mesh.data.keypoints import PoseInput
from pose2mesh.detect.detector import Detector
from pose2mesh.detect.photos import pose_input
from pose2mesh.files import replacing
from pose2mesh.predict import usable_people
from pose2mesh.skeletons import JointSet
from pose2mesh.video.detections import Detections
from pose2mesh.video.frames import Video
from pose2mesh.video.keypoint_frames import KeypointFrames

Joints: TypeAlias = tuple[NDArray[np.float32], NDArray[np.float32]]


class Sightings:
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

    def frames(self, start: int = 0) -> Iterator[Joints]:
        """Joints (D, J, 2) in pixels and confidences (D, J) of each frame from `start` on.

        Raises:
            InputError: the keypoints cannot be read.
        """
        for people in self._people(start):
            _, joints_px, confidence, _ = usable_people(people, self.joint_set)
            yield joints_px, confidence

    def _people(self, start: int) -> Iterator[list[PoseInput]]:
        if self.video is None:
            assert self.keypoints is not None
            yield from self.keypoints.frames(start)
        elif self.keypoints is None:
            assert self.detector is not None
            for picture in self.video.frames(start):
                yield [pose_input(person, index) for index, person in enumerate(self.detector(picture))]
            self.fault = self.video.fault
        else:
            keypoints = self.keypoints.frames(start)
            for _ in self.video.frames(start):
                yield next(keypoints, [])
            self.fault = self.video.fault
            left = sum(1 for _ in keypoints)
            if left and self.fault is None:
                self.fault = f"ends {left} frames before the keypoints in {self.keypoints.path}"


def keep_sightings(
    sightings: Sightings, detections: Detections, facts_file: Path, step: Callable[[int], object]
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
        for joints_px, confidence in sightings.frames(len(detections)):
            detections.append(joints_px, confidence)
            step(1)
        with replacing(facts_file) as partial:
            partial.write_text(json.dumps({"rate": str(sightings.rate), "fault": sightings.fault}))
    facts = json.loads(facts_file.read_text())
    return Fraction(facts["rate"]), facts["fault"]
