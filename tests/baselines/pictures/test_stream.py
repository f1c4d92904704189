"""Drawn people: the same for the same numbers, seen where they are, told as config and interface say."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch

from pose2mesh.baselines.pictures.appearance import Painter
from pose2mesh.baselines.pictures.config import CHUNK, PictureConfig
from pose2mesh.baselines.pictures.raster import Rasteriser
from pose2mesh.baselines.pictures.stream import PictureStream
from pose2mesh.baselines.pictures.view import View, crop_cameras, look
from pose2mesh.baselines.seen import CROP_PX, MAP_PX, PARTS, Crops, Need, Seen, Truth
from pose2mesh.body.anny import AnnyBody
from pose2mesh.data.cameras import Cameras
from pose2mesh.data.noise import NoiseConfig
from pose2mesh.data.poses import PoseConfig, PoseSource
from pose2mesh.data.synthetic import SyntheticConfig
from pose2mesh.errors import InputError
from pose2mesh.skeletons import COCO
from tests.moving_poses import TURN_RAD, moving_poses

Drawn = tuple[Seen, Truth]
ALL: frozenset[Need] = frozenset(("pictures", "parts", "silhouettes"))
SOURCE = PoseSource(None, PoseConfig(procedural=1.0))
EXACT = NoiseConfig(model="none", drop=0.0, clean=1.0, plain_confidence=1.0, out_of_picture=False)


@pytest.fixture(scope="module")
def stream(anny_body: AnnyBody) -> PictureStream:
    return PictureStream(anny_body, COCO, SOURCE, PictureConfig(), ALL)


@pytest.fixture(scope="module")
def drawn(stream: PictureStream) -> tuple[Seen, Truth]:
    return stream.draw(3, seed=1)


@pytest.fixture(scope="module")
def exact(anny_body: AnnyBody) -> tuple[Seen, Truth]:
    config = PictureConfig(SyntheticConfig(noise=EXACT, views=1), errors=False, occluded=0.0)
    return PictureStream(anny_body, COCO, SOURCE, config, ALL - {"pictures"}).draw(0, seed=0)


def same(a: Seen | Truth, b: Seen | Truth) -> bool:
    pairs = [(getattr(a, item.name), getattr(b, item.name)) for item in fields(a)]
    return all(one is other is None or torch.equal(one, other) for one, other in pairs)


def test_shapes_and_types(drawn: Drawn) -> None:
    seen, truth = drawn
    assert seen.pictures is not None
    assert seen.parts is not None
    assert seen.silhouettes is not None
    assert seen.joints.shape == (CHUNK, len(COCO), 2)
    assert seen.pictures.shape == (CHUNK, 3, CROP_PX, CROP_PX)
    assert seen.parts.shape == (CHUNK, PARTS, MAP_PX, MAP_PX)
    assert seen.silhouettes.shape == (CHUNK, MAP_PX, MAP_PX)
    assert truth.vertices is not None
    assert truth.vertices.shape == (CHUNK, 13718, 3)
    assert truth.index.tolist() == list(range(3 * CHUNK, 4 * CHUNK))
    for value in (seen.joints, seen.confidence, seen.pictures, seen.parts, seen.silhouettes, truth.visible):
        assert value.dtype == torch.float32
        assert value.isfinite().all()
    for value in (seen.confidence, seen.pictures, seen.parts, seen.silhouettes, truth.visible):
        assert 0 <= value.min() <= value.max() <= 1


def test_the_same_for_the_same_numbers(stream: PictureStream, drawn: Drawn) -> None:
    again = stream.draw(3, seed=1)
    assert same(again[0], drawn[0])
    assert same(again[1], drawn[1])
    assert not torch.equal(stream.draw(3, seed=2)[1].joints, drawn[1].joints)
    assert not torch.equal(stream.draw(4, seed=1)[1].joints, drawn[1].joints)


def test_what_is_needed_changes_nothing_else(anny_body: AnnyBody, drawn: Drawn) -> None:
    seen, truth = PictureStream(anny_body, COCO, SOURCE, PictureConfig(), frozenset(("silhouettes",))).draw(3, seed=1)
    assert seen.pictures is None
    assert seen.parts is None
    assert same(seen, replace(drawn[0], pictures=None, parts=None))
    assert same(truth, drawn[1])


def test_pictures_that_come_again(anny_body: AnnyBody) -> None:
    stream = PictureStream(anny_body, COCO, SOURCE, PictureConfig(distinct=2 * CHUNK), frozenset())
    first, again = stream.draw(1, seed=0), stream.draw(3, seed=0)
    assert same(first[0], again[0])
    assert same(first[1], again[1])
    assert again[1].index[0] == CHUNK


def test_some_are_labelled(anny_body: AnnyBody) -> None:
    for share in (0.0, 1.0):
        stream = PictureStream(anny_body, COCO, SOURCE, PictureConfig(labelled=share), frozenset())
        assert stream.draw(0, seed=0)[1].labelled.float().mean() == share


def test_truth_agrees_with_the_body(anny_body: AnnyBody, drawn: Drawn) -> None:
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


def test_landmarks(anny_body: AnnyBody, exact: Drawn) -> None:
    """Exact, the first of them are the joints; with errors they are near, and missing where the picture ends."""
    config = PictureConfig(SyntheticConfig(noise=EXACT, views=1), errors=False)
    seen, truth = PictureStream(anny_body, COCO, SOURCE, config, frozenset(("landmarks",))).draw(0, seed=0)
    assert seen.landmarks is not None
    assert seen.landmark_confidence is not None
    assert (seen.landmark_confidence == 1).all()
    joints = len(COCO) - len(COCO.derived)
    torch.testing.assert_close(seen.landmarks[:, :joints], truth.joints_2d[:, :joints], atol=1e-3, rtol=0)
    erring, truth = PictureStream(anny_body, COCO, SOURCE, PictureConfig(), frozenset(("landmarks",))).draw(0, seed=0)
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


def test_errors_are_moderate(anny_body: AnnyBody, drawn: Drawn) -> None:
    config = PictureConfig(errors=False)
    exact = PictureStream(anny_body, COCO, SOURCE, config, ALL - {"pictures"}).draw(3, seed=1)[0]
    for found, true in ((drawn[0].parts, exact.parts), (drawn[0].silhouettes, exact.silhouettes)):
        assert found is not None
        assert true is not None
        both, either = torch.minimum(found, true).sum(), torch.maximum(found, true).sum()
        assert 0.5 < both / either < 0.9


def test_people_cut_by_the_border(anny_body: AnnyBody, drawn: Drawn) -> None:
    """Where the picture ends, it is grey, and nothing is seen of the person."""
    seen, truth = drawn
    outside = (truth.visible == 0) & (truth.joints_2d.abs() < 0.95).all(-1)
    who, joint = outside.nonzero(as_tuple=True)
    assert len(who) > 0
    column, row = ((truth.joints_2d[who, joint] + 1) * (CROP_PX / 2)).long().unbind(-1)
    assert seen.pictures is not None
    assert (seen.pictures[who, :, row, column] == 0.5).all(1).float().mean() > 0.9


def test_without_a_border_everything_is_visible(anny_body: AnnyBody) -> None:
    config = PictureConfig(SyntheticConfig(noise=EXACT, views=1))
    seen, truth = PictureStream(anny_body, COCO, SOURCE, config, frozenset(("pictures",))).draw(0, seed=0)
    assert (truth.visible == 1).all()
    assert seen.pictures is not None
    assert not (seen.pictures == 0.5).all(1).flatten(1).float().mean(1).gt(0.05).any()


@pytest.fixture(scope="module")
def videos(anny_body: AnnyBody) -> tuple[Seen, Truth]:
    """Four of 16 frames, every third of a clip."""
    config = PictureConfig(SyntheticConfig(noise=EXACT, views=1), labelled=0.5, frames=16, stride=3)
    return PictureStream(anny_body, COCO, moving_poses(), config, frozenset(("pictures",))).draw(3, seed=0)


def test_videos_are_of_one_person_each(videos: Drawn) -> None:
    _, truth = videos
    assert truth.index.tolist() == list(range(3 * CHUNK, 4 * CHUNK))
    of_video = (truth.index - truth.index[0]) // 16
    assert torch.equal(truth.index // 16 - 3 * CHUNK // 16, of_video)
    for values in (truth.phenotypes, truth.labelled[:, None]):
        by_video = values.unflatten(0, (4, 16))
        assert torch.equal(by_video, by_video[:, :1].expand_as(by_video))
    assert len(truth.phenotypes.unique(dim=0)) == 4
    assert truth.labelled.any()
    assert not truth.labelled.all()


def test_frames_of_a_video_follow_each_other_before_one_camera(videos: Drawn) -> None:
    """Turned by as much as three frames of the clip; the camera's tilt would show in the axis of the turn."""
    _, truth = videos
    hips = truth.orientations[:, 0].unflatten(0, (4, 16))
    turns = hips[:, 1:] @ hips[:, :-1].mT
    axes = torch.stack([turns[..., i, j] - turns[..., j, i] for i, j in ((2, 1), (0, 2), (1, 0))], dim=-1) / 2
    # In the axes of the crops, which move a little with the person.
    torch.testing.assert_close(axes.norm(dim=-1), torch.full((4, 15), 3 * TURN_RAD), atol=0.02, rtol=0)
    assert (axes[..., 1] < -0.5 * axes.norm(dim=-1)).all()  # up, where y is down


