"""Crawls of a site on the loopback, checked by its request log and the resulting data set."""

from __future__ import annotations

import itertools
import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from website import Reply, Server, crawl, make_image, manifest, start

from pose2mesh.io.keypoints import read_keypoints

FAST = ("--allow-private", "--detector", "blazepose", "--delay", "0")


def endless() -> Iterator[bytes]:
    for _ in itertools.count():
        yield bytes(1 << 20)


def dripping() -> Iterator[bytes]:
    for _ in range(200):
        time.sleep(0.05)
        yield b"."


def huge_png() -> bytes:
    """A PNG header that declares 60,000 x 60,000 pixels."""
    import struct
    import zlib

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def build(server: Server) -> None:
    """A site with every kind of response that a crawl has to handle."""
    server.pages["/robots.txt"] = Reply(
        b"User-agent: *\nDisallow: /\n\nUser-agent: pose2mesh\nDisallow: /forbidden/\nCrawl-delay: 0.05\n", "text/plain"
    )
    server.html(
        "/",
        """<a href="gallery/">g</a> <a href="/forbidden/page">f</a> <a href="/old">o</a> <a href="/loop1">l</a>
        <a href="/odd">x</a> <a href="/#part">again</a> <a href="/?utm_source=x">again</a> <a href="film.mp4">v</a>
        <a href="http://elsewhere.test/">e</a> <a href="http://10.0.0.1/admin">p</a> <a href="javascript:x()">j</a>
        <a href="/to-private">tp</a> <a href="http://127.0.0.1:1/">port</a> <img src="photos/one.jpg">""",
    )
    server.html(
        "/gallery/",
        """<base href="/photos/">
        <img src="data:image/gif;base64,R0" data-src="lazy.jpg">
        <img src="small.jpg" srcset="small.jpg 200w, set.jpg 1600w, far.jpg 9000w" loading="lazy">
        <picture><source type="image/avif" srcset="new.avif 1800w"><source srcset="pic-a.jpg 800w, pic-b.jpg 1200w">
        <img src="pic-c.jpg"></picture>
        <img src="one-half.jpg"><img src="copy-of-one.jpg"><img src="nobody.jpg"><img src="icon.jpg" width="32">
        <img src="tiny.jpg"><img src="broken.jpg"><img src="cut.jpg"><img src="endless.jpg"><img src="text.jpg">
        <img src="huge.png"><img src="busy.jpg"><img src="flaky.jpg"><img src="gone.jpg"><img src="liar.jpg">
        <img src="slow.jpg">
        <img src="/forbidden/photo.jpg"><img src="moved.jpg"><a href="full.jpg"><img src="thumb.jpg"></a>""",
    )
    one = make_image(1)
    server.image("/photos/one.jpg", one)
    server.image("/photos/one-half.jpg", make_image(1, (240, 180 + 30)))
    server.image("/photos/copy-of-one.jpg", one)
    for seed, name in enumerate(("lazy", "set", "pic-b", "busy", "flaky", "there", "full"), 10):
        server.image(f"/photos/{name}.jpg", make_image(seed))
    server.image("/photos/nobody.jpg", make_image(30, person=False))
    server.image("/photos/tiny.jpg", make_image(31, (150, 150)))
    server.image("/photos/broken.jpg", b"\xff\xd8\xff not a photo")
    server.pages["/photos/cut.jpg"] = Reply(make_image(32)[:3000], "image/jpeg", headers={"Content-Length": "9999"})
    server.pages["/photos/endless.jpg"] = lambda count: Reply(endless(), "image/jpeg")
    server.pages["/photos/slow.jpg"] = lambda count: Reply(dripping(), "image/jpeg")
    server.pages["/photos/text.jpg"] = Reply(b"<p>log in</p>", "text/html")
    server.pages["/photos/liar.jpg"] = Reply(endless(), "video/mp4")
    server.pages["/photos/huge.png"] = Reply(huge_png(), "image/png")
    server.pages["/photos/moved.jpg"] = Reply(status=302, headers={"Location": "there.jpg"})
    busy = server.pages["/photos/busy.jpg"]
    server.pages["/photos/busy.jpg"] = lambda count: (
        Reply(status=429, headers={"Retry-After": "1"}) if count == 1 else busy
    )
    flaky = server.pages["/photos/flaky.jpg"]
    server.pages["/photos/flaky.jpg"] = lambda count: Reply(status=500) if count == 1 else flaky
    server.pages["/old"] = Reply(status=301, headers={"Location": "/new"})
    server.html("/new", '<a href="/trap/0">t</a>')
    server.pages["/loop1"] = Reply(status=302, headers={"Location": "/loop2"})
    server.pages["/loop2"] = Reply(status=302, headers={"Location": "/loop1"})
    server.pages["/odd"] = Reply(b"%PDF", "application/pdf")
    server.pages["/to-private"] = Reply(status=302, headers={"Location": "http://169.254.169.254/secrets"})

    def trap(path: str) -> Reply:
        if not path.startswith("/trap/"):
            return Reply(status=404)
        number = int(path.split("/")[2].partition("?")[0])
        return Reply(f'<a href="/trap/{number + 1}">n</a><a href="/trap/{number}/a/a/a/a/">r</a>'.encode())

    server.default = trap


