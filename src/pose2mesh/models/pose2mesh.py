"""The whole network: pixels and confidences → lifted joints → surface → vertices and joints."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from pose2mesh.errors import InputError
from pose2mesh.models.layers.chebyshev import GraphLaplacian
from pose2mesh.models.mesh_topology import MeshTopology, laplacians
from pose2mesh.models.meshnet import MeshNet
from pose2mesh.models.network_config import NetworkConfig
from pose2mesh.models.posenet import PoseNet
from pose2mesh.skeletons import JointSet


class Prediction(NamedTuple):
    """Of one batch, in metres, camera axes, relative to the root joint.

    Attributes:
        lifted: (B, J, 3) PoseNet's joints.
        points: (B, R, 3) MeshNet's points on the surface.
        landmarks: (B, L, 3) PoseNet's points on the surface, of a network that has them.
    """

    lifted: Tensor
    points: Tensor
    landmarks: Tensor | None = None


class Pose2Mesh(nn.Module):
    """PoseNet and MeshNet for one body and one joint set.

    Args:
        config: Sizes and inputs.
        joint_set: The input joints.
        surface: The body mesh and its hierarchy.

    Raises:
        InputError: the config does not fit the hierarchy.
    """

    nodes: Tensor
    point_regressor: Tensor
    joint_base: Tensor | None
    landmarks: Tensor | None
    landmark_base: Tensor | None

    def __init__(self, config: NetworkConfig, joint_set: JointSet, surface: MeshTopology) -> None:
        super().__init__()
        self.config, self.joint_set = config, joint_set
        J = len(joint_set)
        extra = int(config.confidence_input)
        self.posenet = PoseNet(
            J,
            2 + extra,
            config.posenet_width,
            config.posenet_blocks,
            config.posenet_dropout,
            config.posenet_unit_m,
            config.landmarks,
        )
        joint_graph, *mesh_graphs = map(GraphLaplacian, laplacians(surface, joint_set, config.spectrum))
        self.meshnet = MeshNet(
            joint_graph,
            mesh_graphs,
            5 + extra,
            tuple(config.joint_widths),
            tuple(tuple(block) for block in config.block_widths),
            config.head_width,
            config.chebyshev_order,
        )
        self.register_buffer("nodes", torch.from_numpy(surface.nodes), persistent=False)
        self.upsample: Upsample | None = None
        if surface.upsample_index is not None and surface.upsample_weight is not None:
            self.upsample = Upsample(surface.upsample_index, surface.upsample_weight)
        for name in ("joint_base", "landmarks", "landmark_base"):
            fixed = getattr(surface, name) if config.joint_base and (config.landmarks or name == "joint_base") else None
            self.register_buffer(name, None if fixed is None else torch.from_numpy(fixed), persistent=False)
        if config.joint_base and self.joint_base is None:
            raise InputError("network.joint_base is true, but the surface has no weights for it")
        if config.landmarks and (self.landmarks is None or len(self.landmarks) != config.landmarks):
            raise InputError(f"network.landmarks is {config.landmarks}, but the surface has no weights for so many")
        self.register_buffer("point_regressor", torch.from_numpy(surface.point_regressor()), persistent=False)

    def normalise(self, joints_px: Tensor, confidence: Tensor) -> Tensor:
        """Network inputs (B, J, 2 or 3) from pixels (B, J, 2) and confidences (B, J).

        Subtract the mean and divide by the standard deviation over the joints that are there, weighted by their
        confidence where the network has it as an input. A missing joint (confidence 0) is zero in every channel,
        whatever its coordinates hold.
        """
        there = confidence[..., None] > 0
        joints_px = torch.where(there, joints_px, 0.0)
        weight = confidence[..., None] if self.config.confidence_input else there.to(joints_px.dtype)
        total = weight.sum(1, keepdim=True).clamp_min(1e-6)
        centred = joints_px - (weight * joints_px).sum(1, keepdim=True) / total
        variance = (weight * centred.square()).sum(1, keepdim=True) / total
        if self.config.isotropic:
            variance = variance.mean(-1, keepdim=True)
        # Joints in a line along an axis have no spread but rounding's, some 1e-4 pixels, which is not to be blown up.
        x = torch.where(there, centred / variance.clamp_min(1e-6).sqrt(), 0.0)
        return torch.cat((x, confidence[..., None]), dim=-1) if self.config.confidence_input else x

    def forward(self, joints_px: Tensor, confidence: Tensor) -> Prediction:
        """Pixels (B, J, 2) and confidences (B, J) in [0, 1] → `Prediction`."""
        x = self.normalise(joints_px, confidence)
        lifted, offsets = self._lift(x)
        # The lifter learns from its own loss alone: MeshNet's gradient stops here (as in the paper).
        nodes = self.meshnet(torch.cat((x, lifted.detach().to(x.dtype)), dim=-1))
        points = nodes.index_select(1, self.nodes)
        if self.joint_base is not None:
            with torch.autocast(lifted.device.type, enabled=False):  # positions in metres do not survive bfloat16
                points = points.float() + self.joint_base @ self._rooted(lifted).detach()
                if offsets is not None and self.landmark_base is not None:
                    points = points + self.landmark_base @ offsets.detach().float()
        return Prediction(lifted, points, self._landmarks(lifted, offsets))

    def lift(self, joints_px: Tensor, confidence: Tensor) -> Prediction:
        """What PoseNet alone makes of pixels (B, J, 2) and confidences (B, J): a prediction without points."""
        lifted, offsets = self._lift(self.normalise(joints_px, confidence))
        return Prediction(lifted, lifted.new_zeros(0), self._landmarks(lifted, offsets))

    def _lift(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Joints (B, J, 3), and how far the landmarks (B, L, 3) lie from where the joints lead."""
        features = self.posenet.features(x)
        return self.posenet.joints(features), self.posenet.landmark_offsets(features)

    def _rooted(self, lifted: Tensor) -> Tensor:
        return (lifted - lifted[:, self.joint_set.root_index, None]).float()

    def _landmarks(self, lifted: Tensor, offsets: Tensor | None) -> Tensor | None:
        if offsets is None or self.joint_base is None:
            return None
        with torch.autocast(lifted.device.type, enabled=False):
            return self.joint_base[self.landmarks] @ self._rooted(lifted) + offsets.float()

    def joints(self, points: Tensor) -> Tensor:
        """(B, J, 3) joints regressed from the mesh that the points (B, R, 3) stand for."""
        return self.point_regressor @ points

    def vertices(self, points: Tensor) -> Tensor:
        """(B, V, 3) all vertices from the points (B, R, 3)."""
        return points if self.upsample is None else self.upsample(points)


class Upsample(nn.Module):
    """The fixed linear step from R points to V vertices: each a weighted sum of a few points near it.

    Args:
        index: (V, n) into the points.
        weight: (V, n).
    """

    index: Tensor
    weight: Tensor

    def __init__(self, index: np.ndarray, weight: np.ndarray) -> None:
        super().__init__()
        self.register_buffer("index", torch.from_numpy(index.astype(np.int64)), persistent=False)
        self.register_buffer("weight", torch.from_numpy(weight.astype(np.float32)), persistent=False)

    def forward(self, points: Tensor) -> Tensor:
        """(B, R, 3) → (B, V, 3), in the dtype of the weights."""
        B, R, C = points.shape
        flat = points.transpose(0, 1).reshape(R, B * C).to(self.weight.dtype)
        vertices = nn.functional.embedding_bag(self.index, flat, per_sample_weights=self.weight, mode="sum")
        return vertices.reshape(-1, B, C).transpose(0, 1)
