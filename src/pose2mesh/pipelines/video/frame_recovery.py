"""Recovers the people of a video by a model that takes images, with one frame in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pose2mesh.errors import InputError
from pose2mesh.pipelines.video.body_track import BodyTrack
from pose2mesh.pipelines.video.frame_reader import Video


def recover_from_frames(bodies: Sequence[BodyTrack], video: Video, step: Callable[[int], object]) -> None:
    """Recover all people in each frame, resuming an interrupted run.

    Args:
        bodies: The people; their recovered frames are appended.
        video: The frames.
        step: Called with the number of further person-frames.

    Raises:
        InputError: a frame with detections can no longer be read.
    """
    step(sum(body.recovered for body in bodies))
    missing = [body for body in bodies if body.recovered < len(body.track)]
    if not missing:
        return
    first = min(body.track.first_frame + body.recovered for body in missing)
    last = max(body.track.end for body in missing)
    for frame, image in zip(range(first, last), video.frames(first), strict=False):
        for body in missing:
            row = frame - body.track.first_frame
            if row == body.recovered < len(body.track):
                body.recover(body.track.rows[row : row + 1], image)
                step(1)
    for body in missing:
        if body.recovered < len(body.track):
            frame = body.track.first_frame + body.recovered
            raise InputError(f"{video.path}: frame {frame} can no longer be read")
