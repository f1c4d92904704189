"""Smooths bodies over time: a One-Euro filter on points, and one constant body size per person.

The filter is that of Casiez, Roussel and Vogel, "1€ Filter", CHI 2012: a first-order low pass whose cutoff rises with
the speed, so that it removes jitter at rest and does not lag in motion.

Frame by frame (`BodySmoother`) the filter is causal, and fast limbs lag a little. All points of a body share one cutoff
there, and the filter is linear in them: joints regressed from filtered vertices are the filtered joints. A whole track
(`smooth_bodies`) is filtered forwards, then backwards, which cancels the lag. Each point has a cutoff of its own there,
so that a swinging hand is not flattened and the trunk is still; neighbours move alike, so joints and vertices stay
together within a millimetre. Frames of low confidence are smoothed more.

Convention: metres, camera axes, frames per second; frames without a detection are interpolated by the tracker before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pose2mesh.errors import InputError
from pose2mesh.skeletons import JointSet

Floats: TypeAlias = NDArray[np.floating]


@dataclass(frozen=True)
class OneEuroConfig:
    """Strength of the smoothing. Defaults are for people in metres at 15 to 60 frames per second.

    Attributes:
        min_cutoff_hz: The cutoff for a body at rest; lower is smoother.
        beta: Increase of the cutoff with speed, Hz per m/s; higher lags less.
        derivative_cutoff_hz: The cutoff of the speed itself.
        per_point: Whether each point's cutoff depends on its own speed; else all share that of the mean speed.
        trust: The cutoff of a frame is multiplied by its confidence over that of the median frame, to this power.
    """

    min_cutoff_hz: float = 1.5
    beta: float = 2.0
    derivative_cutoff_hz: float = 1.0
    per_point: bool = False
    trust: float = 0.0


# Tuned on the training clips, like the defaults above. Forwards and backwards, the filter acts twice and does not lag.
BOTH_WAYS = OneEuroConfig(min_cutoff_hz=1.5, beta=1.5, per_point=True, trust=2.0)
_LEAST_TRUST, _MOST_TRUST = 0.2, 1.5  # of the confidence over that of the median frame
# The depth follows from the body's size alone: an error of 2 % at 5 m is 100 mm, while the joints' error is 80 mm.
DEPTH = OneEuroConfig(min_cutoff_hz=0.5, beta=0.2)
SIZE_WINDOW = 150


class OneEuro:
    """The One-Euro filter on a stream of points.

    Args:
        fps: Frames per second.
        config: Strength of the smoothing.
        lead: The cutoff depends on the mean speed of the first `lead` points; None for all, and where each point has
            a cutoff of its own.

    Raises:
        InputError: a rate or a cutoff that is not positive.
    """

    def __init__(self, fps: float, config: OneEuroConfig | None = None, lead: int | None = None) -> None:
        self.config = config or OneEuroConfig()
        for name, value in (
            ("fps", fps),
            ("min_cutoff_hz", self.config.min_cutoff_hz),
            ("derivative_cutoff_hz", self.config.derivative_cutoff_hz),
        ):
            if not 0 < value < np.inf:
                raise InputError(f"{name} is {value}, expected a positive number")
        self.fps, self.lead = fps, None if self.config.per_point else lead
        self.filtered: Floats | None = None
        self._velocity: Floats | None = None

    def __call__(self, points: Floats, trust: float = 1.0) -> Floats:
        """Filter the next frame's points (N, 3); returns a new array. `trust` is a factor of this frame's cutoff."""
        if self.filtered is None or self._velocity is None:
            self.filtered = np.array(points)
            self._velocity = np.zeros_like(self.filtered[: self.lead])
            return self.filtered.copy()
        step = points - self.filtered
        self._velocity += self._gain(self.config.derivative_cutoff_hz) * (step[: self.lead] * self.fps - self._velocity)
        speed: Any = np.linalg.norm(self._velocity, axis=-1, keepdims=True)
        if not self.config.per_point:
            speed = float(speed.mean())
        cutoff_hz = (self.config.min_cutoff_hz + self.config.beta * speed) * trust
        self.filtered = self.filtered + self._gain(cutoff_hz) * step
        return self.filtered.copy()

    def _gain(self, cutoff_hz: Any) -> Any:
        """Gain of a low pass: the fraction of the step towards the new value in one frame."""
        phase = 2 * np.pi * cutoff_hz / self.fps
        return phase / (phase + 1)


def smooth(
    points: Floats,
    fps: float,
    config: OneEuroConfig | None = None,
    *,
    lead: int | None = None,
    both_ways: bool = True,
) -> Floats:
    """Filter points (T, N, 3) of a whole track.

    Args:
        points: Metres, consecutive frames.
        fps: Frames per second.
        config: Strength of the smoothing; None for the defaults of the direction.
        lead: See `OneEuro`.
        both_ways: Filter forwards and then backwards, which does not lag; False for the causal filter alone.

    Raises:
        InputError: another shape, points that are not finite, or a rate that is not positive.
    """
    points = np.asarray(points)
    if points.ndim != 3 or points.shape[-1] != 3:
        raise InputError(f"points have shape {points.shape}, expected (T, N, 3)")
    if not np.isfinite(points).all():
        raise InputError(f"points of frame {np.argwhere(~np.isfinite(points))[0, 0]} are not finite")
    config = config or (BOTH_WAYS if both_ways else OneEuroConfig())
    forwards = OneEuro(fps, config, lead)
    out = np.stack([forwards(frame) for frame in points]) if len(points) else points.copy()
    if both_ways:
        backwards = OneEuro(fps, config, lead)
        for t in reversed(range(len(out))):
            out[t] = backwards(out[t])
    return out


class RunningSize:
    """The size of one person: the running median of each bone's length over the last frames.

    The size predicted from a 2D pose varies from frame to frame; the size of the person does not.

    Args:
        edges: The bones as pairs of joint indices, `JointSet.edges`.
        window: Number of frames of the median.
    """

    def __init__(self, edges: Sequence[tuple[int, int]], window: int = SIZE_WINDOW) -> None:
        self.edges = edges
        self._lengths: deque[Floats] = deque(maxlen=window)

    def __call__(self, joints: Floats) -> float:
        """The scale factor from this frame's joints (J, 3) to the person's size."""
        self._lengths.append(bone_lengths(joints, self.edges))
        return size_factor(self._lengths[-1], self.bones_m)

    @property
    def bones_m(self) -> Floats:
        """Median bone lengths (bones,) so far; frames are scaled to their sum."""
        return np.median(np.stack(self._lengths), axis=0)


def bone_lengths(joints: Floats, edges: Sequence[tuple[int, int]]) -> Floats:
    """Bone lengths (…, bones) of joints (…, J, 3)."""
    a, b = np.array(edges).T
    return np.linalg.norm(joints[..., a, :] - joints[..., b, :], axis=-1)


def size_factor(lengths: Floats, person: Floats) -> float:
    """The scale factor from a frame's bone lengths (bones,) to the person's: the ratio of their sums."""
    return float(person.sum() / max(float(lengths.sum()), 1e-6))


class BodySmoother:
    """Smooths one person frame by frame: joints and vertices at constant size, and the position, without jitter.

    Args:
        fps: Frames per second.
        joint_set: Joint set of the joints.
        config: Strength of the smoothing of joints and vertices.
    """

    def __init__(self, fps: float, joint_set: JointSet, config: OneEuroConfig | None = None) -> None:
        self.size = RunningSize(joint_set.edges)
        self._joints = len(joint_set)
        self._filter = _BodyFilter(fps, self._joints, config or OneEuroConfig())

    def __call__(self, joints: Floats, vertices: Floats, translation_m: Floats) -> tuple[Floats, Floats, Floats]:
        """Smooth the next frame: root-relative joints (J, 3), vertices (V, 3), and the root in the camera's frame (3,).

        A scaled body has the same projection at a distance scaled by the same factor, so the translation is scaled with
        the body.
        """
        body = self._filter(self.size(joints) * np.concatenate([translation_m[None], joints, vertices]))
        return body[1 : 1 + self._joints], body[1 + self._joints :], body[0]


class BodyFrames(Protocol):
    """The frames (T, 1 + J + N, 3) of a track, in memory or on disk; see `steady_bodies`."""

    def __len__(self) -> int: ...

    def __getitem__(self, t: int, /) -> Floats: ...

    def __setitem__(self, t: int, body: Floats, /) -> None: ...


def steady_bodies(
    bodies: BodyFrames,
    fps: float,
    joint_set: JointSet,
    config: OneEuroConfig | None = None,
    filtered: bool = True,
    confidence: Floats | None = None,
) -> None:
    """Smooth a whole track in place, without lag: constant body size, no jitter; one frame in memory at a time.

    Args:
        bodies: (T, 1 + J + N, 3) metres, camera axes: the root in the camera's frame, then the joints and N further
            points relative to it.
        fps: Frames per second.
        joint_set: Joint set of the joints.
        config: Strength of the smoothing of joints and points; None for the defaults.
        filtered: Whether to filter over time; False only makes the size constant.
        confidence: (T,) of the frames; None for the same in all.

    Raises:
        InputError: a rate or a cutoff that is not positive.
    """
    joints = len(joint_set)
    lengths = [bone_lengths(bodies[t][1 : 1 + joints], joint_set.edges) for t in range(len(bodies))]
    person = np.median(lengths, axis=0) if lengths else np.zeros(0)
    config = config or BOTH_WAYS
    forwards, backwards = (_BodyFilter(fps, joints, config) for _ in range(2))
    trust = _trust(confidence, config.trust, len(lengths))
    for t, length in enumerate(lengths):
        body = bodies[t] * size_factor(length, person)
        bodies[t] = forwards(body, trust[t]) if filtered else body
    for t in reversed(range(len(lengths) if filtered else 0)):
        bodies[t] = backwards(bodies[t], trust[t])


def _trust(confidence: Floats | None, power: float, frames: int) -> list[float]:
    """Factor of each frame's cutoff, from its confidence (T,)."""
    if confidence is None or not power or not frames:
        return [1.0] * frames
    relative = np.asarray(confidence) / max(float(np.median(confidence)), 1e-6)
    return (relative.clip(_LEAST_TRUST, _MOST_TRUST) ** power).tolist()


