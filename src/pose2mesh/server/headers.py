"""What browsers are told about every answer: whom the page may ask, and who may ask the server."""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class SecurityHeaders:
    """Sends the policy with every answer, and answers 403 to what the page of another site asks for.

    Browsers say in `Sec-Fetch-Site` whose page a request comes from; programs send no such header.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = POLICY
                headers["Cross-Origin-Resource-Policy"] = "same-origin"
                headers["Referrer-Policy"] = "no-referrer"
                headers["X-Content-Type-Options"] = "nosniff"
                headers.setdefault("Cache-Control", "no-store" if scope["path"].startswith("/api") else "no-cache")
            await send(message)

        foreign = Headers(scope=scope).get("sec-fetch-site", "none") not in ("none", "same-origin")
        if foreign and scope["path"] != "/":  # a link to the app may stand anywhere
            answer = JSONResponse({"error": "asked for by the page of another site"}, 403)
            await answer(scope, receive, send_with_policy)
            return
        await self.app(scope, receive, send_with_policy)
