"""Writers of meshes and results: OBJ, PLY, GLB, NPZ and JSON. Every write is atomic.

Convention: meshes come in the camera frame (x right, y down, z forward, metres). OBJ, PLY and GLB hold them as glTF
2.0 requires, Y up and the camera at the origin looking along −Z, that is (x, −y, −z), so that a body stands upright in
any viewer. NPZ and JSON keep the camera frame. The formats are written here because importing `trimesh` takes longer
(over 0.5 s) than writing all the files of a prediction; the tests read them back with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pose2mesh.errors import InputError
from pose2mesh.io.atomic_write import replacing

_UP_FROM_CAMERA = np.array([1.0, -1.0, -1.0])
# glTF 2.0, sections 3.6 and 5: component types, buffer targets and chunk names by number.
UNSIGNED_BYTE, UNSIGNED_SHORT, UNSIGNED_INT, FLOAT = 5121, 5123, 5125, 5126
ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 34962, 34963


class NamedMesh(NamedTuple):
    """A person's mesh in a GLB file."""

    name: str
    vertices: NDArray[np.floating]  # (V, 3), camera frame, metres
    faces: NDArray[np.integer]  # (F, 3), outward faces counter-clockwise
    colour: tuple[float, float, float]  # sRGB in [0, 1]


@contextmanager
def atomic_write(path: str | Path) -> Iterator[BinaryIO]:
    """Open a binary file that replaces `path` when the block ends without an error.

    It is written beside `path`, under a hidden name, and moved; an old file at `path` stays until then.

    Raises:
        InputError: the folder does not exist or cannot be written, or the disk is full.
    """
    path = Path(path)
    try:
        with replacing(path) as partial, open(partial, "wb") as file:
            yield file
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{path}: cannot be written ({reason}); expected a path in a writable folder") from error


def vertex_normals(vertices: NDArray[np.floating], faces: NDArray[np.integer]) -> NDArray[np.float32]:
    """Smooth unit normals: the mean of the adjacent faces' normals, weighted by area.

    Args:
        vertices: (V, 3), any right-handed frame.
        faces: (F, 3), outward faces counter-clockwise.

    Returns:
        (V, 3) outward; +Z for a vertex without a face, or with faces that have no area.
    """
    corners = vertices[faces].astype(np.float64)
    face_normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    sums = [
        np.bincount(faces.ravel(), weights=np.repeat(face_normals[:, axis], 3), minlength=len(vertices))
        for axis in range(3)
    ]
    normals = np.stack(sums, axis=1)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    flat = length[:, 0] < 1e-20
    normals[flat], length[flat] = (0.0, 0.0, 1.0), 1.0
    return (normals / length).astype(np.float32)


def write_obj(path: str | Path, vertices: NDArray[np.floating], faces: NDArray[np.integer]) -> None:
    """Write one mesh as Wavefront OBJ, Y up, in metres to five decimals, vertices and faces in the order given.

    Args:
        path: The file; no material file is put beside it.
        vertices: (V, 3), camera frame, metres; written as (x, −y, −z).
        faces: (F, 3), counted from 0 (OBJ counts from 1).

    Raises:
        InputError: the mesh is not valid, or the file cannot be written.
    """
    vertices, faces = _checked_mesh(path, vertices, faces)
    # Adding 0.0 turns −0.0 into 0.0.
    numbers = (np.round(vertices * _UP_FROM_CAMERA, 5) + 0.0).ravel().tolist()
    lines = [
        "# pose2mesh: metres, Y up, the camera at the origin looks along -Z\n",
        f"o {'_'.join(Path(path).stem.split())}\n",
    ]
    lines.append("v %.5f %.5f %.5f\n" * len(vertices) % tuple(numbers))
    lines.append("s 1\n")
    lines.append("f %d %d %d\n" * len(faces) % tuple((faces + 1).ravel().tolist()))
    with atomic_write(path) as file:
        file.write("".join(lines).encode(errors="replace"))


def write_ply(path: str | Path, vertices: NDArray[np.floating], faces: NDArray[np.integer]) -> None:
    """Write one mesh as binary PLY with vertex normals, Y up, in metres, vertices and faces in the order given.

    Args:
        path: The file.
        vertices: (V, 3), camera frame, metres; written as (x, −y, −z).
        faces: (F, 3).

    Raises:
        InputError: the mesh is not valid, or the file cannot be written.
    """
    vertices, faces = _checked_mesh(path, vertices, faces)
    positions = vertices * _UP_FROM_CAMERA
    rows = np.zeros(len(faces), dtype=[("count", "u1"), ("corners", "<i4", (3,))])
    rows["count"], rows["corners"] = 3, faces
    header = [
        "ply",
        "format binary_little_endian 1.0",
        "comment pose2mesh: metres, Y up, the camera at the origin looks along -Z",
        f"element vertex {len(vertices)}",
        *(f"property float {name}" for name in ("x", "y", "z", "nx", "ny", "nz")),
        f"element face {len(faces)}",
        "property list uchar int vertex_indices",
        "end_header\n",
    ]
    with atomic_write(path) as file:
        file.write("\n".join(header).encode())
        file.write(np.concatenate([positions, vertex_normals(positions, faces)], axis=1).astype("<f4").tobytes())
        file.write(rows.tobytes())


