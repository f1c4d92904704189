"""The One-Euro filter, the constant body size, and the effect of both on synthetic videos."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pose2mesh.body_models.interface import BodyModel
from pose2mesh.datasets.synthetic.bodies import BodySynthesiser
from pose2mesh.datasets.synthetic.mocap import load_clips
from pose2mesh.errors import InputError
from pose2mesh.inference.predictor import Predictor
from pose2mesh.metrics import acceleration_error, mean_distance
from pose2mesh.motion.smoothing import (
    BOTH_WAYS,
    BodySmoother,
    OneEuro,
    OneEuroConfig,
    RunningSize,
    bone_lengths,
    smooth,
    smooth_bodies,
)
from pose2mesh.motion.synthetic_video import synthesise_video
from pose2mesh.skeletons import COCO

FPS = 30.0
SHARED = OneEuroConfig(min_cutoff_hz=2.0)  # one cutoff for all points


def test_one_euro_by_hand() -> None:
    """Algorithm 1 of the paper, worked out for a point that jumps by 0.1 m at 10 frames per second."""
    config = OneEuroConfig(min_cutoff_hz=1.0, beta=2.0, derivative_cutoff_hz=0.5)
    one_euro = OneEuro(10.0, config)
    one_euro(np.zeros((1, 3)))
    found = one_euro(np.array([[0.1, 0.0, 0.0]]))
    share = (2 * np.pi * 0.5 / 10) / (2 * np.pi * 0.5 / 10 + 1)
    cutoff = 1.0 + 2.0 * share * 0.1 * 10
    turn = 2 * np.pi * cutoff / 10
    assert found == pytest.approx(np.array([[0.1 * turn / (turn + 1), 0, 0]]))


def test_jitter_is_removed_at_rest_and_motion_followed() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.01, (300, 5, 3))
    assert smooth(noise, FPS, both_ways=False)[50:].std() < 0.4 * noise.std()
    running = np.zeros((300, 5, 3))
    running[:, :, 0] = 5 * np.arange(300)[:, None] / FPS
    lag = running - smooth(running, FPS, both_ways=False)
    assert abs(lag[-1]).max() < 0.1  # of 5 m/s: a fiftieth of a second
    assert abs((running - smooth(running, FPS))[100:200]).max() < 0.02


def test_one_way_filtering_equals_the_stream() -> None:
    points = np.random.default_rng(1).normal(size=(40, 6, 3)).cumsum(0) * 0.01
    one_euro = OneEuro(FPS)
    assert np.array_equal(np.stack([one_euro(frame) for frame in points]), smooth(points, FPS, both_ways=False))


def test_in_a_stream_joints_of_filtered_vertices_are_the_filtered_joints() -> None:
    rng = np.random.default_rng(2)
    joints = rng.normal(size=(30, 4, 3)).cumsum(0) * 0.02
    weights = rng.dirichlet(np.ones(4), 7)
    both = np.concatenate([joints, weights @ joints], axis=1)
    filtered = smooth(both, FPS, lead=4, both_ways=False)
    assert filtered[:, 4:] == pytest.approx(weights @ filtered[:, :4], abs=1e-12)
    assert filtered[:, :4] == pytest.approx(smooth(joints, FPS, both_ways=False), abs=1e-12)


def test_in_a_track_joints_and_the_vertices_around_them_stay_together() -> None:
    # An arm that swings at 2 Hz about the shoulder, with a ring of vertices around its end.
    angle = np.sin(2 * np.pi * 2 * np.arange(90) / FPS)
    arm = np.stack([np.sin(angle), np.cos(angle), np.zeros(90)], axis=1)[:, None]
    ring = np.array([[0.05, 0, 0], [-0.05, 0, 0], [0, 0, 0.05], [0, 0, -0.05]])
    filtered = smooth(np.concatenate([0.6 * arm, 0.6 * arm + ring], axis=1), FPS)
    assert np.abs(filtered[:, 0] - filtered[:, 1:].mean(1)).max() < 1e-3


def test_a_fast_hand_is_not_flattened_by_a_body_at_rest() -> None:
    swing = 0.4 * np.sin(2 * np.pi * 2 * np.arange(120) / FPS)
    points = np.zeros((120, 20, 3))
    points[:, 0, 0] = swing
    kept = [np.ptp(smooth(points, FPS, config)[30:90, 0, 0]) / np.ptp(swing) for config in (BOTH_WAYS, SHARED)]
    assert kept[0] > 0.8
    assert kept[0] > kept[1] + 0.2


def test_a_frame_of_low_confidence_weighs_less() -> None:
    rng = np.random.default_rng(3)
    joints = np.tile(rng.normal(size=(1, len(COCO), 3)), (60, 1, 1))
    jump = joints.copy()
    jump[30, COCO.index("left_wrist")] += 0.3
    confidence = np.ones(60)
    off = []
    for confidence[30] in (1.0, 0.3):
        smoothed, _, _ = smooth_bodies(
            jump, joints[:, :0], np.ones((60, 3)), FPS, COCO, replace(BOTH_WAYS, trust=2.0), confidence
        )
        off.append(np.abs(smoothed - joints).max())
    assert off[1] < 0.5 * off[0]


def test_the_callers_arrays_are_not_changed() -> None:
    points = np.random.default_rng(3).normal(size=(10, 3, 3))
    before = points.copy()
    smooth(points, FPS)
    one_euro = OneEuro(FPS)
    first = one_euro(points[0])
    first[:] = 99
    assert np.array_equal(points, before)
    assert abs(one_euro(points[1])).max() < 50


@pytest.mark.parametrize(
    ("points", "fps", "message"),
    [
        (np.zeros((4, 3)), 30, r"shape \(4, 3\), expected \(T, N, 3\)"),
        (np.full((2, 1, 3), np.nan), 30, "frame 0 are not finite"),
        (np.zeros((2, 1, 3)), 0, "fps is 0, expected a positive number"),
    ],
)
def test_bad_input_is_named(points: np.ndarray, fps: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        smooth(points, fps)


def test_running_size_is_the_median_and_forgets() -> None:
    joints = np.random.default_rng(4).normal(size=(19, 3))
    size = RunningSize(COCO.edges, window=20)
    factors = [size(joints * (3.0 if frame == 7 else 1.0)) for frame in range(15)]
    assert factors[-1] == pytest.approx(1)
    assert factors[7] == pytest.approx(1 / 3)  # one wild frame does not make a giant
    for _ in range(20):
        size(2 * joints)
    assert size(joints) == pytest.approx(2)
    assert len(size._lengths) == 20


def wobbling(frames: int = 120) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A rigid body whose size and distance vary by 5 % from frame to frame with the same projection."""
    rng = np.random.default_rng(5)
    joints, vertices = rng.normal(size=(19, 3)) * 0.4, rng.normal(size=(50, 3)) * 0.4
    scale = np.exp(rng.normal(0, 0.05, frames))
    where = np.array([0.5, 0.2, 5.0])
    return scale[:, None, None] * joints, scale[:, None, None] * vertices, scale[:, None] * where


