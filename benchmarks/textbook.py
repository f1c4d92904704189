"""Textbook formulation of the network: the reference for speed and tests of the one in `pose2mesh.models`.

The same function of the same weights, computed directly: tensors (B, V, C); two permutations for every product with a
Laplacian, in coordinate format; all Chebyshev terms concatenated as input of one linear layer, so that automatic
differentiation stores them all; padding nodes computed like others; every level un-pooled before its first layer. After
Choi et al. 2020, section 4, and Defferrard et al. 2016, equation 5.
"""

from __future__ import annotations

from itertools import pairwise

import scipy.sparse as sp
import torch
from torch import Tensor, nn

from pose2mesh.models.layers.chebyshev import ChebyshevConvolution, coordinates
from pose2mesh.models.mesh_topology import MeshTopology, laplacians
from pose2mesh.models.network_config import NetworkConfig
from pose2mesh.models.pose2mesh import Pose2Mesh, Prediction
from pose2mesh.skeletons import JointSet


class TextbookLayer(nn.Module):
    """Convolution, BatchNorm over batch and nodes, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, order: int) -> None:
        super().__init__()
        self.convolution = ChebyshevConvolution(in_channels, out_channels, order)
        self.norm = nn.BatchNorm1d(out_channels)

    def forward(self, x: Tensor, laplacian: Tensor) -> Tensor:
        x = self.convolution(x, laplacian)
        return torch.relu(self.norm(x.flatten(0, 1))).view(x.shape)


class TextbookBlock(nn.Module):
    """Layers with a skip connection, whose channels are interpolated where the width changes."""

    def __init__(self, widths: tuple[int, ...], order: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TextbookLayer(a, b, order) for a, b in pairwise(widths))

    def forward(self, x: Tensor, laplacian: Tensor) -> Tensor:
        skip = x
        for layer in self.layers:
            x = layer(x, laplacian)
        if skip.shape[-1] != x.shape[-1]:
            skip = nn.functional.interpolate(skip, size=x.shape[-1], mode="linear")
        return skip + x


class TextbookMeshNet(nn.Module):
    """(B, J, C) joints → (B, N, 3) nodes of the finest graph.

    Args:
        config: Sizes of the network.
        joint_laplacian: (J, J) rescaled.
        mesh_laplacians: (N, N) rescaled, coarsest first.

    The names of its parameters are those of `pose2mesh.models.meshnet.MeshNet`.
    """

    def __init__(
        self, config: NetworkConfig, joint_laplacian: sp.csr_array, mesh_laplacians: list[sp.csr_array]
    ) -> None:
        super().__init__()
        order = config.chebyshev_order
        self.levels = len(mesh_laplacians)
        self.register_buffer("joint_laplacian", coordinates(joint_laplacian), persistent=False)
        for level, laplacian in enumerate(mesh_laplacians):
            self.register_buffer(f"mesh_laplacian{level}", coordinates(laplacian), persistent=False)
        widths = (5 + int(config.confidence_input), *config.joint_widths)
        self.joint_layers = nn.ModuleList(TextbookLayer(a, b, order) for a, b in pairwise(widths))
        width, self.coarse_size = widths[-1], mesh_laplacians[0].shape[0]
        self.to_mesh = nn.Linear(joint_laplacian.shape[0] * width, self.coarse_size * width)
        self.blocks = nn.ModuleList()
        for block in config.block_widths:
            self.blocks.append(TextbookBlock((width, *block), order))
            width = block[-1]
        self.head = TextbookLayer(width, config.head_width, order)
        self.out = ChebyshevConvolution(config.head_width, 3, order)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.joint_layers:
            x = layer(x, self.joint_laplacian)
        x = self.to_mesh(x.flatten(1)).view(len(x), self.coarse_size, -1)
        for level, block in enumerate(self.blocks):
            if level:
                x = x.repeat_interleave(2, dim=1)  # un-pooling: node i's children are 2i and 2i + 1
            x = block(x, getattr(self, f"mesh_laplacian{level}"))
        finest = getattr(self, f"mesh_laplacian{self.levels - 1}")
        return self.out(self.head(x, finest), finest)


class TextbookPose2Mesh(Pose2Mesh):
    """`Pose2Mesh` around a `TextbookMeshNet`; takes the same state dict. PoseNet and the fixed steps are shared."""

    point_nodes: Tensor

    def __init__(self, config: NetworkConfig, joint_set: JointSet, surface: MeshTopology) -> None:
        super().__init__(config, joint_set, surface)
        joint_laplacian, *mesh_laplacians = laplacians(surface, joint_set, config.spectrum)
        self.meshnet = TextbookMeshNet(config, joint_laplacian, mesh_laplacians)
        self.register_buffer("point_nodes", torch.from_numpy(surface.nodes), persistent=False)

    def forward(self, joints_px: Tensor, confidence: Tensor) -> Prediction:
        x = self.normalise(joints_px, confidence)
        lifted, offsets, *_ = self._lift(x)
        points = self.meshnet(torch.cat((x, lifted.detach().to(x.dtype)), dim=-1))[:, self.point_nodes]
        relative = lifted - lifted[:, self.joint_set.root_index, None]
        with torch.autocast(lifted.device.type, enabled=False):
            for base, handles in ((self.joint_base, relative), (self.landmark_base, offsets)):
                if base is not None and handles is not None:
                    points = points.to(base.dtype) + base @ handles.detach().to(base.dtype)
        return Prediction(lifted, points, self._landmarks(lifted, offsets))
