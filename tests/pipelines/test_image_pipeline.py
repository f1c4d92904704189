"""The output of `predict`: every file and field of the contract, all of an image's files or none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from pose2mesh.body_models.interface import BodyMesh
from pose2mesh.detectors import registry as detectors
from pose2mesh.detectors.detection import Detection
from pose2mesh.detectors.hands import hand_detector
from pose2mesh.errors import InputError
from pose2mesh.geometry.camera import Intrinsics, nominal_intrinsics
from pose2mesh.inference.predictor import Predictor
from pose2mesh.io import mesh_files
from pose2mesh.io.hands import Hands
from pose2mesh.io.images import read_image
from pose2mesh.io.keypoints import read_keypoints
from pose2mesh.models.bundle.bundle import Bundle, load_bundle, save_bundle
from pose2mesh.models.mesh_topology import build_topology
from pose2mesh.models.network_config import NetworkConfig
from pose2mesh.models.pose2mesh import Pose2Mesh
from pose2mesh.pipelines.formats import writers
from pose2mesh.pipelines.image_pipeline import predict_files
from pose2mesh.pipelines.predict_options import PredictOptions
from pose2mesh.skeletons import HAND, HUMAN36

ALL = ",".join(name for name in writers("image") if name != "rig")  # the small body has none


def options(out: Path, formats: str = ALL, image: Path | None = None, height: float | None = None) -> PredictOptions:
    chosen = PredictOptions(out, "coco", image, "auto", height, formats)
    chosen.check()
    return chosen


def people_px(count: int = 2, seed: int = 0) -> np.ndarray:
    """(P, 17, 3) invented pixels and confidences inside an image of 640 x 480."""
    rng = np.random.default_rng(seed)
    pixels = rng.uniform(0, 150, (count, 17, 2)) + rng.uniform((50, 50), (450, 250), (count, 1, 2))
    return np.concatenate([pixels, rng.uniform(0.3, 1, (count, 17, 1))], axis=2)


def coco_file(path: Path, size: tuple[int, int] = (640, 480), scale: float = 1.0) -> Path:
    """A COCO file of two people, a crowd and a person with three keypoints, on `photo.jpg`."""
    keypoints = people_px()
    annotations = []
    for index, person in enumerate(keypoints):
        rows = np.column_stack([person[:, :2] * scale, np.full(17, 2)])
        annotations.append({"id": 70 + index, "image_id": 1, "keypoints": rows.ravel().tolist()})
    few = np.zeros((17, 3))
    few[:3] = (5, 5, 2), (9, 9, 2), (5, 9, 2)
    annotations.insert(1, {"id": 90, "image_id": 1, "keypoints": few.ravel().tolist()})
    annotations.append({"id": 91, "image_id": 1, "iscrowd": 1, "keypoints": [0] * 51})
    image = {"id": 1, "file_name": "photo.jpg", "width": size[0], "height": size[1]}
    path.write_text(json.dumps({"images": [image], "annotations": annotations}))
    return path


class Lines(list[str]):
    """Collects printed lines."""

    def __call__(self, line: str) -> None:
        self.append(line)


def run(inputs: list[Path], bundle: Path, asked: PredictOptions) -> tuple[int, Lines, Lines]:
    say, warn = Lines(), Lines()
    return predict_files(inputs, str(bundle), "cpu", asked, say, warn), say, warn


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_every_file_of_the_contract(bundle_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    status, say, warn = run([coco_file(tmp_path / "two.json")], bundle_file, options(out))
    assert (status, warn) == (0, [])
    assert say == [
        "two: 2 recovered, 2 skipped",
        "  skipped 90: 3 labelled keypoints, at least 5 are needed",
        "  skipped 91: a crowd region, not one person",
    ]
    assert names(out) == {
        "two_0.obj", "two_1.obj", "two_0.ply", "two_1.ply", "two.glb", "two.html", "two.json", "two.npz",
        "two_overlay.png",
    }  # fmt: skip

    document = json.loads((out / "two.json").read_text())
    assert document["input"] == "photo.jpg"
    assert document["model"] == "small"
    assert len(document["joint_names"]) == 19
    assert [person["id"] for person in document["people"]] == [70, 71]
    assert [skipped["id"] for skipped in document["skipped"]] == [90, 91]
    arrays = np.load(out / "two.npz")
    assert arrays["vertices"].shape == (2, 162, 3)
    assert arrays["joints"].shape == (2, 19, 3)
    assert arrays["faces"].shape == (320, 3)
    scene = trimesh.load(out / "two.glb")
    for index, person in enumerate(document["people"]):
        assert person["files"] == {
            "obj": f"two_{index}.obj",
            "ply": f"two_{index}.ply",
            "glb": "two.glb",
            "npz": "two.npz",
            "overlay": "two_overlay.png",
            "html": "two.html",
        }
        np.testing.assert_allclose(person["joints3d_m"], arrays["joints"][index], atol=1e-5)
        camera = person["camera"]
        assert (camera["kind"], camera["source"]) == ("perspective", "nominal")
        projected = Intrinsics(*camera["intrinsics"]).project(arrays["joints"][index] + camera["translation_m"])
        # Five decimals of a metre are a pixel or so on this untrained body, which is millimetres wide.
        np.testing.assert_allclose(person["joints2d_px"], projected, rtol=1e-3, atol=0.5)
        assert np.shape(person["input2d_px"]) == (19, 2)
        assert 0 < person["score"] <= 1
        assert person["stature_m"] > 0
        upright = arrays["vertices"][index] * (1, -1, -1)
        mesh = trimesh.load(out / f"two_{index}.obj", process=False)
        np.testing.assert_allclose(mesh.vertices, upright, atol=1e-5)
        np.testing.assert_array_equal(mesh.faces, arrays["faces"])
        in_scene = scene.geometry[f"person_{index}"].vertices
        np.testing.assert_allclose(in_scene, upright + np.array(camera["translation_m"]) * (1, -1, -1), atol=1e-4)
    assert Image.open(out / "two_overlay.png").size == (640, 480)


def test_files_agree_with_the_library(bundle_file: Path, tmp_path: Path) -> None:
    array = people_px(3)
    np.save(tmp_path / "three.npy", array)
    assert run([tmp_path / "three.npy"], bundle_file, options(tmp_path, "npz,json"))[0] == 0
    found = np.load(tmp_path / "three.npz")
    document = json.loads((tmp_path / "three.json").read_text())
    people = Predictor.load(bundle_file).recover(array)
    for index, person in enumerate(people):
        np.testing.assert_allclose(found["vertices"][index], person.vertices, atol=1e-6)
        np.testing.assert_allclose(
            document["people"][index]["camera"]["translation_m"], person.camera.translation_m, rtol=1e-3
        )
        assert document["people"][index]["score"] == pytest.approx(person.score, abs=1e-5)


def test_intrinsics_and_height_reach_the_files(bundle_file: Path, tmp_path: Path) -> None:
    source = coco_file(tmp_path / "two.json")
    asked = PredictOptions(tmp_path / "out", "coco", None, "600,610,320,240", 1.8, "json,npz")
    assert run([source], bundle_file, asked)[0] == 0
    picture = read_keypoints(source)[0]
    expected = Predictor.load(bundle_file).recover(
        np.stack([person.original for person in picture.people]),
        intrinsics=Intrinsics(600, 610, 320, 240),
        height_m=1.8,
    )
    found = np.load(tmp_path / "out" / "two.npz")
    for index, person in enumerate(json.loads((tmp_path / "out" / "two.json").read_text())["people"]):
        assert person["camera"]["kind"] == "perspective"
        assert person["camera"]["intrinsics"] == [600, 610, 320, 240]
        assert person["stature_m"] == 1.8
        np.testing.assert_allclose(found["vertices"][index], expected[index].vertices, atol=1e-5)


def test_nominal_intrinsics_come_from_the_image(bundle_file: Path, tmp_path: Path) -> None:
    source = coco_file(tmp_path / "two.json", (640, 480))
    asked = PredictOptions(tmp_path / "out", "coco", None, "nominal", None, "json")
    assert run([source], bundle_file, asked)[0] == 0
    camera = json.loads((tmp_path / "out" / "two.json").read_text())["people"][0]["camera"]
    expected = nominal_intrinsics((640, 480))
    assert camera["kind"] == "perspective"
    assert camera["intrinsics"] == [expected.fx, expected.fy, 320, 240]


def test_what_camera_was_used_stands_in_the_document(bundle_file: Path, tmp_path: Path) -> None:
    source = coco_file(tmp_path / "two.json", (640, 480))
    found = {}
    for given in ("auto", "none", "500,500,320,240,-0.2,0.1,0,0"):
        asked = PredictOptions(tmp_path / "out", intrinsics=given, formats="json")
        assert run([source], bundle_file, asked)[0] == 0
        document = json.loads((tmp_path / "out" / "two.json").read_text())
        found[given] = document["camera"]
        assert document["people"][0]["camera"]["source"] == document["camera"]["source"]
    auto, none, known = found.values()
    assert auto["source"] == "nominal"
    assert auto["size_px"] == [640, 480]
    assert none == {"source": "none", "size_px": [640, 480]}
    assert known["source"] == "given"
    assert known["intrinsics"] == [500, 500, 320, 240]
    assert known["distortion"] == [-0.2, 0.1, 0, 0]
    assert known["field_of_view_deg"] == pytest.approx([65.24, 51.28, 77.32], abs=0.01)
    assert known["focal_length_35mm"] == pytest.approx(27.04, abs=0.01)


def photo_of_26_mm(path: Path, focal: int = 26) -> Path:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = focal
    Image.new("RGB", (320, 240)).save(path, exif=exif.tobytes())
    return path


@pytest.mark.parametrize(("focal", "source"), [(26, "metadata"), (3, "nominal")])
def test_the_focal_length_of_the_metadata_is_used(bundle_file: Path, tmp_path: Path, focal: int, source: str) -> None:
    """Of a copy of half the size, so that intrinsics are in pixels of the keypoints."""
    image = photo_of_26_mm(tmp_path / "photo.jpg", focal)
    people = coco_file(tmp_path / "two.json", (640, 480))
    status, said, warned = run([people], bundle_file, options(tmp_path / "out", "json", image))
    assert (status, warned) == (0, [])
    camera = json.loads((tmp_path / "out" / "two.json").read_text())["camera"]
    assert camera["source"] == source
    if source == "metadata":
        assert camera["focal_length_35mm"] == 26
        assert camera["intrinsics"] == pytest.approx([800 * 26 / 43.2666, 800 * 26 / 43.2666, 320, 240], rel=1e-4)
    else:
        line = f"  {image}: EXIF FocalLengthIn35mmFilm is 3; expected 8 to 1200 mm; it is ignored"
        assert line in said


def test_a_given_image_size_gives_a_camera(bundle_file: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "pose.npy", people_px(2))
    for given in ("auto", "28mm"):
        asked = PredictOptions(tmp_path / "out", intrinsics=given, formats="json", image_size="640,480")
        assert run([tmp_path / "pose.npy"], bundle_file, asked)[0] == 0
        camera = json.loads((tmp_path / "out" / "pose.json").read_text())["camera"]
        assert camera["size_px"] == [640, 480]
        assert camera["source"] == ("given" if given == "28mm" else "nominal")
        assert given == "auto" or camera["focal_length_35mm"] == 28


def test_an_image_size_without_the_people_is_refused(bundle_file: Path, tmp_path: Path) -> None:
    array = people_px(1)
    array[..., :2] += 1000
    np.save(tmp_path / "pose.npy", array)
    asked = PredictOptions(tmp_path / "out", formats="json", image_size="640,480")
    status, _, warned = run([tmp_path / "pose.npy"], bundle_file, asked)
    assert status == 2
    assert "pose: person 0: no joint lies in the image of 640x480 pixels" in warned[0]


def test_without_a_size_there_is_no_camera(bundle_file: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "pose.npy", people_px(1))
    assert run([tmp_path / "pose.npy"], bundle_file, options(tmp_path / "out", "json"))[0] == 0
    document = json.loads((tmp_path / "out" / "pose.json").read_text())
    assert document["camera"] == {"source": "none", "size_px": None}
    assert document["people"][0]["camera"]["kind"] == "weak_perspective"


def test_nominal_intrinsics_need_a_size(bundle_file: Path, tmp_path: Path) -> None:
    array = tmp_path / "pose.npy"
    np.save(array, np.random.default_rng(0).random((17, 2)) * 300)
    asked = PredictOptions(tmp_path / "out", "coco", None, "nominal", None, "json")
    status, _, warned = run([array], bundle_file, asked)
    assert status == 2
    assert "--intrinsics nominal: the size of the image 'pose' is unknown; give --image" in warned[0]
    assert not list((tmp_path / "out").glob("*"))


@pytest.mark.parametrize("formats", ["ply", " npz , json ", "glb", "overlay"])
def test_only_requested_formats_are_written(bundle_file: Path, tmp_path: Path, formats: str) -> None:
    out = tmp_path / "out"
    assert run([coco_file(tmp_path / "two.json")], bundle_file, options(out, formats))[0] == 0
    expected = {
        "ply": {"two_0.ply", "two_1.ply"},
        " npz , json ": {"two.npz", "two.json"},
        "glb": {"two.glb"},
        "overlay": {"two_overlay.png"},
    }
    assert names(out) == expected[formats]


@pytest.mark.parametrize("formats", ["", ",", "obj,stl", "OBJ"])
def test_unknown_formats_are_refused(tmp_path: Path, formats: str) -> None:
    with pytest.raises(InputError, match=r"--formats .*expected some of obj, glb, json, npz, ply, overlay"):
        options(tmp_path, formats)


@pytest.mark.parametrize("height", [0.0, -1.7, 170.0, float("nan")])
def test_impossible_heights_are_refused(tmp_path: Path, height: float) -> None:
    with pytest.raises(InputError, match=r"--height .*: expected metres between 0.3 and 3"):
        options(tmp_path, height=height)


def test_an_image_without_people_is_no_fault(bundle_file: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.json").write_text('{"people": []}')
    status, say, warn = run([tmp_path / "empty.json"], bundle_file, options(tmp_path / "out"))
    assert (status, say, warn) == (0, ["empty: 0 recovered, 0 skipped"], [])
    assert names(tmp_path / "out") == {"empty.html", "empty.json", "empty.npz", "empty_overlay.png"}
    assert np.load(tmp_path / "out" / "empty.npz")["vertices"].shape == (0, 162, 3)


def test_a_model_without_heights_writes_null(bundle_file: Path, tmp_path: Path) -> None:
    bundle = load_bundle(bundle_file)
    bundle.info.stature_features = []
    save_bundle(tmp_path / "plain.safetensors", bundle)
    source = coco_file(tmp_path / "two.json")
    assert run([source], tmp_path / "plain.safetensors", options(tmp_path / "out"))[0] == 0
    text = (tmp_path / "out" / "two.json").read_text()
    assert "NaN" not in text
    assert json.loads(text)["people"][0]["stature_m"] is None
    with pytest.raises(InputError, match="model 'small' does not predict heights"):
        run([source], tmp_path / "plain.safetensors", options(tmp_path / "other", height=1.7))
    assert not (tmp_path / "other").exists()


def test_who_lacks_the_joints_of_the_model_is_skipped(
    body: BodyMesh, posed_bodies: np.ndarray, small_config: NetworkConfig, bundle_file: Path, tmp_path: Path
) -> None:
    """Five joints of the face suffice for a file, but a model of Human3.6M joints knows only the nose of them."""
    surface = build_topology(body, HUMAN36, small_config, posed_bodies[:40])
    info = replace(load_bundle(bundle_file).info, joint_set="human36", stature_features=[])
    save_bundle(tmp_path / "h36m.safetensors", Bundle(Pose2Mesh(small_config, HUMAN36, surface), surface, info))
    array = people_px(2)
    array[0, 5:, 2] = 0
    np.save(tmp_path / "two.npy", array)
    status, say, _ = run([tmp_path / "two.npy"], tmp_path / "h36m.safetensors", options(tmp_path, "json"))
    assert status == 0
    assert say[1] == "  skipped 0: 1 of the joints of 'human36' are there, at least 5 are needed"
    assert [person["id"] for person in json.loads((tmp_path / "two.json").read_text())["people"]] == [1]


def test_good_inputs_are_done_beside_bad_ones(bundle_file: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('{"people": [')
    np.save(tmp_path / "good.npy", people_px(1))
    inputs = [tmp_path / "bad.json", tmp_path / "missing.npy", tmp_path / "good.npy"]
    status, say, warn = run(inputs, bundle_file, options(tmp_path / "out", "obj"))
    assert status == 1
    assert len(say) == 1
    assert names(tmp_path / "out") == {"good_0.obj"}
    assert [line.split(": ")[1] for line in warn] == [str(tmp_path / "bad.json"), str(tmp_path / "missing.npy")]


def test_inputs_of_one_name_do_not_overwrite_each_other(bundle_file: Path, tmp_path: Path) -> None:
    for folder, seed in (("a", 1), ("b", 2)):
        (tmp_path / folder).mkdir()
        np.save(tmp_path / folder / "pose.npy", people_px(1, seed))
    first, second = tmp_path / "a" / "pose.npy", tmp_path / "b" / "pose.npy"
    status, _, warn = run([first, second], bundle_file, options(tmp_path / "out", "npz"))
    assert status == 1
    assert len(warn) == 1
    assert f"{second}: its files would overwrite those of {first}" in warn[0]
    expected = Predictor.load(bundle_file).recover(people_px(1, 1))[0]
    np.testing.assert_allclose(np.load(tmp_path / "out" / "pose.npz")["vertices"][0], expected.vertices, atol=1e-6)


@pytest.mark.parametrize("writer", ["write_obj", "write_glb", "write_npz", "write_json"])
@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), InputError("x.glb: cannot be written")])
def test_a_write_that_fails_leaves_nothing(
    bundle_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer: str, fault: Exception
) -> None:
    def fail(*_: object) -> None:
        raise fault

    monkeypatch.setattr(mesh_files, writer, fail)
    source = coco_file(tmp_path / "two.json")
    status, say, warn = run([source], bundle_file, options(tmp_path / "new"))
    assert (status, say, len(warn)) == (2, [], 1)
    assert not (tmp_path / "new").exists()

    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "two.json").write_text("from an earlier run")
    assert run([source], bundle_file, options(kept))[0] == 2
    assert names(kept) == {"two.json"}
    assert (kept / "two.json").read_text() == "from an earlier run"


def test_an_interruption_leaves_nothing(bundle_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(mesh_files, "write_json", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run([coco_file(tmp_path / "two.json")], bundle_file, options(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_folder_in_the_place_of_a_file_is_named(bundle_file: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "two.json").mkdir(parents=True)
    status, _, warn = run([coco_file(tmp_path / "two.json")], bundle_file, options(tmp_path / "out"))
    assert status == 2
    assert warn == [f"pose2mesh: {tmp_path / 'out' / 'two.json'}: is a folder; expected to write a file there"]
    assert names(tmp_path / "out") == {"two.json"}


def test_older_files_are_replaced_whole(bundle_file: Path, tmp_path: Path) -> None:
    source = coco_file(tmp_path / "two.json")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "two.json").write_text("old")
    (tmp_path / "out" / "other.txt").write_text("someone else's")
    assert run([source], bundle_file, options(tmp_path / "out", "json"))[0] == 0
    assert names(tmp_path / "out") == {"two.json", "other.txt"}
    assert len(json.loads((tmp_path / "out" / "two.json").read_text())["people"]) == 2


@pytest.mark.parametrize(("place", "stretch"), [(0.0, 1.0), (9e5, 1.0), (-9e5, 1.0), (-4e5, 3000.0), (0.0, 0.001)])
def test_the_plain_canvas_shows_people_wherever_they_are(
    bundle_file: Path, tmp_path: Path, place: float, stretch: float
) -> None:
    array = people_px(1)
    array[..., :2] = array[..., :2] * stretch + place
    np.save(tmp_path / "far.npy", array)
    assert run([tmp_path / "far.npy"], bundle_file, options(tmp_path, "overlay"))[0] == 0
    picture = np.asarray(Image.open(tmp_path / "far_overlay.png")).astype(int)
    assert max(picture.shape) == 900
    assert (picture.sum(2) < 250).sum() > 300  # the skeleton's dark rim


def test_a_huge_image_is_drawn_small(bundle_file: Path, tmp_path: Path) -> None:
    source = coco_file(tmp_path / "two.json", size=(1_000_000, 500_000), scale=1000)
    assert run([source], bundle_file, options(tmp_path, "overlay"))[0] == 0
    assert Image.open(tmp_path / "two_overlay.png").size == (1600, 800)


def photo(path: Path, size: tuple[int, int], orientation: int | None = None) -> Path:
    """A dark grey image with a red top left corner."""
    image = Image.new("RGB", size, (40, 40, 40))
    image.paste((250, 0, 0), (0, 0, size[0] // 4, size[1] // 4))
    exif = Image.Exif()
    if orientation is not None:
        exif[274] = orientation
    image.save(path, exif=exif)
    return path


@pytest.mark.parametrize(
    ("size", "drawn"),
    [((640, 480), (640, 480)), ((1280, 960), (1280, 960)), ((321, 240), (321, 240)), ((3200, 2400), (1600, 1200))],
)
def test_a_scaled_copy_of_the_image_is_drawn_over(
    bundle_file: Path, tmp_path: Path, size: tuple[int, int], drawn: tuple[int, int]
) -> None:
    image = photo(tmp_path / "copy.png", size)
    source = coco_file(tmp_path / "two.json")
    status, _, warn = run([source], bundle_file, options(tmp_path / "out", "overlay", image))
    assert (status, warn) == (0, [])
    picture = np.asarray(Image.open(tmp_path / "out" / "two_overlay.png")).astype(int)
    assert picture.shape[1::-1] == drawn
    # The joints' white dots lie where the keypoints are, in the pixels of the copy.
    for joint in read_keypoints(source)[0].people[0].original[:, :2] * drawn[0] / 640:
        x, y = joint.round().astype(int)
        assert picture[y - 2 : y + 3, x - 2 : x + 3].max(axis=(0, 1)).min() > 150


def test_an_image_of_another_shape_is_refused(bundle_file: Path, tmp_path: Path) -> None:
    image = photo(tmp_path / "wide.jpg", (640, 360))
    status, _, warn = run([coco_file(tmp_path / "two.json")], bundle_file, options(tmp_path / "out", image=image))
    assert status == 2
    assert warn == [f"pose2mesh: {image}: is 640x360 pixels; expected 640x480, as in its keypoints, or that shape"]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("size", "red"), [(None, (200, 20)), ((240, 320), (200, 20)), ((320, 240), (20, 20))])
def test_images_are_turned_as_their_keypoints_are(
    tmp_path: Path, size: tuple[int, int] | None, red: tuple[int, int]
) -> None:
    """Orientation 6: stored 320 x 240, to be shown a quarter turn clockwise; some annotations go by the stored one."""
    picture = read_image(photo(tmp_path / "turned.jpg", (320, 240), orientation=6), size)
    assert picture.shape[1::-1] == (size or (240, 320))
    assert picture[red[1], red[0], 0] > 200


def test_images_found_by_name_and_those_that_are_not(bundle_file: Path, tmp_path: Path) -> None:
    pictures = [{"id": index, "file_name": f"p{index}.png", "width": 640, "height": 480} for index in (1, 2)]
    rows = np.column_stack([people_px(1)[0, :, :2], np.full(17, 2)]).ravel().tolist()
    annotations = [{"id": index, "image_id": index, "keypoints": rows} for index in (1, 2)]
    (tmp_path / "both.json").write_text(json.dumps({"images": pictures, "annotations": annotations}))
    (tmp_path / "photos").mkdir()
    photo(tmp_path / "photos" / "p2.png", (640, 480))
    asked = options(tmp_path / "out", "overlay", tmp_path / "photos")
    status, _, warn = run([tmp_path / "both.json"], bundle_file, asked)
    assert status == 0
    assert warn == [f"p1: no image found in {tmp_path / 'photos'}; drawn on a plain canvas"]
    corners = [np.asarray(Image.open(tmp_path / "out" / f"p{index}_overlay.png"))[2, 2] for index in (1, 2)]
    assert corners[0].min() > 200
    assert corners[1].tolist() == [250, 0, 0]

    # One photo that cannot be read does not keep the other picture back.
    (tmp_path / "photos" / "p1.png").write_bytes(b"no picture")
    asked = options(tmp_path / "again", "overlay", tmp_path / "photos")
    status, _, warn = run([tmp_path / "both.json"], bundle_file, asked)
    assert status == 1
    assert warn == [f"pose2mesh: {tmp_path / 'photos' / 'p1.png'}: is not an image that can be read"]
    assert names(tmp_path / "again") == {"p2_overlay.png"}


# Photos


class Fake:
    """A detector that returns the same two people in every image of more than ten pixels, and no person in others."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, ...]] = []

    def __call__(self, picture: np.ndarray, boxes: np.ndarray | None = None) -> list[Detection]:
        self.seen.append(picture.shape)
        rows = people_px().astype(np.float32) if picture.shape[0] > 10 else []
        return [Detection(row[:, :2], row[:, 2], np.array([0, 0, 9, 9], np.float32), 0.8) for row in rows]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    detector = Fake()
    monkeypatch.setattr(detectors, "load_detector", lambda *_: detector)
    return detector


