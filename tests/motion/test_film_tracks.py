"""Tracks of whole films: people who are hidden, return, are detected twice, and people who are not there."""

from __future__ import annotations

import numpy as np
import pytest

from pose2mesh.body_models.interface import BodyModel
from pose2mesh.datasets.synthetic.bodies import BodySynthesiser
from pose2mesh.datasets.synthetic.mocap import Clip
from pose2mesh.motion.film_tracks import FilmTracksConfig, PersonTrack, track_film
from pose2mesh.motion.person_colours import BINS, REGIONS
from pose2mesh.motion.synthetic_scene import FALSE_PERSON, SceneConfig, detection_dtype, synthesise_scene
from pose2mesh.skeletons import COCO

from .test_tracker import J, figure

FPS = 30.0
RED, GREEN = 2, 15  # bins


def walk(x: np.ndarray, seed: int, height_px: float = 300) -> np.ndarray:
    """Joints (T, J, 2) of a figure whose centre is at `x` (T,), with swinging limbs and detection errors."""
    limbs = np.array([name.endswith(("wrist", "ankle", "knee", "elbow")) for name in COCO.names])[:, None]
    time = np.arange(len(x))[:, None, None]
    swing = 0.05 * height_px * np.sin(time / 5 + seed) * limbs * np.array([1.0, 0.2])
    noise = np.random.default_rng(seed).normal(0, 3, (len(x), J, 2))
    where = np.stack([x, np.full(len(x), 100.0)], axis=1)[:, None]
    return np.asarray(figure(seed, height_px) + where + swing + noise)


def film_of(*people: tuple[np.ndarray, np.ndarray, int | None, float]) -> list[np.ndarray]:
    """The detections of people with joints (T, J, 2), visibility (T,), a bin of their colour, and a score."""
    frames = []
    for frame in range(len(people[0][0])):
        rows = np.zeros(len(people), detection_dtype(J))
        for number, (row, (joints, _, colour, score)) in enumerate(zip(rows, people, strict=True)):
            row["joints_px"], row["confidence"], row["score"], row["person"] = joints[frame], score, score, number
            if colour is not None:
                row["colours"][:, colour] = 1.0
        frames.append(rows[[bool(visible[frame]) for _, visible, _, _ in people]])
    return frames


def people_of(film: list[np.ndarray], tracks: list[PersonTrack]) -> list[set[int]]:
    """The people each track has detections of."""
    return [
        {int(film[frame]["person"][detection]) for frame, detection in zip(track.frames, track.detections, strict=True)}
        for track in tracks
    ]


def always(frames: int) -> np.ndarray:
    return np.ones(frames, bool)


