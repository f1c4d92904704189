"""`predict` of videos, whole: files, resuming, damaged and empty input; on a small body that has no rig."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pose2mesh.cli.main import main
from pose2mesh.detectors import registry as detectors
from pose2mesh.detectors.detection import Detection
from pose2mesh.errors import InputError
from pose2mesh.inference.predictor import Predictor
from pose2mesh.motion.smoothing import bone_lengths
from pose2mesh.pipelines.video.frame_reader import Video
from pose2mesh.pipelines.video.video_options import VideoInput, VideoOptions
from pose2mesh.pipelines.video.video_pipeline import predict_video
from pose2mesh.skeletons import COCO
from pose2mesh.visualization.overlay import USUAL_PARTS

from .conftest import FRAMES, SIZE, KnownPeople, walkers, write_video

FORMATS = ("mp4", "npz", "json", "html")


def options(out: Path, formats: tuple[str, ...] = FORMATS, smooth: bool = True) -> VideoOptions:
    return VideoOptions(out, formats, "coco", None, None, smooth, "known", USUAL_PARTS)


def run(video: Path, asked: VideoOptions, bundle: Path, detector: KnownPeople) -> tuple[list[str], list[str]]:
    said: list[str] = []
    warned: list[str] = []
    source = VideoInput(video.stem, video, video, None, None)
    predict_video(source, asked, Predictor.load(bundle), detector, None, said.append, warned.append)
    return said, warned


def arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return dict(file)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture(scope="module")
def people() -> np.ndarray:
    """Two people; the second is not detected in frames 20 to 24, and gone from 35 on."""
    found = walkers()
    found[20:25, 1, :, 2] = 0
    found[35:, 1, :, 2] = 0
    return found


@pytest.fixture(scope="module")
def done(video_file: Path, bundle_file: Path, people: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("done")
    run(video_file, options(out), bundle_file, KnownPeople(people))
    return out


def test_3d_joints_of_the_detector_reach_the_bodies(
    done: Path, video_file: Path, bundle_file: Path, people: np.ndarray, tmp_path: Path
) -> None:
    class WithDepth(KnownPeople):
        def __call__(self, image: np.ndarray, boxes: np.ndarray | None = None) -> list[Detection]:
            depth = np.random.default_rng(0).normal(0, 0.4, (17, 3)).astype(np.float32)
            return [dataclasses.replace(person, joints3d_m=depth) for person in super().__call__(image, boxes)]

    run(video_file, options(tmp_path, ("npz",)), bundle_file, WithDepth(people))
    before, after = arrays(done / "clip.npz"), arrays(tmp_path / "clip.npz")
    np.testing.assert_array_equal(before["joints_px"], after["joints_px"])
    moved = np.abs(after["joints"] - before["joints"]).max((1, 2))
    assert moved.min() > 1e-3


def test_all_people_in_all_frames(done: Path, people: np.ndarray) -> None:
    assert names(done) == {"clip_overlay.mp4", "clip.npz", "clip.json", "clip.html"}
    found = arrays(done / "clip.npz")
    assert found["person"].tolist() == [0] * FRAMES + [1] * 35
    assert found["frame"].tolist() == [*range(FRAMES), *range(35)]
    assert np.flatnonzero(found["bridged"]).tolist() == [FRAMES + frame for frame in range(20, 25)]
    rows = len(found["person"])
    shapes = {"vertices": (rows, 162, 3), "joints": (rows, 19, 3), "joints_px": (rows, 19, 2), "confidence": (rows, 19)}
    assert {name: found[name].shape for name in shapes} == shapes
    assert (float(found["fps"]), int(found["frames"]), found["size_px"].tolist()) == (30, FRAMES, list(SIZE))
    np.testing.assert_allclose(found["joints_px"][:FRAMES, :17], people[:, 0, :, :2], atol=1e-3)
    # Bridged joints lie between those before and after.
    middle = (people[19, 1, :, :2] + people[25, 1, :, :2]) / 2
    np.testing.assert_allclose(found["joints_px"][FRAMES + 22, :17], middle, atol=1e-3)


def test_a_page_with_a_slider(done: Path) -> None:
    text = (done / "clip.html").read_text(encoding="utf-8")
    scene = json.loads(text.split('id="scene">', 1)[1].split("</script>", 1)[0])
    assert [len(frame["people"]) for frame in scene["frames"]] == [2] * 35 + [1] * (FRAMES - 35)
    assert scene["frames_per_second"] == 30


def test_the_document_says_what_the_arrays_hold(done: Path) -> None:
    document, found = json.loads((done / "clip.json").read_text()), arrays(done / "clip.npz")
    assert (document["input"], document["fps"], document["frames"]) == ("clip.mp4", 30, FRAMES)
    assert document["fault"] is None
    second = document["people"][1]
    assert (second["first_frame"], second["frames"], second["bridged"]) == (0, 35, [[20, 24]])
    assert second["files"] == {"mp4": "clip_overlay.mp4", "npz": "clip.npz", "html": "clip.html"}
    line = second["per_frame"][22]
    assert (line["frame"], line["bridged"]) == (22, True)
    np.testing.assert_allclose(line["joints3d_m"], found["joints"][FRAMES + 22], atol=1e-4)
    np.testing.assert_allclose(line["translation_m"], found["translation_m"][FRAMES + 22], atol=1e-4)


def test_a_person_is_of_one_size(done: Path) -> None:
    found = arrays(done / "clip.npz")
    sizes = bone_lengths(found["joints"][:FRAMES], COCO.edges).sum(1)
    assert sizes.std() < 0.02 * sizes.mean()


def test_the_overlay_is_the_video_with_people(done: Path, video_file: Path) -> None:
    drawn = Video(done / "clip_overlay.mp4")
    assert (drawn.size, drawn.rate) == (SIZE, 30)
    pictures, originals = list(drawn.frames()), list(Video(video_file).frames())
    assert len(pictures) == FRAMES
    change = np.abs(pictures[10].astype(int) - originals[10]).max(-1)
    assert (change > 60).mean() > 0.005  # the joints, at least
    assert np.quantile(change, 0.25) < 8  # the untrained model's bodies are large


def test_smoothing_steadies_and_can_be_left_out(
    done: Path, video_file: Path, bundle_file: Path, people: np.ndarray, tmp_path: Path
) -> None:
    run(video_file, options(tmp_path, ("npz",), smooth=False), bundle_file, KnownPeople(people))
    rough, steady = arrays(tmp_path / "clip.npz"), arrays(done / "clip.npz")

    def tremble(found: dict[str, np.ndarray]) -> float:
        return float(np.linalg.norm(np.diff(found["joints"][:FRAMES], 2, axis=0), axis=-1).mean())

    assert tremble(steady) < tremble(rough) / 3


@pytest.mark.parametrize("stop_at", [1, 23])
def test_interrupted_it_resumes(
    stop_at: int, done: Path, video_file: Path, bundle_file: Path, people: np.ndarray, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(video_file, options(tmp_path, ("npz", "json")), bundle_file, KnownPeople(people, stop_at))
    assert names(tmp_path) == {".clip.pose2mesh-part"}
    detector = KnownPeople(people)
    said, _ = run(video_file, options(tmp_path, ("npz", "json")), bundle_file, detector)
    assert said[0] == f"clip: resuming after frame {stop_at - 1}"
    assert min(detector.looks[0] + detector.looks[1]) == stop_at
    assert names(tmp_path) == {"clip.npz", "clip.json"}
    again, once = arrays(tmp_path / "clip.npz"), arrays(done / "clip.npz")
    for name, array in once.items():
        assert np.array_equal(again[name], array), name
    documents = [json.loads((folder / "clip.json").read_text()) for folder in (tmp_path, done)]
    assert documents[0]["people"][1]["per_frame"] == documents[1]["people"][1]["per_frame"]


def test_another_video_or_model_starts_anew(
    video_file: Path, bundle_file: Path, people: np.ndarray, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(video_file, options(tmp_path), bundle_file, KnownPeople(people, 23))
    other = write_video(tmp_path / "clip.mp4", frames=12)
    detector = KnownPeople(people)
    said, _ = run(other, options(tmp_path, ("json",)), bundle_file, detector)
    assert said == ["clip: 2 people in 12 frames: clip.json"]
    assert min(detector.looks[0]) == 0


@pytest.mark.thorough
def test_killed_while_recovering_it_resumes(bundle_file: Path, tmp_path: Path) -> None:
    """A real kill of a process, between the first and the last body."""
    there = walkers()[:, 0]
    np.save(tmp_path / "long.npy", np.concatenate([there, there[::-1]] * 5))
    command = ["predict", str(tmp_path / "long.npy"), "--fps", "30", "--model", str(bundle_file), "--formats", "npz"]
    start = [sys.executable, "-m", "pose2mesh.cli", *command, "--out", str(tmp_path / "killed")]
    process = subprocess.Popen(start, env=os.environ | {"OMP_NUM_THREADS": "1"})
    raw = tmp_path / "killed" / ".long.pose2mesh-part" / "people" / "00000" / "raw.rows"
    deadline = time.monotonic() + 600
    while not (raw.exists() and raw.stat().st_size > 60_000):
        assert process.poll() is None, "ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert names(tmp_path / "killed") == {".long.pose2mesh-part"}
    for out in ("killed", "whole"):
        assert main([*command, "--out", str(tmp_path / out)]) == 0
    again, once = arrays(tmp_path / "killed" / "long.npz"), arrays(tmp_path / "whole" / "long.npz")
    for name, array in once.items():
        assert np.array_equal(again[name], array), name


def test_a_file_cut_short_gives_what_it_has_and_says_so(
    video_file: Path, bundle_file: Path, people: np.ndarray, tmp_path: Path
) -> None:
    data = video_file.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(data[: len(data) * 2 // 3])
    _, warned = run(cut, options(tmp_path / "out", ("json",)), bundle_file, KnownPeople(people))
    document = json.loads((tmp_path / "out" / "cut.json").read_text())
    assert 5 < document["frames"] < FRAMES
    fault = f"cut short or damaged: {document['frames']} of about {FRAMES} frames could be read"
    assert document["fault"] == fault
    assert warned == [f"pose2mesh: {cut}: {fault}"]
    assert document["people"][0]["frames"] == document["frames"]


def test_a_video_without_people_is_a_result(video_file: Path, bundle_file: Path, tmp_path: Path) -> None:
    said, warned = run(video_file, options(tmp_path), bundle_file, KnownPeople(np.zeros((FRAMES, 1, 17, 3))))
    assert (said, warned) == (
        [f"clip: 0 people in {FRAMES} frames: clip.html, clip.json, clip.npz, clip_overlay.mp4"],
        [],
    )
    assert json.loads((tmp_path / "clip.json").read_text())["people"] == []
    assert arrays(tmp_path / "clip.npz")["vertices"].shape == (0, 162, 3)
    assert len(list(Video(tmp_path / "clip_overlay.mp4").frames())) == FRAMES


def test_who_returns_is_the_same_person_and_absent_between(bundle_file: Path, tmp_path: Path) -> None:
    people = walkers()
    people[12:28, 1, :, 2] = 0  # at 10 frames a second, longer than what is bridged
    results = [
        {"image_id": frame, "category_id": 1, "keypoints": people[frame, person].ravel().tolist(), "score": 0.9}
        for frame in range(FRAMES)
        for person in (0, 1)
        if people[frame, person, 0, 2] > 0
    ]
    (tmp_path / "clip.json").write_text(json.dumps(results))
    source = VideoInput("clip", tmp_path / "clip.json", None, tmp_path / "clip.json", 10)
    predictor = Predictor.load(bundle_file)
    predict_video(source, options(tmp_path / "out"), predictor, None, None, lambda _: None, lambda _: None)
    document = json.loads((tmp_path / "out" / "clip.json").read_text())
    first, second = document["people"]
    assert (first["frames"], first["bridged"], first["absent"]) == (FRAMES, [], [])
    assert (second["frames"], second["bridged"], second["absent"]) == (FRAMES, [], [[12, 27]])
    present = [*range(12), *range(28, FRAMES)]
    assert [line["frame"] for line in second["per_frame"]] == present
    found = arrays(tmp_path / "out" / "clip.npz")
    assert found["frame"][found["person"] == 1].tolist() == present
    assert len(found["vertices"]) == len(found["joints_px"]) == len(found["bridged"]) == FRAMES + len(present)


def test_detections_in_two_frames_are_no_person_and_counted(
    video_file: Path, bundle_file: Path, tmp_path: Path
) -> None:
    people = walkers()
    people[:, 1, :, 2] = 0
    people[12:14, 1, :, 2] = 0.9  # between two looks around: not seen at all
    people[15:17, 1, :, 2] = 0.9  # from the look around in frame 15 on
    run(video_file, options(tmp_path, ("json",)), bundle_file, KnownPeople(people))
    document = json.loads((tmp_path / "clip.json").read_text())
    assert len(document["people"]) == 1
    assert document["skipped"] == [
        {"id": None, "reason": "2 detections of people in too few frames, or of people detected twice"}
    ]


def test_as_a_user_types_it(
    video_file: Path,
    bundle_file: Path,
    people: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(detectors, "load_detector", lambda *_: KnownPeople(people))
    common = ["--model", str(bundle_file), "--out", str(tmp_path / "out")]
    assert main(["predict", str(video_file), *common, "--formats", "overlay,json", "--overlay", "mesh,side"]) == 0
    assert names(tmp_path / "out") == {"clip_overlay.mp4", "clip.json"}
    assert Video(tmp_path / "out" / "clip_overlay.mp4").size == (160 + 72, 120)
    np.save(tmp_path / "clip.npy", people[:, 0])
    given = ["predict", str(tmp_path / "clip.npy"), *common]
    assert main([*given, "--video", str(video_file), "--overlay", "joints"]) == 0  # this model has no rig: no glb, bvh
    assert names(tmp_path / "out") == {"clip_overlay.mp4", "clip.json", "clip.npz"}
    assert main([*given, "--fps", "24", "--formats", "json"]) == 0
    assert json.loads((tmp_path / "out" / "clip.json").read_text())["fps"] == 24
    capsys.readouterr()
    for arguments, message in (
        ([*given, "--fps", "0"], "--fps 0.0: expected frames a second between 0.1 and 1000"),
        ([*given, "--fps", "30", "--formats", "obj"], "--formats obj: expected some of mp4, glb, bvh, rig, npz, json"),
        ([*given, "--fps", "30", "--formats", "bvh"], "model 'small' has another body than Anny, which glb, bvh, rig"),
        ([*given, "--video", str(tmp_path / "no.mp4")], "no such file"),
        ([*given, "--formats", "mp4"], "expected some of obj, glb, json, npz, ply, overlay, html, rig for an image"),
        ([*given, "--fps", "30", "--formats", "rig"], "rig is written into json and npz; expected one of these, too"),
        (["predict", str(video_file), *common, "--fps", "30"], "is a video; expected keypoints of its frames with"),
        ([*given, "--fps", "30", "--overlay", "mash"], "--overlay 'mash': expected some of mesh, joints, confidences"),
    ):
        assert main(arguments) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert message in printed.err
        assert len(printed.err.splitlines()) == 1


def test_keypoints_past_the_end_of_the_video_are_reported(
    video_file: Path, bundle_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "x.npy", np.concatenate([walkers()[:, 0]] * 2))
    arguments = ["predict", str(tmp_path / "x.npy"), "--video", str(video_file), "--model", str(bundle_file)]
    assert main([*arguments, "--formats", "json", "--out", str(tmp_path)]) == 0
    assert f"ends {FRAMES} frames before the keypoints in {tmp_path / 'x.npy'}" in capsys.readouterr().err


def test_bad_keypoints_leave_nothing(bundle_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    (folder / "f_0.json").write_text('{"people": []}')
    (folder / "f_1.json").write_text("{")
    source = VideoInput("frames", folder, None, folder, 30.0)
    with pytest.raises(InputError, match=r"f_1.json: cannot be read as JSON"):
        predict_video(source, options(tmp_path / "out"), Predictor.load(bundle_file), None, None, print, print)
    assert not (tmp_path / "out").exists()
