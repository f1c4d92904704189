"""The app and its HTTP API, as `docs/serve.md` describes them."""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from pose2mesh.errors import InputError
from pose2mesh.export import json_text
from pose2mesh.outputs import PredictOptions, describe_picture, recover_picture, write_formats
from pose2mesh.predict import Recovery
from pose2mesh.recovered import RecoveredPicture
from pose2mesh.skeletons import INPUT_ORDERS
from pose2mesh.web.headers import SecurityHeaders
from pose2mesh.web.limits import BodyDeadline, Limits
from pose2mesh.web.page import STATIC, page_text
from pose2mesh.web.results import Result, ResultStore
from pose2mesh.web.saved_video import is_saved_video, read_saved_video
from pose2mesh.web.scene import describe_frame, describe_scene
from pose2mesh.web.uploads import check_people, check_unpacked_size, read_uploads, save_uploads, without_folder
from pose2mesh.web.worker import Deadline, Worker

if TYPE_CHECKING:
    from pose2mesh.detect.detector import Detector

EXAMPLES = Path(__file__).parent / "examples"


class Download(NamedTuple):
    """A format that results can be had in."""

    title: str
    media_type: str


DOWNLOADS = {
    "glb": Download("Everyone in one scene, for Blender, browsers and game engines", "model/gltf-binary"),
    "obj": Download("A mesh a person, for any 3D program", "model/obj"),
    "ply": Download("A mesh a person, with normals", "application/octet-stream"),
    "npz": Download("Vertices, joints and faces as NumPy arrays", "application/octet-stream"),
    "json": Download("Joints, cameras, heights and confidences", "application/json"),
    "overlay": Download("Bodies drawn over the picture", "image/png"),
    "html": Download("This view as one file that opens from disk", "text/html; charset=utf-8"),
}


