"""Tracks of a whole film in which each person is one track: joins the pieces that `motion.tracker` finds.

A piece ends where a person is hidden, leaves the image or is not detected for a while. Two pieces, one after the other,
are joined if it is more likely that they show one person than two. The logarithm of that ratio is a sum:

- motion: the distance between the place predicted from the end of the first (and from the start of the second) and
  the place where the other one is, normally distributed with a deviation that grows with the time between, against a
  uniform distribution over the image;
- size: likewise the logarithm of the ratio of sizes;
- colours: the similarity of the mean descriptors (`motion.person_colours`), 0 where there is no image;
- a constant: who appears where someone disappeared is more often the same person than not.

All pairs are decided at once (assignment with the greatest sum, Kuhn 1955), and again with the joined pieces until
nothing changes. Before, detections that run beside a longer piece in nearly the same pose are left out as doubles. At
the end, people with little evidence are left out: few detections, low scores, or detections in few of the frames
between first and last.

Memory: some 50 bytes a detection; everything else of a detection is read again from the film when needed.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from pose2mesh.motion import person_colours
from pose2mesh.motion.pose_similarity import box_areas, box_overlaps, joint_boxes, keypoint_similarity
from pose2mesh.motion.tracker import Tracker, TrackerConfig
from pose2mesh.skeletons import JointSet

Floats: TypeAlias = NDArray[np.floating]

# The velocity of a person fades with this time constant, and is measured over at most the second time, seconds.
_FADE_S, _VELOCITY_S = 0.6, 0.4
# Log-likelihood ratio per unit of the colours' similarity above the neutral one, its bounds, and full weight in frames.
_COLOUR_SLOPE, _COLOUR_BOUNDS, _COLOUR_FRAMES = 60.0, (-6.0, 4.0), 5.0
_MOTION_BOUNDS, _SIZE_BOUNDS = (-8.0, 5.0), (-4.0, 1.0)
_LEAST_MOTION_AT_BORDER = -3.0  # who leaves the image may return anywhere, if the colours say so
_LEAST_AREA = 10.0  # of the image, in squared sizes of a person
_SIZE_SPREAD = 0.5  # deviation of the logarithm of the ratio of sizes of two people in an image
# A piece is a double where this share of its box lies in that of another piece, and the mean OKS is at least this.
_CONTAINED, _DOUBLE_OKS = 0.75, 0.35
_SAMPLED_FRAMES = 8
_CERTAIN_SCORE, _EVIDENCE_POWER = 0.8, 3
_LONG_GAP_S = 1.0
_CHUNK = 10_000  # pairs


@dataclass(frozen=True)
class FilmTracksConfig:
    """Constants of joining and leaving out, chosen on synthetic films (`benchmarks/tracking.py`).

    Attributes:
        longest_gap_s: Pieces with a longer gap between them are not joined.
        piece_gap_s: A piece ends after this time without a detection.
        place, place_per_s: Deviation of the predicted place at once, and its growth per second, in sizes of the person.
        size, size_per_s: Deviation of the logarithm of the size at once, and its growth per second.
        join: Least log-likelihood ratio of a join, without the constant.
        least_s: Seconds of certain detections that a person needs.
        least_density: Share of frames with a detection that a person needs between the first and the last one.
    """

    longest_gap_s: float = 5.0
    piece_gap_s: float = 0.3
    place: float = 0.1
    place_per_s: float = 0.4
    size: float = 0.1
    size_per_s: float = 0.15
    join: float = -0.5
    least_s: float = 0.3
    least_density: float = 0.4


@dataclass(frozen=True, eq=False)
class PersonTrack:
    """The detections of one person.

    Attributes:
        frames: (N,) ascending numbers of the frames.
        detections: (N,) index of the detection in each of these frames.
    """

    frames: NDArray[np.intp]
    detections: NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class _Piece:
    """Detections of one person.

    Attributes:
        frames, detections: (N,) as in `PersonTrack`.
        boxes: (N, 4) of the joints.
        places: (N, 2) mean of shoulders and hips.
        scores: (N,).
    """

    frames: NDArray[np.intp]
    detections: NDArray[np.intp]
    boxes: Floats
    places: Floats
    scores: Floats

    def __getitem__(self, which: slice | NDArray[np.bool_] | NDArray[np.intp]) -> _Piece:
        return _Piece(*(getattr(self, name)[which] for name in self.__dataclass_fields__))

    def __len__(self) -> int:
        return len(self.frames)

    def then(self, later: _Piece) -> _Piece:
        parts = ((getattr(self, name), getattr(later, name)) for name in self.__dataclass_fields__)
        return _Piece(*(np.concatenate(part) for part in parts))

    @property
    def size(self) -> Floats:
        """(N,) diagonals of the boxes."""
        return np.asarray(np.linalg.norm(self.boxes[:, 2:] - self.boxes[:, :2], axis=1))


class Film(Protocol):
    """The detections of each frame."""

    def __len__(self) -> int: ...

    def __getitem__(self, frame: int, /) -> NDArray[Any]: ...


def track_film(
    film: Film, joint_set: JointSet, fps: float, config: FilmTracksConfig | None = None
) -> list[PersonTrack]:
    """Tracks of the people of a film, in the order of their first frame.

    Args:
        film: For each frame the detections, rows with the fields `joints_px` (J, 2), `confidence` (J,), `score` and
            `colours` (R, B). Frames are read several times, so that they need not all be in memory.
        joint_set: Joint set of the joints.
        fps: Frames per second.
        config: Constants.
    """
    config = config or FilmTracksConfig()
    pieces = _track_pieces(film, joint_set, fps, config)
    if not pieces:
        return []
    pieces = _without_doubles(pieces, film, joint_set)
    pieces = _Joiner(pieces, _sum_colours(pieces, film), fps, config).join()
    people = sorted(_evident(pieces, fps, len(film), config), key=lambda piece: int(piece.frames[0]))
    return [PersonTrack(piece.frames, piece.detections) for piece in people]


def _track_pieces(film: Film, joint_set: JointSet, fps: float, config: FilmTracksConfig) -> list[_Piece]:
    gap = max(1, round(config.piece_gap_s * fps))
    tracker = Tracker(joint_set, TrackerConfig(max(1, min(2, len(film))), max_gap=gap, max_bridge=0))
    trunk = [joint_set.names.index(name) for name in joint_set.names if name.endswith(("shoulder", "hip"))]
    columns: list[
        tuple[array[Any], ...]
    ] = []  # for each track the fields of a `_Piece`; lists would take ten times that
    scores: dict[int, Floats] = {}
    for frame in range(len(film)):
        rows = film[frame]
        scores[frame] = rows["score"]
        scores.pop(frame - 2, None)  # a track is confirmed with its second detection
        for tracked in tracker.update(rows["joints_px"], rows["confidence"], rows["score"], rows["colours"]):
            if tracked.track == len(columns):
                columns.append(tuple(array(code) for code in "qqfff"))
            assert tracked.detection is not None
            present = tracked.confidence > 0
            chosen = [joint for joint in trunk if present[joint]]
            box = joint_boxes(tracked.joints_px[None], tracked.confidence[None])[0]
            place = tracked.joints_px[chosen if len(chosen) > 1 else present].mean(0)
            score = float(scores[tracked.frame][tracked.detection])
            values = ((tracked.frame,), (tracked.detection,), box.tolist(), place.tolist(), (score,))
            for own, value in zip(columns[tracked.track], values, strict=True):
                own.extend(value)
    pieces = []
    for frames, detections, boxes, places, certainty in columns:
        numbers = np.array(frames, np.intp), np.array(detections, np.intp)
        pieces.append(_Piece(*numbers, np.reshape(boxes, (-1, 4)), np.reshape(places, (-1, 2)), np.array(certainty)))
    return pieces


def _common(first: _Piece, second: _Piece) -> tuple[_Piece, _Piece]:
    """Both pieces in their common frames."""
    _, rows, others = np.intersect1d(first.frames, second.frames, assume_unique=True, return_indices=True)
    return first[rows], second[others]


def _overlapping(pieces: list[_Piece]) -> Iterator[tuple[int, int, _Piece, _Piece]]:
    """Pairs of pieces with common frames, and both in these frames."""
    ends = [(int(piece.frames[0]), int(piece.frames[-1])) for piece in pieces]
    order = sorted(range(len(pieces)), key=lambda index: ends[index])
    for place, a in enumerate(order):
        for b in order[place + 1 :]:
            if ends[b][0] > ends[a][1]:
                break
            first, second = _common(pieces[a], pieces[b])
            if len(first):
                yield a, b, first, second


def _without_doubles(pieces: list[_Piece], film: Film, joint_set: JointSet) -> list[_Piece]:
    """The pieces without the detections that double those of a longer piece."""
    sigmas = np.array(joint_set.oks_sigmas)
    doubled = [np.zeros(len(piece), bool) for piece in pieces]
    for a, b, first, second in _overlapping(pieces):
        if (box_overlaps(first.boxes, second.boxes)[1]).mean() < _CONTAINED:
            continue
        oks = []
        for index in np.unique(np.linspace(0, len(first) - 1, _SAMPLED_FRAMES).round().astype(int)):
            rows = film[int(first.frames[index])]
            one, other = (rows[[int(piece.detections[index])]] for piece in (first, second))
            area = np.maximum(box_areas(first.boxes[index]), box_areas(second.boxes[index]))
            poses = [(each["joints_px"], each["confidence"]) for each in (one, other)]
            oks.append(float(keypoint_similarity(poses[0], poses[1], sigmas, np.full((1, 1), area))[0, 0]))
        if np.mean(oks) >= _DOUBLE_OKS:
            loser = min(a, b, key=lambda index: float(pieces[index].scores.sum()))
            doubled[loser] |= np.isin(pieces[loser].frames, first.frames)
    kept = [piece[~double] for piece, double in zip(pieces, doubled, strict=True)]
    return [piece for piece in kept if len(piece)]


def _sum_colours(pieces: list[_Piece], film: Film) -> Floats:
    """Sums of the descriptors (P, R, B) of the pieces."""
    sums = np.zeros((len(pieces), len(person_colours.REGIONS), person_colours.BINS))
    frames = np.concatenate([piece.frames for piece in pieces])
    owners = np.repeat(np.arange(len(pieces)), [len(piece) for piece in pieces])
    detections = np.concatenate([piece.detections for piece in pieces])
    order = np.argsort(frames, kind="stable")
    frames, owners, detections = frames[order], owners[order], detections[order]
    starts = np.flatnonzero(np.diff(frames, prepend=-1))
    for start, stop in zip(starts, [*starts[1:], len(frames)], strict=True):
        sums[owners[start:stop]] += film[int(frames[start])]["colours"][detections[start:stop]]
    return sums


class _Joiner:
    """Joins pieces of the same person."""

    def __init__(self, pieces: list[_Piece], colours: Floats, fps: float, config: FilmTracksConfig) -> None:
        self.pieces, self.colours, self.fps, self.config = pieces, colours, fps, config
        boxes = np.concatenate([piece.boxes for piece in pieces])
        self.low, self.high = boxes[:, :2].min(0), boxes[:, 2:].max(0)

    def join(self) -> list[_Piece]:
        """The joined pieces."""
        while len(self.pieces) > 1:
            first, second = self._candidates()
            gains = self._ratios(first, second) - self.config.join
            useful = gains > 0
            pairs = _assign(first[useful], second[useful], gains[useful])
            if not pairs:
                break
            self._merge(pairs)
        return self.pieces

    def _candidates(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Pairs (N,), (N,) of a piece and one that begins after its end, at most the longest gap later."""
        starts = np.array([piece.frames[0] for piece in self.pieces])
        ends = np.array([piece.frames[-1] for piece in self.pieces])
        order = np.argsort(starts, kind="stable")
        low = np.searchsorted(starts[order], ends, "right")
        high = np.searchsorted(starts[order], ends + self.config.longest_gap_s * self.fps, "right")
        later = [order[begin:end] for begin, end in zip(low, high, strict=True)]
        return np.repeat(np.arange(len(later)), [len(each) for each in later]), np.concatenate(later)

    def _merge(self, following: dict[int, int]) -> None:
        pieces, colours = [], []
        for index in sorted(set(range(len(self.pieces))) - set(following.values())):
            piece, colour = self.pieces[index], self.colours[index]
            while index in following:
                index = following[index]
                piece, colour = piece.then(self.pieces[index]), colour + self.colours[index]
            pieces.append(piece)
            colours.append(colour)
        self.pieces, self.colours = pieces, np.array(colours)

    def _ratios(self, first: NDArray[np.intp], second: NDArray[np.intp]) -> Floats:
        """Log-likelihood ratios (N,) of the join of each piece of `first` with that of `second`."""
        config = self.config
        frame_a, place_a, speed_a, size_a = (
            np.array(column)[first] for column in zip(*(self._end(piece, True) for piece in self.pieces), strict=True)
        )
        frame_b, place_b, speed_b, size_b = (
            np.array(column)[second] for column in zip(*(self._end(piece, False) for piece in self.pieces), strict=True)
        )
        gap_s = (frame_b - frame_a) / self.fps
        size = np.maximum((size_a + size_b) / 2, 1.0)
        faded_s = (_FADE_S * (1 - np.exp(-gap_s / _FADE_S)))[:, None]
        forwards = place_a + faded_s * speed_a - place_b
        backwards = place_b - faded_s * speed_b - place_a
        squared = ((forwards**2).sum(-1) + (backwards**2).sum(-1)) / 2 / size**2
        variance = (config.place + config.place_per_s * gap_s) ** 2
        area = np.maximum(np.prod(self.high - self.low) / size**2, _LEAST_AREA)
        motion = np.clip(np.log(area / (2 * np.pi * variance)) - squared / (2 * variance), *_MOTION_BOUNDS)
        at_border = self._at_border(place_a, size_a) & self._at_border(place_b, size_b)
        motion = np.where(at_border, np.maximum(motion, _LEAST_MOTION_AT_BORDER), motion)
        log_size = np.log(np.maximum(size_b, 1) / np.maximum(size_a, 1))
        spread = config.size + config.size_per_s * gap_s
        sizes = np.log(_SIZE_SPREAD / spread) - log_size**2 / 2 * (1 / spread**2 - 1 / _SIZE_SPREAD**2)
        return np.asarray(motion + np.clip(sizes, *_SIZE_BOUNDS) + self._colour_ratios(first, second))

    def _colour_ratios(self, first: NDArray[np.intp], second: NDArray[np.intp]) -> Floats:
        weights = np.minimum(self.colours.sum(-1) / _COLOUR_FRAMES, 1)
        ratios = np.zeros(len(first))
        for start in range(0, len(first), _CHUNK):
            a, b = first[start : start + _CHUNK], second[start : start + _CHUNK]
            alike, _ = person_colours.similarity(self.colours[a], self.colours[b])
            value = np.clip(_COLOUR_SLOPE * (alike - person_colours.NEUTRAL), *_COLOUR_BOUNDS)
            ratios[start : start + _CHUNK] = np.minimum(weights[a], weights[b]).mean(-1) * value
        return ratios

    def _end(self, piece: _Piece, last: bool) -> tuple[int, Floats, Floats, float]:
        """Frame, place, velocity (pixels a second, along time) and size at one end of a piece."""
        frame = int(piece.frames[-1 if last else 0])
        near = piece[np.abs(piece.frames - frame) <= _VELOCITY_S * self.fps]
        time = (near.frames - frame) / self.fps
        place = near.places[-1 if last else 0]
        if len(near) < 4:
            return frame, place, np.zeros(2), float(np.median(near.size))
        slope, offset = np.polyfit(time, near.places, 1)
        return frame, offset, slope, float(np.median(near.size))

    def _at_border(self, place: Floats, size: Floats) -> NDArray[np.bool_]:
        """Which places (P, 2) are within half a size of the border of all detections."""
        margin = np.minimum(place - self.low, self.high - place).min(-1)
        return margin < size / 2


