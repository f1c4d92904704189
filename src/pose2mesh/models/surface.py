"""The `Surface` a network is built on: hierarchy, predicted points, the step to all vertices; how bodies get one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import scipy.sparse as sp

from pose2mesh.errors import InputError
from pose2mesh.graph.coarsening import build_hierarchy, coarse_faces
from pose2mesh.graph.laplacian import joint_laplacian, rescaled_laplacian
from pose2mesh.graph.upsampling import fit_upsampling
from pose2mesh.models.network_config import NetworkConfig
from pose2mesh.skeletons import JointSet

if TYPE_CHECKING:
    from torch import Tensor


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

    def upsampling(self) -> sp.csr_array | None:
        """(V, R) the step from the points to all vertices as a sparse matrix, or None."""
        if self.upsample_index is None or self.upsample_weight is None:
            return None
        V, n = self.upsample_index.shape
        places = np.repeat(np.arange(V), n), self.upsample_index.ravel()
        return sp.csr_array((self.upsample_weight.ravel().astype(np.float64), places), shape=(V, len(self.points)))

    def point_regressor(self) -> np.ndarray:
        """(J, R) the joint regressor pulled through the upsampling: the mesh's joints from its points."""
        regressor, upsampling = sp.csr_array(self.joint_regressor), self.upsampling()
        return np.asarray((regressor if upsampling is None else regressor @ upsampling).toarray(), np.float32)


def laplacians(surface: Surface, joint_set: JointSet, spectrum: str) -> list[sp.csr_array]:
    """Of the graphs a network convolves on: the joints first, then the mesh's, coarsest first.

    Raises:
        InputError: as `rescaled_laplacian`.
    """
    meshes = [rescaled_laplacian(graph, spectrum) for graph in surface.adjacency]
    return [joint_laplacian(joint_set, spectrum), *meshes]


class Body(Protocol):
    """A body mesh, whatever model it comes from: faces (F, 3), template (V, 3) in metres, joint regressors (J, V)."""

    @property
    def faces(self) -> Tensor: ...

    @property
    def template(self) -> Tensor: ...

    def regressor(self, joint_set: JointSet) -> Tensor: ...


def build_surface(body: Body, joint_set: JointSet, config: NetworkConfig, posed: np.ndarray | None) -> Surface:
    """Coarsen the body's mesh and choose the points that MeshNet predicts.

    Args:
        body: The body.
        joint_set: The joints to regress from it.
        config: `coarsenings` and `finest` say which levels are used.
        posed: (S, V, 3) sample bodies in metres that the linear step is fitted to; not needed when `finest` is 0.

    Raises:
        InputError: `finest` is not one of the levels.
        ValueError: `posed` is needed and not given.
    """
    if not 0 <= config.finest <= config.coarsenings:
        raise InputError(f"network.finest is {config.finest}, expected 0 to coarsenings ({config.coarsenings})")
    template = body.template.numpy().astype(np.float64)
    faces = body.faces.numpy()
    hierarchy = build_hierarchy(template, faces, config.coarsenings)
    level = config.finest
    levels = range(config.coarsenings, level - 1, -1)
    nodes = np.flatnonzero(hierarchy.nodes[level] >= 0)
    points = hierarchy.nodes[level][nodes]
    if level == 0:
        nodes = nodes[np.argsort(points)]  # predicted points in the order of the vertices
        return Surface(
            faces, body.template.numpy(), [hierarchy.adjacency[i] for i in levels], nodes, np.sort(points), faces,
            None, None, body.regressor(joint_set).numpy(),
        )  # fmt: skip
    if posed is None:
        raise ValueError("a coarse surface needs sample bodies to fit its linear step to the vertices")
    joint_base = None
    if config.joint_base:
        joint_base = fit_joint_base(posed, points, body.regressor(joint_set).numpy(), joint_set.root_index)
    place = np.full(len(hierarchy.nodes[level]), -1)
    place[nodes] = np.arange(len(nodes))
    index, weight = fit_upsampling(hierarchy, level, template, posed)
    return Surface(
        faces, body.template.numpy(), [hierarchy.adjacency[i] for i in levels], nodes, points,
        place[coarse_faces(hierarchy, faces, level)], index, weight, body.regressor(joint_set).numpy(),
        joint_base,
    )  # fmt: skip


def fit_joint_base(posed: np.ndarray, points: np.ndarray, regressor: np.ndarray, root: int) -> np.ndarray:
    """Weights (R, J) that interpolate points between joints, by ridge regression over sample bodies.

    One weight for all three axes: turning the joints turns the points with them.

    Args:
        posed: (S, V, 3) sample bodies, metres.
        points: (R,) vertex indices.
        regressor: (J, V).
        root: The index of the root joint, which both are relative to.
    """
    joints = np.einsum("jv,svc->sjc", regressor, posed, optimize=True)
    handles = (joints - joints[:, root, None]).transpose(1, 0, 2).reshape(len(regressor), -1)
    goals = (posed[:, points] - joints[:, root, None]).transpose(1, 0, 2).reshape(len(points), -1)
    gram = handles @ handles.T
    ridge = 1e-3 * np.trace(gram) / len(gram) * np.eye(len(gram))
    return np.linalg.solve(gram + ridge, handles @ goals.T).T.astype(np.float32)
