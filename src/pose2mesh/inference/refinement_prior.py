"""The unknowns of the refinement and their prior: how far a recovered body may be from what is seen in the image.

`U` unknowns of a person: 3 components of the rotation of each of 22 bones, 3 of the translation, and the girth and the
stretch of each of 14 kinds of bones; left and right bones share the latter.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pose2mesh.body_models.bones import BODY_BONES, PARENTS
from pose2mesh.body_models.mesh_articulation import BONES, split_side

# Standard deviation in radians of each bone's change of rotation, relative to its parent: the root mean square error of
# the network on training clips with exact joints, times `_TURN_FREEDOM`.
_TURN_RAD = {
    "Hips": 0.06, "UpLeg": 0.11, "Leg": 0.10, "Foot": 0.20, "ToeBase": 0.15, "Spine": 0.09, "Spine1": 0.07,
    "Spine2": 0.07, "Shoulder": 0.06, "Arm": 0.17, "ForeArm": 0.15, "Hand": 0.20, "Neck": 0.12, "Head": 0.10,
}  # fmt: skip
_TURN_FREEDOM = 1.1
# Standard deviations of the girth (of all bones together, of a kind of bone beside it, and of the difference between
# neighbours) and of the stretch, as shares of the predicted ones.
_GIRTH, _GIRTH_OF_KIND, _GIRTH_DIFFERENCE, _STRETCH = 0.3, 0.3, 0.1, 0.05
_NEIGHBOURS = (
    ("Hips", "Spine"), ("Spine", "Spine1"), ("Spine1", "Spine2"), ("Spine2", "Shoulder"), ("Hips", "UpLeg"),
    ("UpLeg", "Leg"), ("Leg", "Foot"), ("Arm", "ForeArm"),
)  # fmt: skip
# Precision of the girth of people without a mask: 2D joints say nothing of it, but would change it.
_HELD = 1e6

KINDS = tuple(_TURN_RAD)
OF_KIND = np.array([KINDS.index(split_side(bone)[1]) for bone in BODY_BONES])
TURNS = slice(0, 3 * BONES)
SHIFT = slice(TURNS.stop, TURNS.stop + 3)
GIRTHS = slice(SHIFT.stop, SHIFT.stop + len(KINDS))
STRETCHES = slice(GIRTHS.stop, GIRTHS.stop + len(KINDS))
UNKNOWNS = STRETCHES.stop


def prior_equations(
    relative_turns: NDArray[np.floating],
    girth: NDArray[np.floating],
    stretch: NDArray[np.floating],
    is_held: NDArray[np.bool_],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Normal equations (P, U, U) and (P, U) of the prior around zero.

    Args:
        relative_turns: (P, B, 3) rotation vectors of the change of each bone, relative to that of its parent.
        girth, stretch: (P, kinds) their current changes.
        is_held: (P,) whether the girth of a person stays as it is.
    """
    matrix = np.repeat(_PRECISION[None], len(girth), 0)
    held = _HELD * np.eye(len(KINDS))
    matrix[:, GIRTHS, GIRTHS] += is_held[:, None, None] * held
    right = np.zeros((len(girth), UNKNOWNS))
    right[:, TURNS] = -(_TURN_PULL @ relative_turns).reshape(len(girth), -1)
    right[:, GIRTHS] = -girth @ _PRECISION[GIRTHS, GIRTHS] - is_held[:, None] * _HELD * girth
    right[:, STRETCHES] = -stretch / _STRETCH**2
    return matrix, right


def _precision() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Inverse covariance (U, U) of the unknowns, and the pull (B, B) of relative rotations."""
    deviation = _TURN_FREEDOM * np.array([_TURN_RAD[KINDS[kind]] for kind in OF_KIND])
    relative = np.eye(BONES)
    relative[np.arange(1, BONES), PARENTS[1:]] = -1
    pull = relative.T / deviation**2
    precision = 1e-6 * np.eye(UNKNOWNS)
    precision[TURNS, TURNS] += np.kron(pull @ relative, np.eye(3))
    precision[GIRTHS, GIRTHS] += np.linalg.inv(_GIRTH**2 + _GIRTH_OF_KIND**2 * np.eye(len(KINDS)))
    for one, other in _NEIGHBOURS:
        difference = np.zeros(UNKNOWNS)
        difference[GIRTHS.start + KINDS.index(one)], difference[GIRTHS.start + KINDS.index(other)] = 1, -1
        precision += np.outer(difference, difference) / _GIRTH_DIFFERENCE**2
    precision[STRETCHES, STRETCHES] += np.eye(len(KINDS)) / _STRETCH**2
    return precision, pull


_PRECISION, _TURN_PULL = _precision()
