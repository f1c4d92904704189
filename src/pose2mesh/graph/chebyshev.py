"""Spectral graph convolution with Chebyshev polynomials of the Laplacian (Defferrard et al. 2016).

Tensors are node-major, (N, B, C): a sparse product then runs over rows of B·C numbers and the linear layer over rows of
C, neither with a permutation.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from scipy.sparse.linalg import eigsh
from torch import Tensor, nn

from pose2mesh.errors import InputError

# Factor on L / λmax, before I is taken off.
_SCALINGS = {"unit": 2.0, "published": 0.5}


def rescaled_laplacian(adjacency: sp.csr_array, scaling: str = "unit") -> sp.csr_array:
    """The normalised Laplacian I − D^(−½) A D^(−½), rescaled for the Chebyshev recursion.

    Nodes without edges (padding) get an empty row: nothing flows to or from them.

    Args:
        adjacency: (N, N) symmetric weights.
        scaling: `unit` maps the spectrum to [−1, 1], where the recursion is stable: 2 L / λmax − I. `published` is what
            the weights released with Pose2Mesh were trained with, L / (2 λmax) − I, whose spectrum is [−1, −½].

    Returns:
        (N, N) float32, symmetric.

    Raises:
        InputError: the scaling is not known.
    """
    if scaling not in _SCALINGS:
        raise InputError(f"spectrum {scaling!r} is not known; expected one of {', '.join(_SCALINGS)}")
    degree = np.asarray(adjacency.sum(axis=1)).ravel()
    connected = (degree > 0).astype(np.float64)
    inverse_root = np.where(degree > 0, 1 / np.sqrt(np.maximum(degree, 1e-300)), 0)
    normalised = sp.diags_array(connected) - sp.diags_array(inverse_root) @ adjacency @ sp.diags_array(inverse_root)
    if not connected.any():  # a hierarchy can end in single nodes
        return sp.csr_array(adjacency.shape, dtype=np.float32)
    factor = _SCALINGS[scaling] / _largest_eigenvalue(normalised)
    rescaled = sp.csr_array(normalised * factor - sp.diags_array(connected))
    rescaled.eliminate_zeros()
    rescaled.sort_indices()
    return rescaled.astype(np.float32)


def _largest_eigenvalue(matrix: sp.csr_array) -> float:
    """Of a positive semi-definite matrix."""
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
        gradient = gradients[0].contiguous()
        with torch.autocast(gradient.device.type, enabled=False):  # backward may be called inside autocast
            return None, ctx.laplacian @ gradient


class GraphLaplacian(nn.Module):
    """A fixed sparse Laplacian that moves with the module it belongs to. It is built from the graph, not trained: its
    arrays are not in the state dict.

    Args:
        laplacian: (N, N) symmetric.
    """

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

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_cached": None}  # torch cannot copy sparse rows: a copy builds its own

    @property
    def matrix(self) -> Tensor:
        """(N, N) in compressed rows, float32 or float64; built once after every move."""
        if self._cached is None:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
                # There are no sparse kernels for half precision on the CPU.
                value = self.value if self.value.dtype == torch.float64 else self.value.float()
                self._cached = torch.sparse_csr_tensor(
                    self.crow, self.col, value, (self.size, self.size), check_invariants=False
                )
        return self._cached

    def forward(self, x: Tensor) -> Tensor:
        """L · x for x (N, B, C), in the dtype of x."""
        # Half precision would save little here: the product is bound by memory, not arithmetic.
        with torch.autocast(x.device.type, enabled=False):
            flat = x.reshape(x.shape[0], -1).to(self.matrix.dtype)
            return _SymmetricProduct.apply(self.matrix, flat).reshape(x.shape).to(x.dtype)


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
        """(N, B, C_in) → (N, B, C_out)."""
        terms = [x]
        if self.order > 1:
            terms.append(laplacian(x))
        for _ in range(2, self.order):
            terms.append(2 * laplacian(terms[-1]) - terms[-2])
        return self.linear(torch.cat(terms, dim=-1))
