"""91 landmarks of the Anny body: the 17 joints of COCO and 74 vertices of the skin.

The vertices are selected by rules, from the template, its skin weights and its bones. A *ring* lies around a bone at a
given position along it: the vertices where rays from the bone, to the front, the back and both sides, leave the skin. A
*tip* is the vertex of a bone farthest in one direction. Vertices are selected on the left side and mirrored, because
the left and right skin weights of Anny differ slightly.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor, nn

from pose2mesh.body_models.bones import BODY_BONES
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.skeletons import COCO, COCO17

_FRONT, _BACK, _OUT, _IN = (0.0, -1.0, 0.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0), (-1.0, 0.0, 0.0)
_OWN = 0.5  # least skin weight of a bone at the vertices that belong to it
_TRUNK = ("Hips", "Spine", "Spine1", "Spine2")


@dataclass(frozen=True)
class _Ring:
    """Ring around a bone, at a share of the way to its child: horizontal (trunk) or across the bone (limbs)."""

    name: str
    bone: str
    child: str
    along: float

    @property
    def paired(self) -> bool:
        return self.bone.startswith("Left")

    @property
    def directions(self) -> dict[str, tuple[float, float, float]]:
        if self.paired:
            sides = {"front": _FRONT, "back": _BACK, "outer": _OUT, "inner": _IN}
            return {f"left_{self.name}_{side}": direction for side, direction in sides.items()}
        return {f"{self.name}_front": _FRONT, f"{self.name}_back": _BACK, f"left_{self.name}": _OUT}


@dataclass(frozen=True)
class _Tip:
    """The vertex of a bone farthest in a direction; any of the 52 bones of the body model."""

    name: str
    bone: str
    direction: tuple[float, float, float]


_RINGS = (
    _Ring("hips", "Hips", "Spine", 0.0),
    _Ring("waist", "Spine1", "Spine2", 0.0),
    _Ring("chest", "Spine2", "Neck", 0.1),
    _Ring("upper_thigh", "LeftUpLeg", "LeftLeg", 0.35),
    _Ring("lower_thigh", "LeftUpLeg", "LeftLeg", 0.75),
    _Ring("calf", "LeftLeg", "LeftFoot", 0.3),
    _Ring("shin", "LeftLeg", "LeftFoot", 0.75),
    _Ring("upper_arm", "LeftArm", "LeftForeArm", 0.55),
    _Ring("forearm", "LeftForeArm", "LeftHand", 0.5),
)
# Rays from the centre of the skull, halfway between its joint and the crown.
_HEAD_RAYS = {"head_back": _BACK, "left_temple": _OUT, "forehead": (0.0, -1.0, 1.0)}
_TIPS = (
    _Tip("crown", "Head", (0.0, 0.0, 1.0)),
    _Tip("chin", "Head", (0.0, -1.0, -1.0)),
    _Tip("left_fingertip", "LeftHandMiddle3", (0.0, 0.0, -1.0)),
    _Tip("left_thumb_tip", "LeftHandThumb3", (0.0, -1.0, 0.0)),
    _Tip("left_toe_tip", "LeftToeBase", (0.0, -1.0, 0.0)),
    _Tip("left_heel", "LeftFoot", (0.0, 1.0, -1.0)),
)


def _mirrored(name: str) -> str:
    return "right_" + name.removeprefix("left_") if name.startswith("left_") else name


def _with_mirrors(names: list[str]) -> list[str]:
    return [each for name in names for each in dict.fromkeys((name, _mirrored(name)))]


_CHOSEN = [name for ring in _RINGS for name in ring.directions] + [*_HEAD_RAYS] + [tip.name for tip in _TIPS]
NAMES: tuple[str, ...] = (*COCO17, *_with_mirrors(_CHOSEN))
# Index pairs (left, right) that mirroring exchanges, and the order of the landmarks after mirroring.
MIRROR_PAIRS: tuple[tuple[int, int], ...] = tuple(
    (index, NAMES.index(_mirrored(name))) for index, name in enumerate(NAMES) if name.startswith("left_")
)
MIRROR: tuple[int, ...] = tuple(
    NAMES.index(_mirrored(name) if name.startswith("left_") else name.replace("right_", "left_", 1)) for name in NAMES
)


def landmark_regressor(body: BodyModel) -> Tensor:
    """Linear map (91, V) from vertices to landmarks, in the order of `NAMES`; rows sum to one.

    The rows of the 17 joints are those of COCO; each of the others is 1 at a single vertex.
    """
    joints = body.regressor(COCO)[: len(COCO17)].to(body.template)
    vertices = torch.tensor([*landmark_vertices(body).values()], device=joints.device)
    return torch.cat((joints, nn.functional.one_hot(vertices, joints.shape[1]).to(joints)))


def landmark_vertices(body: BodyModel) -> dict[str, int]:
    """The vertex of each landmark that is not a joint, by name, in the order of `NAMES`."""
    template, heads = body.template, body.template_heads()
    skin = _skin(body)
    weights = body.body_bone_weights()
    trunk = skin & (weights[:, [BODY_BONES.index(bone) for bone in _TRUNK]].sum(1) > _OWN)
    found: dict[str, int] = {}
    for ring in _RINGS:
        start, end = heads[ring.bone], heads[ring.child]
        own = skin & (weights[:, BODY_BONES.index(ring.bone)] > _OWN) if ring.paired else trunk
        middle = start + ring.along * (end - start)
        axis = nn.functional.normalize(end - start, dim=0) if ring.paired else None
        for name, direction in ring.directions.items():
            found[name] = _along_ray(template, own, middle, template.new_tensor(direction), axis)
    skull = skin & (weights[:, BODY_BONES.index("Head")] > _OWN)
    base = heads["Head"]
    middle = base.clone()
    middle[2] = (base[2] + template[skull, 2].amax()) / 2
    for name, direction in _HEAD_RAYS.items():
        found[name] = _along_ray(template, skull, middle, template.new_tensor(direction))
    for tip in _TIPS:
        own = skin & (body.skin_weights[:, body.bone_names.index(tip.bone)] > _OWN)
        far = template @ template.new_tensor(tip.direction)
        found[tip.name] = int(torch.where(own, far, -torch.inf).argmax())
    plane = (template[:, 0].amax() + template[:, 0].amin()) / 2
    for name, vertex in list(found.items()):
        image = template[vertex] * template.new_tensor([-1.0, 1.0, 1.0])
        image[0] += 2 * plane
        found[_mirrored(name)] = _nearest(template, skin, image) if name.startswith("left_") else vertex
    return {name: found[name] for name in NAMES[len(COCO17) :]}


def _skin(body: BodyModel) -> Tensor:
    """(V,) bool, the vertices of the largest connected component; eyes, teeth and tongue are separate components."""
    faces, count = body.faces.cpu().numpy(), len(body.template)
    ends = faces[:, [0, 1]], faces[:, [1, 2]]
    rows, columns = ([pair[:, side] for pair in ends] for side in (0, 1))
    edges = coo_array(([True] * (2 * len(faces)), ([*rows[0], *rows[1]], [*columns[0], *columns[1]])), (count, count))
    piece = torch.from_numpy(connected_components(edges, directed=False)[1]).long()
    return (piece == piece.bincount().argmax()).to(body.template.device)


def _along_ray(points: Tensor, among: Tensor, start: Tensor, direction: Tensor, axis: Tensor | None = None) -> int:
    """Index of the point of a mask nearest to a ray, whose direction is made orthogonal to an axis if one is given."""
    if axis is not None:
        direction = direction - (direction @ axis) * axis
    direction = nn.functional.normalize(direction, dim=0)
    offset = points - start
    ahead = offset @ direction
    beside = (offset - ahead[:, None] * direction).norm(dim=1)
    return int(torch.where(among & (ahead > 0), beside, torch.inf).argmin())


def _nearest(points: Tensor, among: Tensor, place: Tensor) -> int:
    return int(torch.where(among, (points - place).norm(dim=1), torch.inf).argmin())
