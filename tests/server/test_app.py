"""The HTTP API: responses, formats, and messages of refused requests."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from pose2mesh.inference.predictor import Predictor
from pose2mesh.server.request_limits import RequestLimits
from pose2mesh.server.service import DOWNLOADS, Service
from tests.server.serving import LIMITS, Ask, as_json, coco_people, form, photo, running

EXAMPLES = Path(__file__).parents[2] / "src" / "pose2mesh" / "server" / "examples"


def error(answer: tuple[int, dict[str, str], bytes]) -> tuple[int, str]:
    """Status and message of a refusal, which is one line of JSON."""
    message = json.loads(answer[2])["error"]
    assert "\n" not in message
    assert "/tmp" not in message
    return answer[0], message


def recover(ask: Ask, document: object, query: str = "") -> dict:
    status, _, body = ask("POST", f"/api/people{query}", as_json(document))
    assert status == 200, body
    return json.loads(body)


def test_it_says_what_it_takes(ask: Ask) -> None:
    status, _, body = ask("GET", "/api")
    about = json.loads(body)
    assert (status, about["model"], about["photos"]) == (200, "small", True)
    assert [each["name"] for each in about["formats"]] == list(DOWNLOADS)
    assert about["limits"]["upload_bytes"] == LIMITS.upload_bytes
    assert about["examples"]


def test_keypoints_in_people_out_as_predict_writes_them(ask: Ask, recovery: Predictor) -> None:
    result = recover(ask, coco_people())
    (frame,) = result["frames"]
    assert [person["id"] for person in frame["people"]] == [0, 1]
    assert np.shape(frame["people"][0]["joints3d_m"]) == (19, 3)
    assert ask("GET", f"/api/results/{result['id']}")[0] == 200
    status, headers, body = ask("GET", frame["files"]["glb"])
    assert (status, headers["content-type"]) == (200, "model/gltf-binary")
    assert headers["content-disposition"] == 'attachment; filename="upload.glb"'
    scene = trimesh.load(io.BytesIO(body), file_type="glb")
    assert set(scene.geometry) == {"person_0", "person_1"}
    arrays = np.load(io.BytesIO(ask("GET", frame["files"]["npz"])[2]))
    np.testing.assert_allclose(arrays["joints"][1], frame["people"][1]["joints3d_m"], atol=1e-5)
    assert Image.open(io.BytesIO(ask("GET", frame["files"]["overlay"])[2])).size == (640, 480)
    assert ask("GET", frame["files"]["html"])[2].startswith(b"<!doctype html>")
    for name in ("obj", "ply"):
        with zipfile.ZipFile(io.BytesIO(ask("GET", frame["files"][name])[2])) as archive:
            assert archive.namelist() == [f"upload_0.{name}", f"upload_1.{name}"]
    written = json.loads(ask("GET", frame["files"]["json"])[2])
    assert written["people"][0]["joints3d_m"] == frame["people"][0]["joints3d_m"]


def test_an_image_gives_a_scene_without_a_second_request(ask: Ask) -> None:
    status, headers, body = ask("POST", "/api/people?name=holiday.jpg", photo(), Accept="model/gltf-binary")
    assert (status, headers["content-type"]) == (200, "model/gltf-binary")
    assert 'filename="holiday.glb"' in headers["content-disposition"]
    assert len(trimesh.load(io.BytesIO(body), file_type="glb").geometry) == 1


def test_keypoints_sent_with_their_image_are_drawn_over_it(ask: Ask) -> None:
    body, kind = form(("people.json", as_json(coco_people())), ("0.png", photo(640, 480, "PNG")))
    status, _, answer = ask("POST", "/api/people?format=overlay", body, Content_Type=kind)
    assert status == 200
    corner = np.asarray(Image.open(io.BytesIO(answer)))[1, 1]
    np.testing.assert_allclose(corner, (90, 120, 150), atol=3)


def test_images_of_one_request_are_frames_in_order(ask: Ask) -> None:
    result = recover(ask, coco_people(pictures=3))
    assert [frame["stem"] for frame in result["frames"]] == ["0", "1", "2"]
    address = f"/api/results/{result['id']}"
    scene = json.loads(ask("GET", f"{address}/scene")[2])
    assert (scene["frames"], scene["vertices"]) == ([], 162)
    frame = json.loads(ask("GET", f"{address}/frames/2/scene")[2])
    assert (frame["name"], frame["size"], len(frame["people"])) == ("2", [640, 480], 2)
    assert error(ask("GET", f"{address}/frames/3/scene")) == (404, "frame 3: the result has 3")
    with zipfile.ZipFile(io.BytesIO(ask("GET", f"{address}/glb")[2])) as archive:
        assert archive.namelist() == ["0.glb", "1.glb", "2.glb"]


def test_options_have_the_effect_they_have_on_the_command_line(ask: Ask) -> None:
    tall, short = (recover(ask, coco_people(), f"?height={height}") for height in (2.0, 1.0))
    ratio = np.ptp(tall["frames"][0]["people"][0]["joints3d_m"]) / np.ptp(short["frames"][0]["people"][0]["joints3d_m"])
    assert ratio == pytest.approx(2, rel=1e-2)
    known = recover(ask, coco_people(), "?intrinsics=500,500,320,240")
    assert known["frames"][0]["people"][0]["camera"]["kind"] == "perspective"
    assert known["frames"][0]["camera"]["source"] == "given"
    cropped = recover(ask, coco_people(), "?intrinsics=none")
    assert cropped["frames"][0]["camera"]["source"] == "none"


def test_no_person_detected_is_a_result(ask: Ask) -> None:
    result = recover(ask, {"people": []})
    assert result["frames"][0]["people"] == []
    assert error(ask("GET", result["frames"][0]["files"]["glb"])) == (404, "no person was detected, so there is no glb")


@pytest.mark.parametrize(
    ("query", "content", "words"),
    [
        ("", b"%PDF-1.7 and more", "upload: is neither a JPEG"),
        ("", b"", "upload: is neither a JPEG"),
        ("", b"{broken", "upload.json: cannot be read as JSON"),
        ("", b'{"animals": []}', "upload.json: holds"),
        ("", b"\xff\xd8\xff cut short", "upload.jpg: is not a JPEG image"),
        ("", photo()[:800], "upload.jpg: cannot be read as an image"),
        ("?height=tall", b"{}", "height 'tall': expected metres"),
        ("?height=9", b"{}", "height 9.0: expected metres between"),
        ("?joints=fingers", b"{}", "joints 'fingers': expected one of"),
        ("?colour=red", b"{}", "colour: is not an option"),
        ("?refine=yes", b"{}", "refine 'yes': expected true or false"),
        ("?format=exe", b"{}", "format 'exe': expected one of"),
        ("?intrinsics=1", b"{}", "intrinsics '1': expected FX,FY,CX,CY"),
    ],
)
def test_bad_input_is_reported_in_one_line(ask: Ask, query: str, content: bytes, words: str) -> None:
    status, message = error(ask("POST", f"/api/people{query}", content))
    assert status == 400
    assert message.startswith(words)


def test_a_form_without_a_file_is_reported(ask: Ask) -> None:
    body, kind = form()
    assert error(ask("POST", "/api/people", body, Content_Type=kind))[1].startswith("the form has no file")


def test_what_is_not_there_is_a_404(ask: Ask) -> None:
    for path in (
        "/nothing",
        "/api/results/guess",
        "/api/results/guess/scene",
        "/static/../app.py",
        "/static/%2e%2e/app.py",
    ):
        assert ask("GET", path)[0] == 404
    assert ask("GET", "/api/people")[0] == 405


def test_names_lead_nowhere(ask: Ask) -> None:
    document = coco_people()
    document["images"][0]["file_name"] = '../../etc/passwd"\r\nX-Evil: 1'
    for name in ("../../../etc/passwd", "..\\..\\boot.ini", "/dev/null", "a" * 500, "x\x00y", '";rm -rf', ".", ""):
        body, kind = form((name.replace('"', "%22"), as_json(document)))
        status, headers, _ = ask("POST", "/api/people?format=glb", body, Content_Type=kind)
        assert status == 200
        stem = headers["content-disposition"].removeprefix('attachment; filename="').removesuffix('.glb"')
        assert stem.replace("_", "").replace("-", "").isalnum()
        assert len(stem) <= 60
        assert "x-evil" not in headers


def test_every_response_has_the_policy(ask: Ask) -> None:
    for path in ("/", "/static/pose2mesh.js", "/api", "/nothing", "/examples/index.json"):
        _, headers, _ = ask("GET", path)
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
        assert headers["x-content-type-options"] == "nosniff"


def test_pages_of_other_sites_and_other_names_of_the_machine_are_refused(ask: Ask) -> None:
    assert error(ask("POST", "/api/people", b"{}", Sec_Fetch_Site="cross-site"))[0] == 403
    assert ask("GET", "/", Sec_Fetch_Site="cross-site")[0] == 200
    assert ask("GET", "/api", Host="evil.example")[0] == 400


def test_without_a_detector_images_are_refused_and_keypoints_are_not(recovery: Predictor) -> None:
    from starlette.testclient import TestClient

    from pose2mesh.server.app import build_app

    service = Service(recovery, None, RequestLimits())
    client = TestClient(build_app(service))
    assert client.get("/api").json()["photos"] is False
    answer = client.post("/api/people", content=photo())
    assert (answer.status_code, answer.json()["error"]) == (
        415,
        "this server has no detector for images; send keypoints",
    )
    assert client.post("/api/people", content=as_json(coco_people())).status_code == 200
    service.worker.close()


def test_a_fault_of_the_server_is_a_500_that_tells_nothing(recovery: Predictor) -> None:
    from starlette.testclient import TestClient

    from pose2mesh.server.app import build_app

    def broken(picture: np.ndarray, boxes: np.ndarray | None = None) -> list:
        raise RuntimeError("a secret")

    service = Service(recovery, broken, RequestLimits())
    client = TestClient(build_app(service), raise_server_exceptions=False)
    answer = client.post("/api/people", content=photo())
    assert (answer.status_code, answer.json()) == (500, {"error": "the server failed; its log says why"})
    service.worker.close()


def test_shipped_examples_are_people_and_frames(ask: Ask) -> None:
    for entry in json.loads((EXAMPLES / "index.json").read_text()):
        body = (EXAMPLES / entry["file"]).read_bytes()
        assert ask("GET", f"/examples/{entry['file']}")[2] == body
        assert all(frame["people"] for frame in recover(ask, json.loads(body))["frames"])


def test_requests_at_once_are_all_answered(recovery: Predictor) -> None:
    """The small form of benchmarks/serving.py."""
    import urllib.request
    from concurrent.futures import ThreadPoolExecutor

    body = as_json(coco_people(people=1))
    service = Service(recovery, None, RequestLimits(results=5))
    with running(service) as port, ThreadPoolExecutor(8) as clients:
        address = f"http://127.0.0.1:{port}/api/people"

        def post(_: int) -> int:
            with urllib.request.urlopen(urllib.request.Request(address, body), timeout=600) as answer:
                return answer.status

        assert list(clients.map(post, range(40))) == [200] * 40
        assert len(service.results) == 5
        assert service.worker.pending == 0
