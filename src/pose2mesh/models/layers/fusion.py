"""Layer that merges lifted joints with 3D joints estimated from the image; see `models.depth_fusion`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pose2mesh.models.depth_fusion import IMAGE_WEIGHT, SHORTEST_M, bone_matrices
from pose2mesh.skeletons import JointSet


class DepthFusion(nn.Module):
    """The step between the lifter and MeshNet where 3D joints from the image are given; it has no weights.

    Args:
        joint_set: Joint set of all joints; its bones form a tree from the root.
    """

    bones: Tensor
    paths: Tensor

    def __init__(self, joint_set: JointSet) -> None:
        super().__init__()
        self.root_index = joint_set.root_index
        bones, paths = bone_matrices(joint_set)
        self.register_buffer("bones", torch.from_numpy(bones), persistent=False)
        self.register_buffer("paths", torch.from_numpy(paths), persistent=False)

    def forward(self, lifted: Tensor, joints3d_m: Tensor) -> Tensor:
        """The merged joints (B, J, 3), metres, with the lifter's root joint.

        Args:
            lifted: (B, J, 3) joints of the lifter, in the axes of a camera that faces the person.
            joints3d_m: (B, J, 3) the joints estimated from the image, metres, in the same axes, from any origin. A bone
                with NaN at one of its joints stays as lifted.
        """
        ours = self.bones @ lifted.float()
        theirs = self.bones @ torch.nan_to_num(joints3d_m)
        # NaN times 0 is NaN: one missing joint would spoil the product for all bones, so missing ones are found apart.
        missing = self.bones.abs() @ joints3d_m.isnan().any(-1, keepdim=True).to(ours.dtype) > 0
        mean = (1 - IMAGE_WEIGHT) * ours + IMAGE_WEIGHT * theirs
        length = (1 - IMAGE_WEIGHT) * ours.norm(dim=-1) + IMAGE_WEIGHT * theirs.norm(dim=-1)
        size = mean.norm(dim=-1)
        merged = mean * (length / size.clamp_min(SHORTEST_M))[..., None]
        fused = self.paths @ torch.where(missing | (size < SHORTEST_M)[..., None], ours, merged)
        return fused + lifted[:, self.root_index, None]
