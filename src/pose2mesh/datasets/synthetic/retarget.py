"""Retargeting of motion capture skeletons to the 22 bones of the body model that are not fingers.

Convention: the target's world is Z up, in metres, and its template stands facing −Y with its left at +X. A bone's
orientation D is the rotation, in that world, from the template to the pose: a limb in direction `a` in the template
has direction D a when posed. With W a source joint's world rotation, D = C W A: A takes the template's bone to
the source's rest frame, C the motion's world to the target's.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pose2mesh.body_models.bones import BODY_BONES
from pose2mesh.datasets.synthetic.bvh import Array, Bvh, forward_kinematics
from pose2mesh.datasets.synthetic.directions import frame, turn, unit
from pose2mesh.datasets.synthetic.joint_mapping import Roles, find_roles
from pose2mesh.errors import InputError

Up = Literal["y", "z"]

# The bones of `body_models.bones`, each with the way from its head to its child's in the template (default
# phenotype), in metres. Written out so that motion is read without building the body; a test compares them with it.
TEMPLATE_BONES: dict[str, tuple[float, float, float]] = {
    "Hips": (-0.0014, -0.0031, 0.0932),
    "LeftUpLeg": (0.0331, -0.0322, -0.3890),
    "LeftLeg": (0.0416, 0.0363, -0.3985),
    "LeftFoot": (-0.0032, -0.1387, -0.0453),
    "LeftToeBase": (0.0028, -0.0513, -0.0126),
    "RightUpLeg": (-0.0331, -0.0322, -0.3890),
    "RightLeg": (-0.0416, 0.0363, -0.3985),
    "RightFoot": (0.0032, -0.1387, -0.0453),
    "RightToeBase": (-0.0028, -0.0513, -0.0126),
    "Spine": (0.0000, 0.0119, 0.1058),
    "Spine1": (0.0000, 0.0405, 0.1209),
    "Spine2": (0.0000, -0.0394, 0.1658),
    "LeftShoulder": (0.1010, -0.0001, -0.0650),
    "LeftArm": (0.1679, -0.0041, -0.1886),
    "LeftForeArm": (0.1162, -0.1576, -0.1151),
    "LeftHand": (0.0424, -0.0768, -0.0497),
    "Neck": (0.0010, -0.0140, 0.0486),
    "Head": (-0.0010, 0.0013, 0.2006),
    "RightShoulder": (-0.1051, -0.0026, -0.0586),
    "RightArm": (-0.1679, -0.0041, -0.1886),
    "RightForeArm": (-0.1162, -0.1576, -0.1151),
    "RightHand": (-0.0424, -0.0768, -0.0497),
}

# Limb bones that take their posed direction from the source, each with the bone that determines what this leaves
# open: a shank twists with its thigh. Toes and collars follow their parent bones, since skeletons differ in the
# direction of these.
_LIMBS: dict[str, str] = {
    side + bone: above if above == "Hips" else side + above
    for side in ("Left", "Right")
    for limb in (("Hips", "UpLeg", "Leg", "Foot"), ("Hips", "Arm", "ForeArm", "Hand"))
    for above, bone in pairwise(limb)
}
_TRUNK = ("Spine", "Spine1", "Spine2")
_NECK = ("Neck", "Head")
_LEFT, _UP = np.array([1.0, 0, 0]), np.array([0, 0, 1.0])
_LEAST_BEND = np.sin(np.deg2rad(9))  # mean bend below which a limb's hinge axis is not determined
_NEAR_AXIS = np.cos(np.deg2rad(25))


def retarget(bvh: Bvh, up: Up | None = None) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Orientations of the body's bones, and the path of its hips.

    Where the skeleton's rest pose stands (legs below, trunk above, feet forward), the body's template is laid over it.
    Otherwise, where its offsets follow the bones' own axes, the twist of each limb about itself is taken from the
    plane the knee or the elbow bends in, over the whole clip.

    Args:
        bvh: The motion.
        up: The vertical axis of the motion's world; None finds it from the rest pose and from how the body stands.

    Returns:
        orientations (T, 22, 3, 3), world rotations from the template in the order of `BODY_BONES`, and the hips' path
        (T, 3) in metres, scaled by the length of the legs. Both in the target's world, Z up.

    Raises:
        InputError: parts of the body are not found, the up axis cannot be determined, or left and right are exchanged.
    """
    roles = find_roles(bvh)
    _check_lengths(bvh, roles)
    rotations, positions = forward_kinematics(bvh)
    rest = _rest_axes(bvh, roles)
    to_target = _to_z_up(_up_axis(bvh, roles, positions, None if rest is None else rest[:, 2], up))
    world = to_target @ rotations
    if rest is not None:
        aligned = _from_rest(bvh, roles, world, rest)
    else:
        aligned = _from_motion(bvh, roles, world, positions @ to_target.T)
    orientations = np.stack([aligned[bone] for bone in BODY_BONES], axis=1).astype(np.float32)
    root = positions[:, roles.hips] @ to_target.T * (_template_leg() / _leg_length(bvh, roles))
    return orientations, root.astype(np.float32)


