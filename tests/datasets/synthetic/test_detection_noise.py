"""Synthesised detections: place and frequency of each kind of error, and confidences that fall with it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pose2mesh.datasets.synthetic.bodies import SyntheticSamples
from pose2mesh.datasets.synthetic.detection_noise import (
    _HUMAN36,
    GOOD,
    JITTER,
    KINDS,
    MISS,
    NoiseConfig,
    _neighbours,
    _place_errors,
    _sample_kinds,
    add_detection_noise,
    kind_probabilities,
    person_area,
    similarity_distance,
)
from pose2mesh.skeletons import COCO, HUMAN36, JOINT_SETS, JointSet

# Every error of its plain size, nothing missing, confidences that speak.
FULL = {"scale": (1.0, 1.0), "drop": 0.0, "plain_confidence": 0.0, "clean": 0.0, "out_of_picture": False}
LABELLED = slice(0, 17)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def truth(coco_people: SyntheticSamples) -> Tensor:
    """(1500, 19, 2) true pixels."""
    return coco_people.joints_px


def similarity(a: Tensor, b: Tensor, area: Tensor, joint_set: JointSet = COCO) -> Tensor:
    """COCO's keypoint similarity (B, J) of pixels (B, J, 2)."""
    sigmas = torch.tensor(joint_set.oks_sigmas)
    return torch.exp(-(a - b).square().sum(-1) / (2 * area[:, None] * (2 * sigmas).square()))


@pytest.mark.parametrize(("model", "joint_set"), [("coco", COCO), ("human36", HUMAN36), ("none", COCO)])
def test_deterministic_by_seed(model: str, joint_set: JointSet, truth: Tensor) -> None:
    joints = truth[:50, : len(joint_set)]
    config = NoiseConfig(model=model)  # type: ignore[arg-type]
    size = torch.full((50, 2), 1000.0)
    first, again, other = (add_detection_noise(joints, joint_set, config, seeded(seed), size) for seed in (1, 1, 2))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[1], other[1])
    assert first[0].shape == joints.shape
    assert first[1].shape == joints.shape[:2]


@pytest.mark.parametrize("name", JOINT_SETS)
def test_kind_probabilities(name: str) -> None:
    joint_set = JOINT_SETS[name]
    table = kind_probabilities(joint_set)
    assert table.shape == (len(joint_set), len(KINDS))
    assert (table >= 0).all()
    torch.testing.assert_close(table.sum(1), torch.ones(len(joint_set)))
    inversion = table[:, KINDS.index("inversion")]
    torch.testing.assert_close(inversion[joint_set.flip_permutation], inversion)
    unpaired = [joint_set.index(joint) for joint in joint_set.names if not joint.startswith(("left_", "right_"))]
    assert (inversion[unpaired] == 0).all()


@pytest.mark.parametrize("crowded", [True, False])
def test_kinds_come_as_often_as_their_probabilities(crowded: bool) -> None:
    count = 6000
    kind = _sample_kinds(COCO, torch.full((count,), crowded), seeded())
    expected = kind_probabilities(COCO)
    if not crowded:
        expected[:, KINDS.index("swap")] = 0
        expected = expected / expected.sum(1, keepdim=True)
    found = torch.nn.functional.one_hot(kind, len(KINDS)).float().mean(0)
    spread = (expected * (1 - expected) / count).sqrt()
    assert ((found - expected).abs() <= 4.5 * spread).all()


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_lies_in_its_band_of_similarity(kind: str, truth: Tensor) -> None:
    area = person_area(truth)
    neighbour, _ = _neighbours(truth, area, 1.0, seeded(1))
    present = torch.ones(len(truth), dtype=torch.bool)
    kinds = torch.full(truth.shape[:2], KINDS.index(kind))
    config = NoiseConfig(**FULL)
    placed = _place_errors(truth, kinds, (neighbour, present), area, COCO, config, seeded(2))
    mirrored = truth[:, COCO.flip_permutation]
    candidates = {
        "good": [truth],
        "jitter": [truth],
        "miss": [truth, mirrored],
        "inversion": [mirrored],
        "swap": [neighbour, neighbour[:, COCO.flip_permutation]],
    }[kind]
    low, high = {"good": (GOOD, 1.0), "jitter": (JITTER, GOOD), "miss": (MISS, JITTER)}.get(kind, (JITTER, 1.0))
    found = torch.stack([similarity(placed, candidate, area) for candidate in candidates])
    in_band = ((found >= low - 2e-3) & (found <= high + 2e-3)).any(0)
    assert in_band.all()
    assert found.amax(0).std() > 0.02  # spread over the band


