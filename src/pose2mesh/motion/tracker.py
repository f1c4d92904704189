"""Tracks people over the frames of a video from 2D joints alone.

Each track predicts its next pose with constant velocity. Predictions and detections are matched so that the sum of
their similarities, the mean of keypoint similarity (OKS) and box overlap (IoU), is maximal (Kuhn 1955). A track is
confirmed after several detections in a row and ends after many frames without one; short gaps are interpolated
("bridged").

The tracker works on a stream: its memory depends on the number of people in view, not on the length of the video.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pose2mesh.errors import InputError
from pose2mesh.skeletons import JointSet

Floats: TypeAlias = NDArray[np.floating]

# Gain of the velocity's update; with 1 the velocity would be the last step.
_VELOCITY_GAIN = 0.4
# Area of a person / area of the box, as COCO's tools assume where there is no segmentation.
_FILLED = 0.53


@dataclass(frozen=True)
class TrackerConfig:
    """Thresholds of tracks, in frames at about 30 frames per second.

    Attributes:
        min_hits: Detections in a row before a track is confirmed.
        max_gap: A track ends after more frames than this without a detection.
        max_bridge: Gaps of up to this many frames are interpolated; longer ones stay open.
        least_similarity: A prediction and a detection less similar than this are never matched.
    """

    min_hits: int = 3
    max_gap: int = 30
    max_bridge: int = 15
    least_similarity: float = 0.15

    def __post_init__(self) -> None:
        for name, low in (("min_hits", 1), ("max_gap", 0), ("max_bridge", 0)):
            if getattr(self, name) < low:
                raise InputError(f"tracker: {name} is {getattr(self, name)}, expected at least {low}")
        if not 0 < self.least_similarity < 1:
            raise InputError(f"tracker: least_similarity is {self.least_similarity}, expected between 0 and 1")


@dataclass(frozen=True)
class TrackFrame:
    """One person in one frame.

    Attributes:
        track: The track's number, from 0 in the order of appearance; never reused.
        frame: The frame's index, from 0.
        joints_px: (J, 2) as detected, or interpolated; 0 where missing.
        confidence: (J,) 0 where missing.
        detection: The index of the frame's detection; None for an interpolated frame.
    """

    track: int
    frame: int
    joints_px: NDArray[np.float32]
    confidence: NDArray[np.float32]
    detection: int | None

    @property
    def bridged(self) -> bool:
        """Whether the frame was interpolated."""
        return self.detection is None


@dataclass
class _Track:
    last: TrackFrame
    velocity: Floats  # (2,) pixels a frame
    hits: int = 1
    waiting: list[TrackFrame] = field(default_factory=list)  # frames withheld until the track is confirmed


class Tracker:
    """Assigns the detections of successive frames to tracks.

    Args:
        joint_set: Joint set of the detections.
        config: Thresholds of tracks.
    """

    def __init__(self, joint_set: JointSet, config: TrackerConfig | None = None) -> None:
        self.joint_set, self.config = joint_set, config or TrackerConfig()
        self._tracks: list[_Track] = []
        self._frame = -1
        self._next_number = 0

    def update(self, joints_px: Floats, confidence: Floats) -> list[TrackFrame]:
        """Process the next frame's detections.

        Args:
            joints_px: (D, J, 2) of D detections, possibly none.
            confidence: (D, J), 0 for a missing joint.

        Returns:
            The new frames of confirmed tracks, each track's in order: this frame for tracks confirmed before, all
            frames since the first for tracks confirmed now, and the interpolated frames before it for tracks detected
            again.

        Raises:
            InputError: shapes that do not fit, or coordinates that are not finite.
        """
        joints_px, confidence = self._checked(joints_px, confidence)
        self._frame += 1
        new: list[TrackFrame] = []
        matched = set()
        for track, index in self._match(joints_px, confidence):
            matched.add(index)
            new += self._continue(track, joints_px[index], confidence[index], index)
        self._tracks = [track for track in self._tracks if self._is_alive(track)]
        for index in range(len(joints_px)):
            if index not in matched and (confidence[index] > 0).any():
                new += self._start(joints_px[index], confidence[index], index)
        return new

    def _checked(self, joints_px: Floats, confidence: Floats) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        joints_px, confidence = np.asarray(joints_px, np.float32), np.asarray(confidence, np.float32)
        J, D = len(self.joint_set), len(joints_px)
        if D == 0:
            return np.zeros((0, J, 2), np.float32), np.zeros((0, J), np.float32)
        if joints_px.shape != (D, J, 2) or confidence.shape != (D, J):
            found = f"{joints_px.shape} and confidences {confidence.shape}"
            raise InputError(f"frame {self._frame + 1}: joints have shape {found}, expected (D, {J}, 2) and (D, {J})")
        if not (np.isfinite(joints_px).all() and np.isfinite(confidence).all()):
            raise InputError(f"frame {self._frame + 1}: a joint or a confidence is not finite")
        return joints_px, confidence

    def _match(self, joints_px: Floats, confidence: Floats) -> list[tuple[_Track, int]]:
        """Pairs of a track and its detection."""
        if not self._tracks or not len(joints_px):
            return []
        from scipy.optimize import linear_sum_assignment

        similarity = self._similarity(joints_px, confidence)
        # Pairs below the threshold count as 0, so that they never displace a pair above it.
        similarity[similarity < self.config.least_similarity] = 0
        pairs = zip(*linear_sum_assignment(similarity, maximize=True), strict=True)
        return [(self._tracks[row], int(column)) for row, column in pairs if similarity[row, column] > 0]

    def _similarity(self, joints_px: Floats, confidence: Floats) -> Floats:
        """Similarity (tracks, D) of each track's predicted pose with each detection, 0 to 1."""
        predicted = np.stack([self._predicted(track) for track in self._tracks])
        last_confidence = np.stack([track.last.confidence for track in self._tracks])
        sigmas = 2 * np.array(self.joint_set.oks_sigmas)
        track_boxes = np.stack([_box(*person) for person in zip(predicted, last_confidence, strict=True)])
        boxes = np.stack([_box(*person) for person in zip(joints_px, confidence, strict=True)])
        area = _FILLED * (_area(track_boxes)[:, None] + _area(boxes)) / 2
        both = (last_confidence[:, None] > 0) & (confidence > 0)
        squared = ((predicted[:, None] - joints_px) ** 2).sum(-1)
        keypoints = np.exp(-squared / (2 * np.maximum(area, 1)[..., None] * sigmas**2)) * both
        oks = keypoints.sum(-1) / np.maximum(both.sum(-1), 1)
        return (oks + _overlap(track_boxes[:, None], boxes)) / 2

    def _predicted(self, track: _Track) -> Floats:
        return track.last.joints_px + (self._frame - track.last.frame) * track.velocity

    def _continue(self, track: _Track, joints_px: Floats, confidence: Floats, index: int) -> list[TrackFrame]:
        previous = track.last
        steps = self._frame - previous.frame
        now = TrackFrame(previous.track, self._frame, joints_px, confidence, index)
        both = (previous.confidence > 0) & (confidence > 0)
        if both.any():
            # The median over the joints: limbs swing, and a joint may be detected on another person.
            step = np.median(joints_px[both] - previous.joints_px[both], axis=0) / steps
            track.velocity += (1 if track.hits == 1 else _VELOCITY_GAIN) * (step - track.velocity)
        track.last = now
        track.hits += 1
        if previous.track < 0:
            track.waiting.append(now)
            return self._confirm(track)
        return [*(_interpolate(previous, now) if steps - 1 <= self.config.max_bridge else []), now]

    def _start(self, joints_px: Floats, confidence: Floats, index: int) -> list[TrackFrame]:
        first = TrackFrame(-1, self._frame, joints_px, confidence, index)
        track = _Track(first, np.zeros(2, np.float32), waiting=[first])
        self._tracks.append(track)
        return self._confirm(track)

    def _confirm(self, track: _Track) -> list[TrackFrame]:
        """Number the track once it has enough detections, and return all its frames so far; none before that."""
        if track.hits < self.config.min_hits:
            return []
        frames = [
            TrackFrame(self._next_number, each.frame, each.joints_px, each.confidence, each.detection)
            for each in track.waiting
        ]
        track.waiting, track.last = [], frames[-1]
        self._next_number += 1
        return frames

    def _is_alive(self, track: _Track) -> bool:
        missed = self._frame - track.last.frame
        return missed <= (self.config.max_gap if track.last.track >= 0 else 0)


