"""Videos by models that recover a person's frames together, and by models that take images; small ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pose2mesh.errors import InputError
from pose2mesh.inference.predictor import Predictor
from pose2mesh.inference.torch_backend import TorchBackend
from pose2mesh.pipelines.video.array_file import ArrayFile
from pose2mesh.pipelines.video.body_track import BodyTrack, VideoConditions
from pose2mesh.pipelines.video.frame_reader import Video
from pose2mesh.pipelines.video.frame_recovery import recover_from_frames
from pose2mesh.pipelines.video.track_store import Track, track_dtype
from pose2mesh.pipelines.video.video_options import VideoInput, VideoOptions
from pose2mesh.pipelines.video.video_pipeline import predict_video
from pose2mesh.visualization.overlay import USUAL_PARTS

from .conftest import FRAMES, SIZE, KnownPeople, number_of, walkers

Arrays = dict[str, NDArray[np.float32]]


class Together:
    """A model that returns the mean pose of the given frames; interrupted at one of its calls."""

    window, overlap = 16, 4

    def __init__(self, bundle: Path, stop_at: int | None = None) -> None:
        self.inner = TorchBackend.load(bundle, "cpu")
        self.info, self.faces, self.template = self.inner.info, self.inner.faces, self.inner.template
        self.stop_at = stop_at
        self.lengths: list[int] = []

    def run(self, pixels: NDArray[np.float32], confidence: NDArray[np.float32]):
        raise AssertionError("a video's frames go together")

    def run_track(self, pixels: NDArray[np.float32], confidence: NDArray[np.float32]):
        if len(self.lengths) == self.stop_at:
            raise KeyboardInterrupt
        self.lengths.append(len(pixels))
        joints, vertices = self.inner.run(pixels, confidence)
        joints[:], vertices[:] = joints.mean(0), vertices.mean(0)
        return joints, vertices, pixels + 10


class Looking:
    """A model that takes images, and reads the frame number from them; interrupted at one of them."""

    def __init__(self, bundle: Path, stop_at: int | None = None) -> None:
        self.inner = TorchBackend.load(bundle, "cpu")
        self.info, self.faces, self.template = self.inner.info, self.inner.faces, self.inner.template
        self.stop_at = stop_at
        self.seen: list[int] = []

    def run_on_images(self, pixels: NDArray[np.float32], confidence: NDArray[np.float32], pictures: NDArray[np.uint8]):
        self.seen.append(number_of(pictures))
        if self.seen[-1] == self.stop_at:
            raise KeyboardInterrupt
        joints, vertices = self.inner.run(pixels, confidence)
        return joints, vertices * (1 + self.seen[-1])


def run(video: Path, out: Path, model: Together | Looking, people: NDArray[np.float64]) -> Arrays:
    asked = VideoOptions(out, ("npz",), "coco", None, None, False, "known", USUAL_PARTS)
    source = VideoInput(video.stem, video, video, None, None)
    predict_video(source, asked, Predictor(model), KnownPeople(people), None, lambda _: None, lambda _: None)
    with np.load(out / "clip.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def people() -> NDArray[np.float64]:
    """Two people; the second is not detected in frames 20 to 24, and gone from 35 on."""
    found = walkers()
    found[20:25, 1, :, 2] = 0
    found[35:, 1, :, 2] = 0
    return found


def test_frames_of_a_person_go_together(
    video_file: Path, bundle_file: Path, people: NDArray[np.float64], tmp_path: Path
) -> None:
    model = Together(bundle_file)
    found = run(video_file, tmp_path, model, people)
    assert model.lengths == [16, 16, 16, 14, 15, 14]  # 40 frames, and 35 with the five in which nobody was detected
    assert len(found["person"]) == FRAMES + 35
    assert found["bridged"].sum() == 5
    vertices = found["vertices"][:FRAMES]
    assert np.abs(np.diff(vertices[:12], axis=0)).max() < 1e-5
    # At the join, and nowhere else, one answer fades into the other.
    steps = np.abs(np.diff(vertices, axis=0)).max((1, 2))
    assert (steps > 1e-5).nonzero()[0].tolist() == [*range(11, 16), *range(23, 28)]
    # The camera is the model's own: it takes everyone to be ten pixels further on.
    root = found["translation_m"][0]
    joints = found["joints"][0] + root
    fx, fy, cx, cy = found["intrinsics"]
    seen = joints[:, :2] / joints[:, 2:] * (fx, fy) + (cx, cy)
    given = found["joints_px"][0]
    assert (seen - given).mean(0) == pytest.approx([10, 10], abs=2)


@pytest.mark.parametrize("stop_at", [1, 4])
def test_interrupted_between_windows_it_resumes(
    stop_at: int, video_file: Path, bundle_file: Path, people: NDArray[np.float64], tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(video_file, tmp_path / "again", Together(bundle_file, stop_at), people)
    rest = Together(bundle_file)
    again = run(video_file, tmp_path / "again", rest, people)
    assert len(rest.lengths) == 6 - stop_at
    once = run(video_file, tmp_path / "once", Together(bundle_file), people)
    for name, array in once.items():
        assert np.array_equal(again[name], array), name


def test_known_intrinsics_turn_the_own_camera_back(bundle_file: Path) -> None:
    """The model's input is that of a camera that faces the person; its output pixels are those of the image."""
    from pose2mesh.geometry.camera import Intrinsics

    model = Together(bundle_file)
    model.run_track = lambda pixels, confidence: (*model.inner.run(pixels, confidence), pixels)  # type: ignore[method-assign]
    recovery, camera = Predictor(model), Intrinsics(300, 300, 80, 60)
    joints = walkers(3)[:, 1]
    pixels = np.pad(joints[..., :2], ((0, 0), (0, 2), (0, 0)), mode="edge")
    confidence = np.ones(pixels.shape[:2])
    together = recovery.recover_converted(pixels, confidence, camera, image_size=SIZE, one_person=True)
    alone = Predictor(model.inner).recover_converted(pixels, confidence, camera, image_size=SIZE)
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_allclose(a.camera.translation_m, b.camera.translation_m, rtol=1e-4)


