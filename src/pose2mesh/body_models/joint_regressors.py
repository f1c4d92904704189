"""Joint regressors: each joint of a body as a fixed weighted mean of the body's vertices.

A regressor is a matrix (J, V) whose rows sum to one, so that `regressor @ vertices` moves with the body. The regressors
of the Anny body for the joint sets `human36` and `smpl`, and for the feet and hands of `wholebody`, ship with the
package; `scripts/fit_regressors.py` fits them and documents the method. The regressor for `coco` comes from Anny itself
and is completed here.
"""

from __future__ import annotations

from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from pose2mesh.errors import InputError
from pose2mesh.skeletons import COCO, JOINT_SETS, WHOLEBODY, JointSet

# The joint sets of the file; its arrays are named '<joint set>_<array>'. Those of `wholebody` are for feet and hands.
FITTED = ("human36", "smpl")
STORED = (*FITTED, WHOLEBODY.name)
_FILE = "anny_regressors.npz"


def load_regressor(name: str) -> NDArray[np.float32]:
    """The joint regressor of the Anny body for a joint set.

    Args:
        name: `human36` or `smpl`.

    Returns:
        (J, V) weights, none negative, in the order of the joint set; every row sums to one.

    Raises:
        InputError: there is no fitted regressor for the joint set.
    """
    _require(name, FITTED)
    return _stored_rows(name)


def extend_with_feet_and_hands(coco: NDArray[np.floating]) -> NDArray[np.float32]:
    """The joint regressor (67, V) of the Anny body for `wholebody`, from that for `coco` (19, V)."""
    regressor = _stored_rows(WHOLEBODY.name)
    regressor[[WHOLEBODY.index(name) for name in COCO.names]] = coco
    return regressor


def _stored_rows(name: str) -> NDArray[np.float32]:
    """(J, V) of a joint set of the file; rows that it does not hold are 0."""
    with (
        files("pose2mesh.body_models").joinpath(_FILE).open("rb") as stream,
        np.load(stream, allow_pickle=False) as arrays,
    ):
        regressor = np.zeros((len(JOINT_SETS[name]), int(arrays["n_vertices"])), np.float32)
        regressor[arrays[f"{name}_joint"], arrays[f"{name}_vertex"]] = arrays[f"{name}_weight"]
    return regressor


def fitting_error(name: str) -> NDArray[np.float32]:
    """Distances of the regressed joints from the rig's joints, on bodies and poses outside the fit.

    Args:
        name: `human36`, `smpl` or `wholebody`.

    Returns:
        (J, 2) mean and largest distance of each joint in millimetres; NaN for a joint that the rig does not have.

    Raises:
        InputError: there is no fitted regressor for the joint set.
    """
    _require(name, STORED)
    with (
        files("pose2mesh.body_models").joinpath(_FILE).open("rb") as stream,
        np.load(stream, allow_pickle=False) as arrays,
    ):
        return arrays[f"{name}_error_mm"]


def extend_with_derived(regressor: NDArray[np.floating], joint_set: JointSet) -> NDArray[np.float32]:
    """Add rows for the derived joints of a joint set: the means of the rows of their source joints.

    Args:
        regressor: (J − D, V) rows of the joints that are not derived, in the order of the joint set.
        joint_set: A joint set with D derived joints, such as `coco`: pelvis and neck from the hips and shoulders.

    Returns:
        (J, V) in the order of the joint set.

    Raises:
        InputError: the number of rows is not that of the joints that are not derived.
    """
    derived = dict(joint_set.derived)
    given = [name for name in joint_set.names if name not in derived]
    if len(regressor) != len(given):
        raise InputError(
            f"regressor has {len(regressor)} rows; joint set {joint_set.name!r} has {len(given)} joints to regress"
        )
    rows = dict(zip(given, regressor, strict=True))
    rows |= {name: np.mean([rows[part] for part in parts], axis=0) for name, parts in derived.items()}
    return np.stack([rows[name] for name in joint_set.names]).astype(np.float32)


def _require(name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise InputError(f"no regressor is fitted for joint set {name!r}; expected one of {', '.join(known)}")
