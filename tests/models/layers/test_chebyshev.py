"""The textbook convolution against its formula in dense algebra, and the fused one against the textbook."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch
import trimesh

from pose2mesh.errors import InputError
from pose2mesh.graph.coarsening import build_hierarchy
from pose2mesh.graph.laplacian import rescaled_laplacian
from pose2mesh.models.layers.chebyshev import ChebyshevConvolution, coordinates
from pose2mesh.models.layers.chebyshev_fused import FusedChebyshevConvolution, GraphLaplacian


@pytest.fixture(scope="module")
def laplacian() -> sp.csr_array:
    """(N, N) of a weighted graph with padding nodes."""
    sphere = trimesh.creation.icosphere(2)
    return rescaled_laplacian(build_hierarchy(np.array(sphere.vertices), np.array(sphere.faces), 3).adjacency[1])


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_output_is_the_sum_over_polynomials(laplacian: sp.csr_array, order: int) -> None:
    torch.manual_seed(0)
    module, x = ChebyshevConvolution(3, 4, order).double(), torch.randn(2, laplacian.shape[0], 3, dtype=torch.float64)
    torch.nn.init.normal_(module.linear.bias)
    dense = torch.from_numpy(laplacian.toarray()).double()
    polynomials = [torch.eye(len(dense), dtype=torch.float64), dense]
    while len(polynomials) < order:
        polynomials.append(2 * dense @ polynomials[-1] - polynomials[-2])
    weights = module.linear.weight.split(3, dim=1)
    expected = sum(T @ x @ W.T for T, W in zip(polynomials, weights, strict=False)) + module.linear.bias
    torch.testing.assert_close(module(x, coordinates(laplacian).double()), expected)


@pytest.mark.parametrize("order", [1, 3, 4])
@pytest.mark.parametrize("widths", [(3, 4), (4, 3)], ids=["wider", "narrower"])
@pytest.mark.parametrize("unpool", [False, True], ids=["", "unpooled"])
def test_the_fused_one_has_the_same_output_and_gradients(
    laplacian: sp.csr_array, order: int, widths: tuple[int, int], unpool: bool
) -> None:
    torch.manual_seed(0)
    textbook, fused = ChebyshevConvolution(*widths, order).double(), FusedChebyshevConvolution(*widths, order).double()
    torch.nn.init.normal_(textbook.linear.bias)
    fused.load_state_dict(textbook.state_dict())
    N = laplacian.shape[0] // (1 + unpool)
    x = torch.randn(3, N, widths[0], dtype=torch.float64, requires_grad=True)
    expected = textbook(x.repeat_interleave(1 + unpool, dim=1), coordinates(laplacian).double())
    y = fused(x, GraphLaplacian(laplacian).double())
    torch.testing.assert_close(y, expected)
    direction = torch.randn_like(y)
    found = torch.autograd.grad(y, [x, *fused.parameters()], direction)
    for own, reference in zip(
        found, torch.autograd.grad(expected, [x, *textbook.parameters()], direction), strict=True
    ):
        torch.testing.assert_close(own, reference)


def test_both_start_from_the_same_weights() -> None:
    torch.manual_seed(0)
    textbook = ChebyshevConvolution(5, 4).state_dict()
    torch.manual_seed(0)
    for name, value in FusedChebyshevConvolution(5, 4).state_dict().items():
        assert torch.equal(value, textbook[name])


def test_order_must_be_positive() -> None:
    with pytest.raises(InputError, match="chebyshev_order is 0, expected at least 1"):
        ChebyshevConvolution(1, 1, 0)
