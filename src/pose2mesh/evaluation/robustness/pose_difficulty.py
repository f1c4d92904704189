"""How hard a pose is to lift, told by something that cannot have learned it from a clip.

The reference lifts by looking up: among people drawn from joint limits alone it finds those whose normalised 2D joints
are nearest, and answers with the mean of their 3D joints. It knows no clip, so it can overfit to none; where it errs
more the 2D pose is rarer, or tells less of the depth, for any method.
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
BODIES, NEAREST = 20_000, 20


class PoseDifficulty:
    """20,000 people from joint limits, drawn once.

    Args:
        synthesiser: Of the Anny body and the model's joint set.
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
        self.known = self._normalised(batch.joints_px)

    def _normalised(self, joints_px: Tensor) -> Tensor:
        """(P, 2 · joints) less their mean, over their spread."""
        pixels = joints_px[:, self.columns]
        centred = pixels - pixels.mean(1, keepdim=True)
        return (centred / centred.square().mean((1, 2), keepdim=True).sqrt()).flatten(1)

    def difficulty_mm(self, people: SampleSet) -> NDArray[np.float64]:
        """(P,) the reference's MPJPE on people with a truth, in the axes of a camera that faces each."""
        assert people.ground_truth is not None
        distance = torch.cdist(self._normalised(torch.from_numpy(people.joints_px)), self.known)
        nearest = distance.topk(NEAREST, largest=False).indices
        found = self.joints[nearest].mean(1)[:, self.columns].numpy()
        true = people.ground_truth.joints @ people.ground_truth.to_ray.swapaxes(1, 2)
        return distance_mm(found, true[:, self.columns])
