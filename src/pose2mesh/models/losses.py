"""Training losses of Pose2Mesh (Choi et al. 2020, section 5), each masked where a sample lacks its label.

All losses are in metres and unweighted; the sum of the weighted terms (`training.pose2mesh_module`) takes the two joint
terms in millimetres, as published. Labels of masked samples must be finite, such as zeros: they are multiplied by the
mask.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class LossWeights:
    """Weights of the terms. The defaults are the published ones.

    Attributes:
        vertex: Weight of the L1 distance of the points of the mesh, in metres.
        point: Weight of the L1 distance of MeshNet's points where the mesh is skinned (`network.skinned`), in metres;
            the distance of `vertex` is then that of the skinned body.
        mesh_joint: Weight of the L1 distance of the joints regressed from the mesh, in millimetres.
        normal: Weight of `normal_loss`.
        edge: Weight of `edge_loss`, in metres.
        lifted_joint: Weight of the L1 distance of the lifter's joints, of its landmarks and of its shape
            (`shape_loss`), in millimetres.
        expected_error: Weight of `expected_error_loss` in units of `lifted_joint`: its gradient reaches nothing else.
        edge_from_epoch: First epoch with the edge term (epochs count from 0).
    """

    vertex: float = 1.0
    point: float = 0.3
    mesh_joint: float = 1e-3
    normal: float = 0.1
    edge: float = 20.0
    lifted_joint: float = 1e-3
    expected_error: float = 0.01
    edge_from_epoch: int = 7


def masked_l1(predicted: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Mean absolute difference between the coordinates of points (B, N, 3), over the points marked by `valid`.

    Args:
        predicted, target: (B, N, 3) points.
        valid: (B, N) or (B, 1) mask.

    Returns:
        Scalar; 0 where no point is marked.
    """
    valid = valid[..., None].to(predicted.dtype).expand_as(predicted)
    return ((predicted - target).abs() * valid).sum() / valid.sum().clamp_min(1)


def shape_loss(predicted: Tensor, target: Tensor, size_m: Tensor, valid: Tensor) -> Tensor:
    """Absolute differences of shape coefficients (B, S), each by the displacement of the surface that it causes.

    Args:
        predicted, target: (B, S).
        size_m: (S,) displacement of the surface by each coefficient of one, metres (`ShapeBasis.size_m`).
        valid: (B,) marks the samples with a known shape.

    Returns:
        Scalar, metres: the mean over coefficients and valid samples.
    """
    return _masked_mean(((predicted - target).abs() * size_m).mean(1), valid)


def expected_error_loss(log_errors: Tensor, errors: Tensor, valid: Tensor) -> Tensor:
    """Negative log likelihood of absolute errors (B, N) under Laplace distributions of the expected size, per error.

    Its minimum is where the expected error is the mean absolute error. The errors themselves get no gradient.

    Args:
        log_errors: (B, N) logarithm of the expected absolute errors.
        errors: (B, N) absolute errors, in the same unit.
        valid: (B, N) mask.

    Returns:
        Scalar; 0 where no error is marked.
    """
    likelihood = errors.detach() * torch.exp(-log_errors) + log_errors
    valid = valid.to(likelihood.dtype)
    return (likelihood * valid).sum() / valid.sum().clamp_min(1)


def normal_loss(predicted: Tensor, target: Tensor, faces: Tensor, valid: Tensor) -> Tensor:
    """Mean |cos| of the angle between each predicted edge and the ground-truth normal of its face.

    Args:
        predicted, target: (B, N, 3) points.
        faces: (F, 3) triangles between them.
        valid: (B,) marks the samples that have a ground-truth surface.

    Returns:
        Scalar in [0, 1]: the mean over edges and valid samples; 0 where no sample is valid.
    """
    a, b, c = (target[:, faces[:, corner]] for corner in range(3))
    normal = torch.nn.functional.normalize(torch.linalg.cross(b - a, c - a), dim=-1)
    a, b, c = (predicted[:, faces[:, corner]] for corner in range(3))
    edges = torch.nn.functional.normalize(torch.stack((b - a, c - a, c - b)), dim=-1, eps=1e-8)
    return _masked_mean((edges * normal).sum(-1).abs().mean((0, 2)), valid)


def edge_loss(predicted: Tensor, target: Tensor, faces: Tensor, valid: Tensor) -> Tensor:
    """Mean absolute difference of the edge lengths of all faces, in metres; arguments as for `normal_loss`."""
    difference = _edge_lengths(predicted, faces) - _edge_lengths(target, faces)
    return _masked_mean(difference.abs().mean((0, 2)), valid)


def _edge_lengths(points: Tensor, faces: Tensor) -> Tensor:
    """(3, B, F) in the order (0, 1), (1, 2), (2, 0)."""
    a, b, c = (points[:, faces[:, corner]] for corner in range(3))
    # The tiny constant keeps the gradient of a collapsed edge finite.
    return torch.stack((b - a, c - b, a - c)).square().sum(-1).add(1e-12).sqrt()


def _masked_mean(values: Tensor, valid: Tensor) -> Tensor:
    """Scalar mean of per-sample values (B,) over the valid samples."""
    valid = valid.to(values.dtype)
    return (values * valid).sum() / valid.sum().clamp_min(1)
