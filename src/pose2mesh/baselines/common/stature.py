"""Standing height of the body model as a linear function of the logarithms of its bone lengths."""

from __future__ import annotations

import numpy as np
import torch

from pose2mesh.body_models.interface import BodyModel
from pose2mesh.datasets.synthetic.bodies import ShapeConfig
from pose2mesh.datasets.synthetic.procedural_poses import sample_procedural
from pose2mesh.inference.predictor import bone_log_lengths
from pose2mesh.skeletons import JointSet

_BODIES = 200  # number of random bodies that the regression is fitted to


def stature_features(body: BodyModel, joint_set: JointSet) -> list[float]:
    """`BundleInfo.stature_features` of the body model, by ridge regression on random shapes and poses."""
    generator = torch.Generator().manual_seed(0)
    phenotypes = ShapeConfig().sample(_BODIES, generator)
    with torch.no_grad():
        batches = phenotypes.split(50)
        regressor = body.regressor(joint_set)
        joints = torch.cat([regressor @ body(batch, sample_procedural(len(batch), generator)) for batch in batches])
        target = np.log(body.stature(phenotypes).double().numpy())
    features = bone_log_lengths(joints.numpy(), joint_set)
    mean = features.mean(0)
    centred = features - mean
    weights = np.linalg.solve(
        centred.T @ centred + 1e-4 * len(centred) * np.eye(centred.shape[1]), centred.T @ (target - target.mean())
    )
    return [*weights.tolist(), float(target.mean() - mean @ weights)]
