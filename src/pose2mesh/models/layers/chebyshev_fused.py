"""Fused Chebyshev graph convolution: the function of `models.layers.chebyshev`, computed in the processor's cache.

Tensors are (B, N, C). A convolution is one sparse product with all polynomials and one dense product with all weights,
for a few samples and nodes at a time, so that its terms T_k(L) x stay in the cache and are never stored. Forward and
backward pass are written out for autograd. `docs/performance.md` gives the reasons, with measurements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, cast

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from pose2mesh.graph.laplacian import chebyshev_polynomials
from pose2mesh.models.layers.chebyshev import initial_linear
from pose2mesh.models.layers.linear import linear

# On a CPU: bytes of the terms, and nodes of one sample, that are computed at a time.
CACHE_BYTES = 2**21
BLOCK_NODES = 4096


class FixedSparse(nn.Module):
    """A constant sparse matrix that moves between devices with its module; it is not in the state dict.

    Args:
        matrix: (R, N).
        dtype: Of its entries.
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
        self._clear_caches()

    def _clear_caches(self) -> None:
        self._tiles: dict[tuple[int, torch.dtype], tuple[Tensor, Tensor, Tensor]] = {}

    def _apply(self, fn: Any, recurse: bool = True) -> FixedSparse:
        self._clear_caches()
        super()._apply(fn, recurse)
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_tiles": {}}

    def product(self, x: Tensor) -> Tensor:
        """The product with contiguous x (B, N, C), (B, R, C), without a gradient."""
        B, N, C = x.shape
        index, start, weight = self._tile(B, x.dtype)
        rows = nn.functional.embedding_bag(index, x.view(B * N, C), start, mode="sum", per_sample_weights=weight)
        return rows.view(B, self.rows, C)

    def _tile(self, count: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """Columns, row starts and entries of the block-diagonal matrix of `count` copies.

        Cached, because a run uses the same few counts again and again.
        """
        key = (count, dtype)
        if key not in self._tiles:
            with torch.inference_mode(False):
                sample = torch.arange(count, dtype=torch.int32, device=self.index.device)[:, None]
                index, start = self.index + sample * self.columns, self.start + sample * len(self.index)
                self._tiles[key] = index.flatten(), start.flatten(), self.weight.to(dtype).repeat(count)
        return self._tiles[key]


class GraphLaplacian(FixedSparse):
    """The rescaled Laplacian of a graph, and the matrices of its Chebyshev polynomials, built on first use.

    Args:
        laplacian: (N, N) symmetric.
    """

    def __init__(self, laplacian: sp.csr_array) -> None:
        super().__init__(laplacian)
        self.size = laplacian.shape[0]

    def _clear_caches(self) -> None:
        super()._clear_caches()
        self._polynomials: dict[tuple[int, int, str], list[FixedSparse]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_polynomials": {}}

    def dense(self) -> Tensor:
        """The Laplacian (N, N) as a dense matrix."""
        return self.product(torch.eye(self.size, dtype=self.weight.dtype, device=self.weight.device)[None])[0]

    def as_scipy(self) -> sp.csr_array:
        """The Laplacian (N, N) as a SciPy matrix in float64."""
        start = np.append(self.start.cpu().numpy(), len(self.index))
        return sp.csr_array((self.weight.double().cpu().numpy(), self.index.cpu().numpy(), start), (self.size,) * 2)

    def terms(self, order: int, nodes: int) -> list[FixedSparse]:
        """Matrices that compute all terms T_k(L) x, k < K, of an input (B, N, C), in blocks of nodes.

        Args:
            order: K.
            nodes: N, or N / 2 for the sums over siblings, the transpose of un-pooling.

        Returns:
            Each (nodes of the block · K, N), with the K rows of a node together.
        """

        def build() -> list[sp.csr_array]:
            matrix = self._stacked(order, nodes)
            rows = order * (BLOCK_NODES if self.index.device.type == "cpu" else nodes)
            return [matrix[start : start + rows] for start in range(0, matrix.shape[0], rows)]

        return self._built((order, nodes, "terms"), build)

    def sum_of_terms(self, order: int, nodes: int) -> FixedSparse:
        """Matrix (N, nodes · K) that computes Σ_k T_k(L) x_k from x (B, nodes · K, C), the K rows of a node together.

        With `nodes` N / 2 it also un-pools: the children of node i are 2i and 2i + 1.
        """
        return self._built((order, nodes, "sum"), lambda: [sp.csr_array(self._stacked(order, nodes).T)])[0]

    def _stacked(self, order: int, nodes: int) -> sp.csr_array:
        """Rows (nodes · K, N) of the polynomials; where `nodes` is N / 2, the rows of siblings are added."""
        siblings = sp.kron(sp.eye_array(nodes), np.ones((1, self.size // nodes)))
        return sp.csr_array(sp.kron(siblings, sp.eye_array(order)) @ chebyshev_polynomials(self.as_scipy(), order))

    def _built(self, key: tuple[int, int, str], build: Callable[[], list[sp.csr_array]]) -> list[FixedSparse]:
        """The matrices of a key, built on first use."""
        if key not in self._polynomials:
            with torch.inference_mode(False):
                built = [FixedSparse(matrix, self.weight.dtype).to(self.index.device) for matrix in build()]
            self._polynomials[key] = built
        return self._polynomials[key]


class DeferredNorm(NamedTuple):
    """BatchNorm and ReLU, in training, of a convolution's output z, to be computed by the layer that reads it.

    That layer computes it for a few samples at a time, and again in the backward pass, so that of convolution, norm and
    ReLU only z is stored.

    Attributes:
        source: (B, N, C) z.
        weight, bias: (C,) parameters of the norm.
        mean, inverse_deviation: (C,) statistics of z over batch and nodes, without a gradient.
    """

    source: Tensor
    weight: Tensor
    bias: Tensor
    mean: Tensor
    inverse_deviation: Tensor

    def part(self, index: slice | tuple[slice, slice]) -> Tensor:
        """The values for some samples, or samples and nodes, in the dtype of z."""
        z, scale = self.source[index], self.weight * self.inverse_deviation
        return torch.addcmul(self.bias - self.mean * scale, z, scale).relu_().to(z.dtype)

    def backward(self, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of source, weight and bias; the first is written in place over the given gradient (B, N, C)."""
        scale, count = self.weight * self.inverse_deviation, gradient[:, :, 0].numel()
        bias_gradient, weight_gradient = torch.zeros_like(scale), torch.zeros_like(scale)
        parts = _samples(gradient, gradient.shape[1] * gradient.shape[2])
        for samples in parts:
            found = gradient[samples].mul_(self.part(samples) > 0)
            bias_gradient += found.sum((0, 1), dtype=scale.dtype)
            weight_gradient += (self.source[samples] - self.mean).mul_(found).sum((0, 1))
        weight_gradient *= self.inverse_deviation
        shift, by_deviation = scale * bias_gradient / count, scale * self.inverse_deviation * weight_gradient / count
        for samples in parts:
            centred = self.source[samples] - self.mean
            gradient[samples] = centred.mul_(-by_deviation).sub_(shift).addcmul_(gradient[samples], scale)
        return gradient, weight_gradient, bias_gradient


def _part(x: Tensor | DeferredNorm, index: slice | tuple[slice, slice]) -> Tensor:
    return x.part(index) if isinstance(x, DeferredNorm) else x[index]


class _Convolution(torch.autograd.Function):
    """`_convolve` for autograd; it saves only x, or the source of the `DeferredNorm` that x is.

    T_k(L) is symmetric, so the backward pass is a convolution of the gradient g and needs no term of the forward pass:
    ∂W_k = xᵀ T_k(L) g and ∂x = Σ_k T_k(L) g W_kᵀ.
    """

    @staticmethod
    def forward(ctx: Any, weight: Tensor, bias: Tensor, laplacian: GraphLaplacian, x: Tensor, *norm: Tensor) -> Tensor:
        """Convolve x, or `DeferredNorm(x, *norm)` where `norm` is given."""
        ctx.save_for_backward(weight, x, *norm)
        ctx.laplacian = laplacian
        return _convolve(DeferredNorm(x, *norm) if norm else x, weight, bias, laplacian)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        weight, x, *norm = ctx.saved_tensors
        normed = DeferredNorm(x, *norm) if norm else None
        C_in, C_out = x.shape[-1], len(weight)
        by_order = weight.view(C_out, -1, C_in)
        to_input = by_order.permute(2, 1, 0).reshape(C_in, -1).to(x.dtype)  # (C_in, K · C_out)
        x_gradient = torch.empty_like(x) if any(ctx.needs_input_grad[3:]) else None
        weight_gradient = torch.zeros_like(weight).view(-1, C_in)
        for part, terms in _terms(gradient.contiguous(), ctx.laplacian, by_order.shape[1], x.shape[1]):
            weight_gradient += linear(terms.T, _part(normed or x, part).reshape(-1, C_in).T)
            if x_gradient is not None:
                x_gradient[part] = linear(terms, to_input).view_as(x[part])
        weight_gradient = weight_gradient.view(-1, C_out, C_in).transpose(0, 1).reshape_as(weight)
        bias_gradient = gradient.sum((0, 1)).to(weight.dtype)
        if normed is None or x_gradient is None:
            return weight_gradient, bias_gradient, None, x_gradient, *(None for _ in norm)
        return weight_gradient, bias_gradient, None, *normed.backward(x_gradient), None, None


def _convolve(
    x: Tensor | DeferredNorm, weight: Tensor, bias: Tensor, laplacian: GraphLaplacian, relu: bool = False
) -> Tensor:
    """y = Σ_k T_k(L) x W_k + b, (B, N, C_out), without a gradient.

    T_k(L) and W_k commute. So T_k(L) is applied to x W_k where that is narrower than x, and where x is un-pooled: W_k
    is then multiplied with half the nodes.

    Args:
        x: (B, N, C_in), or (B, N / 2, C_in), which is un-pooled.
        weight: (C_out, K · C_in).
        bias: (C_out,).
        laplacian: (N, N).
        relu: Whether to apply a ReLU.
    """
    source = x.source if isinstance(x, DeferredNorm) else x
    weight, bias = weight.to(source.dtype), bias.to(source.dtype)
    B, M, C_in = source.shape
    C_out, order = len(weight), weight.shape[1] // C_in
    y = source.new_empty(B, laplacian.size, C_out)
    if laplacian.size == M and C_in <= C_out:
        for part, terms in _terms(x, laplacian, order, M):
            y[part] = linear(terms, weight, bias, relu).view_as(y[part])
        return y
    by_order = weight.view(C_out, order, C_in).transpose(0, 1).reshape(-1, C_in)  # (K · C_out, C_in)
    of_first = nn.functional.pad(bias, (0, (order - 1) * C_out))  # T_0 is the identity
    add_up = laplacian.sum_of_terms(order, M)
    for samples in _samples(source, order * C_out * M):
        products = linear(_part(x, samples).view(-1, C_in), by_order, of_first)
        rows = add_up.product(products.view(-1, M * order, C_out))
        torch.clamp(rows, 0 if relu else -torch.inf, out=y[samples])
    return y


def _terms(
    x: Tensor | DeferredNorm, laplacian: GraphLaplacian, order: int, nodes: int
) -> Iterator[tuple[tuple[slice, slice], Tensor]]:
    """Index of a few samples and nodes at a time, and their terms T_k(L) x side by side, (samples · nodes, K · C)."""
    source = x.source if isinstance(x, DeferredNorm) else x
    blocks, C = laplacian.terms(order, nodes), source.shape[-1]
    for samples in _samples(source, order * C * min(nodes, BLOCK_NODES)):
        first, of_samples = 0, _part(x, samples)
        for block in blocks:
            last = first + block.rows // order
            yield (samples, slice(first, last)), block.product(of_samples).view(-1, order * C)
            first = last


def _samples(x: Tensor, numbers: int) -> list[slice]:
    """Slices of a batch x (B, N, C) that fit into the cache, where one sample takes `numbers` numbers."""
    if x.device.type != "cpu":
        return [slice(None)]
    count = max(1, CACHE_BYTES // (numbers * x.element_size()))
    return [slice(start, start + count) for start in range(0, len(x), count)]


def _pool(x: Tensor, size: int) -> Tensor:
    """x (B, N, C), or with `size` N / 2 the sums (B, N / 2, C) over siblings: the transpose of un-pooling."""
    if x.shape[1] == size:
        return x
    pairs = x.view(len(x), size, 2, -1)
    return pairs[:, :, 0] + pairs[:, :, 1]  # five times as fast as a sum over the pairs


class _Values(torch.autograd.Function):
    """`values` for autograd; it saves only the source of the `DeferredNorm` that x is."""

    @staticmethod
    def forward(ctx: Any, plus: Tensor | None, x: Tensor, *norm: Tensor) -> Tensor:
        """x, or `DeferredNorm(x, *norm)` where `norm` is given, plus `plus`."""
        ctx.save_for_backward(*((x, *norm) if norm else ()))
        ctx.size = None if plus is None else plus.shape[1]
        read, total = DeferredNorm(x, *norm) if norm else x, torch.empty_like(x)
        for samples in _samples(x, x.shape[1] * x.shape[2]):
            total[samples] = _part(read, samples)
            if plus is not None:
                B, M, C = plus[samples].shape
                total[samples].view(B, M, -1, C).add_(plus[samples, :, None])
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        gradient = gradient.contiguous()
        to_plus = None if ctx.size is None else _pool(gradient, ctx.size)
        if not ctx.saved_tensors:
            return to_plus, gradient
        return to_plus, *DeferredNorm(*ctx.saved_tensors).backward(gradient.clone()), None, None


def values(x: Tensor | DeferredNorm, plus: Tensor | None = None) -> Tensor:
    """x (B, N, C) as a tensor, plus `plus` (B, N, C), or (B, N / 2, C), which is un-pooled: node i's children are 2i
    and 2i + 1.
    """
    return cast(Tensor, _Values.apply(plus, *(x if isinstance(x, DeferredNorm) else (x,))))


class FusedChebyshevConvolution(nn.Module):
    """The same function as `models.layers.chebyshev.ChebyshevConvolution`, with the same arguments and state dict.

    Its forward and backward passes are `_Convolution`, without intermediate tensors for the terms.

    Raises:
        InputError: the order is less than 1.
    """

    def __init__(self, in_channels: int, out_channels: int, order: int = 3) -> None:
        super().__init__()
        self.order = order
        self.linear = initial_linear(in_channels, out_channels, order)

    def forward(self, x: Tensor | DeferredNorm, laplacian: GraphLaplacian, relu: bool = False) -> Tensor:
        """(B, N, C_in) → (B, N, C_out); an input (B, N / 2, C_in) is un-pooled, each node repeated for both children.

        Args:
            x: The input.
            laplacian: (N, N).
            relu: Whether to apply a ReLU to the output.
        """
        weight, bias = self.linear.weight, self.linear.bias
        if isinstance(x, Tensor):
            device = x.device.type
            if torch.is_autocast_enabled(device):
                x = x.to(torch.get_autocast_dtype(device))
            x = x.contiguous()
        if not torch.is_grad_enabled():
            return _convolve(x, weight, bias, laplacian, relu)
        read = x if isinstance(x, DeferredNorm) else (x,)
        y = cast(Tensor, _Convolution.apply(weight, bias, laplacian, *read))
        return y.relu() if relu else y
