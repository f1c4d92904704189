"""Linear layers that call the fastest library for their matrix product.

PyTorch calls MKL for float32 products on a CPU, and oneDNN for other types. oneDNN's float32 products took half the
time on the processor that `docs/performance.md` measures, and are part of the same PyTorch.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

# Weights with fewer elements stay in the processor's cache in any type.
LARGE = 2**19


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, relu: bool = False) -> Tensor:
    """x · weightᵀ + bias, (M, C_out), without a gradient.

    Args:
        x: (M, C_in), contiguous or the transpose of such a matrix.
        weight: (C_out, C_in), likewise: for other layouts oneDNN falls back to a slow reference product.
        bias: (C_out,).
        relu: Whether to apply a ReLU to the result.
    """
    if x.dtype == torch.float32 and x.device.type == "cpu" and torch.backends.mkldnn.is_available():
        kind = "relu" if relu else "none"
        return cast(Tensor, torch.ops.mkldnn._linear_pointwise(x, weight, bias, kind, [], ""))
    y = nn.functional.linear(x, weight, bias)
    return y.relu_() if relu else y


def has_bfloat16() -> bool:
    """Whether the processor has instructions for bfloat16 products (AMX, AVX-512 BF16, Arm's BF16).

    Without them, PyTorch's bfloat16 products take several times as long as float32 ones.
    """
    return any(available for name, available in torch.cpu.get_capabilities().items() if "bf16" in name)


class _Linear(torch.autograd.Function):
    """`linear` for autograd."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return linear(x, weight, bias)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        gradient = gradient.contiguous()
        x_gradient = linear(gradient, weight.T) if ctx.needs_input_grad[0] else None
        return x_gradient, linear(gradient.T, x.T), gradient.sum(0)


class Linear(nn.Linear):
    """A linear layer computed by `linear`."""

    def forward(self, x: Tensor) -> Tensor:
        """(M, C_in) → (M, C_out)."""
        if torch.is_autocast_enabled(x.device.type):
            return super().forward(x)
        return cast(Tensor, _Linear.apply(x.contiguous(), self.weight, self.bias))


class HalfLinear(nn.Module):
    """A linear layer with weights stored in float16, which must represent them exactly; it computes in float32.

    For inference on a CPU only. For a few people at a time, the time of a large layer is that of reading its weights.
    """

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.packed = torch.ops.quantized.linear_prepack_fp16(layer.weight.detach(), layer.bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        """(M, C_in) → (M, C_out) float32."""
        return cast(Tensor, torch.ops.quantized.linear_dynamic_fp16(x.float(), self.packed))


def halve_exact(model: nn.Module) -> None:
    """Replace a model's large linear layers by `HalfLinear` where their weights are exactly representable in float16.

    For inference on a CPU only.
    """
    if "fbgemm" not in torch.backends.quantized.supported_engines:
        return
    for name, layer in list(model.named_modules()):
        if isinstance(layer, Linear) and layer.weight.numel() >= LARGE and _is_half(layer.weight):
            model.set_submodule(name, HalfLinear(layer))


def _is_half(weight: Tensor) -> bool:
    return torch.equal(weight.half().float(), weight)
