"""Bodies, samples and a model double with known predictions."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from pose2mesh.body_models.default_body import default_body
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.datasets.synthetic.bodies import BodySynthesiser
from pose2mesh.evaluation.robustness.sample_sets import SampleSet
from pose2mesh.skeletons import COCO, JointSet

Model = Callable[[NDArray, NDArray], tuple[NDArray, NDArray]]


class FakePredictor:
    """A model that is a function of pixels (P, J, 2) and confidences (P, J) to joints and vertices."""

    def __init__(self, model: Model, template: NDArray, faces: NDArray | None = None) -> None:
        self.model, self.template, self.joint_set = model, template, COCO
        self.faces = np.zeros((0, 3), int) if faces is None else faces
        self.info = SimpleNamespace(name="fake", body="anny", joint_set="coco")
        self.calls: list[tuple[NDArray, NDArray]] = []

    def run(self, pixels: NDArray, confidence: NDArray, intrinsics: object = None) -> tuple[NDArray, NDArray]:
        self.calls.append((np.array(pixels), np.array(confidence)))
        return self.model(np.asarray(pixels, np.float64), np.asarray(confidence))


def make_people(count: int = 6, seed: int = 0, joint_set: JointSet = COCO) -> SampleSet:
    """Samples with all joints visible at random in a box; two per image."""
    rng = np.random.default_rng(seed)
    pixels = rng.uniform(100, 400, (count, len(joint_set), 2))
    for name, parts in joint_set.derived:
        pixels[:, joint_set.index(name)] = pixels[:, [joint_set.index(part) for part in parts]].mean(1)
    return SampleSet(
        "made up",
        "own",
        pixels.astype(np.float32),
        np.ones(pixels.shape[:2], np.float32),
        np.full(count, 5e4, np.float32),
        np.arange(count) // 2,
        tuple(f"image {index}" for index in range(-(-count // 2))),
        tuple(f"person {index}" for index in range(count)),
        [(640, 480)] * count,
        [None] * count,
    )


@pytest.fixture(scope="session")
def anny() -> BodyModel:
    return default_body()


@pytest.fixture(scope="session")
def synthesiser(anny: BodyModel) -> BodySynthesiser:
    return BodySynthesiser(anny, COCO, None)
