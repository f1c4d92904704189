"""The baselines by name, and one of them in the place of a trained model: a backend of
`inference.predictor.Predictor`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from pose2mesh.baselines.common.fitting import Fitter
from pose2mesh.baselines.common.initial_bodies import NetworkStart, mean_pose
from pose2mesh.baselines.common.pose_prior import PosePrior
from pose2mesh.baselines.interface import Baseline, BaselineInput
from pose2mesh.baselines.methods.arnab import Arnab
from pose2mesh.baselines.methods.smplify import FROM_A_GOOD_START, FROM_NOTHING, SMPLify
from pose2mesh.body_models.default_body import default_body
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.datasets.synthetic.bodies import ShapeConfig
from pose2mesh.datasets.synthetic.pose_sampling import sample_procedural
from pose2mesh.errors import InputError
from pose2mesh.inference.predictor import Predictor, bone_log_lengths
from pose2mesh.models.bundle.bundle_info import BundleInfo
from pose2mesh.skeletons import COCO, JointSet

_BODIES = 200  # from which standing heights are told


def _smplify(fitter: Fitter) -> SMPLify:
    return SMPLify("smplify", fitter, mean_pose, FROM_NOTHING)


def _smplify_started(fitter: Fitter) -> SMPLify:
    return SMPLify("smplify-started", fitter, NetworkStart(Predictor.load(), fitter), FROM_A_GOOD_START)


def _arnab(fitter: Fitter) -> Arnab:
    return Arnab(_smplify_started(fitter))


MAKERS: dict[str, Callable[[Fitter], Baseline]] = {
    "smplify": _smplify,
    "smplify-started": _smplify_started,
    "arnab": _arnab,
}


class BaselineBackend:
    """See `inference.backend.Backend`.

    Args:
        baseline: The method.
        body: Whose mesh it gives.
    """

    def __init__(self, baseline: Baseline, body: BodyModel) -> None:
        self.baseline = baseline
        self.faces = body.faces.numpy().astype(np.int32)
        self.template = body.template.numpy()
        self.info = BundleInfo(
            name=baseline.name,
            joint_set=baseline.joint_set.name,
            body="anny",
            config={},
            data="a pose prior from the training clips",
            licence="Apache-2.0",
            stature_features=stature_features(body, baseline.joint_set),
        )

    @staticmethod
    def load(name: str, device: str) -> BaselineBackend:
        """A baseline of `MAKERS`.

        Raises:
            InputError: another device than the CPU, or the body is not installed.
        """
        if device != "cpu":
            raise InputError(f"--device {device}: model {name!r} runs on the cpu")
        body = default_body()
        baseline = MAKERS[name](Fitter(body, COCO, PosePrior.load()))
        return VideoBackend(baseline, body) if isinstance(baseline, Arnab) else BaselineBackend(baseline, body)

    def run(
        self, pixels: NDArray[np.float32], confidence: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See `inference.backend.Backend`: everyone is somebody else."""
        people = torch.arange(len(pixels))
        found = self.baseline(BaselineInput(torch.from_numpy(pixels), torch.from_numpy(confidence), people))
        return found.joints.numpy(), found.vertices.numpy()


class VideoBackend(BaselineBackend):
    """See `inference.backend.TrackBackend`: a method that fits the frames of a video together."""

    # A window's vertices are in memory together, 50 MB. Shorter ones know less of the shape: of two training clips with
    # noisy 2D, 360 frames in windows of 120 had 4 % larger errors than in one.
    window, overlap = 300, 30

    def run_track(
        self, pixels: NDArray[np.float32], confidence: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """See `inference.backend.TrackBackend`."""
        person = torch.zeros(len(pixels), dtype=torch.long)
        found = self.baseline(BaselineInput(torch.from_numpy(pixels), torch.from_numpy(confidence), person))
        return found.joints.numpy(), found.vertices.numpy(), found.joints_px.numpy()


def stature_features(body: BodyModel, joint_set: JointSet) -> list[float]:
    """`BundleInfo.stature_features` of the body itself: its standing height from the lengths of its bones, by ridge."""
    generator = torch.Generator().manual_seed(0)
    phenotypes = ShapeConfig().sample(_BODIES, generator)
    with torch.no_grad():
        parts = phenotypes.split(50)
        regressor = body.regressor(joint_set)
        joints = torch.cat([regressor @ body(part, sample_procedural(len(part), generator)) for part in parts])
        goal = np.log(body.stature(phenotypes).double().numpy())
    features = bone_log_lengths(joints.numpy(), joint_set)
    middle = features.mean(0)
    centred = features - middle
    weights = np.linalg.solve(
        centred.T @ centred + 1e-4 * len(centred) * np.eye(centred.shape[1]), centred.T @ (goal - goal.mean())
    )
    return [*weights.tolist(), float(goal.mean() - middle @ weights)]