class Service:
    """Answers requests.

    Args:
        recovery: The model.
        detector: Finds people in photos; None where photos are not taken.
        limits: On what a request may cost.
    """

    def __init__(self, recovery: Recovery, detector: Detector | None, limits: Limits) -> None:
        self.recovery, self.detector, self.limits = recovery, detector, limits
        self.worker = Worker(limits.waiting, limits.work_seconds)
        self.results = ResultStore(limits)

    async def about(self, request: Request) -> Response:
        limits = self.limits
        return JSONResponse({
            "version": version("pose2mesh"),
            "model": self.recovery.info.name,
            "photos": self.detector is not None,
            "joint_orders": list(INPUT_ORDERS),
            "formats": [{"name": name, "title": download.title} for name, download in DOWNLOADS.items()],
            "examples": json.loads((EXAMPLES / "index.json").read_text(encoding="utf-8")),
            "limits": {
                "upload_bytes": limits.upload_bytes, "keypoint_bytes": limits.keypoint_bytes, "pixels": limits.pixels,
                "files": limits.files, "people": limits.people, "seconds": limits.work_seconds,
            },
            "waiting": self.worker.pending,
            "results": len(self.results),
        })  # fmt: skip

    async def recover(self, request: Request) -> Response:
        """POST /api/people: photos or keypoints in, people out."""
        options = _options(request)
        wanted = request.query_params.get("format") or (
            "glb" if request.headers.get("accept") == DOWNLOADS["glb"].media_type else "result"
        )
        if wanted not in ("result", *DOWNLOADS):
            raise InputError(f"format {wanted!r}: expected one of {', '.join(DOWNLOADS)}")
        with tempfile.TemporaryDirectory(prefix="pose2mesh-") as name:
            folder = Path(name)
            with without_folder(folder):
                files = await save_uploads(request, folder, self.limits)
                pictures = await self.worker.run(lambda deadline: self._recover(files, options, deadline))
        if wanted != "result":
            return await self._download(pictures, wanted)
        result = self.results.add(pictures)
        return self._describe(result)

    async def result(self, request: Request) -> Response:
        return self._describe(self.results.get(request.path_params["result"]))

    async def scene(self, request: Request) -> Response:
        """What all frames of the view share."""
        result = self.results.get(request.path_params["result"])
        title = result.pictures[0].stem
        return JSONResponse(await self.worker.run(lambda _: describe_scene(title, self.recovery, [])), headers=_KEEP)

    async def frame(self, request: Request) -> Response:
        """One frame of the view."""
        picture = self._picture(request)
        return JSONResponse(await self.worker.run(lambda _: self._frame(picture)), headers=_KEEP)

    async def download(self, request: Request) -> Response:
        """A format of one picture, or of all of them."""
        result = self.results.get(request.path_params["result"])
        pictures = [self._picture(request)] if "frame" in request.path_params else result.pictures
        return await self._download(pictures, request.path_params["format"])

    def _recover(self, files: list[Path], options: PredictOptions, deadline: Deadline) -> list[RecoveredPicture]:
        if len(files) == 1 and files[0].suffix == ".npz":
            check_unpacked_size(files[0], self.limits.upload_bytes)
            if is_saved_video(files[0]):
                pictures = read_saved_video(files[0], self.recovery)
                check_people(sum(len(picture.people) for picture in pictures), self.limits)
                return pictures
        pictures = []
        for upload in read_uploads(files, options.joints, self.limits, self.detector, deadline.check):
            deadline.check()
            pictures.append(recover_picture(self.recovery, upload.picture, upload.photo, options))
        return pictures

    def _describe(self, result: Result) -> Response:
        address = f"/api/results/{result.identifier}"
        frames = []
        for number, picture in enumerate(result.pictures):
            files = {name: f"{address}/frames/{number}/{name}" for name in DOWNLOADS}
            people = describe_picture(self.recovery, picture, [{} for _ in picture.people])
            frames.append({"stem": picture.stem, "files": files, **people})
        seconds = max(0, round(result.until - self.results.clock()))
        document = {"id": result.identifier, "kept_seconds": seconds, "frames": frames}
        return Response(json_text(document, "result"), media_type="application/json")

    def _picture(self, request: Request) -> RecoveredPicture:
        pictures = self.results.get(request.path_params["result"]).pictures
        number = request.path_params["frame"]
        if number >= len(pictures):
            raise HTTPException(404, f"frame {number}: the result has {len(pictures)}")
        return pictures[number]

    def _frame(self, picture: RecoveredPicture) -> dict[str, Any]:
        people, ground = picture.people, picture.ground()
        return describe_frame(self.recovery, people, ground, picture.stem, picture.identifiers, picture.colours)

    async def _download(self, pictures: list[RecoveredPicture], name: str) -> Response:
        if name not in DOWNLOADS:
            raise HTTPException(404, f"format {name!r}: expected one of {', '.join(DOWNLOADS)}")
        file_name, content = await self.worker.run(lambda deadline: self._write(pictures, name, deadline.check))
        kind = "application/zip" if file_name.endswith(".zip") else DOWNLOADS[name].media_type
        return Response(
            content, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{file_name}"'}
        )

    def _write(self, pictures: list[RecoveredPicture], name: str, check: Callable[[], None]) -> tuple[str, bytes]:
        """A file's name and content: a zip archive where there are several."""
        stem = pictures[0].stem
        if name == "html":
            frames = []
            for picture in pictures:
                check()
                frames.append(self._frame(picture))
            return f"{stem}.html", page_text(stem, self.recovery, frames).encode()
        with tempfile.TemporaryDirectory(prefix="pose2mesh-") as folder:
            for picture in pictures:
                check()
                write_formats(Path(folder), self.recovery, picture, (name,))
            files = sorted(Path(folder).iterdir())
            if not files:
                raise HTTPException(404, f"nobody was found, so there is no {name}")
            if len(files) == 1:
                return files[0].name, files[0].read_bytes()
            packed = io.BytesIO()
            with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                for file in files:
                    archive.write(file, file.name)
            return f"{stem}_{name}.zip", packed.getvalue()


_KEEP = {"Cache-Control": "private, max-age=3600"}  # a result does not change


def build_app(service: Service, hosts: list[str] | None = None) -> Starlette:
    """The app.

    Args:
        service: Answers.
        hosts: The names that the server may be asked under; None for any.
    """
    limits = service.limits
    routes = [
        Route("/", lambda request: FileResponse(STATIC / "app.html")),
        Mount("/static", StaticFiles(directory=STATIC)),
        Mount("/examples", StaticFiles(directory=EXAMPLES)),
        Route("/api", service.about),
        Route("/api/people", service.recover, methods=["POST"]),
        Route("/api/results/{result}", service.result),
        Route("/api/results/{result}/scene", service.scene),
        Route("/api/results/{result}/frames/{frame:int}/scene", service.frame),
        Route("/api/results/{result}/frames/{frame:int}/{format}", service.download),
        Route("/api/results/{result}/{format}", service.download),
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


def _options(request: Request) -> PredictOptions:
    """The choices of a request, in its query.

    Raises:
        InputError: names the one at fault.
    """
    query = request.query_params
    unknown = set(query) - {"joints", "height", "intrinsics", "format", "name"}
    if unknown:
        raise InputError(f"{min(unknown)}: is no option; expected joints, height, intrinsics, format or name")
    try:
        height = float(query["height"]) if "height" in query else None
    except ValueError:
        raise InputError(f"height {query['height']!r}: expected metres") from None
    joints = query.get("joints", "coco")
    return PredictOptions.checked(Path(), joints, None, query.get("intrinsics"), height, "json")
