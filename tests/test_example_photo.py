"""The photo of the examples, from pixels to bodies: a man who jumps with raised arms, a woman who walks to the left."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pose2mesh.cli.main import main

ROOT = Path(__file__).parents[1]
PHOTO = ROOT / "examples" / "two_people.jpg"

# Joints in pixels, labelled by hand; under clothes some 10 pixels uncertain. The people are 400 pixels high.
MAN = {
    "nose": (627, 120), "left_shoulder": (669, 146), "right_shoulder": (588, 146), "left_elbow": (697, 110),
    "right_elbow": (556, 112), "left_wrist": (698, 48), "right_wrist": (565, 47), "left_knee": (695, 349),
    "right_knee": (572, 341), "left_ankle": (707, 428), "right_ankle": (552, 423),
}  # fmt: skip
WOMAN = {
    "nose": (1362, 586), "left_elbow": (1392, 688), "left_wrist": (1319, 722), "left_knee": (1439, 835),
    "right_knee": (1321, 819), "left_ankle": (1482, 916), "right_ankle": (1316, 911),
}  # fmt: skip
TOLERANCE_PX = 30


@pytest.fixture(scope="module", params=["auto", "blazepose"])
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What `predict` writes with a detector that ships, all other options left alone."""
    out = tmp_path_factory.mktemp("photo")
    arguments = ["predict", str(PHOTO), "--out", str(out), "--formats", "json,npz,glb", "--detector", request.param]
    assert main(arguments) == 0
    assert {path.name for path in out.iterdir()} == {f"two_people.{suffix}" for suffix in ("json", "npz", "glb")}
    return json.loads((out / "two_people.json").read_text())


@pytest.fixture
def people(found: dict) -> tuple[dict, dict]:
    """The man and the woman."""
    assert len(found["people"]) == 2
    man, woman = sorted(found["people"], key=lambda person: person["joints2d_px"][0])
    return man, woman


def joints(found: dict, person: dict, *names: str) -> NDArray[np.floating]:
    """3D joints (len(names), 3) of a person, metres, y down, z away from the camera."""
    return np.array([person["joints3d_m"][found["joint_names"].index(name)] for name in names])


def test_both_people_are_where_they_are_in_the_photo(found: dict, people: tuple[dict, dict]) -> None:
    for person, expected in zip(people, (MAN, WOMAN), strict=True):
        for name, place in expected.items():
            joint = person["joints2d_px"][found["joint_names"].index(name)]
            assert np.linalg.norm(np.subtract(joint, place)) < TOLERANCE_PX, name
        assert person["score"] > 0.5


def test_the_camera_is_nominal(found: dict) -> None:
    assert found["camera"]["source"] == "nominal"
    assert found["camera"]["size_px"] == [1768, 994]


def test_the_man_jumps_and_the_woman_walks(found: dict, people: tuple[dict, dict]) -> None:
    man, woman = people
    nose, left_wrist, right_wrist, left_ankle, right_ankle = joints(
        found, man, "nose", "left_wrist", "right_wrist", "left_ankle", "right_ankle"
    )
    assert max(left_wrist[1], right_wrist[1]) < nose[1] - 0.1  # above the head
    assert left_ankle[0] - right_ankle[0] > 0.4  # he faces the camera with his legs apart
    left_hip, right_hip, left_foot, right_foot = joints(
        found, woman, "left_hip", "right_hip", "left_ankle", "right_ankle"
    )
    assert left_foot[0] - right_foot[0] > 0.4  # a stride, the right foot in front
    assert left_hip[2] < right_hip[2]  # her left side is towards the camera


def test_bodies_are_upright_and_of_human_size(found: dict, people: tuple[dict, dict]) -> None:
    for person in people:
        neck, pelvis = joints(found, person, "neck", "pelvis")
        torso = pelvis - neck
        assert 0.35 < np.linalg.norm(torso) < 0.7
        assert torso[1] > 0.85 * np.linalg.norm(torso)