ALLOWED = Counter(
    ["/robots.txt", "/", "/gallery/", "/old", "/new", "/loop1", "/loop2", "/odd", "/to-private"]
    + [f"/trap/{number}" for number in range(2)]
    + [
        f"/photos/{name}"
        for name in (
            "one.jpg", "lazy.jpg", "set.jpg", "pic-b.jpg", "one-half.jpg", "copy-of-one.jpg", "nobody.jpg",
            "tiny.jpg", "broken.jpg", "endless.jpg", "text.jpg", "huge.png", "gone.jpg", "liar.jpg", "moved.jpg",
            "there.jpg", "full.jpg", "slow.jpg",
        )
    ]
) + Counter({"/photos/busy.jpg": 2, "/photos/flaky.jpg": 2, "/photos/cut.jpg": 3})  # fmt: skip
KEPT = {"one", "lazy", "set", "pic-b", "busy", "flaky", "there", "full"}


@pytest.fixture(scope="module")
def crawled(serve: Callable[[], Server], tmp_path_factory: pytest.TempPathFactory) -> tuple[Server, Path, Any]:
    """The site, the data set of a complete crawl, and the output of the command."""
    server = serve()
    build(server)
    folder = tmp_path_factory.mktemp("crawled") / "set"
    return server, folder, crawl("--start", f"{server.url}/", "--out", folder, "--max-depth", "3", *FAST)


def stems(folder: Path) -> set[str]:
    return {Path(record["url"]).stem for record in manifest(folder)}


def test_every_allowed_url_is_requested_once(crawled: tuple[Server, Path, Any]) -> None:
    server, _, done = crawled
    assert (done.returncode, done.stderr) == (0, "")
    assert Counter(server.requested()) == ALLOWED


def test_what_is_kept(crawled: tuple[Server, Path, Any]) -> None:
    _, folder, done = crawled
    assert stems(folder) == KEPT
    assert {path.name for path in (folder / "images").iterdir()} == {
        Path(record["file"]).name for record in manifest(folder)
    }
    last = done.stdout.splitlines()[-1]
    assert last.startswith(f"{folder}: 8 images kept, with 8 people; not kept: ")
    assert any(line.startswith("20 URLs requested, ") for line in done.stdout.splitlines())
    photos, pages = (part.partition(": ")[2].split(", ") for part in last.split("; ")[1:])
    assert sorted(photos) == sorted(
        [
            "1 duplicate", "1 near duplicate", "1 no person large enough", "1 too small", "1 too many bytes",
            "1 too many pixels", "1 too slow", "1 broken", "1 no response", "1 status 404", "1 redirected",
            "1 forbidden by robots.txt", "2 another content type",
        ]
    )  # fmt: skip
    assert sorted(pages) == sorted(
        [
            "5 read", "3 redirected", "1 redirected too often or to another site", "1 another content type",
            "1 forbidden by robots.txt",
        ]
    )  # fmt: skip


