"""The work of the app apart from HTTP: recovers people from uploaded files, and writes the requested formats."""

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
from pose2mesh.pipelines.image_pipeline import recover_image
from pose2mesh.pipelines.predict_options import PredictOptions
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
    """Recovers people, keeps results, and writes them in the output formats.

    Args:
        predictor: The model.
        detector: Detects people in images; None where images are not accepted.
        limits: Limits of a request.
    """

    def __init__(self, predictor: Predictor, detector: Detector | None, limits: RequestLimits) -> None:
        self.predictor, self.detector, self.limits = predictor, detector, limits
        self.worker = Worker(limits.waiting, limits.work_seconds)
        self.results = ResultStore(limits)

    def recover(self, files: list[Path], options: PredictOptions, check: Callable[[], None]) -> Frames:
        """Recover the people of uploaded files; `check` is called between images and raises once the deadline is over.

        Raises:
            InputError: a file cannot be used.
            HTTPException: the files exceed the limits.
        """
        if len(files) == 1 and files[0].suffix == ".npz":
            check_unpacked_size(files[0], self.limits.upload_bytes)
            if is_saved_video(files[0]):
                frames = read_saved_video(files[0], self.predictor)
                check_people(sum(len(image.people) for image in frames.images), self.limits)
                return frames
        images = []
        for upload in read_uploads(files, options.joints, self.limits, self.detector, check):
            check()
            images.append(recover_image(self.predictor, upload.keypoints, upload.image, options, upload.focal_35mm))
        return Frames(images)

    def describe(self, result: StoredResult) -> str:
        """A result as JSON."""
        url = f"/api/results/{result.identifier}"
        frames = []
        for number, image in enumerate(result.frames.images):
            files = {name: f"{url}/frames/{number}/{name}" for name in DOWNLOADS}
            people = describe_image(self.predictor, image, [{} for _ in image.people])
            frames.append({"stem": image.stem, "files": files, **people})
        seconds = max(0, round(result.until - self.results.clock()))
        document = {"id": result.identifier, "kept_seconds": seconds, "frames": frames}
        return json_text(document, "result")

    def frame(self, image: ImageResult) -> dict[str, Any]:
        """The JSON document of an image for the 3D view."""
        people, canvas = image.people, image.canvas()
        return describe_frame(
            self.predictor, people, canvas, image.stem, image.identifiers, image.colours, image.gravity
        )

    def write(self, frames: Frames, name: str, check: Callable[[], None]) -> tuple[str, bytes]:
        """The name and content of the frames in a format: one file, or a zip archive of several.

        Raises:
            HTTPException: 404, no person was detected, and the format has no file without people.
        """
        images, stem = frames.images, frames.images[0].stem
        if name == "html":
            scenes = []
            for image in images:
                check()
                scenes.append(self.frame(image))
            return f"{stem}.html", page_text(stem, self.predictor, scenes, frames.frames_per_second).encode()
        with tempfile.TemporaryDirectory(prefix="pose2mesh-") as folder:
            for image in images:
                check()
                write_image_files(Path(folder), self.predictor, image, (name,))
            files = sorted(Path(folder).iterdir())
            if not files:
                raise HTTPException(404, f"no person was detected, so there is no {name}")
            if len(files) == 1:
                return files[0].name, files[0].read_bytes()
            packed = io.BytesIO()
            with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                for file in files:
                    archive.write(file, file.name)
            return f"{stem}_{name}.zip", packed.getvalue()
