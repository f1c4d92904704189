"""The command line as a user types it: what it prints, the exit status, and one line for every bad input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from pose2mesh.cli.main import app, main
from pose2mesh.config.config_files import dump_config
from pose2mesh.config.train_config import TrainConfig, load_config
from pose2mesh.pipelines import image_pipeline
from pose2mesh.pipelines.predict_options import PredictOptions

EXAMPLE = Path(__file__).parents[2] / "examples" / "coco_people.json"


def shell(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the program in a process of its own."""
    command = [sys.executable, "-m", "pose2mesh.cli", *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment, check=False)


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The only line on standard error; nothing else may have been printed."""
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = printed.err.splitlines()
    assert len(lines) == 1, printed.err
    assert lines[0].startswith("pose2mesh: ")
    return lines[0]


def files(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def pose(path: Path, array: np.ndarray | None = None) -> Path:
    """A valid array of one person, or the given one."""
    np.save(path, np.random.default_rng(0).uniform(50, 400, (17, 2)) if array is None else array)
    return path


# --- what users see first


def test_help_is_fast() -> None:
    """It imports nothing heavy: a quarter of a second, where PyTorch alone would take two."""
    told = "import sys; sys.argv = ['pose2mesh', '--help']; from pose2mesh.cli.main import main"
    code = f"{told}\ntry: main()\nexcept SystemExit as end: assert not end.code\nprint(*sys.modules, file=sys.stderr)"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=True)
    assert all(command in finished.stdout for command in ("predict", "train", "evaluate", "info"))
    assert not {"numpy", "torch", "scipy", "lightning", "PIL", "starlette"} & set(finished.stderr.split())


@pytest.mark.parametrize("arguments", [["--help"], ["predict", "--help"], ["evaluate", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys; from pose2mesh.cli.main import main\n"
        f"try: status = main({arguments})\n"
        "except SystemExit as stop: status = stop.code or 0\n"
        "print(status, [name for name in ('torch', 'numpy', 'PIL', 'anny', 'lightning') if name in sys.modules])"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=True)
    assert finished.stdout.splitlines()[-1] == "0 []"


@pytest.mark.parametrize("command", ["predict", "evaluate", "info", "train"])
def test_every_option_is_explained(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    text = capsys.readouterr().out
    for name in (
        "out",
        "model",
        "joints",
        "image",
        "intrinsics",
        "height",
        "device",
        "formats",
        "detector",
        "detector-model",
    ):
        assert command != "predict" or f"--{name} " in text


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["predcit", "x.npy"], 'Unknown command "predcit"'),
        (["predict"], "at least one input is needed"),
        (["predict", "x.npy", "--colour", "red"], "--colour"),
        (["predict", "x.npy", "--height", "tall"], "--height"),
        (["predict", "x.npy", "--out"], "--out"),
        (["predict", "x.npy", "--device", "tpu"], 'Invalid value "tpu" for --device'),
        (["evaluate", "default", "--input", "guess"], 'Invalid value "guess" for --input'),
        (["evaluate", "default", "--samples", "many"], "--samples"),
        (["train"], "a config file or --resume is needed"),
        (["train", "--resume", "runs/x", "--set", "epochs=2"], "runs/x: nothing to resume"),
        (["train", "nowhere.yaml"], "nowhere.yaml: No such file"),
        (["train", "--resume", "nowhere"], "nowhere: nothing to resume"),
        (["predict", "x.npy", "--joints", "lsp"], "--joints 'lsp': expected one of coco"),
        (["predict", "x.npy", "--formats", "stl"], "--formats 'stl': expected some of obj, glb"),
        (["predict", "x.npy", "--intrinsics", "500,500"], "--intrinsics '500,500': expected FX,FY,CX,CY"),
        (["predict", "x.npy", "--height", "170"], "--height 170.0: expected metres"),
        (["predict", "x.npy", "--image", "nowhere.jpg"], "--image nowhere.jpg: no such file or folder"),
        (["info", "nowhere.safetensors"], "nowhere.safetensors: no such bundle"),
    ],
)
def test_usage_errors(arguments: list[str], fault: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert fault in one_line(capsys)


@pytest.mark.parametrize(("flags", "expected"), [(["--hands"], True), (["--no-hands"], False)])
def test_hands_can_be_turned_off(flags: list[str], expected: bool) -> None:
    _, bound, _ = app.parse_args(["predict", "people.json", *flags])
    options = next(value for value in bound.arguments.values() if isinstance(value, PredictOptions))
    assert options.hands is expected


def test_a_usage_error_in_a_process_of_its_own() -> None:
    finished = shell("predict", "--nonsense")
    assert (finished.returncode, finished.stdout) == (2, "")
    assert "Traceback" not in finished.stderr


def test_an_interruption_has_its_own_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(image_pipeline, "predict_files", interrupt)
    assert main(["predict", "x.npy"]) == 130
    assert one_line(capsys) == "pose2mesh: interrupted"


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "jsonargparse", None)
    config = Path(__file__).parents[2] / "configs" / "light_posenet.yaml"
    assert main(["train", str(config)]) == 2
    assert 'jsonargparse is not installed; `pip install "pose2mesh[train]"` brings it' in one_line(capsys)


def test_an_own_fault_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ModuleNotFoundError("No module named 'pose2mesh.nowhere'", name="pose2mesh.nowhere")

    monkeypatch.setattr(image_pipeline, "predict_files", broken)
    with pytest.raises(ModuleNotFoundError):
        main(["predict", "x.npy"])


# --- predict


def test_predict_in_a_process_of_its_own(bundle_file: Path, tmp_path: Path) -> None:
    finished = shell("predict", EXAMPLE, "--model", bundle_file, "--out", tmp_path / "out")
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout.splitlines()[0] == "000000442450: 2 recovered, 0 skipped"
    stems = ("000000442450", "000000129648", "000000227000")
    ends = ("_0.obj", "_1.obj", ".glb", ".json", ".npz", "_overlay.png")
    assert {path.name for path in files(tmp_path / "out")} == {stem + end for stem in stems for end in ends}
    first = json.loads((tmp_path / "out" / "000000442450.json").read_text())
    assert [person["id"] for person in first["people"]] == [210676, 210845]


def test_options_and_inputs_in_any_order(bundle_file: Path, tmp_path: Path) -> None:
    one, two = pose(tmp_path / "one.npy"), pose(tmp_path / "two.npy")
    out = tmp_path / "out"
    arguments = ["predict", "--formats", "json", str(one), "--out", str(out), str(two), "--model", str(bundle_file)]
    assert main(arguments) == 0
    assert {path.name for path in files(out)} == {"one.json", "two.json"}


def test_the_default_folder(bundle_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pose(tmp_path / "one.npy")
    assert main(["predict", "one.npy", "--model", str(bundle_file), "--formats", "obj"]) == 0
    assert {path.name for path in files(tmp_path / "pose2mesh_out")} == {"one_0.obj"}


def test_good_inputs_are_done_beside_bad_ones(
    bundle_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = pose(tmp_path / "good.npy"), pose(tmp_path / "bad.npy", np.full((17, 2), np.nan))
    out = tmp_path / "out"
    assert (
        main(["predict", str(bad), str(good), "--model", str(bundle_file), "--out", str(out), "--formats", "ply"]) == 1
    )
    printed = capsys.readouterr()
    assert printed.out == "good: 1 recovered, 0 skipped\n"
    assert printed.err.startswith(f"pose2mesh: {bad}: person 0")
    assert printed.err.count("\n") == 1
    assert {path.name for path in files(out)} == {"good_0.ply"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_a_gpu_that_is_not_there(
    command: str, bundle_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = {
        "predict": [str(EXAMPLE), "--model", str(bundle_file), "--out", str(tmp_path / "out")],
        "evaluate": [str(bundle_file), "--motions", str(tmp_path)],
    }
    assert main([command, *arguments[command], "--device", "cuda"]) == 2
    assert one_line(capsys) == "pose2mesh: --device cuda: no CUDA device is available; expected cpu"
    assert not (tmp_path / "out").exists()


def rows(array: np.ndarray) -> list[float]:
    return [float(value) for value in array.ravel()]


def a_person() -> np.ndarray:
    pixels = np.random.default_rng(0).uniform(50, 400, (17, 2))
    return np.column_stack([pixels, np.full(17, 2.0)])


def coco(path: Path, person: np.ndarray) -> Path:
    image = {"id": 1, "file_name": "a.jpg", "width": 640, "height": 480}
    annotation = {"id": 5, "image_id": 1, "keypoints": rows(person)}
    # `NaN` and `Infinity` are what Python's own writer puts for such numbers, and its reader takes.
    path.write_text(json.dumps({"images": [image], "annotations": [annotation]}))
    return path


def changed(index: int, value: object) -> np.ndarray:
    person = a_person()
    person[index] = value
    return person


def invisible_but_one() -> np.ndarray:
    person = a_person()
    person[1:] = 0
    return person


def one_place() -> np.ndarray:
    person = a_person()
    person[:, :2] = 123
    return person


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def folder_of(path: Path, name: str, content: str) -> Path:
    path.mkdir()
    written(path / name, content)
    return path


BAD_INPUTS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda d: d / "x.npy", "no such file or folder"),
    "name too long": (lambda d: d / ("x" * 300 + ".npy"), "cannot be read"),
    "empty file": (lambda d: written(d / "x.json", ""), "cannot be read as JSON"),
    "truncated JSON": (lambda d: written(d / "x.json", coco(d / "x.json", a_person()).read_text()[:300]), "JSON"),
    "not text": (lambda d: written(d / "x.json", b"\xff\xfe\x00\x80" * 9), "JSON"),
    "wrong JSON": (lambda d: written(d / "x.json", '{"poses": [1, 2, 3]}'), "expected 'annotations'"),
    "JSON of wrong types": (lambda d: written(d / "x.json", '{"people": {"a": 1}}'), "expected an object with a list"),
    "JSON number": (lambda d: written(d / "x.json", "17"), "holds 17"),
    "wrong joint count": (lambda d: pose(d / "x.npy", np.ones((16, 2))), "16 joints given"),
    "wrong joint count in JSON": (lambda d: coco(d / "x.json", a_person()[:15]), "15 joints given"),
    "wrong shape": (lambda d: pose(d / "x.npy", np.ones((2, 17, 4))), "has shape (2, 17, 4)"),
    "not numbers": (lambda d: pose(d / "x.npy", np.full((17, 2), "a")), "values of type <U1"),
    "truncated array": (lambda d: written(d / "x.npy", pose(d / "x.npy").read_bytes()[:200]), "not a NumPy array"),
    "pickle": (lambda d: pose(d / "x.npy", np.array([{"a": 1}], object)), "not a NumPy array file"),
    "NaN": (lambda d: pose(d / "x.npy", changed(3, np.nan)), "confidence of left_ear is nan"),
    "NaN coordinate": (lambda d: coco(d / "x.json", changed(3, (np.nan, 4, 2))), "left_ear is at"),
    "infinite": (lambda d: coco(d / "x.json", changed(9, (7, np.inf, 2))), "left_wrist is at"),
    "infinite in an array": (lambda d: pose(d / "x.npy", changed(9, (-np.inf, 7, 1))), "left_wrist is at"),
    "all in one place": (lambda d: coco(d / "x.json", one_place()), "all labelled keypoints are in one place"),
    "all in one place, array": (lambda d: pose(d / "x.npy", one_place()[:, :2]), "in one place"),
    "one visible joint": (lambda d: coco(d / "x.json", invisible_but_one()), "1 labelled keypoint, at least 5"),
    "one visible joint, array": (lambda d: pose(d / "x.npy", invisible_but_one()), "1 labelled keypoint, at least 5"),
    "no joints": (lambda d: pose(d / "x.npy", np.zeros((17, 3))), "0 labelled keypoints"),
    "video": (lambda d: written(d / "x.mp4", b"anything"), "cannot be read as a video"),
    "unknown suffix": (lambda d: written(d / "x.csv", "1,2"), "suffix '.csv'"),
    "folder of other files": (lambda d: folder_of(d / "x", "x.txt", ""), "has no .json file"),
    "folder with a bad file": (lambda d: folder_of(d / "x", "x.json", "{"), "cannot be read as JSON"),
}


@pytest.mark.parametrize("case", BAD_INPUTS)
def test_bad_inputs(case: str, bundle_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make, fault = BAD_INPUTS[case]
    path = make(tmp_path)
    before = files(tmp_path)
    assert main(["predict", str(path), "--model", str(bundle_file), "--out", str(tmp_path / "out")]) == 2
    line = one_line(capsys)
    assert str(path) in line
    assert fault in line
    assert files(tmp_path) == before


def test_a_bad_input_in_a_process_of_its_own(tmp_path: Path) -> None:
    path = written(tmp_path / "x.json", '{"people": [')
    finished = shell("predict", path, "--out", tmp_path / "out")
    assert finished.returncode == 2
    assert finished.stdout == ""
    assert finished.stderr.startswith(f"pose2mesh: {path}: cannot be read as JSON")
    assert finished.stderr.count("\n") == 1
    assert files(tmp_path) == {path}


def truncated_image(path: Path) -> Path:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)).save(path)
    return written(path, path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (lambda d: written(d / "a.jpg", "this is text"), "is not an image that can be read"),
        (lambda d: written(d / "a.jpg", ""), "is not an image that can be read"),
        (lambda d: truncated_image(d / "a.jpg"), "cannot be read as an image (image file is truncated"),
        (lambda d: truncated_image(d / "a.png"), "cannot be read as an image"),
        (lambda d: folder_of(d / "photos", "b.jpg", ""), "has no 'a.jpg'"),
    ],
)
def test_bad_images(
    make: Callable[[Path], Path], fault: str, bundle_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, source = make(tmp_path), coco(tmp_path / "x.json", a_person())
    before = files(tmp_path)
    arguments = ["predict", str(source), "--image", str(image), "--model", str(bundle_file)]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 2
    line = one_line(capsys)
    assert str(image) in line
    assert fault in line
    assert files(tmp_path) == before


def test_an_output_folder_that_is_a_file(bundle_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, source = written(tmp_path / "file", "text"), pose(tmp_path / "x.npy")
    before = files(tmp_path)
    for out, fault in ((file, "is a file, expected a folder"), (file / "under", "cannot be written")):
        assert main(["predict", str(source), "--model", str(bundle_file), "--out", str(out)]) == 2
        line = one_line(capsys)
        assert f"--out {out}" in line
        assert fault in line
    assert files(tmp_path) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_output_folder_that_may_not_be_written(
    bundle_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir(mode=0o500)
    assert main(["predict", str(pose(tmp_path / "x.npy")), "--model", str(bundle_file), "--out", str(out)]) == 2
    assert f"--out {out}: cannot be written (Permission denied)" in one_line(capsys)
    assert files(out) == set()


def rewritten(source: Path, path: Path, **metadata: str) -> Path:
    """The bundle with other metadata."""
    with safe_open(source, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        save_file(tensors, path, (file.metadata() or {}) | metadata)
    return path


BAD_BUNDLES: dict[str, tuple[Callable[[Path, Path], Path], str]] = {
    "missing": (lambda b, p: p, "no such bundle"),
    "cut short": (lambda b, p: written(p, b.read_bytes()[: b.stat().st_size // 2]), "cannot be read as a bundle"),
    "cut in the header": (lambda b, p: written(p, b.read_bytes()[:100]), "cannot be read as a bundle"),
    "empty": (lambda b, p: written(p, ""), "cannot be read as a bundle"),
    "other version": (lambda b, p: rewritten(b, p, version="2"), "bundle version 2, expected 1"),
    "not ours": (lambda b, p: rewritten(b, p, format="pt"), "not a pose2mesh bundle"),
    "broken description": (lambda b, p: rewritten(b, p, info="{"), "does not fit its own description"),
}


@pytest.mark.parametrize("command", ["predict", "evaluate", "info"])
@pytest.mark.parametrize("case", BAD_BUNDLES)
def test_bad_bundles(
    case: str, command: str, bundle_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, fault = BAD_BUNDLES[case]
    bundle = str(make(bundle_file, tmp_path / "model.safetensors"))
    arguments = {
        "predict": [str(pose(tmp_path / "x.npy")), "--model", bundle, "--out", str(tmp_path / "out")],
        "evaluate": [bundle, "--motions", str(tmp_path), "--report", str(tmp_path / "report.json")],
        "info": [bundle],
    }
    before = files(tmp_path)
    assert main([command, *arguments[command]]) == 2
    line = one_line(capsys)
    assert bundle in line
    assert fault in line
    assert files(tmp_path) == before


def test_a_bad_bundle_is_reported_once(bundle_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = pose(tmp_path / "one.npy"), pose(tmp_path / "two.npy")
    assert main(["predict", str(one), str(two), "--model", str(tmp_path / "none"), "--out", str(tmp_path)]) == 2
    assert "no such bundle" in one_line(capsys)


# --- train


class Trained:
    """Replaces `loop.train` and records its arguments."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from pose2mesh.training import loop

        self.asked: list[tuple[TrainConfig, Path, Path | None]] = []
        monkeypatch.setattr(loop, "train", self)

    def __call__(self, config: TrainConfig, out: Path, resume: Path | None, _: object) -> Path:
        self.asked.append((config, out, resume))
        return out / "bundle.safetensors"


