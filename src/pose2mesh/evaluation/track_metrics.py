"""Accuracy of tracks: MOTA with identity switches, and IDF1.

MOTA follows Bernardin and Stiefelhagen, "Evaluating Multiple Object Tracking Performance: The CLEAR MOT Metrics"
(2008): per frame a person keeps the track they were matched to before as long as it is similar enough; the others are
matched so that as many as possible are, with the greatest sum of similarities (Kuhn 1955).
MOTA = 1 - (missed + false + switches) / people. IDF1 follows Ristani et al., "Performance Measures and a Data Set for
Multi-Target, Multi-Camera Tracking" (2016): each person is matched to at most one track over the whole film so that the
number of frames in which both are similar, IDTP, is greatest; IDF1 = 2 IDTP / (frames of people + frames of tracks).

People who cannot be seen in a frame can be marked as ignored there: they do not count as missed, and a track on them is
neither right nor wrong.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Floats = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class ComparedFrame:
    """The people and the tracks of one frame.

    Attributes:
        people: (G,) numbers of the people, each once.
        tracks: (D,) numbers of the tracks, each once.
        similarity: (G, D) of each person with each track, in [0, 1].
        ignored: (G,) bool.
    """

    people: NDArray[np.integer]
    tracks: NDArray[np.integer]
    similarity: Floats
    ignored: NDArray[np.bool_]


@dataclass(frozen=True)
class TrackErrors:
    """Counts over all frames; values of several films are added.

    Attributes:
        people, tracked: Frames of people who are not ignored, and of tracks that are not on an ignored person.
        missed, false, switches: Errors of MOTA.
        identity_matches: IDTP of IDF1.
        individuals: Number of people.
        fragments: Number of pairs of a person and a track that were matched in any frame.
        tracks: Number of tracks.
    """

    people: int
    tracked: int
    missed: int
    false: int
    switches: int
    identity_matches: int
    individuals: int
    fragments: int
    tracks: int

    @property
    def mota(self) -> float:
        return 1 - (self.missed + self.false + self.switches) / max(self.people, 1)

    @property
    def idf1(self) -> float:
        return 2 * self.identity_matches / max(self.people + self.tracked, 1)

    def __add__(self, other: TrackErrors) -> TrackErrors:
        return TrackErrors(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))


def evaluate_tracks(frames: Iterable[ComparedFrame], least_similarity: float = 0.5) -> TrackErrors:
    """Compare tracks with people.

    Args:
        frames: All frames of a film in order.
        least_similarity: A person and a track less similar than this do not match.
    """
    people = tracked = missed = false = switches = 0
    last: dict[int, int] = {}  # the track each person was matched to last
    individuals: set[int] = set()
    all_tracks: set[int] = set()
    matched: set[tuple[int, int]] = set()
    together: Counter[tuple[int, int]] = Counter()
    for frame in frames:
        pairs = _match(frame, last, least_similarity)
        counted = ~frame.ignored
        on_ignored = {column for row, column in pairs if frame.ignored[row]}
        used = [column for column in range(len(frame.tracks)) if column not in on_ignored]
        people += int(counted.sum())
        tracked += len(used)
        found = [(int(frame.people[row]), int(frame.tracks[column])) for row, column in pairs if counted[row]]
        missed += int(counted.sum()) - len(found)
        false += len(used) - len(found)
        for person, track in found:
            switches += last.get(person, track) != track
            last[person] = track
        matched |= set(found)
        individuals |= set(frame.people[counted].tolist())
        all_tracks |= set(frame.tracks.tolist())
        for row in np.flatnonzero(counted):
            for column in used:
                if frame.similarity[row, column] >= least_similarity:
                    together[int(frame.people[row]), int(frame.tracks[column])] += 1
    return TrackErrors(
        people,
        tracked,
        missed,
        false,
        switches,
        _identity_matches(together),
        len(individuals),
        len(matched),
        len(all_tracks),
    )


def _match(frame: ComparedFrame, last: dict[int, int], least: float) -> list[tuple[int, int]]:
    """Matched rows and columns of a frame."""
    similarity = np.where(frame.similarity >= least, frame.similarity, 0)
    column_of = {int(track): column for column, track in enumerate(frame.tracks)}
    pairs = []
    for row, person in enumerate(frame.people.tolist()):
        column = column_of.get(last.get(person, -1))
        if column is not None and similarity[row, column] > 0 and not frame.ignored[row]:
            pairs.append((row, column))
    taken = {row for row, _ in pairs}, {column for _, column in pairs}
    rows = [row for row in range(len(frame.people)) if row not in taken[0]]
    columns = [column for column in range(len(frame.tracks)) if column not in taken[1]]
    rest = similarity[np.ix_(rows, columns)]
    # As many matches as possible first, then the greatest sum; people who count before those who do not.
    weight = np.where(rest > 0, 2 + rest - frame.ignored[rows][:, None], 0)
    for i, j in zip(*linear_sum_assignment(weight, maximize=True), strict=True):
        if rest[i, j] > 0:
            pairs.append((rows[i], columns[j]))
    return pairs


def _identity_matches(together: Counter[tuple[int, int]]) -> int:
    """IDTP: the greatest number of common frames when each person has at most one track."""
    if not together:
        return 0
    rows: dict[int, int] = defaultdict(lambda: len(rows))
    columns: dict[int, int] = defaultdict(lambda: len(columns))
    places = [(rows[person], columns[track], count) for (person, track), count in together.items()]
    counts = np.zeros((len(rows), len(columns)), np.int64)
    for row, column, count in places:
        counts[row, column] = count
    return int(counts[linear_sum_assignment(counts, maximize=True)].sum())
