"""Neural Body Fitting (Omran, Lassner, Pons-Moll, Gehler and Schiele 2018, arXiv 1808.05942): predicts body
parameters from a part segmentation.

The encoder takes the part map only, which is independent of clothes and light. Its features give a shape and, for
each bone, a matrix of nine numbers, which is projected to the nearest rotation. Predictions are supervised by
parameters and 3D joints where these are given, and by the 2D joints of all samples, through the body model.

Differs from the paper: the body; the encoder, which is the backbone of all methods here with a hidden layer; the map is
given, with simulated detection errors, instead of predicted by a network that is trained jointly; camera scale and
shift are predicted, where the paper normalises the size and position of people; the input is twelve probabilities a
pixel instead of an image of part colours.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from pose2mesh.baselines.common.backbone import FEATURES, Backbone
from pose2mesh.baselines.common.baseline_losses import ParameterWeights, parameter_losses
from pose2mesh.baselines.common.body_layer import BodyLayer, BodyParameters
from pose2mesh.baselines.common.parameter_regressor import mean_parameters, near_zero_layer
from pose2mesh.baselines.interface import BodyEstimate, LearnedBaseline
from pose2mesh.baselines.observation import MAP_PX, PARTS, GroundTruth, Need, Observation
from pose2mesh.body_models.bones import BODY_BONES
from pose2mesh.body_models.interface import PHENOTYPES
from pose2mesh.geometry.rotations import nearest_rotation

# Sizes of the parameters: matrices, shape, scale and shift of the camera.
_SIZES = (9 * len(BODY_BONES), len(PHENOTYPES), 1, 2)
_LEAST_CURVATURE = 0.02  # damps the gradient of the nearest rotation below this curvature; at a rotation it is 2


@dataclass
class NBFSettings:
    """Settings of NBF.

    Attributes:
        hidden: Width of the layer between features and parameters.
        weights: Weights of the losses.
    """

    hidden: int = 512
    weights: ParameterWeights = field(default_factory=ParameterWeights)


class NBF(LearnedBaseline):
    """NBF as a `LearnedBaseline`.

    Args:
        layer: The body layer.
        settings: Its settings.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"parts"})
    mean: Tensor

    def __init__(self, layer: BodyLayer, settings: NBFSettings | None = None) -> None:
        super().__init__()
        self.settings = settings or NBFSettings()
        self.layer, self.joint_set = layer, layer.joint_set
        self.encoder = Backbone(PARTS, MAP_PX)
        last = near_zero_layer(self.settings.hidden, sum(_SIZES))
        self.head = nn.Sequential(nn.Linear(FEATURES, self.settings.hidden), nn.ReLU(), last)
        mean = mean_parameters(layer)
        numbers = torch.cat((mean.rotations.flatten(1), mean.shape, mean.log_scale[:, None], mean.shift_m), dim=1)
        self.register_buffer("mean", numbers[0], persistent=False)

    def forward(self, observation: Observation) -> BodyParameters:
        assert observation.parts is not None
        numbers = self.mean + self.head(self.encoder(observation.parts).vector)
        matrices, shape, log_scale, shift_m = numbers.split(_SIZES, dim=1)
        rotations = to_rotation(matrices.reshape(len(matrices), len(BODY_BONES), 3, 3))
        return BodyParameters(shape, rotations, log_scale[:, 0], shift_m)

    def losses(self, observation: Observation, ground_truth: GroundTruth, progress: float) -> dict[str, Tensor]:
        """See `LearnedBaseline`."""
        return parameter_losses(self(observation), ground_truth, self.layer, self.settings.weights)

    @torch.no_grad()
    def estimate(self, observation: Observation) -> BodyEstimate:
        """See `LearnedBaseline`."""
        return self.layer.estimate(self(observation))


def to_rotation(matrix: Tensor) -> Tensor:
    """The rotations nearest to matrices (…, 3, 3): `geometry.rotations.nearest_rotation` with a stable gradient."""
    rotation: Tensor = _NearestRotation.apply(matrix)
    return rotation


class _NearestRotation(torch.autograd.Function):
    """For M = R P, where R is the nearest rotation and P is symmetric, the derivative of R is R [ω]×, with

        (tr(P) I − P) ω = vee(Rᵀ dM − dMᵀ R),    vee(A) = (A₃₂, A₁₃, A₂₁).

    The derivative through the factors of the SVD is a difference of terms that are unbounded where two singular values
    are equal, as those of a rotation are. The eigenvalues of the matrix on the left are sums of two singular values: it
    is singular only where the nearest rotation is discontinuous, and is damped there.
    """

    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> Tensor:
        rotation = nearest_rotation(matrix)
        ctx.save_for_backward(matrix, rotation)
        return rotation

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        matrix, rotation = ctx.saved_tensors
        stretch = rotation.mT @ matrix
        identity = torch.eye(3, dtype=matrix.dtype, device=matrix.device)
        curvature = stretch.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None] * identity - stretch
        turned = rotation.mT @ gradient
        # The curvature is symmetric: this is its inverse, except for eigenvalues as small as the damping.
        damped = curvature.mT @ curvature + _LEAST_CURVATURE**2 * identity
        spin = torch.linalg.solve(damped, curvature.mT @ _vee(turned - turned.mT)[..., None])[..., 0]
        x, y, z = spin.unbind(-1)
        zero = torch.zeros_like(x)
        cross = torch.stack((zero, -z, y, z, zero, -x, -y, x, zero), dim=-1).reshape(matrix.shape)
        return rotation @ cross


def _vee(skew: Tensor) -> Tensor:
    return torch.stack((skew[..., 2, 1], skew[..., 0, 2], skew[..., 1, 0]), dim=-1)
