"""Random occluders: boxes, ellipses, and bars as thick as a limb."""

from __future__ import annotations

import torch
from torch import Tensor

from pose2mesh.baselines.observation import CROP_PX

_MOST = 2  # maximum number of occluders in front of a person


def sample_occluders(count: int, share: float, generator: torch.Generator) -> Tensor:
    """Sample occlusion masks (count, CROP_PX, CROP_PX); a `share` of the crops, from 0 to 1, has occluders.

    The centre of the crop stays visible, and so does about half of it: otherwise a detector would not have found the
    person.
    """

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(count, _MOST, *shape, generator=generator)

    bar = uniform(0, 1) < 0.4
    length = torch.where(bar, uniform(0.5, 1.5), uniform(0.15, 0.5))
    width = torch.where(bar, uniform(0.03, 0.1), uniform(0.15, 0.5))
    angle = uniform(0, 2 * torch.pi)
    direction = uniform(0, 2 * torch.pi)
    reach = uniform(0.3, 0.9) + torch.where(bar, torch.zeros(()), 0.6 * torch.maximum(length, width) - 0.1)
    middle = reach[..., None] * torch.stack((direction.cos(), direction.sin()), dim=-1)
    angular = uniform(0, 1) < 0.6
    present = torch.rand(count, 1, generator=generator) < share
    several = uniform(0, 1) < torch.tensor([1.0, 0.4])
    present = present & several

    hidden = torch.zeros(count, CROP_PX, CROP_PX, dtype=torch.bool)
    person, which = present.nonzero(as_tuple=True)
    place = (torch.arange(CROP_PX) + 0.5) * (2 / CROP_PX) - 1
    across = place - middle[person, which, :1]  # (K, CROP_PX)
    down = place - middle[person, which, 1:]
    cosine, sine = angle[person, which].cos()[:, None], angle[person, which].sin()[:, None]

    def along(first: Tensor, second: Tensor, half: Tensor) -> Tensor:
        scale = 1 / half[person, which][:, None]
        return ((first * scale * across)[:, None, :] + (second * scale * down)[:, :, None]).abs_()

    u, v = along(cosine, sine, length), along(-sine, cosine, width)
    box = angular[person, which][:, None, None]
    inside = torch.where(box, torch.maximum(u, v), u.square() + v.square()) < 1
    for index, shape in zip(person.tolist(), inside, strict=True):
        hidden[index] |= shape
    return hidden
