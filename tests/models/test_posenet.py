"""PoseNet: shapes, the published sizes, and that it can learn."""

from __future__ import annotations

import pytest
import torch

from pose2mesh.models.posenet import PoseNet, ResidualBlock


@pytest.mark.parametrize("channels", [2, 3])
@pytest.mark.parametrize("batch", [1, 5])
def test_shape_and_dtype(channels: int, batch: int) -> None:
    network = PoseNet(17, channels, width=32, blocks=1).eval()
    lifted = network(torch.randn(batch, 17, channels)).joints
    assert lifted.shape == (batch, 17, 3)
    assert lifted.dtype == torch.float32


def test_published_parameters() -> None:
    with torch.device("meta"):
        network = PoseNet(17)
    weights = [tuple(value.shape) for value in network.parameters() if value.ndim == 2]
    assert weights == [(4096, 34), (4096, 4096), (4096, 4096), (4096, 4096), (4096, 4096), (51, 4096)]
    assert sum(isinstance(module, torch.nn.BatchNorm1d) for module in network.modules()) == 4
    assert [module.p for module in network.modules() if isinstance(module, torch.nn.Dropout)] == [0.5] * 4


def test_block_adds_its_layers_to_the_input() -> None:
    block = ResidualBlock(8, 0.5).eval()
    torch.nn.init.zeros_(block.layers[-1].weight)
    torch.nn.init.zeros_(block.layers[-1].bias)
    x = torch.randn(3, 8)
    assert torch.equal(block(x), x)


def test_dropout_acts_in_training_alone() -> None:
    torch.manual_seed(0)
    network, x = PoseNet(17, width=64), torch.randn(4, 17, 2)
    assert not torch.allclose(network(x).joints, network(x).joints)
    network.eval()
    assert torch.equal(network(x).joints, network(x).joints)


def test_order_of_joints_and_coordinates() -> None:
    """What the head gives is read joint by joint, x, y, z."""
    network = PoseNet(4, width=8, blocks=0).eval()
    torch.nn.init.zeros_(network.head.weight)
    with torch.no_grad():
        network.head.bias.copy_(torch.arange(12.0))
    millimetres = torch.arange(12.0).reshape(4, 3)  # that is what the published head counts in
    assert torch.allclose(network(torch.randn(2, 4, 2)).joints[1], millimetres / 1000)


def test_overfits_one_batch() -> None:
    torch.manual_seed(0)
    network = PoseNet(17, width=64, blocks=1, dropout=0.0, unit_m=1.0)
    x, target = torch.randn(16, 17, 2), 0.3 * torch.randn(16, 17, 3)
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(200):
        loss = (network(x).joints - target).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.02


def test_bf16_autocast() -> None:
    network = PoseNet(17, width=32, blocks=1)
    with torch.autocast("cpu", torch.bfloat16):
        lifted = network(torch.randn(4, 17, 2)).joints
    assert lifted.dtype == torch.bfloat16
    lifted.float().sum().backward()
    assert all(value.grad is not None and value.grad.isfinite().all() for value in network.parameters())


def test_fused_batch_norms_change_nothing() -> None:
    torch.manual_seed(0)
    network, x = PoseNet(4, 3, width=16), torch.randn(8, 4, 3)
    for _ in range(3):
        network(x)
    expected = network.eval()(x).joints
    network.fuse()
    assert not any(isinstance(module, torch.nn.BatchNorm1d) for module in network.modules())
    assert torch.allclose(network(x).joints, expected, atol=1e-6)
