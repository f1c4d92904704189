"""Fit the joint regressors of the Anny body for the joint sets `human36`, `smpl` and `wholebody`.

    python scripts/fit_regressors.py

writes `src/pose2mesh/body_models/anny_regressors.npz` and prints a table of the errors on held-out bodies and poses.

The targets are the bone heads of Anny's own rig, posed, and for fingertips the tails of the fingers' last bones. Some
joints have none: the nose, which is the row of Anny's COCO regressor, the top of the head, which is the mean of the
vertices around the template's crown, and the toes and heels, which are means of the vertices around the tip of a toe
and the lower edge of the heel's back. Of `wholebody` only the feet and hands are fitted; `coco` has the others.

A row w minimises Σ‖Σ_v w_v x_v − j‖² + σ²‖w‖² over the samples' vertices x_v and joint j, subject to w ≥ 0 and Σw = 1.
The second term is what independent errors of σ in every vertex would add to the first: it spreads the weights, so that
the joint of a predicted, imperfect mesh does not depend on a few vertices.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import nnls

from pose2mesh.body_models.bones import BODY_BONES
from pose2mesh.body_models.default_body import default_body
from pose2mesh.body_models.finger_pose import with_fingers
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.body_models.joint_regressors import FITTED, STORED
from pose2mesh.datasets.synthetic.finger_sampling import sample_fingers
from pose2mesh.geometry.rotations import rotation_from_vector
from pose2mesh.skeletons import COCO, FEET, HAND_JOINTS, JOINT_SETS

OUTPUT = Path(__file__).parents[1] / "src/pose2mesh/body_models/anny_regressors.npz"

TAIL = ":tail"

# Joint to the bones whose heads are averaged. `left_` and `right_` joints take Left… and Right… bones.
_LIMBS = {
    "hip": "UpLeg", "knee": "Leg", "ankle": "Foot", "foot": "ToeBase", "collar": "Shoulder", "shoulder": "Arm",
    "elbow": "ForeArm", "wrist": "Hand", "hand": "HandMiddle1",
}  # fmt: skip
_TRUNK: dict[str, dict[str, tuple[str, ...]]] = {
    # Human3.6M's pelvis lies between the hip joints, its torso joint halfway from there to the base of the neck:
    # Spine1 is the nearest bone head (45% of the way).
    "human36": {"pelvis": ("LeftUpLeg", "RightUpLeg"), "torso": ("Spine1",), "neck": ("Neck",)},
    "smpl": {
        "pelvis": ("Hips",), "spine1": ("Spine",), "spine2": ("Spine1",), "spine3": ("Spine2",), "neck": ("Neck",),
        "head": ("Head",),
    },
}  # fmt: skip

# Rotations of each left or middle bone from the rest pose of the mean adult, relative to its parent, applied in order:
# (axis, least and largest angle in degrees). Axes of the rest frame: x left, y back, z up. Right bones are mirrored.
_X, _Y, _Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
_ELBOW, _FOREARM = (-0.75, -0.07, -0.66), (0.52, -0.69, -0.51)  # the axes of its flexion and of its pronation
_SPINE = ((_X, -12, 25), (_Y, -12, 12), (_Z, -15, 15))
_LIMITS = {
    "Spine": _SPINE, "Spine1": _SPINE, "Spine2": _SPINE,
    "Neck": ((_X, -20, 25), (_Y, -15, 15), (_Z, -30, 30)),
    "Head": ((_X, -20, 25), (_Y, -15, 15), (_Z, -30, 30)),
    "Shoulder": ((_X, -8, 8), (_Y, -20, 8), (_Z, -12, 12)),
    "Arm": ((_X, -50, 50), (_Y, -120, 40), (_Z, -90, 30)),
    "ForeArm": ((_FOREARM, -60, 60), (_ELBOW, -35, 100)),
    "Hand": ((_X, -35, 35), (_Y, -35, 35), (_Z, -35, 35)),
    "UpLeg": ((_Z, -35, 35), (_Y, -45, 15), (_X, -110, 25)),
    "Leg": ((_Z, -10, 10), (_X, -3, 130)),
    "Foot": ((_X, -30, 40), (_Y, -15, 15), (_Z, -15, 15)),
    "ToeBase": ((_X, -35, 15),),
}  # fmt: skip

# Ranges of Anny's phenotypes (gender, age, muscle, weight, height, proportions) for adults. Anny's own calibration has
# their heights at 0.37 ± 0.07, and this range gives women from 1.38 m and men up to 2.02 m. Beyond it the rig's knees
# slide along the leg, by 6 cm at 0 and 1 (hips at 0.6 m and 1.3 m), where no fixed set of vertices can follow.
_LEAST = np.array([0, 0.65, 0, 0, 0.15, 0])
_LARGEST = np.array([1, 0.95, 1, 1, 0.6, 1])

VERTEX_NOISE_M = (
    0.005  # σ above: compared with 0.5 mm it halves the effect of errors and costs at most 0.2 mm of distance
)
CANDIDATE_RADIUS_M = 0.2
MAX_CANDIDATES = 600
MAX_WEIGHTS = 64
MAX_HAND_WEIGHTS = 24  # with 64 the mean error is 0.2 mm smaller, and the file a third larger
CROWN_RADIUS_M = 0.03
TOE_RADIUS_M, HEEL_RADIUS_M = 0.01, 0.02
TOES_LENGTH_M = 0.06  # from the foremost point of a foot to behind the tip of its small toe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bodies", type=int, default=500, help="bodies to fit to, and as many again to measure on")
    parser.add_argument("--out", type=Path, default=OUTPUT)
    arguments = parser.parse_args()

    body = default_body()
    candidates = {name: _candidates(body, target) for name, target in _all_targets().items()}
    used = np.unique(np.concatenate(list(candidates.values())))
    columns = {name: np.searchsorted(used, rows) for name, rows in candidates.items()}
    arrays: dict[str, NDArray] = {"n_vertices": np.array(len(body.template), np.int32)}
    for name in STORED:
        are_fingers_posed = name not in FITTED
        fit_vertices, fit_points = sample_bodies(body, arguments.bodies, used, 0, are_fingers_posed)
        test_vertices, test_points = sample_bodies(body, arguments.bodies, used, 1, are_fingers_posed)
        joints, vertices, weights, errors_mm = [], [], [], []
        for index, joint in enumerate(JOINT_SETS[name].names):
            if (target := target_bones(name, joint)) is None:
                row = constant_row(body, name, joint)
                support, error_mm = row.nonzero()[0], (np.nan, np.nan)
                values = row[support]
            else:
                key, points = ",".join(target), point_indices(body, target)
                most = MAX_HAND_WEIGHTS if joint in HAND_JOINTS else MAX_WEIGHTS
                chosen, values = fit_row(fit_vertices[:, columns[key]], fit_points[:, points].mean(1), most)
                support = candidates[key][chosen]
                regressed = np.einsum("v,bvc->bc", values, test_vertices[:, columns[key][chosen]])
                distance_mm = 1000 * np.linalg.norm(regressed - test_points[:, points].mean(1), axis=-1)
                error_mm = (distance_mm.mean(), distance_mm.max())
            joints += [index] * len(support)
            vertices += support.tolist()
            weights += values.tolist()
            errors_mm.append(error_mm)
        arrays[f"{name}_joint"] = np.array(joints, np.uint8)
        arrays[f"{name}_vertex"] = np.array(vertices, np.uint16)
        arrays[f"{name}_weight"] = np.array(weights, np.float32)
        arrays[f"{name}_error_mm"] = np.array(errors_mm, np.float32)
        print(_table(name, arrays[f"{name}_joint"], arrays[f"{name}_error_mm"]))
    np.savez_compressed(arguments.out, allow_pickle=False, **arrays)
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1024:.0f} KiB")


def target_bones(joint_set: str, joint: str) -> tuple[str, ...] | None:
    """The bones whose heads define a joint, `TAIL` behind a bone for its tail; None for a joint without one."""
    side, _, limb = joint.partition("_")
    if joint_set == "wholebody":
        return (_hand_target(side.capitalize(), limb),) if joint in HAND_JOINTS else None
    if side in ("left", "right"):
        return (side.capitalize() + _LIMBS[limb],)
    return _TRUNK[joint_set].get(joint)


def _hand_target(side: str, joint: str) -> str:
    """The bone of a joint of a hand: `index_1` is the head of HandIndex1, `index_tip` the tail of HandIndex3."""
    if joint == "hand_root":
        return f"{side}Hand"
    finger, _, part = joint.partition("_")
    bone = f"{side}Hand{'Pinky' if finger == 'little' else finger.capitalize()}"
    return f"{bone}3{TAIL}" if part == "tip" else bone + part


def point_indices(body: BodyModel, target: tuple[str, ...]) -> list[int]:
    """Indices of the points of a target into the heads and, after them, the tails of the rig's bones."""
    count = len(body.bone_names)
    return [body.bone_names.index(bone.removesuffix(TAIL)) + (count if bone.endswith(TAIL) else 0) for bone in target]


