"""A video's NPZ file is shown with the same people and colours, or refused with its fault."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest

from pose2mesh.inference.predictor import Predictor
from pose2mesh.visualization.renderer import PALETTE
from tests.server.serving import Ask
from tests.visualization.test_scene import recovered


def arrays(recovery: Predictor) -> dict[str, Any]:
    """Two people; the second is in the last two of three frames, the first in the first two."""
    people = recovered(recovery)
    person, frame = np.array([0, 0, 1, 1], np.int32), np.array([0, 1, 1, 2], np.int32)
    rows: dict[str, Any] = {
        "vertices": [people[index].vertices for index in person],
        "joints": [people[index].joints for index in person],
        "translation_m": [people[index].camera.translation_m for index in person],
        "joints_px": [people[index].joints_px for index in person],
        "confidence": [people[index].confidence for index in person],
    }
    return {name: np.array(values, np.float32) for name, values in rows.items()} | {
        "frame": frame, "person": person, "bridged": np.zeros(4, bool), "faces": recovery.faces, "frames": np.int64(3),
        "fps": np.float64(30), "size_px": np.array([640, 480]), "intrinsics": np.array([700.0, 700, 320, 240]),
    }  # fmt: skip


def npz(content: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    np.savez(file, **content)
    return file.getvalue()


def test_frames_and_people_are_as_in_the_file(ask: Ask, recovery: Predictor) -> None:
    content = arrays(recovery)
    status, _, body = ask("POST", "/api/people?name=clip.npz", npz(content))
    assert status == 200, body
    result = json.loads(body)
    assert [frame["stem"] for frame in result["frames"]] == ["frame_00000", "frame_00001", "frame_00002"]
    assert [[person["id"] for person in frame["people"]] for frame in result["frames"]] == [[0], [0, 1], [1]]
    np.testing.assert_allclose(result["frames"][2]["people"][0]["joints3d_m"], content["joints"][3], atol=1e-5)
    assert json.loads(ask("GET", f"/api/results/{result['id']}/scene")[2])["frames_per_second"] == 30
    frame = json.loads(ask("GET", f"/api/results/{result['id']}/frames/2/scene")[2])
    assert frame["people"][0]["colour"] == "#{:02x}{:02x}{:02x}".format(*PALETTE[1])
    assert ask("GET", result["frames"][2]["files"]["glb"])[0] == 200


def test_the_scene_is_upright_as_the_file_says(ask: Ask, recovery: Predictor) -> None:
    content = arrays(recovery)
    tilted = content | {"up": np.array([0.0, -0.8, -0.6])}
    scenes = []
    for each in (content, tilted):
        result = json.loads(ask("POST", "/api/people?name=clip.npz", npz(each))[2])
        scenes.append(json.loads(ask("GET", f"/api/results/{result['id']}/frames/0/scene")[2]))
    level, upright = (np.array(scene["people"][0]["joints"]) for scene in scenes)
    assert (scenes[0]["up"]["source"], scenes[1]["up"]["source"]) == ("level", "people")
    # Up in camera axes is (0, −0.8, −0.6), which the level scene shows as (0, 0.8, 0.6).
    np.testing.assert_allclose(upright[:, 1], level @ [0, 0.8, 0.6], atol=2e-4)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("joints", np.zeros((4, 3, 3), np.float32), "joints has shape (4, 3, 3)"),
        ("confidence", np.full((4, 19), np.nan, np.float32), "confidence has shape"),
        ("fps", np.float64(0), "fps is 0.0"),
        ("size_px", np.array([0, 10**9]), "size_px is [0, 1000000000]"),
        ("frame", np.array([0, 1, 2, -5]), "frame and person: expected whole numbers"),
        ("frame", np.array([0.0, 1, 2, 2]), "frame and person: expected whole numbers"),
        ("person", np.array([0, 0, 1, -1]), "expected people in front of a camera"),
        ("intrinsics", np.array([0.0, 700, 320, 240]), "expected people in front of a camera"),
        ("frame", np.array(["0", "1", "2", "3"]), "frame has shape (4,) of <U1"),
        ("up", np.array([0.0, 1.0, 0.0]), "up is [0.0, 1.0, 0.0]; expected a unit vector in camera axes"),
        ("faces", np.zeros((320, 3), np.int32), "its faces are those of another body"),
    ],
)
def test_faults_of_the_file_are_reported(ask: Ask, recovery: Predictor, name: str, value: Any, words: str) -> None:
    status, _, body = ask("POST", "/api/people", npz(arrays(recovery) | {name: value}))
    assert status == 400
    message = json.loads(body)["error"]
    assert message.startswith("upload.npz: ")
    assert words in message
