"""Moves recovered people to what is seen in the image: joints by confidence and, where there is one, the silhouette.

The network's mesh is changed by rotations, stretch and girth of its bones (`body_models.mesh_articulation`) and by its
translation, so that its projected joints meet the 2D joints and its outline the edge of a mask. What the image does not
determine stays as the network predicts it: every change has a prior around zero, whose widths are the network's own
errors on training clips. A few Gauss–Newton steps solve for all unknowns of a person; people are solved in batches.

Residuals are in metres at the depth of the person, so that nothing depends on the size of the image.

Letters: `P` people, `B` bones, `J` joints, `N` points, `U` unknowns (see `inference.refinement_prior`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pose2mesh.body_models.bones import PARENTS
from pose2mesh.body_models.default_body import DEFAULT_BODY
from pose2mesh.body_models.mesh_articulation import BONES, MeshArticulation, load_articulation
from pose2mesh.errors import InputError
from pose2mesh.geometry.camera import Intrinsics, fit_weak_perspective
from pose2mesh.geometry.rotation_vectors import matrices_of_vectors, vectors_of_matrices
from pose2mesh.inference.outline import OutlinePairs, match_outline
from pose2mesh.inference.person import Camera, Person
from pose2mesh.inference.refinement_prior import (
    GIRTHS,
    KINDS,
    OF_KIND,
    SHIFT,
    STRETCHES,
    TURNS,
    UNKNOWNS,
    prior_equations,
)
from pose2mesh.io.body_mask import BodyMask

if TYPE_CHECKING:
    from pose2mesh.inference.predictor import Predictor

Floats: TypeAlias = NDArray[np.floating]

CHUNK = 16  # people solved together, so that their equations stay in the processor's cache

_LEAST_GIRTH, _MOST_GIRTH, _MOST_STRETCH = -0.4, 0.8, 0.15
# Standard deviation of a 2D joint with confidence 1, in metres, over `JointSet.oks_sigmas`; the square root of the area
# of a standing adult is about 0.74 m. The weight of a joint falls with this power of its confidence.
_JOINT_M, _CONFIDENCE_POWER = 0.55, 5
_JOINT_OUTLIER = 6.0  # in standard deviations: the residual at which a joint counts a quarter
# The same of the edge of a mask, of which some hundred points are not independent; and how much more joints weigh
# beside it, since clothes, hair and bags belong to a mask.
_OUTLINE_M, _OUTLINE_OUTLIER_M, _GAIN_BESIDE_OUTLINE = 0.065, 0.08, 3.5
# Without a camera, perspective would be taken for turned limbs. So these people are first refined in the perspective of
# a camera that faces them, then under weak perspective, with joints trusted less: factors on their deviations.
_FACING_FACTOR, _WEAK_FACTOR, _LARGEST_FACTOR_BESIDE = 2.0, 4.0, 1.5
_JOINT_STEPS, _OUTLINE_ROUNDS, _OUTLINE_STEPS = 3, 2, 2

_KIND_OF_BONE = np.eye(len(KINDS), dtype=np.float32)[OF_KIND]  # (B, kinds)


def refine_people(
    predictor: Predictor,
    people: Sequence[Person],
    masks: Sequence[BodyMask | None] | None = None,
    joints3d_m: Floats | None = None,
    joints3d_weight: Floats | None = None,
) -> list[Person]:
    """Move people to their 2D joints and masks.

    Args:
        predictor: The model that recovered them; its mesh must be the Anny body's.
        people: The people, each with the 2D joints and confidences that they were recovered from.
        masks: The silhouette of each person, or None where there is none.
        joints3d_m: (P, J, 3) further estimates of the 3D joints, metres relative to the root joint, in the axes of the
            image's camera, of the size of the recovered bodies.
        joints3d_weight: (P, J) one over their variance in m²; 0 where there is none.

    Returns:
        The same people with other joints, vertices and cameras. The standing height of each stays.

    Raises:
        InputError: the model has another body, or the numbers of masks or 3D joints are not those of the people.
    """
    articulation = require_articulation(predictor)
    masks = [None] * len(people) if masks is None else list(masks)
    if len(masks) != len(people):
        raise InputError(f"{len(masks)} masks for {len(people)} people; expected one each, or None")
    if joints3d_m is None:
        joints3d_m = np.zeros((len(people), len(predictor.joint_set), 3), np.float32)
        joints3d_weight = None
    if joints3d_weight is None:
        joints3d_weight = np.zeros(joints3d_m.shape[:2], np.float32)
    if joints3d_m.shape != (len(people), len(predictor.joint_set), 3) or joints3d_weight.shape != joints3d_m.shape[:2]:
        raise InputError(
            f"3D joints have shape {joints3d_m.shape}, their weights {joints3d_weight.shape}; expected "
            f"({len(people)}, {len(predictor.joint_set)}, 3) and ({len(people)}, {len(predictor.joint_set)})"
        )
    refined: list[Person] = []
    for start in range(0, len(people), CHUNK):
        part = slice(start, start + CHUNK)
        chunk, estimates = list(people[part]), (joints3d_m[part], joints3d_weight[part])
        if any(person.camera.kind != "perspective" for person in chunk):
            facing = [_facing(person) for person in chunk]
            solver = _Solver(predictor, articulation, facing, *estimates, _deviation_factors(chunk, _FACING_FACTOR))
            solved = solver.solve([None] * len(chunk))
            chunk = [_weak(after, before) for before, after in zip(chunk, solved, strict=True)]
        solver = _Solver(predictor, articulation, chunk, *estimates, _deviation_factors(chunk, _WEAK_FACTOR))
        refined += solver.solve(masks[part])
    return refined


def _deviation_factors(people: Sequence[Person], of_weak: float) -> NDArray[np.float32]:
    """(P,) factor on the standard deviation of each person's 2D joints: `of_weak` for weak perspective, else 1."""
    return np.array([1 if each.camera.kind == "perspective" else of_weak for each in people], np.float32)