def _all_targets() -> dict[str, tuple[str, ...]]:
    found = (target_bones(name, joint) for name in STORED for joint in JOINT_SETS[name].names)
    return {",".join(bones): bones for bones in found if bones}


def _candidates(body: BodyModel, target: tuple[str, ...]) -> NDArray[np.intp]:
    """Vertices that may carry weight: near the joint at rest, and moved by one of its bones or their parents."""
    indices = [body.bone_names.index(bone.removesuffix(TAIL)) for bone in target]
    moving = [*indices, *(body.parents[index] for index in indices if body.parents[index] >= 0)]
    identity = torch.eye(3).expand(1, len(BODY_BONES), 3, 3)
    joint = rig_points(body, body.mean_phenotypes[None], identity)[0, point_indices(body, target)].mean(0)
    near = (body(body.mean_phenotypes[None], identity)[0] - joint).norm(dim=-1) < CANDIDATE_RADIUS_M
    found = (near & (body.skin_weights[:, moving].amax(1) > 0.05)).nonzero()[:, 0].numpy()
    if len(found) > MAX_CANDIDATES:
        found = np.sort(np.random.default_rng(0).choice(found, MAX_CANDIDATES, replace=False))
    return found


def sample_poses(count: int, rng: np.random.Generator, body: BodyModel) -> torch.Tensor:
    """World orientations (count, 22, 3, 3) of random poses within the limits, most of them near the rest pose."""
    world: dict[str, torch.Tensor] = {"Hips": torch.eye(3).expand(count, 3, 3)}
    for bone in BODY_BONES[1:]:
        parent = body.bone_names[body.parents[body.bone_names.index(bone)]]
        rotation = world[parent]
        mirror = np.array([1.0, -1.0, -1.0] if bone.startswith("Right") else [1.0, 1.0, 1.0])
        for axis, least, largest in _LIMITS[bone.removeprefix("Left").removeprefix("Right")]:
            angle = np.radians(rng.triangular(least, 0, largest, count))
            direction = mirror * axis / np.linalg.norm(axis)
            rotation = rotation @ rotation_from_vector(torch.from_numpy(angle[:, None] * direction).float())
        world[bone] = rotation
    return torch.stack([world[bone] for bone in BODY_BONES], dim=1)


