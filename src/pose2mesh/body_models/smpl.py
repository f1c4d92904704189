"""SMPL, SMPL-H, SMPL-X and MANO from the user's own files: pose and shape to vertices, and joint regressors.

SMPL: Loper et al. 2015. MANO and SMPL-H: Romero, Tzionas, Black 2017. SMPL-X: Pavlakos et al. 2019. The forward
pass is that of PyPI `body-models` (Apache-2.0). No model ships with the package: see `docs/body_models.md`.

Frame: the models' own, in which data sets give their poses: metres, x to the body's left, y up, facing +z. The rotation
of the first joint turns the body into any other frame.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from pose2mesh.body_models.joint_regressors import extend_with_derived
from pose2mesh.body_models.smpl_files import HAND_MEANS, SmplArrays, SmplModel, read_smpl
from pose2mesh.errors import InputError, one_line
from pose2mesh.io.extras import require
from pose2mesh.skeletons import COCO, HAND, HUMAN36, SMPL, JointSet

# How `body-models` splits the axis-angles of a pose, in the order of the model's joints.
_PARTS: dict[str, tuple[tuple[str, int], ...]] = {
    "smpl": (("pelvis_rotation", 1), ("body_pose", 23)),
    "smplh": (("pelvis_rotation", 1), ("body_pose", 21), ("hand_pose", 30)),
    "smplx": (("pelvis_rotation", 1), ("body_pose", 21), ("head_pose", 3), ("hand_pose", 30)),
    "mano": (("wrist_rotation", 1), ("hand_pose", 15)),
}

# The joints of `smpl` among those of each body: SMPL's hands are the first joints of the others' middle fingers.
_SMPL_JOINTS = {
    "smpl": range(24),
    "smplh": (*range(22), 25, 40),
    "smplx": (*range(22), 28, 43),
}

# MANO has no joint at the fingertips; FreiHAND takes these vertices (Zimmermann et al. 2019; utils/mano_utils.py
# of github.com/lmb-freiburg/freihand). The starts are each finger's first of MANO's 16 joints.
FINGERTIPS = {"thumb": 744, "index": 320, "middle": 443, "ring": 555, "little": 672}
_FINGER_STARTS = {"thumb": 13, "index": 1, "middle": 4, "ring": 10, "little": 7}
_MANO_VERTICES = 778

# Joint sets without a regressor in the model files: the files of the reference implementation of Pose2Mesh.
REGRESSOR_FILES = {"human36": "J_regressor_h36m_correct.npy", "coco": "J_regressor_coco.npy"}

Variant = Literal["neutral", "male", "female", "right", "left"]


class SmplBody(nn.Module):
    """A body or hand of the SMPL family.

    Args:
        path: The model file, official `.npz` or `.pkl`; unpickled by `read_smpl` alone.
        model: Which model it is.
        regressors: Files of joint regressors, (17, V) in `.npy`, by joint set: `human36` and `coco`.
        flat_hand: Whether a pose of zeros is a flat hand (AMASS) rather than the file's mean hand (FreiHAND). No effect
            on SMPL, which has no fingers.

    Attributes:
        model: As given.
        faces: (F, 3) triangles, counter-clockwise seen from outside.
        template: (V, 3) the mean body without pose, hands flat.
        joint_regressor: (J, V) the model's own joints, on the CPU.
        arrays: The arrays of the file.
        mean_pose: (J, 3) axis-angle added to every pose, on the CPU: the mean pose of the fingers, unless `flat_hand`.

    Raises:
        InputError: a file cannot be used, or `body-models` is not installed.
    """

    faces: Tensor
    template: Tensor

    def __init__(
        self,
        path: Path,
        model: SmplModel = "smpl",
        regressors: Mapping[str, Path] | None = None,
        flat_hand: bool = False,
    ) -> None:
        super().__init__()
        if model not in get_args(SmplModel):
            raise InputError(f"model {model!r} is not known; expected one of {', '.join(get_args(SmplModel))}")
        arrays = read_smpl(path, model)
        missing = [key for key in HAND_MEANS[model] if key not in arrays.hand_means]
        if missing and not flat_hand:
            raise InputError(f"{path}: no array {missing[0]!r}, expected in a file of {model} unless flat_hand")
        self.path, self.model, self.arrays = path, model, arrays
        self.mean_pose = _mean_pose(arrays, model, flat_hand)
        self._layer = _layer(arrays, model, flat_hand)
        self.joint_regressor = torch.from_numpy(arrays.joint_regressor)
        self.register_buffer("faces", torch.from_numpy(arrays.faces), persistent=False)
        self.register_buffer("template", torch.from_numpy(arrays.template), persistent=False)
        self._given = {
            name: _read_regressor(file, name, len(arrays.template)) for name, file in (regressors or {}).items()
        }

    def forward(self, pose: Tensor, shape: Tensor, translation: Tensor | None = None) -> Tensor:
        """Vertices (B, V, 3) in metres.

        Args:
            pose: (B, J, 3) axis-angle of every joint relative to its parent, radians; J is 24 for SMPL, 52 for SMPL-H,
                55 for SMPL-X (body, jaw, eyes, hands) and 16 for MANO.
            shape: (B, 10) coefficients.
            translation: (B, 3) metres, added at the end; without it the root joint stays where it is in the shaped rest
                body.
        """
        parts = dict(_PARTS[self.model])
        rotations: dict[str, Tensor] = dict(zip(parts, pose.split(list(parts.values()), dim=1), strict=True))
        root = next(iter(parts))
        rotations[root] = rotations[root][:, 0]
        if self.model == "smplx":
            rotations["expression"] = shape.new_zeros(len(shape), 1)
        return self._layer.forward_vertices(**rotations, shape=shape, global_translation=translation)

    def regressor(self, joint_set: JointSet) -> Tensor:
        """Joint regressor (J, V) of a joint set, on the CPU: `smpl` for bodies, `hand` for hands.

        Bodies also have `human36` and `coco` if their regressors were given; pelvis and neck of `coco` are means.

        Raises:
            InputError: the model has no such joints, or their file was not given.
        """
        if joint_set.name in self._given:
            return self._given[joint_set.name]
        if joint_set is HAND and self.model == "mano":
            return self._hand_regressor()
        if joint_set is SMPL and self.model in _SMPL_JOINTS:
            return self.joint_regressor[list(_SMPL_JOINTS[self.model])]
        if joint_set.name in REGRESSOR_FILES and self.model != "mano":
            raise InputError(
                f"{self.path}: {self.model} has no regressor of joint set {joint_set.name!r}; expected one in a file "
                f"such as {REGRESSOR_FILES[joint_set.name]}"
            )
        own = "hand" if self.model == "mano" else "smpl, human36 and coco"
        raise InputError(f"{self.path}: {self.model} has no joint set {joint_set.name!r}; expected {own}")

    def _hand_regressor(self) -> Tensor:
        V = len(self.template)
        if V != _MANO_VERTICES:
            raise InputError(f"{self.path}: v_template has {V} vertices, expected {_MANO_VERTICES} to find fingertips")
        tips = torch.eye(V)
        rows = [self.joint_regressor[:1]]
        for finger, start in _FINGER_STARTS.items():
            rows += [self.joint_regressor[start : start + 3], tips[FINGERTIPS[finger], None]]
        return torch.cat(rows)


def find_smpl(folder: Path, model: SmplModel = "smpl", variant: Variant = "neutral") -> Path:
    """Find the model file in a folder of the usual layout: `smpl/SMPL_NEUTRAL.pkl`, `mano/MANO_RIGHT.pkl`, and so on.

    Args:
        folder: With a subfolder for each model.
        model: Which model.
        variant: `neutral`, `male` or `female` for a body; `right` or `left` for a hand.

    Raises:
        InputError: there is no such file, `.npz` or `.pkl`.
    """
    stem = f"{model}/{model.upper()}_{variant.upper()}"
    for suffix in (".npz", ".pkl"):
        if (folder / f"{stem}{suffix}").is_file():
            return folder / f"{stem}{suffix}"
    raise InputError(f"{folder}: no file {stem}.npz or .pkl, expected for {model} {variant}")


def find_regressors(folder: Path) -> dict[str, Path]:
    """The files of `REGRESSOR_FILES` that exist in a folder, by joint set."""
    return {name: folder / file for name, file in REGRESSOR_FILES.items() if (folder / file).is_file()}


def _read_regressor(path: Path, name: str, vertices: int) -> Tensor:
    joint_set = {"human36": HUMAN36, "coco": COCO}.get(name)
    if joint_set is None:
        raise InputError(f"{path}: a regressor of joint set {name!r}, expected {' or '.join(REGRESSOR_FILES)}")
    try:
        rows = np.load(path, allow_pickle=False)
    except Exception as error:  # a damaged file raises many kinds of exceptions
        raise InputError(f"{path}: not a readable .npy file ({one_line(error)})") from error
    expected = (len(joint_set) - len(joint_set.derived), vertices)
    if not isinstance(rows, np.ndarray) or rows.shape != expected or rows.dtype.kind != "f":
        found = f"{rows.shape} of {rows.dtype}" if isinstance(rows, np.ndarray) else "several arrays"
        raise InputError(f"{path}: found {found}, expected {expected} of floating point, a row for each joint")
    if not np.isfinite(rows).all():
        raise InputError(f"{path}: holds {rows[~np.isfinite(rows)][0]}, expected finite numbers")
    return torch.from_numpy(extend_with_derived(rows, joint_set))


def _mean_pose(arrays: SmplArrays, model: SmplModel, flat_hand: bool) -> Tensor:
    mean = torch.zeros(len(arrays.parents), 3)
    if HAND_MEANS[model] and not flat_hand:
        hands = torch.cat([torch.from_numpy(arrays.hand_means[key]) for key in HAND_MEANS[model]]).reshape(-1, 3)
        mean[-len(hands) :] = hands
    return mean


def _layer(arrays: SmplArrays, model: SmplModel, flat_hand: bool) -> Any:
    """The layer of PyPI `body-models`, given a file written here: it unpickles any file without checks."""
    require("body_models.mano.torch", "smpl", "body-models")
    from body_models.mano.torch import MANO as Mano
    from body_models.smpl.torch import SMPL as Smpl
    from body_models.smplh.torch import SMPLH as Smplh
    from body_models.smplx.torch import SMPLX as Smplx

    shapes = arrays.shapes
    # Where an SMPL-H file lacks the hand means, `body-models` would substitute its own.
    flat = np.zeros(45, np.float32)
    extra: dict[str, Any] = {key: flat if flat_hand else arrays.hand_means[key] for key in HAND_MEANS[model]}
    if model == "smplx":
        # The file's layout: 300 shapes, then expressions. One expression is enough; it stays zero.
        shapes = np.concatenate((shapes, np.zeros((*shapes.shape[:2], 301 - shapes.shape[2]), np.float32)), axis=2)
        extra["joint2num"] = np.array({str(joint): joint for joint in range(len(arrays.parents))}, object)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.npz"
        np.savez(
            path,
            v_template=arrays.template,
            f=arrays.faces,
            weights=arrays.skin_weights,
            shapedirs=shapes,
            posedirs=arrays.pose_shapes,
            J_regressor=arrays.joint_regressor,
            kintree_table=arrays.parents[None],
            **extra,
        )
        return {"smpl": Smpl, "smplh": Smplh, "smplx": Smplx, "mano": Mano}[model](model_path=path)
