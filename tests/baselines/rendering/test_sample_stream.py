"""Drawn people: the same for the same numbers, seen where they are, told as config and interface say."""

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
def drawn(stream: SampleStream) -> tuple[Observation, GroundTruth]:
    return stream.draw(3, seed=1)


@pytest.fixture(scope="module")
def exact(anny_body: BodyModel) -> tuple[Observation, GroundTruth]:
    config = RenderingConfig(SyntheticConfig(noise=EXACT, views=1), errors=False, occluded=0.0)
    return SampleStream(anny_body, COCO, SOURCE, config, ALL - {"images"}).draw(0, seed=0)


def same(a: Observation | GroundTruth, b: Observation | GroundTruth) -> bool:
    pairs = [(getattr(a, item.name), getattr(b, item.name)) for item in fields(a)]
    return all(one is other is None or torch.equal(one, other) for one, other in pairs)


def test_shapes_and_types(drawn: Drawn) -> None:
    seen, truth = drawn
    assert seen.images is not None
    assert seen.parts is not None
    assert seen.silhouettes is not None
    assert seen.joints.shape == (CHUNK, len(COCO), 2)
    assert seen.images.shape == (CHUNK, 3, CROP_PX, CROP_PX)
    assert seen.parts.shape == (CHUNK, PARTS, MAP_PX, MAP_PX)
    assert seen.silhouettes.shape == (CHUNK, MAP_PX, MAP_PX)
    assert truth.vertices is not None
    assert truth.vertices.shape == (CHUNK, 13718, 3)
    assert truth.index.tolist() == list(range(3 * CHUNK, 4 * CHUNK))
    for value in (seen.joints, seen.confidence, seen.images, seen.parts, seen.silhouettes, truth.visible):
        assert value.dtype == torch.float32
        assert value.isfinite().all()
    for value in (seen.confidence, seen.images, seen.parts, seen.silhouettes, truth.visible):
        assert 0 <= value.min() <= value.max() <= 1


def test_the_same_for_the_same_numbers(stream: SampleStream, drawn: Drawn) -> None:
    again = stream.draw(3, seed=1)
    assert same(again[0], drawn[0])
    assert same(again[1], drawn[1])
    assert not torch.equal(stream.draw(3, seed=2)[1].joints, drawn[1].joints)
    assert not torch.equal(stream.draw(4, seed=1)[1].joints, drawn[1].joints)


def test_what_is_needed_changes_nothing_else(anny_body: BodyModel, drawn: Drawn) -> None:
    seen, truth = SampleStream(anny_body, COCO, SOURCE, RenderingConfig(), frozenset(("silhouettes",))).draw(3, seed=1)
    assert seen.images is None
    assert seen.parts is None
    assert same(seen, replace(drawn[0], images=None, parts=None))
    assert same(truth, drawn[1])


def test_pictures_that_come_again(anny_body: BodyModel) -> None:
    stream = SampleStream(anny_body, COCO, SOURCE, RenderingConfig(distinct=2 * CHUNK), frozenset())
    first, again = stream.draw(1, seed=0), stream.draw(3, seed=0)
    assert same(first[0], again[0])
    assert same(first[1], again[1])
    assert again[1].index[0] == CHUNK


def test_some_are_labelled(anny_body: BodyModel) -> None:
    for share in (0.0, 1.0):
        stream = SampleStream(anny_body, COCO, SOURCE, RenderingConfig(labelled=share), frozenset())
        assert stream.draw(0, seed=0)[1].labelled.float().mean() == share


def test_truth_agrees_with_the_body(anny_body: BodyModel, drawn: Drawn) -> None:
    """The parameters give the vertices, and the vertices the joints."""
    truth = drawn[1]
    posed = anny_body(truth.phenotypes[:4], truth.orientations[:4])
    joints = anny_body.regressor(COCO) @ posed
    root = joints[:, COCO.root_index, None]
    assert truth.vertices is not None
    torch.testing.assert_close(posed - root, truth.vertices[:4], atol=1e-4, rtol=0)
    torch.testing.assert_close(joints - root, truth.joints[:4], atol=1e-4, rtol=0)


def test_joints_lie_within_the_silhouette(exact: Drawn) -> None:
    seen, truth = exact
    assert seen.silhouettes is not None
    labelled = len(COCO) - len(COCO.derived)  # the middle of two joints is not seen in the middle of both
    torch.testing.assert_close(seen.joints[:, :labelled], truth.joints_2d[:, :labelled])
    assert seen.joints.abs().max() < 1
    widened = torch.nn.functional.max_pool2d(seen.silhouettes[:, None], 3, stride=1, padding=1)[:, 0]
    column, row = ((seen.joints + 1) * (MAP_PX / 2)).long().unbind(-1)
    shown = widened[torch.arange(CHUNK)[:, None], row, column]
    assert (shown > 0).float().mean() > 0.99