def test_origin_of_each_image(crawled: tuple[Server, Path, Any]) -> None:
    server, folder, _ = crawled
    found = {Path(record["url"]).stem: record for record in manifest(folder)}
    assert found["one"]["page"] == f"{server.url}/"
    assert found["there"]["page"] == f"{server.url}/gallery/"
    one = found["one"]
    assert (one["width"], one["height"], one["bytes"]) == (480, 360, len(make_image(1)))
    assert (folder / one["file"]).read_bytes() == make_image(1)
    assert one["licence"] == {"name": "unknown", "stated": "", "found": ""}


def test_the_coco_file_holds_keypoints_confidences_and_boxes(crawled: tuple[Server, Path, Any]) -> None:
    _, folder, _ = crawled
    coco = json.loads((folder / "person_keypoints.json").read_text())
    assert len(coco["images"]) == len(coco["annotations"]) == len(KEPT)
    person = coco["annotations"][0]
    assert np.allclose(person["keypoint_scores"], np.linspace(1, 0.1, 17), atol=1e-4)
    assert person["keypoints"][2::3] == [2] * 9 + [1] * 6 + [0] * 2
    assert person["num_keypoints"] == 15
    assert np.allclose(person["bbox"], [144, 18, 192, 324], atol=0.01)
    assert person["score"] == 0.9
    pictures = read_keypoints(folder / "person_keypoints.json")
    assert sum(len(picture.people) for picture in pictures) == len(KEPT)


def test_the_contact_sheet_shows_every_image(crawled: tuple[Server, Path, Any]) -> None:
    _, folder, _ = crawled
    with Image.open(folder / "contact_sheet.png") as sheet:
        assert sheet.size == (6 + 6 * 206, 6 + 2 * 228)


def test_pauses_are_kept(crawled: tuple[Server, Path, Any]) -> None:
    """Crawl-delay between any two requests, and the pause given by Retry-After."""
    server, _, _ = crawled
    times = [moment for moment, *_ in server.log]
    assert min(np.diff(times)) > 0.045
    first, second = (moment for moment, _, path, _ in server.log if path == "/photos/busy.jpg")
    assert second - first >= 1


def test_user_agent(crawled: tuple[Server, Path, Any]) -> None:
    server, _, _ = crawled
    assert all(headers["User-Agent"].startswith("pose2mesh/") for *_, headers in server.log)


def test_a_finished_crawl_requests_nothing_again(crawled: tuple[Server, Path, Any]) -> None:
    server, folder, _ = crawled
    before, lines = len(server.log), (folder / "manifest.jsonl").read_text()
    done = crawl("--start", f"{server.url}/", "--out", folder, "--max-depth", "3", *FAST)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(server.log) == before
    assert (folder / "manifest.jsonl").read_text() == lines


def gallery(server: Server, count: int, pause: float = 0.0) -> None:
    """A site of `count` images on two pages."""
    half = count // 2
    images = [f'<img src="/p{number}.jpg">' for number in range(count)]
    server.html("/", "".join(images[:half]) + '<a href="/more">m</a>')
    server.html("/more", "".join(images[half:]))

    def slow(data: bytes) -> Callable[[int], Reply]:
        def reply(count: int) -> Reply:
            time.sleep(pause)
            return Reply(data, "image/jpeg")

        return reply

    for number in range(count):
        server.pages[f"/p{number}.jpg"] = slow(make_image(100 + number))


