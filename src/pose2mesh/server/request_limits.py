"""What a request may cost the server, and how one that would cost more is cut off."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send


@dataclass(frozen=True)
class RequestLimits:
    """Of one request, unless said otherwise.

    Attributes:
        upload_bytes: Of its body.
        keypoint_bytes: Of a file of keypoints, unpacked: its numbers take some ten times that while they are read.
        pixels: Of a photo.
        files, people: Uploaded files; people in all their pictures.
        header_seconds, body_seconds: Until the headers, and the body, must have come. A client who does not go on
            reading an answer is waited for as long as for a body.
        work_seconds: For waiting in line and for the work.
        waiting: Requests in line, of all clients.
        connections: Open at once, of all clients; so many bodies may lie on the disk.
        results, result_bytes, result_seconds: Kept in memory for all clients; the oldest goes first.
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
    """Answers 408 to a request whose body has not come in time.

    Args:
        app: What answers the others.
        seconds: From the end of the headers to the end of the body.
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
            if complete:  # what comes after the body is the end of the connection, for which there is no hurry
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), end - time.monotonic())
            except TimeoutError:
                raise HTTPException(408, f"the request did not come within {self.seconds:g} seconds") from None
            complete = message["type"] != "http.request" or not message.get("more_body", False)
            return message

        await self.app(scope, receive_in_time, send)
