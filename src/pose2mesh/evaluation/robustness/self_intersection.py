"""Self-intersection of a body: limbs, trunk and head as capsules, and the depth of their overlap.

A capsule is a segment between two joints with a radius. Radii are measured on the mesh: the vertices that are nearest
to a segment in the body at rest, beside it and not beyond its ends, are its part, and its radius is the distance within
which a quarter of them lie. Touching flesh does not make such capsules overlap; only a part well inside another does.
Hands and feet are beyond the ends and are not measured.
"""

from __future__ import annotations

from itertools import combinations
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pose2mesh.skeletons import JointSet

Floats: TypeAlias = NDArray[np.floating]
_CHUNK = 64
_QUANTILE = 0.25

# Name to the joints whose mean is each end; alternatives where joint sets differ. The broad trunk has two parts.
_HEAD_ENDS: tuple[tuple[str, ...], ...] = (("left_ear", "right_ear"), ("head_top",), ("head",))
_SIDED = {
    "upper_arm": (("shoulder",), ("elbow",)),
    "forearm": (("elbow",), ("wrist",)),
    "thigh": (("hip",), ("knee",)),
    "shank": (("knee",), ("ankle",)),
    "trunk": (("hip",), ("shoulder",)),
}
# Parts that are connected or touch in healthy poses, such as upper arms on the trunk and thighs side by side.
_NEIGHBOURS = (
    ("upper_arm", "forearm"), ("thigh", "shank"), ("trunk", "upper_arm"), ("trunk", "thigh"), ("trunk", "trunk"),
    ("trunk", "head"), ("upper_arm", "head"), ("thigh", "thigh"), ("upper_arm", "upper_arm"),
)  # fmt: skip
_TRUNK_INSET = 0.5  # the trunk's two segments lie halfway between its middle and the hips and shoulders


class Capsules:
    """Capsules of a body model with one joint set.

    Args:
        joint_set: Has shoulders, elbows, wrists, hips, knees, ankles, pelvis and neck.
        rest_joints: (J, 3) joints of the body at rest, metres.
        rest_vertices: (V, 3) its vertices.
    """

    def __init__(self, joint_set: JointSet, rest_joints: Floats, rest_vertices: Floats) -> None:
        self.names, self.ends = _segments(joint_set)
        start, stop = self._segments_of(rest_joints[None])
        near = [
            _nearest_on_segment(rest_vertices[None], start[:, part], stop[:, part]) for part in range(len(self.names))
        ]
        owner = np.argmin([distance[0] for distance, _ in near], axis=0)
        share = np.stack([share[0] for _, share in near])[owner, np.arange(len(owner))]
        self.owner = np.where((share > 0) & (share < 1), owner, -1)  # (V,); −1 for hands and feet
        self.pairs = [
            (a, b) for a, b in combinations(range(len(self.names)), 2) if not _neighbours(self.names[a], self.names[b])
        ]

    def _segments_of(self, joints: Floats) -> tuple[Floats, Floats]:
        """Start and end points (P, S, 3) of the segments between joints (P, J, 3)."""
        start, stop = (np.einsum("sj,pjc->psc", end, joints) for end in self.ends)
        return start, stop

    def radii(self, joints: Floats, vertices: Floats) -> NDArray[np.float64]:
        """Radii (P, S) in metres of the capsules of joints (P, J, 3) and vertices (P, V, 3)."""
        start, stop = self._segments_of(joints)
        out = np.empty(start.shape[:2])
        for first in range(0, len(joints), _CHUNK):
            part = slice(first, first + _CHUNK)
            for segment in range(len(self.names)):
                own = vertices[part][:, self.owner == segment]
                distance, _ = _nearest_on_segment(own, start[part, segment], stop[part, segment])
                out[part, segment] = np.quantile(distance, _QUANTILE, axis=1)
        return out

    def depth_mm(self, joints: Floats, vertices: Floats) -> NDArray[np.float64]:
        """Overlap (P, pairs) of each pair of `pairs` in millimetres; 0 where they are apart."""
        radii = self.radii(joints, vertices)
        start, stop = self._segments_of(joints)
        depth = np.empty((len(joints), len(self.pairs)))
        for column, (a, b) in enumerate(self.pairs):
            apart = segment_distance(start[:, a], stop[:, a], start[:, b], stop[:, b])
            depth[:, column] = radii[:, a] + radii[:, b] - apart
        return 1000 * np.maximum(depth, 0)


