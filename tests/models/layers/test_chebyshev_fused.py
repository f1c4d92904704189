"""The fused convolution against dense algebra in float64."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import scipy.sparse as sp
import torch
import trimesh
from torch import Tensor

from pose2mesh.errors import InputError
from pose2mesh.graph.coarsening import build_hierarchy
from pose2mesh.graph.laplacian import rescaled_laplacian
from pose2mesh.models.layers import chebyshev_fused
from pose2mesh.models.layers.chebyshev_fused import DeferredNorm, FusedChebyshevConvolution, GraphLaplacian, values


def _padded() -> sp.csr_array:
    """A weighted graph with padding nodes."""
    sphere = trimesh.creation.icosphere(2)
    return build_hierarchy(np.array(sphere.vertices), np.array(sphere.faces), 3).adjacency[1]


PADDED = _padded()
PATH = sp.csr_array(sp.diags_array([np.ones(9), np.ones(9)], offsets=[-1, 1]))


def dense_convolution(module: FusedChebyshevConvolution, laplacian: Tensor, x: Tensor) -> Tensor:
    """y = Σ_k T_k(L) x W_k + b written out with dense polynomials, in float64."""
    size, channels = len(laplacian), x.shape[-1]
    polynomials = [torch.eye(size, dtype=torch.float64), laplacian]
    while len(polynomials) < module.order:
        polynomials.append(2 * laplacian @ polynomials[-1] - polynomials[-2])
    y = module.linear.bias.double()
    for k in range(module.order):
        weight = module.linear.weight[:, k * channels : (k + 1) * channels].double()
        y = y + torch.einsum("nm,bmc,oc->bno", polynomials[k], x.double(), weight)
    return y


# Convolution


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("scaling", ["unit", "published"])
@pytest.mark.parametrize("widths", [(3, 4), (4, 3)], ids=["wider", "narrower"])
@pytest.mark.parametrize("unpool", [False, True], ids=["", "unpooled"])
@pytest.mark.parametrize("cut", [(2**22, 1000), (1, 7)], ids=["at once", "by sample and nodes"])
def test_convolution_and_its_gradients_are_the_dense_ones(
    order: int,
    scaling: str,
    widths: tuple[int, int],
    unpool: bool,
    cut: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chebyshev_fused, "CACHE_BYTES", cut[0])
    monkeypatch.setattr(chebyshev_fused, "BLOCK_NODES", cut[1])
    torch.manual_seed(0)
    sparse = rescaled_laplacian(PADDED, scaling)
    N = sparse.shape[0]
    laplacian = GraphLaplacian(sparse).double()
    module = FusedChebyshevConvolution(*widths, order).double()
    torch.nn.init.normal_(module.linear.bias)
    x = torch.randn(3, N // 2 if unpool else N, widths[0], dtype=torch.float64, requires_grad=True)
    wanted = [x, module.linear.weight, module.linear.bias]

    y = module(x, laplacian)
    repeated = x.repeat_interleave(2, dim=1) if unpool else x
    expected = dense_convolution(module, torch.from_numpy(sparse.toarray()).double(), repeated)
    assert y.shape == (3, N, widths[1])
    assert torch.allclose(y, expected, atol=1e-12)
    with torch.no_grad():
        assert torch.allclose(module(x, laplacian, relu=True), expected.relu(), atol=1e-12)
    direction = torch.randn_like(y)
    for own, reference in zip(
        torch.autograd.grad(y, wanted, direction), torch.autograd.grad(expected, wanted, direction), strict=True
    ):
        assert torch.allclose(own, reference, atol=1e-11)


def test_convolution_in_float32_is_near_the_dense_one() -> None:
    torch.manual_seed(0)
    sparse = rescaled_laplacian(PADDED)
    module, x = FusedChebyshevConvolution(8, 6, 3), torch.randn(3, sparse.shape[0], 8)
    expected = dense_convolution(module, torch.from_numpy(sparse.toarray()).double(), x)
    y = module(x, GraphLaplacian(sparse))
    assert y.dtype == torch.float32
    assert (y - expected).abs().max() < 1e-5


def test_weights_start_within_the_published_bound() -> None:
    torch.manual_seed(0)
    linear = FusedChebyshevConvolution(5, 32, 3).linear
    bound = (2 / (15 + 32)) ** 0.5
    assert linear.weight.shape == (32, 15)
    assert 0.9 * bound < linear.weight.abs().max() <= bound
    assert not linear.bias.any()


def test_order_must_be_positive() -> None:
    with pytest.raises(InputError, match="chebyshev_order is 0, expected at least 1"):
        FusedChebyshevConvolution(1, 1, 0)


def test_padding_nodes_give_and_take_nothing() -> None:
    torch.manual_seed(0)
    real = torch.from_numpy(np.flatnonzero(np.asarray(PADDED.sum(axis=1)) > 0))
    padding = torch.from_numpy(np.setdiff1d(np.arange(PADDED.shape[0]), real))
    assert len(padding) > 0
    laplacian, module = GraphLaplacian(rescaled_laplacian(PADDED)), FusedChebyshevConvolution(3, 4, 4)
    x = torch.randn(2, PADDED.shape[0], 3)
    other = x.clone()
    other[:, padding] = 1e6
    assert torch.equal(module(x, laplacian)[:, real], module(other, laplacian)[:, real])
    other = x.clone()
    other[:, real] = 1e6
    assert torch.equal(module(x, laplacian)[:, padding], module(other, laplacian)[:, padding])
    x.requires_grad_()
    module(x, laplacian)[:, real].sum().backward()
    assert x.grad is not None
    assert not x.grad[:, padding].any()
    assert x.grad[:, real].any(2).all()


def test_a_node_receives_from_its_ring_and_no_further() -> None:
    laplacian = GraphLaplacian(rescaled_laplacian(PATH))
    for order in (1, 2, 3, 4):
        x = torch.zeros(1, 10, 1)
        x[0, 0] = 1
        module = FusedChebyshevConvolution(1, 1, order)
        torch.nn.init.ones_(module.linear.weight)
        reached = module(x, laplacian)[0, :, 0] != 0
        assert int(reached.nonzero().max()) == order - 1


# Dtypes, devices and copies


@pytest.mark.parametrize("inside", [True, False], ids=["backward inside", "backward outside"])
def test_bf16_autocast(inside: bool) -> None:
    torch.manual_seed(0)
    laplacian, module = GraphLaplacian(rescaled_laplacian(PADDED)), FusedChebyshevConvolution(8, 8, 3)
    x = torch.randn(2, PADDED.shape[0], 8, requires_grad=True)
    exact = torch.autograd.grad(module(x, laplacian).square().sum(), [x, module.linear.weight])
    with torch.autocast("cpu", torch.bfloat16):
        y = module(x, laplacian)
        loss = y.float().square().sum()
        if inside:
            loss.backward()
    if not inside:
        loss.backward()
    assert y.dtype == torch.bfloat16
    for own, reference in zip((x.grad, module.linear.weight.grad), exact, strict=True):
        assert own is not None
        assert own.dtype == torch.float32
        assert torch.nn.functional.cosine_similarity(own.flatten(), reference.flatten(), dim=0) > 0.999


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_moving_the_module_moves_its_matrix(dtype: torch.dtype) -> None:
    laplacian = GraphLaplacian(rescaled_laplacian(PADDED))
    x = torch.randn(2, PADDED.shape[0], 3)
    before = laplacian.product(x)
    moved = laplacian.to(dtype).product(x.to(dtype))
    assert moved.dtype == dtype
    assert torch.allclose(moved.float(), before, atol=1e-6 if dtype == torch.float64 else 0.03)
    assert laplacian.float().product(x).dtype == torch.float32
    assert laplacian.to("meta").dense().device.type == "meta"


def test_copies_work_after_use() -> None:
    laplacian, module = GraphLaplacian(rescaled_laplacian(PADDED)), FusedChebyshevConvolution(3, 4)
    x = torch.randn(2, PADDED.shape[0], 3)
    expected = module(x, laplacian)
    assert torch.equal(module(x, copy.deepcopy(laplacian)), expected)
    assert torch.equal(module(x, pickle.loads(pickle.dumps(laplacian))), expected)


def test_training_after_inference_mode() -> None:
    laplacian, module = GraphLaplacian(rescaled_laplacian(PADDED)), FusedChebyshevConvolution(3, 4)
    x = torch.randn(2, PADDED.shape[0], 3, requires_grad=True)
    with torch.inference_mode():
        module(x, laplacian)
    module(x, laplacian).sum().backward()
    assert x.grad is not None


def test_laplacian_is_not_in_the_state_dict() -> None:
    assert GraphLaplacian(rescaled_laplacian(PADDED)).state_dict() == {}


# Norm and ReLU, deferred to the layer that reads them


def normed_and_plain(nodes: int) -> tuple[DeferredNorm, Tensor, list[Tensor]]:
    """Numbers (3, nodes, 3) normalised as in training, then ReLU: both ways, and what has a gradient."""
    torch.manual_seed(0)
    z = (5 + torch.randn(3, nodes, 3, dtype=torch.float64)).requires_grad_()
    weight, bias = (torch.randn(3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    flat = z.flatten(0, 1)
    plain = torch.nn.functional.batch_norm(flat, None, None, weight, bias, training=True).relu().view_as(z)
    variance, mean = torch.var_mean(flat.detach(), 0, correction=0)
    return DeferredNorm(z, weight, bias, mean, (variance + 1e-5).rsqrt()), plain, [z, weight, bias]


def assert_same_gradients(found: Tensor, expected: Tensor, wanted: list[Tensor]) -> None:
    assert torch.allclose(found, expected, atol=1e-12)
    direction = torch.randn_like(expected)
    kept = direction.clone()
    gradients = [torch.autograd.grad(y, wanted, direction, retain_graph=True) for y in (found, expected)]
    for own, reference in zip(*gradients, strict=True):
        assert torch.allclose(own, reference, atol=1e-11)
    assert torch.equal(direction, kept)  # the input is not changed


@pytest.mark.parametrize("cache", [2**21, 1], ids=["at once", "by sample"])
@pytest.mark.parametrize("nodes", [4, 8, None], ids=["unpooled", "as many", "nothing"])
def test_values_and_their_gradients_are_the_plain_ones(
    nodes: int | None, cache: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chebyshev_fused, "CACHE_BYTES", cache)
    normed, plain, wanted = normed_and_plain(8)
    plus, expected = None, plain
    if nodes is not None:
        plus = torch.randn(3, nodes, 3, dtype=torch.float64, requires_grad=True)
        wanted, expected = [*wanted, plus], plain + plus.repeat_interleave(8 // nodes, dim=1)
    assert_same_gradients(values(normed, plus), expected, wanted)
    assert_same_gradients(values(plain, plus), expected, wanted)
    with torch.no_grad():
        assert torch.allclose(values(normed, plus), expected, atol=1e-12)


@pytest.mark.parametrize("cache", [2**21, 1], ids=["at once", "by sample"])
@pytest.mark.parametrize("widths", [(3, 4), (3, 2)], ids=["wider", "narrower"])
@pytest.mark.parametrize("unpool", [False, True], ids=["", "unpooled"])
def test_convolution_of_a_norm_is_that_of_its_values(
    unpool: bool, widths: tuple[int, int], cache: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chebyshev_fused, "CACHE_BYTES", cache)
    laplacian, module = GraphLaplacian(rescaled_laplacian(PADDED)).double(), FusedChebyshevConvolution(*widths).double()
    normed, plain, wanted = normed_and_plain(PADDED.shape[0] // (1 + unpool))
    wanted += [module.linear.weight, module.linear.bias]
    expected = module(plain, laplacian)
    assert_same_gradients(module(normed, laplacian), expected, wanted)
    with torch.no_grad():
        assert torch.allclose(module(normed, laplacian), expected, atol=1e-12)


def test_a_norm_learns_where_its_input_does_not() -> None:
    laplacian, module = GraphLaplacian(rescaled_laplacian(PADDED)).double(), FusedChebyshevConvolution(3, 4).double()
    normed, plain, (_, *wanted) = normed_and_plain(PADDED.shape[0])
    fixed = normed._replace(source=normed.source.detach())
    assert_same_gradients(module(fixed, laplacian), module(plain, laplacian), wanted)