def smooth_bodies(
    joints: Floats,
    vertices: Floats,
    translations_m: Floats,
    fps: float,
    joint_set: JointSet,
    config: OneEuroConfig | None = None,
    confidence: Floats | None = None,
) -> tuple[Floats, Floats, Floats]:
    """`steady_bodies` for arrays, which are not changed.

    Args:
        joints: (T, J, 3) root-relative, metres, camera axes.
        vertices: (T, V, 3) likewise.
        translations_m: (T, 3) the root in the camera's frame.
        fps: Frames per second.
        joint_set: Joint set of the joints.
        config: Strength of the smoothing of joints and vertices; None for the defaults.
        confidence: (T,) of the frames; None for the same in all.

    Returns:
        The same three arrays, smoothed, with bodies of the median size.

    Raises:
        InputError: as `steady_bodies`.
    """
    bodies = np.concatenate([translations_m[:, None], joints, vertices], axis=1)
    steady_bodies(bodies, fps, joint_set, config, confidence=confidence)
    after = 1 + joints.shape[1]
    return bodies[:, 1:after], bodies[:, after:], bodies[:, 0]


class _BodyFilter:
    """Filters a body's points and its position, with frames laid out as in `BodyFrames`."""

    def __init__(self, fps: float, joints: int, config: OneEuroConfig) -> None:
        self._body = OneEuro(fps, config, lead=joints)
        self._ray, self._depth = OneEuro(fps, config), OneEuro(fps, DEPTH)

    def __call__(self, body: Floats, trust: float = 1.0) -> Floats:
        ray, depth = _ray_and_depth(body[0])
        root = _from_ray_and_depth(self._ray(ray[None])[0], self._depth(depth[None])[0])
        return np.concatenate([root[None], self._body(body[1:], trust)])


# The depth's error is ten times that of the position across the viewing direction, which the pixels determine well: the
# two are smoothed separately, as the point of the viewing ray at a fixed distance, in metres, and as the depth.
_RAY_LENGTH_M = 4.0


def _ray_and_depth(translation: Floats) -> tuple[Floats, Floats]:
    depth = np.zeros_like(translation)
    depth[..., 2] = translation[..., 2]
    return translation / np.maximum(translation[..., 2:], 1e-3) * _RAY_LENGTH_M, depth


def _from_ray_and_depth(ray: Floats, depth: Floats) -> Floats:
    return ray / _RAY_LENGTH_M * depth[..., 2:]