def _segments(joint_set: JointSet) -> tuple[list[str], tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Names of the segments, and their start and end points as weights of the joints, (S, J) each."""

    def mean(*names: str) -> NDArray[np.float64]:
        row = np.zeros(len(joint_set))
        row[[joint_set.index(name) for name in names]] = 1 / len(names)
        return row

    names, starts, stops = [], [], []
    for side in ("left", "right"):
        for part, (start, stop) in _SIDED.items():
            a, b = mean(f"{side}_{start[0]}"), mean(f"{side}_{stop[0]}")
            if part == "trunk":
                a = a + _TRUNK_INSET * (mean("pelvis") - a)
                b = b + _TRUNK_INSET * (mean("neck") - b)
            names.append(f"{side}_{part}")
            starts.append(a)
            stops.append(b)
    end = next(ends for ends in _HEAD_ENDS if set(ends) <= set(joint_set.names))
    names.append("head")
    starts.append(mean("neck") + 0.4 * (mean(*end) - mean("neck")))
    stops.append(mean(*end))
    return names, (np.stack(starts), np.stack(stops))


def _neighbours(a: str, b: str) -> bool:
    kinds = [name.removeprefix("left_").removeprefix("right_") for name in (a, b)]
    same_side = a.partition("_")[0] == b.partition("_")[0]
    for pair in _NEIGHBOURS:
        if sorted(kinds) == sorted(pair):
            return same_side or pair not in (("upper_arm", "forearm"), ("thigh", "shank"))
    return False


def _nearest_on_segment(points: Floats, start: Floats, stop: Floats) -> tuple[Floats, Floats]:
    """Distance (P, N) of points (P, N, 3) to segments with ends (P, 3), and the nearest point's position in [0, 1]."""
    along = stop - start
    length = np.maximum((along**2).sum(-1), 1e-12)
    offset = points - start[:, None]
    share = np.clip(np.einsum("pnc,pc->pn", offset, along) / length[:, None], 0, 1)
    return np.linalg.norm(offset - share[..., None] * along[:, None], axis=-1), share


def segment_distance(a: Floats, b: Floats, c: Floats, d: Floats) -> NDArray[np.float64]:
    """Smallest distance (P,) between the segments a–b and c–d, all (P, 3).

    It is between the nearest points of the two lines if both are within the segments, else the smallest distance of the
    four ends from the other segment.
    """
    u, v, w = b - a, d - c, a - c
    uu, uv, vv, uw, vw = (np.einsum("pc,pc->p", x, y) for x, y in ((u, u), (u, v), (v, v), (u, w), (v, w)))
    determinant = uu * vv - uv**2
    skew = determinant > 1e-9 * uu * vv
    divisor = np.where(skew, determinant, 1.0)
    s, t = (uv * vw - vv * uw) / divisor, (uu * vw - uv * uw) / divisor
    within = skew & (s >= 0) & (s <= 1) & (t >= 0) & (t <= 1)
    inner = np.linalg.norm(w + s[:, None] * u - t[:, None] * v, axis=-1)
    ends = [
        _nearest_on_segment(point[:, None], start, stop)[0][:, 0]
        for point, start, stop in ((a, c, d), (b, c, d), (c, a, b), (d, a, b))
    ]
    return np.asarray(np.where(within, inner, np.min(ends, axis=0)), np.float64)