def _facing(person: Person) -> Person:
    """A person under weak perspective, under the perspective of a camera that faces them at the nominal distance."""
    camera = person.camera
    if camera.kind == "perspective":
        return person
    focal, (x, y) = camera.intrinsics.fx, camera.shift_px.tolist()
    distance = np.array([0, 0, focal / camera.scale_px_per_m])
    return replace(
        person,
        camera=replace(camera, kind="perspective", intrinsics=Intrinsics(focal, focal, x, y), translation_m=distance),
    )


def _weak(solved: Person, before: Person) -> Person:
    """The person `before` with the body of `solved`, whose camera was that of `_facing`; if weak, else `before`."""
    camera = before.camera
    if camera.kind == "perspective" or not (before.confidence > 0).any():
        return before
    scale, shift = fit_weak_perspective(solved.joints, before.joints_px, before.confidence)
    if not (np.isfinite(scale) and scale > 0):
        return before
    translation = camera.intrinsics.rays(shift) * camera.intrinsics.fx / scale
    return replace(solved, camera=replace(camera, translation_m=translation, scale_px_per_m=scale, shift_px=shift))


def require_articulation(predictor: Predictor) -> MeshArticulation:
    """The bones of a model's meshes.

    Raises:
        InputError: its mesh is not the Anny body's.
    """
    articulation = load_articulation(predictor.joint_set.name) if predictor.info.body == DEFAULT_BODY else None
    if articulation is None or len(predictor.template) != articulation.vertex_count:
        raise InputError(
            f"--refine: model {predictor.info.name!r} is of body {predictor.info.body!r}; expected {DEFAULT_BODY!r}"
        )
    return articulation


@dataclass
class _Projection:
    """Points of all people in the image, and what they depend on.

    Attributes:
        turned: (P, B, N, 3) the lever arms, rotated and scaled.
        plain: (P, B, N, 3) the lever arms, rotated.
        along: (P, B, N) their extent along their bones' axes.
        absolute: (P, N, 3) in the camera frame.
        pixels: (P, N, 2).
        slopes: (P, N, 2, 3) derivative of the pixels by the points, times metres per pixel.
    """

    turned: Floats
    plain: Floats
    along: Floats
    absolute: Floats
    pixels: Floats
    slopes: Floats


