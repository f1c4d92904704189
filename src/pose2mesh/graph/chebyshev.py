"""Spectral graph convolution with Chebyshev polynomials of the Laplacian (Defferrard et al. 2016).

Tensors are (B, N, C). A convolution is computed a few samples at a time, so that its terms stay in the processor's
cache and are never kept: `docs/performance.md` says why it is computed as it is, with measurements.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from pose2mesh.errors import InputError
from pose2mesh.graph.laplacian import chebyshev_polynomials
from pose2mesh.products import linear

# What one of a convolution's terms may take on the CPU; some four of them are in use at a time.
CACHE_BYTES = 2**21
# An input of up to so many numbers is convolved in two calls when there is no gradient to keep: there the calls cost
# more than the arithmetic.
FEW_NUMBERS = 2**17


class FixedSparse(nn.Module):
    """A fixed sparse matrix that moves with the module it belongs to; it is built, not trained, and in no state dict.

    Args:
        matrix: (R, N).
        dtype: Of its weights.
    """

    index: Tensor
    start: Tensor
    weight: Tensor

    def __init__(self, matrix: sp.csr_array, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.rows, self.columns = matrix.shape
        self.register_buffer("index", torch.from_numpy(matrix.indices.astype(np.int32)), persistent=False)
        self.register_buffer("start", torch.from_numpy(matrix.indptr[:-1].astype(np.int32)), persistent=False)
        self.register_buffer("weight", torch.from_numpy(matrix.data).to(dtype), persistent=False)
        self._forget()

    def _forget(self) -> None:
        self._tiles: dict[tuple[int, int, torch.dtype, int], tuple[Tensor, Tensor, Tensor]] = {}

    def _apply(self, fn: Any, recurse: bool = True) -> FixedSparse:
        self._forget()
        super()._apply(fn, recurse)
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_tiles": {}}

    def product(self, x: Tensor, factor: int = 1) -> Tensor:
        """(B, R, C), a multiple of the product, without a gradient.

        Args:
            x: (B, N, C), contiguous, or (B, N / 2, C) as it was before un-pooling.
            factor: Of the product.
        """
        B, M, C = x.shape
        index, start, weight = self._tile(B, self.columns // M, x.dtype, factor)
        rows = nn.functional.embedding_bag(index, x.view(B * M, C), start, mode="sum", per_sample_weights=weight)
        return rows.view(B, self.rows, C)

    def _tile(self, count: int, siblings: int, dtype: torch.dtype, factor: int) -> tuple[Tensor, Tensor, Tensor]:
        """Columns, row starts and weights, times a factor, of `count` such matrices along a diagonal.

        `siblings` nodes in a row share a column: they have the same value. Kept, for a run asks for the same few again
        and again.
        """
        key = (count, siblings, dtype, factor)
        if key not in self._tiles:
            with torch.inference_mode(False):
                sample = torch.arange(count, dtype=torch.int32, device=self.index.device)[:, None]
                index = self.index // siblings + sample * (self.columns // siblings)
                start = self.start + sample * len(self.index)
                self._tiles[key] = index.flatten(), start.flatten(), (factor * self.weight).to(dtype).repeat(count)
        return self._tiles[key]


class GraphLaplacian(FixedSparse):
    """The rescaled Laplacian of a graph.

    Args:
        laplacian: (N, N) symmetric.
    """

    def __init__(self, laplacian: sp.csr_array) -> None:
        super().__init__(laplacian)
        self.size = laplacian.shape[0]

    def _forget(self) -> None:
        super()._forget()
        self._polynomials: dict[int, FixedSparse] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_polynomials": {}}

    def forward(self, x: Tensor) -> Tensor:
        """L · x for x (B, N, C), in the dtype of x."""
        return cast(Tensor, _SymmetricProduct.apply(self, x))

    def dense(self) -> Tensor:
        """(N, N) as an ordinary matrix."""
        return self.product(torch.eye(self.size, dtype=self.weight.dtype, device=self.weight.device)[None])[0]

    def as_scipy(self) -> sp.csr_array:
        """(N, N)."""
        start = np.append(self.start.cpu().numpy(), len(self.index))
        return sp.csr_array((self.weight.double().cpu().numpy(), self.index.cpu().numpy(), start), (self.size,) * 2)

    def polynomials(self, order: int) -> FixedSparse:
        """(N · K, N) the rows of T_0, …, T_{K−1} of the Laplacian, those of one node in a row; built once."""
        if order not in self._polynomials:
            terms = chebyshev_polynomials(self.as_scipy(), order)
            with torch.inference_mode(False):
                stacked = FixedSparse(terms, self.weight.dtype)
                self._polynomials[order] = stacked.to(self.index.device)
        return self._polynomials[order]


class _SymmetricProduct(torch.autograd.Function):
    """L · x; L is symmetric, so the gradient is L times the gradient."""

    @staticmethod
    def forward(ctx: Any, laplacian: GraphLaplacian, x: Tensor) -> Tensor:
        ctx.laplacian = laplacian
        return laplacian.product(x.contiguous())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        return None, ctx.laplacian.product(gradients[0].contiguous())


class _Convolution(torch.autograd.Function):
    """`_convolve`, keeping nothing but x for the backward pass.

    T_k(L) is symmetric, so that the backward pass is a convolution of the gradient g, with no term of the forward pass
    in it: ∂W_k = xᵀ T_k(L) g and ∂x = Σ_k T_k(L) g W_kᵀ.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, laplacian: GraphLaplacian) -> Tensor:
        """As `_convolve`."""
        ctx.save_for_backward(x, weight)
        ctx.laplacian = laplacian
        return _convolve(x, weight, bias, laplacian)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors
        gradient = gradient.contiguous()
        C_in, C_out = x.shape[-1], len(weight)
        order = weight.shape[1] // C_in
        by_order = weight.view(C_out, order, C_in)
        to_input = by_order.permute(2, 1, 0).reshape(C_in, order * C_out).to(x.dtype)
        x_gradient = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        weight_gradient = torch.zeros_like(weight).view(order * C_out, C_in)
        bias_gradient = torch.zeros_like(weight[:, 0])
        for part in _parts(gradient, C_in):
            terms = _pool(_stack(gradient[part], ctx.laplacian, order), x.shape[1]).flatten(0, 1)
            bias_gradient += terms[:, :C_out].sum(0)
            weight_gradient += linear(terms.T, x[part].flatten(0, 1).T)
            if x_gradient is not None:
                x_gradient[part] = linear(terms, to_input).view_as(x[part])
        weight_gradient = weight_gradient.view(order, C_out, C_in).transpose(0, 1).reshape(weight.shape)
        return x_gradient, weight_gradient, bias_gradient, None


