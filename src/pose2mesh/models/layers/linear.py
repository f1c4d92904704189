"""Dense matrix products: a linear layer by the library that is fastest where it runs.

PyTorch gives float32 products on a CPU to MKL, and those of other types to oneDNN; oneDNN's float32 products took half
the time on the processor that `docs/performance.md` measures, and are there in the same PyTorch.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

# Weights of fewer numbers stay in the processor's cache whatever their type.
LARGE = 2**19


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, relu: bool = False) -> Tensor:
    """x (M, C_in) · weightᵀ + bias, (M, C_out), its negative numbers replaced by 0 where asked for; no gradient.

    Args:
        x: (M, C_in), contiguous or the transpose of such a matrix.
        weight: (C_out, C_in), likewise: of anything else oneDNN makes a slow reference product.
        bias: (C_out,).
        relu: Whether to clip.
    """
    if x.dtype == torch.float32 and x.device.type == "cpu" and torch.backends.mkldnn.is_available():
        kind = "relu" if relu else "none"
        return cast(Tensor, torch.ops.mkldnn._linear_pointwise(x, weight, bias, kind, [], ""))
    y = nn.functional.linear(x, weight, bias)
    return y.relu_() if relu else y


def has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 itself (AMX, AVX-512 BF16, Arm's BF16).

    Where it does not, PyTorch's products of that type take several times as long as those of float32.
    """
    return any(there for name, there in torch.cpu.get_capabilities().items() if "bf16" in name)


class _Linear(torch.autograd.Function):
    """`linear` with a gradient."""

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
    """A linear layer whose products are those of `linear`."""

    def forward(self, x: Tensor) -> Tensor:
        """(M, C_in) → (M, C_out)."""
        if torch.is_autocast_enabled(x.device.type):
            return super().forward(x)
        return cast(Tensor, _Linear.apply(x.contiguous(), self.weight, self.bias))


class HalfLinear(nn.Module):
    """A linear layer whose weights float16 holds exactly, kept in it: products and sums are float32's all the same.

    For use alone, on a CPU. For few people at a time a large layer takes as long as its weights take to be read.
    """

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.packed = torch.ops.quantized.linear_prepack_fp16(layer.weight.detach(), layer.bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        """(M, C_in) → (M, C_out) float32."""
        return cast(Tensor, torch.ops.quantized.linear_dynamic_fp16(x.float(), self.packed))


def halve_exact(model: nn.Module) -> None:
    """Replace a model's large linear layers by `HalfLinear` where that is the same function.

    For use alone, on a CPU.
    """
    if "fbgemm" not in torch.backends.quantized.supported_engines:
        return
    for name, layer in list(model.named_modules()):
        if isinstance(layer, Linear) and layer.weight.numel() >= LARGE and _is_half(layer.weight):
            model.set_submodule(name, HalfLinear(layer))


def _is_half(weight: Tensor) -> bool:
    return torch.equal(weight.half().float(), weight)
