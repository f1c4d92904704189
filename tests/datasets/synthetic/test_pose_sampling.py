"""Poses: the algebra of trees of rotations, mirror images, and sampling from joint limits."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from pose2mesh.baselines.common.pose_prior import rotation_vectors
from pose2mesh.body_models.bones import BODY_BONES, PARENTS
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.datasets.synthetic.bodies import BodySynthesiser
from pose2mesh.datasets.synthetic.body_points import overlaps
from pose2mesh.datasets.synthetic.pose_limits import angle_limits
from pose2mesh.datasets.synthetic.pose_sampling import PoseConfig, PoseSource
from pose2mesh.datasets.synthetic.pose_tree import mirror, random_rotations, recombine, to_local, to_world
from pose2mesh.datasets.synthetic.procedural_poses import sample_procedural
from pose2mesh.skeletons import COCO, SMPL, JointSet
from tests.moving_poses import STEP_M, moving_poses

PLAIN = PoseConfig(procedural=0.0, mirror=0.0, recombine=0.0, perturb=0.0)
IDENTITY = torch.eye(3).repeat(1, len(BODY_BONES), 1, 1)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def any_poses(count: int, seed: int = 0) -> Tensor:
    """(count, 22, 3, 3) with every bone in any orientation."""
    return random_rotations(count * len(BODY_BONES), seeded(seed)).reshape(count, len(BODY_BONES), 3, 3)


def joints_of(body: BodyModel, joint_set: JointSet, poses: Tensor) -> dict[str, Tensor]:
    """Each joint (count, 3) of the mean adult, metres."""
    joints, _, _ = BodySynthesiser(body, joint_set, None)(body.mean_phenotypes.expand(len(poses), -1), poses)
    return dict(zip(joint_set.names, joints.unbind(1), strict=True))


def angle_deg(a: Tensor, b: Tensor) -> Tensor:
    return torch.rad2deg(torch.arccos(torch.nn.functional.cosine_similarity(a, b, dim=-1).clamp(-1, 1)))


def test_to_local_and_to_world_are_inverse() -> None:
    poses = any_poses(4)
    local = to_local(poses)
    torch.testing.assert_close(to_world(local), poses, atol=1e-5, rtol=0)
    torch.testing.assert_close(local[:, 0], poses[:, 0])
    bone = BODY_BONES.index("RightForeArm")
    torch.testing.assert_close(poses[:, PARENTS[bone]] @ local[:, bone], poses[:, bone], atol=1e-5, rtol=0)


def test_mirror_twice_is_nothing() -> None:
    poses = any_poses(4)
    torch.testing.assert_close(mirror(mirror(poses)), poses)
    torch.testing.assert_close(torch.linalg.det(mirror(poses)), torch.ones(4, len(BODY_BONES)))
    torch.testing.assert_close(mirror(IDENTITY), IDENTITY)


@pytest.mark.parametrize("joint_set", [COCO, SMPL], ids=lambda joint_set: joint_set.name)
def test_mirror_mirrors_the_body(joint_set: JointSet, anny_body: BodyModel) -> None:
    """Sides exchanged, x negated; Anny itself is symmetric to a centimetre."""
    poses = sample_procedural(20, seeded(), tumble=0.5)
    seen = torch.stack(list(joints_of(anny_body, joint_set, poses).values()), dim=1)
    mirrored = torch.stack(list(joints_of(anny_body, joint_set, mirror(poses)).values()), dim=1)
    expected = seen[:, joint_set.flip_permutation] * torch.tensor([-1.0, 1.0, 1.0])
    assert (mirrored - expected).norm(dim=-1).max() < 0.015
    assert (mirrored - seen).norm(dim=-1).max() > 0.2  # the poses are not symmetric themselves


def test_recombine() -> None:
    legs, upper = any_poses(3, 1), any_poses(3, 2)
    both = recombine(legs, upper)
    first = BODY_BONES.index("Spine")
    torch.testing.assert_close(both[:, :first], legs[:, :first])

    def to_hips(poses: Tensor) -> Tensor:
        return poses[:, :1].mT @ poses[:, first:]

    torch.testing.assert_close(to_hips(both), to_hips(upper), atol=1e-5, rtol=0)
    torch.testing.assert_close(recombine(legs, legs), legs, atol=1e-5, rtol=0)


def test_procedural_poses_are_rotations() -> None:
    poses = sample_procedural(50, seeded())
    torch.testing.assert_close(poses @ poses.mT, torch.eye(3).expand_as(poses), atol=1e-5, rtol=0)
    assert (torch.linalg.det(poses) > 0).all()


@pytest.mark.parametrize("side", ["left", "right"])
def test_knees_bend_backwards_only(side: str, anny_body: BodyModel) -> None:
    poses = sample_procedural(800, seeded(1))
    joints = joints_of(anny_body, SMPL, poses)
    thigh_frame = poses[:, BODY_BONES.index(f"{side.title()}UpLeg")]
    shank = torch.nn.functional.normalize(joints[f"{side}_ankle"] - joints[f"{side}_knee"], dim=-1)
    shank = (thigh_frame.mT @ shank[..., None])[..., 0]
    assert (shank[:, 1] > 0).all()  # +y is behind
    bend = angle_deg(joints[f"{side}_knee"] - joints[f"{side}_hip"], joints[f"{side}_ankle"] - joints[f"{side}_knee"])
    assert bend.min() < 12
    assert 100 < bend.max() < 150


@pytest.mark.parametrize("side", ["left", "right"])
def test_elbows_bend_forwards_only_and_can_be_straight(side: str, anny_body: BodyModel) -> None:
    poses = sample_procedural(800, seeded(2))
    joints = joints_of(anny_body, SMPL, poses)
    arm_frame = poses[:, BODY_BONES.index(f"{side.title()}Arm")]
    forearm = torch.nn.functional.normalize(joints[f"{side}_wrist"] - joints[f"{side}_elbow"], dim=-1)
    forearm = (arm_frame.mT @ forearm[..., None])[..., 0]
    assert (forearm[:, 1] < 0.08).all()  # −y is in front
    bend = angle_deg(
        joints[f"{side}_elbow"] - joints[f"{side}_shoulder"], joints[f"{side}_wrist"] - joints[f"{side}_elbow"]
    )
    assert bend.min() < 8
    assert (bend < 20).float().mean() > 0.15
    assert 130 < bend.max() < 155


def test_heads_are_above_pelves_unless_people_tumble(anny_body: BodyModel) -> None:
    upright = joints_of(anny_body, SMPL, sample_procedural(800, seeded(3), tumble=0.0))
    assert ((upright["head"] - upright["pelvis"])[:, 2] > 0).float().mean() > 0.995
    tumbling = joints_of(anny_body, SMPL, sample_procedural(800, seeded(3), tumble=1.0))
    assert 0.4 < ((tumbling["head"] - tumbling["pelvis"])[:, 2] > 0).float().mean() < 0.6


def test_random_rotations_are_uniform() -> None:
    rotations = random_rotations(4000, seeded())
    torch.testing.assert_close(rotations @ rotations.mT, torch.eye(3).expand_as(rotations), atol=1e-5, rtol=0)
    assert rotations.mean(0).abs().max() < 0.04
    angle = torch.arccos(((rotations.diagonal(dim1=1, dim2=2).sum(-1) - 1) / 2).clamp(-1, 1))
    assert abs(angle.mean() - (torch.pi / 2 + 2 / torch.pi)) < 0.04  # of the Haar measure


@pytest.mark.parametrize("with_clips", [True, False])
def test_the_same_state_gives_the_same_poses(with_clips: bool) -> None:
    frames = any_poses(30) if with_clips else None
    source = PoseSource(frames, PoseConfig(procedural=0.3 if with_clips else 1.0))
    first, again, other = (source.sample(16, seeded(seed)) for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape == (16, len(BODY_BONES), 3, 3)


def test_without_clips_all_poses_are_procedural() -> None:
    poses = PoseSource(None, PoseConfig(procedural=1.0, mirror=0.0)).sample(8, seeded(4))
    assert torch.equal(poses, sample_procedural(8, seeded(4)))
    with pytest.raises(ValueError, match="procedural share must be 1"):
        PoseSource(None, PoseConfig(procedural=0.5))


def frame_numbers(poses: Tensor, frames: Tensor) -> Tensor:
    """Which frame each pose is; every pose must be one."""
    distance = (poses[:, None] - frames).abs().amax((2, 3, 4))
    assert (distance.amin(1) < 1e-5).all()
    return distance.argmin(1)


def test_a_plain_source_gives_the_frames_themselves_by_their_weights() -> None:
    frames = any_poses(4)
    weights = torch.tensor([0.0, 1.0, 1.0, 2.0])
    numbers = frame_numbers(PoseSource(frames, PLAIN, weights).sample(2000, seeded()), frames)
    shares = torch.bincount(numbers, minlength=4) / 2000
    torch.testing.assert_close(shares, weights / 4, atol=0.05, rtol=0)
    even = frame_numbers(PoseSource(frames, PLAIN).sample(2000, seeded()), frames)
    torch.testing.assert_close(torch.bincount(even) / 2000, torch.full((4,), 0.25), atol=0.05, rtol=0)


def test_shares_of_the_augmentations() -> None:
    frames = any_poses(1)
    count = 2000

    def untouched(**shares: float) -> float:
        config = PoseConfig(**{"procedural": 0.0, "mirror": 0.0, "recombine": 0.0, "perturb": 0.0, **shares})
        poses = PoseSource(frames, config).sample(count, seeded(7))
        return float(((poses - frames).abs().amax((1, 2, 3)) < 1e-5).float().mean())

    assert untouched() == 1
    assert untouched(recombine=1.0) == 1  # with itself
    assert abs(untouched(mirror=0.3) - 0.7) < 0.05
    assert abs(untouched(perturb=0.6) - 0.4) < 0.05
    assert abs(untouched(procedural=0.2) - 0.8) < 0.05


def test_perturbation_has_the_configured_spread() -> None:
    frames = any_poses(1)
    config = PoseConfig(procedural=0.0, mirror=0.0, recombine=0.0, perturb=1.0, perturb_rad=0.05)
    turns = to_local(frames).mT @ to_local(PoseSource(frames, config).sample(500, seeded()))
    angle = torch.arccos(((turns.diagonal(dim1=2, dim2=3).sum(-1) - 1) / 2).clamp(-1, 1))
    # The length of a normal vector of three components: mean √(8/π) times the spread.
    torch.testing.assert_close(angle.mean(0), torch.full((22,), 0.05 * (8 / torch.pi) ** 0.5), atol=0.006, rtol=0)


def test_motions_are_stretches_of_one_clip_in_order() -> None:
    """Of the clips of 60 and 30 frames alone those long enough are drawn, and nowhere across the end of one."""
    source = moving_poses()
    poses, path = source.sample_motion(200, 10, 3, seeded())
    assert source.frames is not None
    numbers = frame_numbers(poses, source.frames).unflatten(0, (200, 10))
    assert (numbers.diff(dim=1) == 3).all()
    assert (numbers[:, 0] < 60).eq(numbers[:, -1] < 60).all()
    assert len(numbers[:, 0].unique()) > 20
    assert (source.sample_motion(50, 20, 3, seeded())[0].unflatten(0, (50, 20))[:, 0, 0, 1, 0] < 0.1).all()  # clip 1
    path = path.unflatten(0, (200, 10))
    torch.testing.assert_close(path.diff(dim=1)[..., 0], torch.full((200, 9), 3 * STEP_M))
    torch.testing.assert_close(path.mean(1), torch.zeros(200, 3), atol=1e-6, rtol=0)


def test_motions_are_varied_as_a_whole() -> None:
    """What is done to the first pose is done to all: poses change from frame to frame as before, or mirrored."""
    plain, _ = moving_poses().sample_motion(40, 6, 1, seeded())
    every = PoseConfig(procedural=0.0, mirror=0.5, recombine=0.5, perturb=1.0)
    varied, path = moving_poses(every).sample_motion(40, 6, 1, seeded())
    bends = [
        to_local(poses).unflatten(0, (40, 6))[:, :, 1:].diff(dim=1).abs().amax((1, 2, 3, 4))
        for poses in (plain, varied)
    ]
    assert bends[0].max() < 1e-5  # nothing but the hips turns in these clips
    assert bends[1].max() < 1e-5
    assert (to_local(varied)[:, 1:] - torch.eye(3)).abs().amax() > 0.1
    steps = path.unflatten(0, (40, 6)).diff(dim=1)[..., 0] / STEP_M
    assert set(steps.round().flatten().tolist()) == {-1.0, 1.0}
    assert steps.sign().diff(dim=1).abs().max() == 0
    turns = varied[:, 0].unflatten(0, (40, 6))
    turn = (turns[:, 1:] @ turns[:, :-1].mT)[..., 1, 0]
    torch.testing.assert_close(turn.sign(), steps.sign())  # path and pose are mirrored together


def test_drawn_poses_are_within_the_limits() -> None:
    """Those of the joints whose limits are one rotation vector's components; seated hips and knees have their own."""
    limits = angle_limits()
    vectors = rotation_vectors(sample_procedural(200, torch.Generator().manual_seed(0)))
    angles = (vectors[:, limits.bone - 1] * limits.axis).sum(-1)
    legs = [BODY_BONES.index(side + name) for side in ("Left", "Right") for name in ("UpLeg", "Leg")]
    others = ~torch.isin(limits.bone, torch.tensor(legs))
    slack = torch.deg2rad(torch.tensor(3.0))  # sides made alike differ a little
    assert (angles[:, others] < limits.high[others] + slack).all()
    assert (angles[:, others] > limits.low[others] - slack).all()


