"""Security headers of every response, and refusal of cross-site requests."""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class SecurityHeaders:
    """Adds the security headers to every response, and responds 403 to requests from pages of other sites.

    Browsers state the origin of a request in `Sec-Fetch-Site`; other programs send no such header.
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
        if foreign and scope["path"] != "/":  # links to the app from other sites are allowed
            response = JSONResponse({"error": "requested by a page of another site"}, 403)
            await response(scope, receive, send_with_policy)
            return
        await self.app(scope, receive, send_with_policy)
