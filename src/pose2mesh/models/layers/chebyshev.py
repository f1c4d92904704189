"""Chebyshev graph convolution as the papers write it (Defferrard et al. 2016, equation 5; Choi et al. 2020, section 4).

y = Σ_k T_k(L) x W_k + b for k = 0, …, K − 1, where L is the rescaled Laplacian of a graph of N nodes, T_k are the
Chebyshev polynomials and W_k and b are learnt.

This is the readable form. The networks run `models.layers.chebyshev_fused.FusedChebyshevConvolution`, which computes
the same function and the same gradients several times as fast, has the same state dict, and is tested against this one.
"""

from __future__ import annotations

import scipy.sparse as sp
import torch
from torch import Tensor, nn

from pose2mesh.errors import InputError


class ChebyshevConvolution(nn.Module):
    """y = Σ_k T_k(L) x W_k + b, with T_0 = I, T_1 = L, T_k = 2 L T_{k−1} − T_{k−2}.

    Args:
        in_channels, out_channels: C of input and output.
        order: K, the number of polynomials, at least 1; a node receives from nodes at most K − 1 edges away.

    The linear layer's input is all channels of T_0(L) x, then all of T_1(L) x, and so on.

    Raises:
        InputError: the order is less than 1.
    """

    def __init__(self, in_channels: int, out_channels: int, order: int = 3) -> None:
        super().__init__()
        self.order = order
        self.linear = initial_linear(in_channels, out_channels, order)

    def forward(self, x: Tensor, laplacian: Tensor) -> Tensor:
        """(B, N, C_in) → (B, N, C_out), for a Laplacian (N, N) in coordinate format."""
        B, N, C = x.shape
        # Not under autocast: there is no sparse product in half precision on the CPU.
        with torch.autocast(x.device.type, enabled=False):
            terms = [x.to(laplacian.dtype).permute(1, 2, 0).reshape(N, C * B)]
            if self.order > 1:
                terms.append(torch.sparse.mm(laplacian, terms[0]))
            for _ in range(2, self.order):
                terms.append(2 * torch.sparse.mm(laplacian, terms[-1]) - terms[-2])
        rows = torch.stack(terms).view(self.order, N, C, B).permute(3, 1, 0, 2).reshape(B * N, self.order * C)
        return self.linear(rows).view(B, N, -1)


def initial_linear(in_channels: int, out_channels: int, order: int) -> nn.Linear:
    """The weights W_k side by side, (C_out, K · C_in), uniform within the published bound, and a bias of zeros.

    Raises:
        InputError: the order is less than 1.
    """
    if order < 1:
        raise InputError(f"chebyshev_order is {order}, expected at least 1")
    linear = nn.Linear(order * in_channels, out_channels)
    bound = (2 / (order * in_channels + out_channels)) ** 0.5
    nn.init.uniform_(linear.weight, -bound, bound)
    nn.init.zeros_(linear.bias)
    return linear


def coordinates(matrix: sp.csr_array) -> Tensor:
    """A sparse matrix as a tensor in coordinate format, float32."""
    entries = matrix.tocoo()
    index = torch.stack([torch.from_numpy(entries.row).long(), torch.from_numpy(entries.col).long()])
    values = torch.from_numpy(entries.data).float()
    return torch.sparse_coo_tensor(index, values, matrix.shape, check_invariants=True).coalesce()
