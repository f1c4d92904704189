"""The iterative parameter regressor of HMR and SPIN: features to body and camera parameters.

As in HMR (Kanazawa et al. 2018, section 3.2): starting from the mean body, the regressor takes the features and the
current parameters and predicts a correction. Rotations are six numbers, the first two columns of the matrix before
orthonormalisation (Zhou et al. 2019), a continuous representation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pose2mesh.baselines.common.baseline_camera import solve_camera
from pose2mesh.baselines.common.body_layer import BodyLayer, BodyParameters
from pose2mesh.baselines.common.pose_prior import PosePrior
from pose2mesh.baselines.observation import MARGIN
from pose2mesh.body_models.bones import BODY_BONES
from pose2mesh.body_models.interface import PHENOTYPES
from pose2mesh.geometry.rotations import WORLD_TO_CAMERA, rotation_from_six, rotation_from_vector, six_of_rotation

# Sizes of the parameters: rotations, shape, scale and shift of the camera.
_SIZES = (6 * len(BODY_BONES), len(PHENOTYPES), 1, 2)


class ParameterRegressor(nn.Module):
    """Predicts body and camera parameters from features.

    Differs from the paper: six numbers a rotation, as in SPIN, instead of the three of a rotation vector, which is
    discontinuous at half a turn; hidden layers of 384 for 512 features instead of 1024 for 2048.

    Args:
        features: Number of features.
        layer: The body layer.
        iterations: Number of corrections.
        hidden: Width of the two hidden layers.
    """

    mean: Tensor

    def __init__(self, features: int, layer: BodyLayer, iterations: int = 3, hidden: int = 384) -> None:
        super().__init__()
        self.iterations = iterations
        self.correct = nn.Sequential(
            nn.Linear(features + sum(_SIZES), hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            near_zero_layer(hidden, sum(_SIZES)),
        )
        self.register_buffer("mean", _numbers(mean_parameters(layer))[0], persistent=False)

    def forward(self, features: Tensor) -> list[BodyParameters]:
        """Parameters after each correction, of features (B, features); the last are the final prediction."""
        numbers = self.mean.expand(len(features), -1)
        predictions = []
        for _ in range(self.iterations):
            numbers = numbers + self.correct(torch.cat((features, numbers), dim=1))
            predictions.append(_parameters(numbers))
        return predictions


def near_zero_layer(width: int, numbers: int) -> nn.Linear:
    """A last layer whose initial outputs are close to 0, so that predictions start near the mean."""
    last = nn.Linear(width, numbers)
    nn.init.xavier_uniform_(last.weight, gain=0.01)
    nn.init.zeros_(last.bias)
    return last


@torch.no_grad()
def mean_parameters(layer: BodyLayer, prior: PosePrior | None = None) -> BodyParameters:
    """The middle shape in the mean pose, facing the camera: one body.

    The camera matches the definition of crops: the mean of the joints projects to the centre, the farthest joint
    to 1 / `MARGIN` of half the side of the crop.

    Args:
        layer: The body layer.
        prior: Pose prior with the mean pose; the one that ships by default.
    """
    prior = (prior or PosePrior.load()).to(layer.low.device)
    facing = layer.low.new_tensor(WORLD_TO_CAMERA)
    rotations = torch.cat((facing[None], rotation_from_vector(prior.mean)))[None]
    unplaced = BodyParameters(layer.low.new_zeros(1, 6), rotations, layer.low.new_zeros(1), layer.low.new_zeros(1, 2))
    joints = layer.joints(unplaced)
    projected = unplaced.project(joints)
    projected = projected - projected.mean(1, keepdim=True)
    projected = projected / (MARGIN * projected.abs().amax())
    scale, shift = solve_camera(joints, projected, torch.ones_like(projected[..., 0]))
    return BodyParameters(unplaced.shape, rotations, scale.log(), shift)


def _numbers(parameters: BodyParameters) -> Tensor:
    six = six_of_rotation(parameters.rotations).flatten(1)
    return torch.cat((six, parameters.shape, parameters.log_scale[:, None], parameters.shift_m), dim=1)


def _parameters(numbers: Tensor) -> BodyParameters:
    six, shape, log_scale, shift_m = numbers.split(_SIZES, dim=1)
    rotations = rotation_from_six(six.reshape(len(six), len(BODY_BONES), 6))
    return BodyParameters(shape, rotations, log_scale[:, 0], shift_m)
