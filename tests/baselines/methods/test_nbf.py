"""NBF: the nearest rotation and its gradient; training on a batch; part maps as the only input."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from pose2mesh.baselines.common.body_layer import BodyLayer
from pose2mesh.baselines.common.parameter_regressor import mean_parameters
from pose2mesh.baselines.methods.nbf import NBF, NBFSettings, to_rotation
from pose2mesh.baselines.observation import PARTS, GroundTruth, Observation
from pose2mesh.geometry.rotations import rotation_from_vector
from tests.stick_people import sample_stick_people

PEOPLE = 8


@pytest.fixture(scope="module")
def people(layer: BodyLayer) -> tuple[Observation, GroundTruth]:
    return sample_stick_people(layer, PEOPLE, torch.Generator().manual_seed(0), labelled=0.5)


def make_method(layer: BodyLayer) -> NBF:
    torch.manual_seed(0)
    return NBF(layer, NBFSettings(hidden=128))


def test_any_matrix_becomes_a_rotation() -> None:
    matrices = torch.randn(200, 3, 3, generator=torch.Generator().manual_seed(0))  # half of them mirror
    rotations = to_rotation(matrices)
    assert torch.allclose(rotations.mT @ rotations, torch.eye(3).expand(200, 3, 3), atol=1e-5)
    assert torch.allclose(torch.linalg.det(rotations), torch.ones(200), atol=1e-5)


def test_rotations_stay_and_stretches_go() -> None:
    rotations = rotation_from_vector(torch.randn(20, 3, generator=torch.Generator().manual_seed(0)))
    assert torch.allclose(to_rotation(rotations), rotations, atol=1e-5)
    stretched = rotations @ torch.tensor([[2.0, 0.3, 0.0], [0.3, 1.0, 0.1], [0.0, 0.1, 0.5]])
    assert torch.allclose(to_rotation(stretched), rotations, atol=1e-5)


def test_gradient_of_the_nearest_rotation() -> None:
    """Against finite differences; also at rotations, whose singular values are equal, and at mirrored matrices."""
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(4, 3, generator=generator, dtype=torch.double)
    bent = torch.eye(3).double() + 0.3 * torch.randn(4, 3, 3, generator=generator, dtype=torch.double)
    mirrored = torch.diag(torch.tensor([1.4, 1.0, -0.3], dtype=torch.double))[None]
    for matrices in (rotation_from_vector(vectors), 2 * rotation_from_vector(vectors) @ bent, mirrored):
        # What damps the gradient changes it by a ten-thousandth.
        assert torch.autograd.gradcheck(to_rotation, matrices.clone().requires_grad_(), rtol=2e-3, atol=1e-3)


def test_gradients_stay_bounded_where_the_nearest_rotation_jumps() -> None:
    flat = torch.stack((torch.diag(torch.tensor([1.0, 0.5, -0.5])), torch.zeros(3, 3))).requires_grad_()
    (to_rotation(flat) * torch.randn(3, 3, generator=torch.Generator().manual_seed(0))).sum().backward()
    assert flat.grad is not None
    assert torch.isfinite(flat.grad).all()
    assert flat.grad.abs().max() < 100


def test_starts_near_the_mean_body(layer: BodyLayer, people: tuple[Observation, GroundTruth]) -> None:
    prediction, mean = make_method(layer)(people[0]), mean_parameters(layer)
    assert torch.allclose(prediction.rotations, mean.rotations.expand_as(prediction.rotations), atol=0.1)
    assert torch.allclose(prediction.log_scale, mean.log_scale.expand(PEOPLE), atol=0.1)


def test_parts_are_the_only_input(layer: BodyLayer, people: tuple[Observation, GroundTruth]) -> None:
    method, observation = make_method(layer).eval(), people[0]
    reference = method(observation)
    without_images = method(
        Observation(
            torch.zeros_like(observation.joints), torch.zeros_like(observation.confidence), parts=observation.parts
        )
    )
    assert torch.equal(reference.rotations, without_images.rotations)
    assert observation.parts is not None
    other = method(replace(observation, parts=observation.parts[:, torch.arange(PARTS - 1, -1, -1)]))
    assert not torch.allclose(reference.rotations, other.rotations)


@pytest.mark.thorough
def test_learns_a_batch(layer: BodyLayer, people: tuple[Observation, GroundTruth]) -> None:
    method = make_method(layer)
    optimiser = torch.optim.AdamW(method.parameters(), 2e-3)
    history = []
    for step in range(40):
        terms = method.losses(*people, step / 40)
        optimiser.zero_grad()
        sum(terms.values(), torch.zeros(())).backward()
        optimiser.step()
        history.append({name: term.item() for name, term in terms.items()})
    assert set(history[0]) == {"rotations", "shape", "joints", "keypoints"}
    for name, share in (("rotations", 0.95), ("shape", 0.8), ("joints", 0.4), ("keypoints", 0.4)):
        assert history[-1][name] < share * history[0][name], name


def test_without_3d_labels(layer: BodyLayer, people: tuple[Observation, GroundTruth]) -> None:
    method, (observation, ground_truth) = make_method(layer), people
    terms = method.losses(observation, replace(ground_truth, labelled=torch.zeros(PEOPLE, dtype=torch.bool)), 0.5)
    assert [name for name, term in terms.items() if term > 0] == ["keypoints"]
    sum(terms.values(), torch.zeros(())).backward()
    assert all(torch.isfinite(value.grad).all() for value in method.parameters() if value.grad is not None)


def test_estimated_bodies(layer: BodyLayer, people: tuple[Observation, GroundTruth]) -> None:
    found = make_method(layer).eval().estimate(people[0])
    assert found.vertices.shape == (PEOPLE, len(layer.body.template), 3)
    assert torch.allclose(layer.body.regressor(layer.joint_set) @ found.vertices, found.joints, atol=1e-4)
    assert found.parameters is not None


def test_state_holds_weights_alone(layer: BodyLayer) -> None:
    state = NBF(layer).state_dict()
    assert {name.split(".")[0] for name in state} == {"encoder", "head"}
    assert sum(value.numel() for value in state.values()) * 2 < 4e6  # bytes in half precision
