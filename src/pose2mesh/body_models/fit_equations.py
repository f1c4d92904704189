"""Equations of the body fit: points as a linear function of the bone rotations, and one Gauss–Newton step.

See `body_models/body_fitting.py` for the method and the frame.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pose2mesh.body_models.bones import BODY_BONES, PARENTS, bone_chains
from pose2mesh.body_models.interface import PHENOTYPES, BodyModel
from pose2mesh.body_models.skinning import SkinnedPoints

BONES = len(BODY_BONES)
_DAMPING = 1e-3


class LinearPoints:
    """Points of the body as a sum over its 22 bones: rotation times a lever arm that depends on the shape."""

    def __init__(self, body: BodyModel, regressor: Tensor) -> None:
        self.body = body
        skinned = SkinnedPoints(body, regressor)
        self.skinned, self.count = skinned, len(regressor)
        rig = len(body.parents)
        by_bone = torch.zeros(self.count, rig, device=regressor.device)
        by_bone.index_put_((skinned.point, skinned.bone), skinned.mass[:, 0], accumulate=True)
        chains = torch.from_numpy(bone_chains(body.parents)).to(regressor.device)
        # (N, 51) skinning weights of all bones but the root, with descendants
        self.hanging = (by_bone @ chains)[:, 1:]
        self.mass = torch.zeros(self.count, BONES, device=regressor.device)
        self.mass.index_add_(1, body.bone_source, by_bone)
        self.slot = skinned.point * BONES + body.bone_source[skinned.bone]
        offset_bone = body.bone_source[body.parent[1:]]
        self.offsets_of = [(offset_bone == bone).nonzero()[:, 0] for bone in range(BONES)]

    def lever_arms(self, phenotypes: Tensor) -> Tensor:
        """Lever arms q (P, N, 22, 3) of shapes (P, 6): a posed point is the sum over the bones of rotation times q."""
        body, skinned = self.body, self.skinned
        people = len(phenotypes)
        coefficients = body.coefficients(phenotypes)
        identity = torch.eye(3, device=phenotypes.device).expand(people, BONES, 3, 3)
        align, shift = body.bone_transforms(coefficients, identity)
        heads = body.bone_heads(phenotypes, identity)
        moment = skinned.moment + (coefficients @ skinned.moment_shape).reshape(people, -1, 3)
        parts = (align[:, skinned.bone] @ moment[..., None])[..., 0]
        parts = parts + skinned.mass * (shift - heads)[:, skinned.bone]
        q = parts.new_zeros(people, self.count * BONES, 3).index_add_(1, self.slot, parts)
        offsets = heads[:, 1:] - heads[:, body.parent[1:]]
        q = q.unflatten(1, (self.count, BONES))
        for bone, listed in enumerate(self.offsets_of):
            q[:, :, bone] += self.hanging[:, listed] @ offsets[:, listed]
        return q


class Equations:
    """Normal equations of one Gauss–Newton step: per frame 22 rotations and a translation (69), per person a shape (6).

    A small rotation δ of a bone, in the frame of the points, moves v = O q by δ × v.
    """

    def __init__(
        self,
        q: Tensor,
        by_shape: Tensor,
        points: Tensor,
        person: Tensor,
        orientations: Tensor,
        translation: Tensor,
        stiffness: float,
    ) -> None:
        self.person, self.people = person, len(q)
        self.flat, self.orientations = q.flatten(2), orientations
        turned = orientations.mT.flatten(1, 2)  # (B, 66, 3): points are q, flat, times this
        residual = points - _each(self.flat, turned, person) - translation[:, None]
        self.pose_pose = self._pose_pose(q, stiffness)
        self.pose_pull = torch.cat((self._turn_pull(residual, stiffness), residual.mean(1)), dim=1)
        slopes = _each(by_shape.flatten(3), turned, person)  # (B, 6, N, 3)
        self.pose_shape = torch.cat((self._turn_shape(slopes), slopes.mean(2).mT), dim=1)  # (B, 69, 6)
        slopes = slopes.flatten(2)
        count = points.shape[1]
        self.shape_shape = slopes @ slopes.mT / count
        self.shape_pull = (slopes @ residual.flatten(1)[..., None])[..., 0] / count
        solved = torch.linalg.solve(self.pose_pose, torch.cat((self.pose_shape, self.pose_pull[..., None]), dim=2))
        self.by_shape, self.alone = solved[..., :6], solved[..., 6]

    def _pose_pose(self, q: Tensor, stiffness: float) -> Tensor:
        """(B, 69, 69), damped; means over points of (v · w) I − w vᵀ for two bones, [v]× for bone and translation."""
        gram = (self.flat.mT @ self.flat / q.shape[1]).unflatten(1, (BONES, 3)).unflatten(3, (BONES, 3))
        for bone, above in enumerate(PARENTS[1:], 1):  # stiffness: points O_b e − O_above e with target 0
            for row, column, sign in ((bone, bone, 1), (above, above, 1), (bone, above, -1), (above, bone, -1)):
                gram[:, row, :, column].diagonal(dim1=1, dim2=2).add_(sign * stiffness)
        rotated = torch.einsum("bsij,bsjtk,btlk->bsitl", self.orientations, gram[self.person], self.orientations)
        trace = rotated.diagonal(dim1=2, dim2=4).sum(-1)
        eye = torch.eye(3, device=q.device)
        turn_turn = trace[:, :, None, :, None] * eye[:, None] - rotated.transpose(2, 4)
        sums = (self.orientations @ q.mean(1)[self.person, :, :, None])[..., 0]
        turn_shift = _cross_matrix(sums).flatten(1, 2)
        matrix = torch.zeros(len(self.person), 3 * BONES + 3, 3 * BONES + 3, device=q.device)
        matrix[:, : 3 * BONES, : 3 * BONES] = turn_turn.reshape(-1, 3 * BONES, 3 * BONES)
        matrix[:, : 3 * BONES, 3 * BONES :] = turn_shift
        matrix[:, 3 * BONES :, : 3 * BONES] = turn_shift.mT
        matrix[:, 3 * BONES :, 3 * BONES :] = eye
        matrix.diagonal(dim1=1, dim2=2).mul_(1 + _DAMPING).add_(1e-9)
        return matrix

    def _turn_pull(self, residual: Tensor, stiffness: float) -> Tensor:
        """(B, 66) right-hand side of the rotations: the mean of v × r over the points, plus the stiffness term."""
        pull = _each(self.flat.mT, residual, self.person) / residual.shape[1]
        moved = self.orientations @ pull.unflatten(1, (BONES, 3))
        for bone, above in enumerate(PARENTS[1:], 1):
            apart = self.orientations[:, bone] @ self.orientations[:, above].mT
            moved[:, bone] += stiffness * apart
            moved[:, above] += stiffness * apart.mT
        return _vee(moved).flatten(1)

    def _turn_shape(self, slopes: Tensor) -> Tensor:
        """(B, 66, 6) the mean of v × s over the points; s (B, 6, N, 3) is their derivative by each phenotype."""
        products = _each(self.flat.mT, slopes.permute(0, 2, 1, 3).flatten(2), self.person) / slopes.shape[2]
        products = products.unflatten(1, (BONES, 3)).unflatten(3, (6, 3)).permute(0, 3, 1, 2, 4)
        return _vee(self.orientations[:, None] @ products).flatten(2).mT

    def shape_step(self, phenotypes: Tensor, average: Tensor, weight: float, low: Tensor, high: Tensor) -> Tensor:
        """(P, 6) change of each person's shape, within the bounds."""
        reduced = self.shape_shape - self.pose_shape.mT @ self.by_shape
        pull = self.shape_pull - (self.pose_shape.mT @ self.alone[..., None])[..., 0]
        frames = torch.bincount(self.person, minlength=self.people).clamp_min(1)
        matrix = reduced.new_zeros(self.people, 6, 6).index_add_(0, self.person, reduced) / frames[:, None, None]
        right = pull.new_zeros(self.people, 6).index_add_(0, self.person, pull) / frames[:, None]
        matrix.diagonal(dim1=1, dim2=2).mul_(1 + _DAMPING).add_(weight + 1e-9)
        right = right + weight * (average - phenotypes)
        change = torch.zeros_like(phenotypes)
        held = torch.zeros_like(phenotypes, dtype=torch.bool)
        for _ in range(
            len(PHENOTYPES)
        ):  # active set: phenotypes that would leave their bounds are held there, then solve again
            free = (~held).to(matrix.dtype)
            reduced_right = right - (matrix @ (change * held)[..., None])[..., 0]
            system = matrix * free[:, :, None] * free[:, None] + torch.diag_embed(1 - free)
            change = torch.where(held, change, torch.linalg.solve(system, reduced_right * free))
            inside = torch.minimum(torch.maximum(phenotypes + change, low), high) - phenotypes
            leaving = (inside - change).abs() > 1e-7
            if not leaving.any():
                break
            held, change = held | leaving, inside
        return change

    def pose_step(self, change: Tensor) -> tuple[Tensor, Tensor]:
        """Rotation vectors (B, 22, 3) and translations (B, 3) for a change of shape (P, 6)."""
        step = self.alone - (self.by_shape @ change[self.person, :, None])[..., 0]
        return step[:, : 3 * BONES].unflatten(1, (BONES, 3)), step[:, 3 * BONES :]


def _each(of_people: Tensor, of_frames: Tensor, person: Tensor) -> Tensor:
    """Matrix products of per-person with per-frame matrices, frame by frame, without copying the per-person ones."""
    return torch.stack([of_people[p] @ frame for p, frame in zip(person.tolist(), of_frames, strict=True)])


def _cross_matrix(vectors: Tensor) -> Tensor:
    """[v]× (…, 3, 3) with [v]× w = v × w."""
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack((zero, -z, y, z, zero, -x, -y, x, zero), dim=-1).unflatten(-1, (3, 3))


def _vee(products: Tensor) -> Tensor:
    """Σ v × r (…, 3) from Σ v rᵀ (…, 3, 3)."""
    m = products
    return torch.stack((m[..., 1, 2] - m[..., 2, 1], m[..., 2, 0] - m[..., 0, 2], m[..., 0, 1] - m[..., 1, 0]), dim=-1)
