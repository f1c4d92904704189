"""Interfaces of body models: `BodyMesh` for building and evaluating networks, `BodyModel` for posing and fitting.

Letters: `B` bodies, `V` vertices, `F` faces, `J` joints, `R` bones of the rig, `S` blend shapes. A `BodyModel` has 6
shape parameters (`PHENOTYPES`) and 22 bones that carry a pose (`body_models.bones.BODY_BONES`), or 52 with those of the
fingers (`body_models.bones.POSED_BONES`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from typing import Self

    from torch import Tensor

    from pose2mesh.skeletons import JointSet

# The shape parameters of a `BodyModel`, in their order; each lies in [0, 1].
PHENOTYPES = ("gender", "age", "muscle", "weight", "height", "proportions")
AGE = PHENOTYPES.index("age")


class BodyMesh(Protocol):
    """A body mesh of any model, on which networks are built and predictions evaluated."""

    @property
    def faces(self) -> Tensor:
        """(F, 3) vertex indices of the triangles, counter-clockwise seen from outside."""
        ...

    @property
    def template(self) -> Tensor:
        """(V, 3) the mean body at rest, metres, in the model's own frame."""
        ...

    def regressor(self, joint_set: JointSet) -> Tensor:
        """Joint regressor (J, V) on the CPU: joints = regressor @ vertices, every row sums to one.

        Raises:
            InputError: the body has no regressor of this joint set.
        """
        ...


class Anthropometry(Protocol):
    """Measurements of a body's meshes (B, V, 3) in metres."""

    def waist_circumference(self, vertices: Tensor) -> Tensor:
        """Girth of the waist (B,) in metres."""
        ...

    def volume(self, vertices: Tensor) -> Tensor:
        """Enclosed volume (B,) in cubic metres."""
        ...

    def mass(self, vertices: Tensor) -> Tensor:
        """Mass (B,) in kilograms, from the volume and an average density."""
        ...


class BodyModel(BodyMesh, Protocol):
    """A body with linear blend skinning whose rest pose is linear in blend-shape coefficients.

    A rest point x of vertex v under coefficients c is `rest_vertices[v] + c @ shapes[:, v]`; posed, it is the mean over
    the bones b, weighted by `skin_weights[v, b]`, of G_b x + t_b, with G and t of `bone_transforms`. Everything that
    poses chosen points alone (`body_models.skinning.SkinnedPoints`) or fits the body relies on these two properties.

    Frame: metres, z up, facing −y, x to the body's left; the hips' bone head is the origin of a posed body.
    Implementations are `torch.nn.Module`s, so that they can be moved to a device and be part of a network.
    """

    @property
    def bone_names(self) -> tuple[str, ...]:
        """Names (R) of the bones of the rig, fingers included."""
        ...

    @property
    def parents(self) -> list[int]:
        """Parent (R) of each bone of the rig, before the bone itself; −1 for the root."""
        ...

    @property
    def parent(self) -> Tensor:
        """(R,) `parents` on the body's device, 0 for the root."""
        ...

    @property
    def bone_source(self) -> Tensor:
        """(R,) the bone of `BODY_BONES` whose orientation each bone of the rig takes: fingers take the hand's."""
        ...

    @property
    def rest_vertices(self) -> Tensor:
        """(V, 3) the vertices at rest without any blend shape."""
        ...

    @property
    def shapes(self) -> Tensor:
        """(S, V · 3) displacement of the rest vertices per unit of each blend-shape coefficient."""
        ...

    @property
    def skin_weights(self) -> Tensor:
        """(V, R) skinning weights; rows sum to one."""
        ...

    @property
    def mean_phenotypes(self) -> Tensor:
        """(6,) shape parameters of the average adult."""
        ...

    def __call__(self, phenotypes: Tensor, orientations: Tensor) -> Tensor:
        """Posed vertices (B, V, 3).

        Args:
            phenotypes: (B, 6) shape parameters.
            orientations: (B, 22, 3, 3) rotation of each body bone from the mean adult's rest pose to the world, where
                fingers follow their hand; or (B, 52, 3, 3), those of `POSED_BONES`.
        """
        ...

    def coefficients(self, phenotypes: Tensor) -> Tensor:
        """Blend-shape coefficients (B, S) of shape parameters (B, 6)."""
        ...

    def bone_transforms(self, coefficients: Tensor, orientations: Tensor) -> tuple[Tensor, Tensor]:
        """Rotations (B, R, 3, 3) and translations (B, R, 3) from rest points to posed points, for each bone.

        Args:
            coefficients: (B, S) blend-shape coefficients.
            orientations: (B, 22, 3, 3) or (B, 52, 3, 3) as `__call__` takes them.
        """
        ...

    def bone_heads(self, phenotypes: Tensor, orientations: Tensor) -> Tensor:
        """Posed bone heads (B, R, 3): the joints of the rig."""
        ...

    def bone_tails(self, phenotypes: Tensor, orientations: Tensor) -> Tensor:
        """Posed bone tails (B, R, 3): those of the last bones of fingers are the fingertips."""
        ...

    def template_heads(self) -> dict[str, Tensor]:
        """Bone heads (3,) of the template by name, for all bones of the rig."""
        ...

    def body_bone_weights(self) -> Tensor:
        """(V, 22) skinning weights of the posed bones, each with those of its unposed descendants (fingers)."""
        ...

    def stature(self, phenotypes: Tensor) -> Tensor:
        """Standing height (B,) in metres of the rest pose, sole to crown."""
        ...

    def anthropometry(self) -> Anthropometry:
        """Measurements of this body's meshes; building this takes as long as building the body."""
        ...

    def cpu(self) -> Self:
        """Move the body to the CPU, in place."""
        ...