def _interpolate(before: TrackFrame, after: TrackFrame) -> list[TrackFrame]:
    """The frames of a gap: joints interpolated linearly, missing if missing on either side; the lower confidence."""
    confidence = np.minimum(before.confidence, after.confidence)
    frames = []
    for frame in range(before.frame + 1, after.frame):
        share = (frame - before.frame) / (after.frame - before.frame)
        joints_px = before.joints_px + np.float32(share) * (after.joints_px - before.joints_px)
        joints_px = np.where(confidence[:, None] > 0, joints_px, 0).astype(np.float32)
        frames.append(TrackFrame(before.track, frame, joints_px, confidence, None))
    return frames


def _box(joints_px: Floats, confidence: Floats) -> Floats:
    """Box (4,) of the detected joints, no side below a quarter of the other; zeros without joints."""
    detected = joints_px[confidence > 0]
    if not len(detected):
        return np.zeros(4, joints_px.dtype)
    low, high = detected.min(0), detected.max(0)
    margin = np.maximum(0.125 * (high - low).max() - (high - low) / 2, 0)
    return np.concatenate([low - margin, high + margin])


def _area(boxes: Floats) -> Floats:
    return np.prod(boxes[..., 2:] - boxes[..., :2], axis=-1)


def _overlap(a: Floats, b: Floats) -> Floats:
    """Intersection over union of boxes (…, 4)."""
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = np.prod(np.maximum(sides, 0), axis=-1)
    return shared / np.maximum(_area(a) + _area(b) - shared, 1e-9)