def _convolve(x: Tensor, weight: Tensor, bias: Tensor, laplacian: GraphLaplacian, relu: bool = False) -> Tensor:
    """y = Σ_k T_k(L) x W_k + b, (B, N, C_out), a few samples at a time; without a gradient.

    T_k(L) and W_k commute. So T_k(L) is applied to x W_k where that is narrower than x, or where x is to be un-pooled:
    W_k then meets half the nodes.

    Args:
        x: (B, N, C_in), or (B, N / 2, C_in) where it is to be un-pooled.
        weight: (C_out, K · C_in).
        bias: (C_out,).
        laplacian: (N, N).
        relu: Whether to replace negative numbers by 0.
    """
    weight, bias = weight.to(x.dtype), bias.to(x.dtype)
    C_in, C_out = x.shape[-1], len(weight)
    y = x.new_empty(len(x), laplacian.size, C_out)
    parts = _parts(y, C_in)
    if x.shape[1] < laplacian.size or C_out < C_in:
        by_order = weight.view(C_out, -1, C_in).transpose(0, 1).contiguous()
        for part in parts:
            _clenshaw(x[part], by_order, bias, laplacian, y[part])
        return y.relu_() if relu else y
    order = weight.shape[1] // C_in
    for part in parts:
        y[part] = linear(_stack(x[part], laplacian, order).flatten(0, 1), weight, bias, relu).view_as(y[part])
    return y


