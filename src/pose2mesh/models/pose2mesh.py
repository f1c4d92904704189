"""The whole network: pixels and confidences → lifted joints → points of the surface → pose → vertices and joints."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from pose2mesh.body_models.interface import AGE
from pose2mesh.errors import InputError
from pose2mesh.models.layers.chebyshev_fused import GraphLaplacian
from pose2mesh.models.layers.fusion import DepthFusion
from pose2mesh.models.lifter import Lifted, Lifter
from pose2mesh.models.lifter_registry import find_lifter
from pose2mesh.models.mesh_topology import MeshTopology, laplacians
from pose2mesh.models.meshnet import MeshNet
from pose2mesh.models.network_config import NetworkConfig
from pose2mesh.models.skinned_body import SkinnedBody
from pose2mesh.skeletons import JointSet


class Prediction(NamedTuple):
    """Output for one batch, in metres, camera axes, relative to the root joint.

    Attributes:
        lifted: (B, J, 3) joints of the lifter.
        points: (B, R, 3) points of MeshNet on the surface.
        landmarks: (B, L, 3) points of the lifter on the surface; None for a network without landmarks.
        shape: (B, S) coefficients of the body's shape, or None; see `Lifted`.
        log_errors: (B, 2 J + S) logarithms of the expected errors, or None; see `Lifted`.
    """

    lifted: Tensor
    points: Tensor
    landmarks: Tensor | None = None
    shape: Tensor | None = None
    log_errors: Tensor | None = None


class Mesh(NamedTuple):
    """A predicted body, in metres, camera axes, relative to the root joint.

    Attributes:
        joints: (B, J, 3) joints regressed from the vertices.
        vertices: (B, V, 3).
        rotations: (B, 22, 3, 3) of the body's bones from rest to the camera's axes; None for a network that predicts
            vertices alone.
        shape: (B, S) coefficients of the body's shape; None likewise.
    """

    joints: Tensor
    vertices: Tensor
    rotations: Tensor | None = None
    shape: Tensor | None = None


class Pose2Mesh(nn.Module):
    """A lifter and MeshNet for one body and one joint set.

    Args:
        config: Sizes and inputs.
        joint_set: The input joints.
        surface: The body mesh and its hierarchy.

    Raises:
        InputError: the config does not fit the hierarchy, or its lifter is unknown.
    """

    nodes: Tensor
    points: Tensor
    joint_regressor: Tensor
    point_regressor: Tensor
    joint_base: Tensor | None
    landmarks: Tensor | None
    landmark_base: Tensor | None

    def __init__(self, config: NetworkConfig, joint_set: JointSet, surface: MeshTopology) -> None:
        super().__init__()
        self.config, self.joint_set, self.root_index = config, joint_set, joint_set.root_index
        # Named `posenet` whatever the lifter, as are its weights in every bundle and checkpoint; see `LIFTER_PREFIX`.
        self.posenet = find_lifter(config.lifter).network().from_config(config, len(joint_set))
        self.fusion = DepthFusion(joint_set)
        joint_graph, *mesh_graphs = map(GraphLaplacian, laplacians(surface, joint_set, config.spectrum))
        self.meshnet = MeshNet(
            joint_graph,
            mesh_graphs,
            config.in_channels + 3,
            tuple(config.joint_widths),
            tuple(tuple(block) for block in config.block_widths),
            config.head_width,
            config.chebyshev_order,
        )
        self.register_buffer("nodes", torch.from_numpy(surface.nodes), persistent=False)
        self.register_buffer("points", torch.from_numpy(surface.points), persistent=False)
        self.skinning: Skinning | None = None
        if config.skinned:
            if surface.skinned is None or len(surface.skinned.vertex_shapes) != config.shape_components:
                raise InputError("network.skinned is true, but the surface has no body of so many shape_components")
            self.skinning = Skinning(surface.skinned)
            regressor = torch.from_numpy(surface.joint_regressor.astype(np.float32))
            self.register_buffer("joint_regressor", regressor, persistent=False)
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

    @property
    def lifter(self) -> Lifter:
        """The first network."""
        return self.posenet

    def normalise(self, joints_px: Tensor, confidence: Tensor) -> Tensor:
        """Network inputs (…, J, C) from pixels (…, J, 2) and confidences (…, J).

        Subtract the mean and divide by the standard deviation over the joints that are present, weighted by their
        confidence where the network has it as an input. A missing joint (confidence 0) is zero in every channel,
        whatever its coordinates hold.
        """
        present = confidence[..., None] > 0
        joints_px = torch.where(present, joints_px, 0.0)
        weight = confidence[..., None] if self.config.confidence_input else present.to(joints_px.dtype)
        total = weight.sum(-2, keepdim=True).clamp_min(1e-6)
        centred = joints_px - (weight * joints_px).sum(-2, keepdim=True) / total
        variance = (weight * centred.square()).sum(-2, keepdim=True) / total
        if self.config.isotropic:
            variance = variance.mean(-1, keepdim=True)
        # Joints on a line along an axis have a spread of rounding errors alone, some 1e-4 pixels: not to be amplified.
        x = torch.where(present, centred / variance.clamp_min(1e-6).sqrt(), 0.0)
        return torch.cat((x, confidence[..., None]), dim=-1) if self.config.confidence_input else x

    def forward(self, joints_px: Tensor, confidence: Tensor, joints3d_m: Tensor | None = None) -> Prediction:
        """Predict the surface.

        Args:
            joints_px: (B, J, 2) pixels; for a lifter with a window also (B, window, J, 2), consecutive frames, of which
                the middle one is predicted.
            confidence: (B, J) or (B, window, J) in [0, 1].
            joints3d_m: (B, J, 3) joints estimated from the image, to be merged with the lifted ones; see `DepthFusion`.
        """
        x = self.normalise(joints_px, confidence)
        lifted, offsets, shape, log_errors = self._lift(x)
        if joints3d_m is not None:
            lifted = self.fusion(lifted, joints3d_m)
        if x.ndim == 4:
            x = x[:, x.shape[1] // 2]
        # The lifter is trained by its own loss alone: MeshNet's gradient stops here (as in the paper).
        nodes = self.meshnet(torch.cat((x, lifted.detach().to(x.dtype)), dim=-1))
        points = nodes.index_select(1, self.nodes)
        if self.joint_base is not None:
            with torch.autocast(lifted.device.type, enabled=False):  # bfloat16 is too coarse for positions in metres
                points = points.float() + self.joint_base @ self._rooted(lifted).detach()
                if offsets is not None and self.landmark_base is not None:
                    points = points + self.landmark_base @ offsets.detach().float()
        return Prediction(lifted, points, self._landmarks(lifted, offsets), shape, log_errors)

    def lift(self, joints_px: Tensor, confidence: Tensor) -> Prediction:
        """The lifter's part of `forward`: a prediction without points."""
        lifted, offsets, shape, log_errors = self._lift(self.normalise(joints_px, confidence))
        return Prediction(lifted, lifted.new_zeros(0), self._landmarks(lifted, offsets), shape, log_errors)

    def _lift(self, x: Tensor) -> Lifted:
        """Output of the lifter for x (B, J, C) or (B, window, J, C)."""
        if self.posenet.window > 1 and x.ndim == 3:
            x = x[:, None].expand(-1, self.posenet.window, -1, -1)  # as if the person stood still
        return self.posenet(x)

    def _rooted(self, lifted: Tensor) -> Tensor:
        """Joints (B, J, 3) relative to the root joint, float32."""
        return (lifted - lifted[:, self.root_index, None]).float()

    def _landmarks(self, lifted: Tensor, offsets: Tensor | None) -> Tensor | None:
        """(B, L, 3) landmarks: their interpolation between the joints, and the offsets from there."""
        if offsets is None or self.joint_base is None:
            return None
        with torch.autocast(lifted.device.type, enabled=False):
            return self.joint_base[self.landmarks] @ self._rooted(lifted) + offsets.float()

    def joints(self, points: Tensor) -> Tensor:
        """(B, J, 3) joints regressed from the mesh that is upsampled from the points (B, R, 3)."""
        return self.point_regressor @ points

    def vertices(self, points: Tensor) -> Tensor:
        """(B, V, 3) all vertices from the points (B, R, 3)."""
        return points if self.upsample is None else self.upsample(points)

    def mesh(self, prediction: Prediction) -> Mesh:
        """The body of a prediction of `forward`."""
        points, shape, rotations = prediction.points, self.shape(prediction), None
        if self.skinning is None or shape is None:
            joints, vertices = self.joints(points), self.vertices(points)
        else:
            rotations = self.skinning.rotations(points)
            vertices = self.skinning(rotations, shape)
            joints = self.joint_regressor @ vertices
        root = joints[:, self.root_index, None]
        return Mesh(joints - root, vertices - root, rotations, shape)

    def expected_errors(self, prediction: Prediction) -> Tensor | None:
        """(B, J, 2) expected absolute error of each joint per axis, across and along the view, metres, or None."""
        if prediction.log_errors is None:
            return None
        return prediction.log_errors[:, : 2 * len(self.joint_set)].float().exp().unflatten(1, (-1, 2))

    def shape(self, prediction: Prediction) -> Tensor | None:
        """(B, S) shape coefficients of the body of a prediction, of at least the age `network.least_age`; or None."""
        if self.skinning is None or prediction.shape is None or not self.config.least_age:
            return prediction.shape
        return self.skinning.aged(prediction.shape, self.config.least_age)

    def skinned_points(self, prediction: Prediction) -> Tensor:
        """(B, R, 3) the points of the body of a prediction, relative to its root joint, without its other vertices."""
        assert self.skinning is not None
        assert prediction.shape is not None
        rotations = self.skinning.rotations(prediction.points.float())
        points = self.skinning(rotations, prediction.shape.float(), self.points)
        return points - self.joints(points)[:, self.root_index, None]

    def fuse(self) -> None:
        """Fold the BatchNorms of both networks into fixed steps: the same function, for inference only."""
        self.posenet.fuse()
        self.meshnet.fuse()


