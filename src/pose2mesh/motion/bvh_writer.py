"""Writes a person's motion as BVH: the 22 body bones with Mixamo's names, for Blender and retargeting tools.

Convention: Y up, the rest pose faces +Z with its left at +X and its arms half lowered, centimetres (scale by 0.01 in
Blender); degrees, the root's position before its rotation. The video's camera is at the origin and looks along −Z.

Euler angles have a gimbal lock where the middle angle is 90°. The root, which may turn around but seldom bends by 90°,
has the order Y X Z; the other bones, which bend but seldom twist that far, have Z Y X.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from pose2mesh.body_models.bones import BODY_BONES, PARENTS
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.datasets.synthetic.retarget import TEMPLATE_BONES
from pose2mesh.io.mesh_files import atomic_write
from pose2mesh.motion.body_motion import Y_UP_FROM_BODY, BodyMotion, Floats, rest_rig

PREFIX = "mixamorig:"
_CM = 100.0
_ROOT_ORDER, _ORDER = "YXZ", "ZYX"


def write_bvh(path: str | Path, body: BodyModel, motion: BodyMotion, prefix: str = PREFIX) -> None:
    """Write the motion of one person.

    Args:
        path: BVH file to write.
        body: The body model.
        motion: The person's motion.
        prefix: Prefix of every bone name; Mixamo's tools expect `mixamorig:`, others the bare names.

    Raises:
        InputError: the file cannot be written.
    """
    heads = rest_rig(body, motion.phenotypes).heads[[body.bone_names.index(bone) for bone in BODY_BONES]]
    lines = ["HIERARCHY", *_joint(0, heads, prefix, 0), "MOTION", f"Frames: {len(motion)}"]
    lines.append(f"Frame Time: {1 / motion.fps:.8f}")
    with atomic_write(path) as file:
        file.write(("\n".join(lines) + "\n").encode())
        previous = None
        for chunk in motion.chunks():
            rotations = chunk.local_rotations
            angles = np.concatenate([_angles(rotations[:, :1], _ROOT_ORDER), _angles(rotations[:, 1:], _ORDER)], axis=1)
            angles = _continuous(angles, previous)
            previous = angles[-1]
            # `BODY_BONES` is in depth-first order, like the hierarchy.
            channels = np.concatenate([_CM * chunk.path, angles.reshape(len(chunk), -1)], axis=1)
            rows = [" ".join(f"{value:.5f}" for value in frame) for frame in channels.tolist()]
            file.write(("\n".join(rows) + "\n").encode())


def _joint(bone: int, heads: Floats, prefix: str, depth: int) -> list[str]:
    """The lines of a bone and its descendants."""
    indent = "  " * depth
    offset = heads[bone] - heads[PARENTS[bone]] if bone else np.zeros(3)
    channels = [f"{axis}rotation" for axis in (_ORDER if bone else _ROOT_ORDER)]
    if not bone:
        channels = ["Xposition", "Yposition", "Zposition", *channels]
    lines = [f"{indent}{'JOINT' if bone else 'ROOT'} {prefix}{BODY_BONES[bone]}", f"{indent}{{"]
    lines += [f"{indent}  OFFSET {_numbers(_CM * offset)}", f"{indent}  CHANNELS {len(channels)} {' '.join(channels)}"]
    children = [child for child, parent in enumerate(PARENTS) if parent == bone]
    for child in children:
        lines += _joint(child, heads, prefix, depth + 1)
    if not children:
        tip = Y_UP_FROM_BODY @ np.array(TEMPLATE_BONES[BODY_BONES[bone]])
        lines += [f"{indent}  End Site", f"{indent}  {{", f"{indent}    OFFSET {_numbers(_CM * tip)}", f"{indent}  }}"]
    return [*lines, f"{indent}}}"]


def _numbers(values: Floats) -> str:
    return " ".join(f"{value:.5f}" for value in values.tolist())


def _angles(rotations: Floats, order: str) -> Floats:
    """Euler angles (T, bones, 3) in degrees of rotations (T, bones, 3, 3)."""
    from scipy.spatial.transform import Rotation

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Gimbal lock")  # the angles are valid, though not unique
        angles = Rotation.from_matrix(rotations.reshape(-1, 3, 3)).as_euler(order, degrees=True)
    return angles.reshape(*rotations.shape[:2], 3)


def _continuous(angles: Floats, previous: Floats | None = None) -> Floats:
    """Equivalent angles (T, bones, 3) in degrees without jumps between frames, or from the previous frame (bones, 3).

    Every rotation has two triples of Euler angles, and each angle may differ by multiples of 360°. Programs interpolate
    the channels, so a jump by 360° between two frames would show as a spin.
    """
    out = angles.copy()
    for t in range(len(out)):
        last = out[t - 1] if t else previous
        if last is None:
            continue
        other = out[t] * [1, -1, 1] + 180  # (a + 180°, 180° − b, c + 180°) is the same rotation
        near = [triple - 360 * np.round((triple - last) / 360) for triple in (out[t], other)]
        nearer = np.abs(near[1] - last).sum(-1) < np.abs(near[0] - last).sum(-1)
        out[t] = np.where(nearer[:, None], near[1], near[0])
    return out
