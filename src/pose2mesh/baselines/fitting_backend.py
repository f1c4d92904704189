"""Backends of `inference.predictor.Predictor` for the methods that fit a body to 2D joints."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from pose2mesh.baselines.common.fitting import Fitter
from pose2mesh.baselines.common.pose_prior import PosePrior
from pose2mesh.baselines.common.stature import stature_features
from pose2mesh.baselines.interface import BaselineInput, FittingBaseline
from pose2mesh.baselines.methods.arnab import Arnab
from pose2mesh.baselines.registry import FITTING_METHODS
from pose2mesh.body_models.default_body import DEFAULT_BODY, default_body
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.errors import InputError
from pose2mesh.models.bundle.bundle_info import BundleInfo
from pose2mesh.skeletons import COCO


class FittingBackend:
    """See `inference.backend.Backend`: each row of the input is fitted as a separate person.

    Args:
        baseline: The method.
        body: Body model whose mesh is the output.
    """

    def __init__(self, baseline: FittingBaseline, body: BodyModel) -> None:
        self.baseline = baseline
        self.faces = body.faces.numpy().astype(np.int32)
        self.template = body.template.numpy()
        self.info = BundleInfo(
            name=baseline.name,
            joint_set=baseline.joint_set.name,
            body=DEFAULT_BODY,
            config={},
            data="a pose prior from the training clips",
            licence="Apache-2.0",
            stature_features=stature_features(body, baseline.joint_set),
        )

    @staticmethod
    def load(name: str, device: str) -> FittingBackend:
        """The backend of a method of `registry.FITTING_METHODS`.

        Raises:
            InputError: the device is not the CPU, or the body model is not installed.
        """
        if device != "cpu":
            raise InputError(f"--device {device}: model {name!r} runs on the cpu")
        body = default_body()
        baseline = FITTING_METHODS[name](Fitter(body, COCO, PosePrior.load()))
        return VideoFittingBackend(baseline, body) if isinstance(baseline, Arnab) else FittingBackend(baseline, body)

    def run(
        self, pixels: NDArray[np.float32], confidence: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See `inference.backend.Backend`."""
        persons = torch.arange(len(pixels))
        estimate = self.baseline(BaselineInput(torch.from_numpy(pixels), torch.from_numpy(confidence), persons))
        return estimate.joints.numpy(), estimate.vertices.numpy()


class VideoFittingBackend(FittingBackend):
    """See `inference.backend.TrackBackend`: for a method that fits the frames of a video together."""

    # The vertices of a window are in memory at once, 50 MB. A shorter window has fewer frames to estimate the shape
    # from: on two training clips with noisy 2D, 360 frames in windows of 120 had 4 % larger errors than in one.
    window, overlap = 300, 30

    def run_track(
        self, pixels: NDArray[np.float32], confidence: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """See `inference.backend.TrackBackend`."""
        person = torch.zeros(len(pixels), dtype=torch.long)
        estimate = self.baseline(BaselineInput(torch.from_numpy(pixels), torch.from_numpy(confidence), person))
        return estimate.joints.numpy(), estimate.vertices.numpy(), estimate.joints_px.numpy()