@pytest.mark.thorough
def test_a_killed_crawl_ends_in_the_same_data_set(serve: Callable[[], Server], tmp_path: Path) -> None:
    server = serve()
    gallery(server, 14, pause=0.05)
    arguments = ("--start", f"{server.url}/", *FAST)
    assert crawl(*arguments, "--out", tmp_path / "whole").returncode == 0
    whole = server.requested()
    server.log.clear()
    for moment in (5, 11):
        process = start(*arguments, "--out", tmp_path / "killed")
        while len(server.log) < moment:
            time.sleep(0.005)
            assert process.poll() is None
        process.kill()
        process.communicate()
    assert crawl(*arguments, "--out", tmp_path / "killed").returncode == 0
    again = Counter(server.requested()) - Counter(whole)
    assert sum(again.values()) <= 2, again  # only the requests in flight at each kill
    assert set(server.requested()) == set(whole)
    for name in ("person_keypoints.json", "contact_sheet.png"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    lines = [[{**record, "time": ""} for record in manifest(tmp_path / name)] for name in ("whole", "killed")]
    assert lines[0] == lines[1]
    assert len(lines[0]) == 14


@pytest.mark.thorough
def test_ctrl_c_ends_the_crawl_regularly(serve: Callable[[], Server], tmp_path: Path) -> None:
    server = serve()
    gallery(server, 20, pause=0.05)
    process = start("--start", server.url, "--out", tmp_path, *FAST)
    while len(server.log) < 6:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 130
    assert err == "pose2mesh: stopped; the same command resumes\n"
    kept = len(manifest(tmp_path))
    assert 1 <= kept < 20
    assert f"{kept} images kept" in out
    assert len(json.loads((tmp_path / "person_keypoints.json").read_text())["images"]) == kept


@pytest.mark.thorough
def test_a_full_disk_is_reported_with_the_number_of_kept_images(serve: Callable[[], Server], tmp_path: Path) -> None:
    server = serve()
    gallery(server, 6)
    arguments = ("--start", server.url, "--out", tmp_path, *FAST)
    done = crawl(*arguments, TEST_DISK_HOLDS="3")
    assert done.returncode == 2
    assert done.stderr == (
        f"pose2mesh: {tmp_path}: cannot be written (No space left on device); 3 images kept, with 3 people\n"
    )
    assert crawl(*arguments).returncode == 0
    assert len(manifest(tmp_path)) == len(list((tmp_path / "images").iterdir())) == 6
    assert max(Counter(server.requested()).values()) <= 2


@pytest.mark.thorough
def test_limits_of_images_and_pages(serve: Callable[[], Server], tmp_path: Path) -> None:
    server = serve()
    gallery(server, 8)
    done = crawl("--start", server.url, "--out", tmp_path, "--max-images", "3", *FAST)
    assert done.returncode == 0
    assert "the limit of images is reached" in done.stdout
    assert server.requested() == ["/robots.txt", "/", "/p0.jpg", "/p1.jpg", "/p2.jpg"]


@pytest.mark.thorough
def test_a_trap_takes_no_more_than_its_share(serve: Callable[[], Server], tmp_path: Path) -> None:
    trap, plain = serve(), serve()
    trap.default = lambda path: Reply(f'<a href="/x{len(path)}">n</a><a href="{path}y">m</a>'.encode())
    trap.pages["/robots.txt"] = Reply(status=404)
    gallery(plain, 2)
    limits = ("--max-pages", "6", "--max-depth", "99")
    done = crawl("--start", f"{trap.url}/", f"{plain.url}/", "--out", tmp_path, *limits, *FAST)
    assert done.returncode == 0
    assert len(trap.requested()) == 1 + 3
    assert sorted(plain.requested()) == ["/", "/more", "/p0.jpg", "/p1.jpg", "/robots.txt"]


@pytest.mark.thorough
def test_time_limit(serve: Callable[[], Server], tmp_path: Path) -> None:
    """Also in the middle of an endless response."""
    server = serve()
    server.html("/", '<img src="/slow.jpg"><a href="/more">m</a>')
    server.pages["/slow.jpg"] = lambda count: Reply(dripping(), "image/jpeg")
    begin = time.monotonic()
    done = crawl("--start", server.url, "--out", tmp_path, "--minutes", "0.02", *FAST)
    assert time.monotonic() - begin < 600
    assert "the time limit is reached; " in done.stdout
    assert "/more" not in server.requested()


@pytest.mark.thorough
def test_private_addresses_are_not_requested(serve: Callable[[], Server], tmp_path: Path) -> None:
    """Neither as a start URL nor by a redirect to a name that resolves to one and is not covered by --allow-private."""
    server = serve()
    names = json.dumps({"site.test": "127.0.0.1", "inner.site.test": "127.0.0.1"})
    base = f"http://site.test:{server.port}"
    server.html("/", '<img src="/moved.jpg"><img src="/p.jpg">')
    server.image("/p.jpg", make_image(5))
    server.pages["/moved.jpg"] = Reply(
        status=302, headers={"Location": f"http://inner.site.test:{server.port}/secret.jpg"}
    )
    refused = crawl("--start", base, "--out", tmp_path / "no", "--detector", "none", TEST_NAMES=names)
    assert refused.returncode == 1
    assert server.log == []
    assert f"site.test:{server.port} left out: private address" in refused.stdout
    done = crawl("--start", base, "--out", tmp_path / "yes", *FAST, TEST_NAMES=names)
    assert done.returncode == 0
    assert {host for _, host, *_ in server.log} == {f"site.test:{server.port}"}
    assert f"inner.site.test:{server.port} left out: private address" in done.stdout
    assert len(manifest(tmp_path / "yes")) == 1


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("robots", "note"),
    [
        (Reply(status=503), "left out: robots.txt unavailable (status 503); 1 URLs not requested"),
        (Reply(b"User-agent: *\nDisallow: /\n", "text/plain"), "pages: 1 forbidden by robots.txt"),
    ],
)
def test_a_site_that_forbids_crawling_is_skipped(
    serve: Callable[[], Server], tmp_path: Path, robots: Reply, note: str
) -> None:
    """A missing robots.txt (404) allows everything; the other tests rely on it."""
    server = serve()
    server.html("/", '<img src="/p.jpg">')
    server.image("/p.jpg", make_image(5))
    server.pages["/robots.txt"] = robots
    done = crawl("--start", server.url, "--out", tmp_path, *FAST)
    assert server.requested() == ["/robots.txt"]
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith(f"{tmp_path}: 0 images kept, with 0 people; ")
    assert done.stdout.endswith(f"{note}\n")
    assert done.stdout.count("\n") == 1


