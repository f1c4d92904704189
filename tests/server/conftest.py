"""The app on a port of this machine, with a small model and a detector that returns the same person in every image."""

from __future__ import annotations

import http.client
from collections.abc import Iterator

import pytest

from pose2mesh.inference.predictor import Predictor
from pose2mesh.server.service import Service
from tests.server.serving import LIMITS, Ask, SamePerson, running


@pytest.fixture(scope="session")
def port(recovery: Predictor) -> Iterator[int]:
    """The port of a server with small limits that accepts images."""
    with running(Service(recovery, SamePerson(), LIMITS)) as number:
        yield number


@pytest.fixture(scope="session")
def ask(port: int) -> Ask:
    """`ask(method, path, body, **headers)` → status, headers, body."""

    def asked(method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    return asked
