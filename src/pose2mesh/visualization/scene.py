"""Recovered people as the document that the 3D view in the browser takes: `web/scene.js` reads what this writes.

Convention: 3D is as in the GLB files, metres, Y up, the camera at the origin looking along −Z; pixels are those of the
frame's picture.
"""

from __future__ import annotations

import io
import zlib
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose2mesh.inference.person import Person
from pose2mesh.inference.predictor import Predictor
from pose2mesh.visualization import renderer
from pose2mesh.visualization.overlay import Ground, draw_meshes

_UP_FROM_CAMERA = np.array([1.0, -1.0, -1.0])
_STEPS = 2**14 - 1  # of a coordinate over the body's extent: a tenth of a millimetre
_BEHIND_M = 0.4  # from the person who is farthest away to the backdrop
_ARM_SPAN = ("left_wrist", "left_elbow", "left_shoulder", "right_shoulder", "right_elbow", "right_wrist")


def describe_scene(
    title: str, recovery: Predictor, frames: list[dict[str, Any]], frames_per_second: float | None = None
) -> dict[str, Any]:
    """What all frames share, and the frames.

    Args:
        title: For readers.
        recovery: What the people were recovered by.
        frames: As `describe_frame` gives them; empty where the view asks for each when it is shown.
        frames_per_second: Of a video, to play them at.
    """
    kind = "<u2" if len(recovery.template) <= 65536 else "<u4"
    return {
        "title": title,
        "model": recovery.info.name,
        "joint_names": list(recovery.joint_set.names),
        "bones": [list(edge) for edge in recovery.joint_set.edges],
        "vertices": len(recovery.template),
        "faces": _packed(recovery.faces.astype(kind).tobytes()),
        "frames_per_second": frames_per_second,
        "frames": frames,
    }


def describe_frame(
    recovery: Predictor,
    people: Sequence[Person],
    ground: Ground,
    name: str,
    identifiers: Sequence[int | str | None],
    colours: Sequence[renderer.Colour],
) -> dict[str, Any]:
    """One picture and its people.

    Args:
        recovery: What the people were recovered by.
        people: In their order.
        ground: The photo, or what stands for it.
        name: Of the picture, for readers.
        identifiers: One a person, for readers.
        colours: One a person, the same for the same person in every frame.
    """
    height, width = ground.picture.shape[:2]
    return {
        "name": name,
        "size": [width, height],
        "picture": jpeg_address(ground.picture),
        "overlay": jpeg_address(draw_meshes(ground, list(people), recovery, colours or renderer.PALETTE)),
        "backdrop": _rounded(_backdrop(people, ground)) if people else None,
        "people": [
            _describe_person(recovery, person, ground, identifier, colour)
            for person, identifier, colour in zip(people, identifiers, colours, strict=True)
        ],
    }


def _describe_person(
    recovery: Predictor, person: Person, ground: Ground, identifier: int | str | None, colour: renderer.Colour
) -> dict[str, Any]:
    red, green, blue = colour
    return {
        "id": identifier,
        "colour": f"#{red:02x}{green:02x}{blue:02x}",
        "mesh": quantise(person.vertices_camera * _UP_FROM_CAMERA),
        "joints": _rounded(person.joints_camera * _UP_FROM_CAMERA),
        "joints_px": _rounded(ground.place(person.joints_px), 1),
        "confidence": _rounded(person.confidence, 3),
        "height_m": round(person.stature_m, 3) if np.isfinite(person.stature_m) else None,
        "span_m": round(arm_span(person.joints, recovery.joint_set.names), 3),
        "score": round(person.score, 3),
    }


def arm_span(joints: NDArray[np.floating], names: Sequence[str]) -> float:
    """Metres from wrist to wrist along the arms and shoulders of joints (J, 3), however they are bent."""
    chain = joints[[names.index(name) for name in _ARM_SPAN]]
    return float(np.linalg.norm(np.diff(chain, axis=0), axis=1).sum())


def quantise(vertices: NDArray[np.floating]) -> dict[str, Any]:
    """Vertices (V, 3) in 14 bits a coordinate, packed as `web/scene.js` unpacks them.

    Coordinates are told by their difference from the vertex before, low bytes apart from high ones, then deflated:
    some 55 KB a body of 13,718 vertices.
    """
    low = vertices.min(axis=0)
    step = np.maximum(np.ptp(vertices, axis=0), 1e-6) / _STEPS
    counts = np.rint((vertices - low) / step).astype(np.uint16)
    steps = np.diff(counts, axis=0, prepend=np.zeros((1, 3), np.uint16)).T.astype("<u2")  # wraps round, as it should
    planes = np.ascontiguousarray(steps)[..., None].view(np.uint8).transpose(0, 2, 1)
    return {"low": low.tolist(), "step": step.tolist(), "data": _packed(planes.tobytes())}


def jpeg_address(picture: NDArray[np.uint8], quality: int = 85) -> str:
    """A picture (H, W, 3) as an address that holds all of it."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).save(file, format="JPEG", quality=quality)
    return "data:image/jpeg;base64," + b64encode(file.getvalue()).decode()


def _backdrop(people: Sequence[Person], ground: Ground) -> NDArray[np.floating]:
    """(4, 3) where the picture's corners stand behind the people: top left, top right, bottom left, bottom right."""
    height, width = ground.picture.shape[:2]
    corners = np.array([(0, 0), (width, 0), (0, height), (width, height)]) / ground.factor + ground.origin_px
    depth = max(float(person.vertices_camera[:, 2].max()) for person in people) + _BEHIND_M
    return people[0].camera.intrinsics.rays(corners) * depth * _UP_FROM_CAMERA


def _packed(data: bytes) -> str:
    return b64encode(zlib.compress(data, 9)).decode()


def _rounded(values: NDArray[np.floating], decimals: int = 4) -> Any:
    return np.round(values.astype(np.float64), decimals).tolist()
