"""Spectral graph convolution with Chebyshev polynomials of the Laplacian (Defferrard et al. 2016).

Tensors are (B, N, C). A convolution is one sparse product with all its polynomials and one dense product with all its
weights, a few samples and nodes at a time, so that its terms stay in the processor's cache and are never kept:
`docs/performance.md` says why, with measurements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, cast

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from pose2mesh.errors import InputError
from pose2mesh.graph.laplacian import chebyshev_polynomials
from pose2mesh.products import linear

# On a CPU, what the terms of a convolution may take at a time, and how many nodes of one sample have theirs at a time.
CACHE_BYTES = 2**21
BLOCK_NODES = 4096


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
        self._tiles: dict[tuple[int, torch.dtype], tuple[Tensor, Tensor, Tensor]] = {}

    def _apply(self, fn: Any, recurse: bool = True) -> FixedSparse:
        self._forget()
        super()._apply(fn, recurse)
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_tiles": {}}

    def product(self, x: Tensor) -> Tensor:
        """(B, R, C) without a gradient, for contiguous x (B, N, C)."""
        B, N, C = x.shape
        index, start, weight = self._tile(B, x.dtype)
        rows = nn.functional.embedding_bag(index, x.view(B * N, C), start, mode="sum", per_sample_weights=weight)
        return rows.view(B, self.rows, C)

    def _tile(self, count: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """Columns, row starts and weights of `count` such matrices along a diagonal.

        Kept, for a run asks for the same few again and again.
        """
        key = (count, dtype)
        if key not in self._tiles:
            with torch.inference_mode(False):
                sample = torch.arange(count, dtype=torch.int32, device=self.index.device)[:, None]
                index, start = self.index + sample * self.columns, self.start + sample * len(self.index)
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
        self._polynomials: dict[tuple[int, int, str], list[FixedSparse]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_polynomials": {}}

    def dense(self) -> Tensor:
        """(N, N) as an ordinary matrix."""
        return self.product(torch.eye(self.size, dtype=self.weight.dtype, device=self.weight.device)[None])[0]

    def as_scipy(self) -> sp.csr_array:
        """(N, N)."""
        start = np.append(self.start.cpu().numpy(), len(self.index))
        return sp.csr_array((self.weight.double().cpu().numpy(), self.index.cpu().numpy(), start), (self.size,) * 2)

    def terms(self, order: int, nodes: int) -> list[FixedSparse]:
        """What makes all terms T_k(L) x, k < K, of an input (B, N, C): the rows of so many nodes, K a node, in blocks
        of nodes. Where `nodes` is N / 2, they are the sums over siblings: un-pooling's transpose.
        """

        def build() -> list[sp.csr_array]:
            matrix = self._stacked(order, nodes)
            rows = order * (BLOCK_NODES if self.index.device.type == "cpu" else nodes)
            return [matrix[start : start + rows] for start in range(0, matrix.shape[0], rows)]

        return self._built((order, nodes, "terms"), build)

    def sum_of_terms(self, order: int, nodes: int) -> FixedSparse:
        """What makes Σ_k T_k(L) x_k of inputs x (B, nodes · K, C), those of one node in a row; where there are N / 2
        nodes, they are un-pooled on the way: node i's children are 2i and 2i + 1.
        """
        return self._built((order, nodes, "sum"), lambda: [sp.csr_array(self._stacked(order, nodes).T)])[0]

    def _stacked(self, order: int, nodes: int) -> sp.csr_array:
        """(nodes · K, N) the polynomials' rows, those of siblings added up where `nodes` is N / 2."""
        siblings = sp.kron(sp.eye_array(nodes), np.ones((1, self.size // nodes)))
        return sp.csr_array(sp.kron(siblings, sp.eye_array(order)) @ chebyshev_polynomials(self.as_scipy(), order))

    def _built(self, key: tuple[int, int, str], build: Callable[[], list[sp.csr_array]]) -> list[FixedSparse]:
        """The matrices of a name, built once."""
        if key not in self._polynomials:
            with torch.inference_mode(False):
                built = [FixedSparse(matrix, self.weight.dtype).to(self.index.device) for matrix in build()]
            self._polynomials[key] = built
        return self._polynomials[key]


class Pending(NamedTuple):
    """Numbers before ReLU, and what they can be computed from again: a convolution that is given them applies ReLU, and
    keeps none of its input for the backward pass.

    Attributes:
        values: (B, N, C) source · scale + shift.
        source: (B, N, C), which is kept anyway, for the backward pass of the norm that made the values.
        scale, shift: (C,), without a gradient.
    """

    values: Tensor
    source: Tensor
    scale: Tensor
    shift: Tensor


class _Convolution(torch.autograd.Function):
    """`_convolve`, keeping nothing but x for the backward pass, or what x can be computed from again.

    T_k(L) is symmetric, so that the backward pass is a convolution of the gradient g, with no term of the forward pass
    in it: ∂W_k = xᵀ T_k(L) g and ∂x = Σ_k T_k(L) g W_kᵀ.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, laplacian: GraphLaplacian, *again: Tensor) -> Tensor:
        """As `_convolve`, of ReLU of x where `again` is the source, scale and shift that it can be computed from."""
        ctx.save_for_backward(weight, *(again or (x,)))
        ctx.laplacian = laplacian
        return _convolve(x.relu() if again else x, weight, bias, laplacian)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        weight, x, *again = ctx.saved_tensors
        C_in, C_out = x.shape[-1], len(weight)
        by_order = weight.view(C_out, -1, C_in)
        to_input = by_order.permute(2, 1, 0).reshape(C_in, -1).to(x.dtype)  # (C_in, K · C_out)
        x_gradient = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        weight_gradient = torch.zeros_like(weight).view(-1, C_in)
        for part, terms in _terms(gradient.contiguous(), ctx.laplacian, by_order.shape[1], x.shape[1]):
            rows = x[part].reshape(-1, C_in)
            if again:
                scale, shift = again
                rows = torch.addcmul(shift, rows, scale).relu_().to(x.dtype)
            weight_gradient += linear(terms.T, rows.T)
            if x_gradient is not None:
                found = linear(terms, to_input)
                x_gradient[part] = (found.mul_(rows > 0) if again else found).view_as(x[part])
        weight_gradient = weight_gradient.view(-1, C_out, C_in).transpose(0, 1).reshape_as(weight)
        bias_gradient = gradient.sum((0, 1)).to(weight.dtype)
        return x_gradient, weight_gradient, bias_gradient, None, *(None for _ in ctx.needs_input_grad[4:])


def _convolve(x: Tensor, weight: Tensor, bias: Tensor, laplacian: GraphLaplacian, relu: bool = False) -> Tensor:
    """y = Σ_k T_k(L) x W_k + b, (B, N, C_out), without a gradient.

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
    B, M, C_in = x.shape
    C_out, order = len(weight), weight.shape[1] // C_in
    y = x.new_empty(B, laplacian.size, C_out)
    if laplacian.size == M and C_in <= C_out:
        for part, terms in _terms(x, laplacian, order, M):
            y[part] = linear(terms, weight, bias, relu).view_as(y[part])
        return y
    by_order = weight.view(C_out, order, C_in).transpose(0, 1).reshape(-1, C_in)  # (K · C_out, C_in)
    of_first = nn.functional.pad(bias, (0, (order - 1) * C_out))  # T_0 is the identity
    add_up = laplacian.sum_of_terms(order, M)
    for samples in _samples(x, order * C_out * M):
        products = linear(x[samples].view(-1, C_in), by_order, of_first)
        rows = add_up.product(products.view(-1, M * order, C_out))
        torch.clamp(rows, 0 if relu else -torch.inf, out=y[samples])
    return y


def _terms(
    x: Tensor, laplacian: GraphLaplacian, order: int, nodes: int
) -> Iterator[tuple[tuple[slice, slice], Tensor]]:
    """Samples and nodes, a few at a time, and their terms T_k(L) x side by side, a node in a row: (B · N, K · C)."""
    blocks, C = laplacian.terms(order, nodes), x.shape[-1]
    for samples in _samples(x, order * C * min(nodes, BLOCK_NODES)):
        first = 0
        for block in blocks:
            last = first + block.rows // order
            yield (samples, slice(first, last)), block.product(x[samples]).view(-1, order * C)
            first = last


def _samples(x: Tensor, numbers: int) -> list[slice]:
    """Slices of a batch x (B, N, C), with so many numbers to be held for a sample, that fit into the cache."""
    if x.device.type != "cpu":
        return [slice(None)]
    count = max(1, CACHE_BYTES // (numbers * x.element_size()))
    return [slice(start, start + count) for start in range(0, len(x), count)]


def _pool(x: Tensor, size: int) -> Tensor:
    """x (B, N, C), or where `size` is N / 2 the sums (B, N / 2, C) of siblings: the transpose of un-pooling."""
    if x.shape[1] == size:
        return x
    pairs = x.view(len(x), size, 2, -1)
    return pairs[:, :, 0] + pairs[:, :, 1]  # five times as fast as a sum over the pairs


class _ReluSum(torch.autograd.Function):
    """`relu_sum`, of which the backward pass only needs to know which numbers were positive."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, term: Tensor) -> Tensor:
        B, M, C = term.shape
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(x > 0)
            ctx.size = M
        total = x.relu()
        total.view(B, M, -1, C).add_(term[:, :, None])
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        (positive,) = ctx.saved_tensors
        return gradient * positive, _pool(gradient.contiguous(), ctx.size)


def relu_sum(x: Tensor, term: Tensor) -> Tensor:
    """x (B, N, C), its negative numbers replaced by 0, plus a term that has as many nodes, or half as many: those are
    repeated, node i's children being 2i and 2i + 1.
    """
    return cast(Tensor, _ReluSum.apply(x, term))


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

    def forward(self, x: Tensor | Pending, laplacian: GraphLaplacian, relu: bool = False) -> Tensor:
        """(B, N, C_in), or (B, N / 2, C_in) to be un-pooled by a repeat of 2 → (B, N, C_out), clipped at 0 if asked."""
        weight, bias = self.linear.weight, self.linear.bias
        again: tuple[Tensor, ...] = ()
        if isinstance(x, Pending):
            x, *again = x  # type: ignore[assignment]
        device = x.device.type
        if torch.is_autocast_enabled(device):
            x = x.to(torch.get_autocast_dtype(device))
        x = x.contiguous()
        if not torch.is_grad_enabled():
            return _convolve(x.relu() if again else x, weight, bias, laplacian, relu)
        y = cast(Tensor, _Convolution.apply(x, weight, bias, laplacian, *again))
        return y.relu() if relu else y
