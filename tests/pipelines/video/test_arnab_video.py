"""Arnab et al. on a video: each person's frames are fitted together, which is smoother than one by one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pose2mesh.baselines.common.fitting import Fitter
from pose2mesh.baselines.common.initial_bodies import NetworkStart
from pose2mesh.baselines.common.pose_prior import PosePrior
from pose2mesh.baselines.fitting_backend import FittingBackend, VideoFittingBackend
from pose2mesh.baselines.methods.arnab import Arnab
from pose2mesh.baselines.methods.smplify import Schedule, SMPLify
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.inference.predictor import Predictor
from pose2mesh.motion.smoothing import bone_lengths
from pose2mesh.pipelines.video.video_options import VideoInput, VideoOptions
from pose2mesh.pipelines.video.video_pipeline import predict_video
from pose2mesh.skeletons import COCO
from pose2mesh.visualization.overlay import USUAL_PARTS

from .conftest import lifting

FRAMES = 14


def someone() -> NDArray[np.float64]:
    """(FRAMES, 17, 3) of a person who lifts an arm and walks to the right, with detection errors of 2 % of the height.

    In frames 5 and 6 they are not seen, in frame 9 only down to the hips.
    """
    joints = lifting(FRAMES, 6)
    confidence = np.full((FRAMES, 17, 1), 0.9)
    confidence[5:7] = 0
    confidence[9, 13:] = 0
    return np.concatenate([joints, confidence], axis=2)


@pytest.fixture(scope="module")
def single(anny_body: BodyModel) -> SMPLify:
    """`smplify-started` that tries less hard."""
    fitter = Fitter(anny_body, COCO, PosePrior.load())
    return SMPLify("single", fitter, NetworkStart(Predictor.load(), fitter), Schedule(0, ((1.0, 20),)))


def recover(keypoints: Path, backend: FittingBackend, out: Path) -> dict[str, NDArray[np.float32]]:
    asked = VideoOptions(out, ("npz",), "coco", None, None, False, "", USUAL_PARTS)
    source = VideoInput("walk", keypoints, None, keypoints, 25.0)
    predict_video(source, asked, Predictor(backend), None, None, lambda _: None, lambda _: None)
    with np.load(out / "walk.npz") as file:
        return dict(file)


@pytest.mark.thorough
def test_steadier_than_frame_by_frame(single: SMPLify, anny_body: BodyModel, tmp_path: Path) -> None:
    np.save(tmp_path / "walk.npy", someone())
    alone = recover(tmp_path / "walk.npy", FittingBackend(single, anny_body), tmp_path / "alone")
    together = recover(
        tmp_path / "walk.npy", VideoFittingBackend(Arnab(single, rounds=30), anny_body), tmp_path / "together"
    )
    for found in (alone, together):
        assert found["frame"].tolist() == list(range(FRAMES))
        assert found["bridged"].nonzero()[0].tolist() == [5, 6]

    def jitter(found: dict[str, NDArray[np.float32]]) -> float:
        return float(np.linalg.norm(np.diff(found["joints"], 2, axis=0), axis=-1).mean())

    assert jitter(together) < 0.4 * jitter(alone)
    legs = [index for index, (_, end) in enumerate(COCO.bones) if "knee" in end or "ankle" in end]
    lengths = bone_lengths(together["joints"], COCO.edges)[:, legs]
    assert (lengths.std(0) / lengths.mean(0)).max() < 0.01  # one shape


def test_a_video_of_two_frames(single: SMPLify, anny_body: BodyModel, tmp_path: Path) -> None:
    """Too short for a motion prior, but recovered all the same."""
    np.save(tmp_path / "walk.npy", someone()[:2])
    found = recover(tmp_path / "walk.npy", VideoFittingBackend(Arnab(single, rounds=3), anny_body), tmp_path / "out")
    assert found["vertices"].shape == (2, *anny_body.template.shape)
    assert np.isfinite(found["vertices"]).all()
