"""A web site on the loopback with a request log, images for it, and the command in its own process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

RUNNER = Path(__file__).with_name("runner.py")


def make_image(seed: int, size: tuple[int, int] = (480, 360), person: bool = True, format: str = "JPEG") -> bytes:
    """An image of soft shapes; different seeds give dissimilar images."""
    noise = np.random.default_rng(seed).integers(60, 255, (8, 8, 3), np.uint8)
    picture = Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)
    if not person:
        picture.paste((0, 0, 0), (int(0.9 * size[0]), int(0.9 * size[1]), *size))
    file = BytesIO()
    picture.save(file, format=format, quality=90)
    return file.getvalue()


@dataclass
class Reply:
    """A response of the server; `body` may be an endless iterator of chunks."""

    body: bytes | Iterator[bytes] = b""
    kind: str = "text/html"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class Server(ThreadingHTTPServer):
    """A site of `pages` by path: a reply, or a function of how often the path has been requested."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pages: dict[str, Reply | Callable[[int], Reply]] = {}
        self.default: Callable[[str], Reply] = lambda path: Reply(status=404)
        self.log: list[tuple[float, str, str, dict[str, str]]] = []  # time, host, path, headers

    @property
    def port(self) -> int:
        return self.server_address[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def html(self, path: str, body: str) -> None:
        self.pages[path] = Reply(f"<!doctype html><html><body>{body}</body></html>".encode())

    def image(self, path: str, data: bytes) -> None:
        self.pages[path] = Reply(data, "image/jpeg")

    def requested(self) -> list[str]:
        return [path for _, _, path, _ in self.log]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that close the connection."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.log.append((time.monotonic(), self.headers["Host"], self.path, dict(self.headers)))
        found = self.server.pages.get(self.path) or self.server.default(self.path)
        reply = found if isinstance(found, Reply) else found(self.server.requested().count(self.path))
        self.send_response(reply.status)
        if reply.kind:
            self.send_header("Content-Type", reply.kind)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        whole = isinstance(reply.body, bytes)
        if whole and "Content-Length" not in reply.headers:
            self.send_header("Content-Length", str(len(reply.body)))
        if not whole or "Content-Length" in reply.headers:
            self.close_connection = True
            self.send_header("Connection", "close")
        self.end_headers()
        for piece in [reply.body] if isinstance(reply.body, bytes) else reply.body:
            self.wfile.write(piece)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Print nothing."""


def start(*arguments: str | Path, **environment: str) -> subprocess.Popen[str]:
    """Start the command `crawl`."""
    command = [sys.executable, str(RUNNER), "crawl", *map(str, arguments)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
    )


def crawl(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command `crawl` to its end."""
    process = start(*arguments, **environment)
    try:
        out, err = process.communicate(timeout=600)
    finally:
        process.kill()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def manifest(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
