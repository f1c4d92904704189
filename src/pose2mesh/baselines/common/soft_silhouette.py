"""A silhouette that can be descended on: how a body's outline changes with its pose, its shape and the camera.

The body is filled with balls, each between two vertices that lie opposite each other: its middle is theirs, and its
radius follows their distance, so that a limb that thickens takes its balls along. A ball is seen as a disc, and a
pixel belongs to the person as far as it is inside the disc it is deepest in; at the outline this goes from 1 to 0 over
about a pixel. Beside sums of soft points, whose outline swells where the surface is seen edge-on, discs end where the
body does.
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
_CANDIDATES, _OPPOSITE = 1000, 2000  # vertices that get a ball offered; vertices that may lie opposite
_LEAST_SLOPE = 0.5  # cosine, to the normal, of the line between opposite vertices: neighbours are not opposite
_SOFTNESS = 0.2  # of a pixel: an outline goes from 0.95 to 0.05 over about a pixel, as it does in masks made smaller


class SoftSilhouette(nn.Module):
    """Silhouettes of the Anny body, differentiable in everything but which disc a pixel is deepest in.

    Args:
        body: The Anny body.
        balls: How many fill it.
        size: Of the silhouettes, pixels along a side.

    Attributes:
        vertices: (2N,) the vertices to pose: one end of every ball, then the other.
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
        """How much of each pixel of the crop the person takes, in [0, 1].

        Args:
            points: (B, 2N, 3) the posed `vertices`, metres about the hips, camera axes.
            guess: Whose camera looks.

        Returns:
            (B, size, size).
        """
        centre, radius = self.discs(points, parameters)
        deepest = torch.stack([self._deepest(*disc) for disc in zip(centre.detach(), radius.detach(), strict=True)])
        centre = centre.gather(1, deepest[..., None].expand(-1, -1, 2))
        depth = radius.gather(1, deepest) - (self.pixels - centre).norm(dim=-1)
        return torch.sigmoid(depth * (self.size / 2 / _SOFTNESS)).reshape(-1, self.size, self.size)

    def discs(self, points: Tensor, parameters: BodyParameters) -> tuple[Tensor, Tensor]:
        """Where the balls are seen: middles (B, N, 2) and radii (B, N), in units of the crop."""
        one, other = points.chunk(2, dim=1)
        middle = (one + other) / 2
        radius_m = self.share * (one - other).norm(dim=-1) / 2 + self.gap_m
        rim = middle + torch.nn.functional.pad(radius_m[..., None], (0, 2))
        centre, rim = parameters.project(torch.cat((middle, rim), dim=1)).chunk(2, dim=1)
        return centre, rim[..., 0] - centre[..., 0]

    def _deepest(self, centre: Tensor, radius: Tensor) -> Tensor:
        """(P,) in which of one person's discs (N, 2), (N,) each pixel is deepest; one by one they stay in the cache."""
        square = self.pixels.square().sum(1)[:, None] + centre.square().sum(1)
        distance = torch.addmm(square, self.pixels, centre.T, alpha=-2).clamp_min_(0).sqrt_()
        return (radius - distance).argmax(1)


def overlap_loss(found: Tensor, target: Tensor, counted: Tensor) -> Tensor:
    """One minus the overlap over the union of silhouettes (B, H, W) in [0, 1], the mean of the people who count.

    Between soft silhouettes, overlap and union are the sums of the smaller and of the larger value at each pixel (the
    Ruzicka similarity): the loss is 0 only where both are equal. 0 where nobody counts.

    Args:
        found, target: Silhouettes.
        counted: (B,) weights of the people, or who of them counts.
    """
    overlap = torch.minimum(found, target).sum((1, 2))
    union = torch.maximum(found, target).sum((1, 2)).clamp_min(1e-6)
    weight = counted.to(found.dtype)
    return (weight * (1 - overlap / union)).sum() / weight.sum().clamp_min(1e-6)


@torch.no_grad()
def _balls_inside(body: BodyModel, count: int) -> tuple[Tensor, Tensor, float]:
    """Balls that fill the body at rest.

    A vertex's opposite is the other one that the largest ball touches which touches the surface there from inside.
    Balls are taken one by one, each the one that comes nearest to the vertex that is farthest from those before it.

    Returns:
        The vertices at the ends of each (N, 2); its radius as a share (N,) of half their distance; and how far, on
        average, the surface lies outside of all balls, in metres.
    """
    template = body.template
    normals = torch.from_numpy(vertex_normals(template.cpu().numpy(), body.faces.cpu().numpy())).to(template)
    order = spread_points(template, _OPPOSITE)
    ends = torch.stack((order[:_CANDIDATES], _opposite(template, normals, order)), dim=1)
    middle = template[ends].mean(1)
    radius = torch.cat([torch.cdist(part, template).amin(1) for part in middle.split(500)])
    depth = radius - torch.cdist(template[order], middle)  # (vertices, balls) of each vertex in each ball
    deepest, chosen = torch.full_like(depth[:, 0], -torch.inf), list[int]()
    while len(chosen) < count:
        farthest = deepest.argmin()
        ball = int(depth[farthest].argmax())
        if ball not in chosen:
            chosen.append(ball)
            deepest = torch.maximum(deepest, depth[:, ball])
        deepest[farthest] = torch.inf  # nothing comes nearer
    half = (template[ends[chosen, 0]] - template[ends[chosen, 1]]).norm(dim=-1) / 2
    return ends[chosen], radius[chosen] / half, float(-depth[:, chosen].amax(1).mean())


def _opposite(template: Tensor, normals: Tensor, order: Tensor) -> Tensor:
    """For each of the first candidates in `order`, the vertex opposite, out of `order`."""
    found = []
    for part in order[:_CANDIDATES].split(500):
        line = template[part, None] - template[order]
        length = line.norm(dim=-1)
        along = (line * normals[part, None]).sum(-1)
        # A ball that touches the surface at one vertex and goes through another has this radius.
        radius = torch.where(along > _LEAST_SLOPE * length, length.square() / (2 * along), torch.inf)
        found.append(order[radius.argmin(1)])
    return torch.cat(found)
