"""A small learned baseline for tests: a few weights from 2D joints to a body, with dropout and BatchNorm."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from pose2mesh.baselines.baseline_bundle import LearnedInfo, save_learned
from pose2mesh.baselines.common.body_layer import BodyLayer
from pose2mesh.baselines.common.parameter_regressor import ParameterRegressor
from pose2mesh.baselines.interface import BodyEstimate, LearnedBaseline
from pose2mesh.baselines.observation import GroundTruth, Need, Observation
from pose2mesh.baselines.registry import LearnedMethod
from pose2mesh.config.config_files import plain_values


@dataclass
class TinySettings:
    """Settings.

    Attributes:
        width: Width of its only layer.
        fits: Whether it is trained without gradients, by `fit`.
    """

    width: int = 8
    fits: bool = False


class Tiny(LearnedBaseline):
    needs: ClassVar[frozenset[Need]] = frozenset()

    def __init__(self, layer: BodyLayer, settings: TinySettings) -> None:
        super().__init__()
        self.layer, self.joint_set, self.settings = layer, layer.joint_set, settings
        joints = 2 * len(self.joint_set)
        self.body = nn.Sequential(
            nn.Linear(joints, settings.width), nn.BatchNorm1d(settings.width), nn.ReLU(), nn.Dropout(0.2)
        )
        self.regressor = ParameterRegressor(settings.width, layer, 1)
        self.prior_phenotypes: Tensor | None = None

    def prepare(self, orientations: Tensor, phenotypes: Tensor) -> None:
        self.prior_phenotypes = phenotypes

    def losses(self, observation: Observation, ground_truth: GroundTruth, progress: float) -> dict[str, Tensor]:
        assert self.prior_phenotypes is not None
        prediction = self.regressor(self.body(observation.joints.flatten(1)))[-1]
        shape = self.layer.phenotypes(prediction.shape)
        some = self.prior_phenotypes[torch.randint(len(self.prior_phenotypes), (len(shape),))]
        return {
            "joints": (self.layer.joints(prediction) - ground_truth.joints).abs().mean(),
            "shape": (1 - progress) * (shape - some).abs().mean(),
        }

    def fit(self, chunks, count, log) -> bool:  # type: ignore[no-untyped-def]
        if not self.settings.fits:
            return False
        means = torch.stack([chunks(chunk)[0].joints.mean() for chunk in range(count)])
        with torch.no_grad():
            self.body[0].bias.fill_(means.mean())
        log(f"fitted to {count} chunks")
        return True

    @torch.no_grad()
    def estimate(self, observation: Observation) -> BodyEstimate:
        return self.layer.estimate(self.regressor(self.body(observation.joints.flatten(1)))[-1])


def tiny() -> LearnedMethod:
    return LearnedMethod(Tiny, TinySettings)


def save_untrained(path: Path, network: LearnedBaseline, method: str, settings: object) -> Path:
    """Write a bundle of an untrained network."""
    info = LearnedInfo(
        name=method, joint_set="coco", body="anny", config={"method": method, "settings": plain_values(settings)},
        data="drawn", licence="Apache-2.0", parameters=1, minutes=1.0, samples=64, seed=0,
    )  # fmt: skip
    save_learned(path, network, info)
    return path
