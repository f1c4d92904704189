"""The whole network: pixels and confidences → lifted joints → surface → vertices and joints."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from pose2mesh.errors import InputError
from pose2mesh.graph.chebyshev import GraphLaplacian, rescaled_laplacian
from pose2mesh.models.meshnet import MeshNet
from pose2mesh.models.posenet import PoseNet
from pose2mesh.skeletons import JointSet


@dataclass
class NetworkConfig:
    """The network's size and inputs. The defaults are the published ones.

    Attributes:
        confidence_input: Feed each joint's confidence beside x and y; a missing joint is then told by its 0. The
            published network knows no missing joints.
        isotropic: Divide x and y by one standard deviation, which keeps the aspect of the pose; the paper divides each
            by its own.
        posenet_width, posenet_blocks, posenet_dropout: See `PoseNet`.
        coarsenings: How many times the mesh's graph is halved for the coarsest level.
        finest: The level whose nodes MeshNet predicts: 0 is the mesh itself (the paper); 4 has a sixteenth of the
            vertices and is followed by a fixed linear step to all of them.
        joint_base: MeshNet predicts offsets from points interpolated linearly between the lifted joints.
            Differs from the paper, whose MeshNet predicts positions: after 48,000 samples of the light network's stage
            two the mesh's joints were 96.4 mm off with it and 117.3 mm without, its points 126 and 154 mm.
        joint_widths, block_widths, head_width, chebyshev_order: See `MeshNet`; one block per level, coarsest first.
        spectrum: See `graph.chebyshev.rescaled_laplacian`.
    """

    confidence_input: bool = False
    isotropic: bool = False
    posenet_width: int = 4096
    posenet_blocks: int = 2
    posenet_dropout: float = 0.5
    coarsenings: int = 7
    finest: int = 0
    joint_base: bool = False
    joint_widths: tuple[int, ...] = (32, 64, 64)
    block_widths: tuple[tuple[int, int], ...] = field(
        default=(
            (128, 256), (256, 256), (256, 256), (256, 256), (256, 256), (128, 128), (128, 128), (128, 128),
        )
    )  # fmt: skip
    head_width: int = 64
    chebyshev_order: int = 3
    spectrum: str = "unit"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Surface:
    """What the network needs to know of a body mesh: everything in a bundle but the weights.

    Attributes:
        faces: (F, 3) of the full mesh.
        template: (V, 3) the mean body at rest, in metres.
        adjacency: The graphs that MeshNet runs on, coarsest first.
        nodes: (R,) which nodes of the finest graph are predicted points (the others are padding).
        points: (R,) the vertex each of them stands for.
        point_faces: (F', 3) triangles between the R points, for the surface losses.
        upsample_index, upsample_weight: (V, n) each vertex as a weighted sum of n points; None when the points are
            the vertices themselves.
        joint_regressor: (J, V) the joints as weighted sums of vertices.
        joint_base: (R, J) each point as a weighted sum of root-relative joints, as well as that goes; or None.
    """

    faces: np.ndarray
    template: np.ndarray
    adjacency: list[sp.csr_array]
    nodes: np.ndarray
    points: np.ndarray
    point_faces: np.ndarray
    upsample_index: np.ndarray | None
    upsample_weight: np.ndarray | None
    joint_regressor: np.ndarray
    joint_base: np.ndarray | None = None


class Prediction(NamedTuple):
    """Of one batch, in metres, camera axes, relative to the root joint.

    Attributes:
        lifted: (B, J, 3) PoseNet's joints.
        points: (B, R, 3) MeshNet's points on the surface.
    """

    lifted: Tensor
    points: Tensor


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

    def __init__(self, config: NetworkConfig, joint_set: JointSet, surface: Surface) -> None:
        super().__init__()
        self.config, self.joint_set = config, joint_set
        J = len(joint_set)
        extra = int(config.confidence_input)
        self.posenet = PoseNet(J, 2 + extra, config.posenet_width, config.posenet_blocks, config.posenet_dropout)
        self.meshnet = MeshNet(
            GraphLaplacian(rescaled_laplacian(joint_adjacency(joint_set), config.spectrum)),
            [GraphLaplacian(rescaled_laplacian(graph, config.spectrum)) for graph in surface.adjacency],
            5 + extra,
            tuple(config.joint_widths),
            tuple(tuple(block) for block in config.block_widths),
            config.head_width,
            config.chebyshev_order,
        )
        self.register_buffer("nodes", torch.from_numpy(surface.nodes), persistent=False)
        self.upsample: Upsample | None = None
        regressor = sp.csr_array(surface.joint_regressor)
        if surface.upsample_index is not None and surface.upsample_weight is not None:
            self.upsample = Upsample(surface.upsample_index, surface.upsample_weight)
            regressor = regressor @ self.upsample.as_sparse(len(surface.points))
        joint_base = None
        if config.joint_base:
            if surface.joint_base is None:
                raise InputError("network.joint_base is true, but the surface has no weights for it")
            joint_base = torch.from_numpy(surface.joint_base)
        self.register_buffer("joint_base", joint_base, persistent=False)
        # Joints regressed from the full mesh, pulled through the linear step: the same joints from R points.
        dense = torch.from_numpy(regressor.toarray().astype(np.float32))
        self.register_buffer("point_regressor", dense, persistent=False)

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
        lifted = self.posenet(x)
        # The lifter learns from its own loss alone: MeshNet's gradient stops here (as in the paper).
        nodes = self.meshnet(torch.cat((x, lifted.detach().to(x.dtype)), dim=-1))
        points = nodes[:, self.nodes]
        if self.joint_base is not None:
            root = lifted[:, self.joint_set.root_index, None]
            with torch.autocast(lifted.device.type, enabled=False):  # positions in metres do not survive bfloat16
                points = points.float() + self.joint_base @ (lifted - root).detach().float()
        return Prediction(lifted, points)

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

    def as_sparse(self, point_count: int) -> sp.csr_array:
        """The step as a (V, R) matrix."""
        V, n = self.index.shape
        rows = np.repeat(np.arange(V), n)
        entries = (self.weight.numpy().ravel().astype(np.float64), (rows, self.index.numpy().ravel()))
        return sp.csr_array(entries, shape=(V, point_count))

    def forward(self, points: Tensor) -> Tensor:
        """(B, R, 3) → (B, V, 3), in the dtype of the weights."""
        B, R, C = points.shape
        flat = points.transpose(0, 1).reshape(R, B * C).to(self.weight.dtype)
        vertices = nn.functional.embedding_bag(self.index, flat, per_sample_weights=self.weight, mode="sum")
        return vertices.reshape(-1, B, C).transpose(0, 1)


def joint_adjacency(joint_set: JointSet) -> sp.csr_array:
    """(J, J) the bones, and an edge between the left and right joint of every pair (as in the paper)."""
    edges = np.array([*joint_set.edges, *joint_set.flip_pairs])
    edges = np.unique(np.sort(edges, axis=1), axis=0)
    both = np.concatenate([edges, edges[:, ::-1]])
    size = len(joint_set)
    return sp.csr_array((np.ones(len(both)), (both[:, 0], both[:, 1])), shape=(size, size))
