"""PoseNet: the fully connected network that lifts a 2D pose to 3D (after Martinez et al. 2017)."""

from __future__ import annotations

from torch import Tensor, nn

from pose2mesh.products import Linear


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
    """

    def __init__(
        self,
        joints: int,
        in_channels: int = 2,
        width: int = 4096,
        blocks: int = 2,
        dropout: float = 0.5,
        unit_m: float = 0.001,
    ) -> None:
        super().__init__()
        self.unit_m = unit_m
        self.lift = Linear(joints * in_channels, width)
        self.blocks = nn.Sequential(*(ResidualBlock(width, dropout) for _ in range(blocks)))
        self.head = Linear(width, joints * 3)

    def forward(self, x: Tensor) -> Tensor:
        B, J, _ = x.shape
        return self.unit_m * self.head(self.blocks(self.lift(x.flatten(1)))).reshape(B, J, 3)
