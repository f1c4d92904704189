"""Spectral graph convolution with Chebyshev polynomials of the Laplacian (Defferrard et al. 2016).

Tensors are node-major, (V, B, C): a sparse product then runs over rows of B·C numbers and the linear layer over rows of C,
neither with a permutation.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from scipy.sparse.linalg import eigsh
from torch import Tensor, nn


def rescaled_laplacian(adjacency: sp.csr_array, scaling: str = "unit") -> sp.csr_array:
    """The normalised Laplacian I − D^(−½) A D^(−½), rescaled for the Chebyshev recursion.

    Nodes without edges (padding) get an empty row: they take part in nothing.

    Args:
        adjacency: (N, N) symmetric weights.
        scaling: `unit` maps the spectrum to [−1, 1], where the recursion is stable: 2 L / λmax − I. `published` is what
            the weights released with Pose2Mesh were trained with, L / (2 λmax) − I, whose spectrum is [−1, −½].

    Returns:
        (N, N) float32.
    """
    degree = np.asarray(adjacency.sum(axis=1)).ravel()
    connected = (degree > 0).astype(np.float64)
    inverse_root = np.where(degree > 0, 1 / np.sqrt(np.maximum(degree, 1e-300)), 0)
    normalised = sp.diags_array(connected) - sp.diags_array(inverse_root) @ adjacency @ sp.diags_array(inverse_root)
    factor = {"unit": 2.0, "published": 0.5}[scaling]
    rescaled = sp.csr_array(normalised * (factor / _largest_eigenvalue(normalised)) - sp.diags_array(connected))
    rescaled.eliminate_zeros()
    rescaled.sort_indices()
    return rescaled.astype(np.float32)


def _largest_eigenvalue(matrix: sp.csr_array) -> float:
    if matrix.shape[0] < 64:
        return float(np.linalg.eigvalsh(matrix.toarray())[-1])
    start = np.random.default_rng(0).random(matrix.shape[0])  # a fixed start: the same value on every run
    return float(eigsh(matrix, k=1, which="LM", v0=start, return_eigenvectors=False)[0])


class _SymmetricProduct(torch.autograd.Function):
    """Sparse L times a dense matrix; L is symmetric, so the gradient is L times the gradient."""

    @staticmethod
    def forward(ctx: Any, laplacian: Tensor, x: Tensor) -> Tensor:
        ctx.laplacian = laplacian
        return laplacian @ x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        return None, ctx.laplacian @ gradients[0].contiguous()


class GraphLaplacian(nn.Module):
    """A fixed sparse Laplacian that travels with the module it belongs to; its arrays are in the state dict."""

    crow: Tensor
    col: Tensor
    value: Tensor

    def __init__(self, laplacian: sp.csr_array) -> None:
        super().__init__()
        self.size = laplacian.shape[0]
        self.register_buffer("crow", torch.from_numpy(laplacian.indptr.astype(np.int32)), persistent=False)
        self.register_buffer("col", torch.from_numpy(laplacian.indices.astype(np.int32)), persistent=False)
        self.register_buffer("value", torch.from_numpy(laplacian.data.astype(np.float32)), persistent=False)
        self._cached: Tensor | None = None

    def _apply(self, fn: Any, recurse: bool = True) -> GraphLaplacian:
        self._cached = None
        super()._apply(fn, recurse)
        return self

    @property
    def matrix(self) -> Tensor:
        """(N, N) in compressed rows, built once per device."""
        if self._cached is None:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
                self._cached = torch.sparse_csr_tensor(
                    self.crow, self.col, self.value, (self.size, self.size), check_invariants=False
                )
        return self._cached

    def forward(self, x: Tensor) -> Tensor:
        """L · x for x (V, B, C)."""
        # bf16 has no sparse kernel on the CPU; the product is bound by memory, not arithmetic, so float32 costs little.
        with torch.autocast(x.device.type, enabled=False):
            flat = x.reshape(x.shape[0], -1).float()
            return _SymmetricProduct.apply(self.matrix, flat).reshape(x.shape).to(x.dtype)


class ChebyshevConvolution(nn.Module):
    """y = Σ_k T_k(L) x W_k + b, with T_0 = I, T_1 = L, T_k = 2 L T_{k−1} − T_{k−2}.

    Args:
        in_channels, out_channels: C of input and output.
        order: K, the number of polynomials; a node sees its K − 1 ring.
    """

    def __init__(self, in_channels: int, out_channels: int, order: int = 3) -> None:
        super().__init__()
        self.order = order
        self.linear = nn.Linear(order * in_channels, out_channels)
        bound = (2 / (order * in_channels + out_channels)) ** 0.5
        nn.init.uniform_(self.linear.weight, -bound, bound)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor, laplacian: GraphLaplacian) -> Tensor:
        """(V, B, C_in) → (V, B, C_out)."""
        terms = [x]
        if self.order > 1:
            terms.append(laplacian(x))
        for _ in range(2, self.order):
            terms.append(2 * laplacian(terms[-1]) - terms[-2])
        return self.linear(torch.cat(terms, dim=-1))