BROAD = PoseConfig(
    procedural=0.3, archetypes=0.7, recombine=0.3, mix_limbs=0.4, perturb=0.5, tails=0.5, rest=0.2, any_orientation=0.1
)


@pytest.mark.parametrize("with_clips", [True, False])
def test_broad_poses_are_rotations_and_repeat(with_clips: bool) -> None:
    source = PoseSource(
        sample_procedural(40, seeded(1)) if with_clips else None, replace(BROAD, procedural=1 - 0.7 * with_clips)
    )
    first, again, other = (source.sample(200, seeded(seed)) for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    torch.testing.assert_close(first @ first.mT, torch.eye(3).expand_as(first), atol=1e-4, rtol=0)
    assert (torch.linalg.det(first) > 0).all()
    assert overlaps(first).float().mean() < 0.01 + overlaps(sample_procedural(40, seeded(1))).float().mean()


def test_new_keys_are_off_by_default() -> None:
    assert not PoseConfig().broad
    assert not PoseConfig(rarity=0.5).broad  # only the weights differ
    for key in ("mix_limbs", "tails", "archetypes", "rest", "any_orientation"):
        assert replace(PoseConfig(), **{key: 0.1}).broad


def test_limbs_of_mixed_poses_are_those_of_frames() -> None:
    frames = sample_procedural(30, seeded(3))
    local = to_local(frames)
    mixed = to_local(PoseSource(frames, replace(PLAIN, mix_limbs=1.0)).sample(60, seeded(4)))
    sources = []
    for name in ("Spine", "LeftLeg", "LeftForeArm", "RightLeg", "RightForeArm"):
        bone = BODY_BONES.index(name)
        distance = (mixed[:, None, bone] - local[:, bone]).abs().amax((2, 3))
        assert (distance.amin(1) < 1e-4).all()
        sources.append(distance.argmin(1))
    assert (torch.stack(sources).diff(dim=0) != 0).float().mean() > 0.7


def test_shares_of_the_orientations() -> None:
    frames = IDENTITY.expand(3, -1, -1, -1)

    def upright(**shares: float) -> float:
        poses = PoseSource(frames, replace(PLAIN, **shares)).sample(1000, seeded(8))
        torch.testing.assert_close(to_local(poses)[:, 1:], IDENTITY[:, 1:].expand(1000, -1, -1, -1), atol=1e-4, rtol=0)
        return float((poses[:, 0, 2, 2] > 0.99).float().mean())

    assert abs(upright(rest=0.3, rest_temperature_m=0.05) - 0.7) < 0.05
    assert abs(upright(any_orientation=0.4) - 0.6) < 0.05