CONFIG = """name: tiny
data: {synthetic: {poses: {procedural: 1.0}}}
epochs: 3
"""


def test_train_from_a_config(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = Trained(monkeypatch)
    config = str(written(tmp_path / "tiny.yaml", CONFIG))
    assert main(["train", config]) == 0
    assert main(["train", config, "--set", "epochs=5", "optimiser.clip=1.5", "--out", "here", "--set", "seed=4"]) == 0
    (first, first_out, _), (second, second_out, _) = trained.asked
    assert (first.epochs, first_out) == (3, Path("runs/tiny"))
    assert (second.epochs, second.optimiser.clip, second.seed, second_out) == (5, 1.5, 4, Path("here"))
    assert capsys.readouterr().out.splitlines() == ["runs/tiny/bundle.safetensors", "here/bundle.safetensors"]


def test_resume_uses_the_config_of_the_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = Trained(monkeypatch)
    config = written(tmp_path / "tiny.yaml", CONFIG)
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.yaml").write_text(dump_config(load_config(config, ["epochs=5"])))
    written(folder / "last.ckpt", "")
    for arguments in (
        ["--resume", str(folder)],
        [str(config), "--set", "epochs=5", "--resume", str(folder / "last.ckpt")],
    ):
        assert main(["train", *arguments]) == 0
        settings, out, checkpoint = trained.asked.pop()
        assert (settings.epochs, out, checkpoint) == (5, folder, folder / "last.ckpt")
    capsys.readouterr()
    assert main(["train", str(config), "--set", "seed=3", "--resume", str(folder)]) == 2
    assert "another config than the run's: seed is 3, was 0" in one_line(capsys)
    assert not trained.asked


# --- evaluate, info

BVH = """HIERARCHY
ROOT Hips
{{
    OFFSET 0 0 0
    CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
    JOINT Spine
    {{
        OFFSET 0 10 0
        CHANNELS {channels}
        End Site
        {{
            OFFSET 0 10 0
        }}
    }}
}}
MOTION
Frames: {frames}
Frame Time: 0.0333333
{rows}
"""


def bvh(channels: str = "3 Zrotation Xrotation Yrotation", frames: int = 2, row: str = "0 90 0 0 0 0 1 2 3") -> str:
    return BVH.format(channels=channels, frames=frames, rows="\n".join([row] * 2))


BAD_MOTIONS = {
    "missing channel": (bvh(row="0 90 0 0 0 0 1 2"), "8 numbers, expected one for each of 9 channels"),
    "channel not listed": (bvh(channels="3 Zrotation Xrotation"), "expected a count and as many of"),
    "fewer frames": (bvh(frames=3), "2 frames of values, expected the 3"),
    "more frames": (bvh(frames=1), "2 frames of values, expected the 1"),
    "NaN": (bvh(row="0 90 0 0 0 0 1 nan 3"), "'nan', expected a finite number"),
    "cut in the hierarchy": (bvh().split("MOTION")[0], "ends inside the hierarchy"),
    "not BVH": ("Lorem ipsum", "not a BVH file"),
    "empty": ("", "not a BVH file"),
}


@pytest.mark.parametrize("case", BAD_MOTIONS)
def test_bad_motions(case: str, bundle_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content, fault = BAD_MOTIONS[case]
    folder = folder_of(tmp_path / "clips", "walk.bvh", content)
    before = files(tmp_path)
    arguments = ["evaluate", str(bundle_file), "--motions", str(folder), "--report", str(tmp_path / "report.json")]
    assert main(arguments) == 2
    line = one_line(capsys)
    assert str(folder / "walk.bvh") in line
    assert fault in line
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ([], "expected one of --data, --motions and --keypoints"),
        (["--motions", "a", "--data", "b"], "expected one of --data, --motions and --keypoints"),
        (["--keypoints", "a"], "--keypoints needs --images"),
        (["--motions", "a", "--images", "b"], "--images b: goes with --keypoints"),
        (["--keypoints", "a", "--images", "b", "--input", "noisy"], "are for clips, not for --keypoints"),
        (["--keypoints", "a", "--images", "b", "--drop-joints", "2"], "are for clips, not for --keypoints"),
        (["--motions", "a", "--input", "detected"], "--input detected: is for data sets with detections (--data)"),
        (["--motions", "a", "--on-fault", "skip"], "--on-fault: goes with --data, which is not given"),
        (["--motions", "a", "--samples", "0"], "--samples 0: expected at least 1"),
        (["--motions", "a", "--seed", "-1"], "--seed -1: expected a number from 0"),
        (["--motions", "a", "--drop-joints", "-1"], "--drop-joints -1: expected 0 or more"),
        (["--motions", "a", "--noise-scale", "0.5"], "--noise-scale 0.5: goes with --input noisy, not gt"),
        (["--motions", "a", "--input", "noisy", "--noise-scale", "0"], "--noise-scale 0: expected more than 0"),
        (["--motions", "a", "--input", "noisy", "--noise-scale", "nan"], "--noise-scale nan: expected more than 0"),
        (["--motions", "a", "--report", "nowhere/x.json"], "--report nowhere/x.json: expected the name of a file"),
        (["--motions", "nowhere"], "nowhere: no such folder of BVH files"),
        (["--data", "nowhere.yaml"], "nowhere.yaml"),
    ],
)
def test_wrong_evaluations(
    arguments: list[str], fault: str, bundle_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(bundle_file), *arguments]) == 2
    assert fault in one_line(capsys)


def test_a_run_folder_without_a_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(tmp_path), "--motions", "clips"]) == 2
    assert f"{tmp_path / 'bundle.safetensors'}: no such bundle" in one_line(capsys)


def test_info(bundle_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(bundle_file)]) == 0
    assert "162 vertices, 320 faces (ellipsoid)" in capsys.readouterr().out


def test_main_returns_a_status_for_a_command_that_gives_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pose2mesh.cli.main.app", lambda *_, **__: None)
    assert main([]) == 0