def photo_file(path: Path, size: tuple[int, int] = (640, 480)) -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", size, (90, 120, 60)).save(path)
    return path


def test_people_of_an_image_are_detected_recovered_and_drawn(bundle_file: Path, tmp_path: Path, fake: Fake) -> None:
    photo = photo_file(tmp_path / "street.jpg")
    status, said, warned = run([photo], bundle_file, options(tmp_path / "out"))
    assert (status, warned) == (0, [])
    assert said == ["street: 2 recovered, 0 skipped"]
    assert fake.seen == [(480, 640, 3)]
    document = json.loads((tmp_path / "out" / "street.json").read_text())
    assert document["input"] == "street.jpg"
    np.testing.assert_allclose(document["people"][1]["input2d_px"][:17], people_px()[1, :, :2], atol=0.01)
    drawn = read_image(tmp_path / "out" / "street_overlay.png")
    assert drawn.shape == (480, 640, 3)
    assert (np.abs(drawn[0, 0].astype(int) - (90, 120, 60)) < 5).all()  # the photo is under it


def test_hands_of_detected_people_are_written_and_drawn(
    bundle_file: Path, tmp_path: Path, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    class LeftHands:
        def __call__(self, image: np.ndarray, people: list[Detection]) -> list[Detection]:
            joints, metres = np.zeros((2, 21, 3), np.float32), np.full((2, 21, 3), np.nan, np.float32)
            joints[0], metres[0] = np.linspace((30, 40, 0.8), (60, 40, 0.8), 21), 0.01
            return [replace(people[0], hands=Hands(joints, metres)), people[1]]

    monkeypatch.setattr(hand_detector, "HandDetector", LeftHands)
    photo = photo_file(tmp_path / "wave.jpg")
    assert run([photo], bundle_file, options(tmp_path / "with"))[0] == 0
    assert run([photo], bundle_file, replace(options(tmp_path / "without"), hands=False))[0] == 0
    with_hands, without = (json.loads((tmp_path / name / "wave.json").read_text()) for name in ("with", "without"))
    assert with_hands["hand_joint_names"] == list(HAND.names)
    first, second = with_hands["people"]
    np.testing.assert_allclose(first["hands2d_px"]["left"][20], (60, 40, 0.8), atol=1e-3)
    assert first["hands3d_m"]["left"][3] == pytest.approx([0.01] * 3)
    assert first["hands2d_px"]["right"] is first["hands3d_m"]["right"] is None
    for person in (second, *without["people"]):
        assert person["hands2d_px"] is person["hands3d_m"] is None
    drawn, plain = (read_image(tmp_path / name / "wave_overlay.png").astype(int) for name in ("with", "without"))
    rows, columns = np.nonzero((drawn != plain).any(axis=2))
    assert 36 <= rows.min() <= rows.max() <= 44
    assert 26 <= columns.min() <= columns.max() <= 64


def test_a_folder_of_images_is_processed(bundle_file: Path, tmp_path: Path, fake: Fake) -> None:
    for name in ("b.png", "a.jpg"):
        photo_file(tmp_path / "photos" / name)
    (tmp_path / "photos" / "notes.txt").write_text("")
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"no picture")
    status, said, warned = run([tmp_path / "photos"], bundle_file, options(tmp_path / "out", "json"))
    assert status == 1
    assert [line.split(":")[0] for line in said] == ["a", "b"]
    assert "broken.jpg: is not an image that can be read" in warned[0]
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"a.json", "b.json"}


