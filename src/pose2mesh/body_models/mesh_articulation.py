"""Changes pose and proportions of given meshes of the Anny body, without the body model: NumPy alone.

The 22 body bones (`body_models.bones`) deform a mesh relative to the mesh itself. With bone heads c and skinning
weights w, a vertex, or any point that is linear in the vertices, moves to

    x_n = c_0 + t + Σ_b A_b q_bn,    A_b = R_b (I + s_b d_b d_bᵀ + g_b (I − d_b d_bᵀ)),

where R_b rotates bone b, s_b stretches it along its axis d_b, g_b thickens it, and the lever arms q_bn follow from the
mesh: Σ_b q_bn = x_n − c_0 before the change. So identity rotations and zero stretch and girth leave a mesh as it is.

Letters: `P` people, `B` = 22 bones, `N` points, `V` vertices. Frame: that of the meshes; metres.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from pose2mesh.body_models.bones import BODY_BONES, PARENTS, bone_chains
from pose2mesh.body_models.joint_regressors import FITTED, load_regressor
from pose2mesh.errors import InputError
from pose2mesh.skeletons import SMPL

Floats: TypeAlias = NDArray[np.floating]

BONES = len(BODY_BONES)
FILE = "anny_articulation.npz"
# The rig's bone heads are the joints of `smpl` (`scripts/fit_regressors.py`). Side first, as in names of joints.
_HEAD_OF = {
    "Hips": "pelvis", "UpLeg": "hip", "Leg": "knee", "Foot": "ankle", "ToeBase": "foot", "Spine": "spine1",
    "Spine1": "spine2", "Spine2": "spine3", "Neck": "neck", "Head": "head", "Shoulder": "collar", "Arm": "shoulder",
    "ForeArm": "elbow", "Hand": "wrist",
}  # fmt: skip
# The bone whose head is the end of each bone's axis. Hands and toes end in the mean of their vertices; the head, with
# most of its vertices in the face, continues the neck.
_END_OF = {
    "Hips": "Spine", "Spine": "Spine1", "Spine1": "Spine2", "Spine2": "Neck", "Neck": "Head", "UpLeg": "Leg",
    "Leg": "Foot", "Foot": "ToeBase", "Shoulder": "Arm", "Arm": "ForeArm", "ForeArm": "Hand",
}  # fmt: skip


def split_side(bone: str) -> tuple[str, str]:
    """`LeftArm` → (`Left`, `Arm`); bones of the trunk have the side ``."""
    side = next((side for side in ("Left", "Right") if bone.startswith(side)), "")
    return side, bone.removeprefix(side)


class MeshArticulation:
    """The bones of meshes with Anny's vertices.

    Args:
        joint_set: Name of the joint set whose joints are regressed from the meshes.

    Attributes:
        vertex_count: `V`.
        surface: (S,) indices of evenly spread vertices.
        regressor: (J, V) of the joints.

    Raises:
        InputError: there is no regressor of the joint set.
    """

    def __init__(self, joint_set: str) -> None:
        stream = files("pose2mesh.body_models").joinpath(FILE).open("rb")
        with stream, np.load(stream, allow_pickle=False) as arrays:
            V = self.vertex_count = int(arrays["n_vertices"])

            def matrix(name: str, rows: int) -> sp.csr_array:
                places = arrays[f"{name}_row"].astype(np.int32), arrays[f"{name}_vertex"].astype(np.int32)
                return sp.csr_array((arrays[f"{name}_weight"], places), shape=(rows, V))

            skin = matrix("skin", BONES)
            if joint_set == "coco":
                self.regressor = matrix("coco", 19)
            elif joint_set in FITTED:
                self.regressor = sp.csr_array(load_regressor(joint_set))
            else:
                raise InputError(f"joint set {joint_set!r} has no regressor; expected coco, {', '.join(FITTED)}")
            self.surface = arrays["surface"].astype(np.int64)
            self._around = arrays["around"].astype(np.int64)
        self._weights = sp.csr_array(skin.T)  # (V, B)
        self._below = bone_chains(PARENTS).T  # [k, b]: bone b is bone k or a descendant of it
        smpl = load_regressor("smpl")
        heads = [SMPL.index("_".join(filter(None, (side.lower(), _HEAD_OF[part])))) for side, part in _BONE_PARTS]
        self._heads = sp.csr_array(smpl[heads])
        ends = [BODY_BONES.index(side * (part not in _TRUNK) + _END_OF[part]) if part in _END_OF else -1
                for side, part in _BONE_PARTS]  # fmt: skip
        self._ends = np.array(ends)
        self._tips = sp.csr_array(skin[self._ends < 0])
        self._tips = sp.csr_array(self._tips / self._tips.sum(1)[:, None])
        self._moments = sp.csr_array(sp.vstack([self.regressor * skin[[bone]].toarray() for bone in range(BONES)]))
        self._joint_mass = self._moments.sum(1).reshape(BONES, -1).astype(np.float32)  # (B, J)
        self._surface_weights = self._weights[self.surface].toarray().astype(np.float32)  # (S, B)

    def joints(self, vertices: Floats) -> NDArray[np.float32]:
        """Joints (P, J, 3) of vertices (P, V, 3)."""
        return _regress(self.regressor, vertices)

    def heads(self, vertices: Floats) -> NDArray[np.float32]:
        """Bone heads (P, B, 3)."""
        return _regress(self._heads, vertices)

    def axes(self, vertices: Floats, heads: Floats) -> NDArray[np.float32]:
        """Unit vectors (P, B, 3) along the bones."""
        ends = heads[:, self._ends].copy()
        ends[:, self._ends < 0] = _regress(self._tips, vertices)
        along = ends - heads
        along[:, _HEAD] = along[:, _NECK]
        return along / np.maximum(np.linalg.norm(along, axis=-1, keepdims=True), 1e-6)

    def joint_levers(self, vertices: Floats, heads: Floats) -> NDArray[np.float32]:
        """Lever arms q (P, B, J, 3) of the joints."""
        moments = _regress(self._moments, vertices).reshape(len(vertices), BONES, -1, 3)
        levers = moments - self._joint_mass[None, :, :, None] * heads[:, :, None]
        return self._add_offsets(levers, self._joint_mass[None], heads)

    def surface_levers(self, surface: Floats, heads: Floats, chosen: NDArray[np.integer]) -> NDArray[np.float32]:
        """Lever arms q (P, B, N, 3) of chosen points of the surface.

        Args:
            surface: (P, S, 3) the points of the surface before the change.
            heads: (P, B, 3).
            chosen: (P, N) indices of the points.
        """
        mass = self._surface_weights[chosen].transpose(0, 2, 1)  # (P, B, N)
        points = np.take_along_axis(surface, chosen[..., None], 1)
        levers = mass[..., None] * (points[:, None] - heads[:, :, None])
        return self._add_offsets(levers, mass, heads)

    def _add_offsets(self, levers: Floats, mass: Floats, heads: Floats) -> NDArray[np.float32]:
        """Add, to each bone, the offsets to its children's heads, which carry all points below them."""
        hanging = self._below @ mass
        for bone in range(1, BONES):
            above = PARENTS[bone]
            offset = heads[:, bone] - heads[:, above]
            levers[:, above] += hanging[:, bone, :, None] * offset[:, None]
        return levers

    def transforms(self, heads: Floats, bones: Floats) -> NDArray[np.float32]:
        """Affine transforms (P, B, 3, 4) of the bones from their matrices A (P, B, 3, 3); the hips' head stays."""
        placed = np.array(heads)
        for bone in range(1, BONES):
            above = PARENTS[bone]
            offset = (heads[:, bone] - heads[:, above])[..., None]
            placed[:, bone] = placed[:, above] + (bones[:, above] @ offset)[..., 0]
        shift = placed - (bones @ heads[..., None])[..., 0]
        return np.concatenate([bones, shift[..., None]], axis=-1).astype(np.float32)

    def deform(self, vertices: Floats, transforms: Floats) -> NDArray[np.float32]:
        """Vertices (P, V, 3) changed by the bones' transforms (P, B, 3, 4)."""
        people = zip(vertices, transforms, strict=True)
        return np.stack([_apply(self._weights @ bones.reshape(BONES, 12), points) for points, bones in people])

    def deform_surface(
        self, surface: Floats, normals: Floats, transforms: Floats
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Points of the surface (P, S, 3) and their normals, changed by the bones' transforms (P, B, 3, 4).

        Normals are rotated alone: they are exact where girth and stretch do not change along a bone.
        """
        blended = (self._surface_weights @ transforms.reshape(-1, BONES, 12)).reshape(*surface.shape, 4)
        moved = (blended[..., :3] @ surface[..., None])[..., 0] + blended[..., 3]
        return moved, (blended[..., :3] @ normals[..., None])[..., 0]

    def surface_normals(self, vertices: Floats) -> NDArray[np.float32]:
        """Outward unit normals (P, S, 3) at the points of the surface of vertices (P, V, 3)."""
        one, two, three, four = (vertices[:, column] for column in self._around.T)
        normals = np.cross(three - one, four - two)
        return normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)


_BONE_PARTS = [split_side(bone) for bone in BODY_BONES]
_HEAD, _NECK = BODY_BONES.index("Head"), BODY_BONES.index("Neck")
_TRUNK = {part for side, part in _BONE_PARTS if not side}


@lru_cache(maxsize=2)
def load_articulation(joint_set: str) -> MeshArticulation:
    """The `MeshArticulation` of a joint set; the last ones are cached."""
    return MeshArticulation(joint_set)


def _regress(matrix: sp.csr_array, vertices: Floats) -> NDArray[np.float32]:
    """(N, V) times (P, V, 3) → (P, N, 3)."""
    P, V, _ = vertices.shape
    stacked = np.ascontiguousarray(vertices.transpose(1, 0, 2)).reshape(V, P * 3)
    return np.asarray(matrix @ stacked, np.float32).reshape(-1, P, 3).transpose(1, 0, 2)


def _apply(blended: Floats, points: Floats) -> NDArray[np.float32]:
    """Each row's affine transform (V, 12) applied to its point (V, 3)."""
    rows = blended.reshape(-1, 3, 4)
    x, y, z = points.T[..., None]
    return np.asarray(rows[:, :, 0] * x + rows[:, :, 1] * y + rows[:, :, 2] * z + rows[:, :, 3], np.float32)
