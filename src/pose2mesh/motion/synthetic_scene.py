"""Synthetic films of several people with known identities, as detections without images, for the evaluation of tracks.

People with motions of clips walk through the view of one camera: they cross, hide each other, leave and return. A
detector is simulated: joints with errors (`datasets.synthetic.detection_noise`), people missed for a few frames or for
a second, joints taken from the person in front, doubles, false people that last a few frames, and furniture that is
detected now and then. Colours are sampled at the detected joints as from an image: clothes with a pattern and shading,
background beside the body, and the colours of the person in front; some people wear the same clothes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pose2mesh.datasets.synthetic.bodies import BodySynthesiser, ShapeConfig
from pose2mesh.datasets.synthetic.detection_noise import NoiseConfig, add_detection_noise
from pose2mesh.datasets.synthetic.mocap import Clip
from pose2mesh.geometry.camera import Intrinsics
from pose2mesh.geometry.rotations import WORLD_TO_CAMERA
from pose2mesh.motion.person_colours import BINS, REGIONS, body_samples, histograms, near_body, sample_visibility
from pose2mesh.skeletons import COCO17

Floats = NDArray[np.floating]
FALSE_PERSON = -1
_NOISE = NoiseConfig(scale=(0.2, 0.8), swap=0.0, drop=0.0, clean=0.0, plain_confidence=0.0, out_of_picture=False)
_LEAST_JOINTS = 5
_VISIBLE_SHARE = (0.7, 0.25)  # a person is detected for certain, and never
_JUMP_PROBABILITY = 0.3  # that hidden joints are detected at the person in front


@dataclass(frozen=True)
class SceneConfig:
    """What happens in a synthetic film.

    Attributes:
        people: Number of people.
        frames, fps, size: Of the film; `size` is (width, height).
        speed_m_s: Largest speed at which people cross the scene; a third of them stay where they are.
        misses_per_s: How often a person who can be seen is missed for some frames, a tenth of these times for a second.
        doubles_per_s: How often a person is detected twice for a few frames.
        ghosts_per_s: How often a false person appears for a few frames.
        furniture: Number of places at which a false person is detected in a quarter of the frames.
        same_clothes: Probability that a person wears the clothes of the one before.
        with_colours: Whether there is an image.
    """

    people: int = 3
    frames: int = 300
    fps: float = 30.0
    size: tuple[int, int] = (1280, 720)
    speed_m_s: float = 1.6
    misses_per_s: float = 0.5
    doubles_per_s: float = 0.15
    ghosts_per_s: float = 0.4
    furniture: int = 0
    same_clothes: float = 0.25
    with_colours: bool = True


def detection_dtype(joints: int) -> np.dtype[Any]:
    """One detection of a synthetic film.

    Fields:
        joints_px: (J, 2) pixels.
        confidence: (J,), 0 for a missing joint.
        score: Score of the person.
        colours: (R, B) descriptor (`motion.person_colours`).
        person: Number of the person that was detected, `FALSE_PERSON` for none.
    """
    shape = (len(REGIONS), BINS)
    fields = [("joints_px", "<f4", (joints, 2)), ("confidence", "<f4", (joints,)), ("score", "<f4")]
    return np.dtype([*fields, ("colours", "<f4", shape), ("person", "<i4")], align=True)


@dataclass(frozen=True, eq=False)
class SyntheticScene:
    """`T` frames of `P` people.

    Attributes:
        fps: Frames per second.
        joints_px: (T, P, J, 2) true joints.
        visible: (T, P) share of the joints that are in the image and not behind another person.
        detections: The detections of each frame, rows (D,) of `detection_dtype` in random order.
    """

    fps: float
    joints_px: NDArray[np.float32]
    visible: Floats
    detections: list[NDArray[Any]]


def synthesise_scene(
    clips: Sequence[Clip], synthesiser: BodySynthesiser, seed: int, config: SceneConfig | None = None
) -> SyntheticScene:
    """Synthesise a film of people who move as in random `clips`.

    Args:
        clips: The motions.
        synthesiser: The body and the joint set.
        seed: Seed of everything that is random.
        config: What happens in the film.
    """
    config = config or SceneConfig()
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    people = [_moving_person(clips, synthesiser, rng, generator, config) for _ in range(config.people)]
    joints_cam = np.stack(people, axis=1)
    width, height = config.size
    intrinsics = Intrinsics(0.9 * width, 0.9 * width, width / 2, height / 2)
    joints_px = (intrinsics.project(joints_cam) + _pan(rng, config)[:, None, None]).astype(np.float32)
    owner = _owners(joints_px, joints_cam[..., 2].mean(-1), config.size)
    visible = (owner == np.arange(config.people)[:, None]).mean(-1)
    noisy, confidence = _detected_joints(joints_px, owner, synthesiser, rng, generator)
    found = ~_missed(visible, rng, config) & ((confidence > 0).sum(-1) >= _LEAST_JOINTS)
    frames: list[list[_Person]] = [
        [_Person(int(person), noisy[t, person], confidence[t, person]) for person in np.flatnonzero(found[t])]
        for t in range(config.frames)
    ]
    _add_doubles(frames, rng, config)
    _add_false_people(frames, joints_px, rng, config)
    wardrobe = _Wardrobe(rng, config, joints_px, joints_cam[..., 2].mean(-1))
    detections = [_detected_frame(people, t, wardrobe, rng, config) for t, people in enumerate(frames)]
    return SyntheticScene(config.fps, joints_px, visible, detections)


@dataclass(frozen=True, eq=False)
class _Person:
    """One detection: joints (J, 2) and confidences (J,) of a person; `FALSE_PERSON` for a false one."""

    number: int
    joints_px: Floats
    confidence: Floats


def _moving_person(
    clips: Sequence[Clip], synthesiser: BodySynthesiser, rng: np.random.Generator, generator: torch.Generator,
    config: SceneConfig,
) -> Floats:  # fmt: skip
    """Joints (T, J, 3) in the camera's frame of a person with the motion of a clip who walks between random points."""
    clip = clips[int(rng.integers(len(clips)))]
    frames = max(clip.stretches(), key=len)
    order = np.arange(config.frames) + int(rng.integers(len(frames)))
    length = len(frames)
    order = order % max(2 * length - 2, 1)  # forwards and backwards
    chosen = np.array(frames)[np.where(order < length, order, 2 * length - 2 - order)]
    turn = rng.uniform(0, 2 * np.pi)
    yaw = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]], np.float32)
    orientations = torch.from_numpy(np.ascontiguousarray(yaw @ clip.orientations[chosen]))
    with torch.no_grad():
        phenotypes = ShapeConfig().sample(1, generator)
        joints, _, root = synthesiser(phenotypes.expand(len(chosen), -1), orientations)
    path = clip.root_m[chosen] - clip.root_m[frames].mean(0)
    in_place = (joints + root[:, None]).numpy() + (np.clip(path, -1.5, 1.5) @ yaw.T)[:, None]
    world_to_camera = np.asarray(WORLD_TO_CAMERA)
    return np.asarray(in_place @ world_to_camera.T + _walk(rng, config)[:, None])