def limb_joints(roles: Roles) -> dict[str, tuple[int, int]]:
    """For every limb bone, the joints of the source at its head and its tail."""
    joints = {}
    for side in ("Left", "Right"):
        for bone, below in (("UpLeg", "Leg"), ("Leg", "Foot"), ("Arm", "ForeArm"), ("ForeArm", "Hand")):
            joints[side + bone] = (roles.limbs[side + bone], roles.limbs[side + below])
        for bone in ("Foot", "Hand"):
            joints[side + bone] = (roles.limbs[side + bone], roles.tips[side + bone])
    return joints


def _check_lengths(bvh: Bvh, roles: Roles) -> None:
    at = bvh.rest_positions()
    for bone, (head, tail) in limb_joints(roles).items():
        if not bone.endswith(("Foot", "Hand")) and np.linalg.norm(at[tail] - at[head]) < 1e-6:
            raise InputError(
                f"{bvh.source}: joint {bvh.names[tail]!r} lies on {bvh.names[head]!r}; a limb needs a length"
            )


def _template_leg() -> float:
    return float(sum(np.linalg.norm(TEMPLATE_BONES[bone]) for bone in ("LeftUpLeg", "LeftLeg")))


def _leg_length(bvh: Bvh, roles: Roles) -> float:
    """Hip to knee to ankle in the file's unit, the mean of both sides."""
    rest, joints = bvh.rest_positions(), limb_joints(roles)
    bones = [joints[side + bone] for side in ("Left", "Right") for bone in ("UpLeg", "Leg")]
    return float(sum(np.linalg.norm(rest[tail] - rest[head]) for head, tail in bones)) / 2


def _snap(direction: Array) -> Array:
    """The nearest coordinate axis where one is near, otherwise the direction itself."""
    nearest = int(np.abs(direction).argmax())
    if abs(direction[nearest]) < _NEAR_AXIS:
        return direction
    return np.sign(direction[nearest]) * np.eye(3)[nearest]


def _rest_axes(bvh: Bvh, roles: Roles) -> Array | None:
    """(3, 3) the template's axes (left, back, up as columns) in the source's rest frame; None if it does not stand."""
    at, limbs, joints = bvh.rest_positions(), roles.limbs, limb_joints(roles)
    left = at[limbs["LeftUpLeg"]] - at[limbs["RightUpLeg"]]
    hips = (at[limbs["LeftUpLeg"]] + at[limbs["RightUpLeg"]]) / 2
    trunk = (at[limbs["LeftArm"]] + at[limbs["RightArm"]]) / 2 - hips
    up = _snap(unit(trunk + hips - (at[limbs["LeftFoot"]] + at[limbs["RightFoot"]]) / 2))
    left = _snap(unit(left - up * (up @ left)))
    left = unit(left - up * (up @ left))
    forward = np.cross(left, up)

    def along(bone: str, axis: Array) -> float:
        head, tail = joints[bone]
        return float(unit(at[tail] - at[head]) @ axis)

    sides = ("Left", "Right")
    legs_hang = all(along(side + bone, up) < -0.6 for side in sides for bone in ("UpLeg", "Leg"))
    if not legs_hang or unit(trunk) @ up < 0.6:
        return None
    feet = [along(side + "Foot", forward) for side in sides if roles.tips[side + "Foot"] != limbs[side + "Foot"]]
    if max(feet, default=1) < -0.3 or (at[limbs["LeftArm"]] - at[limbs["RightArm"]]) @ left < 0:
        raise InputError(
            f"{bvh.source}: in the rest pose the feet point backwards or the arms cross; expected left on the left"
        )
    return np.stack([left, -forward, up], axis=1) if min(feet, default=1) > 0.3 else None


