"""A network of joint set `wholebody` from its config to its predictions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pose2mesh import load
from pose2mesh.config.train_config import TrainConfig
from pose2mesh.skeletons import INPUT_ORDERS
from pose2mesh.training import loop


@pytest.mark.thorough
def test_two_steps_of_training_give_a_bundle_that_takes_hands(tiny: Callable[..., TrainConfig], tmp_path: Path) -> None:
    data = {
        "samples_per_epoch": 128,
        "validation_samples": 64,
        "synthetic": {"poses": {"procedural": 1.0}, "fingers": 0.5},
    }
    loop.train(tiny(joint_set="wholebody", stage="pose2mesh", data=data, epochs=1), tmp_path / "run")
    predictor = load(tmp_path / "run")
    order = INPUT_ORDERS["wholebody133"]
    keypoints = np.random.default_rng(0).uniform(0, 300, (133, 3))
    keypoints[:, 2] = 1
    for side in ("left", "right"):  # hands at their wrists
        start = order.index(f"{side}_hand_root")
        keypoints[start : start + 21, :2] = keypoints[order.index(f"{side}_wrist"), :2] + np.arange(21)[:, None]
    [person] = predictor.recover(keypoints, joints="wholebody133")
    assert person.joints.shape == (67, 3)
    assert np.isfinite(person.vertices).all()
    assert (person.confidence == 1).all()