def _walk(rng: np.random.Generator, config: SceneConfig) -> Floats:
    """Positions (T, 3) of a person's hips in the camera's frame; ways lead out of the image, too."""

    def place() -> Floats:
        z = rng.uniform(3.5, 9)
        return np.array([rng.uniform(-0.75, 0.75) * z, 0.35, z])  # the image ends at 0.56 z

    at = place() * (0.7, 1, 1)
    if rng.random() < 1 / 3:
        return np.tile(at, (config.frames, 1))
    speed = rng.uniform(0.4, config.speed_m_s)
    points = [at]
    goal = place()
    for _ in range(config.frames):
        way = goal - points[-1]
        distance = float(np.linalg.norm(way))
        if distance < 0.3:
            goal = place()
            way, distance = goal - points[-1], float(np.linalg.norm(goal - points[-1]))
        points.append(points[-1] + way / max(distance, 1e-6) * speed / config.fps)
    smooth = max(1, round(0.4 * config.fps))
    padded = np.concatenate([points, np.repeat(points[-1:], 2 * smooth, axis=0)])
    kernel = np.ones(smooth) / smooth
    return np.stack([np.convolve(padded[:, axis], kernel, "valid")[: config.frames] for axis in range(3)], axis=1)


def _pan(rng: np.random.Generator, config: SceneConfig) -> Floats:
    """Shift (T, 2) of the image by a hand-held camera, in half of the films."""
    time = np.arange(config.frames) / config.fps
    size = rng.uniform(0, 0.05) * config.size[0] * (rng.random() < 0.5)
    waves = [np.sin(2 * np.pi * (rng.uniform(0.1, 0.6) * time + rng.random())) for _ in range(2)]
    return size * np.stack([waves[0], 0.4 * waves[1]], axis=1)


