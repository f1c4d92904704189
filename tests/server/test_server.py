"""Hostile requests over real sockets: each is refused in time, with a 4xx, and costs no more than its limit."""

from __future__ import annotations

import http.client
import io
import socket
import struct
import sys
import time
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from pose2mesh.cli.main import main
from pose2mesh.server import server
from tests.server.serving import LIMITS, Ask, as_json, coco_people, form


@contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=600) as client:
        yield client


def read_all(client: socket.socket) -> bytes:
    """The server's bytes until it closes the connection."""
    said = b""
    try:
        while part := client.recv(65536):
            said += part
    except ConnectionResetError:
        pass
    return said


def status(said: bytes) -> int:
    return int(said.split(b" ", 2)[1])


def test_ten_gigabytes_that_are_announced_are_refused_at_once(port: int) -> None:
    with connected(port) as client:
        client.sendall(b"POST /api/people HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10000000000\r\n\r\n")
        assert status(client.recv(65536)) == 413


@pytest.mark.parametrize("kind", ["raw", "form"])
def test_ten_gigabytes_that_are_not_announced_are_cut_off(port: int, kind: str) -> None:
    head = b"POST /api/people HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n"
    if kind == "form":
        head += b"Content-Type: multipart/form-data; boundary=b\r\n"
    opening = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
    chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    sent = 0
    with connected(port) as client:
        client.sendall(head + b"\r\n%x\r\n%b\r\n" % (len(opening), opening))
        try:
            while sent < 10_000_000_000:
                client.sendall(chunk)
                sent += len(chunk)
        except (BrokenPipeError, ConnectionResetError):
            pass
        said = read_all(client)
    assert status(said) == 413
    assert sent < LIMITS.upload_bytes + 16_000_000  # what is thrown away, and the system's buffers


@pytest.mark.thorough
@pytest.mark.parametrize("start", [b"", b"GET /api HT", b"GET /api HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "])
def test_half_a_head_is_not_waited_for(port: int, start: bytes) -> None:
    begin = time.monotonic()
    with connected(port) as client:
        client.sendall(start)
        said = read_all(client)
    assert time.monotonic() - begin < LIMITS.header_seconds + 2
    assert status(said) == 408


def test_a_head_that_drips_is_not_waited_for(port: int) -> None:
    begin = time.monotonic()
    with connected(port) as client:
        client.sendall(b"GET /api HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        try:
            for number in range(100):
                client.sendall(b"X-%d: 1\r\n" % number)
                time.sleep(0.05)
        except (BrokenPipeError, ConnectionResetError):
            pass
    assert time.monotonic() - begin < LIMITS.header_seconds + 2


def test_half_a_body_is_not_waited_for(port: int) -> None:
    begin = time.monotonic()
    with connected(port) as client:
        client.sendall(b"POST /api/people HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n{")
        said = client.recv(65536)
    assert time.monotonic() - begin < LIMITS.body_seconds + 2
    assert status(said) == 408


def test_a_second_request_on_the_connection_may_come_and_may_not_dawdle(port: int) -> None:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    for _ in range(2):
        client.request("GET", "/api")
        assert client.getresponse().read()
    client.sock.sendall(b"GET /api HTTP/1.1\r\nHost:")
    assert status(read_all(client.sock)) == 408
    client.close()


@pytest.mark.thorough
def test_a_client_that_does_not_read_is_not_waited_for(port: int) -> None:
    asked = 60
    with connected(port) as client:
        client.sendall(b"GET /static/pose2mesh.js HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * asked)
        time.sleep(3 * LIMITS.body_seconds)
        assert read_all(client).count(b"HTTP/1.1 200 OK") < asked


def test_an_image_that_unpacks_to_gigabytes_is_refused_by_its_header(ask: Ask) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pixels = zlib.compress(bytes(20_000_000), 9)
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    begin = time.monotonic()
    code, _, body = ask("POST", "/api/people", bomb)
    assert (code, b"more pixels than" in body) == (413, True)
    assert time.monotonic() - begin < 600


def test_more_pixels_than_the_limit_are_refused(ask: Ask) -> None:
    from tests.server.serving import photo

    code, _, body = ask("POST", "/api/people", photo(1200, 1000))
    assert (code, b"1200x1000 pixels" in body) == (413, True)


def test_arrays_that_unpack_to_more_than_the_limit_are_refused(ask: Ask) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("keypoints.npy", bytes(50_000_000))
    assert len(file.getvalue()) < LIMITS.upload_bytes
    code, _, body = ask("POST", "/api/people", file.getvalue())
    assert (code, b"50,000,000 bytes" in body) == (413, True)


def test_an_array_that_claims_to_be_huge_is_refused(ask: Ask) -> None:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"shape": (10**9, 17, 3), "fortran_order": False, "descr": "<f8"})
    code, _, body = ask("POST", "/api/people", file.getvalue() + bytes(64))
    assert (code, b"is not a NumPy array file" in body) == (400, True)


def test_pickles_in_arrays_are_not_opened(ask: Ask) -> None:
    file = io.BytesIO()
    np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert ask("POST", "/api/people", file.getvalue())[0] == 400


def test_deep_json_and_too_much_of_it_are_refused(ask: Ask) -> None:
    assert ask("POST", "/api/people", b"[" * 90_000)[0] == 400
    assert ask("POST", "/api/people", b"[" + b"1," * 60_000 + b"1]")[0] == 413


def test_too_many_people_and_files_are_refused(ask: Ask) -> None:
    code, _, body = ask("POST", "/api/people", as_json(coco_people(people=31)))
    assert (code, b"31 people" in body) == (413, True)
    files, kind = form(*[(f"{number}.json", as_json(coco_people())) for number in range(9)])
    code, _, body = ask("POST", "/api/people", files, Content_Type=kind)
    assert (code, b"Maximum number of files is 8" in body) == (400, True)


def test_what_is_no_http_is_refused(port: int) -> None:
    with connected(port) as client:
        client.sendall(b"\x16\x03\x01\x02\x00\x01\x00 hello\r\n\r\n")
        assert status(read_all(client)) == 400


def test_after_all_that_it_still_responds(ask: Ask) -> None:
    assert ask("POST", "/api/people", as_json(coco_people()))[0] == 200


# --- the command


def test_a_port_in_use_is_reported(port: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--port", str(port)]) == 2
    assert f"--host 127.0.0.1 --port {port}: cannot listen there" in capsys.readouterr().err


def test_without_the_extra_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delattr("pose2mesh.server.server")
    monkeypatch.delitem(sys.modules, "pose2mesh.server.server")
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["serve"]) == 2
    assert capsys.readouterr().err == (
        'pose2mesh: serve: uvicorn is not installed; `pip install "pose2mesh[serve]"` brings it\n'
    )


def test_a_requested_detector_must_exist(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--port", "0", "--detector-model", "missing.task"]) == 2
    assert "--detector-model missing.task: no such file" in capsys.readouterr().err


def test_without_any_detector_it_warns_that_images_are_not_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    warnings: list[str] = []
    assert server._find_detector("auto", (), True, warnings.append) is None
    assert warnings[0].startswith("pose2mesh: images are not accepted, only keypoints: onnxruntime is not installed")
