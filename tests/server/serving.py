"""Shared by the tests of the app: a temporary server, a detector, and request bodies."""

from __future__ import annotations

import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pose2mesh.detectors.detection import Detection
from pose2mesh.server.request_limits import RequestLimits
from pose2mesh.server.server import make_server
from pose2mesh.server.service import Service

Ask = Callable[..., tuple[int, dict[str, str], bytes]]
LIMITS = RequestLimits(
    upload_bytes=400_000, keypoint_bytes=100_000, pixels=1_000_000, files=8, people=30,
    header_seconds=0.6, body_seconds=0.8, work_seconds=20, connections=40,
)  # fmt: skip


def coco_people(pictures: int = 1, people: int = 2) -> dict[str, Any]:
    """COCO annotations of invented people."""
    rng = np.random.default_rng(0)
    annotations = []
    for number in range(pictures * people):
        pixels = rng.uniform(0, 150, (17, 2)) + rng.uniform((50, 50), (450, 250))
        rows = np.column_stack([pixels.round(1), np.full(17, 2)])
        annotations.append({"id": number, "image_id": number // people, "keypoints": rows.ravel().tolist()})
    images = [{"id": each, "file_name": f"{each}.jpg", "width": 640, "height": 480} for each in range(pictures)]
    return {"images": images, "annotations": annotations}


def photo(width: int = 320, height: int = 240, kind: str = "JPEG") -> bytes:
    """An image file."""
    file = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), (90, 120, 150), np.uint8)).save(file, format=kind)
    return file.getvalue()


class SamePerson:
    """A detector that returns the same person at the same relative position in every image."""

    def __call__(self, picture: NDArray[np.uint8], boxes: NDArray[np.floating] | None = None) -> list[Detection]:
        height, width = picture.shape[:2]
        joints = np.random.default_rng(3).uniform((0.3, 0.1), (0.6, 0.9), (17, 2)) * (width, height)
        box = np.array([0.3 * width, 0.1 * height, 0.6 * width, 0.9 * height], np.float32)
        return [Detection(joints.astype(np.float32), np.full(17, 0.8, np.float32), box, 0.8)]


@contextmanager
def running(service: Service) -> Iterator[int]:
    """The port of a temporary server."""
    server = make_server(service, service.limits, ["127.0.0.1"])
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            end = time.monotonic() + 600
            while not server.started and time.monotonic() < end:
                time.sleep(0.01)
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(timeout=600)
            service.worker.close()


def form(*files: tuple[str, bytes]) -> tuple[bytes, str]:
    """A multipart body of files (name, content), and its content type."""
    mark = "part-of-a-test"
    parts = [
        f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode()
        + content
        + b"\r\n"
        for name, content in files
    ]
    return b"".join(parts) + f"--{mark}--\r\n".encode(), f"multipart/form-data; boundary={mark}"


def as_json(document: Any) -> bytes:
    return json.dumps(document).encode()
