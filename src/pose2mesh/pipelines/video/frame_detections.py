"""2D detections of each frame of a video: from a detector, or from keypoint files of another program."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose2mesh.detectors.detection import Detector
from pose2mesh.detectors.image_keypoints import pose_input
from pose2mesh.inference.joint_input import usable_people
from pose2mesh.io.atomic_write import replacing
from pose2mesh.io.keypoints import PoseInput
from pose2mesh.motion.person_colours import describe_people
from pose2mesh.pipelines.video.detection_store import DetectionStore, person_dtype
from pose2mesh.pipelines.video.frame_reader import Video
from pose2mesh.pipelines.video.keypoint_frames import KeypointFrames
from pose2mesh.pipelines.video.tracking_detector import TrackingDetector
from pose2mesh.skeletons import COCO17, JointSet


class FrameDetections:
    """The 2D detections of every frame. Requires a video and a detector, or keypoints and a rate.

    Args:
        joint_set: Joint set of the model, in which joints are yielded.
        video: The frames.
        detector: Detects people where no keypoints are given.
        keypoints: Keypoints of the frames; they take precedence over the detector.
        rate: Frames per second, where there is no video.

    Attributes:
        fault: After the last frame: the reason for fewer frames than expected, or None.
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
        """Frames per second; see `Video.rate`."""
        rate = self._rate if self.video is None else self.video.rate
        assert rate is not None
        return rate

    def frames(self, start: int = 0, before: NDArray[Any] | None = None) -> Iterator[NDArray[Any]]:
        """The people of each frame from `start` on, rows (D,) of `detection_store.person_dtype`.

        Args:
            start: The number of the first frame.
            before: The people of the preceding frame, if there is one.

        Raises:
            InputError: the keypoints cannot be read.
        """
        if self.keypoints is None:
            assert self.video is not None
            assert self.detector is not None
            detect = TrackingDetector(self.detector, float(self.video.rate), self.joint_set.names)
            previous = self._rows([], None) if before is None else before
            for frame, image in enumerate(self.video.frames(start), start):
                people = detect(image, frame, previous["joints_px"], previous["confidence"])
                previous = self._rows([pose_input(person, index) for index, person in enumerate(people)], image)
                yield previous
            self.fault = self.video.fault
        else:
            for given, shown in self._given(self.keypoints, start):
                yield self._rows(given, shown)

    def _rows(self, people: list[PoseInput], image: NDArray[np.uint8] | None) -> NDArray[Any]:
        """The people whose joints suffice for a prediction, with their colours in the image of the frame."""
        found = usable_people(people, self.joint_set)
        rows = np.zeros(len(found.kept), person_dtype(self.joint_set))
        rows["joints_px"], rows["confidence"] = found.joints_px, found.confidence
        rows["joints3d_m"] = found.joints3d_m
        chosen = [people[index] for index in found.kept]
        means = [float(person.confidence[person.confidence > 0].mean()) for person in chosen]
        rows["score"] = [mean if one.score is None else one.score for one, mean in zip(chosen, means, strict=True)]
        if image is not None and chosen:
            coco = slice(len(COCO17))
            # Of all people, since those without enough joints hide others, too.
            colours = describe_people(
                image,
                np.stack([person.joints_px[coco] for person in people]),
                np.stack([person.confidence[coco] for person in people]),
            )
            rows["colours"] = colours[found.kept]
        return rows

    def _given(
        self, keypoints: KeypointFrames, start: int
    ) -> Iterator[tuple[list[PoseInput], NDArray[np.uint8] | None]]:
        """Keypoints for as many frames as the video has, if there is one, and its frames."""
        given = keypoints.frames(start)
        if self.video is None:
            for people in given:
                yield people, None
            return
        for image in self.video.frames(start):
            yield next(given, []), image
        self.fault = self.video.fault
        left = sum(1 for _ in given)
        if left and self.fault is None:
            self.fault = f"ends {left} frames before the keypoints in {keypoints.path}"


def store_detections(
    frame_detections: FrameDetections, detections: DetectionStore, facts_file: Path, step: Callable[[int], object]
) -> tuple[Fraction, str | None]:
    """Detect people in all frames that are not yet in the store.

    Args:
        frame_detections: Yields the detections.
        detections: The store.
        facts_file: Stores the frame rate and the fault of the video; it exists once all frames are stored.
        step: Called with the number of further frames.

    Returns:
        Frames per second, and the reason for fewer frames than expected, or None.
    """
    step(len(detections))
    if not facts_file.exists():
        done = len(detections)
        for people in frame_detections.frames(done, detections[done - 1] if done else None):
            detections.append(people)
            step(1)
        with replacing(facts_file) as partial:
            partial.write_text(json.dumps({"rate": str(frame_detections.rate), "fault": frame_detections.fault}))
    facts = json.loads(facts_file.read_text())
    return Fraction(facts["rate"]), facts["fault"]
