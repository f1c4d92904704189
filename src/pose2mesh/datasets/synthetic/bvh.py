"""Reader of Biovision (BVH) motion files, and forward kinematics of their skeletons.

Convention: a joint's matrix takes coordinates of its own frame to its parent's; angles are in degrees and multiply in
the order the channels are listed, so `Zrotation Yrotation Xrotation` is Rz Ry Rx. Lengths keep the file's unit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pose2mesh.errors import InputError

Array = NDArray[np.float64]

_CHANNELS = {f"{axis}{kind}": (kind, i) for kind in ("position", "rotation") for i, axis in enumerate("xyz")}
# Cross-product matrices of the three axes: a turn by θ is I + sin θ K + (1 − cos θ) K².
_CROSS = np.array(
    [
        [[0, 0, 0], [0, 0, -1], [0, 1, 0]],
        [[0, 0, 1], [0, 0, 0], [-1, 0, 0]],
        [[0, -1, 0], [1, 0, 0], [0, 0, 0]],
    ],
    np.float64,
)


@dataclass(frozen=True)
class Bvh:
    """A skeleton and its motion; `T` frames, `N` joints with the end sites among them, parents before children.

    Attributes:
        source: The file, for messages.
        names: (N,) names in the file, which may repeat; an end site is named after its parent, `Head end`.
        parents: (N,) index of each joint's parent, −1 for the root.
        is_end: (N,) whether the joint is an end site.
        offsets: (N, 3) from the parent in the rest pose, in the file's unit.
        rotations: (T, N, 3, 3) local rotation of every joint, the identity for end sites.
        translations: (T, N, 3) from the parent: the offset, or the position channels where a joint has them.
        frame_time: Seconds between frames.
    """

    source: str
    names: tuple[str, ...]
    parents: tuple[int, ...]
    is_end: NDArray[np.bool_]
    offsets: Array
    rotations: Array
    translations: Array
    frame_time: float

    def __len__(self) -> int:
        return len(self.rotations)

    def rest_positions(self) -> Array:
        """(N, 3) positions of the joints without rotations and with the root at the origin."""
        positions = np.zeros_like(self.offsets)
        for joint, parent in enumerate(self.parents):
            if parent >= 0:
                positions[joint] = positions[parent] + self.offsets[joint]
        return positions


def forward_kinematics(bvh: Bvh) -> tuple[Array, Array]:
    """Pose the skeleton.

    Returns:
        rotations (T, N, 3, 3) from each joint's rest frame to the motion's world, and positions (T, N, 3) in that
        world, in the file's unit.
    """
    rotations = np.empty_like(bvh.rotations)
    positions = np.empty_like(bvh.translations)
    for joint, parent in enumerate(bvh.parents):
        if parent < 0:
            rotations[:, joint], positions[:, joint] = bvh.rotations[:, joint], bvh.translations[:, joint]
            continue
        above = rotations[:, parent]
        rotations[:, joint] = above if bvh.is_end[joint] else above @ bvh.rotations[:, joint]
        positions[:, joint] = positions[:, parent] + (above @ bvh.translations[:, joint, :, None])[..., 0]
    return rotations, positions


def read_bvh(path: str | Path) -> Bvh:
    """Read a BVH file.

    Position channels replace the offset, as motion capture software writes them; on a joint below the root whose
    position channels are all zero they are taken to be relative to the offset, which therefore stays.

    Raises:
        InputError: the file cannot be read, is not BVH, its hierarchy breaks off, its numbers do not fit its channels
            or frames, or are not finite.
    """
    source = str(path)
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"{source}: cannot be read: {error.strerror or error}") from None
    hierarchy = _Hierarchy(source)
    lines = text.splitlines()
    motion_line = hierarchy.read(lines)
    frames, frame_time, first = _motion_header(source, lines, motion_line)
    values = _motion_values(source, lines, first, frames, len(hierarchy.channels))
    return _assemble(hierarchy, values, frame_time)


@dataclass
class _Hierarchy:
    """The HIERARCHY section; `channels` holds (joint, kind, axis) in file order."""

    source: str
    names: list[str] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    ends: list[bool] = field(default_factory=list)
    offsets: list[list[float]] = field(default_factory=list)
    channels: list[tuple[int, str, int]] = field(default_factory=list)

    def read(self, lines: list[str]) -> int:
        """Read up to the MOTION line and return its index."""
        statements = _statements(lines)
        number, words = next(statements, (1, [""]))
        if words[0].upper() != "HIERARCHY":
            raise InputError(f"{self.source}: line {number}: not a BVH file: {words[0][:40]!r}, expected 'HIERARCHY'")
        open_joints: list[int] = []
        named: int | None = None  # a joint whose opening brace is yet to come
        for number, words in statements:
            keyword = words[0].upper()
            if keyword == "MOTION":
                if open_joints or named is not None or not self.names:
                    raise InputError(f"{self.source}: line {number}: MOTION inside the hierarchy, expected '}}'")
                return number - 1
            if keyword in ("ROOT", "JOINT", "END"):
                self._check(number, named is None, f"{words[0]!r} where '{{' is expected")
                self._check(number, (keyword == "ROOT") == (not self.names), f"{words[0]!r}: one ROOT, first, expected")
                self._check(number, keyword == "ROOT" or bool(open_joints), f"{words[0]!r} outside the root's braces")
                named = self._add(words, open_joints[-1] if open_joints else -1)
            elif keyword == "{":
                self._check(number, named is not None, "'{' without a joint")
                open_joints.append(named if named is not None else -1)
                named = None
            elif keyword == "}":
                self._check(number, bool(open_joints) and named is None, "'}' without a joint")
                joint = open_joints.pop()
                self._check(number, len(self.offsets[joint]) == 3, f"joint {self.names[joint]!r} has no OFFSET")
            elif keyword in ("OFFSET", "CHANNELS"):
                self._check(number, bool(open_joints) and named is None, f"{keyword} outside a joint")
                (self._offset if keyword == "OFFSET" else self._channels)(number, words[1:], open_joints[-1])
            else:
                raise InputError(f"{self.source}: line {number}: {words[0][:40]!r} is not a BVH keyword")
        raise InputError(f"{self.source}: line {len(lines)}: the file ends inside the hierarchy, expected MOTION")

    def _check(self, number: int, holds: bool, fault: str) -> None:
        if not holds:
            raise InputError(f"{self.source}: line {number}: {fault}")

    def _add(self, words: list[str], parent: int) -> int:
        is_end = words[0].upper() == "END"
        self.names.append(f"{self.names[parent]} end" if is_end else " ".join(words[1:]))
        self.parents.append(parent)
        self.ends.append(is_end)
        self.offsets.append([])
        return len(self.names) - 1

    def _offset(self, number: int, words: list[str], joint: int) -> None:
        try:
            values = [float(word) for word in words]
        except ValueError:
            values = []
        good = len(values) == 3 and all(map(math.isfinite, values))
        self._check(number, good, f"OFFSET {' '.join(words)[:60]!r}, expected three finite numbers")
        self.offsets[joint] = values

    def _channels(self, number: int, words: list[str], joint: int) -> None:
        kinds = [_CHANNELS.get(word.lower()) for word in words[1:]]
        good = bool(words) and words[0].isdigit() and int(words[0]) == len(kinds) and None not in kinds
        expected = "a count and as many of Xposition … Zrotation"
        self._check(number, good, f"CHANNELS {' '.join(words)[:80]!r}, expected {expected}")
        self._check(number, len(set(kinds)) == len(kinds), f"CHANNELS {' '.join(words)[:80]!r} names one twice")
        self._check(number, all(joint != owner for owner, _, _ in self.channels), "CHANNELS given twice for a joint")
        self.channels += [(joint, *kind) for kind in kinds if kind is not None]


def _statements(lines: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Iterate over (line number, words) of all statements; a brace is a statement of its own."""
    for number, line in enumerate(lines, 1):
        words: list[str] = []
        for word in line.replace("{", " { ").replace("}", " } ").split():
            if word not in "{}":
                words.append(word)
                continue
            if words:
                yield number, words
            yield number, [word]
            words = []
        if words:
            yield number, words


