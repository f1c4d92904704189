"""Tracks of people on synthetic films with known identities: IDF1, MOTA, identity switches, tracks per person, time.

    python benchmarks/tracking.py MOTIONS [--split SPLIT.yaml] [--part validation] [--films 20] [--rendered]

A film has one to five people who cross, hide each other, leave and return, and a simulated detector
(`motion/synthetic_scene.py`); 25, 30 or 60 frames a second. The rows: every detection with its true person (the bound:
gaps longer than a second are missed), `Tracker` from frame to frame, and `track_film` with the whole film, each with
and without colours. Gaps of up to a second are interpolated. People of whom less than 40% is visible are ignored in
that frame; a track matches a person from an OKS of 0.5 on. Definitions: `evaluation/track_metrics.py`. Constants were
chosen on the training clips.

With --rendered a film of two people who meet and turn back is rendered, detected as by `predict`, and the tracks are
compared in the same way; --out is the folder of a contact sheet of it.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pose2mesh.body_models.default_body import default_body
from pose2mesh.datasets.synthetic.bodies import BodySynthesiser
from pose2mesh.datasets.synthetic.mocap import Clip, load_clips
from pose2mesh.datasets.synthetic.motion_split import load_split
from pose2mesh.detectors.image_keypoints import pose_input
from pose2mesh.evaluation.track_metrics import ComparedFrame, TrackErrors, evaluate_tracks
from pose2mesh.geometry.camera import Intrinsics
from pose2mesh.geometry.rotations import WORLD_TO_CAMERA
from pose2mesh.motion.film_tracks import track_film
from pose2mesh.motion.person_colours import describe_people
from pose2mesh.motion.pose_similarity import box_areas, joint_boxes, keypoint_similarity
from pose2mesh.motion.synthetic_scene import SceneConfig, SyntheticScene, detection_dtype, synthesise_scene
from pose2mesh.motion.tracker import Tracker, TrackerConfig
from pose2mesh.pipelines.video.tracking_detector import TrackingDetector
from pose2mesh.skeletons import COCO, COCO17
from pose2mesh.visualization.renderer import ProjectedMesh, contact_sheet, draw_people, draw_skeleton, save_image

Floats = NDArray[np.floating]
Film = Sequence[NDArray[Any]]
Tracks = dict[int, list[tuple[int, int]]]  # track → frames and detections
BRIDGE_S = 1.0
VISIBLE = 0.4
SIGMAS = np.array(COCO.oks_sigmas)


def bound(film: Film, fps: float) -> Tracks:
    tracks: Tracks = defaultdict(list)
    for frame, rows in enumerate(film):
        for detection, person in enumerate(rows["person"].tolist()):
            if person >= 0:
                tracks[person].append((frame, detection))
    return tracks


def frame_to_frame(film: Film, fps: float) -> Tracks:
    gap = max(1, round(BRIDGE_S * fps))
    tracker = Tracker(COCO, TrackerConfig(max_gap=gap, max_bridge=0))
    tracks: Tracks = defaultdict(list)
    for rows in film:
        for found in tracker.update(rows["joints_px"], rows["confidence"], rows["score"], rows["colours"]):
            tracks[found.track].append((found.frame, int(found.detection or 0)))
    return tracks


def whole_film(film: Film, fps: float) -> Tracks:
    people = track_film(film, COCO, fps)
    return {
        number: list(zip(person.frames.tolist(), person.detections.tolist(), strict=True))
        for number, person in enumerate(people)
    }


def without_colours(method: Callable[[Film, float], Tracks]) -> Callable[[Film, float], Tracks]:
    def grey(film: Film, fps: float) -> Tracks:
        film = [rows.copy() for rows in film]
        for rows in film:
            rows["colours"] = 0
        return method(film, fps)

    return grey


METHODS: dict[str, Callable[[Film, float], Tracks]] = {
    "each detection with its person": bound,
    "frame to frame, no colours": without_colours(frame_to_frame),
    "frame to frame": frame_to_frame,
    "whole film, no colours": without_colours(whole_film),
    "whole film": whole_film,
}


def compare(scene: SyntheticScene, film: Film, tracks: Tracks) -> TrackErrors:
    """Compare tracks with the people of a scene; gaps of up to a second are interpolated."""
    rows: dict[int, list[tuple[int, Floats, Floats]]] = defaultdict(list)
    for track, places in tracks.items():
        before: tuple[int, Floats, Floats] | None = None
        for frame, detection in places:
            person = film[frame][detection]
            now = (frame, person["joints_px"], person["confidence"])
            if before is not None and 1 < frame - before[0] <= BRIDGE_S * scene.fps:
                for between in range(before[0] + 1, frame):
                    share = (between - before[0]) / (frame - before[0])
                    joints = (1 - share) * before[1] + share * now[1]
                    rows[between].append((track, joints, np.minimum(before[2], now[2])))
            rows[frame].append((track, now[1], now[2]))
            before = now
    return evaluate_tracks(_compared(scene, rows))


def _compared(scene: SyntheticScene, rows: dict[int, list[tuple[int, Floats, Floats]]]) -> Iterator[ComparedFrame]:
    P, J = scene.joints_px.shape[1:3]
    for frame, people in enumerate(scene.joints_px):
        found = rows[frame]
        joints = np.array([each[1] for each in found]).reshape(-1, J, 2)
        confidence = np.array([each[2] for each in found]).reshape(-1, J)
        everywhere = np.ones((P, J))
        area = np.repeat(box_areas(joint_boxes(people, everywhere))[:, None], len(found), axis=1)
        oks = keypoint_similarity((people, everywhere), (joints, confidence), SIGMAS, area)
        tracks = np.array([each[0] for each in found], int)
        yield ComparedFrame(np.arange(P), tracks, oks, scene.visible[frame] < VISIBLE)


def films(clips: Sequence[Clip], count: int, seed: int) -> Iterator[SyntheticScene]:
    synthesiser = BodySynthesiser(default_body(), COCO, None)
    for index in range(count):
        fps, frames = ((30.0, 300), (60.0, 500), (25.0, 300))[index % 3]
        config = SceneConfig(1 + index % 5, frames, fps, furniture=int(index % 3 == 0), same_clothes=0.3)
        yield synthesise_scene(clips, synthesiser, seed + index, config)


def rendered_film(clip: Clip, frames: int = 90) -> tuple[SyntheticScene, list[NDArray[np.uint8]]]:
    """Two people who meet, one behind the other, and turn back, and the images (480, 640, 3)."""
    body = default_body()
    synthesiser = BodySynthesiser(body, COCO, None)
    camera = Intrinsics(560, 560, 320, 240)
    way = np.linspace(-1, 1, frames)[:, None]
    upper = body.rest_vertices.numpy()[:, 2] > np.median(body.rest_vertices.numpy()[:, 2])
    faces = body.faces.numpy()
    halves = [faces[mask] for mask in (upper[faces].all(1), ~upper[faces].all(1))]
    clothes = [((200, 70, 60), (50, 60, 130)), ((80, 160, 90), (190, 175, 150))]
    stretch = np.array(max(clip.stretches(), key=len))
    chosen = np.concatenate([stretch, stretch[::-1]] * frames)[:frames]  # forwards and backwards
    joints, meshes = [], []
    for person, (side, depth) in enumerate(((1, 3.6), (-1, 4.6))):
        turn = side * np.pi / 3
        yaw = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]], np.float32)
        orientations = torch.from_numpy(np.ascontiguousarray(yaw @ clip.orientations[chosen]))
        phenotypes = torch.tensor([[0.2 + 0.6 * person, 0.67, 0.5, 0.5, 0.5, 0.5]]).expand(frames, -1)
        place = np.concatenate(
            [-side * 1.3 * np.abs(way), np.full((frames, 1), 0.2), np.full((frames, 1), depth)], axis=1
        )
        with torch.no_grad():
            local, _, root = synthesiser(phenotypes, orientations)
            vertices = body(phenotypes, orientations)
        axes = np.array(WORLD_TO_CAMERA).T
        joints.append((local + root[:, None]).numpy() @ axes + place[:, None])
        meshes.append(vertices.numpy() @ axes + place[:, None])
    images = []
    rng = np.random.default_rng(0)
    wall = np.clip(rng.normal(150, 6, (480, 640, 3)) + np.linspace(-25, 25, 640)[:, None], 0, 255).astype(np.uint8)
    for frame in range(frames):
        parts, colours = [], []
        for mesh, worn in zip(meshes, clothes, strict=True):
            for half, colour in zip(halves, worn, strict=True):
                cam = mesh[frame]
                parts.append(ProjectedMesh(camera.project(cam), cam[:, 2], cam, half))
                colours.append(colour)
        images.append(draw_people(wall, parts, colours, alpha=1.0))
    joints_px = camera.project(np.stack(joints, axis=1)).astype(np.float32)
    crossing = np.abs(joints_px[:, 0].mean(1)[:, 0] - joints_px[:, 1].mean(1)[:, 0]) < 60
    visible = np.stack([np.ones(frames), np.where(crossing, 0.0, 1.0)], axis=1)
    return SyntheticScene(30.0, joints_px, visible, []), images


def detect(images: Sequence[NDArray[np.uint8]], fps: float) -> list[NDArray[Any]]:
    """The people of a film as `predict` detects them."""
    from pose2mesh.detectors.registry import load_detector

    follow = TrackingDetector(load_detector("auto"), fps, COCO.names)
    film: list[NDArray[Any]] = [np.zeros(0, detection_dtype(len(COCO)))]
    for frame, image in enumerate(images):
        people = [
            pose_input(person, index)
            for index, person in enumerate(follow(image, frame, film[-1]["joints_px"], film[-1]["confidence"]))
        ]
        rows = np.zeros(len(people), detection_dtype(len(COCO)))
        for row, person in zip(rows, people, strict=True):
            row["joints_px"], row["confidence"], row["score"] = person.joints_px, person.confidence, person.score
        coco = slice(len(COCO17))
        rows["colours"] = describe_people(image, rows["joints_px"][:, coco], rows["confidence"][:, coco])
        film.append(rows)
    return film[1:]


def line(name: str, errors: TrackErrors, ms: float) -> str:
    return (
        f"| {name:30} | {100 * errors.idf1:5.1f} | {100 * errors.mota:5.1f} | {errors.switches:8} | "
        f"{errors.fragments / errors.individuals:10.2f} | {errors.tracks:6} / {errors.individuals:<6} | {ms:7.2f} |"
    )


def report(scenes: Sequence[tuple[SyntheticScene, Film]], methods: Sequence[str]) -> None:
    print("| method                         |  IDF1 |  MOTA | switches | per person | tracks / people | ms a frame |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    frames = sum(len(film) for _, film in scenes)
    for name in methods:
        total, seconds = TrackErrors(*[0] * 9), 0.0
        for scene, film in scenes:
            start = time.perf_counter()
            tracks = METHODS[name](film, scene.fps)
            seconds += time.perf_counter() - start
            total += compare(scene, film, tracks)
        print(line(name, total, 1000 * seconds / frames), flush=True)


def draw_sheet(path: Path, images: Sequence[NDArray[np.uint8]], film: Film) -> None:
    """A contact sheet of every sixth frame with the tracks, each in one colour."""
    tracks = whole_film(film, 30.0)
    colours = ((255, 255, 255), (255, 230, 0), (255, 0, 255), (0, 255, 255))
    tiles, captions = [], []
    for frame in range(0, len(images), 6):
        image = images[frame]
        for track, places in tracks.items():
            for at, detection in places:
                if at == frame:
                    person = film[frame][detection]
                    image = draw_skeleton(
                        image, person["joints_px"], person["confidence"], COCO.edges, colours[track % 4]
                    )
        tiles.append(image)
        captions.append(f"frame {frame}")
    save_image(path, contact_sheet(tiles, captions, 5, (320, 240)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("motions", type=Path)
    parser.add_argument("--split", type=Path, default=Path(__file__).parents[1] / "configs" / "mocap_split.yaml")
    parser.add_argument("--part", choices=("train", "validation"), default="validation")
    parser.add_argument("--films", type=int, default=20)
    parser.add_argument("--rendered", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    train, validation = load_split(options.split, load_clips(options.motions))
    clips = train if options.part == "train" else validation
    if options.rendered:
        clip = max((clip for clip in clips if "walk" in clip.name), key=len)
        scene, images = rendered_film(clip)
        film = detect(images, scene.fps)
        report([(scene, film)], [name for name in METHODS if name != "each detection with its person"])
        if options.out is not None:
            options.out.mkdir(parents=True, exist_ok=True)
            draw_sheet(options.out / "tracking.png", images, film)
        return
    scenes = [
        (scene, scene.detections) for scene in films(clips, options.films, 0 if options.part == "train" else 1000)
    ]
    report(scenes, list(METHODS))


if __name__ == "__main__":
    main()
