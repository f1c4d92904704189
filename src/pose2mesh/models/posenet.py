"""PoseNet: the fully connected network that lifts a 2D pose to 3D (after Martinez et al. 2017)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pose2mesh.models.layers.linear import Linear


class Affine(nn.Module):
    """What a trained BatchNorm is in use: a factor and a shift for each channel."""

    scale: Tensor
    shift: Tensor

    def __init__(self, norm: nn.BatchNorm1d) -> None:
        super().__init__()
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight.detach() / (norm.running_var + norm.eps).sqrt()
        self.register_buffer("scale", scale)
        self.register_buffer("shift", norm.bias.detach() - norm.running_mean * scale)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C) → (B, C)."""
        return torch.addcmul(self.shift, x, self.scale)


class ResidualBlock(nn.Module):
    """Twice {BatchNorm, ReLU, dropout, linear}, added to the input."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(dropout), Linear(width, width),
            nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(dropout), Linear(width, width),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class PoseNet(nn.Module):
    """(B, J, C) normalised 2D joints → (B, J, 3) root-relative 3D joints in metres.

    Args:
        joints: J.
        in_channels: 2 for x and y as in the paper, 3 with a confidence.
        width: Of the hidden layers; 4096 in the paper.
        blocks: Residual blocks; 2 in the paper.
        dropout: Share of activations dropped in training; 0.5 in the paper.
        unit_m: What the last layer counts in, metres; see `NetworkConfig`.
        landmarks: L, points of the surface that are lifted besides; see `NetworkConfig`.
    """

    def __init__(
        self,
        joints: int,
        in_channels: int = 2,
        width: int = 4096,
        blocks: int = 2,
        dropout: float = 0.5,
        unit_m: float = 0.001,
        landmarks: int = 0,
    ) -> None:
        super().__init__()
        self.unit_m = unit_m
        self.lift = Linear(joints * in_channels, width)
        self.blocks = nn.Sequential(*(ResidualBlock(width, dropout) for _ in range(blocks)))
        self.head = Linear(width, joints * 3)
        self.landmark_head: Linear | None = None
        if landmarks:
            # At first landmarks lie where the joints lead: nothing of a lifter that is trained is lost to them.
            self.landmark_head = Linear(width, landmarks * 3)
            nn.init.zeros_(self.landmark_head.weight)
            nn.init.zeros_(self.landmark_head.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.joints(self.features(x))

    def features(self, x: Tensor) -> Tensor:
        """(B, J, C) → (B, width), what the last layers read."""
        return self.blocks(self.lift(x.flatten(1)))

    def joints(self, features: Tensor) -> Tensor:
        """(B, width) → (B, J, 3)."""
        return self.unit_m * self.head(features).unflatten(1, (-1, 3))

    def landmark_offsets(self, features: Tensor) -> Tensor | None:
        """(B, width) → (B, L, 3) how far the landmarks lie from where the joints lead, in metres."""
        if self.landmark_head is None:
            return None
        return self.unit_m * self.landmark_head(features).unflatten(1, (-1, 3))

    def fuse(self) -> None:
        """Replace every BatchNorm by what it is in use; for use alone, not for training.

        They are not folded into the linear layers, whose weights would no longer be what float16 holds exactly.
        """
        for name, module in list(self.named_modules()):
            if isinstance(module, nn.BatchNorm1d):
                self.set_submodule(name, Affine(module))
