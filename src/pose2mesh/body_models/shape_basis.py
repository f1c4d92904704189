"""Linear basis of body shapes: the main variations of the aligned body, over people of all ages.

The aligned body of a shape has identity orientations: the bones of every shape point as those of the mean adult. Its
vertices and bone heads are, to a millimetre, the mean plus a weighted sum of a few components, so that they can be
stored and predicted without the body model (`models.skinned_body`).

Letters: `V` vertices, `B` = 22 body bones, `S` components. Metres, the hips' bone head as origin.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pose2mesh.body_models.bones import BODY_BONES
from pose2mesh.body_models.interface import BodyModel

SAMPLES = 1200  # shapes that the basis is fitted to
_SEED = 11
# Uniform phenotypes from a toddler (0.9 m) to the old, over the whole range of the others (`interface.PHENOTYPES`).
_LOW, _HIGH = (0.0, 0.1, 0.0, 0.0, 0.0, 0.0), (1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
_RIDGE = 1e-6


@dataclass(frozen=True)
class ShapeBasis:
    """The basis. Coefficients have unit variance over the shapes that it is fitted to.

    Attributes:
        vertices: (V, 3) of the mean aligned body.
        vertex_shapes: (S, V, 3) displacement of the vertices by a coefficient of one.
        heads: (B, 3) bone heads of the mean aligned body.
        head_shapes: (S, B, 3) displacement of the bone heads.
        encoder: (C + 1, S) from the body model's C blend-shape coefficients and a one to the coefficients.
        phenotypes: (S + 1, 6) from the coefficients and a one to the phenotypes, least squares.
    """

    vertices: Tensor
    vertex_shapes: Tensor
    heads: Tensor
    head_shapes: Tensor
    encoder: Tensor
    phenotypes: Tensor

    @property
    def size_m(self) -> Tensor:
        """(S,) root mean square displacement of the vertices by each component, metres."""
        return self.vertex_shapes.square().sum(-1).mean(-1).sqrt()

    def encode(self, blend_shapes: Tensor) -> Tensor:
        """Coefficients (N, S) of bodies with blend-shape coefficients (N, C) of the body model."""
        encoder = self.encoder.to(blend_shapes.device)
        return blend_shapes @ encoder[:-1] + encoder[-1]


def fit_shape_basis(body: BodyModel, components: int) -> ShapeBasis:
    """Principal components of the aligned bodies of random shapes, and linear maps to and from the body model.

    The same body and number give the same basis, so that a network's output keeps its meaning between runs.
    """
    generator = torch.Generator().manual_seed(_SEED)
    low, high = torch.tensor(_LOW), torch.tensor(_HIGH)
    phenotypes = low + (high - low) * torch.rand(SAMPLES, 6, generator=generator)
    with torch.no_grad():
        bodies = torch.cat([_aligned(body, part) for part in phenotypes.split(100)]).double()
        blend_shapes = body.coefficients(phenotypes).double()
    mean = bodies.mean(0)
    bodies -= mean
    variance, scores = torch.linalg.eigh(bodies @ bodies.T)
    variance, scores = variance.flip(0)[:components], scores.flip(1)[:, :components]
    spread = (variance / SAMPLES).sqrt()
    directions = scores.T @ bodies / variance.sqrt()[:, None]
    # Eigenvectors have no sign of their own: the largest coordinate is made positive.
    largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
    directions *= largest.sign() * spread[:, None]
    coefficients = bodies @ directions.T / spread.square()
    V = body.rest_vertices.shape[0]
    shapes = directions.float().unflatten(1, (-1, 3))
    mean = mean.float().unflatten(0, (-1, 3))
    return ShapeBasis(
        mean[:V],
        shapes[:, :V],
        mean[V:],
        shapes[:, V:],
        _least_squares(blend_shapes, coefficients),
        _least_squares(coefficients, phenotypes.double()),
    )


def _aligned(body: BodyModel, phenotypes: Tensor) -> Tensor:
    """Vertices and body-bone heads (N, (V + B) · 3) of aligned bodies."""
    identity = torch.eye(3).expand(len(phenotypes), len(BODY_BONES), 3, 3)
    heads = body.bone_heads(phenotypes, identity)[:, [body.bone_names.index(bone) for bone in BODY_BONES]]
    return torch.cat((body(phenotypes, identity), heads), dim=1).flatten(1)


def _least_squares(inputs: Tensor, goals: Tensor) -> Tensor:
    """(N_in + 1, N_out) weights of the inputs and a constant."""
    inputs = torch.cat((inputs, torch.ones_like(inputs[:, :1])), dim=1)
    gram = inputs.T @ inputs
    damping = _RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    return torch.linalg.solve(gram + damping, inputs.T @ goals).float()