def test_landmarks(anny_body: BodyModel, exact: Drawn) -> None:
    """Exact, the first of them are the joints; with errors they are near, and missing where the picture ends."""
    config = RenderingConfig(SyntheticConfig(noise=EXACT, views=1), errors=False)
    seen, truth = SampleStream(anny_body, COCO, SOURCE, config, frozenset(("landmarks",))).draw(0, seed=0)
    assert seen.landmarks is not None
    assert seen.landmark_confidence is not None
    assert (seen.landmark_confidence == 1).all()
    joints = len(COCO) - len(COCO.derived)
    torch.testing.assert_close(seen.landmarks[:, :joints], truth.joints_2d[:, :joints], atol=1e-3, rtol=0)
    erring, truth = SampleStream(anny_body, COCO, SOURCE, RenderingConfig(), frozenset(("landmarks",))).draw(0, seed=0)
    assert erring.landmarks is not None
    assert erring.landmark_confidence is not None
    there = erring.landmark_confidence[:, :joints] > 0
    assert 0.5 < there.float().mean() < 0.95
    error = (erring.landmarks[:, :joints] - truth.joints_2d[:, :joints]).norm(dim=-1)
    assert 0.002 < error[there].median() < 0.06


def test_errors_off_is_exact(exact: Drawn) -> None:
    seen = exact[0]
    assert seen.parts is not None
    assert seen.silhouettes is not None
    torch.testing.assert_close(seen.parts.sum(1), seen.silhouettes)
    assert torch.equal((4 * seen.parts).round() / 4, seen.parts)  # whole pixels of the picture


def test_errors_are_moderate(anny_body: BodyModel, drawn: Drawn) -> None:
    config = RenderingConfig(errors=False)
    exact = SampleStream(anny_body, COCO, SOURCE, config, ALL - {"images"}).draw(3, seed=1)[0]
    for found, true in ((drawn[0].parts, exact.parts), (drawn[0].silhouettes, exact.silhouettes)):
        assert found is not None
        assert true is not None
        both, either = torch.minimum(found, true).sum(), torch.maximum(found, true).sum()
        assert 0.5 < both / either < 0.9


def test_people_cut_by_the_border(anny_body: BodyModel, drawn: Drawn) -> None:
    """Where the picture ends, it is grey, and nothing is seen of the person."""
    seen, truth = drawn
    outside = (truth.visible == 0) & (truth.joints_2d.abs() < 0.95).all(-1)
    who, joint = outside.nonzero(as_tuple=True)
    assert len(who) > 0
    column, row = ((truth.joints_2d[who, joint] + 1) * (CROP_PX / 2)).long().unbind(-1)
    assert seen.images is not None
    assert (seen.images[who, :, row, column] == 0.5).all(1).float().mean() > 0.9


def test_without_a_border_everything_is_visible(anny_body: BodyModel) -> None:
    config = RenderingConfig(SyntheticConfig(noise=EXACT, views=1))
    seen, truth = SampleStream(anny_body, COCO, SOURCE, config, frozenset(("images",))).draw(0, seed=0)
    assert (truth.visible == 1).all()
    assert seen.images is not None
    assert not (seen.images == 0.5).all(1).flatten(1).float().mean(1).gt(0.05).any()


@pytest.fixture(scope="module")
def videos(anny_body: BodyModel) -> list[Drawn]:
    """Four frames of 64, every third of a clip."""
    config = RenderingConfig(SyntheticConfig(noise=EXACT, views=1), labelled=0.5, frames=4, stride=3)
    stream = SampleStream(anny_body, COCO, moving_poses(), config, frozenset(("silhouettes",)))
    return [stream.draw(chunk, seed=0) for chunk in range(4, 8)]


def test_videos_are_of_one_person_each(videos: list[Drawn]) -> None:
    truths = [truth for _, truth in videos]
    for frame, truth in enumerate(truths):
        assert truth.index.tolist() == [4 * (CHUNK + person) + frame for person in range(CHUNK)]
        assert torch.equal(truth.phenotypes, truths[0].phenotypes)
        assert torch.equal(truth.labelled, truths[0].labelled)
    assert len(truths[0].phenotypes.unique(dim=0)) == CHUNK
    assert truths[0].labelled.any()
    assert not truths[0].labelled.all()


def test_frames_of_a_video_follow_each_other_before_one_camera(videos: list[Drawn]) -> None:
    """Turned by as much as three frames of the clip; the camera's tilt would show in the axis of the turn."""
    hips = torch.stack([truth.orientations[:, 0] for _, truth in videos], dim=1)
    turns = hips[:, 1:] @ hips[:, :-1].mT
    axes = torch.stack([turns[..., i, j] - turns[..., j, i] for i, j in ((2, 1), (0, 2), (1, 0))], dim=-1) / 2
    # In the axes of the crops, which move a little with the person.
    torch.testing.assert_close(axes.norm(dim=-1), torch.full((CHUNK, 3), 3 * TURN_RAD), atol=0.02, rtol=0)
    assert (axes[..., 1] < -0.5 * axes.norm(dim=-1)).all()  # up, where y is down


def test_frames_are_detected_and_hidden_each_by_itself(videos: list[Drawn], anny_body: BodyModel) -> None:
    noisy = RenderingConfig(SyntheticConfig(views=1), frames=2)
    stream = SampleStream(anny_body, COCO, moving_poses(), noisy, frozenset())
    (one, _), (other, _) = stream.draw(0, seed=0), stream.draw(1, seed=0)
    missing = [(seen.confidence == 0) for seen in (one, other)]
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