def write_glb(
    path: str | Path,
    meshes: Sequence[NamedMesh | tuple[str, NDArray[np.floating], NDArray[np.integer], tuple[float, float, float]]],
    upright: NDArray[np.floating] | None = None,
    extras: Mapping[str, Any] | None = None,
) -> None:
    """Write several people as one binary glTF 2.0 scene, in camera space: a named node with smooth normals for each.

    Args:
        path: The file.
        meshes: Per person (name, vertices (V, 3) in the camera frame and metres, faces (F, 3), sRGB colour in [0, 1]).
            Vertices are written as (x, −y, −z): Y up, the camera at the origin looks along −Z. People who share one
            `faces` array share it in the file, too.
        upright: (3, 3) from camera axes to those of a level camera. A node above the people turns them, so that they
            stand upright in a viewer, while the vertices stay in camera space.
        extras: Facts about the scene, stored as its `extras`.

    Raises:
        InputError: a mesh is not valid, two people have one name, or the file cannot be written.
    """
    people = [NamedMesh(*mesh) for mesh in meshes]
    names = [person.name for person in people]
    if not people or len(set(names)) < len(names):
        raise InputError(f"{path}: a scene has names {names}; expected at least one mesh and every name once")
    glb = GlbBuffer()
    materials: list[dict[str, Any]] = []
    nodes: list[dict[str, Any]] = []
    entries: list[dict[str, Any]] = []
    shared_faces: dict[tuple[int, int], int] = {}
    for index, person in enumerate(people):
        vertices, faces = _checked_mesh(f"{path}: {person.name}", person.vertices, person.faces)
        positions = (vertices * _UP_FROM_CAMERA).astype("<f4")
        key = (id(person.faces), len(vertices))
        if key not in shared_faces:
            # The largest 16-bit index is not allowed (it restarts a strip).
            kind, code = ("<u2", UNSIGNED_SHORT) if len(vertices) < 65535 else ("<u4", UNSIGNED_INT)
            shared_faces[key] = glb.add(faces.reshape(-1, 1).astype(kind), "SCALAR", code, ELEMENT_ARRAY_BUFFER)
        position = glb.add(positions, "VEC3", FLOAT, ARRAY_BUFFER)
        glb.accessors[position] |= {"min": positions.min(axis=0).tolist(), "max": positions.max(axis=0).tolist()}
        normal = glb.add(vertex_normals(positions, faces).astype("<f4"), "VEC3", FLOAT, ARRAY_BUFFER)
        attributes = {"POSITION": position, "NORMAL": normal}
        primitive = {"attributes": attributes, "indices": shared_faces[key], "material": index}
        entries.append({"name": person.name, "primitives": [primitive]})
        nodes.append({"name": person.name, "mesh": index})
        base_colour = [*linear_from_srgb(person.colour), 1.0]
        surface = {"baseColorFactor": base_colour, "metallicFactor": 0.0, "roughnessFactor": 0.8}
        materials.append({"name": person.name, "pbrMetallicRoughness": surface})
    roots = list(range(len(nodes)))
    if upright is not None and not np.allclose(upright, np.eye(3)):
        flip = np.diag(_UP_FROM_CAMERA)
        turn = np.eye(4)
        turn[:3, :3] = flip @ upright @ flip
        # glTF stores matrices column by column.
        nodes.append({"name": "upright", "children": roots, "matrix": turn.T.ravel().round(9).tolist()})
        roots = [len(nodes) - 1]
    document = {
        "scene": 0,
        "scenes": [{"nodes": roots} | ({"extras": dict(extras)} if extras else {})],
        "nodes": nodes,
        "meshes": entries,
        "materials": materials,
    }
    write_glb_document(path, document, glb)