def _up_axis(bvh: Bvh, roles: Roles, positions: Array, rest_up: Array | None, up: Up | None) -> Array:
    """Up in the motion's world.

    In most files it is the up axis of the rest pose. Where a root rotation turns the rest frame into another world, the
    body stands along another axis in most frames, and that axis is used, but not head down, since handstands are
    commoner than such files. A person who lies stretched out along an axis for the whole clip is taken to stand: such
    clips need `up`.
    """
    if up is not None:
        if up not in ("y", "z"):
            raise InputError(f"up axis {up!r} is not known; expected 'y' or 'z'")
        return np.eye(3)["xyz".index(up)]
    limbs, joints = roles.limbs, limb_joints(roles)
    hips = (positions[:, limbs["LeftUpLeg"]] + positions[:, limbs["RightUpLeg"]]) / 2
    trunk = unit((positions[:, limbs["LeftArm"]] + positions[:, limbs["RightArm"]]) / 2 - hips)
    standing = np.zeros(len(bvh), bool)
    for side in ("Left", "Right"):  # on a leg that is nearly straight and in line with the trunk, its foot across it
        leg = positions[:, limbs[f"{side}UpLeg"]] - positions[:, limbs[f"{side}Foot"]]
        head, tail = joints[f"{side}Foot"]
        foot = unit(positions[:, tail] - positions[:, head])
        straight = np.linalg.norm(leg, axis=-1) > 0.9 * _leg_length(bvh, roles)
        standing |= straight & ((unit(leg) * trunk).sum(-1) > 0.8) & (np.abs((foot * trunk).sum(-1)) < 0.75)
    mean = trunk[standing].mean(0) if standing.any() else np.zeros(3)
    axis = _snap(unit(mean))
    clear = np.linalg.norm(mean) > 0.8 and np.abs(axis).max() == 1
    if clear and (standing.mean() > 0.25 if rest_up is None else standing.mean() > 0.6 and axis @ rest_up > -0.5):
        return axis
    if rest_up is None or np.abs(rest_up).max() < 1:
        raise InputError(f"{bvh.source}: the up axis cannot be determined from the motion; give up='y' or up='z'")
    return rest_up


def _to_z_up(up: Array) -> Array:
    """(3, 3) the quarter turns that rotate the axis `up` to Z; Y up facing Z becomes Z up facing −Y."""
    return turn(up, _UP) if up @ _UP > -0.5 else np.diag([1.0, -1, -1])


def _from_rest(bvh: Bvh, roles: Roles, world: Array, rest: Array) -> dict[str, Array]:
    """Orientations (T, 3, 3) per bone by aligning the template with the source's rest pose.

    A limb is rotated to the source's rest direction by the least rotation from where the bone above it has moved it,
    so that straightening a bent template elbow turns about the elbow's own hinge.
    """
    at, joints = bvh.rest_positions(), limb_joints(roles)
    alignment = {"Hips": rest}
    out = {"Hips": world[:, roles.hips] @ rest}
    for bone, above in _LIMBS.items():
        head, tail = joints[bone]
        carried = alignment[above]
        alignment[bone] = turn(carried @ TEMPLATE_BONES[bone], at[tail] - at[head]) @ carried
        out[bone] = world[:, head] @ alignment[bone]
    spine = [out["Hips"], *(world[:, joint] @ rest for joint in roles.spine)]
    neck = [spine[-1], *(world[:, joint] @ rest for joint in roles.neck)]
    out.update(_spread(_TRUNK, spine) | _spread(_NECK, neck))
    for side in ("Left", "Right"):
        collar, toe = roles.limbs.get(f"{side}Shoulder"), roles.limbs.get(f"{side}ToeBase")
        out[f"{side}Shoulder"] = out["Spine2"] if collar is None else world[:, collar] @ rest
        out[f"{side}ToeBase"] = out[f"{side}Foot"] if toe is None else world[:, toe] @ alignment[f"{side}Foot"]
    return out


def _spread(bones: tuple[str, ...], chain: list[Array]) -> dict[str, Array]:
    """Distribute the bend of a chain of source orientations, its base first, over the bones of the body."""
    out = {}
    for i, bone in enumerate(bones, 1):
        place = i * (len(chain) - 1) / len(bones)
        low = int(place)
        share = place - low
        out[bone] = chain[low] if share < 1e-9 else _between(chain[low], chain[low + 1], share)
    return out


