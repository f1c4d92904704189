"""Limits of a request, and the deadline of its body."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send


@dataclass(frozen=True)
class RequestLimits:
    """Limits of the server; each is per request unless stated otherwise.

    Attributes:
        upload_bytes: Size of the request body.
        keypoint_bytes: Size of a keypoint file, unpacked; reading it takes some ten times that in memory.
        pixels: Number of pixels of an image.
        files, people: Number of uploaded files, and of people in all their images.
        header_seconds, body_seconds: Time until the headers, and the body, are received. A client that stops reading
            a response is disconnected after `body_seconds`.
        work_seconds: Time in the queue and for the work.
        waiting: Queued requests, of all clients.
        connections: Open connections of all clients; bounds the bodies on the disk.
        results, result_bytes, result_seconds: Results kept in memory for all clients; the oldest is evicted first.
    """

    upload_bytes: int = 64_000_000
    keypoint_bytes: int = 4_000_000
    pixels: int = 40_000_000
    files: int = 400
    people: int = 400
    header_seconds: float = 10.0
    body_seconds: float = 60.0
    work_seconds: float = 60.0
    waiting: int = 32
    connections: int = 64
    results: int = 64
    result_bytes: int = 512_000_000
    result_seconds: float = 3600.0


class BodyDeadline:
    """Responds 408 to a request whose body is not received in time.

    Args:
        app: The wrapped application.
        seconds: Time from the end of the headers to the end of the body.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self.app, self.seconds = app, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        end = time.monotonic() + self.seconds
        complete = False

        async def receive_in_time() -> Message:
            nonlocal complete
            if complete:  # after the body only the disconnect message is received, without a deadline
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), end - time.monotonic())
            except TimeoutError:
                raise HTTPException(408, f"the request was not received within {self.seconds:g} seconds") from None
            complete = message["type"] != "http.request" or not message.get("more_body", False)
            return message

        await self.app(scope, receive_in_time, send)