def _motion_header(source: str, lines: list[str], motion_line: int) -> tuple[int, float, int]:
    """The frame count, the frame time in seconds, and the index of the first line of values."""
    found: dict[str, float] = {}
    at = motion_line
    for key in ("frames", "frame time"):
        at = next((i for i in range(at + 1, len(lines)) if lines[i].strip()), len(lines))
        line = lines[at].strip() if at < len(lines) else ""
        name, _, value = line.partition(":")
        try:
            found[key] = float(value) if " ".join(name.lower().split()) == key else math.nan
        except ValueError:
            found[key] = math.nan
        if not math.isfinite(found[key]) or found[key] <= 0 or (key == "frames" and found[key] % 1):
            kind = "whole number of frames" if key == "frames" else "time in seconds"
            raise InputError(f"{source}: line {at + 1}: {line[:60]!r}, expected '{key.title()}:' and a positive {kind}")
    return int(found["frames"]), found["frame time"], at + 1


def _motion_values(source: str, lines: list[str], first: int, frames: int, channels: int) -> Array:
    """(frames, channels) numbers of the MOTION section."""
    if channels == 0:
        raise InputError(f"{source}: no joint has CHANNELS, expected at least the root's")
    rows = [(i + 1, words) for i in range(first, len(lines)) if (words := lines[i].split())]
    for number, words in rows:
        if len(words) != channels:
            raise InputError(
                f"{source}: line {number}: {len(words)} numbers, expected one for each of {channels} channels"
            )
    if len(rows) != frames:
        raise InputError(f"{source}: {len(rows)} frames of values, expected the {frames} that 'Frames:' says")
    try:
        values = np.array([words for _, words in rows], np.float64)
    except ValueError:
        values = None
    if values is not None and np.isfinite(values).all():
        return values
    for number, words in rows:
        for word in words:
            if not _is_finite(word):
                raise InputError(f"{source}: line {number}: {word[:40]!r}, expected a finite number")
    raise InputError(f"{source}: line {first + 1}: the values cannot be read as numbers")