def _between(a: Array, b: Array, share: float) -> Array:
    """(T, 3, 3) the rotation a share of the way from `a` to `b`."""
    from scipy.spatial.transform import Rotation

    step = Rotation.from_matrix(np.swapaxes(a, -1, -2) @ b).as_rotvec()
    return a @ Rotation.from_rotvec(share * step).as_matrix()


def _from_motion(bvh: Bvh, roles: Roles, world: Array, at: Array) -> dict[str, Array]:
    """Orientations (T, 3, 3) per bone where the rest pose is unusable, from the posed joints `at` (T, N, 3).

    The direction of a bone in its joint's frame follows from the next joint; only its twist is fitted over the
    clip: hips to the hip axis, trunk and head to the left of what is below, limbs to the hinge they bend in.
    """
    hips, joints = roles.hips, limb_joints(roles)
    above = next(i for i in (*roles.spine, roles.limbs["LeftArm"]) if np.linalg.norm(at[0, i] - at[0, hips]) > 0)
    hip_axis = at[:, roles.limbs["LeftUpLeg"]] - at[:, roles.limbs["RightUpLeg"]]
    out = {"Hips": _fit(world[:, hips], hip_axis, at[:, above] - at[:, hips], _LEFT, _UP)}
    for bones, base, chain, tip in (
        (_TRUNK, "Hips", roles.spine, roles.neck[0] if roles.neck else None),
        (_NECK, "Spine2", roles.neck, roles.head_tip),
    ):
        fitted = [out[base]]
        for joint, tail in zip(chain, (*chain[1:], tip), strict=False):
            if tail is None or bvh.is_end[tail] or tail == joint:  # an end site above a head may point anywhere
                fitted.append(_follow(world[:, joint], fitted[-1]))
            else:
                fitted.append(_fit(world[:, joint], at[:, tail] - at[:, joint], fitted[-1] @ _LEFT, _UP, _LEFT))
        out.update(_spread(bones, fitted))
    for side in ("Left", "Right"):
        for upper, lower, end, trunk in (("UpLeg", "Leg", "Foot", "Hips"), ("Arm", "ForeArm", "Hand", "Spine2")):
            bones = (side + upper, side + lower, side + end)
            ways = [at[:, tail] - at[:, head] for head, tail in (joints[bone] for bone in bones)]
            hinge = np.cross(unit(ways[0]), unit(ways[1]))
            template = unit(np.cross(TEMPLATE_BONES[bones[0]], TEMPLATE_BONES[bones[1]]))
            usual = out[trunk] @ template
            backward = upper == "UpLeg" and (hinge * usual).sum(-1).mean() < 0
            if backward or np.linalg.norm(hinge, axis=-1).mean() < _LEAST_BEND:
                hinge = usual
            for bone, way in zip(bones, ways, strict=True):
                turns = world[:, joints[bone][0]]
                across = out[side + lower] @ template if bone == bones[2] else hinge
                points = np.linalg.norm(way, axis=-1).min() > 0
                out[bone] = (
                    _fit(turns, way, across, np.array(TEMPLATE_BONES[bone]), template)
                    if points
                    else _follow(turns, out[side + lower])
                )
        for bone, base in (("Shoulder", "Spine2"), ("ToeBase", side + "Foot")):
            own = roles.limbs.get(side + bone)
            out[side + bone] = out[base] if own is None else _follow(world[:, own], out[base])
    ahead = [(out["Hips"].swapaxes(-1, -2) @ (at[:, b] - at[:, a])[..., None])[:, 1, 0] for a, b in _feet(joints)]
    if np.mean(ahead) > 0:
        raise InputError(f"{bvh.source}: the feet point backwards; left and right may be exchanged")
    return out


def _feet(joints: dict[str, tuple[int, int]]) -> list[tuple[int, int]]:
    return [joints["LeftFoot"], joints["RightFoot"]]


def _fit(world: Array, along: Array, across: Array, template_along: Array, template_across: Array) -> Array:
    """(T, 3, 3) `world @ A`, A taking the template's directions to the clip's mean ones in the joint's frame."""
    local = world.swapaxes(-1, -2)
    source = frame((local @ along[..., None])[..., 0].mean(0), (local @ across[..., None])[..., 0].mean(0))
    return world @ source @ frame(template_along, template_across).T


def _follow(world: Array, above: Array) -> Array:
    """(T, 3, 3) the joint's rotations with a constant offset, so that on average it follows the bone above."""
    u, _, vt = np.linalg.svd((world.swapaxes(-1, -2) @ above).mean(0))
    return world @ u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