def _owners(joints_px: Floats, depth: Floats, size: tuple[int, int]) -> NDArray[np.intp]:
    """Who is seen (T, P, J) at each person's joints: the nearest person there, or -1 outside the image."""
    T, P, J, _ = joints_px.shape
    owner = np.broadcast_to(np.arange(P)[:, None], (T, P, J)).copy()
    sure = np.ones(len(COCO17))
    for t in range(T):
        order = np.argsort(-depth[t])
        for rank, behind in enumerate(order):
            for front in order[rank + 1 :]:  # nearer and nearer, so that the last one stays
                owner[t, behind][near_body(joints_px[t, behind], joints_px[t, front, : len(COCO17)], sure)] = front
    inside = ((joints_px >= 0) & (joints_px < np.array(size))).all(-1)
    return np.where(inside, owner, -1)


def _detected_joints(
    joints_px: Floats, owner: NDArray[np.intp], synthesiser: BodySynthesiser, rng: np.random.Generator,
    generator: torch.Generator,
) -> tuple[Floats, Floats]:  # fmt: skip
    """Joints (T, P, J, 2) with a detector's errors and confidences (T, P, J)."""
    T, P, J, _ = joints_px.shape
    flat = torch.from_numpy(joints_px.reshape(T * P, J, 2))
    noisy, confidence = (
        each.numpy().reshape(T, P, J, -1)
        for each in add_detection_noise(flat, synthesiser.joint_set, _NOISE, generator)
    )
    confidence = confidence[..., 0]
    hidden = (owner >= 0) & (owner != np.arange(P)[:, None])
    confidence = np.where(owner < 0, 0, np.where(hidden, 0.4 * confidence, confidence))
    jumps = rng.random((T, P)) < _JUMP_PROBABILITY
    for t, person in zip(*np.nonzero(jumps & hidden.any(-1)), strict=True):
        at = np.flatnonzero(hidden[t, person])
        noisy[t, person, at] = noisy[t, owner[t, person, at], at]
    return noisy, confidence.astype(np.float32)


def _missed(visible: Floats, rng: np.random.Generator, config: SceneConfig) -> NDArray[np.bool_]:
    """Who is missed (T, P): the less of a person is visible, the more often; besides, at random for some frames."""
    T, P = visible.shape
    certain, never = _VISIBLE_SHARE
    missed = rng.random((T, P)) > (visible - never) / (certain - never)
    for person in range(P):
        for start in np.flatnonzero(rng.random(T) < config.misses_per_s / config.fps):
            length = config.fps * (rng.uniform(0.3, 1.2) if rng.random() < 0.1 else rng.uniform(0.03, 0.2))
            missed[start : start + max(1, round(length)), person] = True
    return missed


def _add_doubles(frames: list[list[_Person]], rng: np.random.Generator, config: SceneConfig) -> None:
    """Add second detections of a person: another estimate of all joints, or of the upper body alone."""
    lasting: dict[int, tuple[int, bool, float]] = {}
    for people in frames:
        for person in list(people):
            if rng.random() < config.doubles_per_s / config.fps:
                lasting[person.number] = (1 + int(rng.geometric(0.3)), rng.random() < 0.5, rng.uniform(0.05, 0.15))
            left, is_half, error = lasting.get(person.number, (0, False, 0.0))
            if left:
                lasting[person.number] = (left - 1, is_half, error)
                present = person.joints_px[person.confidence > 0]
                size = float(np.ptp(present[:, 1]))
                joints = person.joints_px + rng.normal(0, error * size, person.joints_px.shape) / 2
                upper = person.joints_px[:, 1] < np.median(present[:, 1])
                confidence = 0.7 * person.confidence * (upper if is_half else 1)
                people.append(_Person(FALSE_PERSON, joints, confidence))


def _add_false_people(
    frames: list[list[_Person]], joints_px: Floats, rng: np.random.Generator, config: SceneConfig
) -> None:
    """Add people who are not there: for a few frames, or at furniture in a quarter of the frames."""
    T, P, J, _ = joints_px.shape

    def figure() -> tuple[Floats, Floats]:
        pose = joints_px[int(rng.integers(T)), int(rng.integers(P))]
        place = rng.uniform((0.05, 0.3), (0.95, 0.8)) * config.size
        return (pose - pose.mean(0)) * rng.uniform(0.4, 1.0) + place, np.asarray(rng.uniform(0.15, 0.6, J))

    def put(frame: int, joints: Floats, confidence: Floats) -> None:
        noisy = joints + rng.normal(0, 0.03 * float(np.ptp(joints[:, 1])), joints.shape)
        inside = ((noisy >= 0) & (noisy < np.array(config.size))).all(-1)
        if inside.sum() >= _LEAST_JOINTS:
            frames[frame].append(_Person(FALSE_PERSON, noisy, confidence * inside))

    for start in np.flatnonzero(rng.random(T) < config.ghosts_per_s / config.fps):
        joints, confidence = figure()
        for frame in range(start, min(T, start + int(rng.geometric(0.2)))):
            put(frame, joints, confidence)
    for _ in range(config.furniture):
        joints, confidence = figure()
        for at in np.flatnonzero(rng.random(T) < 0.25):
            put(int(at), joints, confidence)


