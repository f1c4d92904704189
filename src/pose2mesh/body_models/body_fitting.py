"""Fits a body model to a predicted mesh or to predicted joints: shape, bone rotations and translation, least squares.

Any point that is linear in the vertices is, for a fixed shape, linear in the rotations of the bones:

    x_n = t + Σ_b O_b q_nb,    q_nb the lever arm of point n on bone b, from the rest pose and the skinning weights.

The start is in closed form (orthogonal Procrustes, bone by bone from the root outwards). Damped Gauss–Newton steps then
solve for all rotations, the translation and the shape together. Their normal equations over the rotations need only the
Gram matrix of q, which all frames of a person share; the shape, shared too, is eliminated by a Schur complement.

Frame: that of the input points. Orientations rotate from the mean adult's rest pose (z up, facing −y) to it, so for
points in camera axes they include the camera's rotation. Metres.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pose2mesh.body_models.bones import BODY_BONES, PARENTS, depth_levels
from pose2mesh.body_models.fit_equations import BONES, Equations, LinearPoints
from pose2mesh.body_models.interface import PHENOTYPES, BodyModel
from pose2mesh.errors import InputError
from pose2mesh.geometry.rotations import nearest_rotation, rotation_from_vector

# Bounds (low, high) of each phenotype for adults, as of training bodies (`datasets.synthetic.bodies.ShapeConfig`, which
# imports this package).
ADULTS = ((0.0, 1.0), (0.6, 1.0), (0.0, 1.0), (0.0, 1.0), (0.2, 0.8), (0.0, 1.0))
POINTS = 500
ROUNDS = 6
# The scales of muscle and weight have kinks at which a descent can get stuck. With two starts, the average and a body
# with less muscle and more fat, none of 128 bodies got stuck; with one start, one in ten did.
STARTS = ((0.5, 2 / 3, 0.5, 0.5, 0.5, 0.5), (0.5, 0.8, 0.25, 0.75, 0.5, 0.5))
CHUNK = 16  # people per batch: each has a few MB of derivatives by the shape

_TRUNK = [BODY_BONES.index(name) for name in ("Hips", "Spine", "Spine1", "Spine2", "LeftShoulder", "RightShoulder")]
_STEP = 0.05  # of central differences by a phenotype; large enough to cross the kinks of Anny's scales
# Weights of the regularisers, relative to the mean squared distance of the points in m²: rotation of a bone relative to
# its parent (radian²), and distance of the phenotypes from the average adult (full scales²).
_STIFFNESS, _AVERAGE = 1e-7, 1e-7
_JOINTS_STIFFNESS, _JOINTS_AVERAGE = 1e-5, 1e-4
_START_STIFFNESS = 1e-4


@dataclass(frozen=True)
class BodyFit:
    """Fitted bodies: `B` frames of `P` people.

    Attributes:
        phenotypes: (P, 6) in the order of `body_models.interface.PHENOTYPES`.
        person: (B,) index of each frame's person.
        orientations: (B, 22, 3, 3) as `BodyModel` takes them.
        translation_m: (B, 3) position of the hips' bone head, to add to the vertices of `BodyModel`.
        residual_mm: (B,) mean distance of the fitted points from the input points.
    """

    phenotypes: Tensor
    person: Tensor
    orientations: Tensor
    translation_m: Tensor
    residual_mm: Tensor

    def vertices(self, body: BodyModel) -> Tensor:
        """Vertices (B, V, 3) of the fitted bodies, in the frame of the input points."""
        return body(self.phenotypes[self.person], self.orientations) + self.translation_m[:, None]


class BodyFitter:
    """Fits the body to one set of points; building it takes half a second.

    Args:
        body: The body model.
        regressor: (N, V) of the points from the vertices, `body.regressor(joint_set)` for joints; None for meshes of
            all vertices, of which 500 evenly spread ones are used.
        bounds: (low, high) of each phenotype.
    """

    def __init__(
        self,
        body: BodyModel,
        regressor: Tensor | None = None,
        bounds: tuple[tuple[float, float], ...] = ADULTS,
    ) -> None:
        self.body, self.regressor = body, regressor
        self.low, self.high = torch.tensor(bounds, device=body.template.device).unbind(1)
        if regressor is None:
            self.chosen: Tensor | slice = spread_points(body.template, POINTS)
            rows = torch.zeros(POINTS, len(body.template), device=body.template.device)
            rows[torch.arange(POINTS), self.chosen] = 1
            self.stiffness, self.average = _STIFFNESS, _AVERAGE
        else:
            self.chosen, rows = slice(None), regressor.to(body.template.device)
            self.stiffness, self.average = _JOINTS_STIFFNESS, _JOINTS_AVERAGE
        self.points = LinearPoints(body, rows)

    def __call__(
        self,
        points: Tensor,
        person: Tensor | None = None,
        *,
        phenotypes: Tensor | None = None,
        rounds: int = ROUNDS,
    ) -> BodyFit:
        """Fit bodies to points.

        Args:
            points: (B, V, 3) vertices or (B, N, 3) the regressor's points, metres.
            person: (B,) integers from 0: frames with the same one share a shape. None: all are different people.
            phenotypes: (P, 6) fixed shapes, for example of a track's other frames; None to fit them.
            rounds: Gauss–Newton steps.

        Raises:
            InputError: another number of points, points that are not finite, people that are not numbered from 0, or
                another number of shapes.
        """
        expected = len(self.body.template) if self.regressor is None else len(self.regressor)
        if points.ndim != 3 or points.shape[1:] != (expected, 3) or len(points) == 0:
            raise InputError(f"points to fit have shape {tuple(points.shape)}, expected (B, {expected}, 3), B above 0")
        if not torch.isfinite(points).all():
            bad = int((~torch.isfinite(points)).flatten(1).any(1).nonzero()[0, 0])
            raise InputError(f"points to fit are not finite in frame {bad}")
        person = torch.arange(len(points), device=points.device) if person is None else person.to(points.device)
        people = person.unique()
        if person.shape != points.shape[:1] or not torch.equal(people, torch.arange(len(people), device=points.device)):
            raise InputError("person: expected one whole number a frame, people counted from 0")
        if phenotypes is not None and phenotypes.shape != (len(people), len(PHENOTYPES)):
            raise InputError(f"phenotypes have shape {tuple(phenotypes.shape)}, expected ({len(people)}, 6)")
        parts, order = [], []
        with torch.no_grad():
            for start in range(0, len(people), CHUNK):
                frames = ((person >= start) & (person < start + CHUNK)).nonzero()[:, 0]
                fixed = None if phenotypes is None else phenotypes[start : start + CHUNK]
                chosen = points[frames][:, self.chosen].float()
                parts.append(self._fit_best(chosen, person[frames] - start, fixed, rounds))
                order.append(frames)
            back = torch.cat(order).argsort()
            shapes, orientations, translation = (torch.cat(part) for part in zip(*parts, strict=True))
            orientations, translation = orientations[back], translation[back]
            residual_mm = self._residual(points, shapes[person], orientations, translation)
        return BodyFit(shapes, person, orientations, translation, residual_mm)

    def _residual(self, points: Tensor, phenotypes: Tensor, orientations: Tensor, translation: Tensor) -> Tensor:
        distances = []
        for start in range(0, len(points), CHUNK):
            part = slice(start, start + CHUNK)
            found = self.body(phenotypes[part], orientations[part]) + translation[part, None]
            found = found if self.regressor is None else self.regressor @ found
            distances.append(1000 * (found - points[part]).norm(dim=-1).mean(1))
        return torch.cat(distances)

    def _fit_best(
        self, points: Tensor, person: Tensor, fixed: Tensor | None, rounds: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The better of the descents from all starts, for each person; with fixed shapes (P, 6) a single descent."""
        people = int(person.max()) + 1
        first = self._start(points)
        if fixed is not None:
            return self._descend(points, person, (fixed, *first), rounds, shape_is_fixed=True)[0]
        best, least = None, torch.full((people,), torch.inf, device=points.device)
        for start in STARTS:
            phenotypes = points.new_tensor(start).clamp(self.low, self.high).expand(people, -1)
            found, squared = self._descend(points, person, (phenotypes, *first), rounds)
            cost = torch.zeros_like(least).index_add(0, person, squared)
            better = cost < least
            least = torch.where(better, cost, least)
            if best is None:
                best = found
            else:
                for kept, new, which in zip(best, found, (better, better[person], better[person]), strict=True):
                    kept[which] = new[which]
        assert best is not None
        return best

    def _descend(
        self,
        points: Tensor,
        person: Tensor,
        start: tuple[Tensor, Tensor, Tensor],
        rounds: int,
        shape_is_fixed: bool = False,
    ) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
        """Shape (P, 6), orientations and translations after `rounds` steps, and the remaining squared distance (B,)."""
        phenotypes, orientations, translation = start
        average = self.body.mean_phenotypes
        for _ in range(rounds):
            q, by_shape = self._slopes(phenotypes)
            equations = Equations(q, by_shape, points, person, orientations, translation, self.stiffness)
            if shape_is_fixed:
                change = torch.zeros_like(phenotypes)
            else:
                change = equations.shape_step(phenotypes, average, self.average, self.low, self.high)
            turn, shift = equations.pose_step(change)
            phenotypes = phenotypes + change
            orientations = rotation_from_vector(turn) @ orientations
            translation = translation + shift
        q = self.points.lever_arms(phenotypes)
        left = points - torch.einsum("bsij,bnsj->bni", orientations, q[person]) - translation[:, None]
        return (phenotypes, orientations, translation), left.square().sum(-1).mean(1)

    def _slopes(self, phenotypes: Tensor) -> tuple[Tensor, Tensor]:
        """Lever arms q (P, N, 22, 3) and their derivatives by each phenotype (P, 6, N, 22, 3), by finite differences
        within the bounds."""
        up = (self.high - phenotypes).clamp(0, _STEP)
        down = (phenotypes - self.low).clamp(0, _STEP)
        steps = torch.cat((torch.zeros_like(up)[:, None], torch.diag_embed(up), -torch.diag_embed(down)), dim=1)
        shapes = phenotypes[:, None] + steps
        arms = self.points.lever_arms(shapes.flatten(0, 1)).unflatten(0, shapes.shape[:2])
        q, ahead, behind = arms.split((1, 6, 6), dim=1)
        return q[:, 0], (ahead - behind) / (up + down)[:, :, None, None, None]

    def _start(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Initial orientations (B, 22, 3, 3) of the mean shape, by weighted Procrustes, and the translation."""
        q = self.points.lever_arms(self.body.mean_phenotypes[None])[0]
        rest = q.sum(1)  # with all rotations the identity
        out = torch.eye(3, device=points.device).repeat(len(points), BONES, 1, 1)

        def turn(weights: Tensor, above: Tensor) -> Tensor:
            total = weights.sum().clamp_min(1e-9)
            weights = (weights / total)[:, None]
            centred_rest = rest - (weights * rest).sum(0)
            centred = points - (weights * points).sum(1, keepdim=True)
            covariance = (weights * centred).mT @ centred_rest + _START_STIFFNESS * above
            return nearest_rotation(covariance)

        mass = self.points.mass.square()
        out[:, 0] = turn(self.points.mass[:, _TRUNK].sum(1), torch.zeros_like(out[:, 0]))
        for bones in [[0], *depth_levels(PARENTS)]:
            for bone in bones:
                above = out[:, max(PARENTS[bone], 0)]
                out[:, bone] = turn(mass[:, bone], above) if mass[:, bone].sum() > 1e-6 else above
        posed = torch.einsum("bsij,nsj->bni", out, q)
        return out, (points - posed).mean(1)


def spread_points(points: Tensor, count: int) -> Tensor:
    """Indices (count,) of evenly spread points (N, 3), by farthest point sampling from the first point."""
    chosen = torch.zeros(count, dtype=torch.long, device=points.device)
    distance = torch.full_like(points[:, 0], torch.inf)
    for index in range(1, count):
        distance = torch.minimum(distance, (points - points[chosen[index - 1]]).square().sum(1))
        chosen[index] = distance.argmax()
    return chosen
