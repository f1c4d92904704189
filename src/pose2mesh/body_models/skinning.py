"""Linear blend skinning, of all vertices of a body or of chosen points alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pose2mesh.body_models.interface import BodyModel


def skin(points: Tensor, weights: Tensor, rotations: Tensor, translations: Tensor) -> Tensor:
    """Linear blend skinning: posed points (B, N, 3).

    Args:
        points: (B, N, 3) at rest.
        weights: (N, R) skinning weights of R bones.
        rotations, translations: (B, R, 3, 3) and (B, R, 3) from rest points to posed points, for each bone.
    """
    batch, bones = translations.shape[:2]
    affine = torch.cat((rotations, translations[..., None]), dim=-1).reshape(batch, bones, 12)
    blended = (weights @ affine).reshape(batch, -1, 3, 4)
    return (blended[..., :3] @ points[..., None])[..., 0] + blended[..., 3]


class SkinnedPoints(nn.Module):
    """Points regressed from a body's vertices, posed without posing the vertices.

    Σ_v r_v Σ_b w_vb (G_b x_v + t_b) = Σ_b G_b (Σ_v r_v w_vb x_v) + t_b Σ_v r_v w_vb, and the rest vertices x_v are
    linear in the blend-shape coefficients. Both sums over v are computed once, in float64. Exact to 2e-7 m; the float32
    product of a regressor with all vertices is not (1e-5 m for a row with thousands of weights).

    Args:
        body: The body whose vertices the points are regressed from.
        regressor: (N, V) one row per point.
    """

    point: Tensor
    bone: Tensor
    mass: Tensor
    moment: Tensor
    moment_shape: Tensor

    def __init__(self, body: BodyModel, regressor: Tensor) -> None:
        super().__init__()
        body_weights = body.skin_weights.double()
        device = body_weights.device
        regressor = regressor.to(device).double()
        rest, shapes = body.rest_vertices.double(), body.shapes.double().reshape(-1, *body.rest_vertices.shape)
        points, bones, masses, moments, moment_shapes = [], [], [], [], []
        for row, weights in enumerate(regressor):
            vertices = weights.nonzero()[:, 0]
            pull = weights[vertices, None] * body_weights[vertices]  # (n, bones)
            for bone in (pull.abs().sum(0) > 1e-9).nonzero()[:, 0].tolist():
                points.append(row)
                bones.append(bone)
                masses.append(pull[:, bone].sum())
                moments.append(pull[:, bone] @ rest[vertices])
                moment_shapes.append(torch.einsum("n,knc->kc", pull[:, bone], shapes[:, vertices]))
        self.count = len(regressor)
        self.register_buffer("point", torch.tensor(points, device=device), persistent=False)
        self.register_buffer("bone", torch.tensor(bones, device=device), persistent=False)
        self.register_buffer("mass", torch.stack(masses).float()[:, None], persistent=False)
        self.register_buffer("moment", torch.stack(moments).float(), persistent=False)
        self.register_buffer("moment_shape", torch.stack(moment_shapes, dim=1).flatten(1).float(), persistent=False)

    def forward(self, coefficients: Tensor, rotations: Tensor, translations: Tensor) -> Tensor:
        """Posed points (B, N, 3).

        Args:
            coefficients: (B, S) of the blend shapes.
            rotations, translations: As `BodyModel.bone_transforms` returns them.
        """
        batch = len(coefficients)
        moment = self.moment + (coefficients @ self.moment_shape).reshape(batch, -1, 3)
        parts = (rotations[:, self.bone] @ moment[..., None])[..., 0] + self.mass * translations[:, self.bone]
        return parts.new_zeros(batch, self.count, 3).index_add(1, self.point, parts)
