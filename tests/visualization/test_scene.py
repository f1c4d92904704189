"""The scene document: its size and accuracy; and the page that contains it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from pathlib import Path

import numpy as np

from pose2mesh.inference.person import Person
from pose2mesh.inference.predictor import Predictor
from pose2mesh.skeletons import COCO
from pose2mesh.visualization.html_page import STATIC, page_text, write_page
from pose2mesh.visualization.overlay import blank_canvas
from pose2mesh.visualization.renderer import PALETTE
from pose2mesh.visualization.scene import arm_span, describe_frame, describe_scene, quantise


def unpacked(mesh: dict) -> np.ndarray:
    """(V, 3), as web/scene.js does it."""
    planes = np.frombuffer(zlib.decompress(base64.b64decode(mesh["data"])), np.uint8).reshape(3, 2, -1).astype(int)
    counts = np.cumsum(planes[:, 0] + 256 * planes[:, 1], axis=1) & 0xFFFF
    return counts.T * np.array(mesh["step"]) + np.array(mesh["low"])


def recovered(recovery: Predictor) -> list[Person]:
    rng = np.random.default_rng(1)
    return recovery.recover(np.dstack([rng.uniform(0, 400, (2, 17, 2)), rng.uniform(0.3, 1, (2, 17))]))


def test_a_packed_mesh_is_the_mesh_to_a_tenth_of_a_millimetre() -> None:
    vertices = np.random.default_rng(0).uniform((-0.9, -0.2, 3), (0.8, 0.3, 4.7), (5000, 3))
    np.testing.assert_allclose(unpacked(quantise(vertices)), vertices, atol=6e-5)
    flat = np.full((4, 3), 2.5)  # without extent
    np.testing.assert_allclose(unpacked(quantise(flat)), flat, atol=1e-6)


def test_arm_span_does_not_change_with_the_pose() -> None:
    joints = np.zeros((19, 3))
    for name, place in (("shoulder", 0.2), ("elbow", 0.5), ("wrist", 0.75)):
        joints[COCO.index(f"left_{name}")], joints[COCO.index(f"right_{name}")] = (place, 0, 0), (-place, 0, 0)
    assert np.isclose(arm_span(joints, COCO.names), 1.5)
    joints[COCO.index("left_wrist")] = (0.5, 0.25, 0)  # the elbow bent
    assert np.isclose(arm_span(joints, COCO.names), 1.5)


def test_a_frame_holds_what_a_viewer_shows(recovery: Predictor) -> None:
    people = recovered(recovery)
    ground = blank_canvas(people, (320, 240))
    frame = describe_frame(recovery, people, ground, "x", ["a", None], PALETTE[:2])
    assert frame["size"] == [320, 240]
    for person, shown in zip(people, frame["people"], strict=True):
        np.testing.assert_allclose(unpacked(shown["mesh"]), person.vertices_camera * (1, -1, -1), atol=1e-3)
        np.testing.assert_allclose(shown["joints_px"], ground.place(person.joints_px), atol=0.06)
        assert shown["height_m"] == round(person.stature_m, 3)
    assert [shown["colour"] for shown in frame["people"]] == ["#56b4e9", "#e69f00"]
    assert [shown["id"] for shown in frame["people"]] == ["a", None]
    assert frame["picture"].startswith("data:image/jpeg;base64,")
    assert frame["picture"] != frame["overlay"]


def test_the_backdrop_is_behind_all_people_and_has_the_images_corners(recovery: Predictor) -> None:
    people = recovered(recovery)
    frame = describe_frame(recovery, people, blank_canvas(people, (320, 240)), "x", [0, 1], PALETTE[:2])
    corners = np.array(frame["backdrop"]) * (1, -1, -1)
    assert (corners[:, 2] > max(person.vertices_camera[:, 2].max() for person in people)).all()
    seen = people[0].camera.intrinsics.project(corners)
    np.testing.assert_allclose(seen, [(0, 0), (320, 0), (0, 240), (320, 240)], atol=0.1)


def test_people_keep_their_colours_over_frames(recovery: Predictor) -> None:
    people = recovered(recovery)
    frame = describe_frame(recovery, people, blank_canvas(people, (320, 240)), "x", [7, 8], PALETTE[1::-1])
    assert [person["colour"] for person in frame["people"]] == ["#e69f00", "#56b4e9"]


def test_the_page_lets_run_what_stands_in_it_and_nothing_else(recovery: Predictor, tmp_path: Path) -> None:
    title = "</script><script>alert('&')</script>"
    write_page(tmp_path / "x.html", title, recovery, [])
    text = (tmp_path / "x.html").read_text()
    assert title not in text
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    for tag, source in (("style", "style-src"), ("script", "script-src")):
        (inner,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inner.encode()).digest()).decode()
        assert f"{source} 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none';")
    (scene,) = re.findall(r'<script type="application/json" id="scene">(.*?)</script>', text, re.DOTALL)
    assert json.loads(scene) == describe_scene(title, recovery, [])


def test_nothing_in_the_page_names_an_address_to_load_from(recovery: Predictor) -> None:
    text = page_text("x", recovery, [])
    assert not re.findall(r"""(?:src|href)=["']?\w+:""", text)


def test_the_built_script_brings_the_licence_of_three() -> None:
    script = (STATIC / "pose2mesh.js").read_text()
    assert "The above copyright notice and this permission notice shall be included" in script[:2000]


def test_the_built_script_is_that_of_the_sources() -> None:
    sources = sorted(file for file in (Path(__file__).parents[2] / "web").iterdir() if file.suffix in (".js", ".css"))
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in sources)).hexdigest()
    assert f"Sources: {digest} */" in (STATIC / "pose2mesh.js").read_text()[:3000], "run `npm run build` in web/"
