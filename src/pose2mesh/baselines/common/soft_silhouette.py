"""A differentiable silhouette of a body, with respect to its pose, its shape and the camera.

The body is filled with balls between pairs of opposite vertices: the centre of a ball is the midpoint of its pair, and
its radius follows their distance, so that it grows with the limb. Balls are projected to discs. The coverage of a pixel
depends on its depth in the disc in which it is deepest, and falls from 1 to 0 over about a pixel at the outline.
Unlike sums of soft points, which extend the outline where the surface is tangential to the view, discs end at the
outline of the body.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pose2mesh.baselines.common.body_layer import BodyParameters
from pose2mesh.body_models.body_fitting import spread_points
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.visualization.renderer import vertex_normals

SIZE_PX = 32
BALLS = 300
_CANDIDATES, _OPPOSITE = 1000, 2000  # vertices that a ball may start from; vertices that may be opposite to them
_LEAST_SLOPE = 0.5  # cosine, to the normal, of the line between opposite vertices: neighbours are not opposite
_SOFTNESS = 0.2  # of a pixel: coverage falls from 0.95 to 0.05 over about a pixel, as in downsampled masks


class SoftSilhouette(nn.Module):
    """Silhouettes of a body, differentiable except for the choice of the deepest disc of a pixel.

    Args:
        body: The body model.
        balls: Number of balls, `N`.
        size: Side of the silhouettes in pixels.

    Attributes:
        vertices: (2N,) indices of the vertices to pose: one end of every ball, then the other.
    """

    vertices: Tensor
    share: Tensor
    pixels: Tensor

    def __init__(self, body: BodyModel, balls: int = BALLS, size: int = SIZE_PX) -> None:
        super().__init__()
        self.size = size
        ends, share, self.gap_m = _balls_inside(body, balls)
        place = (torch.arange(size) + 0.5) * (2 / size) - 1
        down, across = torch.meshgrid(place, place, indexing="ij")
        self.register_buffer("vertices", ends.T.flatten(), persistent=False)
        self.register_buffer("share", share, persistent=False)
        self.register_buffer("pixels", torch.stack((across, down), dim=-1).reshape(-1, 2), persistent=False)

    def forward(self, points: Tensor, parameters: BodyParameters) -> Tensor:
        """Coverage of each pixel of the crop by the person, in [0, 1].

        Args:
            points: (B, 2N, 3) the posed `vertices`, metres relative to the hips, camera axes.
            parameters: Provide the camera.

        Returns:
            (B, size, size).
        """
        centre, radius = self.discs(points, parameters)
        deepest = torch.stack([self._deepest(*disc) for disc in zip(centre.detach(), radius.detach(), strict=True)])
        centre = centre.gather(1, deepest[..., None].expand(-1, -1, 2))
        depth = radius.gather(1, deepest) - (self.pixels - centre).norm(dim=-1)
        return torch.sigmoid(depth * (self.size / 2 / _SOFTNESS)).reshape(-1, self.size, self.size)

    def discs(self, points: Tensor, parameters: BodyParameters) -> tuple[Tensor, Tensor]:
        """Projections of the balls: centres (B, N, 2) and radii (B, N), in units of the crop."""
        one, other = points.chunk(2, dim=1)
        middle = (one + other) / 2
        radius_m = self.share * (one - other).norm(dim=-1) / 2 + self.gap_m
        rim = middle + torch.nn.functional.pad(radius_m[..., None], (0, 2))
        centre, rim = parameters.project(torch.cat((middle, rim), dim=1)).chunk(2, dim=1)
        return centre, rim[..., 0] - centre[..., 0]

    def _deepest(self, centre: Tensor, radius: Tensor) -> Tensor:
        """(pixels,) index of the disc (N, 2), (N,) of one person in which each pixel is deepest.

        One person at a time, so that the distances stay in the cache.
        """
        square = self.pixels.square().sum(1)[:, None] + centre.square().sum(1)
        distance = torch.addmm(square, self.pixels, centre.T, alpha=-2).clamp_min_(0).sqrt_()
        return (radius - distance).argmax(1)


def overlap_loss(silhouettes: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """One minus the intersection over union of silhouettes (B, H, W) in [0, 1], averaged over samples.

    For soft silhouettes, intersection and union are the sums of the smaller and of the larger value at each pixel (the
    Ruzicka similarity): the loss is 0 only where both are equal. It is 0 where all weights are 0.

    Args:
        silhouettes, target: The silhouettes.
        weight: (B,) weights of the samples, or a mask.
    """
    overlap = torch.minimum(silhouettes, target).sum((1, 2))
    union = torch.maximum(silhouettes, target).sum((1, 2)).clamp_min(1e-6)
    weight = weight.to(silhouettes.dtype)
    return (weight * (1 - overlap / union)).sum() / weight.sum().clamp_min(1e-6)


@torch.no_grad()
def _balls_inside(body: BodyModel, count: int) -> tuple[Tensor, Tensor, float]:
    """Balls that fill the body in the rest pose.

    The opposite of a vertex is the other vertex on the largest inscribed ball that touches the surface at the vertex.
    Balls are selected greedily: each is the one that comes nearest to the vertex farthest from all previous balls.

    Returns:
        The vertices at the ends of each ball (N, 2); its radius as a share (N,) of half their distance; and the mean
        distance of the surface from the balls, in metres.
    """
    template = body.template
    normals = torch.from_numpy(vertex_normals(template.cpu().numpy(), body.faces.cpu().numpy())).to(template)
    order = spread_points(template, _OPPOSITE)
    ends = torch.stack((order[:_CANDIDATES], _opposite(template, normals, order)), dim=1)
    middle = template[ends].mean(1)
    radius = torch.cat([torch.cdist(part, template).amin(1) for part in middle.split(500)])
    depth = radius - torch.cdist(template[order], middle)  # (vertices, balls) depth of each vertex in each ball
    deepest, chosen = torch.full_like(depth[:, 0], -torch.inf), list[int]()
    while len(chosen) < count:
        farthest = deepest.argmin()
        ball = int(depth[farthest].argmax())
        if ball not in chosen:
            chosen.append(ball)
            deepest = torch.maximum(deepest, depth[:, ball])
        deepest[farthest] = torch.inf  # no ball comes nearer to this vertex
    half = (template[ends[chosen, 0]] - template[ends[chosen, 1]]).norm(dim=-1) / 2
    return ends[chosen], radius[chosen] / half, float(-depth[:, chosen].amax(1).mean())


def _opposite(template: Tensor, normals: Tensor, order: Tensor) -> Tensor:
    """Opposite vertex, out of `order`, of each of its first `_CANDIDATES` vertices."""
    silhouettes = []
    for part in order[:_CANDIDATES].split(500):
        line = template[part, None] - template[order]
        length = line.norm(dim=-1)
        along = (line * normals[part, None]).sum(-1)
        # A ball that touches the surface at one vertex and goes through another has this radius.
        radius = torch.where(along > _LEAST_SLOPE * length, length.square() / (2 * along), torch.inf)
        silhouettes.append(order[radius.argmin(1)])
    return torch.cat(silhouettes)
