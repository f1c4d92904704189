"""Synthetic samples: deterministic, geometrically consistent, and as configured."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch

from pose2mesh.baselines.observation import CROP_PX, MAP_PX, PARTS, GroundTruth, Need, Observation
from pose2mesh.baselines.rendering.rendering_config import CHUNK, RenderingConfig
from pose2mesh.baselines.rendering.sample_stream import SampleStream
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.datasets.synthetic.bodies import SyntheticConfig
from pose2mesh.datasets.synthetic.detection_noise import NoiseConfig
from pose2mesh.datasets.synthetic.pose_sampling import PoseConfig, PoseSource
from pose2mesh.errors import InputError
from pose2mesh.skeletons import COCO
from tests.moving_poses import TURN_RAD, moving_poses

Drawn = tuple[Observation, GroundTruth]
ALL: frozenset[Need] = frozenset(("images", "parts", "silhouettes"))
SOURCE = PoseSource(None, PoseConfig(procedural=1.0))
EXACT = NoiseConfig(model="none", drop=0.0, clean=1.0, plain_confidence=1.0, out_of_picture=False)


@pytest.fixture(scope="module")
def stream(anny_body: BodyModel) -> SampleStream:
    return SampleStream(anny_body, COCO, SOURCE, RenderingConfig(), ALL)


@pytest.fixture(scope="module")
def sampled(stream: SampleStream) -> tuple[Observation, GroundTruth]:
    return stream.sample(3, seed=1)


@pytest.fixture(scope="module")
def exact(anny_body: BodyModel) -> tuple[Observation, GroundTruth]:
    config = RenderingConfig(SyntheticConfig(noise=EXACT, views=1), errors=False, occluded=0.0)
    return SampleStream(anny_body, COCO, SOURCE, config, ALL - {"images"}).sample(0, seed=0)


def same(a: Observation | GroundTruth, b: Observation | GroundTruth) -> bool:
    pairs = [(getattr(a, item.name), getattr(b, item.name)) for item in fields(a)]
    return all(one is other is None or torch.equal(one, other) for one, other in pairs)


@pytest.mark.thorough
def test_shapes_and_types(sampled: Drawn) -> None:
    observation, ground_truth = sampled
    assert observation.images is not None
    assert observation.parts is not None
    assert observation.silhouettes is not None
    assert observation.joints.shape == (CHUNK, len(COCO), 2)
    assert observation.images.shape == (CHUNK, 3, CROP_PX, CROP_PX)
    assert observation.parts.shape == (CHUNK, PARTS, MAP_PX, MAP_PX)
    assert observation.silhouettes.shape == (CHUNK, MAP_PX, MAP_PX)
    assert ground_truth.vertices is not None
    assert ground_truth.vertices.shape == (CHUNK, 13718, 3)
    assert ground_truth.index.tolist() == list(range(3 * CHUNK, 4 * CHUNK))
    for value in (
        observation.joints,
        observation.confidence,
        observation.images,
        observation.parts,
        observation.silhouettes,
        ground_truth.visible,
    ):
        assert value.dtype == torch.float32
        assert value.isfinite().all()
    for value in (
        observation.confidence,
        observation.images,
        observation.parts,
        observation.silhouettes,
        ground_truth.visible,
    ):
        assert 0 <= value.min() <= value.max() <= 1


@pytest.mark.thorough
def test_deterministic_in_chunk_and_seed(stream: SampleStream, sampled: Drawn) -> None:
    again = stream.sample(3, seed=1)
    assert same(again[0], sampled[0])
    assert same(again[1], sampled[1])
    assert not torch.equal(stream.sample(3, seed=2)[1].joints, sampled[1].joints)
    assert not torch.equal(stream.sample(4, seed=1)[1].joints, sampled[1].joints)


def test_needs_do_not_change_other_fields(anny_body: BodyModel, sampled: Drawn) -> None:
    observation, ground_truth = SampleStream(
        anny_body, COCO, SOURCE, RenderingConfig(), frozenset(("silhouettes",))
    ).sample(3, seed=1)
    assert observation.images is None
    assert observation.parts is None
    assert same(observation, replace(sampled[0], images=None, parts=None))
    assert same(ground_truth, sampled[1])


def test_distinct_images_repeat(anny_body: BodyModel) -> None:
    stream = SampleStream(anny_body, COCO, SOURCE, RenderingConfig(distinct=2 * CHUNK), frozenset())
    first, again = stream.sample(1, seed=0), stream.sample(3, seed=0)
    assert same(first[0], again[0])
    assert same(first[1], again[1])
    assert again[1].index[0] == CHUNK


def test_some_are_labelled(anny_body: BodyModel) -> None:
    for share in (0.0, 1.0):
        stream = SampleStream(anny_body, COCO, SOURCE, RenderingConfig(labelled=share), frozenset())
        assert stream.sample(0, seed=0)[1].labelled.float().mean() == share


def test_ground_truth_agrees_with_the_body(anny_body: BodyModel, sampled: Drawn) -> None:
    """The parameters give the vertices, and the vertices the joints."""
    ground_truth = sampled[1]
    posed = anny_body(ground_truth.phenotypes[:4], ground_truth.orientations[:4])
    joints = anny_body.regressor(COCO) @ posed
    root = joints[:, COCO.root_index, None]
    assert ground_truth.vertices is not None
    torch.testing.assert_close(posed - root, ground_truth.vertices[:4], atol=1e-4, rtol=0)
    torch.testing.assert_close(joints - root, ground_truth.joints[:4], atol=1e-4, rtol=0)


def test_joints_lie_within_the_silhouette(exact: Drawn) -> None:
    observation, ground_truth = exact
    assert observation.silhouettes is not None
    labelled = len(COCO) - len(COCO.derived)  # a derived joint projects elsewhere than the middle of its two joints
    torch.testing.assert_close(observation.joints[:, :labelled], ground_truth.joints_2d[:, :labelled])
    assert observation.joints.abs().max() < 1
    widened = torch.nn.functional.max_pool2d(observation.silhouettes[:, None], 3, stride=1, padding=1)[:, 0]
    column, row = ((observation.joints + 1) * (MAP_PX / 2)).long().unbind(-1)
    shown = widened[torch.arange(CHUNK)[:, None], row, column]
    assert (shown > 0).float().mean() > 0.99


def test_landmarks(anny_body: BodyModel, exact: Drawn) -> None:
    """Without errors the first landmarks equal the joints; with errors they are near, and missing outside the image."""
    config = RenderingConfig(SyntheticConfig(noise=EXACT, views=1), errors=False)
    observation, ground_truth = SampleStream(anny_body, COCO, SOURCE, config, frozenset(("landmarks",))).sample(
        0, seed=0
    )
    assert observation.landmarks is not None
    assert observation.landmark_confidence is not None
    assert (observation.landmark_confidence == 1).all()
    joints = len(COCO) - len(COCO.derived)
    torch.testing.assert_close(observation.landmarks[:, :joints], ground_truth.joints_2d[:, :joints], atol=1e-3, rtol=0)
    erring, ground_truth = SampleStream(anny_body, COCO, SOURCE, RenderingConfig(), frozenset(("landmarks",))).sample(
        0, seed=0
    )
    assert erring.landmarks is not None
    assert erring.landmark_confidence is not None
    there = erring.landmark_confidence[:, :joints] > 0
    assert 0.5 < there.float().mean() < 0.95
    error = (erring.landmarks[:, :joints] - ground_truth.joints_2d[:, :joints]).norm(dim=-1)
    assert 0.002 < error[there].median() < 0.06


def test_errors_off_is_exact(exact: Drawn) -> None:
    observation = exact[0]
    assert observation.parts is not None
    assert observation.silhouettes is not None
    torch.testing.assert_close(observation.parts.sum(1), observation.silhouettes)
    assert torch.equal((4 * observation.parts).round() / 4, observation.parts)  # whole pixels of the image


def test_errors_are_moderate(anny_body: BodyModel, sampled: Drawn) -> None:
    config = RenderingConfig(errors=False)
    exact = SampleStream(anny_body, COCO, SOURCE, config, ALL - {"images"}).sample(3, seed=1)[0]
    for found, true in ((sampled[0].parts, exact.parts), (sampled[0].silhouettes, exact.silhouettes)):
        assert found is not None
        assert true is not None
        both, either = torch.minimum(found, true).sum(), torch.maximum(found, true).sum()
        assert 0.5 < both / either < 0.9


def test_people_cut_by_the_image_border(anny_body: BodyModel, sampled: Drawn) -> None:
    """Pixels outside the image are grey and show nothing of the person."""
    observation, ground_truth = sampled
    outside = (ground_truth.visible == 0) & (ground_truth.joints_2d.abs() < 0.95).all(-1)
    who, joint = outside.nonzero(as_tuple=True)
    assert len(who) > 0
    column, row = ((ground_truth.joints_2d[who, joint] + 1) * (CROP_PX / 2)).long().unbind(-1)
    assert observation.images is not None
    assert (observation.images[who, :, row, column] == 0.5).all(1).float().mean() > 0.9


def test_without_a_border_everything_is_visible(anny_body: BodyModel) -> None:
    config = RenderingConfig(SyntheticConfig(noise=EXACT, views=1))
    observation, ground_truth = SampleStream(anny_body, COCO, SOURCE, config, frozenset(("images",))).sample(0, seed=0)
    assert (ground_truth.visible == 1).all()
    assert observation.images is not None
    assert not (observation.images == 0.5).all(1).flatten(1).float().mean(1).gt(0.05).any()


@pytest.fixture(scope="module")
def videos(anny_body: BodyModel) -> list[Drawn]:
    """Four frames of 64, every third of a clip."""
    config = RenderingConfig(SyntheticConfig(noise=EXACT, views=1), labelled=0.5, frames=4, stride=3)
    stream = SampleStream(anny_body, COCO, moving_poses(), config, frozenset(("silhouettes",)))
    return [stream.sample(chunk, seed=0) for chunk in range(4, 8)]


@pytest.mark.thorough
def test_each_video_shows_one_person(videos: list[Drawn]) -> None:
    truths = [ground_truth for _, ground_truth in videos]
    for frame, ground_truth in enumerate(truths):
        assert ground_truth.index.tolist() == [4 * (CHUNK + person) + frame for person in range(CHUNK)]
        assert torch.equal(ground_truth.phenotypes, truths[0].phenotypes)
        assert torch.equal(ground_truth.labelled, truths[0].labelled)
    assert len(truths[0].phenotypes.unique(dim=0)) == CHUNK
    assert truths[0].labelled.any()
    assert not truths[0].labelled.all()


def test_frames_of_a_video_are_consecutive_and_share_one_camera(videos: list[Drawn]) -> None:
    """The body turns by three frames of the clip; another camera tilt would change the axis of the turn."""
    hips = torch.stack([ground_truth.orientations[:, 0] for _, ground_truth in videos], dim=1)
    turns = hips[:, 1:] @ hips[:, :-1].mT
    axes = torch.stack([turns[..., i, j] - turns[..., j, i] for i, j in ((2, 1), (0, 2), (1, 0))], dim=-1) / 2
    # In the axes of the crops, which move a little with the person.
    torch.testing.assert_close(axes.norm(dim=-1), torch.full((CHUNK, 3), 3 * TURN_RAD), atol=0.02, rtol=0)
    assert (axes[..., 1] < -0.5 * axes.norm(dim=-1)).all()  # up, where y is down


def test_frames_have_independent_detections_and_occluders(videos: list[Drawn], anny_body: BodyModel) -> None:
    noisy = RenderingConfig(SyntheticConfig(views=1), frames=2)
    stream = SampleStream(anny_body, COCO, moving_poses(), noisy, frozenset())
    (one, _), (other, _) = stream.sample(0, seed=0), stream.sample(1, seed=0)
    missing = [(observation.confidence == 0) for observation in (one, other)]
    assert missing[0].any()
    assert not torch.equal(*missing)
    assert not torch.equal(videos[0][0].silhouettes, videos[1][0].silhouettes)


def test_videos_need_clips_that_are_long_enough(anny_body: BodyModel) -> None:
    with pytest.raises(InputError, match="videos of 16 frames: expected motion clips"):
        SampleStream(anny_body, COCO, SOURCE, RenderingConfig(frames=16), frozenset())
    with pytest.raises(InputError, match="16 frames, each 4 after the other: the longest stretch of a clip has 60"):
        SampleStream(anny_body, COCO, moving_poses(), RenderingConfig(frames=16, stride=4), frozenset())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labelled": 1.5}, r"labelled 1.5: expected a share"),
        ({"occluded": -0.1}, r"occluded -0.1: expected a share"),
        ({"accompanied": 2}, r"accompanied 2: expected a share"),
        ({"distinct": 100}, r"distinct 100: expected a positive multiple of 64"),
        ({"distinct": 0}, r"distinct 0: expected"),
        ({"backgrounds": -1}, r"backgrounds -1: expected"),
        ({"synthetic": SyntheticConfig()}, r"synthetic.views 2: expected 1"),
        ({"frames": 0}, r"frames 0: expected 1 or more"),
        ({"frames": 3, "distinct": 128}, r"distinct 128: expected a positive multiple of 192"),
        ({"frames": 16, "stride": 0}, r"stride 0: expected 1 or more"),
    ],
)
def test_bad_config(anny_body: BodyModel, change: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        SampleStream(anny_body, COCO, SOURCE, RenderingConfig(**change), frozenset())
