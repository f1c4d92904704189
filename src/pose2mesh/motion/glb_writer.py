"""Writes animated GLB: people as skinned meshes on the body's rig, for any glTF viewer.

Each person has a mesh in the rest pose of their shape, 52 joint nodes with Mixamo's names (`p0_Hips` for the person
`p0`), inverse bind matrices, and four skinning weights per vertex. The animation rotates the 22 body bones and moves
the hips; fingers follow the hands. Y up, metres, the video's camera at the origin looking along −Z. glTF measures time
in seconds; the frame rate is in the animation's `extras`, for programs that count frames.

While a person is absent, their rig has scale 0, which glTF 2.0 recommends for hiding a node.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose2mesh.body_models.bones import BODY_BONES
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.errors import InputError
from pose2mesh.io.mesh_files import (
    ARRAY_BUFFER,
    ELEMENT_ARRAY_BUFFER,
    FLOAT,
    UNSIGNED_BYTE,
    UNSIGNED_SHORT,
    GlbBuffer,
    linear_from_srgb,
    vertex_normals,
    write_glb_document,
)
from pose2mesh.motion.body_motion import BodyMotion, Floats, RestRig, rest_rig

Colour = tuple[float, float, float]
_SKIN_WEIGHTS = 4


def write_animated_glb(
    path: str | Path,
    body: BodyModel,
    motions: Sequence[BodyMotion],
    colours: Sequence[Colour] | None = None,
    extras: Mapping[str, Any] | None = None,
) -> None:
    """Write one or several people as an animation, or as static poses if the motions span a single frame.

    Args:
        path: GLB file to write.
        body: The body model.
        motions: One per person, all with one frame rate; time starts at the earliest first frame.
        colours: sRGB in [0, 1], one per person.
        extras: Facts about the scene, stored as its `extras`.

    Raises:
        InputError: no motion, two people with one name, different frame rates, or the file cannot be written.
    """
    names = [motion.name for motion in motions]
    rates = {motion.fps for motion in motions}
    if not motions or len(set(names)) < len(names) or len(rates) > 1:
        found = f"names {names}, frames a second {sorted(rates)}"
        raise InputError(f"{path}: {found}; expected at least one person, every name once, one frame rate")
    scene = _Scene(body, motions)
    for index, motion in enumerate(motions):
        scene.add_person(motion, colours[index] if colours is not None else (0.7, 0.7, 0.72))
    document = scene.document()
    if extras:
        document["scenes"][0]["extras"] = dict(extras)
    write_glb_document(path, document, scene.glb)


class _Scene:
    """Builds the glTF document."""

    def __init__(self, body: BodyModel, motions: Sequence[BodyMotion]) -> None:
        self.body, self.glb, self.fps = body, GlbBuffer(), motions[0].fps
        self.start = min(motion.first_frame for motion in motions)
        self.end = max(motion.first_frame + len(motion) for motion in motions)
        self.nodes: list[dict[str, Any]] = []
        self.roots: list[int] = []
        self.meshes: list[dict[str, Any]] = []
        self.materials: list[dict[str, Any]] = []
        self.skins: list[dict[str, Any]] = []
        self.channels: list[dict[str, Any]] = []
        self.samplers: list[dict[str, Any]] = []
        faces = body.faces.numpy().astype("<u2").reshape(-1, 1)  # 13,718 vertices
        self.faces = self.glb.add(faces, "SCALAR", UNSIGNED_SHORT, ELEMENT_ARRAY_BUFFER)
        joints, weights = strongest_weights(body.skin_weights.numpy())
        self.joints = self.glb.add(joints, "VEC4", UNSIGNED_BYTE, ARRAY_BUFFER)
        self.weights = self.glb.add(weights, "VEC4", FLOAT, ARRAY_BUFFER)

    def add_person(self, motion: BodyMotion, colour: Colour) -> None:
        rig = rest_rig(self.body, motion.phenotypes)
        first = self._add_joints(motion, rig)
        # glTF stores matrices column by column.
        matrices = rig.to_rest.swapaxes(1, 2).reshape(-1, 16).astype("<f4")
        bind = self.glb.add(matrices, "MAT4", FLOAT, None)
        bones = list(range(first, first + len(rig.heads)))
        self.skins.append({"name": motion.name, "joints": bones, "skeleton": first, "inverseBindMatrices": bind})
        self._add_mesh(motion.name, rig.vertices.astype("<f4"), colour)
        self.nodes.append({"name": motion.name, "mesh": len(self.meshes) - 1, "skin": len(self.skins) - 1})
        self.nodes.append({"name": f"{motion.name}_rig", "children": [first]})
        self.roots += [len(self.nodes) - 2, len(self.nodes) - 1]
        if self.end - self.start > 1:
            self._animate(motion, first, armature=len(self.nodes) - 1)

    def _add_joints(self, motion: BodyMotion, rig: RestRig) -> int:
        """Add a node per bone, in the pose of the first frame; returns the index of the hips' node."""
        first, body = len(self.nodes), self.body
        quaternions = _quaternions(motion.local_rotations[:1])[0]
        for bone, (name, parent) in enumerate(zip(body.bone_names, body.parents, strict=True)):
            offset = motion.path[0] if parent < 0 else rig.heads[bone] - rig.heads[parent]
            node: dict[str, Any] = {"name": f"{motion.name}_{name}", "translation": offset.tolist()}
            if name in BODY_BONES:
                node["rotation"] = quaternions[BODY_BONES.index(name)].tolist()
            children = [first + child for child, above in enumerate(body.parents) if above == bone]
            self.nodes.append(node | ({"children": children} if children else {}))
        return first

    def _add_mesh(self, name: str, vertices: NDArray[np.float32], colour: Colour) -> None:
        position = self.glb.add(vertices, "VEC3", FLOAT, ARRAY_BUFFER)
        self.glb.accessors[position] |= {"min": vertices.min(axis=0).tolist(), "max": vertices.max(axis=0).tolist()}
        normals = vertex_normals(vertices, self.body.faces.numpy()).astype("<f4")
        attributes = {
            "POSITION": position,
            "NORMAL": self.glb.add(normals, "VEC3", FLOAT, ARRAY_BUFFER),
            "JOINTS_0": self.joints,
            "WEIGHTS_0": self.weights,
        }
        primitive = {"attributes": attributes, "indices": self.faces, "material": len(self.materials)}
        self.meshes.append({"name": name, "primitives": [primitive]})
        surface = {"baseColorFactor": [*linear_from_srgb(colour), 1.0], "metallicFactor": 0.0, "roughnessFactor": 0.8}
        self.materials.append({"name": name, "pbrMetallicRoughness": surface})

    def _animate(self, motion: BodyMotion, first: int, armature: int) -> None:
        begin = motion.first_frame - self.start
        times = self._times(np.arange(begin, begin + len(motion)) / motion.fps)
        quaternions = _without_flips(np.concatenate([_quaternions(chunk.local_rotations) for chunk in motion.chunks()]))
        self._channel(first, "translation", times, motion.path, "VEC3")
        for index, name in enumerate(BODY_BONES):
            self._channel(first + self.body.bone_names.index(name), "rotation", times, quaternions[:, index], "VEC4")
        steps = [(0, begin == 0), (begin, True)]
        for first_absent, last_absent in motion.absent:
            steps += [(first_absent - self.start, False), (last_absent + 1 - self.start, True)]
        steps.append((begin + len(motion), False))
        visible = {frame: shown for frame, shown in steps if frame < self.end - self.start}
        if not all(visible.values()):
            scales = np.repeat(np.array(list(visible.values()), float)[:, None], 3, axis=1)
            self._channel(armature, "scale", self._times(np.array(list(visible)) / motion.fps), scales, "VEC3", "STEP")

    def _times(self, seconds: Floats) -> int:
        values = seconds.astype("<f4")[:, None]
        accessor = self.glb.add(values, "SCALAR", FLOAT, None)
        self.glb.accessors[accessor] |= {"min": values.min(axis=0).tolist(), "max": values.max(axis=0).tolist()}
        return accessor

    def _channel(self, node: int, what: str, times: int, values: Floats, kind: str, way: str = "LINEAR") -> None:
        output = self.glb.add(np.ascontiguousarray(values, "<f4"), kind, FLOAT, None)
        self.channels.append({"sampler": len(self.samplers), "target": {"node": node, "path": what}})
        self.samplers.append({"input": times, "output": output, "interpolation": way})

    def document(self) -> dict[str, Any]:
        document = {
            "scene": 0,
            "scenes": [{"nodes": self.roots}],
            "nodes": self.nodes,
            "meshes": self.meshes,
            "materials": self.materials,
            "skins": self.skins,
        }
        if self.channels:
            animation = {"name": "motion", "channels": self.channels, "samplers": self.samplers}
            document["animations"] = [animation | {"extras": {"fps": self.fps}}]
        return document