@pytest.mark.parametrize(("kind", "least"), [("good", 0.95), ("jitter", 0.9), ("miss", 0.7)])
def test_errors_lie_nearest_to_the_joint_they_belong_to(kind: str, least: float, truth: Tensor) -> None:
    """Else an error would be of another kind; where people overlap there may be no such place."""
    area = person_area(truth)
    neighbour, _ = _neighbours(truth, area, 1.0, seeded(1))
    kinds = torch.full(truth.shape[:2], KINDS.index(kind))
    alone = torch.zeros(len(truth), dtype=torch.bool)
    placed = _place_errors(truth, kinds, (neighbour, alone), area, COCO, NoiseConfig(**FULL), seeded(2))
    own = (placed - truth).norm(dim=-1)
    mirrored = (placed - truth[:, COCO.flip_permutation]).norm(dim=-1)
    paired = [joint for pair in COCO.flip_pairs for joint in pair]
    if kind == "miss":  # a fifth of them stray to the mirrored joint
        assert 0.1 < (mirrored < own)[:, paired].float().mean() < 0.35
    else:
        assert (own < mirrored)[:, paired].float().mean() > least


def test_similarity_distance_is_the_inverse_of_similarity() -> None:
    area, sigmas = torch.tensor([900.0, 40000.0]), torch.tensor(COCO.oks_sigmas)
    at = torch.zeros(2, 19, 2)
    moved = at.clone()
    moved[..., 0] = similarity_distance(0.5, area, sigmas)
    torch.testing.assert_close(similarity(at, moved, area), torch.full((2, 19), 0.5))


def test_area_of_a_thin_box_does_not_vanish() -> None:
    square = torch.tensor([[[0.0, 0.0], [100.0, 100.0], [50.0, 20.0]]])
    line = torch.tensor([[[0.0, 0.0], [0.0, 100.0], [0.0, 50.0]]])
    torch.testing.assert_close(person_area(square), torch.tensor([5300.0]))
    torch.testing.assert_close(person_area(line), torch.tensor([0.53 * 1500.0]))


def test_the_scale_scales_the_errors(truth: Tensor) -> None:
    def size(scale: float) -> Tensor:
        noisy, _ = add_detection_noise(
            truth, COCO, NoiseConfig(**{**FULL, "scale": (scale, scale), "swap": 0.0}), seeded(3)
        )
        return ((noisy - truth).norm(dim=-1)[:, LABELLED]).median()

    torch.testing.assert_close(size(0.5) / size(1.0), torch.tensor(0.5), atol=0.06, rtol=0)


def test_nobody_has_an_error_where_all_are_clean(truth: Tensor) -> None:
    noisy, confidence = add_detection_noise(truth, COCO, NoiseConfig(**{**FULL, "clean": 1.0}), seeded(4))
    torch.testing.assert_close(noisy[:, LABELLED], truth[:, LABELLED])
    assert (confidence > 0).all()
    noisy, _ = add_detection_noise(truth, COCO, NoiseConfig(**{**FULL, "clean": 0.3}), seeded(4))
    untouched = ((noisy - truth)[:, LABELLED].abs().amax((1, 2)) == 0).float().mean()
    assert abs(untouched - 0.3) < 0.05


def test_none_is_exact(truth: Tensor) -> None:
    config = NoiseConfig(**{**FULL, "model": "none", "plain_confidence": 1.0})
    noisy, confidence = add_detection_noise(truth, COCO, config, seeded(5))
    assert torch.equal(noisy[:, LABELLED], truth[:, LABELLED])
    torch.testing.assert_close(noisy[:, COCO.index("neck")], truth[:, 5:7].mean(1))
    assert (confidence == 1).all()
    noisy, confidence = add_detection_noise(truth, COCO, NoiseConfig(model="none", drop=1.0), seeded(5))
    there = confidence[:, LABELLED] > 0
    assert 0.4 < there.float().mean() < 0.9
    assert torch.equal(noisy[:, LABELLED][there], truth[:, LABELLED][there])


def test_unknown_models_and_joint_sets_are_named(truth: Tensor) -> None:
    with pytest.raises(ValueError, match=r"'laplace' is not known; expected coco, human36 or none"):
        add_detection_noise(truth, COCO, NoiseConfig(model="laplace"), seeded())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"'human36' is for joint set human36, not coco"):
        add_detection_noise(truth, COCO, NoiseConfig(model="human36"), seeded())


def test_confidences_drop_with_the_error(truth: Tensor) -> None:
    noisy, confidence = add_detection_noise(truth, COCO, NoiseConfig(**FULL), seeded(6))
    found = similarity(noisy, truth, person_area(truth))[:, LABELLED]
    confidence = confidence[:, LABELLED]
    correlation = torch.corrcoef(torch.stack((found.flatten(), confidence.flatten())))[0, 1]
    assert correlation > 0.6
    assert confidence[found > GOOD].mean() > 0.8
    assert confidence[found < JITTER].mean() < 0.55
    assert confidence.min() >= 0.05
    assert confidence.max() <= 1


def test_some_confidences_say_nothing(truth: Tensor) -> None:
    _, confidence = add_detection_noise(truth, COCO, NoiseConfig(plain_confidence=0.4, drop=0.5), seeded(7))
    silent = ((confidence == 1) | (confidence == 0)).all(1).float().mean()
    assert abs(silent - 0.4) < 0.05


