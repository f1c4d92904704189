"""What the app does for a request, apart from HTTP: files to pictures with people, and those to what is sent."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException

from pose2mesh.inference.predictor import Predictor
from pose2mesh.io.mesh_files import json_text
from pose2mesh.pipelines.formats import writers
from pose2mesh.pipelines.image_document import describe_image
from pose2mesh.pipelines.image_files import write_image_files
from pose2mesh.pipelines.image_pipeline import recover_picture
from pose2mesh.pipelines.options import PredictOptions
from pose2mesh.server.request_limits import RequestLimits
from pose2mesh.server.result_store import Frames, ResultStore, StoredResult
from pose2mesh.server.saved_video import is_saved_video, read_saved_video
from pose2mesh.server.uploads import check_people, check_unpacked_size, read_uploads
from pose2mesh.server.worker import Worker
from pose2mesh.visualization.html_page import page_text
from pose2mesh.visualization.image_result import ImageResult
from pose2mesh.visualization.scene import describe_frame

if TYPE_CHECKING:
    from pose2mesh.detectors.detection import Detector


# The formats in which results can be downloaded.
DOWNLOADS = {name: writer for name, writer in writers("image").items() if writer.write is not None}


class Service:
    """Recovers people, keeps results, and puts them into formats.

    Args:
        recovery: The model.
        detector: Finds people in photos; None where photos are not taken.
        limits: On what a request may cost.
    """

    def __init__(self, recovery: Predictor, detector: Detector | None, limits: RequestLimits) -> None:
        self.recovery, self.detector, self.limits = recovery, detector, limits
        self.worker = Worker(limits.waiting, limits.work_seconds)
        self.results = ResultStore(limits)

    def recover(self, files: list[Path], options: PredictOptions, check: Callable[[], None]) -> Frames:
        """The pictures of uploaded files; `check` is called between them and raises where the time is over.

        Raises:
            InputError: a file cannot be used.
            HTTPException: there is more in them than the limits allow.
        """
        if len(files) == 1 and files[0].suffix == ".npz":
            check_unpacked_size(files[0], self.limits.upload_bytes)
            if is_saved_video(files[0]):
                frames = read_saved_video(files[0], self.recovery)
                check_people(sum(len(picture.people) for picture in frames.pictures), self.limits)
                return frames
        pictures = []
        for upload in read_uploads(files, options.joints, self.limits, self.detector, check):
            check()
            pictures.append(recover_picture(self.recovery, upload.picture, upload.photo, options))
        return Frames(pictures)

    def describe(self, result: StoredResult) -> str:
        """A result as JSON."""
        address = f"/api/results/{result.identifier}"
        frames = []
        for number, picture in enumerate(result.frames.pictures):
            files = {name: f"{address}/frames/{number}/{name}" for name in DOWNLOADS}
            people = describe_image(self.recovery, picture, [{} for _ in picture.people])
            frames.append({"stem": picture.stem, "files": files, **people})
        seconds = max(0, round(result.until - self.results.clock()))
        document = {"id": result.identifier, "kept_seconds": seconds, "frames": frames}
        return json_text(document, "result")

    def frame(self, picture: ImageResult) -> dict[str, Any]:
        """A picture for the view."""
        people, ground = picture.people, picture.ground()
        return describe_frame(self.recovery, people, ground, picture.stem, picture.identifiers, picture.colours)

    def write(self, frames: Frames, name: str, check: Callable[[], None]) -> tuple[str, bytes]:
        """The name and content of frames in a format: of one file, or of a zip archive where there are several.

        Raises:
            HTTPException: 404, nobody is in them, and there is no such file without.
        """
        pictures, stem = frames.pictures, frames.pictures[0].stem
        if name == "html":
            shown = []
            for picture in pictures:
                check()
                shown.append(self.frame(picture))
            return f"{stem}.html", page_text(stem, self.recovery, shown, frames.frames_per_second).encode()
        with tempfile.TemporaryDirectory(prefix="pose2mesh-") as folder:
            for picture in pictures:
                check()
                write_image_files(Path(folder), self.recovery, picture, (name,))
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
