"""Linear layers against the formula in float64."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pose2mesh.models.layers.linear import HalfLinear, Linear, halve_exact, linear

needs_fbgemm = pytest.mark.skipif(
    "fbgemm" not in torch.backends.quantized.supported_engines, reason="no FBGEMM in this PyTorch"
)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("relu", [False, True])
def test_linear_is_the_plain_one(dtype: torch.dtype, relu: bool) -> None:
    torch.manual_seed(0)
    x, weight, bias = (torch.randn(*shape).to(dtype) for shape in ((7, 20), (5, 20), (5,)))
    expected = x.double() @ weight.double().T + bias.double()
    y = linear(x, weight, bias, relu)
    assert y.dtype == dtype
    error = (y - (expected.relu() if relu else expected)).abs().max()
    assert error <= {torch.float32: 1e-5, torch.float64: 1e-13, torch.bfloat16: 0.1}[dtype]


def test_matrices_may_be_transposes() -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(20, 7).T, torch.randn(20, 5).T
    assert torch.allclose(linear(x, weight).double(), x.double() @ weight.double().T, atol=1e-5)


def test_gradients_are_the_plain_ones() -> None:
    torch.manual_seed(0)
    layer, x = Linear(20, 5), torch.randn(7, 20, requires_grad=True)
    wanted = [x, layer.weight, layer.bias]
    found = torch.autograd.grad(layer(x).square().sum(), wanted)
    y = x.double() @ layer.weight.double().T + layer.bias.double()
    for own, expected in zip(found, torch.autograd.grad(y.square().sum(), wanted), strict=True):
        assert torch.allclose(own, expected, atol=1e-4)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16


def test_it_starts_as_a_linear_layer_does() -> None:
    torch.manual_seed(0)
    expected = nn.Linear(4, 3).state_dict()
    torch.manual_seed(0)
    for name, value in Linear(4, 3).state_dict().items():
        assert torch.equal(value, expected[name])


@needs_fbgemm
@pytest.mark.parametrize("people", [1, 33])
def test_weights_in_float16_give_what_float32_gives(people: int) -> None:
    torch.manual_seed(0)
    layer = Linear(1100, 600).requires_grad_(False)
    layer.weight.copy_(layer.weight.half())
    x = torch.randn(people, 1100)
    expected = x.double() @ layer.weight.double().T + layer.bias.double()
    y = HalfLinear(layer)(x)
    assert y.dtype == torch.float32
    assert (y - expected).abs().max() < 1e-5


@needs_fbgemm
def test_only_large_layers_that_float16_holds_are_halved() -> None:
    torch.manual_seed(0)
    exact, other, small = Linear(1024, 1024), Linear(1024, 1024), Linear(8, 1024)
    for layer in (exact, small):
        layer.weight.data.copy_(layer.weight.half())
    model = nn.Sequential(small, exact, nn.Sequential(other))
    x = torch.randn(2, 8)
    expected = model(x)
    halve_exact(model)
    assert isinstance(model[1], HalfLinear)
    assert model[0] is small
    assert model[2][0] is other
    assert torch.allclose(model(x), expected, atol=1e-5)
