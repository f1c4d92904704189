"""Runs the app of `pose2mesh serve` on a port."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from pose2mesh.errors import InputError
from pose2mesh.model_zoo import load_model
from pose2mesh.server.app import build_app
from pose2mesh.server.request_limits import RequestLimits
from pose2mesh.server.service import Service

if TYPE_CHECKING:
    from pose2mesh.detectors.detection import Detector

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
# Limits on the rest of a refused request that is read and discarded, so that the client can read the refusal.
_LINGER_SECONDS, _LINGER_BYTES = 2.0, 4_000_000
_LEAST_READ_BYTES = 500_000  # least part of a pending response that a client must read within `body_seconds`


class ImpatientProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 with timeouts, which uvicorn lacks: for headers, for the bodies of refused requests, and for
    clients that do not read the response.
    """

    limits = RequestLimits()
    _timer: asyncio.TimerHandle | None = None
    _read_timer: asyncio.TimerHandle | None = None
    _unwanted_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._timer = self.loop.call_later(self.limits.header_seconds, self._headers_late)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_refused():
            self._unwanted_bytes += len(data)
            if self._unwanted_bytes > _LINGER_BYTES:
                self.transport.close()
        if self.conn.their_state is not h11.IDLE:
            self._stop()
        elif self._timer is None:  # the first bytes of another request
            self._timer = self.loop.call_later(self.limits.header_seconds, self._headers_late)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._is_refused():
            self.loop.call_later(_LINGER_SECONDS, self.transport.close)

    def _is_refused(self) -> bool:
        """Whether the response was complete before all of the request was received."""
        return self.cycle is not None and self.cycle.response_complete and self.conn.their_state is h11.SEND_BODY

    def pause_writing(self) -> None:
        super().pause_writing()
        self._wait_for_reader()

    def resume_writing(self) -> None:
        self._stop_waiting()
        super().resume_writing()

    def _wait_for_reader(self) -> None:
        unsent = self.transport.get_write_buffer_size()
        self._read_timer = self.loop.call_later(self.limits.body_seconds, self._reader_late, unsent)

    def _reader_late(self, unsent: int) -> None:
        if self.transport.get_write_buffer_size() > unsent - _LEAST_READ_BYTES:
            self.transport.abort()
        else:
            self._wait_for_reader()

    def _stop_waiting(self) -> None:
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        self._stop_waiting()
        super().connection_lost(exc)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _headers_late(self) -> None:
        if self.transport.is_closing() or self.conn.their_state is not h11.IDLE:
            return
        if self.conn.our_state is h11.IDLE:
            headers = [("content-length", "0"), ("connection", "close")]
            self.transport.write(self.conn.send(h11.Response(status_code=408, headers=headers)) or b"")
        self.transport.close()


def serve(
    host: str,
    port: int,
    model: str,
    backend: str,
    detector: str,
    detector_files: tuple[Path, ...],
    offline: bool,
    say: Callable[[str], None],
    warn: Callable[[str], None],
    limits: RequestLimits | None = None,
) -> int:
    """Serve the app until it is interrupted.

    Args:
        host, port: The address to listen on.
        model, backend: Arguments of `model_zoo.load_model`.
        detector, detector_files, offline: Arguments of `load_detector`. If `auto` finds no detector, images are not
            accepted.
        say: Callback for the line that states the address of the app.
        warn: Callback for a line that states that images are not accepted.
        limits: Limits of a request.

    Raises:
        InputError: the model, the detector or the port cannot be used.
    """
    limits = limits or RequestLimits()
    listener = _listen(host, port)  # before the model is loaded, which is slow
    with listener:
        predictor = load_model(model, "cpu", backend)
        service = Service(predictor, _find_detector(detector, detector_files, offline, warn), limits)
        hosts = [*_LOOPBACK, "[::1]"] if host in _LOOPBACK else None
        address = f"[{host}]" if ":" in host else host
        say(f"pose2mesh: http://{address}:{listener.getsockname()[1]}/ (Ctrl-C ends it)")
        make_server(service, limits, hosts).run(sockets=[listener])
        service.worker.close()
    return 0


def make_server(service: Service, limits: RequestLimits, hosts: list[str] | None) -> uvicorn.Server:
    """Build the server without starting it."""
    protocol = type("Protocol", (ImpatientProtocol,), {"limits": limits})
    config: dict[str, Any] = {
        "http": protocol, "ws": "none", "lifespan": "off", "log_level": "warning", "server_header": False,
        "limit_concurrency": limits.connections, "timeout_graceful_shutdown": 5,
    }  # fmt: skip
    return uvicorn.Server(uvicorn.Config(build_app(service, hosts), **config))


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise InputError(f"--host {host} --port {port}: cannot listen there ({error})") from error
    listener.listen(256)
    return listener


def _find_detector(name: str, files: tuple[Path, ...], offline: bool, warn: Callable[[str], None]) -> Detector | None:
    from pose2mesh.detectors.registry import load_detector

    try:
        return load_detector(name, files or None, offline)
    except InputError as error:
        if name != "auto" or files:
            raise
        warn(f"pose2mesh: images are not accepted, only keypoints: {error}")
        return None