def _is_finite(word: str) -> bool:
    try:
        return math.isfinite(float(word))
    except ValueError:
        return False


def _assemble(hierarchy: _Hierarchy, values: Array, frame_time: float) -> Bvh:
    """Turn channel values (T, channels) into local rotations and translations."""
    frames, joints = len(values), len(hierarchy.names)
    offsets = np.array(hierarchy.offsets, np.float64)
    translations = np.broadcast_to(offsets, (frames, joints, 3)).copy()
    turns: list[list[tuple[int, int, int]]] = [[], [], []]  # the n-th rotation of each joint: (joint, axis, column)
    turned = [0] * joints
    moved = {
        joint
        for column, (joint, kind, _) in enumerate(hierarchy.channels)
        if kind == "position" and values[:, column].any()
    }
    for column, (joint, kind, axis) in enumerate(hierarchy.channels):
        if kind == "rotation":
            turns[turned[joint]].append((joint, axis, column))
            turned[joint] += 1
        elif hierarchy.parents[joint] < 0 or joint in moved:
            translations[:, joint, axis] = values[:, column]
    rotations = np.broadcast_to(np.eye(3), (frames, joints, 3, 3)).copy()
    for turn, listed in enumerate(turns):
        if not listed:
            continue
        which, axes, columns = (list(part) for part in zip(*listed, strict=True))
        angles = np.deg2rad(values[:, columns])[..., None, None]
        cross = _CROSS[axes]
        matrices = np.eye(3) + np.sin(angles) * cross + (1 - np.cos(angles)) * (cross @ cross)
        rotations[:, which] = rotations[:, which] @ matrices if turn else matrices
    return Bvh(
        source=hierarchy.source,
        names=tuple(hierarchy.names),
        parents=tuple(hierarchy.parents),
        is_end=np.array(hierarchy.ends),
        offsets=offsets,
        rotations=rotations,
        translations=translations,
        frame_time=frame_time,
    )