def _assign(first: NDArray[np.intp], second: NDArray[np.intp], gains: Floats) -> dict[int, int]:
    """The pairs with the greatest sum of gains (N,) with each piece at most once on each side."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not len(first):
        return {}
    rows, row_of = np.unique(first, return_inverse=True)
    columns, column_of = np.unique(second, return_inverse=True)
    nodes = len(rows) + len(columns)
    graph = coo_array((np.ones(len(first)), (row_of, len(rows) + column_of)), shape=(nodes, nodes))
    _, part_of = connected_components(graph, directed=False)
    pairs: dict[int, int] = {}
    order = np.argsort(part_of[row_of], kind="stable")
    for edges in np.split(order, np.flatnonzero(np.diff(part_of[row_of][order])) + 1):
        own_rows, i = np.unique(row_of[edges], return_inverse=True)
        own_columns, j = np.unique(column_of[edges], return_inverse=True)
        matrix = np.zeros((len(own_rows), len(own_columns)))
        matrix[i, j] = gains[edges]
        for a, b in zip(*linear_sum_assignment(matrix, maximize=True), strict=True):
            if matrix[a, b] > 0:
                pairs[int(rows[own_rows[a]])] = int(columns[own_columns[b]])
    return pairs


def _evident(pieces: list[_Piece], fps: float, frames: int, config: FilmTracksConfig) -> Iterator[_Piece]:
    """The pieces with enough evidence of a person."""
    scale = min(_CERTAIN_SCORE, float(np.quantile(np.concatenate([piece.scores for piece in pieces]), 0.9)))
    for piece in pieces:
        evidence = float((np.minimum(piece.scores / max(scale, 1e-6), 1) ** _EVIDENCE_POWER).sum())
        steps = np.diff(piece.frames)
        span = 1 + int(steps[steps <= _LONG_GAP_S * fps].sum())
        least = min(max(3.0, config.least_s * fps), frames / 2)
        if evidence >= least and len(piece) >= config.least_density * span:
            yield piece
