"""The Starlette application with the HTTP API that `docs/serve.md` describes."""

from __future__ import annotations

import json
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from pose2mesh.errors import InputError
from pose2mesh.pipelines.predict_options import AUTO, PredictOptions
from pose2mesh.server.headers import SecurityHeaders
from pose2mesh.server.request_limits import BodyDeadline
from pose2mesh.server.result_store import Frames, StoredResult
from pose2mesh.server.service import DOWNLOADS, Service
from pose2mesh.server.uploads import save_uploads, without_folder
from pose2mesh.skeletons import INPUT_ORDERS
from pose2mesh.visualization.html_page import STATIC
from pose2mesh.visualization.image_result import ImageResult
from pose2mesh.visualization.scene import describe_scene

EXAMPLES = Path(__file__).parent / "examples"


class Api:
    """Request handlers of the HTTP API, as `docs/serve.md` specifies it."""

    def __init__(self, service: Service) -> None:
        self.service, self.run = service, service.worker.run

    async def about(self, request: Request) -> Response:
        limits = self.service.limits
        return JSONResponse({
            "version": version("pose2mesh"),
            "model": self.service.predictor.info.name,
            "photos": self.service.detector is not None,
            "joint_orders": list(INPUT_ORDERS),
            "formats": [{"name": name, "title": download.title} for name, download in DOWNLOADS.items()],
            "examples": json.loads((EXAMPLES / "index.json").read_text(encoding="utf-8")),
            "limits": {
                "upload_bytes": limits.upload_bytes, "keypoint_bytes": limits.keypoint_bytes, "pixels": limits.pixels,
                "files": limits.files, "people": limits.people, "seconds": limits.work_seconds,
            },
            "waiting": self.service.worker.pending,
            "results": len(self.service.results),
        })  # fmt: skip

    async def recover(self, request: Request) -> Response:
        """POST /api/people: recover people from images or keypoints."""
        options = _options(request)
        requested = request.query_params.get("format") or (
            "glb" if request.headers.get("accept") == DOWNLOADS["glb"].media_type else "result"
        )
        if requested not in ("result", *DOWNLOADS):
            raise InputError(f"format {requested!r}: expected one of {', '.join(DOWNLOADS)}")
        with tempfile.TemporaryDirectory(prefix="pose2mesh-") as name:
            folder = Path(name)
            with without_folder(folder):
                files = await save_uploads(request, folder, self.service.limits)
                frames = await self.run(lambda deadline: self.service.recover(files, options, deadline.check))
        if requested != "result":
            return await self._download(frames, requested)
        return await self._describe(self.service.results.add(frames))

    async def result(self, request: Request) -> Response:
        return await self._describe(self.service.results.get(request.path_params["result"]))

    async def scene(self, request: Request) -> Response:
        """The data that all frames of the 3D view share."""
        frames = self.service.results.get(request.path_params["result"]).frames
        title, rate = frames.images[0].stem, frames.frames_per_second
        scene = await self.run(lambda _: describe_scene(title, self.service.predictor, [], rate))
        return JSONResponse(scene, headers=_KEEP)

    async def frame(self, request: Request) -> Response:
        """One frame of the 3D view."""
        image = self._image(request)
        return JSONResponse(await self.run(lambda _: self.service.frame(image)), headers=_KEEP)

    async def download(self, request: Request) -> Response:
        """The file of one image, or of all images of a result, in a format."""
        frames = self.service.results.get(request.path_params["result"]).frames
        if "frame" in request.path_params:
            frames = Frames([self._image(request)])
        return await self._download(frames, request.path_params["format"])

    async def _describe(self, result: StoredResult) -> Response:
        text = await run_in_threadpool(self.service.describe, result)  # in a thread, since it is slow for many people
        return Response(text, media_type="application/json")

    def _image(self, request: Request) -> ImageResult:
        images = self.service.results.get(request.path_params["result"]).frames.images
        number = request.path_params["frame"]
        if number >= len(images):
            raise HTTPException(404, f"frame {number}: the result has {len(images)}")
        return images[number]

    async def _download(self, frames: Frames, name: str) -> Response:
        if name not in DOWNLOADS:
            raise HTTPException(404, f"format {name!r}: expected one of {', '.join(DOWNLOADS)}")
        file_name, content = await self.run(lambda deadline: self.service.write(frames, name, deadline.check))
        kind = "application/zip" if file_name.endswith(".zip") else DOWNLOADS[name].media_type
        return Response(
            content, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{file_name}"'}
        )


_KEEP = {"Cache-Control": "private, max-age=3600"}  # a result does not change


def build_app(service: Service, hosts: list[str] | None = None) -> Starlette:
    """Build the application.

    Args:
        service: Recovers people and keeps results.
        hosts: Accepted values of the Host header; None for any.
    """
    limits, api = service.limits, Api(service)
    routes = [
        Route("/", lambda request: FileResponse(STATIC / "app.html")),
        Mount("/static", StaticFiles(directory=STATIC)),
        Mount("/examples", StaticFiles(directory=EXAMPLES)),
        Route("/api", api.about),
        Route("/api/people", api.recover, methods=["POST"]),
        Route("/api/results/{result}", api.result),
        Route("/api/results/{result}/scene", api.scene),
        Route("/api/results/{result}/frames/{frame:int}/scene", api.frame),
        Route("/api/results/{result}/frames/{frame:int}/{format}", api.download),
        Route("/api/results/{result}/{format}", api.download),
    ]
    middleware = [
        Middleware(TrustedHostMiddleware, allowed_hosts=hosts or ["*"]),
        Middleware(SecurityHeaders),
        Middleware(RequestBodyLimitMiddleware, max_body_size=limits.upload_bytes),
        Middleware(BodyDeadline, seconds=limits.body_seconds),
    ]
    handlers: Any = {HTTPException: _refuse, InputError: _refuse, Exception: _fail}
    return Starlette(routes=routes, middleware=middleware, exception_handlers=handlers)


async def _refuse(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)
    return JSONResponse({"error": str(error).removeprefix("--")}, 400)


async def _fail(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "the server failed; its log says why"}, 500)


_QUERY = ("joints", "height", "intrinsics", "image_size", "refine", "format", "name")


def _options(request: Request) -> PredictOptions:
    """The options of a request, from its query.

    Raises:
        InputError: an option is invalid; the message names it.
    """
    query = request.query_params
    if unknown := set(query) - set(_QUERY):
        raise InputError(f"{min(unknown)}: is not an option; expected {', '.join(_QUERY[:-1])} or {_QUERY[-1]}")
    try:
        height = float(query["height"]) if "height" in query else None
    except ValueError:
        raise InputError(f"height {query['height']!r}: expected metres") from None
    refine = query.get("refine", "false")
    if refine not in ("true", "false"):
        raise InputError(f"refine {refine!r}: expected true or false")
    options = PredictOptions(
        Path(),
        query.get("joints", "coco"),
        intrinsics=query.get("intrinsics", AUTO),
        height=height,
        formats="json",
        refine=refine == "true",
        image_size=query.get("image_size"),
    )
    options.check()
    return options
