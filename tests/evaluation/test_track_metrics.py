"""MOTA and IDF1 on small films whose values follow from the definitions by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pose2mesh.evaluation.track_metrics import ComparedFrame, TrackErrors, evaluate_tracks


def frame(pairs: dict[int, int | None], extra: tuple[int, ...] = (), ignored: tuple[int, ...] = ()) -> ComparedFrame:
    """People with the track that is on each, if any, and tracks on nobody."""
    people = np.array(list(pairs), int)
    tracks = np.array([track for track in pairs.values() if track is not None] + list(extra), int)
    similarity = np.array([[0.9 if pairs[person] == track else 0.1 for track in tracks] for person in pairs], float)
    return ComparedFrame(people, tracks, similarity.reshape(len(people), len(tracks)), np.isin(people, ignored))


def test_perfect_tracks() -> None:
    found = evaluate_tracks([frame({0: 5, 1: 3})] * 10)
    assert found == TrackErrors(20, 20, 0, 0, 0, 20, 2, 2, 2)
    assert (found.mota, found.idf1) == (1, 1)


def test_a_person_in_two_tracks() -> None:
    found = evaluate_tracks([frame({0: 0})] * 6 + [frame({0: 1})] * 4)
    assert (found.switches, found.missed, found.false, found.fragments) == (1, 0, 0, 2)
    assert found.mota == pytest.approx(1 - 1 / 10)
    assert found.idf1 == pytest.approx(2 * 6 / 20)


def test_two_people_who_exchange_their_tracks() -> None:
    found = evaluate_tracks([frame({0: 0, 1: 1})] * 7 + [frame({0: 1, 1: 0})] * 3)
    assert (found.switches, found.mota) == (2, pytest.approx(1 - 2 / 20))
    assert found.idf1 == pytest.approx(14 / 20)


def test_missed_people_false_tracks_and_a_gap_without_a_switch() -> None:
    film = [frame({0: 0})] * 4 + [frame({0: None}, extra=(7,))] * 2 + [frame({0: 0})] * 4
    found = evaluate_tracks(film)
    assert (found.missed, found.false, found.switches, found.tracks, found.fragments) == (2, 2, 0, 2, 1)
    assert found.mota == pytest.approx(1 - 4 / 10)
    assert found.idf1 == pytest.approx(2 * 8 / 20)


def test_a_person_keeps_their_track_though_another_is_more_similar() -> None:
    near = ComparedFrame(np.array([0]), np.array([0, 1]), np.array([[0.6, 0.95]]), np.zeros(1, bool))
    assert evaluate_tracks([frame({0: 0}), near]).switches == 0
    far = ComparedFrame(np.array([0]), np.array([0, 1]), np.array([[0.4, 0.95]]), np.zeros(1, bool))
    assert evaluate_tracks([frame({0: 0}), far]).switches == 1


def test_ignored_people_are_neither_missed_nor_false() -> None:
    film = [frame({0: 0, 1: 1}, ignored=(1,))] * 3 + [frame({0: 0, 1: None}, ignored=(1,))] * 3
    found = evaluate_tracks(film)
    assert (found.people, found.tracked, found.missed, found.false) == (6, 6, 0, 0)
    assert (found.mota, found.idf1) == (1, 1)


def test_films_add_up_and_empty_films_have_values() -> None:
    nothing = evaluate_tracks([])
    assert (nothing.mota, nothing.idf1) == (1, 0)
    empty_frame = ComparedFrame(np.zeros(0, int), np.array([3]), np.zeros((0, 1)), np.zeros(0, bool))
    both = evaluate_tracks([frame({0: 0})] * 5) + evaluate_tracks([empty_frame])
    assert (both.people, both.tracked, both.false) == (5, 6, 1)
