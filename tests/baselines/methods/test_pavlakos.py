"""Pavlakos: inputs of each network, the three parts of the training, training on a batch."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from pose2mesh.baselines.common.body_layer import BodyLayer
from pose2mesh.baselines.methods.pavlakos import Pavlakos, PavlakosSettings
from pose2mesh.baselines.observation import GroundTruth, Observation
from tests.stick_people import sample_stick_people

PEOPLE = 8
PARTS_OF_TRAINING = {
    0.0: {"rotations", "shape"},
    0.5: {"rotations", "shape", "vertices", "joints"},
    0.9: {"rotations", "shape", "vertices", "joints", "keypoints", "overlap"},
}


@pytest.fixture(scope="module")
def people(layer: BodyLayer) -> tuple[Observation, GroundTruth]:
    return sample_stick_people(layer, PEOPLE, torch.Generator().manual_seed(0), labelled=0.5)


@pytest.fixture(scope="module")
def method(layer: BodyLayer) -> Pavlakos:
    """Untrained, with last layers whose outputs differ between samples."""
    method = make_method(layer)
    for network in (method.pose, method.shape):
        last = list(network.modules())[-1]
        assert isinstance(last, torch.nn.Linear)
        torch.nn.init.normal_(last.weight, std=0.05)
    return method


def make_method(layer: BodyLayer, silhouette: bool = True) -> Pavlakos:
    torch.manual_seed(0)
    return Pavlakos(layer, PavlakosSettings(silhouette=silhouette, width=64, dropout=0.0))


def total(terms: dict[str, Tensor]) -> Tensor:
    return sum(terms.values(), torch.zeros(()))


def test_joints_determine_the_pose_alone(method: Pavlakos, people: tuple[Observation, GroundTruth]) -> None:
    observation, _ = people
    method.eval()
    reference, moved = (
        method.bodies(observation),
        method.bodies(replace(observation, joints=observation.joints.flip(0))),
    )
    assert torch.equal(reference.shape, moved.shape)
    assert not torch.allclose(reference.rotations, moved.rotations)


def test_silhouettes_determine_the_shape_alone(method: Pavlakos, people: tuple[Observation, GroundTruth]) -> None:
    observation, _ = people
    method.eval()
    assert observation.silhouettes is not None
    reference, other = (
        method.bodies(observation),
        method.bodies(replace(observation, silhouettes=observation.silhouettes.flip(0))),
    )
    assert torch.equal(reference.rotations, other.rotations)
    assert not torch.allclose(reference.shape, other.shape)


def test_without_silhouettes_joints_determine_all(layer: BodyLayer, people: tuple[Observation, GroundTruth]) -> None:
    method, (observation, ground_truth) = make_method(layer, silhouette=False), people
    without_images = Observation(observation.joints, observation.confidence)
    for progress, names in PARTS_OF_TRAINING.items():
        assert set(method.losses(without_images, ground_truth, progress)) == names - {"overlap"}
    assert method.eval().estimate(without_images).joints.shape == (PEOPLE, 19, 3)


@pytest.mark.parametrize("progress", PARTS_OF_TRAINING)
def test_parts_of_the_training(method: Pavlakos, people: tuple[Observation, GroundTruth], progress: float) -> None:
    method.train().zero_grad()
    terms = method.losses(*people, progress)
    assert set(terms) == PARTS_OF_TRAINING[progress]
    assert all(term > 0 for term in terms.values())
    total(terms).backward()
    for network in (method.pose, method.shape):
        assert all(value.grad is not None and torch.isfinite(value.grad).all() for value in network.parameters())
        assert any(value.grad.abs().sum() > 0 for value in network.parameters() if value.grad is not None)


@pytest.mark.parametrize("progress", PARTS_OF_TRAINING)
def test_without_3d_labels(method: Pavlakos, people: tuple[Observation, GroundTruth], progress: float) -> None:
    observation, ground_truth = people
    method.train().zero_grad()
    terms = method.losses(observation, replace(ground_truth, labelled=torch.zeros(PEOPLE, dtype=torch.bool)), progress)
    assert {name for name, term in terms.items() if term > 0} == PARTS_OF_TRAINING[progress] & {"keypoints", "overlap"}
    total(terms).backward()
    assert all(torch.isfinite(value.grad).all() for value in method.parameters() if value.grad is not None)


def test_silhouettes_of_labelled_samples_do_not_count(
    method: Pavlakos, people: tuple[Observation, GroundTruth]
) -> None:
    observation, ground_truth = people
    assert (
        method.losses(observation, replace(ground_truth, labelled=torch.ones(PEOPLE, dtype=torch.bool)), 0.9)["overlap"]
        == 0
    )


def test_losses_are_zero_on_the_ground_truth(method: Pavlakos, people: tuple[Observation, GroundTruth]) -> None:
    """The predictions are used as ground truth."""
    observation, layer = people[0], method.eval().layer
    prediction = method(observation)
    joints, vertices = layer.joints(prediction), layer.vertices(prediction)
    root = joints[:, layer.joint_set.root_index, None]
    ground_truth = replace(
        people[1],
        joints=joints - root,
        vertices=vertices - root,
        joints_2d=prediction.project(joints),
        phenotypes=layer.phenotypes(prediction.shape),
        orientations=prediction.orientations,
    )
    for progress in PARTS_OF_TRAINING:
        terms = method.losses(observation, ground_truth, progress)
        assert all(term < 1e-4 for name, term in terms.items() if name != "overlap")


def test_cameras_fit_the_joints_and_tolerate_missing_ones(
    method: Pavlakos, people: tuple[Observation, GroundTruth]
) -> None:
    observation, _ = people
    found = method.eval().estimate(observation)
    assert torch.allclose(found.joints_px.mean(1), observation.joints.mean(1), atol=0.1)
    nothing = method.estimate(replace(observation, confidence=torch.zeros_like(observation.confidence)))
    assert torch.isfinite(nothing.joints_px).all()
    regressed = method.layer.body.regressor(method.joint_set) @ found.vertices
    assert torch.allclose(regressed, found.joints, atol=1e-4)


@pytest.mark.thorough
def test_learns_a_batch(layer: BodyLayer, people: tuple[Observation, GroundTruth]) -> None:
    method = make_method(layer)
    optimiser = torch.optim.AdamW(method.parameters(), 3e-3)
    history: list[dict[str, float]] = []
    for step in range(60):
        terms = method.losses(*people, step / 60)
        optimiser.zero_grad()
        total(terms).backward()
        optimiser.step()
        history.append({name: term.item() for name, term in terms.items()})
    for first, last, names in ((0, 17, ("rotations", "shape")), (18, 59, ("vertices",)), (36, 59, ("keypoints",))):
        for name in names:
            assert history[last][name] < 0.7 * history[first][name], name


def test_state_holds_weights_alone(layer: BodyLayer) -> None:
    state = Pavlakos(layer).state_dict()
    assert {name.split(".")[0] for name in state} == {"pose", "shape"}
    assert sum(value.numel() for value in state.values()) * 2 < 4e6  # bytes in half precision
