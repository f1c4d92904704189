"""Lassner et al.: input landmarks of a bone, rotations from columns, final alignment, training and estimates."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from pose2mesh.baselines.common.body_layer import BodyLayer, BodyParameters
from pose2mesh.baselines.common.fitting import Fitter
from pose2mesh.baselines.common.landmarks import MIRROR, NAMES, landmark_vertices
from pose2mesh.baselines.common.random_forest import ForestConfig
from pose2mesh.baselines.methods.lassner import Lassner, LassnerSettings, landmarks_near, rotation_of_columns
from pose2mesh.baselines.observation import LANDMARKS, Crops, GroundTruth, Observation
from pose2mesh.body_models.bones import BODY_BONES
from pose2mesh.body_models.bones import MIRROR as MIRRORED_BONES
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.datasets.synthetic.bodies import BodySynthesiser, SyntheticConfig, detect, sample_people
from pose2mesh.datasets.synthetic.detection_noise import NoiseConfig
from pose2mesh.datasets.synthetic.pose_sampling import PoseConfig, PoseSource
from pose2mesh.datasets.synthetic.pose_tree import to_local
from pose2mesh.errors import InputError
from pose2mesh.geometry.rotations import axis_rotation, nearest_rotation, rotation_from_vector
from pose2mesh.skeletons import COCO

SMALL = LassnerSettings(growth=ForestConfig(trees=3, leaves=60, considered=8), rank=12, rounds=10)
CHUNKS, PEOPLE = 3, 160  # in each


def make_samples(body: BodyModel, seed: int, count: int = PEOPLE) -> tuple[Observation, GroundTruth]:
    """Samples in procedural poses with exact landmarks; every other one has NaN in place of 3D labels."""
    generator = torch.Generator().manual_seed(seed)
    columns = torch.tensor([*landmark_vertices(body).values()])
    synthesiser = BodySynthesiser(body, COCO, columns)
    source, config = PoseSource(None, PoseConfig(procedural=1.0)), SyntheticConfig(views=1)
    people = sample_people(count, source, synthesiser, config, generator)
    exact = NoiseConfig(model="none", drop=0.0, out_of_picture=False)
    batch = detect(people, COCO, exact, generator)
    crops = Crops.around(batch.joints_px, batch.confidence)
    assert people.points_cam is not None
    points = torch.cat((people.joints_cam[:, :17], people.points_cam), dim=1)
    seen_px = people.cameras.project(points + (people.root_cam - people.cameras.position_cam)[:, None])
    observation = Observation(
        crops.units(batch.joints_px),
        batch.confidence,
        landmarks=crops.units(seen_px),
        landmark_confidence=torch.ones(count, LANDMARKS),
    )
    labelled = torch.arange(count) % 2 == 0
    orientations = (batch.to_ray @ people.cameras.rotation)[:, None] @ people.orientations
    ground_truth = GroundTruth(
        index=torch.arange(count),
        labelled=labelled,
        joints_2d=crops.units(people.joints_px),
        visible=torch.ones(count, len(COCO)),
        joints=batch.joints,
        vertices=torch.zeros(count, 0, 3),
        phenotypes=torch.where(labelled[:, None], people.phenotypes, torch.nan),
        orientations=torch.where(labelled[:, None, None, None], orientations, torch.nan),
    )
    return observation, ground_truth


@pytest.fixture(scope="module")
def chunks(fitter: Fitter) -> list[tuple[Observation, GroundTruth]]:
    return [make_samples(fitter.body, seed) for seed in range(CHUNKS)]


@pytest.fixture(scope="module")
def grown(layer: BodyLayer, chunks: list[tuple[Observation, GroundTruth]]) -> Lassner:
    method = Lassner(layer, SMALL)
    torch.manual_seed(0)
    assert method.fit(lambda chunk: chunks[chunk], CHUNKS, lambda line: None)
    return method.eval()


def test_the_rotation_of_its_own_columns() -> None:
    rotation = nearest_rotation(torch.randn(6, 3, 3))
    torch.testing.assert_close(rotation_of_columns(2 * rotation[..., :2].flatten(1)), rotation, atol=1e-5, rtol=0)


def test_the_closest_rotation_to_columns() -> None:
    """The rotation of the thin SVD, which minimises the distance over orthonormal columns."""
    columns = torch.randn(8, 3, 2)
    u, _, vt = torch.linalg.svd(columns, full_matrices=False)
    rotation = rotation_of_columns(columns.flatten(1))
    torch.testing.assert_close(rotation[..., :2], u @ vt, atol=1e-4, rtol=0)
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(8))


def test_landmarks_near_a_chain() -> None:
    """Near landmarks are those of the bone, its parent and its children, and farther ones only if these are few."""
    bone_of = torch.arange(len(BODY_BONES)).repeat_interleave(4)
    near = landmarks_near(bone_of)
    shank, thigh, foot = (BODY_BONES.index(name) for name in ("LeftLeg", "LeftUpLeg", "LeftFoot"))
    assert bone_of[near[shank]].unique().tolist() == sorted((shank, thigh, foot))
    alone = landmarks_near(torch.arange(len(BODY_BONES)))
    assert all(len(columns) >= 8 for columns in alone)


@pytest.mark.thorough
def test_landmarks_of_a_bone_and_of_its_mirror_image(grown: Lassner) -> None:
    names = {bone: {NAMES[index] for index in near} for bone, near in zip(BODY_BONES, grown.near, strict=True)}
    assert {"left_calf_front", "left_shin_back"} <= names["LeftLeg"]
    assert "left_forearm_outer" in names["LeftForeArm"]
    assert not any("right_forearm" in name for name in names["LeftForeArm"])
    for bone, other in enumerate(MIRRORED_BONES):
        if BODY_BONES[bone].startswith("Left"):
            assert {MIRROR[index] for index in grown.near[bone].tolist()} == set(grown.near[other].tolist())


def some_bodies(count: int = 4) -> BodyParameters:
    generator = torch.Generator().manual_seed(3)
    rotations = rotation_from_vector(0.2 * torch.randn(count, 22, 3, generator=generator))
    rotations[:, 0] = axis_rotation(0, torch.full((count,), torch.pi / 2)) @ rotations[:, 0]
    return BodyParameters(
        0.3 * torch.randn(count, 6, generator=generator), rotations, torch.zeros(count), torch.zeros(count, 2)
    )


def test_alignment_recovers_orientation_and_position(grown: Lassner) -> None:
    true = replace(some_bodies(), log_scale=torch.full((4,), -0.2), shift_m=torch.full((4, 2), 0.1))
    landmarks = true.project(grown._posed(true))
    confidence = torch.ones(4, LANDMARKS)
    landmarks[:, 7], confidence[:, 7] = 0, 0  # one is missing
    turn = rotation_from_vector(torch.tensor([[0.3, 0, 0], [0, 0.4, 0], [0, 0, 0.5], [0.2, -0.2, 0.2]]))
    rotations = true.rotations.clone()
    rotations[:, 0] = turn @ rotations[:, 0]
    start = replace(true, rotations=rotations, log_scale=true.log_scale + 0.2, shift_m=true.shift_m - 0.1)
    grown.settings = replace(SMALL, rounds=60)
    aligned = grown.align(start, landmarks, confidence)
    grown.settings = SMALL
    torch.testing.assert_close(aligned.rotations, true.rotations, atol=0.02, rtol=0)
    torch.testing.assert_close(aligned.log_scale, true.log_scale, atol=0.01, rtol=0)
    torch.testing.assert_close(aligned.shift_m, true.shift_m, atol=0.01, rtol=0)
    assert torch.equal(aligned.rotations[:, 1:], start.rotations[:, 1:])
    assert torch.equal(aligned.shape, start.shape)


def test_better_than_the_mean_on_held_out_samples(grown: Lassner, layer: BodyLayer) -> None:
    observation, ground_truth = make_samples(layer.body, seed=99, count=40)
    estimate = grown.estimate(observation)
    assert estimate.vertices.shape == (40, len(layer.body.template), 3)
    assert torch.isfinite(estimate.joints_px).all()
    joints = estimate.joints - estimate.joints[:, COCO.root_index, None]
    error = (joints - ground_truth.joints).norm(dim=-1).mean()
    of_mean = (ground_truth.joints.mean(0) - ground_truth.joints).norm(dim=-1).mean()
    assert error < 0.75 * of_mean
    missed = (estimate.joints_px - ground_truth.joints_2d).norm(dim=-1).mean()
    assert missed < 0.15  # in units of half the crop


def test_state_holds_forests_and_completion(
    grown: Lassner, layer: BodyLayer, chunks: list[tuple[Observation, GroundTruth]]
) -> None:
    other = Lassner(layer, SMALL)
    other.load_state_dict(grown.state_dict())
    observation = chunks[0][0][:8]
    assert torch.equal(other.estimate(observation).joints, grown.estimate(observation).joints)


def test_samples_without_labels_are_not_used(
    grown: Lassner, layer: BodyLayer, chunks: list[tuple[Observation, GroundTruth]]
) -> None:
    """Their 3D labels are NaN, and without them the same forests result."""
    assert all(torch.isfinite(value).all() for value in grown.state_dict().values())
    known = [
        (observation[ground_truth.labelled], ground_truth[ground_truth.labelled])
        for observation, ground_truth in chunks
    ]
    again = Lassner(layer, SMALL)
    torch.manual_seed(0)
    lines: list[str] = []
    again.fit(lambda chunk: known[chunk], CHUNKS, lines.append)
    assert torch.equal(again.bones[4].leaves, grown.bones[4].leaves)
    assert len(lines) == 1 + len(BODY_BONES) + 2


def test_sample_without_detected_landmarks(grown: Lassner) -> None:
    blind = Observation(torch.zeros(2, 19, 2), torch.zeros(2, 19), None, None, None)
    blind = replace(blind, landmarks=torch.zeros(2, LANDMARKS, 2), landmark_confidence=torch.zeros(2, LANDMARKS))
    estimate = grown.estimate(blind)
    assert torch.isfinite(estimate.vertices).all()
    assert torch.isfinite(estimate.joints_px).all()


def test_too_few_labelled_samples(layer: BodyLayer, chunks: list[tuple[Observation, GroundTruth]]) -> None:
    with pytest.raises(InputError, match="samples have 3D labels; expected more than 182 to grow forests on"):
        Lassner(layer, SMALL).fit(lambda chunk: chunks[chunk], 1, lambda line: None)


def test_the_number_of_samples_is_limited(layer: BodyLayer, chunks: list[tuple[Observation, GroundTruth]]) -> None:
    asked: list[int] = []

    def draw(chunk: int) -> tuple[Observation, GroundTruth]:
        asked.append(chunk)
        return chunks[chunk]

    lines: list[str] = []
    tiny = replace(SMALL, people=190, growth=ForestConfig(trees=1, leaves=2, considered=2))
    Lassner(layer, tiny).fit(draw, 100, lines.append)
    assert asked == [0, 1, 2]
    assert lines[0] == "190 samples with 3D labels"


def test_local_rotations_are_those_of_the_columns(grown: Lassner) -> None:
    """Forests that output the rest pose predict the rest pose."""
    method = Lassner(grown.layer, SMALL)
    for forest in method.bones:
        forest.leaves[:] = torch.eye(3)[:, :2].flatten().half()
    whole = method.completion(torch.randn(3, LANDMARKS, 2), torch.ones(3, LANDMARKS))
    guess = method.predict(whole)
    rest = torch.eye(3).expand(3, 22, 3, 3)
    torch.testing.assert_close(guess.rotations, to_local(rest))
    middle = guess.project(method._posed(guess)).mean(1)
    torch.testing.assert_close(middle, whole.centre, atol=0.2, rtol=0)