def test_each_person_is_recovered_from_their_frame(
    video_file: Path, bundle_file: Path, people: NDArray[np.float64], tmp_path: Path
) -> None:
    model = Looking(bundle_file)
    found = run(video_file, tmp_path / "once", model, people)
    assert model.seen == sorted([*range(FRAMES), *range(35)])
    assert found["frame"].tolist() == [*range(FRAMES), *range(35)]
    with pytest.raises(KeyboardInterrupt):
        run(video_file, tmp_path / "again", Looking(bundle_file, 23), people)
    rest = Looking(bundle_file)
    again = run(video_file, tmp_path / "again", rest, people)
    assert min(rest.seen) == 23
    for name, array in found.items():
        assert np.array_equal(again[name], array), name


def test_a_frame_that_is_gone(video_file: Path, bundle_file: Path, tmp_path: Path) -> None:
    recovery = Predictor(Looking(bundle_file))
    J = len(recovery.joint_set)
    kind = track_dtype(recovery.joint_set)
    rows = ArrayFile(tmp_path / "track.rows", kind)
    frames = np.zeros(5, kind)
    frames["joints_px"], frames["confidence"] = np.random.default_rng(0).uniform(20, 90, (J, 2)), 1
    rows.append(frames)
    body = BodyTrack(Track(0, FRAMES - 3, tmp_path, rows), recovery, VideoConditions(30, SIZE, None, None, True))
    done: list[int] = []
    with pytest.raises(InputError, match=rf"clip.mp4: frame {FRAMES} can no longer be read"):
        recover_from_frames([body], Video(video_file), done.append)
    assert (sum(done), body.recovered) == (3, 3)
