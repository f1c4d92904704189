"""Body parts: names, sides, and their position in the image."""

from __future__ import annotations

import torch

from pose2mesh.baselines.observation import CROP_PX, MAP_PX, PARTS, Crops
from pose2mesh.baselines.rendering.body_parts import (
    FLIPPED_PARTS,
    PART_NAMES,
    face_parts,
    label_image,
    part_of_bone,
    share_maps,
    vertex_parts,
)
from pose2mesh.baselines.rendering.rasterizer import Rasteriser
from pose2mesh.baselines.rendering.visibility import crop_cameras, visible_surface
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.datasets.synthetic.camera_sampling import Cameras


def test_names() -> None:
    assert len(PART_NAMES) == len(set(PART_NAMES)) == PARTS
    for name, flipped in zip(PART_NAMES, FLIPPED_PARTS, strict=True):
        swapped = {"left": "right", "right": "left"}
        side, _, part = name.partition("_")
        assert PART_NAMES[flipped] == (f"{swapped[side]}_{part}" if part else name)


def test_bones() -> None:
    assert PART_NAMES[part_of_bone("LeftHand")] == "left_forearm"
    assert PART_NAMES[part_of_bone("RightToeBase")] == "right_foot"
    assert PART_NAMES[part_of_bone("Spine2")] == PART_NAMES[part_of_bone("LeftShoulder")] == "torso"
    assert PART_NAMES[part_of_bone("Neck")] == "head"


def test_faces(anny_body: BodyModel) -> None:
    torch.testing.assert_close(vertex_parts(anny_body).sum(1), torch.ones(len(anny_body.template)))
    part = face_parts(anny_body)
    middle = anny_body.template[anny_body.faces].mean(1)
    assert part.unique().tolist() == list(range(PARTS))
    height = {name: middle[part == index, 2].mean() for index, name in enumerate(PART_NAMES)}
    for low, high in (("left_foot", "left_shank"), ("left_shank", "left_thigh"), ("left_thigh", "torso")):
        assert height[low] < height[high] < height["head"]
    for index, name in enumerate(PART_NAMES):
        if name.startswith("left_"):
            assert (middle[part == index, 0] > 0).all()


def test_left_hand_of_a_person_facing_the_camera_is_on_the_right(anny_body: BodyModel, facing: Cameras) -> None:
    crops = Crops(torch.tensor([[500.0, 500.0]]), torch.tensor([400.0]))
    vertices = anny_body.template[None] @ facing.rotation.mT
    labels = label_image(
        visible_surface(Rasteriser(anny_body.faces.numpy(), CROP_PX), vertices, crop_cameras(facing, crops)),
        face_parts(anny_body),
    )
    row, column = ((labels[0] == PART_NAMES.index(name)).nonzero().float().mean(0) for name in PART_NAMES[4:6])
    assert PART_NAMES[4:6] == ("left_forearm", "right_forearm")
    assert row[1] > CROP_PX / 2 > column[1]
    head, foot = ((labels[0] == PART_NAMES.index(name)).nonzero()[:, 0] for name in ("head", "left_foot"))
    assert head.max() < foot.min()


def test_shares() -> None:
    labels = torch.full((2, CROP_PX, CROP_PX), -1, dtype=torch.int8)
    labels[1, 10:12, 20] = 3  # half of a pixel of the map
    labels[1, 10, 21] = 0
    labels[0, -1, -1] = 11
    maps = share_maps(labels, PARTS)
    assert maps.shape == (2, PARTS, MAP_PX, MAP_PX)
    assert maps[1, 3, 5, 10] == 0.5
    assert maps[1, 0, 5, 10] == maps[0, 11, -1, -1] == 0.25
    assert maps.sum() == 1.0