class _Solver:
    """Solves for the changes of up to `CHUNK` people."""

    def __init__(
        self,
        predictor: Predictor,
        articulation: MeshArticulation,
        people: Sequence[Person],
        joints3d_m: Floats,
        joints3d_weight: Floats,
        factor: Floats,
    ) -> None:
        self.predictor, self.articulation, self.people = predictor, articulation, people
        self.joints3d_m, self.joints3d_weight = joints3d_m, joints3d_weight
        joint_set = predictor.joint_set
        self.root = joint_set.root_index
        self.vertices = np.stack([person.vertices for person in people]).astype(np.float32)
        self.observed_px = np.stack([person.joints_px for person in people]).astype(np.float32)
        cameras = [person.camera for person in people]
        for index, camera in enumerate(cameras):
            if camera.kind == "perspective" and camera.intrinsics.distortion:
                rays = camera.intrinsics.rays(self.observed_px[index].astype(np.float64))
                self.observed_px[index] = camera.intrinsics.pinhole.project(rays)
        numbers = [(c.intrinsics.fx, c.intrinsics.fy, c.intrinsics.cx, c.intrinsics.cy) for c in cameras]
        self.focal, self.centre = np.split(np.array(numbers, np.float32), 2, axis=1)
        # For weak perspective all points have the depth of the root joint.
        self.has_depth = np.array([camera.kind == "perspective" for camera in cameras], np.float32)
        self.translation = np.stack([camera.translation_m for camera in cameras]).astype(np.float32)
        self.metres_per_px = np.abs(self.translation[:, 2:]) / self.focal
        # (P, J), alone and beside an outline
        self.sigma_m = factor[:, None] * _JOINT_M * np.array(joint_set.oks_sigmas, np.float32)
        self.sigma_beside_m = self.sigma_m / (factor / np.minimum(factor, _LARGEST_FACTOR_BESIDE))[:, None]
        confidence = np.stack([person.confidence for person in people]).astype(np.float32)
        self.weight = confidence**_CONFIDENCE_POWER
        self.weight[:, [joint_set.index(name) for name, _ in joint_set.derived]] = 0  # they are no observations
        self.heads = articulation.heads(self.vertices)
        self.axes = articulation.axes(self.vertices, self.heads)
        self.levers = articulation.joint_levers(self.vertices, self.heads)
        P = len(people)
        self.rotations = np.tile(np.eye(3, dtype=np.float32), (P, BONES, 1, 1))
        self.girth, self.stretch = np.zeros((2, P, len(KINDS)), np.float32)

    def solve(self, masks: Sequence[BodyMask | None]) -> list[Person]:
        """The refined people."""
        for _ in range(_JOINT_STEPS):
            self._step(None)
        self.has_mask = np.array([mask is not None for mask in masks])
        if self.has_mask.any():
            surface = self.vertices[:, self.articulation.surface]
            normals = self.articulation.surface_normals(self.vertices)
            for _ in range(_OUTLINE_ROUNDS):
                pairs = self._match(surface, normals, masks)
                levers = self.articulation.surface_levers(surface, self.heads, pairs.points)
                for _ in range(_OUTLINE_STEPS):
                    self._step((pairs, levers))
        return self._people()

    def _bones(self) -> NDArray[np.float32]:
        """The matrices A (P, B, 3, 3) of the bones."""
        outer = self.axes[..., :, None] * self.axes[..., None, :]
        girth, stretch = (values[:, OF_KIND, None, None] for values in (self.girth, self.stretch))
        return self.rotations @ ((1 + girth) * np.eye(3, dtype=np.float32) + (stretch - girth) * outer)

    def _match(self, surface: Floats, normals: Floats, masks: Sequence[BodyMask | None]) -> OutlinePairs:
        moved, turned = self.articulation.deform_surface(
            surface, normals, self.articulation.transforms(self.heads, self._bones())
        )
        absolute = moved + self.translation[:, None]
        depth = self._depth(absolute)
        flat = np.concatenate([absolute[..., :2], depth[..., None]], axis=-1)
        pixels = flat[..., :2] / depth[..., None] * self.focal[:, None] + self.centre[:, None]
        cameras = [person.camera for person in self.people]
        distorted = [c.intrinsics if c.kind == "perspective" and c.intrinsics.distortion else None for c in cameras]
        return match_outline(flat, turned, pixels, 1 / self.metres_per_px.mean(1), masks, distorted)

    def _depth(self, absolute: Floats) -> Floats:
        root = self.translation[:, None, 2]
        return np.maximum(root + self.has_depth[:, None] * (absolute[..., 2] - root), 0.05)

    def _project(self, levers: Floats) -> _Projection:
        plain = levers @ self.rotations.swapaxes(-1, -2)
        along = (levers * self.axes[:, :, None]).sum(-1)
        turned_axes = (self.rotations @ self.axes[..., None])[..., 0]
        girth, stretch = self.girth[:, OF_KIND], self.stretch[:, OF_KIND]
        turned = (1 + girth)[..., None, None] * plain
        turned += ((stretch - girth)[..., None] * along)[..., None] * turned_axes[:, :, None]
        absolute = turned.sum(1) + (self.heads[:, 0] + self.translation)[:, None]
        depth = self._depth(absolute)
        flat = absolute[..., :2] / depth[..., None]
        pixels = flat * self.focal[:, None] + self.centre[:, None]
        slopes = np.zeros((*flat.shape, 3), np.float32)
        scale = (self.focal * self.metres_per_px)[:, None] / depth[..., None]
        slopes[..., 0, 0], slopes[..., 1, 1] = scale[..., 0], scale[..., 1]
        slopes[..., 2] = -scale * flat
        return _Projection(turned, plain, along, absolute, pixels, slopes)

    def _rows(self, found: _Projection, directions: Floats, in_image: bool) -> NDArray[np.float32]:
        """Derivatives (P, N, U) of the component along one direction (P, N, 3) of each point by all unknowns.

        Args:
            found: The points.
            directions: The directions; `in_image` tells whether they come from `slopes`.
            in_image: If so, the depth of points under weak perspective counts for the translation alone.
        """
        P, N, _ = directions.shape
        shifts = directions
        if in_image:
            directions = directions.copy()
            directions[..., 2] *= self.has_depth[:, None]
        rows = np.empty((P, N, UNKNOWNS), np.float32)
        v, a = found.turned, directions[:, None]
        turns = rows[..., TURNS].reshape(P, N, BONES, 3)
        for axis in range(3):  # v × a
            one, two = (axis + 1) % 3, (axis + 2) % 3
            turns[..., axis] = (v[..., one] * a[..., two] - v[..., two] * a[..., one]).swapaxes(1, 2)
        rows[..., TURNS] = turns.reshape(P, N, -1)
        rows[..., SHIFT] = shifts
        turned_axes = (self.rotations @ self.axes[..., None])[..., 0]
        along = found.along * (a * turned_axes[:, :, None]).sum(-1)
        across = (a * found.plain).sum(-1) - along
        rows[..., GIRTHS] = across.swapaxes(1, 2) @ _KIND_OF_BONE
        rows[..., STRETCHES] = along.swapaxes(1, 2) @ _KIND_OF_BONE
        return rows

    def _step(self, outline: tuple[OutlinePairs, Floats] | None) -> None:
        """One Gauss–Newton step: of all people, or beside an outline of those with a mask alone."""
        matrix, right = self._prior(np.full(len(self.people), True) if outline is None else ~self.has_mask)

        def add(rows: Floats, residuals: Floats, weights: Floats) -> None:
            weighted = (rows * weights[..., None]).swapaxes(1, 2)
            matrix[:] += weighted @ rows
            right[:] += (weighted @ residuals[..., None])[..., 0]

        found = self._project(self.levers)
        residual = (self.observed_px - found.pixels) * self.metres_per_px[:, None]
        sigma_m = self.sigma_m if outline is None else self.sigma_beside_m
        distance = np.square(residual).sum(-1) / (_JOINT_OUTLIER * sigma_m) ** 2
        weight = self.weight / sigma_m**2 / (1 + distance) ** 2
        if outline is not None:
            weight = weight * np.where(self.has_mask, _GAIN_BESIDE_OUTLINE, 1)[:, None]
        for axis in (0, 1):
            add(self._rows(found, found.slopes[:, :, axis], True), residual[..., axis], weight)
        if self.joints3d_weight.any():
            relative = found.absolute - found.absolute[:, self.root, None]
            for axis in range(3):
                direction = np.zeros_like(found.absolute)
                direction[..., axis] = 1
                rows = self._rows(found, direction, False)
                rows -= rows[:, self.root, None].copy()
                add(rows, (self.joints3d_m - relative)[..., axis], self.joints3d_weight)
        if outline is not None:
            pairs, levers = outline
            found = self._project(levers)
            gap = ((pairs.targets_px - found.pixels) * pairs.normals * self.metres_per_px[:, None]).sum(-1)
            weight = pairs.found / _OUTLINE_M**2 / (1 + np.square(gap / _OUTLINE_OUTLIER_M)) ** 2
            direction = (pairs.normals[..., None] * found.slopes).sum(2)
            add(self._rows(found, direction, True), gap, weight)
        change = np.linalg.solve(matrix, right[..., None])[..., 0].astype(np.float32)
        if outline is not None:
            change *= self.has_mask[:, None]
        self.rotations = matrices_of_vectors(change[:, TURNS].reshape(-1, BONES, 3)) @ self.rotations
        self.translation = self.translation + change[:, SHIFT]
        self.girth = np.clip(self.girth + change[:, GIRTHS], _LEAST_GIRTH, _MOST_GIRTH)
        self.stretch = np.clip(self.stretch + change[:, STRETCHES], -_MOST_STRETCH, _MOST_STRETCH)

    def _prior(self, is_held: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        relative = self.rotations.copy()
        relative[:, 1:] = relative[:, 1:] @ self.rotations[:, PARENTS[1:]].swapaxes(-1, -2)
        return prior_equations(vectors_of_matrices(relative), self.girth, self.stretch, is_held)

    def _people(self) -> list[Person]:
        transforms = self.articulation.transforms(self.heads, self._bones())
        vertices = self.articulation.deform(self.vertices, transforms)
        moved = self.articulation.joints(vertices) - self.articulation.joints(self.vertices)
        return [self._person(index, vertices[index], moved[index]) for index in range(len(vertices))]

    def _person(self, index: int, vertices: Floats, moved: Floats) -> Person:
        """A refined person; as given where the equations had no finite solution."""
        person = self.people[index]
        joints, translation = person.joints + moved, self.translation[index].astype(np.float64)
        if not (np.isfinite(vertices).all() and np.isfinite(translation).all() and translation[2] > 0.05):
            return person
        root = joints[self.root].copy()
        joints, vertices = joints - root, vertices - root
        is_perspective = person.camera.kind == "perspective"
        translation += root * (1, 1, is_perspective)
        # Scaled about the camera's centre, a body is projected as before: this restores the standing height.
        stature = self.predictor.stature(joints)
        size = person.stature_m / stature if np.isfinite(person.stature_m) and stature > 0 else 1.0
        camera = _moved_camera(person.camera, translation * size)
        pose = person.pose
        if pose is not None:
            # Girth and stretch have no counterpart among the shape components.
            turned = (self.rotations[index] @ pose.rotations).astype(np.float32)
            pose = replace(pose, rotations=turned, size=pose.size * float(size))
        return replace(
            person,
            pose=pose,
            joints=(joints * size).astype(np.float32),
            vertices=(vertices * size).astype(np.float32),
            camera=camera,
        )


def _moved_camera(camera: Camera, translation_m: NDArray[np.float64]) -> Camera:
    """The camera with another place of the root joint."""
    intrinsics: Intrinsics = camera.intrinsics
    scale = float(np.sqrt(intrinsics.fx * intrinsics.fy) / translation_m[2])
    return replace(
        camera, translation_m=translation_m, scale_px_per_m=scale, shift_px=intrinsics.project(translation_m)
    )