def _parts(y: Tensor, channels: int) -> list[slice]:
    """Slices of a batch y (B, N, C) in which a convolution's terms, as wide as y or `channels`, fit into the cache."""
    B, N, C = y.shape
    if y.device.type != "cpu":
        return [slice(None)]
    count = max(1, CACHE_BYTES // (N * max(C, channels) * y.element_size()))
    return [slice(start, start + count) for start in range(0, B, count)]


def _stack(x: Tensor, laplacian: GraphLaplacian, order: int) -> Tensor:
    """(B, N, K · C) all terms T_k(L) x side by side: x, L x, then 2 L T_{k−1} x − T_{k−2} x."""
    B, N, C = x.shape
    stack = x.new_empty(B, N, order, C)
    stack[:, :, 0] = before = x
    if order > 1:
        stack[:, :, 1] = term = laplacian.product(x)
    for k in range(2, order):
        before, term = term, torch.sub(laplacian.product(term, 2), before, out=stack[:, :, k])
        if k < order - 1:
            term = term.contiguous()
    return stack.view(B, N, order * C)


def _clenshaw(x: Tensor, weight: Tensor, bias: Tensor, laplacian: GraphLaplacian, y: Tensor) -> None:
    """Write Σ_k T_k(L) (x W_k) + b to y, x un-pooled on the way; `weight` (K, C_out, C_in).

    Clenshaw's recurrence: c_k = x W_k + 2 L c_{k+1} − c_{k+2} from the last k down to 1, then x W_0 + L c_1 − c_2.
    """
    later, last = None, None
    rows = x.flatten(0, 1)
    for k in range(len(weight) - 1, -1, -1):
        term = linear(rows, weight[k], bias if k == 0 else None).view(len(x), x.shape[1], -1)
        if last is not None:
            product = laplacian.product(last, 2 if k else 1)
            if later is not None:
                if later.shape == term.shape:
                    term -= later
                else:
                    product -= later
            _add_unpooled(product, term, y if k == 0 else product)
            term = product
        later, last = last, term
    if len(weight) == 1:
        _add_unpooled(y.zero_(), term, y)


def _add_unpooled(x: Tensor, term: Tensor, out: Tensor) -> None:
    """Write x (B, N, C) plus a term (B, N or N / 2, C), each node of a coarser one for its two children, to `out`."""
    B, M, C = term.shape
    torch.add(x.view(B, M, -1, C), term[:, :, None], out=out.view(B, M, -1, C))


def _pool(x: Tensor, size: int) -> Tensor:
    """x (B, N, C), or where `size` is N / 2 the sums (B, N / 2, C) of siblings: the transpose of un-pooling."""
    if x.shape[1] == size:
        return x
    pairs = x.view(len(x), size, 2, -1)
    return pairs[:, :, 0] + pairs[:, :, 1]  # five times as fast as a sum over the pairs


class _UnpooledSum(torch.autograd.Function):
    """A sum of x (B, N, C) and a term (B, N or N / 2, C), whose nodes count for both of their children."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, term: Tensor) -> Tensor:
        ctx.size = term.shape[1]
        total = torch.empty_like(x)
        _add_unpooled(x, term, total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        return gradient, _pool(gradient.contiguous(), ctx.size)


def unpooled_sum(x: Tensor, term: Tensor) -> Tensor:
    """x (B, N, C) plus a term that has as many nodes, or half as many: those are repeated, node i's children being 2i
    and 2i + 1.
    """
    return cast(Tensor, _UnpooledSum.apply(x, term))


class ChebyshevConvolution(nn.Module):
    """y = Σ_k T_k(L) x W_k + b, with T_0 = I, T_1 = L, T_k = 2 L T_{k−1} − T_{k−2}.

    Args:
        in_channels, out_channels: C of input and output.
        order: K, the number of polynomials, at least 1; a node sees its K − 1 ring.

    The linear layer's input is all channels of T_0, then all of T_1, and so on; its weights start out uniform with the
    published bound.
    """

    def __init__(self, in_channels: int, out_channels: int, order: int = 3) -> None:
        super().__init__()
        if order < 1:
            raise InputError(f"chebyshev_order is {order}, expected at least 1")
        self.order = order
        self.linear = nn.Linear(order * in_channels, out_channels)
        bound = (2 / (order * in_channels + out_channels)) ** 0.5
        nn.init.uniform_(self.linear.weight, -bound, bound)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor, laplacian: GraphLaplacian, relu: bool = False) -> Tensor:
        """(B, N, C_in), or (B, N / 2, C_in) to be un-pooled by a repeat of 2 → (B, N, C_out), clipped at 0 if asked."""
        weight, bias = self.linear.weight, self.linear.bias
        device = x.device.type
        if torch.is_autocast_enabled(device):
            x = x.to(torch.get_autocast_dtype(device))
        x = x.contiguous()
        if torch.is_grad_enabled():
            y = cast(Tensor, _Convolution.apply(x, weight, bias, laplacian))
            return y.relu() if relu else y
        if len(x) * laplacian.size * x.shape[2] > FEW_NUMBERS:
            return _convolve(x, weight, bias, laplacian, relu)
        terms = laplacian.polynomials(self.order).product(x).view(len(x) * laplacian.size, -1)
        return linear(terms, weight.to(x.dtype), bias.to(x.dtype), relu).view(len(x), laplacian.size, -1)