@pytest.mark.thorough
def test_only_open_licences(serve: Callable[[], Server], tmp_path: Path) -> None:
    server = serve()
    server.html(
        "/",
        """<figure><img src="/by.jpg"><a href="https://creativecommons.org/licenses/by/4.0/">CC</a></figure>
        <figure><img src="/nc.jpg"><a rel="license" href="https://creativecommons.org/licenses/by-nc/4.0/">CC</a></figure>
        <figure><img src="/unknown.jpg"></figure>""",
    )
    for seed, name in enumerate(("by", "nc", "unknown"), 50):
        server.image(f"/{name}.jpg", make_image(seed))
    assert crawl("--start", server.url, "--out", tmp_path, "--licences", "open", *FAST).returncode == 0
    assert server.requested() == ["/robots.txt", "/", "/by.jpg"]
    assert manifest(tmp_path)[0]["licence"] == {
        "name": "CC BY 4.0",
        "stated": "https://creativecommons.org/licenses/by/4.0/",
        "found": "near the image",
    }


@pytest.mark.thorough
def test_removed_images_are_not_collected_again(serve: Callable[[], Server], tmp_path: Path) -> None:
    """Neither requested again nor accepted from another URL."""
    server = serve()
    gallery(server, 4)
    arguments = ("--start", server.url, "--out", tmp_path, *FAST)
    assert crawl(*arguments).returncode == 0
    going = manifest(tmp_path)[1]
    done = crawl("--out", tmp_path, "--remove", going["url"])
    assert (done.returncode, done.stdout) == (0, f"{tmp_path}: 1 removed, 3 images kept, with 3 people\n")
    assert not (tmp_path / going["file"]).exists()
    assert going["id"] not in (tmp_path / "manifest.jsonl").read_text()
    images = json.loads((tmp_path / "person_keypoints.json").read_text())["images"]
    assert going["url"] not in [image["coco_url"] for image in images]
    (tmp_path / "crawl.sqlite").unlink()
    server.log.clear()
    server.html("/more", '<img src="/elsewhere.jpg">')
    server.image("/elsewhere.jpg", make_image(101))
    assert crawl(*arguments).returncode == 0
    assert sorted(server.requested()) == ["/", "/elsewhere.jpg", "/more", "/robots.txt"]
    assert len(manifest(tmp_path)) == 3
