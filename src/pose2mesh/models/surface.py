"""From a body to the `Surface` a network is built on: hierarchy, predicted points, and the step to all vertices."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from torch import Tensor

from pose2mesh.errors import InputError
from pose2mesh.graph.coarsening import build_hierarchy, coarse_faces
from pose2mesh.graph.upsampling import fit_upsampling
from pose2mesh.models.pose2mesh import NetworkConfig, Surface
from pose2mesh.skeletons import JointSet


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
