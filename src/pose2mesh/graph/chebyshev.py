"""Spectral graph convolution with Chebyshev polynomials of the Laplacian (Defferrard et al. 2016).

Tensors are (B, N, C). A convolution is computed a few samples at a time, so that its terms stay in the processor's
cache and are never kept: `docs/performance.md` says why it is computed as it is, with measurements.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from pose2mesh.errors import InputError
from pose2mesh.graph.laplacian import chebyshev_polynomials

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
        self._tiles: dict[tuple[int, int, torch.dtype], tuple[Tensor, Tensor, Tensor]] = {}

    def _apply(self, fn: Any, recurse: bool = True) -> FixedSparse:
        self._forget()
        super()._apply(fn, recurse)
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_tiles": {}}

    def product(self, x: Tensor) -> Tensor:
        """(B, R, C) without a gradient, for contiguous x (B, N, C), or (B, N / 2, C) as it was before un-pooling."""
        B, M, C = x.shape
        index, start, weight = self._tile(B, self.columns // M, x.dtype)
        rows = nn.functional.embedding_bag(index, x.view(B * M, C), start, mode="sum", per_sample_weights=weight)
        return rows.view(B, self.rows, C)

    def _tile(self, count: int, siblings: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """Columns, row starts and weights of `count` such matrices along a diagonal.

        `siblings` nodes in a row share a column: they have the same value. Kept, for a run asks for the same few again
        and again.
        """
        key = (count, siblings, dtype)
        if key not in self._tiles:
            with torch.inference_mode(False):
                sample = torch.arange(count, dtype=torch.int32, device=self.index.device)[:, None]
                index = self.index // siblings + sample * (self.columns // siblings)
                start = self.start + sample * len(self.index)
                self._tiles[key] = index.flatten(), start.flatten(), self.weight.to(dtype).repeat(count)
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
    """y = Σ_k T_k(L) x W_k + b, a few samples at a time, keeping nothing but x for the backward pass.

    T_k(L) is symmetric and commutes with W_k. So it is applied to x W_k where that is narrower than x, or where x is to
    be un-pooled: W_k then meets half the nodes. And the backward pass is a convolution of the gradient g, with no term
    of the forward pass in it: ∂W_k = xᵀ T_k(L) g and ∂x = Σ_k T_k(L) g W_kᵀ.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, laplacian: GraphLaplacian) -> Tensor:
        """x is (B, N, C_in), or (B, N / 2, C_in) where it is to be un-pooled; `weight` (K, C_in, C_out)."""
        ctx.save_for_backward(x, weight)
        ctx.laplacian = laplacian
        weight, bias = weight.to(x.dtype), bias.to(x.dtype)
        C_in, C_out = weight.shape[1:]
        convolve = _clenshaw if x.shape[1] < laplacian.size or C_out < C_in else _powers
        y = x.new_empty(len(x), laplacian.size, C_out)
        for part in _parts(y, C_in):
            convolve(x[part], weight, bias, laplacian, y[part])
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors
        gradient = gradient.contiguous()
        x_gradient = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        weight_gradient, bias_gradient = torch.zeros_like(weight), torch.zeros_like(weight[0, 0])
        narrow = weight.to(x.dtype)
        for part in _parts(gradient, weight.shape[1]):
            rows = x[part].flatten(0, 1)
            for k, term in enumerate(_terms(gradient[part], ctx.laplacian, len(weight))):
                g = _pool(term, x.shape[1]).flatten(0, 1)
                if k == 0:
                    bias_gradient += g.sum(0)
                weight_gradient[k] += rows.T @ g
                if x_gradient is not None:
                    into = x_gradient[part].flatten(0, 1)
                    torch.addmm(into, g, narrow[k].T, beta=int(k > 0), out=into)
        return x_gradient, weight_gradient, bias_gradient, None


def _parts(y: Tensor, channels: int) -> list[slice]:
    """Slices of a batch y (B, N, C) in which a convolution's terms, as wide as y or `channels`, fit into the cache."""
    B, N, C = y.shape
    if y.device.type != "cpu":
        return [slice(None)]
    count = max(1, CACHE_BYTES // (N * max(C, channels) * y.element_size()))
    return [slice(start, start + count) for start in range(0, B, count)]


def _terms(x: Tensor, laplacian: GraphLaplacian, order: int) -> Iterator[Tensor]:
    """T_k(L) x, each (B, N, C), for k from 0 to K − 1: x, L x, then 2 L T_{k−1} x − T_{k−2} x."""
    before, term = x, x
    for k in range(order):
        if k == 1:
            term = laplacian.product(x)
        elif k > 1:
            before, term = term, laplacian.product(term).mul_(2).sub_(before)
        yield term


def _powers(x: Tensor, weight: Tensor, bias: Tensor, laplacian: GraphLaplacian, y: Tensor) -> None:
    """Write Σ_k (T_k(L) x) W_k + b to y."""
    into = y.flatten(0, 1)
    for k, term in enumerate(_terms(x, laplacian, len(weight))):
        torch.addmm(into if k else bias, term.flatten(0, 1), weight[k], out=into)


def _clenshaw(x: Tensor, weight: Tensor, bias: Tensor, laplacian: GraphLaplacian, y: Tensor) -> None:
    """Write Σ_k T_k(L) (x W_k) + b to y, x un-pooled on the way.

    Clenshaw's recurrence: c_k = x W_k + 2 L c_{k+1} − c_{k+2} from the last k down to 1, then x W_0 + L c_1 − c_2.
    """
    later, last = None, None
    for k in range(len(weight) - 1, -1, -1):
        term = torch.addmm(bias, x.flatten(0, 1), weight[k]) if k == 0 else x.flatten(0, 1) @ weight[k]
        term = term.view(len(x), x.shape[1], -1)
        if last is not None:
            product = laplacian.product(last)
            _add_unpooled(product.mul_(2) if k else product, term)
            if later is not None:
                _add_unpooled(product, later, -1)
            term = product
        later, last = last, term
    assert last is not None
    _add_unpooled(y.zero_(), last)


def _add_unpooled(x: Tensor, term: Tensor, factor: int = 1) -> None:
    """Add a term (B, N or N / 2, C) to x (B, N, C), each node of a coarser term to its two children."""
    B, M, C = term.shape
    x.view(B, M, -1, C).add_(term[:, :, None], alpha=factor)


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
        total = x.clone()
        _add_unpooled(total, term)
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

    def forward(self, x: Tensor, laplacian: GraphLaplacian) -> Tensor:
        """(B, N, C_in), or (B, N / 2, C_in) to be un-pooled by a repeat of 2 → (B, N, C_out)."""
        if not torch.is_grad_enabled() and len(x) * laplacian.size * x.shape[2] <= FEW_NUMBERS:
            terms = laplacian.polynomials(self.order).product(x.contiguous())
            return cast(Tensor, self.linear(terms.view(len(x), laplacian.size, -1)))
        weight, bias = self.linear.weight, self.linear.bias
        by_order = weight.view(len(weight), self.order, -1).permute(1, 2, 0)  # (K, C_in, C_out)
        device = x.device.type
        if torch.is_autocast_enabled(device):
            x = x.to(torch.get_autocast_dtype(device))
        return cast(Tensor, _Convolution.apply(x.contiguous(), by_order, bias, laplacian))
