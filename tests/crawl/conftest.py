"""Fixture: local web servers for crawls; this folder is on the import path for the helpers in it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from website import Server


@pytest.fixture(scope="module")
def serve() -> Iterator[Callable[[], Server]]:
    """Starts servers, which are stopped after the tests of the module."""
    running: list[Server] = []

    def start() -> Server:
        server = Server()
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        running.append(server)
        return server

    yield start
    for server in running:
        server.shutdown()
        server.server_close()
