"""The JSON document of the 3D view in the browser: `web/scene.js` reads it.

Convention: 3D is in metres, Y up, the camera at the origin, looking along −Z if it is level; pixels are those of the
frame's image.
"""

from __future__ import annotations

import io
import zlib
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose2mesh.geometry.gravity import LEVEL_CAMERA, Gravity
from pose2mesh.inference.person import Person
from pose2mesh.inference.predictor import Predictor
from pose2mesh.visualization import renderer
from pose2mesh.visualization.overlay import Canvas, draw_meshes

_UP_FROM_CAMERA = np.diag([1.0, -1.0, -1.0])
_STEPS = 2**14 - 1  # quantisation steps over the body's extent, about 0.1 mm each
_BEHIND_M = 0.4  # distance of the backdrop behind the farthest person
_ARM_SPAN = ("left_wrist", "left_elbow", "left_shoulder", "right_shoulder", "right_elbow", "right_wrist")


def describe_scene(
    title: str, predictor: Predictor, frames: list[dict[str, Any]], frames_per_second: float | None = None
) -> dict[str, Any]:
    """The document: the data that all frames share, and the frames.

    Args:
        title: Heading of the view.
        predictor: The model that recovered the people.
        frames: Frames from `describe_frame`; empty where the view requests each frame when it is shown.
        frames_per_second: Playback rate of a video.
    """
    kind = "<u2" if len(predictor.template) <= 65536 else "<u4"
    return {
        "title": title,
        "model": predictor.info.name,
        "joint_names": list(predictor.joint_set.names),
        "bones": [list(edge) for edge in predictor.joint_set.edges],
        "vertices": len(predictor.template),
        "faces": _packed(predictor.faces.astype(kind).tobytes()),
        "frames_per_second": frames_per_second,
        "frames": frames,
    }


def describe_frame(
    predictor: Predictor,
    people: Sequence[Person],
    canvas: Canvas,
    name: str,
    identifiers: Sequence[int | str | None],
    colours: Sequence[renderer.Colour],
    gravity: Gravity = LEVEL_CAMERA,
) -> dict[str, Any]:
    """One image and its people.

    Args:
        predictor: The model that recovered the people.
        people: The people.
        canvas: The image, or a blank canvas in its place.
        name: Name of the image, for display.
        identifiers: Id of each person, for display.
        colours: Colour of each person, the same in every frame.
        gravity: Which way is up; the scene is turned so that it is +Y.
    """
    axes = _UP_FROM_CAMERA @ gravity.rotation
    height, width = canvas.image.shape[:2]
    return {
        "name": name,
        "size": [width, height],
        "picture": jpeg_data_url(canvas.image),
        "overlay": jpeg_data_url(draw_meshes(canvas, list(people), predictor, colours or renderer.PALETTE)),
        "up": gravity.describe(),
        "backdrop": _rounded(_backdrop(people, canvas) @ axes.T) if people else None,
        "people": [
            _describe_person(predictor, person, canvas, identifier, colour, axes)
            for person, identifier, colour in zip(people, identifiers, colours, strict=True)
        ],
    }


def _describe_person(
    predictor: Predictor,
    person: Person,
    canvas: Canvas,
    identifier: int | str | None,
    colour: renderer.Colour,
    axes: NDArray[np.float64],
) -> dict[str, Any]:
    """One person; `axes` (3, 3) turns camera axes to those of the scene."""
    red, green, blue = colour
    return {
        "id": identifier,
        "colour": f"#{red:02x}{green:02x}{blue:02x}",
        "mesh": quantise(person.vertices_camera @ axes.T),
        "joints": _rounded(person.joints_camera @ axes.T),
        "joints_px": _rounded(canvas.place(person.joints_px), 1),
        "confidence": _rounded(person.confidence, 3),
        "height_m": round(person.stature_m, 3) if np.isfinite(person.stature_m) else None,
        "span_m": round(arm_span(person.joints, predictor.joint_set.names), 3),
        "score": round(person.score, 3),
    }


def arm_span(joints: NDArray[np.floating], names: Sequence[str]) -> float:
    """Metres from wrist to wrist along the arms and shoulders of joints (J, 3), however they are bent."""
    chain = joints[[names.index(name) for name in _ARM_SPAN]]
    return float(np.linalg.norm(np.diff(chain, axis=0), axis=1).sum())


def quantise(vertices: NDArray[np.floating]) -> dict[str, Any]:
    """Vertices (V, 3) in 14 bits a coordinate, packed as `web/scene.js` unpacks them.

    Coordinates are stored as differences from the previous vertex, low bytes apart from high ones, then deflated:
    some 55 KB a body of 13,718 vertices.
    """
    low = vertices.min(axis=0)
    step = np.maximum(np.ptp(vertices, axis=0), 1e-6) / _STEPS
    counts = np.rint((vertices - low) / step).astype(np.uint16)
    steps = np.diff(counts, axis=0, prepend=np.zeros((1, 3), np.uint16)).T.astype("<u2")  # wraps round by design
    planes = np.ascontiguousarray(steps)[..., None].view(np.uint8).transpose(0, 2, 1)
    return {"low": low.tolist(), "step": step.tolist(), "data": _packed(planes.tobytes())}


def jpeg_data_url(image: NDArray[np.uint8], quality: int = 85) -> str:
    """An image (H, W, 3) as a JPEG in a `data:` URL."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, format="JPEG", quality=quality)
    return "data:image/jpeg;base64," + b64encode(file.getvalue()).decode()


def _backdrop(people: Sequence[Person], canvas: Canvas) -> NDArray[np.floating]:
    """Corners (4, 3) of the image plane behind the people, in camera axes.

    Their order is top left, top right, bottom left, bottom right.
    """
    height, width = canvas.image.shape[:2]
    corners = np.array([(0, 0), (width, 0), (0, height), (width, height)]) / canvas.factor + canvas.origin_px
    depth = max(float(person.vertices_camera[:, 2].max()) for person in people) + _BEHIND_M
    return people[0].camera.intrinsics.rays(corners) * depth


def _packed(data: bytes) -> str:
    return b64encode(zlib.compress(data, 9)).decode()


def _rounded(values: NDArray[np.floating], decimals: int = 4) -> Any:
    return np.round(values.astype(np.float64), decimals).tolist()