def test_size_and_position_become_constant() -> None:
    joints, vertices, translations = wobbling()
    tracks = smooth_bodies(joints, vertices, translations, FPS, COCO)
    person = np.median(bone_lengths(joints, COCO.edges), axis=0)
    assert bone_lengths(tracks[0], COCO.edges) == pytest.approx(np.broadcast_to(person, (120, len(person))), rel=1e-9)
    assert np.ptp(tracks[1], axis=0).max() < 1e-9
    assert np.ptp(tracks[2], axis=0).max() < 1e-9
    assert tracks[2][0, :2] / tracks[2][0, 2] == pytest.approx([0.1, 0.04])
    stream = BodySmoother(FPS, COCO)
    late = [stream(*frame) for frame in zip(joints, vertices, translations, strict=True)][60:]
    statures = [bone_lengths(frame[0], COCO.edges).sum() for frame in late]
    assert np.ptp(statures) / np.mean(statures) < 0.02  # 5 % in the input


def test_smoothing_of_predicted_clips(recovery: Predictor, anny_body: BodyModel, shared_data: Path) -> None:
    """The acceleration error falls threefold and MPJPE does not rise, on clips not used for tuning."""
    files = [shared_data / "mocap" / f"{name}.bvh" for name in ("cmu_actions/walking_5", "cmu/02_03", "deepmimic/kick")]
    synthesiser = BodySynthesiser(anny_body, recovery.joint_set, None)
    errors = []
    for seed, clip in enumerate(load_clips(files)):
        video = synthesise_video(clip, synthesiser, seed, most_frames=90)
        joints, _ = recovery.run(video.joints_px, video.confidence)
        still = np.ones((len(joints), 3), np.float32)
        stream = BodySmoother(video.fps, COCO)
        streamed = np.stack([stream(*frame)[0] for frame in zip(joints, joints[:, :0], still, strict=True)])
        track = smooth_bodies(joints, joints[:, :0], still, video.fps, COCO)[0]
        ground_truth = torch.from_numpy(video.joints_cam)
        found = [torch.from_numpy(points) for points in (joints, streamed, track)]
        errors.append(
            [[float(mean_distance(x, ground_truth).mean()), float(acceleration_error(x, ground_truth))] for x in found]
        )
    raw, streamed_errors, track_errors = np.mean(errors, axis=0)
    assert raw[1] > 0.1  # there is something to smooth: 100 mm/frame²
    assert streamed_errors[1] < raw[1] / 3
    assert track_errors[1] < raw[1] / 5
    assert max(streamed_errors[0], track_errors[0]) < raw[0]
