"""Tracks people over the frames of a video from their 2D joints, and from their colours where there are images.

Each track predicts its next pose with constant velocity. Predictions and detections are matched so that the sum of
their similarities is maximal (Kuhn 1955): the mean of keypoint similarity (OKS) and box overlap (IoU), plus a term that
compares the colours. Certain detections are matched first, then uncertain ones with the tracks that are left (Zhang et
al., ByteTrack, 2022), at last those that seem to be second ones of a person, which start no track. A track is confirmed
after several detections in a row and ends after many frames without one; short gaps are interpolated ("bridged").

The tracker works on a stream: its memory depends on the number of people in view, not on the length of the video. Where
the whole film is available, `motion.film_tracks` joins the tracks of a person.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pose2mesh.errors import InputError
from pose2mesh.motion import person_colours
from pose2mesh.motion.pose_similarity import box_areas, box_overlaps, joint_boxes, keypoint_similarity, similar_poses
from pose2mesh.skeletons import JointSet

Floats: TypeAlias = NDArray[np.floating]

# Gain of the velocity's update; with 1 the velocity would be the last step.
_VELOCITY_GAIN = 0.4
_COLOUR_SCALE = 0.08  # a difference of the similarity of colours that is certain
# Frames over which the colours of a track are averaged.
_COLOUR_FRAMES = 100.0
# Two detections of a frame are of one person from this OKS on, or where one lies in the other, from the second.
_SAME_POSE, _SAME_PART = 0.6, 0.5
_CONTAINED = 0.85


@dataclass(frozen=True)
class TrackerConfig:
    """Thresholds of tracks, in frames at about 30 frames per second.

    Attributes:
        min_hits: Detections in a row before a track is confirmed.
        max_gap: A track ends after more frames than this without a detection.
        max_bridge: Gaps of up to this many frames are interpolated; longer ones stay open.
        least_similarity: A prediction and a detection less similar than this are never matched.
        certain_score: Detections from this score on are matched first.
        colour_weight: Weight of the colours relative to the pose.
    """

    min_hits: int = 3
    max_gap: int = 30
    max_bridge: int = 15
    least_similarity: float = 0.15
    certain_score: float = 0.35
    colour_weight: float = 0.3

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


@dataclass(eq=False)
class _Track:
    last: TrackFrame
    velocity: Floats  # (2,) pixels a frame
    colours: Floats  # (R, B) sum over frames
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
        self._sigmas = np.array(joint_set.oks_sigmas)

    def update(
        self,
        joints_px: Floats,
        confidence: Floats,
        score: Floats | None = None,
        colours: Floats | None = None,
    ) -> list[TrackFrame]:
        """Process the next frame's detections.

        Args:
            joints_px: (D, J, 2) of D detections, possibly none.
            confidence: (D, J), 0 for a missing joint.
            score: (D,) scores of the people; the mean confidence of the joints if None.
            colours: (D, R, B) descriptors (`motion.person_colours`); None without an image.

        Returns:
            The new frames of confirmed tracks, each track's in order: this frame for tracks confirmed before, all
            frames since the first for tracks confirmed now, and the interpolated frames before it for tracks detected
            again.

        Raises:
            InputError: shapes that do not fit, or coordinates that are not finite.
        """
        joints_px, confidence = self._checked(joints_px, confidence)
        D = len(joints_px)
        if score is None:
            score = confidence.sum(-1) / np.maximum((confidence > 0).sum(-1), 1)
        if colours is None:
            colours = np.zeros((D, len(person_colours.REGIONS), person_colours.BINS), np.float32)
        self._frame += 1
        new: list[TrackFrame] = []
        free = np.asarray((confidence > 0).any(-1))
        is_first = first_detections(joints_px, confidence, score, self._sigmas)
        certain = score >= self.config.certain_score
        unmatched = list(self._tracks)
        for stage in (is_first & certain, is_first & ~certain, ~is_first):
            candidates = np.flatnonzero(free & stage)
            for track, index in self._match(unmatched, joints_px, confidence, colours, candidates):
                unmatched.remove(track)
                free[index] = False
                new += self._continue(track, joints_px[index], confidence[index], colours[index], index)
        self._tracks = [track for track in self._tracks if self._is_alive(track)]
        for index in np.flatnonzero(free & is_first).tolist():
            new += self._start(joints_px[index], confidence[index], colours[index], index)
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

    def _match(
        self, tracks: list[_Track], joints_px: Floats, confidence: Floats, colours: Floats, which: NDArray[np.intp]
    ) -> list[tuple[_Track, int]]:
        """Pairs of a track and its detection, one of `which`."""
        if not tracks or not len(which):
            return []
        from scipy.optimize import linear_sum_assignment

        predicted = np.stack([self._predicted(track) for track in tracks])
        last = np.stack([track.last.confidence for track in tracks])
        pose = similar_poses((predicted, last), (joints_px[which], confidence[which]), self._sigmas)
        alike, reliability = person_colours.similarity(
            np.stack([track.colours for track in tracks])[:, None], colours[which]
        )
        colour = reliability * np.clip((alike - person_colours.NEUTRAL) / _COLOUR_SCALE, -1, 1)
        similarity = pose + self.config.colour_weight * colour
        # Pairs below the threshold count as 0, so that they never displace a pair above it.
        similarity[(similarity < self.config.least_similarity) | (pose < self.config.least_similarity)] = 0
        pairs = zip(*linear_sum_assignment(similarity, maximize=True), strict=True)
        return [(tracks[row], int(which[column])) for row, column in pairs if similarity[row, column] > 0]

    def _predicted(self, track: _Track) -> Floats:
        return track.last.joints_px + (self._frame - track.last.frame) * track.velocity

    def _continue(
        self, track: _Track, joints_px: Floats, confidence: Floats, colours: Floats, index: int
    ) -> list[TrackFrame]:
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
        track.colours = track.colours * (1 - 1 / _COLOUR_FRAMES) + colours
        if previous.track < 0:
            track.waiting.append(now)
            return self._confirm(track)
        return [*(_interpolate(previous, now) if steps - 1 <= self.config.max_bridge else []), now]

    def _start(self, joints_px: Floats, confidence: Floats, colours: Floats, index: int) -> list[TrackFrame]:
        first = TrackFrame(-1, self._frame, joints_px, confidence, index)
        track = _Track(first, np.zeros(2, np.float32), colours, waiting=[first])
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


def first_detections(joints_px: Floats, confidence: Floats, score: Floats, sigmas: Floats) -> NDArray[np.bool_]:
    """Which detections (D,) are not a second one of a person who is detected with a higher score.

    Of two detections with common joints, one is of the same person if their OKS over these is at least 0.6, or 0.5
    where the box of one lies in the other's: then one may be of a part of the body.
    """
    D = len(joints_px)
    kept = np.ones(D, bool)
    if D < 2:
        return kept
    boxes = joint_boxes(joints_px, confidence)
    areas = np.maximum(box_areas(boxes)[:, None], box_areas(boxes))
    oks = keypoint_similarity((joints_px, confidence), (joints_px, confidence), sigmas, areas)
    contained = box_overlaps(boxes[:, None], boxes)[1] >= _CONTAINED
    same = (oks >= _SAME_POSE) | (contained & (oks >= _SAME_PART))
    order = np.argsort(-score, kind="stable")
    for rank, index in enumerate(order):
        kept[index] = not any(same[index, other] and kept[other] for other in order[:rank])
    return kept