def test_no_person_detected_in_an_image_is_a_result(bundle_file: Path, tmp_path: Path, fake: Fake) -> None:
    photo = photo_file(tmp_path / "wall.png", (20, 10))
    assert run([photo], bundle_file, options(tmp_path / "out"))[0] == 0
    assert json.loads((tmp_path / "out" / "wall.json").read_text())["people"] == []


def test_keypoints_in_a_folder_take_precedence(bundle_file: Path, tmp_path: Path, fake: Fake) -> None:
    photo_file(tmp_path / "frames" / "one.jpg")
    pose = {"people": [{"pose_keypoints_2d": np.concatenate([people_px()[0], np.zeros((8, 3))]).ravel().tolist()}]}
    (tmp_path / "frames" / "one_keypoints.json").write_text(json.dumps(pose))
    assert run([tmp_path / "frames"], bundle_file, options(tmp_path / "out", "json"))[0] == 0
    assert fake.seen == []


def test_no_detector_no_files(bundle_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSE2MESH_OFFLINE", "1")
    monkeypatch.setenv("POSE2MESH_CACHE", str(tmp_path / "cache"))
    asked = PredictOptions(
        tmp_path / "out", "coco", None, "auto", None, "json", "rtmpose", (tmp_path / "missing.onnx",)
    )
    with pytest.raises(InputError, match=r"--detector-model .*missing\.onnx: no such file"):
        run([photo_file(tmp_path / "x.jpg")], bundle_file, asked)
    assert not (tmp_path / "out").exists()
