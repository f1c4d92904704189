"""GraphCMR (Kolotouros, Pavlakos and Daniilidis 2019, arXiv 1905.03244): predicts the points of a mesh from an image,
and body parameters from the points.

The features of the image are attached to every point of a coarse template; residual graph convolutions predict the
positions of the points and the camera. A fixed linear map gives all vertices. A separate regressor, from which no
gradient flows back to the mesh, predicts body parameters from the points.

Differs from the paper: the body; the backbone, pre-trained to find parts, joints and landmarks (`reader`) instead of on
ImageNet; 432 points of 64 channels instead of 1723 of 256; features are also attached by a product (`Join`); every
graph convolution has one matrix for a point itself and one for its neighbours, where the paper has one for their mean;
BatchNorm instead of group normalisation; the regressor does not take the points of the template, which are constant;
rotations of six numbers instead of nine projected by an SVD; a perspective camera; the vertex loss is on the coarse
points.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from pose2mesh.baselines.common.backbone import FEATURES, Backbone
from pose2mesh.baselines.common.baseline_camera import project
from pose2mesh.baselines.common.baseline_losses import (
    ParameterWeights,
    joint_loss,
    keypoint_loss,
    rotation_loss,
    shape_loss,
)
from pose2mesh.baselines.common.body_layer import BodyLayer, BodyParameters
from pose2mesh.baselines.common.parameter_regressor import mean_parameters
from pose2mesh.baselines.interface import BodyEstimate, LearnedBaseline
from pose2mesh.baselines.observation import GroundTruth, Need, Observation
from pose2mesh.body_models.bones import BODY_BONES
from pose2mesh.body_models.interface import PHENOTYPES, BodyModel
from pose2mesh.datasets.synthetic.bodies import BodySynthesiser, ShapeConfig
from pose2mesh.datasets.synthetic.procedural_poses import sample_procedural
from pose2mesh.geometry.rotations import WORLD_TO_CAMERA, rotation_from_six, six_of_rotation
from pose2mesh.graph.laplacian import rescaled_laplacian
from pose2mesh.models.layers.chebyshev_fused import FixedSparse, FusedChebyshevConvolution, GraphLaplacian
from pose2mesh.models.losses import masked_l1
from pose2mesh.models.mesh_topology import MeshTopology, build_topology
from pose2mesh.models.network_config import NetworkConfig
from pose2mesh.skeletons import JointSet

_SAMPLE_BODIES = 64
_REACH_M = 1 / 3  # scales the positions of the template to about 1


@dataclass
class GraphCMRSettings:
    """Settings of GraphCMR.

    Attributes:
        halvings: Number of times the graph of the mesh is halved; 5 leaves 432 points.
        channels: Channels of a point.
        blocks: Number of residual graph convolutions.
        hidden: Width of the regressor from points to parameters.
        vertices: Weight, per metre, of the point losses of the mesh and of the parametric body.
        weights: Weights of the other losses, for both bodies.
        answer: Which of the two bodies is the estimate; both are trained.
    """

    halvings: int = 5
    channels: int = 64
    blocks: int = 4
    hidden: int = 384
    vertices: float = 5.0
    weights: ParameterWeights = field(default_factory=ParameterWeights)
    answer: Literal["mesh", "parameters"] = "mesh"


@dataclass(frozen=True)
class CoarseMesh:
    """Points of the coarse mesh and a camera, for `B` people.

    Attributes:
        points: (B, R, 3) relative to the root joint, metres, camera axes.
        joints: (B, J, 3) regressed from the points; same frame.
        scale: (B,) of `baseline_camera.project`, relative to the root joint.
        shift_m: (B, 2) its shift, metres.
    """

    points: Tensor
    joints: Tensor
    scale: Tensor
    shift_m: Tensor

    def project(self, points: Tensor) -> Tensor:
        """Projection (B, N, 2) of points (B, N, 3) relative to the root joint, metres."""
        return project(points, self.scale, self.shift_m)

    def detach(self) -> CoarseMesh:
        return CoarseMesh(*(value.detach() for value in vars(self).values()))


class GraphCMR(LearnedBaseline):
    """GraphCMR as a `LearnedBaseline`.

    Args:
        layer: The body layer.
        settings: Its settings.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"images"})

    vertex: Tensor

    def __init__(self, layer: BodyLayer, settings: GraphCMRSettings | None = None) -> None:
        super().__init__()
        self.settings = settings or GraphCMRSettings()
        self.layer, self.joint_set = layer, layer.joint_set
        surface = coarse_surface(layer.body, layer.joint_set, self.settings.halvings)
        self.register_buffer("vertex", torch.from_numpy(surface.points), persistent=False)
        step = surface.upsampling()
        assert step is not None
        self.to_vertices = FixedSparse(step.astype(np.float32))
        self.poser = BodySynthesiser(layer.body, layer.joint_set, self.vertex)
        self.backbone = Backbone()
        self.points = PointNetwork(layer, surface, self.settings.channels, self.settings.blocks)
        self.regressor = PointsToParameters(layer, len(surface.points), self.settings.hidden)

    def forward(self, observation: Observation) -> tuple[CoarseMesh, BodyParameters]:
        """The mesh, and the parameters predicted from it, with the camera of the mesh."""
        assert observation.images is not None
        mesh: CoarseMesh = self.points(self.backbone(observation.images).vector)
        return mesh, self.regressor(mesh.detach())

    def losses(self, observation: Observation, ground_truth: GroundTruth, progress: float) -> dict[str, Tensor]:
        """See `LearnedBaseline`."""
        mesh, prediction = self(observation)
        weights = self.settings.weights
        joints, points, _ = self.poser(self.layer.phenotypes(prediction.shape), prediction.orientations)
        with torch.no_grad():
            _, true_points, _ = self.poser(ground_truth.phenotypes, ground_truth.orientations)
        terms = self._shared_losses(mesh.points, mesh.joints, mesh, ground_truth, true_points)
        body_terms = self._shared_losses(points, joints, mesh.detach(), ground_truth, true_points)
        terms.update({f"body_{name}": value for name, value in body_terms.items()})
        terms["rotations"] = weights.rotations * rotation_loss(
            prediction.rotations, ground_truth.orientations, ground_truth.labelled
        )
        terms["shape"] = weights.shape * shape_loss(
            prediction.shape, ground_truth.phenotypes, ground_truth.labelled, self.layer
        )
        return terms

    @torch.no_grad()
    def estimate(self, observation: Observation) -> BodyEstimate:
        """See `LearnedBaseline`. Parameters are returned for both settings of `answer`."""
        mesh, prediction = self(observation)
        if self.settings.answer == "parameters":
            found = self.layer.estimate(prediction)
            root = found.joints[:, self.joint_set.root_index, None]
            return replace(found, joints_px=mesh.project(found.joints - root))
        vertices = self.to_vertices.product(mesh.points.contiguous())
        return BodyEstimate(mesh.joints, vertices, mesh.project(mesh.joints), self.layer.parameters_of(prediction))

    def _shared_losses(
        self, points: Tensor, joints: Tensor, camera: CoarseMesh, ground_truth: GroundTruth, true_points: Tensor
    ) -> dict[str, Tensor]:
        """The terms that the mesh and the parametric body have in common."""
        weights = self.settings.weights
        vertices = masked_l1(points, true_points, ground_truth.labelled[:, None])
        return {
            "vertices": self.settings.vertices * vertices,
            "joints": weights.joints
            * joint_loss(joints, ground_truth.joints, ground_truth.labelled, self.joint_set.root_index),
            "keypoints": weights.keypoints
            * keypoint_loss(camera.project(joints), ground_truth.joints_2d, ground_truth.visible),
        }


