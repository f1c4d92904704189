"""Difficulty of lifting a pose, measured by a reference that is not trained on any clip.

The reference is a nearest-neighbour lifter: among bodies sampled from joint limits alone it finds those with the
nearest normalised 2D joints and predicts the mean of their 3D joints. It uses no clip, so it cannot overfit to one;
where its error is larger, the 2D pose is rarer or determines the depth less well, for any method.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pose2mesh.datasets.synthetic.bodies import BodySynthesiser, SyntheticConfig, detect, sample_people
from pose2mesh.datasets.synthetic.detection_noise import NoiseConfig
from pose2mesh.datasets.synthetic.pose_sampling import PoseConfig, PoseSource
from pose2mesh.evaluation.robustness.predictions import distance_mm
from pose2mesh.evaluation.robustness.sample_sets import SampleSet

Floats: TypeAlias = NDArray[np.floating]
BODIES, NEIGHBOURS = 20_000, 20


class PoseDifficulty:
    """Nearest-neighbour lifter over 20,000 bodies sampled from joint limits, made once.

    Args:
        synthesiser: Makes bodies with the joints of the model's joint set.
    """

    def __init__(self, synthesiser: BodySynthesiser) -> None:
        generator = torch.Generator().manual_seed(0)
        source = PoseSource(None, PoseConfig(procedural=1.0))
        exact = NoiseConfig(model="none", drop=0.0, clean=0.0, plain_confidence=1.0, out_of_picture=False)
        self.columns = synthesiser.joint_set.evaluation_indices
        with torch.no_grad():
            people = sample_people(BODIES, source, synthesiser, SyntheticConfig(views=1), generator)
            batch = detect(people, synthesiser.joint_set, exact, generator)
        self.joints = batch.joints
        self.features = self._normalised(batch.joints_px)

    def _normalised(self, joints_px: Tensor) -> Tensor:
        """2D joints as features (P, 2 · joints): less their mean, divided by their spread."""
        pixels = joints_px[:, self.columns]
        centred = pixels - pixels.mean(1, keepdim=True)
        return (centred / centred.square().mean((1, 2), keepdim=True).sqrt()).flatten(1)

    def difficulty_mm(self, people: SampleSet) -> NDArray[np.float64]:
        """The reference's MPJPE (P,) on samples with a ground truth, in the axes of a camera that faces each person."""
        assert people.ground_truth is not None
        distance = torch.cdist(self._normalised(torch.from_numpy(people.joints_px)), self.features)
        nearest = distance.topk(NEIGHBOURS, largest=False).indices
        prediction = self.joints[nearest].mean(1)[:, self.columns].numpy()
        true = people.ground_truth.joints @ people.ground_truth.to_ray.swapaxes(1, 2)
        return distance_mm(prediction, true[:, self.columns])
