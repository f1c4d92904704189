"""Chosen vertices and regressed joints of a body of the SMPL family, posed without posing the other vertices.

SMPL (Loper et al. 2015) is linear blend skinning of a rest body that is linear in the shape coefficients and in the
entries of the joints' rotation matrices. A joint regressor commutes with that, as in
`body_models.skinning.SkinnedPoints`: regressor × skin weights × (template, shapes, pose shapes) is contracted once, in
float64.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pose2mesh.body_models.bones import depth_levels
from pose2mesh.body_models.skinning import skin
from pose2mesh.body_models.smpl import SmplBody
from pose2mesh.geometry.rotations import rotation_from_vector


class SmplPoints(nn.Module):
    """Poses `R` vertices and `N` regressed points of a body with `K` joints.

    The rest body is linear in D numbers (1, 10 shape coefficients, 9 · (K − 1) entries of rotation matrices): one
    matrix gives the vertices, another the moments Σ_v r_v w_vk x_v of each regressed point and each joint k that the
    point depends on.

    Args:
        body: The body.
        vertices: (R,) indices; empty for regressed points alone.
        rows: (N, V) regressors.
    """

    rest: Tensor
    weights: Tensor
    moment: Tensor
    mass: Tensor
    row: Tensor
    bone: Tensor
    joint_rest: Tensor
    mean_pose: Tensor
    parent: Tensor

    def __init__(self, body: SmplBody, vertices: Tensor, rows: Tensor) -> None:
        super().__init__()
        arrays = body.arrays
        self.count, self._levels = len(rows), depth_levels(arrays.parents.tolist())
        basis = torch.cat(
            [
                torch.from_numpy(part).double()
                for part in (arrays.template[..., None], arrays.shapes, arrays.pose_shapes)
            ],
            dim=2,
        ).permute(2, 0, 1)  # (D, V, 3)
        weights = torch.from_numpy(arrays.skin_weights).double()
        pull = rows.double()[:, :, None] * weights  # (N, V, K)
        row, bone = (pull.abs().sum(1) > 1e-9).nonzero().T
        pull = pull[row, :, bone]  # (pairs, V)
        shaped = basis[:11].transpose(0, 1)  # without the pose, on which the rest joints do not depend
        joints = torch.from_numpy(arrays.joint_regressor).double() @ shaped.flatten(1)

        def buffer(name: str, value: Tensor) -> None:
            self.register_buffer(name, value.contiguous(), persistent=False)

        buffer("rest", basis[:, vertices].flatten(1).float())
        buffer("weights", weights[vertices].float())
        buffer("moment", torch.einsum("pv,dvc->dpc", pull, basis).flatten(1).float())
        buffer("mass", pull.sum(1, keepdim=True).float())
        buffer("row", row)
        buffer("bone", bone)
        buffer("joint_rest", joints.reshape(-1, 11, 3).transpose(0, 1).flatten(1).float())
        buffer("mean_pose", body.mean_pose)
        buffer("parent", torch.from_numpy(arrays.parents).clamp_min(0))

    def forward(self, pose: Tensor, shape: Tensor) -> Tensor:
        """(B, R + N, 3) in metres, the vertices first; the root joint stays at its place in the shaped rest body.

        Args:
            pose: (B, K, 3) axis-angle of every joint relative to its parent, radians.
            shape: (B, 10) coefficients.
        """
        B = len(pose)
        local = rotation_from_vector(pose + self.mean_pose)
        shaped = torch.cat((shape.new_ones(B, 1), shape), dim=1)
        heads = (shaped @ self.joint_rest).reshape(B, -1, 3)
        rotations, translations = self._transforms(local, heads)
        bent = local[:, 1:] - torch.eye(3, device=pose.device)
        numbers = torch.cat((shaped, bent.flatten(1)), dim=1)
        vertices = skin((numbers @ self.rest).reshape(B, -1, 3), self.weights, rotations, translations)
        moment = (numbers @ self.moment).reshape(B, -1, 3)
        parts = (rotations[:, self.bone] @ moment[..., None])[..., 0] + self.mass * translations[:, self.bone]
        regressed = parts.new_zeros(B, self.count, 3).index_add(1, self.row, parts)
        return torch.cat((vertices, regressed), dim=1)

    def _transforms(self, local: Tensor, heads: Tensor) -> tuple[Tensor, Tensor]:
        """Rotations (B, K, 3, 3) and translations (B, K, 3) from rest points to posed points, for each joint."""
        rotations, posed = local.clone(), heads.clone()
        for joints in self._levels:  # from the root outwards
            above = self.parent[joints]
            offset = (heads[:, joints] - heads[:, above])[..., None]
            rotations[:, joints] = rotations[:, above] @ local[:, joints]
            posed[:, joints] = posed[:, above] + (rotations[:, above] @ offset)[..., 0]
        return rotations, posed - (rotations @ heads[..., None])[..., 0]