class PointNetwork(nn.Module):
    """Predicts the points of a coarse mesh and a camera from image features.

    Args:
        layer: The body layer.
        surface: The coarse mesh.
        channels: Channels of a point.
        blocks: Number of residual graph convolutions.
    """

    template: Tensor
    joint_regressor: Tensor

    def __init__(self, layer: BodyLayer, surface: MeshTopology, channels: int, blocks: int) -> None:
        super().__init__()
        self.root_index = layer.joint_set.root_index
        regressor = torch.from_numpy(surface.point_regressor())
        template = torch.from_numpy(surface.template[surface.points]) @ torch.tensor(WORLD_TO_CAMERA).T
        template = template - (regressor @ template)[self.root_index]
        self.register_buffer("joint_regressor", regressor, persistent=False)
        self.register_buffer("template", template.float(), persistent=False)
        self.graph = GraphLaplacian(rescaled_laplacian(surface.adjacency[-1]))
        self.join = Join(channels)
        self.blocks = nn.ModuleList(GraphResidual(channels) for _ in range(blocks))
        self.norm = nn.BatchNorm1d(channels)
        self.to_place = nn.Linear(channels, 3)
        self.to_hint = nn.Linear(channels, 1)
        self.to_camera = nn.Linear(len(template), 3)
        mean = mean_parameters(layer)
        nn.init.zeros_(self.to_camera.weight)
        self.to_camera.bias.data = torch.cat((mean.log_scale, mean.shift_m[0]))

    def forward(self, features: Tensor) -> CoarseMesh:
        """The mesh for features (B, FEATURES)."""
        x = self.join(self.template, features)
        for block in self.blocks:
            x = block(x, self.graph)
        x = _activated(x, self.norm)
        points = self.to_place(x)
        joints = self.joint_regressor @ points
        root = joints[:, self.root_index, None]
        camera = self.to_camera(self.to_hint(x)[..., 0].relu())
        return CoarseMesh(points - root, joints - root, camera[:, 0].exp(), camera[:, 1:])


