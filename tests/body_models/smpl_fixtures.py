"""Synthetic model files of the SMPL family in the format of the official ones, and the equations of the paper."""

from __future__ import annotations

import copyreg
import pickle
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

# The official trees: joint to parent.
_BODY = [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19]


def _fingers(wrist: int, first: int) -> list[int]:
    return [parent for f in range(5) for parent in (wrist, first + 3 * f, first + 3 * f + 1)]


PARENTS = {
    "smpl": [*_BODY, 20, 21],
    "smplh": [*_BODY, *_fingers(20, 22), *_fingers(21, 37)],
    "smplx": [*_BODY, 15, 15, 15, *_fingers(20, 25), *_fingers(21, 40)],
    "mano": [-1, *_fingers(0, 1)],
}
VERTICES = {"smpl": 162, "smplh": 162, "smplx": 162, "mano": 778}
SHAPES = {"smpl": 10, "smplh": 16, "smplx": 400, "mano": 10}


def fake_model(model: str, seed: int = 0) -> dict[str, Any]:
    """The arrays of a model file: a tube whose joints, weights and blend shapes are random, in float64."""
    rng = np.random.default_rng(seed)
    parents, V = PARENTS[model], VERTICES[model]
    J, rings = len(parents), (V - 2) // 8
    angle = np.arange(8) * np.pi / 4
    height = np.linspace(-0.8, 0.8, rings)
    tube = np.stack(np.broadcast_arrays(0.2 * np.cos(angle), height[:, None], 0.2 * np.sin(angle)), axis=-1)
    template = np.concatenate((tube.reshape(-1, 3), [[0, -0.9, 0], [0, 0.9, 0]])) + rng.normal(0, 0.01, (V, 3))
    ring = np.arange(8)
    after = (ring + 1) % 8
    faces = [
        np.stack((V - 2 + 0 * ring, ring, after), 1),
        np.stack((V - 1 + 0 * ring, V - 10 + after, V - 10 + ring), 1),
    ]
    for low in range(0, V - 10, 8):
        corners = low + ring, low + after, low + 8 + ring, low + 8 + after
        faces += [np.stack((corners[0], corners[2], corners[1]), 1), np.stack((corners[1], corners[2], corners[3]), 1)]
    weights, regressor = np.zeros((V, J)), np.zeros((J, V))
    for vertex in range(V):
        weights[vertex, rng.choice(J, 4, replace=False)] = rng.dirichlet(np.ones(4))
    for joint in range(J):
        regressor[joint, rng.choice(V, 6, replace=False)] = rng.dirichlet(np.ones(6))
    arrays: dict[str, Any] = {
        "v_template": template,
        "f": np.concatenate(faces).astype(np.uint32),
        "weights": weights,
        "shapedirs": rng.normal(0, 0.02, (V, 3, SHAPES[model])),
        "posedirs": rng.normal(0, 0.01, (V, 3, 9 * (J - 1))),
        "J_regressor": regressor,
        "kintree_table": np.array([[2**32 - 1, *parents[1:]], range(J)], np.uint32),
        "bs_style": "lbs",
    }
    means = {"smpl": (), "mano": ("hands_mean",)}.get(model, ("hands_meanl", "hands_meanr"))
    return arrays | {name: rng.normal(0, 0.3, 45) for name in means}


def save_npz(path: Path, arrays: dict[str, Any]) -> Path:
    """With a pickled dictionary among the arrays, as SMPL-X has."""
    np.savez(path, **arrays, joint2num=np.array({"pelvis": 0}, object))
    return path


def save_pickle(path: Path, arrays: dict[str, Any], protocol: int = 2, chumpy: bool = False) -> Path:
    """Like the official pickles: the regressor sparse by columns; blend shapes and template optionally of chumpy."""
    arrays = arrays | {"J_regressor": sp.csc_matrix(arrays["J_regressor"])}
    if not chumpy:
        path.write_bytes(pickle.dumps(arrays, protocol))
        return path
    packages = {name: types.ModuleType(name) for name in ("chumpy", "chumpy.ch", "chumpy.reordering")}
    kinds = {}
    for name, module in (("Ch", "chumpy.ch"), ("Select", "chumpy.reordering")):
        kinds[name] = type(name, (), {"__module__": module})
        setattr(packages[module], name, kinds[name])

    def made(kind: str, **state: Any) -> Any:
        value = kinds[kind]()
        value.__dict__ |= state | {"_dirty_vars": set(), "_itr": None}
        return value

    shapes = arrays["shapedirs"]
    more = made("Ch", x=np.concatenate((np.zeros(7), shapes.ravel())))  # chosen from a longer array, as MANO's are
    arrays["shapedirs"] = made("Select", a=more, idxs=np.arange(7, 7 + shapes.size), preferred_shape=shapes.shape)
    arrays["v_template"] = made("Ch", x=arrays["v_template"])
    arrays["J"] = made("Ch", a=arrays["v_template"], b=None)  # an expression that is never read
    sys.modules.update(packages)
    try:
        path.write_bytes(pickle.dumps(arrays, protocol))
    finally:
        for name in packages:
            del sys.modules[name]
    return path


class Malicious:
    """Unpickling this without restriction creates a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.target), "w")


class Masked:
    """The same through an allowed name with disallowed arguments."""

    def __init__(self, kind: type) -> None:
        self.kind = kind

    def __reduce__(self) -> tuple[Any, ...]:
        return copyreg._reconstructor, (self.kind, object, None)  # type: ignore[attr-defined]


def rotation(vector: np.ndarray) -> np.ndarray:
    """Rodrigues' formula for one axis-angle."""
    angle = np.linalg.norm(vector)
    if angle == 0:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def skinned(arrays: dict[str, Any], pose: np.ndarray, shape: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """One body (V, 3) after the SMPL paper (Loper et al. 2015, equations 2 to 10), in float64, joint by joint.

    Args:
        arrays: Of `fake_model`.
        pose: (J, 3) axis-angle, hand means included.
        shape: (10,).
        translation: (3,).
    """
    parents = arrays["kintree_table"][0].astype(np.int64)
    rotations = [rotation(vector) for vector in pose]
    shaped = arrays["v_template"] + arrays["shapedirs"][..., :10] @ shape  # 8
    joints = arrays["J_regressor"] @ shaped  # 10
    bend = np.concatenate([(turn - np.eye(3)).ravel() for turn in rotations[1:]])
    rest = shaped + arrays["posedirs"] @ bend  # 9
    world: list[np.ndarray] = []
    for joint, turn in enumerate(rotations):  # 4
        local = np.eye(4)
        local[:3, :3] = turn
        local[:3, 3] = joints[joint] - (joints[parents[joint]] if joint else 0)
        world.append(world[parents[joint]] @ local if joint else local)
    vertices = np.zeros_like(rest)
    for joint, transform in enumerate(world):  # 3, 2
        moved = (rest - joints[joint]) @ transform[:3, :3].T + transform[:3, 3]
        vertices += arrays["weights"][:, joint, None] * moved
    return vertices + translation
