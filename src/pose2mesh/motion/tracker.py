"""Who is who over the frames of a video, from 2D joints alone.

Each person is expected to go on at constant velocity; expectations and detections are matched so that the sum of their
similarities, the mean of keypoint similarity (OKS) and overlap of boxes (IoU), is the largest (Kuhn 1955). A track is
born after so many detections in a row and dies after so many frames without one; what lies between is bridged.

A stream: memory depends on the people in view, not on the length of the video.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pose2mesh.errors import InputError
from pose2mesh.skeletons import JointSet

Floats: TypeAlias = NDArray[np.floating]

# How fast the velocity follows what is seen; 1 would take the last step for it.
_VELOCITY_GAIN = 0.4
# A box's area that a person fills, as COCO's tools guess it where there is no outline.
_FILLED = 0.53


@dataclass(frozen=True)
class TrackerConfig:
    """When tracks begin, end and hold together; in frames, for about 30 a second.

    Attributes:
        min_hits: Detections in a row before a person counts as one.
        max_gap: A track is given up after more frames than this without a detection.
        max_bridge: Gaps of up to so many frames are filled by interpolation; longer ones stay open.
        least_similarity: Less alike than this, an expectation and a detection are never the same person.
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
        track: The person's number, from 0 in the order of appearance; never used again.
        frame: The frame's number, from 0.
        joints_px: (J, 2) as detected, or interpolated; 0 where missing.
        confidence: (J,) 0 where missing.
        detection: Which of the frame's detections this is; None where the gap was bridged.
    """

    track: int
    frame: int
    joints_px: NDArray[np.float32]
    confidence: NDArray[np.float32]
    detection: int | None

    @property
    def bridged(self) -> bool:
        return self.detection is None


@dataclass
class _Track:
    last: TrackFrame
    velocity: Floats  # (2,) pixels a frame
    hits: int = 1
    waiting: list[TrackFrame] = field(default_factory=list)  # until the track is born


class Tracker:
    """Frame in, tracks out.

    Args:
        joint_set: Of the joints.
        config: When tracks begin and end.
    """

    def __init__(self, joint_set: JointSet, config: TrackerConfig | None = None) -> None:
        self.joint_set, self.config = joint_set, config or TrackerConfig()
        self._tracks: list[_Track] = []
        self._frame = -1
        self._born = 0

    def update(self, joints_px: Floats, confidence: Floats) -> list[TrackFrame]:
        """The next frame's people.

        Args:
            joints_px: (D, J, 2) of D detections, which may be none.
            confidence: (D, J), 0 for a missing joint.

        Returns:
            What this frame made certain, each track's frames in order: the frame itself for people known before, all
            frames since their first for people born now, and the bridged frames before it for people seen again.

        Raises:
            InputError: shapes that do not fit, or coordinates that are not finite.
        """
        joints_px, confidence = self._checked(joints_px, confidence)
        self._frame += 1
        news: list[TrackFrame] = []
        taken = set()
        for track, index in self._match(joints_px, confidence):
            taken.add(index)
            news += self._go_on(track, joints_px[index], confidence[index], index)
        self._tracks = [track for track in self._tracks if self._lives(track)]
        for index in range(len(joints_px)):
            if index not in taken and (confidence[index] > 0).any():
                news += self._start(joints_px[index], confidence[index], index)
        return news

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
        """Pairs of a track and the detection that goes on with it."""
        if not self._tracks or not len(joints_px):
            return []
        from scipy.optimize import linear_sum_assignment

        similarity = self._similarity(joints_px, confidence)
        # Pairs that are too unlike count as nothing, so that they never push aside a pair that is not.
        similarity[similarity < self.config.least_similarity] = 0
        pairs = zip(*linear_sum_assignment(similarity, maximize=True), strict=True)
        return [(self._tracks[row], int(column)) for row, column in pairs if similarity[row, column] > 0]

    def _similarity(self, joints_px: Floats, confidence: Floats) -> Floats:
        """(tracks, D) how like each detection is to where each track is expected, 0 to 1."""
        expected = np.stack([self._expected(track) for track in self._tracks])
        known = np.stack([track.last.confidence for track in self._tracks])
        sigmas = 2 * np.array(self.joint_set.oks_sigmas)
        own_boxes = np.stack([_box(*person) for person in zip(expected, known, strict=True)])
        boxes = np.stack([_box(*person) for person in zip(joints_px, confidence, strict=True)])
        area = _FILLED * (_area(own_boxes)[:, None] + _area(boxes)) / 2
        both = (known[:, None] > 0) & (confidence > 0)
        squared = ((expected[:, None] - joints_px) ** 2).sum(-1)
        keypoints = np.exp(-squared / (2 * np.maximum(area, 1)[..., None] * sigmas**2)) * both
        oks = keypoints.sum(-1) / np.maximum(both.sum(-1), 1)
        return (oks + _overlap(own_boxes[:, None], boxes)) / 2

    def _expected(self, track: _Track) -> Floats:
        return track.last.joints_px + (self._frame - track.last.frame) * track.velocity

    def _go_on(self, track: _Track, joints_px: Floats, confidence: Floats, index: int) -> list[TrackFrame]:
        before = track.last
        steps = self._frame - before.frame
        now = TrackFrame(before.track, self._frame, joints_px, confidence, index)
        both = (before.confidence > 0) & (confidence > 0)
        if both.any():
            # The median joint: limbs swing, and one joint may be detected on another person.
            step = np.median(joints_px[both] - before.joints_px[both], axis=0) / steps
            track.velocity += (1 if track.hits == 1 else _VELOCITY_GAIN) * (step - track.velocity)
        track.last = now
        track.hits += 1
        if before.track < 0:
            track.waiting.append(now)
            return self._bear(track)
        return [*(_between(before, now) if steps - 1 <= self.config.max_bridge else []), now]

    def _start(self, joints_px: Floats, confidence: Floats, index: int) -> list[TrackFrame]:
        first = TrackFrame(-1, self._frame, joints_px, confidence, index)
        track = _Track(first, np.zeros(2, np.float32), waiting=[first])
        self._tracks.append(track)
        return self._bear(track)

    def _bear(self, track: _Track) -> list[TrackFrame]:
        """Give the track its number once it was seen often enough, and all its frames so far."""
        if track.hits < self.config.min_hits:
            return []
        frames = [
            TrackFrame(self._born, seen.frame, seen.joints_px, seen.confidence, seen.detection)
            for seen in track.waiting
        ]
        track.waiting, track.last = [], frames[-1]
        self._born += 1
        return frames

    def _lives(self, track: _Track) -> bool:
        missed = self._frame - track.last.frame
        return missed <= (self.config.max_gap if track.last.track >= 0 else 0)


def _between(before: TrackFrame, after: TrackFrame) -> list[TrackFrame]:
    """The frames of a gap: joints in a straight line, those missing on either side missing; the lower confidence."""
    confidence = np.minimum(before.confidence, after.confidence)
    frames = []
    for frame in range(before.frame + 1, after.frame):
        share = (frame - before.frame) / (after.frame - before.frame)
        joints_px = before.joints_px + np.float32(share) * (after.joints_px - before.joints_px)
        joints_px = np.where(confidence[:, None] > 0, joints_px, 0).astype(np.float32)
        frames.append(TrackFrame(before.track, frame, joints_px, confidence, None))
    return frames


def _box(joints_px: Floats, confidence: Floats) -> Floats:
    """(4,) left, top, right, bottom of the joints that are there, no side below a quarter of the other; 0 for none."""
    seen = joints_px[confidence > 0]
    if not len(seen):
        return np.zeros(4, joints_px.dtype)
    low, high = seen.min(0), seen.max(0)
    margin = np.maximum(0.125 * (high - low).max() - (high - low) / 2, 0)
    return np.concatenate([low - margin, high + margin])


def _area(boxes: Floats) -> Floats:
    return np.prod(boxes[..., 2:] - boxes[..., :2], axis=-1)


def _overlap(a: Floats, b: Floats) -> Floats:
    """Intersection over union of boxes (…, 4)."""
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = np.prod(np.maximum(sides, 0), axis=-1)
    return shared / np.maximum(_area(a) + _area(b) - shared, 1e-9)
