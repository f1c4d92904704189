"""The losses against numbers worked out by hand, their masks and their gradients."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from pose2mesh.models.losses import (
    LossWeights,
    edge_loss,
    expected_error_loss,
    masked_l1,
    normal_loss,
    shape_loss,
)

# A right triangle in the plane z = 0, and a unit square of two triangles in it.
TRIANGLE = torch.tensor([[[0.0, 0, 0], [3, 0, 0], [0, 4, 0]]])
FACE = torch.tensor([[0, 1, 2]])
SQUARE = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]])
FACES = torch.tensor([[0, 1, 2], [0, 2, 3]])
ALL = torch.tensor([True])

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
LOSSES: dict[str, Loss] = {
    "l1": lambda predicted, target, valid: masked_l1(predicted, target, valid[:, None]),
    "normal": lambda predicted, target, valid: normal_loss(predicted, target, FACES, valid),
    "edge": lambda predicted, target, valid: edge_loss(predicted, target, FACES, valid),
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())


def test_published_weights() -> None:
    assert LossWeights() == LossWeights(
        vertex=1, mesh_joint=1e-3, normal=0.1, edge=20, lifted_joint=1e-3, edge_from_epoch=7
    )


def test_l1_by_hand() -> None:
    predicted = torch.tensor([[[1.0, 2, 3], [0, 0, 0]], [[0, 0, 0], [5, 5, 5]]])
    target = torch.zeros(2, 2, 3)
    assert masked_l1(predicted, target, torch.ones(2, 2, dtype=torch.bool)).item() == pytest.approx(21 / 12)
    # the mean is over the points that count: one of three
    assert masked_l1(predicted, target, torch.tensor([[True, False], [False, False]])).item() == pytest.approx(2)
    assert masked_l1(predicted, target, torch.tensor([[False], [True]])).item() == pytest.approx(2.5)


def test_normal_by_hand() -> None:
    assert normal_loss(TRIANGLE, TRIANGLE, FACE, ALL).item() == 0
    # the true normal is z; in the plane x = 0 the edges lie at 0°, 90° and 45° to it
    upright = torch.tensor([[[0.0, 0, 0], [0, 1, 0], [0, 0, 1]]])
    assert normal_loss(upright, TRIANGLE, FACE, ALL).item() == pytest.approx((0 + 1 + 0.5**0.5) / 3)
    # it is the true normal that counts, not the predicted one: moving the flat target within its plane changes nothing
    assert normal_loss(upright, 5 * TRIANGLE + 1, FACE, ALL).item() == pytest.approx((1 + 0.5**0.5) / 3)


def test_normal_does_not_depend_on_the_winding_or_the_size() -> None:
    torch.manual_seed(0)
    predicted, target = torch.randn(2, 4, 3), torch.randn(2, 4, 3)
    valid = torch.tensor([True, True])
    loss = normal_loss(predicted, target, FACES, valid)
    assert 0 < loss.item() < 1
    assert torch.allclose(normal_loss(predicted, target, FACES.flip(1), valid), loss)
    assert torch.allclose(normal_loss(10 * predicted + 1, 0.1 * target, FACES, valid), loss, atol=1e-6)


def test_edge_by_hand() -> None:
    # edges 3, 5, 4 become 6, 10, 8
    assert edge_loss(2 * TRIANGLE, TRIANGLE, FACE, ALL).item() == pytest.approx((3 + 5 + 4) / 3, rel=1e-5)
    # each edge is compared with itself: a triangle with the same lengths in another order is not the same
    turned = TRIANGLE[:, [1, 2, 0]]  # edges (0, 1), (1, 2), (2, 0) are 5, 4, 3
    assert edge_loss(turned, TRIANGLE, FACE, ALL).item() == pytest.approx((2 + 1 + 1) / 3, rel=1e-5)


def test_edge_does_not_depend_on_where_the_face_starts_or_the_pose() -> None:
    torch.manual_seed(0)
    predicted, target = torch.randn(2, 4, 3), torch.randn(2, 4, 3)
    valid = torch.tensor([True, True])
    loss = edge_loss(predicted, target, FACES, valid)
    assert torch.allclose(edge_loss(predicted, target, FACES.roll(1, dims=1), valid), loss)
    assert torch.allclose(edge_loss(-predicted + 3, target, FACES, valid), loss, atol=1e-5)


@every_loss
def test_a_masked_sample_changes_nothing_and_gets_no_gradient(loss: Loss) -> None:
    torch.manual_seed(0)
    predicted, target = torch.randn(3, 4, 3, requires_grad=True), torch.randn(3, 4, 3)
    valid = torch.tensor([True, False, True])
    value = loss(predicted, target, valid)
    assert torch.allclose(value, loss(predicted[[0, 2]], target[[0, 2]], torch.tensor([True, True])))
    value.backward()
    assert predicted.grad is not None
    assert predicted.grad[1].abs().max() == 0
    assert predicted.grad[[0, 2]].abs().amax((1, 2)).min() > 0


@every_loss
def test_nothing_valid_is_zero_with_a_zero_gradient(loss: Loss) -> None:
    predicted = torch.randn(2, 4, 3, requires_grad=True)
    value = loss(predicted, torch.randn(2, 4, 3), torch.tensor([False, False]))
    value.backward()
    assert value.item() == 0
    assert predicted.grad is not None
    assert predicted.grad.abs().max() == 0


@every_loss
@pytest.mark.parametrize("collapsed", ["predicted", "target", "both"])
def test_gradients_stay_finite_where_faces_collapse(loss: Loss, collapsed: str) -> None:
    predicted = torch.zeros_like(SQUARE) if collapsed != "target" else SQUARE.clone()
    target = torch.zeros_like(SQUARE) if collapsed != "predicted" else SQUARE
    predicted.requires_grad_()
    value = loss(predicted, target, ALL)
    value.backward()
    assert predicted.grad is not None
    assert value.isfinite()
    assert predicted.grad.isfinite().all()


@every_loss
def test_gradients_are_those_of_finite_differences(loss: Loss) -> None:
    torch.manual_seed(1)
    predicted = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    target, valid = torch.randn(2, 4, 3, dtype=torch.float64), torch.tensor([True, True])
    assert torch.autograd.gradcheck(lambda p: loss(p, target, valid), predicted)


def test_shape_by_hand() -> None:
    predicted, target = torch.tensor([[1.0, 0], [5, 5]]), torch.tensor([[0.0, 2], [0, 0]])
    size_m = torch.tensor([0.3, 0.1])
    valid = torch.tensor([True, False])
    assert shape_loss(predicted, target, size_m, valid).item() == pytest.approx((0.3 + 0.2) / 2)


def test_expected_error_is_least_at_the_mean_absolute_error() -> None:
    errors = torch.tensor([[0.01], [0.03], [0.08]])
    valid = torch.ones(3, 1, dtype=torch.bool)

    def loss(expected: float) -> float:
        return expected_error_loss(torch.full((3, 1), expected).log(), errors, valid).item()

    assert loss(0.04) < loss(0.039)
    assert loss(0.04) < loss(0.041)


def test_expected_error_leaves_the_errors_alone() -> None:
    errors = torch.rand(4, 6, requires_grad=True)
    log_errors = torch.zeros(4, 6, requires_grad=True)
    valid = torch.tensor([True, True, False, True, True, True]).expand(4, 6)
    expected_error_loss(log_errors, errors, valid).backward()
    assert errors.grad is None
    assert log_errors.grad is not None
    assert (log_errors.grad[:, 2] == 0).all()
    assert (log_errors.grad[:, 0] != 0).all()
