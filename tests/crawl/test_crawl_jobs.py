"""`pose2mesh crawl` without a network: images on disk, removals, invalid options."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from runner import detect
from website import make_image, manifest

from pose2mesh.cli.main import main
from pose2mesh.detectors import registry


@pytest.fixture(autouse=True)
def _detector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.DETECTORS, "blazepose", lambda files, offline: detect)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three images of people, one twice, one in another size, one without a person, one broken, and a text file."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for name, data in {
        "a.jpg": make_image(1), "b.png": make_image(2, format="PNG"), "more/c.JPG": make_image(3),
        "d.jpg": make_image(1),
        "e.jpg": make_image(2, (240, 210)), "f.jpg": make_image(4, person=False), "g.jpg": b"no", "h.txt": b"text",
    }.items():  # fmt: skip
        (folder / name).write_bytes(data)
    return folder


def run(*arguments: str | Path) -> int:
    return main(["crawl", *map(str, arguments)])


def test_a_folder_becomes_a_data_set(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert run("--from-folder", photos, "--out", out, "--detector", "blazepose") == 0
    assert [Path(record["url"]).name for record in manifest(out)] == ["a.jpg", "b.png", "c.JPG"]
    printed = capsys.readouterr().out
    assert printed.startswith(f"{out}: 3 images kept, with 3 people; not kept: ")
    for note in ("1 duplicate", "1 near duplicate", "1 no person large enough", "1 broken"):
        assert note in printed
    assert len(json.loads((out / "person_keypoints.json").read_text())["annotations"]) == 3
    before = (out / "manifest.jsonl").read_bytes()
    assert run("--from-folder", photos, "--out", out, "--detector", "blazepose") == 0
    assert (out / "manifest.jsonl").read_bytes() == before


def test_without_a_detector_every_image_is_kept(photos: Path, tmp_path: Path) -> None:
    assert run("--from-folder", photos, "--out", tmp_path / "out", "--detector", "none") == 0
    assert [record["people"] for record in manifest(tmp_path / "out")] == [[]] * 4


def test_blurred_faces(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run("--from-folder", photos, "--out", out, "--detector", "blazepose", "--blur-faces") == 0
    record = manifest(out)[0]
    assert record["edits"] == ["faces blurred"]
    assert record["file"].endswith(".jpg")
    with Image.open(out / record["file"]) as written, Image.open(photos / "a.jpg") as original:
        assert not written.getexif()
        change = np.abs(np.asarray(written).astype(int) - np.asarray(original)).mean(axis=2)
    x, y = map(int, record["people"][0]["keypoints"][0][:2])
    assert change[y - 10 : y + 10, x - 10 : x + 10].mean() > 2 * change[300:].mean()


def test_removal_by_id(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    options = ("--from-folder", photos, "--out", out, "--detector", "blazepose")
    run(*options)
    gone = manifest(out)[0]
    assert run("--out", out, "--remove", gone["id"]) == 0
    assert len(manifest(out)) == len(list((out / "images").iterdir())) == 2
    assert run(*options) == 0
    assert gone["id"] not in [record["id"] for record in manifest(out)]
    capsys.readouterr()
    assert run("--out", out, "--remove", "nonsense") == 2
    assert capsys.readouterr().err == (
        f"pose2mesh: --remove 'nonsense': no image of {out / 'manifest.jsonl'} has this id\n"
    )


def test_an_interrupted_removal_is_completed(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ("--from-folder", photos, "--out", out, "--detector", "blazepose")
    run(*options)
    going = manifest(out)[0]
    line = {key: going[key] for key in ("url", "sha256", "phash")}
    (out / "removed.jsonl").write_text(json.dumps(line) + "\n")
    assert run(*options) == 0
    assert not (out / going["file"]).exists()
    assert going["id"] not in (out / "manifest.jsonl").read_text()


def test_leftovers_of_a_kill_are_deleted(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ("--from-folder", photos, "--out", out, "--detector", "blazepose")
    run(*options)
    whole = (out / "manifest.jsonl").read_bytes()
    last = manifest(out)[-1]
    (out / "manifest.jsonl").write_bytes(whole[:-40])
    (out / "images" / ".0123456789abcdef.jpg.part").write_bytes(b"x")
    (out / "images" / "mine.jpg").write_bytes(b"not the crawl's")
    assert run(*options) == 0
    assert [record["id"] for record in manifest(out)][-1] == last["id"]
    names = {path.name for path in (out / "images").iterdir()}
    assert names == {Path(record["file"]).name for record in manifest(out)} | {"mine.jpg"}


def test_nothing_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    out = tmp_path / "out"
    assert run("--from-folder", tmp_path / "empty", "--out", out, "--detector", "none") == 1
    assert capsys.readouterr().out == f"{out}: 0 images kept, with 0 people\n"
    assert not (out / "contact_sheet.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "expected either --start or --from-folder"),
        (("--start", "http://h.org", "--from-folder", "x"), "expected either --start or --from-folder"),
        (("--start", "missing.txt"), "--start 'missing.txt': expected a URL, or a text file"),
        (("--start", "ftp://h.org/"), "--start 'ftp://h.org/': expected an http or https URL"),
        (("--from-folder", "missing"), "--from-folder missing: no such folder"),
        (("--from-folder", ".", "--licences", "open"), "--licences open: images of --from-folder"),
        (("--from-folder", ".", "--blur-faces", "--detector", "none"), "--blur-faces: needs a detector"),
        (("--start", "http://h.org", "--max-images", "0"), "--max-images 0: expected at least 1"),
        (("--start", "http://h.org", "--minutes", "0"), "--minutes 0.0: expected a number above 0"),
        (("--start", "http://h.org", "--remove", "x"), "--remove: goes with --out alone"),
        (("--start", "http://h.org", "--detector", "none", "--domain", "http://x"), "--domain 'http://x'"),
    ],
)
def test_invalid_options(
    tmp_path: Path, arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--out", tmp_path / "out", *arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_manifest_of_something_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "manifest.jsonl").write_text('{"url": "x"}\n')
    (tmp_path / "photos").mkdir()
    assert run("--from-folder", tmp_path / "photos", "--out", tmp_path, "--detector", "none") == 2
    assert "manifest.jsonl: line 1 is not one of a crawl's" in capsys.readouterr().err