def strongest_weights(skin_weights: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The four bones (V, 4) with the largest skinning weights of each vertex, and their weights, which sum to one.

    Where a vertex has fewer bones, the remaining ones are bone 0 with weight 0.
    """
    joints = np.argsort(-skin_weights, axis=1, kind="stable")[:, :_SKIN_WEIGHTS]
    weights = np.take_along_axis(skin_weights, joints, axis=1).astype(np.float64)
    weights = (weights / weights.sum(1, keepdims=True)).astype("<f4")
    return np.where(weights > 0, joints, 0).astype(np.uint8), weights


def _quaternions(rotations: Floats) -> NDArray[np.float32]:
    """Quaternions (T, 22, 4), x, y, z, w, of rotations (T, 22, 3, 3)."""
    from scipy.spatial.transform import Rotation

    return (
        Rotation.from_matrix(rotations.reshape(-1, 3, 3)).as_quat().reshape(*rotations.shape[:2], 4).astype(np.float32)
    )


def _without_flips(quaternions: NDArray[np.float32]) -> NDArray[np.float32]:
    """Flip signs in place: dot products of successive quaternions (T, 22, 4) become positive; viewers interpolate."""
    nearer = np.where((quaternions[1:] * quaternions[:-1]).sum(-1) < 0, np.float32(-1), np.float32(1))
    quaternions[1:] *= np.cumprod(nearer, axis=0)[..., None]
    return quaternions