class Upsample(nn.Module):
    """The fixed linear step from R points to V vertices: each vertex is a weighted sum of n points near it.

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


class Skinning(nn.Module):
    """Reads the pose of a body off points of its surface, and poses the body by linear blend skinning.

    Args:
        body: See `SkinnedBody`.
    """

    rest: Tensor
    shapes: Tensor
    heads: Tensor
    head_shapes: Tensor
    weights: Tensor
    axes: Tensor
    readout: Tensor
    chains: Tensor
    age_weights: Tensor
    age_offset: Tensor
    above: Tensor

    def __init__(self, body: SkinnedBody) -> None:
        super().__init__()
        arrays = {
            "rest": body.vertices,
            "shapes": body.vertex_shapes,
            "heads": body.heads,
            "head_shapes": body.head_shapes.reshape(len(body.head_shapes), -1),
            "weights": body.weights,
            "axes": body.axes,
            "readout": body.readout,
            "chains": body.chains(),
            "age_weights": body.phenotypes[:-1, AGE],
            "age_offset": body.phenotypes[-1, AGE],
        }
        for name, array in arrays.items():
            self.register_buffer(name, torch.from_numpy(np.asarray(array, np.float32)), persistent=False)
        self.register_buffer("above", torch.from_numpy(body.parents).clamp_min(0), persistent=False)

    def aged(self, shape: Tensor, least: float) -> Tensor:
        """Shapes (B, S) moved to the age `least` where they are younger, along the likeliest change of shape."""
        missing = (least - shape @ self.age_weights - self.age_offset).relu()
        return shape + missing[:, None] * self.age_weights / self.age_weights.square().sum().clamp_min(1e-9)

    def rotations(self, points: Tensor) -> Tensor:
        """Rotations (B, 22, 3, 3) of the bones from rest, read off points (B, R, 3)."""
        along, across = (self.readout @ points).chunk(2, dim=1)
        x = nn.functional.normalize(along, dim=-1)
        y = nn.functional.normalize(across - (across * x).sum(-1, keepdim=True) * x, dim=-1)
        return torch.stack((x, y, torch.linalg.cross(x, y)), dim=-1) @ self.axes.mT

    def forward(self, rotations: Tensor, shape: Tensor, chosen: Tensor | None = None) -> Tensor:
        """Posed vertices (B, V, 3), with the head of the root bone as origin.

        Args:
            rotations: (B, 22, 3, 3).
            shape: (B, S) coefficients.
            chosen: Indices of the vertices to pose; all by default.
        """
        rest, shapes, weights = self.rest, self.shapes, self.weights
        if chosen is not None:
            rest, shapes, weights = rest[chosen], shapes[:, chosen], weights[chosen]
        heads = self.heads + (shape @ self.head_shapes).unflatten(1, (-1, 3))
        offsets = (rotations[:, self.above] @ (heads - heads[:, self.above])[..., None])[..., 0]
        shift = self.chains @ offsets - (rotations @ heads[..., None])[..., 0]
        blended = weights @ torch.cat((rotations.flatten(2), shift), dim=-1)  # (B, V, 12)
        at_rest = rest + (shape @ shapes.flatten(1)).unflatten(1, (-1, 3))
        return (blended[..., :9].unflatten(-1, (3, 3)) * at_rest[..., None, :]).sum(-1) + blended[..., 9:]