def rig_points(body: BodyModel, phenotypes: torch.Tensor, orientations: torch.Tensor) -> torch.Tensor:
    """Heads and then tails (B, 2 · 52, 3) of the rig's bones."""
    return torch.cat((body.bone_heads(phenotypes, orientations), body.bone_tails(phenotypes, orientations)), dim=1)


def sample_bodies(
    body: BodyModel, count: int, vertices: NDArray[np.intp], seed: int, are_fingers_posed: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The given vertices (count, n, 3) and the points of the rig (count, 104, 3) of random adults in random poses."""
    rng = np.random.default_rng(seed)
    phenotypes = torch.from_numpy(rng.uniform(_LEAST, _LARGEST, (count, len(_LEAST)))).float()
    orientations = sample_poses(count, rng, body)
    if are_fingers_posed:
        orientations = with_fingers(orientations, sample_fingers(count, torch.Generator().manual_seed(seed)))
    parts = []
    with torch.no_grad():
        heads = rig_points(body, phenotypes, orientations)
        for chunk in torch.arange(count).split(32):
            parts.append(body(phenotypes[chunk], orientations[chunk])[:, vertices])
    return torch.cat(parts).double().numpy(), heads.double().numpy()


def fit_row(
    vertices: NDArray[np.float64], joint: NDArray[np.float64], most: int = MAX_WEIGHTS
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Weights that give a joint (B, 3) from vertices (B, n, 3).

    Returns:
        The indices (at most `most`) into the n vertices and their weights, which sum to one.
    """
    offsets = (vertices - joint[:, None]).transpose(0, 2, 1).reshape(-1, vertices.shape[1])
    gram = offsets.T @ offsets / len(offsets) + VERTEX_NOISE_M**2 * np.eye(vertices.shape[1])
    weights = _simplex_least_squares(gram)
    chosen = np.sort(np.argsort(weights)[-most:])
    weights = _simplex_least_squares(gram[np.ix_(chosen, chosen)])
    return chosen[weights > 0], weights[weights > 0]


def _simplex_least_squares(gram: NDArray[np.float64]) -> NDArray[np.float64]:
    """The w ≥ 0 with Σw = 1 that minimises wᵀ gram w.

    The objective is homogeneous, so non-negative least squares with (Σw − 1)² added finds the minimiser up to its
    scale, whatever the weight of that term, and dividing by the sum is exact.
    """
    pull = np.trace(gram) / len(gram)
    root = cholesky(gram + pull)
    weights, _ = nnls(root, solve_triangular(root, np.full(len(gram), pull), trans="T"))
    return weights / weights.sum()


def constant_row(body: BodyModel, joint_set: str, joint: str) -> NDArray[np.float64]:
    """The weights (V,) of a joint that the rig does not have; none for those of COCO in `wholebody`."""
    if joint_set == "wholebody":
        return foot_row(body, joint) if joint in FEET else np.zeros(len(body.template))
    return nose_row(body) if joint == "nose" else crown_row(body)


def foot_row(body: BodyModel, joint: str) -> NDArray[np.float64]:
    """Equal weights on the vertices around the tip of a toe, or around the lower edge of a heel's back.

    Toe tips are the vertices of the toes with none farther forward beside them: the innermost is the big toe's.
    """
    template, faces = body.template.numpy(), body.faces.numpy()
    side, _, point = joint.partition("_")
    bones = [body.bone_names.index(side.capitalize() + bone) for bone in ("Foot", "ToeBase")]
    foot = body.skin_weights[:, bones].sum(1).numpy() > 0.5
    if point == "heel":
        tip = np.flatnonzero(foot)[(template[foot, 1] - template[foot, 2]).argmax()]
    else:
        least = template[:, 1].copy()  # of each vertex and its neighbours
        for corner in range(3):
            np.minimum.at(least, faces[:, corner], template[faces, 1].min(1))
        toes = foot & (template[:, 1] < template[foot, 1].min() + TOES_LENGTH_M)
        tips = np.flatnonzero(toes & (template[:, 1] == least))
        inwards = np.abs(template[tips, 0])
        tip = tips[inwards.argmin() if point == "big_toe" else inwards.argmax()]
    radius_m = HEEL_RADIUS_M if point == "heel" else TOE_RADIUS_M
    near = foot & (np.linalg.norm(template - template[tip], axis=1) < radius_m)
    return near / near.sum()


def nose_row(body: BodyModel) -> NDArray[np.float64]:
    return body.regressor(COCO)[COCO.index("nose")].double().numpy()


def crown_row(body: BodyModel) -> NDArray[np.float64]:
    """Equal weights on the vertices around the highest one of the template."""
    template = body.template.numpy()
    near = np.linalg.norm(template - template[template[:, 2].argmax()], axis=1) < CROWN_RADIUS_M
    return near / near.sum()


def _table(name: str, joints: NDArray, errors_mm: NDArray) -> str:
    lines = [f"| {name} | weights | mean mm | max mm |", "| --- | ---: | ---: | ---: |"]
    for index, joint in enumerate(JOINT_SETS[name].names):
        if not (joints == index).any():
            continue
        mean, largest = ("–" if np.isnan(value) else f"{value:.1f}" for value in errors_mm[index])
        lines.append(f"| {joint} | {(joints == index).sum()} | {mean} | {largest} |")
    mean, largest = np.nanmean(errors_mm[:, 0]), np.nanmax(errors_mm[:, 1])
    return "\n".join([*lines, f"| all | {len(joints)} | {mean:.1f} | {largest:.1f} |", ""])


if __name__ == "__main__":
    main()