def test_clothes_stay_the_same_over_a_video(anny_body: AnnyBody, facing: Cameras) -> None:
    painter = Painter(anny_body, 0, 0.0, frames=2)
    vertices_cam = (anny_body.template[None] @ facing.rotation.mT).contiguous()
    crops = Crops(torch.tensor([[500.0, 500.0]]), torch.tensor([400.0]))
    one = look(Rasteriser(anny_body.faces.numpy(), CROP_PX), vertices_cam, crop_cameras(facing, crops))
    view = View(4, torch.arange(4).repeat_interleave(len(one.face)), one.pixel.repeat(4), one.face.repeat(4))
    colour, _ = painter.wardrobe.dress(view, torch.Generator().manual_seed(0), 2)
    first, second, third, fourth = colour.chunk(4)
    assert torch.equal(first, second)
    assert torch.equal(third, fourth)
    assert not torch.equal(first, third)


def test_videos_need_clips_that_are_long_enough(anny_body: AnnyBody) -> None:
    with pytest.raises(InputError, match="videos of 16 frames: expected motion clips"):
        PictureStream(anny_body, COCO, SOURCE, PictureConfig(frames=16), frozenset())
    with pytest.raises(InputError, match="16 frames, each 4 after the other: the longest stretch of a clip has 60"):
        PictureStream(anny_body, COCO, moving_poses(), PictureConfig(frames=16, stride=4), frozenset())


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
        ({"frames": 0}, r"frames 0: expected a divisor of 64"),
        ({"frames": 12}, r"frames 12: expected a divisor of 64"),
        ({"frames": 16, "stride": 0}, r"stride 0: expected 1 or more"),
    ],
)
def test_bad_config(anny_body: AnnyBody, change: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        PictureStream(anny_body, COCO, SOURCE, PictureConfig(**change), frozenset())