def test_missing_joints_are_zero_and_five_stay(truth: Tensor) -> None:
    size = torch.full((len(truth), 2), 700.0)
    noisy, confidence = add_detection_noise(truth, COCO, NoiseConfig(drop=1.0, out_of_picture=True), seeded(8), size)
    assert (noisy[confidence == 0] == 0).all()
    assert (noisy[confidence > 0] != 0).any(-1).all()
    there = (confidence[:, LABELLED] > 0).sum(1)
    assert there.min() >= 5
    assert (there < 17).float().mean() > 0.8


def test_people_of_whom_too_little_is_left_keep_everything() -> None:
    joints = 100 + 10 * torch.rand(400, 19, 2, generator=seeded())
    size = torch.full((400, 2), 50.0)  # all of them outside
    _, confidence = add_detection_noise(joints, COCO, NoiseConfig(drop=0.0), seeded(), size)
    assert (confidence > 0).all()
    joints[:, :4] = 20.0  # four joints inside: too few; with the fifth there are enough
    _, confidence = add_detection_noise(joints, COCO, NoiseConfig(drop=0.0), seeded(), size)
    assert (confidence > 0).all()
    joints[:, 4] = 20.0
    _, confidence = add_detection_noise(joints, COCO, NoiseConfig(drop=0.0), seeded(), size)
    assert ((confidence > 0).sum(1) == 5).all()


def test_joints_outside_the_picture_are_lost(truth: Tensor) -> None:
    size = torch.full((len(truth), 2), 700.0)
    _, confidence = add_detection_noise(truth, COCO, NoiseConfig(drop=0.0), seeded(9), size)
    outside = ((truth < 0) | (truth > 700)).any(-1)[:, LABELLED]
    enough = (~outside).sum(1) >= 5
    assert torch.equal(confidence[enough][:, LABELLED] == 0, outside[enough])
    assert outside.any()
    _, confidence = add_detection_noise(truth, COCO, NoiseConfig(drop=0.0, out_of_picture=False), seeded(9), size)
    assert (confidence > 0).all()


def test_derived_joints_are_the_means_of_the_noisy_ones(truth: Tensor) -> None:
    noisy, confidence = add_detection_noise(truth, COCO, NoiseConfig(drop=0.5), seeded(10))
    for name, parts in COCO.derived:
        column, sources = COCO.index(name), [COCO.index(part) for part in parts]
        torch.testing.assert_close(confidence[:, column], confidence[:, sources].amin(1))
        there = confidence[:, column] > 0
        assert 0 < there.float().mean() < 1
        torch.testing.assert_close(noisy[there, column], noisy[there][:, sources].mean(1))


def test_human36_statistics_are_those_of_the_table() -> None:
    """Offsets in pixels of a person box of 256; a person twice as large errs twice as much."""
    count = 20000
    joints = torch.rand(1, 17, 2, generator=seeded()) * 200
    joints[0, 0], joints[0, 1] = torch.tensor([0.0, 0.0]), torch.tensor([200.0, 512.0])
    joints = joints.expand(count, -1, -1)
    noisy, _ = add_detection_noise(joints, HUMAN36, NoiseConfig(**{**FULL, "model": "human36"}), seeded(11))
    offset = (noisy - joints) / 2
    table = torch.tensor([_HUMAN36[name] for name in HUMAN36.names])
    happens = offset.abs().amax(-1) > 0
    torch.testing.assert_close(happens.float().mean(0), table[:, 4], atol=0.01, rtol=0)
    for joint in range(17):
        drawn = offset[happens[:, joint], joint]
        torch.testing.assert_close(drawn.mean(0), table[joint, :2], atol=0.1, rtol=0)
        torch.testing.assert_close(drawn.std(0), table[joint, 2:4], atol=0.08, rtol=0)


def test_scattered_people_lose_joints_anywhere_and_the_others_by_region(truth: Tensor) -> None:
    """Every pattern but the scattered one takes all of the face, all of eyes and ears, or all below a line."""
    everyone = NoiseConfig(model="none", drop=1.0, scattered=0.0, out_of_picture=False)
    _, confidence = add_detection_noise(truth, COCO, everyone, torch.Generator().manual_seed(0))
    missing = confidence[:, :17] <= 0
    eyes_and_ears = missing[:, 1:5].all(1)
    lowest_left = torch.where(missing, -torch.inf, truth[:, :17, 1]).amax(1)
    highest_lost = torch.where(missing, truth[:, :17, 1], torch.inf).amin(1)
    assert (eyes_and_ears | (lowest_left <= highest_lost)).all()
    anywhere = NoiseConfig(model="none", drop=1.0, scattered=1.0, out_of_picture=False)
    _, confidence = add_detection_noise(truth, COCO, anywhere, torch.Generator().manual_seed(0))
    share = (confidence[:, :17] <= 0).float().mean(0)
    assert ((share > 0.15) & (share < 0.35)).all()  # up to half, a quarter on average, whichever joint