class _Wardrobe:
    """The colours seen at points of a film: of clothes with a pattern and shading, of skin, and of the background."""

    def __init__(self, rng: np.random.Generator, config: SceneConfig, joints_px: Floats, depth: Floats) -> None:
        self.rng, self.joints_px, self.depth = rng, joints_px, depth
        people: list[Floats] = []
        for person in range(config.people):
            same = person > 0 and rng.random() < config.same_clothes
            people.append(people[-1] + rng.normal(0, 2, people[-1].shape) if same else self._outfit())
        self.palettes = np.stack(people)  # (P, R, 2, 3): two colours of each region
        self.background = rng.normal((60, 0, 5), (20, 6, 8), (16, 16, 3))
        self.size = config.size
        self.light = 1 + 0.1 * np.sin(np.linspace(0, rng.uniform(1, 6), config.frames) + rng.uniform(0, 6))

    def _outfit(self) -> Floats:
        """Two colours (R, 2, 3) of each region in L*a*b*."""
        rng = self.rng

        def cloth() -> Floats:
            chroma = rng.uniform(0, 5) if rng.random() < 0.5 else rng.uniform(15, 50)
            hue = rng.uniform(0, 2 * np.pi)
            return np.array([rng.uniform(12, 90), chroma * np.cos(hue), chroma * np.sin(hue)])

        skin = np.array([rng.uniform(35, 75), rng.uniform(10, 18), rng.uniform(12, 22)])
        hair = np.array([rng.uniform(10, 60), rng.uniform(0, 8), rng.uniform(2, 18)])
        shirt, trousers = cloth(), cloth()
        second = cloth() if rng.random() < 0.3 else shirt
        regions = {"head": (skin, hair), "torso": (shirt, second), "legs": (trousers, trousers)}
        regions["arms"] = (shirt, shirt) if rng.random() < 0.5 else (skin, shirt)
        return np.array([regions[name] for name in REGIONS])

    def at(self, points: Floats, number: int, frame: int) -> Floats:
        """Colours (S, 3) in L*a*b* at the samples (S, 2) of a detection of a person, or of a false one."""
        rng, (_, region) = self.rng, body_samples()
        cells = np.clip(points / self.size * 16, 0, 15).astype(int)
        colours = self.background[cells[:, 1], cells[:, 0]]
        sure = np.ones(len(COCO17))
        for person in np.argsort(-self.depth[frame]):  # the nearest one is drawn last
            near = near_body(points, self.joints_px[frame, person, : len(COCO17)], sure)
            which = (rng.random(len(points)) < 0.3).astype(int)
            own = region if person == number else np.full(len(points), REGIONS.index("torso"))
            worn = self.palettes[person, own, which]
            colours = np.where((near & (rng.random(len(points)) > 0.15))[:, None], worn, colours)
        shading = self.light[frame] * rng.uniform(0.8, 1.1)
        return colours * (shading, 1, 1) + rng.normal(0, (6, 3, 3), colours.shape)


def _detected_frame(
    people: list[_Person], frame: int, wardrobe: _Wardrobe, rng: np.random.Generator, config: SceneConfig
) -> NDArray[Any]:
    people = [people[index] for index in rng.permutation(len(people))]
    J = wardrobe.joints_px.shape[2]
    joints_px = np.array([person.joints_px for person in people], np.float32).reshape(-1, J, 2)
    confidence = np.array([person.confidence for person in people], np.float32).reshape(-1, J)
    joints_px = joints_px * (confidence > 0)[..., None]
    coco = slice(len(COCO17))
    points = np.einsum("sj,pjc->psc", body_samples()[0], joints_px[:, coco])
    weight = sample_visibility(points, joints_px[:, coco], confidence[:, coco]) * config.with_colours
    lab = np.array([wardrobe.at(points[i], person.number, frame) for i, person in enumerate(people)])
    rows = np.zeros(len(people), detection_dtype(J))
    rows["joints_px"], rows["confidence"] = joints_px, confidence
    rows["score"] = confidence.sum(-1) / np.maximum((confidence > 0).sum(-1), 1)
    rows["colours"] = histograms(lab.reshape(*points.shape[:2], 3), weight)
    rows["person"] = [person.number for person in people]
    return rows
