"""Backbone: shapes and types of the features of images and maps, number of weights, gradients."""

from __future__ import annotations

import pytest
import torch

from pose2mesh.baselines.common.backbone import FEATURES, FINE, SIZES, WIDTHS, Backbone, FineMap


@pytest.mark.parametrize(("channels", "size"), [(3, 128), (12, 64), (19, 32)])
def test_features_of_images_and_maps(channels: int, size: int) -> None:
    backbone, fine = Backbone(channels, size), FineMap()
    features = backbone(torch.rand(2, channels, size, size))
    shapes = [(2, width, side, side) for width, side in zip(WIDTHS, SIZES, strict=True)]
    assert [tuple(level.shape) for level in features.levels] == shapes
    assert features.vector.shape == (2, FEATURES)
    assert fine(features).shape == (2, FINE, SIZES[0], SIZES[0])
    assert features.vector.dtype == torch.float32


def test_small_enough_to_ship_in_half_precision() -> None:
    assert sum(parameter.numel() for parameter in Backbone().parameters()) < 1.5e6


def test_every_weight_is_trained() -> None:
    torch.manual_seed(0)
    backbone, fine = Backbone(), FineMap()
    features = backbone(torch.rand(4, 3, 128, 128))
    (features.vector.square().mean() + fine(features).square().mean()).backward()
    for parameter in (*backbone.parameters(), *fine.parameters()):
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all()


def test_features_do_not_depend_on_the_rest_of_the_batch() -> None:
    backbone = Backbone().eval()
    pictures = torch.rand(3, 3, 128, 128)
    with torch.no_grad():
        together, alone = backbone(pictures).vector, backbone(pictures[:1]).vector
    assert torch.allclose(together[:1], alone, atol=1e-5)