def write_glb_document(path: str | Path, document: Mapping[str, Any], glb: GlbBuffer) -> None:
    """Write a glTF 2.0 document and its binary chunk as one GLB file; the buffer adds its own part of the document.

    Raises:
        InputError: the file cannot be written.
    """
    whole = {"asset": {"version": "2.0", "generator": "pose2mesh"}, **document}
    whole |= {"accessors": glb.accessors, "bufferViews": glb.views, "buffers": [{"byteLength": len(glb.data)}]}
    text = json.dumps(whole, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    with atomic_write(path) as file:
        file.write(b"glTF" + _uint32(2, 12 + 8 + len(text) + 8 + len(glb.data)))
        file.write(_uint32(len(text)) + b"JSON" + text)
        file.write(_uint32(len(glb.data)) + b"BIN\0" + glb.data)


def write_npz(path: str | Path, vertices: ArrayLike, joints: ArrayLike, faces: ArrayLike, **more: ArrayLike) -> None:
    """Write vertices and joints of all people as NumPy arrays, in the camera frame and metres, readable without pickle.

    Args:
        path: The file.
        vertices: (P, V, 3), written as float32.
        joints: (P, J, 3), written as float32.
        faces: (F, 3), written as int32.
        more: Further arrays of numbers or strings, under their own names.

    Raises:
        InputError: an array is not finite or holds objects, or the file cannot be written.
    """
    arrays: dict[str, Any] = {"vertices": np.asarray(vertices, np.float32), "joints": np.asarray(joints, np.float32)}
    arrays |= {"faces": np.asarray(faces, np.int32)} | {name: np.asarray(array) for name, array in more.items()}
    for name, array in arrays.items():
        if array.dtype == object:
            raise InputError(f"{path}: {name} holds Python objects; expected numbers or strings")
        if np.issubdtype(array.dtype, np.floating):
            _check_finite(path, name, array)
    with atomic_write(path) as file:
        np.savez(file, **arrays)


def write_json(path: str | Path, document: Mapping[str, Any], decimals: int = 5) -> None:
    """Write a document as JSON: floats rounded, lists of numbers on one line each, NumPy values as plain ones.

    Args:
        path: The file.
        document: Nested mappings, lists, arrays and plain values.
        decimals: Digits kept after the point: 1e-5 m is a hundredth of a millimetre.

    Raises:
        InputError: a number is not finite (JSON has no such numbers), or the file cannot be written.
    """
    text = json_text(document, str(path), decimals)
    with atomic_write(path) as file:
        file.write(text.encode() + b"\n")


def json_text(document: Mapping[str, Any], where: str, decimals: int = 5) -> str:
    """The text that `write_json` writes; `where` names the document in an error."""
    text = json.dumps(_plain(document, decimals, where, ""), indent=1, allow_nan=False)
    # A line break inside a string is escaped, so this finds lists of numbers only.
    return re.sub(r"\[\n([\s\d.eE+,-]+)\]", lambda match: f"[{' '.join(match[1].split())}]", text)


class GlbBuffer:
    """The binary chunk of a GLB file, with the views and accessors that describe it."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def add(self, array: NDArray[Any], kind: str, component_type: int, target: int | None) -> int:
        """Append an array (N, C), aligned to four bytes, and return the index of its accessor.

        `target` is the glTF buffer target; None for data that the graphics card does not need, such as an animation.
        """
        view = {"buffer": 0, "byteOffset": len(self.data), "byteLength": array.nbytes}
        if target is not None:
            view["target"] = target
        self.data += array.tobytes() + b"\0" * (-array.nbytes % 4)
        self.views.append(view)
        accessor = {"bufferView": len(self.views) - 1, "componentType": component_type, "count": len(array)}
        self.accessors.append(accessor | {"type": kind})
        return len(self.accessors) - 1


def _uint32(*values: int) -> bytes:
    return np.array(values, "<u4").tobytes()


def linear_from_srgb(colour: Sequence[float]) -> list[float]:
    """Convert sRGB to linear light (IEC 61966-2-1), as glTF requires of base colours."""
    values = np.clip(np.asarray(colour, float), 0, 1)
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4).round(5).tolist()


def _checked_mesh(
    where: str | Path, vertices: ArrayLike, faces: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    points, corners = np.asarray(vertices, np.float64), np.asarray(faces, np.int64)
    for name, array in (("vertices", points), ("faces", corners)):
        if array.ndim != 2 or array.shape[1] != 3 or len(array) == 0:
            raise InputError(f"{where}: {name} of shape {array.shape}; expected (N, 3) with at least one row")
    _check_finite(where, "vertices", points)
    if corners.min() < 0 or corners.max() >= len(points):
        found = f"faces name vertices {corners.min()} to {corners.max()}"
        raise InputError(f"{where}: {found}; expected 0 to {len(points) - 1}")
    return points, corners


def _check_finite(where: str | Path, name: str, array: NDArray[np.floating]) -> None:
    if not np.isfinite(array).all():
        place = np.argwhere(~np.isfinite(array))[0].tolist()
        raise InputError(f"{where}: {name} has {array[tuple(place)]} at {place}; expected finite numbers")


def _plain(value: Any, decimals: int, where: str, field: str) -> Any:
    """`value` in the types of JSON; `where` and `field` name the fault in an error."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item, decimals, where, f"{field}.{key}".lstrip(".")) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item, decimals, where, f"{field}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, float):
        if not np.isfinite(value):
            raise InputError(f"{where}: {field} is {value}; expected a finite number")
        return round(value, decimals) + 0.0
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, str | int | bool):
        return value
    raise InputError(f"{where}: {field} is a {type(value).__name__}; expected numbers, text, lists or mappings")


def in_unit(colour: tuple[int, int, int]) -> tuple[float, float, float]:
    """Convert a colour from 0 to 255, as in images, to 0 to 1, as in mesh files."""
    red, green, blue = colour
    return red / 255, green / 255, blue / 255
