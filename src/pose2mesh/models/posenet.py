"""PoseNet: a fully connected lifter with residual blocks (after Martinez et al. 2017)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pose2mesh.models.layers.linear import Linear
from pose2mesh.models.lifter import Lifted, Lifter
from pose2mesh.models.network_config import NetworkConfig


class Affine(nn.Module):
    """A BatchNorm in evaluation mode: one factor and one shift per channel."""

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
    """BatchNorm, ReLU, dropout and a linear layer, all twice, added to the input."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(dropout), Linear(width, width),
            nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(dropout), Linear(width, width),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """(B, width) → (B, width)."""
        return x + self.layers(x)


def _zero_linear(inputs: int, outputs: int) -> Linear:
    """A linear layer whose weights and biases are zero."""
    layer = Linear(inputs, outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class PoseNet(Lifter):
    """(B, J, C) normalised 2D joints → (B, J, 3) root-relative 3D joints in metres.

    Args:
        joints: J.
        in_channels: C; 2 for x and y as in the paper, 3 with a confidence.
        width: Channels of the hidden layers; 4096 in the paper.
        blocks: Number of residual blocks; 2 in the paper.
        dropout: Share of activations dropped in training; 0.5 in the paper.
        unit_m: Unit of the last layer's output, in metres; see `NetworkConfig.posenet_unit_m`.
        landmarks: L, number of surface points that are lifted besides the joints; see `NetworkConfig.landmarks`.
        shape_components: S, number of shape coefficients that are predicted besides.
        expected_errors: Whether the errors of joints and shape are predicted. They are read off the features without
            changing these: the gradient stops.
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
        shape_components: int = 0,
        expected_errors: bool = False,
    ) -> None:
        super().__init__()
        self.unit_m = unit_m
        self.lift = Linear(joints * in_channels, width)
        self.blocks = nn.Sequential(*(ResidualBlock(width, dropout) for _ in range(blocks)))
        self.head = Linear(width, joints * 3)
        self.landmark_head: Linear | None = None
        if landmarks:
            # Zero, so that landmarks start at their interpolation between the joints: a trained lifter that gets
            # landmarks keeps its accuracy.
            self.landmark_head = _zero_linear(width, landmarks * 3)
        self.shape_head = _zero_linear(width, shape_components) if shape_components else None
        self.error_head: nn.Sequential | None = None
        if expected_errors:
            hidden = width // 4
            last = _zero_linear(hidden, 2 * joints + shape_components)
            self.error_head = nn.Sequential(nn.BatchNorm1d(width), nn.ReLU(), Linear(width, hidden), nn.ReLU(), last)

    @classmethod
    def from_config(cls, config: NetworkConfig, joints: int) -> PoseNet:
        """See `Lifter.from_config`; the sizes are the `posenet_` keys."""
        return cls(
            joints,
            config.in_channels,
            config.posenet_width,
            config.posenet_blocks,
            config.posenet_dropout,
            config.posenet_unit_m,
            config.landmarks,
            config.shape_components,
            config.expected_errors,
        )

    def forward(self, x: Tensor) -> Lifted:
        """See `Lifter.forward`."""
        features = self.blocks(self.lift(x.flatten(1)))
        joints = self._metres(self.head(features))
        return Lifted(
            joints,
            None if self.landmark_head is None else self._metres(self.landmark_head(features)),
            None if self.shape_head is None else self.shape_head(features),
            None if self.error_head is None else self.error_head(features.detach()),
        )

    def _metres(self, x: Tensor) -> Tensor:
        """(B, N · 3) output of a last layer → (B, N, 3) in metres."""
        return self.unit_m * x.unflatten(1, (-1, 3))

    def fuse(self) -> None:
        """Replace every BatchNorm by an `Affine` layer: the same function, for inference only.

        They are not folded into the linear layers, so that the weights of these stay exactly representable in float16.
        """
        for name, module in list(self.named_modules()):
            if isinstance(module, nn.BatchNorm1d):
                self.set_submodule(name, Affine(module))

    def convert_weights(
        self, state: dict[str, Tensor], source: NetworkConfig, same_landmarks: bool
    ) -> dict[str, Tensor]:
        """See `Lifter.convert_weights`: the last layers are rescaled to this network's unit."""
        converted = {}
        for name, value in state.items():
            if name.startswith("landmark_head.") and not same_landmarks:
                continue
            last = name.startswith(("head.", "landmark_head."))
            converted[name] = value * (source.posenet_unit_m / self.unit_m) if last else value
        return converted