class Join(nn.Module):
    """Attaches the features of an image to every point of the template.

    Differs from the paper, which concatenates them before a linear layer: a product is added, of a linear map of the
    features and `channels` numbers that a small network computes from the position of the point. The effect of the
    features on a point depends on its position, as the rotation of an arm affects points of the arm only; sums learn
    that slowly. With all 2D and 3D joints as features, the error of the points was 146 mm after 4,800 samples, and
    262 mm without the product.

    Args:
        channels: Channels of a point.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.of_template = nn.Linear(3, channels)
        self.of_features = nn.Linear(FEATURES, channels)
        self.factors = nn.Sequential(nn.Linear(3, channels), nn.ReLU(), nn.Linear(channels, channels))
        self.times = nn.Linear(FEATURES, channels)

    def forward(self, template: Tensor, features: Tensor) -> Tensor:
        """(B, R, C) from the template (R, 3) and features (B, FEATURES)."""
        # A linear layer of the concatenation is the sum of two layers; that of the features is the same at all points.
        summed = self.of_template(template) + self.of_features(features)[:, None]
        product: Tensor = self.factors(template / _REACH_M) * self.times(features)[:, None]
        return summed + product


class GraphResidual(nn.Module):
    """A residual bottleneck block on a graph: a linear layer to half the channels, a graph convolution, and a linear
    layer back, each after BatchNorm and ReLU.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for width in (channels, half, half))
        self.narrow = nn.Linear(channels, half)
        self.mix = FusedChebyshevConvolution(half, half, order=2)
        self.widen = nn.Linear(half, channels)

    def forward(self, x: Tensor, graph: GraphLaplacian) -> Tensor:
        """(B, N, C) → (B, N, C)."""
        first, second, third = self.norms
        y = self.narrow(_activated(x, first))
        y = self.mix(_activated(y, second), graph)
        return x + self.widen(_activated(y, third))


class PointsToParameters(nn.Module):
    """Predicts body parameters from the points of a mesh.

    Args:
        layer: The body layer.
        points: Number of points.
        hidden: Width of the two hidden layers.
    """

    mean: Tensor

    def __init__(self, layer: BodyLayer, points: int, hidden: int) -> None:
        super().__init__()
        sizes = 6 * len(BODY_BONES), len(PHENOTYPES)
        self.correct = nn.Sequential(
            nn.Linear(3 * points, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, sum(sizes)),
        )
        self.register_buffer("mean", six_of_rotation(mean_parameters(layer).rotations), persistent=False)

    def forward(self, mesh: CoarseMesh) -> BodyParameters:
        """Rotations and shape of a mesh, with the camera of the mesh."""
        count = len(mesh.points)
        numbers = self.correct(mesh.points.flatten(1))
        six, shape = numbers.split((self.mean.numel(), len(PHENOTYPES)), dim=1)
        rotations = rotation_from_six(self.mean + six.reshape(count, -1, 6))
        return BodyParameters(shape, rotations, mesh.scale.log(), mesh.shift_m)


def coarse_surface(body: BodyModel, joint_set: JointSet, halvings: int) -> MeshTopology:
    """The mesh of the body, its graph halved `halvings` times, and the map back to all vertices; deterministic."""
    generator = torch.Generator().manual_seed(0)
    phenotypes, poses = ShapeConfig().sample(_SAMPLE_BODIES, generator), sample_procedural(_SAMPLE_BODIES, generator)
    with torch.no_grad():
        posed = body(phenotypes, poses).numpy()
    return build_topology(body, joint_set, NetworkConfig(coarsenings=halvings, finest=halvings), posed)


def _activated(x: Tensor, norm: nn.Module) -> Tensor:
    return norm(x.flatten(0, 1)).relu_().view(x.shape)
