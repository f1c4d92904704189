"""Small videos whose people are known: each frame's brightness is its number, which a test detector reads."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pose2mesh.body_models.default_body import default_body
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.detectors.detection import Detection
from pose2mesh.pipelines.video.mp4_writer import Mp4Writer

pytest.importorskip("av")
SIZE = (160, 120)
FRAMES = 40


def write_video(path: Path, frames: int = FRAMES, size: tuple[int, int] = SIZE, rate: int = 30) -> Path:
    """A video whose frame number `n` has the brightness 40 + 4 n."""
    writer = Mp4Writer(path, size, Fraction(rate))
    rng = np.random.default_rng(0)
    for frame in range(frames):
        # Coarse noise of its own makes every frame as large in the file as the first.
        noise = rng.integers(-20, 21, (size[1] // 4 + 1, size[0] // 4 + 1, 1)).repeat(4, 0).repeat(4, 1)
        grey = np.clip(40 + 4 * frame + noise[: size[1], : size[0]], 0, 255).astype(np.uint8)
        writer.write(np.broadcast_to(grey, (size[1], size[0], 3)))
    writer.close()
    return path


def number_of(picture: NDArray[np.uint8]) -> int:
    return round((float(picture.mean()) - 40) / 4)


def lifting(frames: int, error_px: float) -> NDArray[np.float64]:
    """Person (frames, 17, 2) who lifts an arm and walks to the right, with detection errors, in 640 x 480."""
    stand = np.array(
        [(0, -70), (3, -73), (-3, -73), (7, -71), (-7, -71), (18, -52), (-18, -52), (22, -25), (-22, -25), (24, 0),
         (-24, 0), (11, 0), (-11, 0), (12, 42), (-12, 42), (12, 84), (-12, 84)], float
    )  # fmt: skip
    joints = np.tile(2 * stand + (250, 240), (frames, 1, 1))
    joints[:, :, 0] += 3 * np.arange(frames)[:, None]
    turn = np.linspace(0, 1.2, frames)
    for joint, length in ((7, 50), (9, 95)):
        joints[:, joint, 0] = joints[:, 5, 0] + length * np.sin(turn)
        joints[:, joint, 1] = joints[:, 5, 1] + length * np.cos(turn)
    noisy: NDArray[np.float64] = joints + np.random.default_rng(0).normal(0, error_px, joints.shape)
    return noisy


def walkers(frames: int = FRAMES, seed: int = 0) -> NDArray[np.float64]:
    """(frames, 2, 17, 3) two people who walk through the image and swing, with their confidences."""
    rng = np.random.default_rng(seed)
    stand = rng.uniform((0, 0), (30, 60), (2, 17, 2)) + np.array([[[10, 20]], [[90, 30]]])
    swing = rng.normal(0, 3, (2, 17, 2)) * np.sin(np.arange(frames) / 5)[:, None, None, None]
    path = np.arange(frames)[:, None, None, None] * np.array([0.6, 0.1])
    joints = stand + swing + path + rng.normal(0, 0.5, (frames, 2, 17, 2))
    return np.concatenate([joints, np.full((frames, 2, 17, 1), 0.9)], axis=-1)


class KnownPeople:
    """A detector that reads the frame number from the brightness, and returns the given people (frames, P, 17, 3).

    Attributes:
        looks: The numbers of the frames that it was asked about, without boxes and with.
    """

    def __init__(self, people: NDArray[np.float64], stop_at: int | None = None) -> None:
        self.people, self.stop_at = people, stop_at
        self.looks: tuple[list[int], list[int]] = ([], [])

    def __call__(self, picture: NDArray[np.uint8], boxes: NDArray[np.floating] | None = None) -> list[Detection]:
        frame = number_of(picture)
        if frame == self.stop_at:
            raise KeyboardInterrupt
        self.looks[boxes is not None].append(frame)
        found = [_detection(person) for person in self.people[frame] if (person[:, 2] > 0).any()]
        if boxes is None:
            return found
        nobody = _detection(np.zeros((17, 3)))
        answers = []
        for box in boxes:
            off = [float(np.abs(person.box_px - box).max()) for person in found]
            answers.append(found[int(np.argmin(off))] if off and min(off) < 25 else nobody)
        return answers


def _detection(person: NDArray[np.float64]) -> Detection:
    joints, confidence = person[:, :2].astype(np.float32), person[:, 2].astype(np.float32)
    box = np.concatenate([joints.min(0), joints.max(0)])
    return Detection(joints, confidence, box, float(confidence.mean()))


@pytest.fixture(scope="session")
def video_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "clip.mp4")


@pytest.fixture(scope="session")
def anny_body() -> BodyModel:
    return default_body()
