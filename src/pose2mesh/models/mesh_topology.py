"""`MeshTopology`: the mesh, graph hierarchy, predicted points and upsampling that a network is built on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from pose2mesh.body_models.interface import BodyMesh
from pose2mesh.errors import InputError
from pose2mesh.graph.coarsening import build_hierarchy, coarse_faces
from pose2mesh.graph.laplacian import joint_laplacian, rescaled_laplacian
from pose2mesh.graph.upsampling import fit_upsampling
from pose2mesh.models.network_config import NetworkConfig
from pose2mesh.models.skinned_body import SkinnedBody
from pose2mesh.skeletons import JointSet

# Larger values amplify errors of the lifted joints and landmarks less. Interpolated from the 64 landmarks of the light
# network, points are 2.2 mm off with this ridge, 1.9 mm with a thousandth of it.
JOINT_RIDGE, LANDMARK_RIDGE = 1e-3, 1e-2


@dataclass(frozen=True)
class MeshTopology:
    """The data of a body mesh that a network needs; a bundle stores it besides the weights.

    Attributes:
        faces: (F, 3) of the full mesh.
        template: (V, 3) the mean body at rest, in metres.
        adjacency: The graphs that MeshNet runs on, coarsest first.
        nodes: (R,) the nodes of the finest graph that are predicted points (the others are padding).
        points: (R,) the vertex that each of them represents.
        point_faces: (F', 3) triangles between the R points, for the surface losses.
        upsample_index, upsample_weight: (V, n) each vertex as a weighted sum of n points; None when the points are
            the vertices themselves.
        joint_regressor: (J, V) the joints as weighted sums of vertices.
        joint_base: (R, J) the least-squares interpolation of each point from the root-relative joints; or None.
        landmarks: (L,) indices of the points that the lifter predicts besides the joints, or None.
        landmark_base: (R, L) the least-squares interpolation of each point's residual to `joint_base` from the
            residuals of the landmarks; or None.
        skinned: The body that takes the pose of the points, or None where vertices are upsampled from the points.
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
    landmarks: np.ndarray | None = None
    landmark_base: np.ndarray | None = None
    skinned: SkinnedBody | None = None

    def upsampling(self) -> sp.csr_array | None:
        """The step from the points to all vertices as a sparse matrix (V, R), or None."""
        if self.upsample_index is None or self.upsample_weight is None:
            return None
        V, n = self.upsample_index.shape
        places = np.repeat(np.arange(V), n), self.upsample_index.ravel()
        return sp.csr_array((self.upsample_weight.ravel().astype(np.float64), places), shape=(V, len(self.points)))

    def point_regressor(self) -> np.ndarray:
        """(J, R) the joint regressor times the upsampling: regresses the mesh's joints from its points."""
        regressor, upsampling = sp.csr_array(self.joint_regressor), self.upsampling()
        return np.asarray((regressor if upsampling is None else regressor @ upsampling).toarray(), np.float32)


def laplacians(surface: MeshTopology, joint_set: JointSet, spectrum: str) -> list[sp.csr_array]:
    """Rescaled Laplacians of the graphs of a network: of the joints first, then of the mesh, coarsest first.

    Raises:
        InputError: as `rescaled_laplacian`.
    """
    meshes = [rescaled_laplacian(graph, spectrum) for graph in surface.adjacency]
    return [joint_laplacian(joint_set, spectrum), *meshes]


def build_topology(
    body: BodyMesh,
    joint_set: JointSet,
    config: NetworkConfig,
    posed: np.ndarray | None,
    chosen: np.ndarray | None = None,
) -> MeshTopology:
    """Coarsen the body's mesh and choose the points that MeshNet predicts.

    Args:
        body: The body.
        joint_set: The joints to regress from it.
        config: Its `coarsenings` and `finest` select the levels.
        posed: (S, V, 3) sample bodies in metres to which the upsampling is fitted; not needed when `finest` is 0.
        chosen: (L,) landmarks of a lifter that is to be continued; by default they are chosen from the sample bodies.

    Raises:
        InputError: `finest` is not one of the levels.
        ValueError: `posed` is needed and not given.
    """
    if not 0 <= config.finest <= config.coarsenings:
        raise InputError(f"network.finest is {config.finest}, expected 0 to coarsenings ({config.coarsenings})")
    template = body.template.numpy().astype(np.float64)
    faces, regressor = body.faces.numpy(), body.regressor(joint_set).numpy()
    hierarchy = build_hierarchy(template, faces, config.coarsenings)
    level = config.finest
    levels = range(config.coarsenings, level - 1, -1)
    nodes = np.flatnonzero(hierarchy.nodes[level] >= 0)
    points = hierarchy.nodes[level][nodes]
    if level == 0:
        nodes = nodes[np.argsort(points)]  # predicted points in the order of the vertices
        return MeshTopology(
            faces, body.template.numpy(), [hierarchy.adjacency[i] for i in levels], nodes, np.sort(points), faces,
            None, None, regressor,
        )  # fmt: skip
    if posed is None:
        raise ValueError("a coarse surface needs sample bodies to fit its linear step to the vertices")
    joint_base = landmarks = landmark_base = None
    if config.joint_base:
        joint_base = fit_joint_base(posed, points, regressor, joint_set.root_index)
        if config.landmarks:
            residuals = _residuals(posed, points, regressor, joint_set.root_index, joint_base)
            landmarks = choose_landmarks(residuals, config.landmarks) if chosen is None else chosen
            landmark_base = _ridge(residuals[landmarks], residuals, LANDMARK_RIDGE)
    place = np.full(len(hierarchy.nodes[level]), -1)
    place[nodes] = np.arange(len(nodes))
    index, weight = fit_upsampling(hierarchy, level, template, posed)
    return MeshTopology(
        faces, body.template.numpy(), [hierarchy.adjacency[i] for i in levels], nodes, points,
        place[coarse_faces(hierarchy, faces, level)], index, weight, regressor,
        joint_base, landmarks, landmark_base,
    )  # fmt: skip


def fit_joint_base(posed: np.ndarray, points: np.ndarray, regressor: np.ndarray, root: int) -> np.ndarray:
    """Weights (R, J) that interpolate points from joints, by ridge regression over sample bodies.

    The weights are the same for all three axes, so that rotating the joints rotates the points with them.

    Args:
        posed: (S, V, 3) sample bodies, metres.
        points: (R,) vertex indices.
        regressor: (J, V).
        root: Index of the root joint, to which joints and points are relative.
    """
    return _ridge(*_joints_and_points(posed, points, regressor, root), JOINT_RIDGE)


def choose_landmarks(residuals: np.ndarray, count: int) -> np.ndarray:
    """Choose the points from which the others are interpolated best, greedily (QR with pivoting).

    Args:
        residuals: (R, 3 S) of each point to its interpolation from the joints, in S sample bodies.
        count: Number of landmarks, L.

    Returns:
        (L,) indices of points, ascending.

    Raises:
        InputError: there are fewer points.
    """
    if count > len(residuals):
        raise InputError(f"network.landmarks is {count}, expected at most the {len(residuals)} points of the surface")
    from scipy.linalg import qr  # not at the top: inference imports this module and does not need it

    return np.sort(qr(residuals.T, mode="r", pivoting=True)[1][:count]).astype(np.int64)


def _residuals(
    posed: np.ndarray, points: np.ndarray, regressor: np.ndarray, root: int, joint_base: np.ndarray
) -> np.ndarray:
    """(R, 3 S) of points to their interpolation `joint_base` from the joints; arguments as for `fit_joint_base`."""
    joints, goals = _joints_and_points(posed, points, regressor, root)
    return goals - joint_base @ joints


def _joints_and_points(
    posed: np.ndarray, points: np.ndarray, regressor: np.ndarray, root: int
) -> tuple[np.ndarray, np.ndarray]:
    """Root-relative joints (J, 3 S) and points (R, 3 S) of sample bodies; arguments as for `fit_joint_base`."""
    joints = np.einsum("jv,svc->sjc", regressor, posed, optimize=True)
    origin = joints[:, root, None]

    def by_row(x: np.ndarray) -> np.ndarray:
        return (x - origin).transpose(1, 0, 2).reshape(x.shape[1], -1)

    return by_row(joints), by_row(posed[:, points])


def _ridge(handles: np.ndarray, goals: np.ndarray, ridge: float) -> np.ndarray:
    """Weights (R, H) with weights · handles (H, N) ≈ goals (R, N); `ridge` is relative to the handles' mean square."""
    gram = handles @ handles.T
    damping = ridge * np.trace(gram) / len(gram) * np.eye(len(gram))
    return np.linalg.solve(gram + damping, handles @ goals.T).T.astype(np.float32)
