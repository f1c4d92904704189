"""From a video to one BVH file a person, step by step, as a template for your own pipeline.

    pip install ".[video]"
    python examples/video_to_bvh.py dance.mp4 --out motion

`pose2mesh predict dance.mp4 --formats bvh` does the same and stores intermediate results on disk, so use that for long
videos; here everything is in memory, some 10 MB a second for each person.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from pose2mesh import load
from pose2mesh.detectors.detection import Detector
from pose2mesh.detectors.registry import load_detector
from pose2mesh.inference.predictor import Predictor
from pose2mesh.motion.body_motion import BodyMotion
from pose2mesh.motion.bvh_writer import write_bvh
from pose2mesh.motion.person_fitting import load_rig
from pose2mesh.motion.smoothing import smooth_bodies
from pose2mesh.motion.tracker import Tracker, TrackerConfig, TrackFrame
from pose2mesh.pipelines.video.frame_reader import Video
from pose2mesh.skeletons import COCO, COCO17, convert


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("--out", type=Path, default=Path("motion"))
    parser.add_argument("--detector-model", type=Path, help="model file of the detector, in place of the download")
    options = parser.parse_args()
    files = (options.detector_model,) if options.detector_model else None
    for path in video_to_bvh(options.video, options.out, load_detector("auto", files)):
        print(path)


def video_to_bvh(path: Path, out: Path, detector: Detector) -> list[Path]:
    """Write `STEM_0.bvh`, `STEM_1.bvh` and so on."""
    video, predictor = Video(path), load()
    tracks = track(video, detector)
    fps, size = float(video.rate), video.size
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for number, frames in enumerate(tracks):
        motion = recover_motion(frames, predictor, fps, size)
        written.append(out / f"{path.stem}_{number}.bvh")
        write_bvh(written[-1], load_rig(predictor.joint_set.name).body, motion)
    return written


def track(video: Video, detector: Detector) -> list[list[TrackFrame]]:
    """Frames of each person in order; frames in which a person was not detected are interpolated."""
    tracker = Tracker(COCO, TrackerConfig(max_gap=30, max_bridge=30))
    people: list[list[TrackFrame]] = []
    for image in video.frames():
        found = detector(image)
        joints = np.array([person.joints_px for person in found]).reshape(-1, 17, 2)
        confidence = np.array([person.confidence for person in found]).reshape(-1, 17)
        # Pelvis and neck, which the model also needs, are means of other joints.
        for frame in tracker.update(*convert(joints, confidence, COCO17, COCO)):
            if frame.track == len(people):
                people.append([])
            people[frame.track].append(frame)
    return people


def recover_motion(frames: list[TrackFrame], predictor: Predictor, fps: float, size: tuple[int, int]) -> BodyMotion:
    """Motion of one person: predict and smooth a mesh a frame, then fit the body model with one shape to all meshes."""
    joints_px = np.stack([frame.joints_px for frame in frames])
    confidence = np.stack([frame.confidence for frame in frames])
    people = predictor.recover_converted(joints_px, confidence, image_size=size)
    _, vertices, where = smooth_bodies(
        np.stack([person.joints for person in people]),
        np.stack([person.vertices for person in people]),
        np.stack([person.camera.translation_m for person in people]),
        fps,
        predictor.joint_set,
    )
    fit = load_rig(predictor.joint_set.name).fit(vertices, one_person=True)
    return BodyMotion("person", fit.phenotypes[0], fit.orientations, fit.hips_m + where, fps, frames[0].frame)


if __name__ == "__main__":
    main()