def meeting() -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Two people who meet, one hidden by the other, and turn back; and when the hidden one is visible."""
    away = np.abs(np.linspace(-1, 1, 120))
    left, right = 600 - 350 * away, 600 + 350 * away
    return (walk(left, 0), walk(right, 1)), right - left > 120


def test_colours_tell_who_comes_back() -> None:
    """Both are hidden where they meet: by their motion, each should come out on the other side."""
    (left, right), visible = meeting()
    film = film_of((left, visible, RED, 0.9), (right, visible, GREEN, 0.9))
    assert people_of(film, track_film(film, COCO, FPS)) == [{0}, {1}]


def test_who_is_hidden_or_leaves_is_one_track() -> None:
    still, passing = walk(np.full(240, 600.0), 0), walk(np.linspace(0, 1200, 240), 1)
    hidden = np.ones(240, bool)
    hidden[105:140] = False
    away = np.ones(240, bool)
    away[60:150] = False  # three seconds
    for colour in (None, RED):
        film = film_of((still, hidden, colour, 0.9), (passing, always(240), None if colour is None else GREEN, 0.9))
        assert people_of(film, track_film(film, COCO, FPS)) == [{0}, {1}]
        film = film_of((still, away, colour, 0.9))
        (track,) = track_film(film, COCO, FPS)
        assert track.frames.tolist() == [*range(60), *range(150, 240)]


def test_another_person_in_the_same_place_is_another_track() -> None:
    still = walk(np.full(200, 600.0), 0)
    first, second = always(200), always(200)
    first[80:], second[:110] = False, False
    film = film_of((still, first, RED, 0.9), (still, second, GREEN, 0.9))
    assert people_of(film, track_film(film, COCO, FPS)) == [{0}, {1}]
    far = film_of((still, first, None, 0.9), (still + np.array((900, 0)), second, None, 0.9))
    assert people_of(far, track_film(far, COCO, FPS)) == [{0}, {1}]
    child = film_of((still, first, None, 0.9), (walk(np.full(200, 600.0), 0, 100), second, None, 0.9))
    assert people_of(child, track_film(child, COCO, FPS)) == [{0}, {1}]


def test_after_a_long_time_it_is_another_track() -> None:
    still, visible = walk(np.full(400, 600.0), 0), always(400)
    visible[100:260] = False
    film = film_of((still, visible, RED, 0.9))
    assert len(track_film(film, COCO, FPS)) == 2
    assert len(track_film(film, COCO, FPS, FilmTracksConfig(longest_gap_s=6))) == 1


def test_a_second_detection_of_a_person_is_no_person() -> None:
    joints = walk(np.linspace(300, 900, 120), 0)
    twice = joints + np.random.default_rng(5).normal(0, 5, joints.shape)
    film = film_of((joints, always(120), RED, 0.9), (twice, np.arange(120) > 40, RED, 0.7))
    (track,) = track_film(film, COCO, FPS)
    assert track.frames.tolist() == list(range(120))
    assert people_of(film, [track]) == [{0}]


def test_ghosts_go_and_people_of_short_films_stay() -> None:
    joints, ghost = walk(np.full(150, 300.0), 0), walk(np.full(150, 1200.0), 1)
    short, flickering = np.zeros(150, bool), np.random.default_rng(0).random(150) < 0.25
    short[50:60] = True
    for visible, score in ((short, 0.4), (flickering, 0.4)):
        film = film_of((joints, always(150), RED, 0.9), (ghost, visible, GREEN, score))
        assert people_of(film, track_film(film, COCO, FPS)) == [{0}]
    sure = np.zeros(150, bool)
    sure[50:75] = True
    film = film_of((joints, always(150), RED, 0.9), (ghost, sure, GREEN, 0.9))
    assert people_of(film, track_film(film, COCO, FPS)) == [{0}, {1}]
    for frames in (1, 2, 4):  # and films of low scores
        film = film_of((joints[:frames], always(frames), None, 0.3))
        assert [track.frames.tolist() for track in track_film(film, COCO, FPS)] == [list(range(frames))]


def test_films_without_people() -> None:
    empty = np.zeros(0, detection_dtype(J))
    assert track_film([], COCO, FPS) == []
    assert track_film([empty] * 5, COCO, FPS) == []


@pytest.fixture(scope="module")
def synthesiser(anny_body: BodyModel) -> BodySynthesiser:
    return BodySynthesiser(anny_body, COCO, None)


def test_a_synthetic_film(synthesiser: BodySynthesiser, synthetic_clip: Clip) -> None:
    config = SceneConfig(people=2, frames=90, furniture=1)
    scene = synthesise_scene([synthetic_clip], synthesiser, 3, config)
    again = synthesise_scene([synthetic_clip], synthesiser, 3, config)
    assert scene.joints_px.shape == (90, 2, J, 2)
    assert scene.visible.shape == (90, 2)
    for rows, same in zip(scene.detections, again.detections, strict=True):
        np.testing.assert_array_equal(rows, same)
    rows = np.concatenate(scene.detections)
    assert set(rows["person"].tolist()) == {FALSE_PERSON, 0, 1}
    assert rows["colours"].shape[1:] == (len(REGIONS), BINS)
    # A person's detections are near that person, and false people have lower scores.
    for frame, found in enumerate(scene.detections):
        for row in found[found["person"] >= 0]:
            off = np.median(np.linalg.norm(row["joints_px"] - scene.joints_px[frame, row["person"]], axis=1))
            assert off < 0.1 * np.ptp(scene.joints_px[frame, row["person"]][:, 1])
    assert rows["score"][rows["person"] == FALSE_PERSON].mean() < rows["score"][rows["person"] >= 0].mean() - 0.1


def test_tracks_of_synthetic_films_are_people(synthesiser: BodySynthesiser, synthetic_clip: Clip) -> None:
    """Nearly all detections of a person lie in one track, and nearly all of a track are of one person."""
    right = total = 0
    for seed in range(4):
        scene = synthesise_scene([synthetic_clip], synthesiser, seed, SceneConfig(people=3, frames=150, same_clothes=0))
        tracks = track_film(scene.detections, COCO, scene.fps)
        assert 3 <= len(tracks) <= 4
        counts = np.zeros((3, len(tracks)), int)
        for number, track in enumerate(tracks):
            for frame, detection in zip(track.frames, track.detections, strict=True):
                person = scene.detections[frame]["person"][detection]
                if person != FALSE_PERSON:
                    counts[person, number] += 1
        right += int(counts.max(1).sum())
        total += sum(int((rows["person"] >= 0).sum()) for rows in scene.detections)
    assert right > 0.93 * total
