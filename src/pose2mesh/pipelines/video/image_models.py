"""Everyone in a video recovered by a model that looks at pictures: one frame in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pose2mesh.errors import InputError
from pose2mesh.pipelines.video.frame_reader import Video
from pose2mesh.pipelines.video.track_bodies import BodyTrack


def look_at_frames(bodies: Sequence[BodyTrack], video: Video, step: Callable[[int], object]) -> None:
    """Recover everyone in each frame, going on where a run was cut off; `step` hears how many people more are done.

    Raises:
        InputError: a frame in which somebody was seen can no longer be read.
    """
    step(sum(body.recovered for body in bodies))
    missing = [body for body in bodies if body.recovered < len(body.track)]
    if not missing:
        return
    first = min(body.track.first_frame + body.recovered for body in missing)
    last = max(body.track.end for body in missing)
    for frame, picture in zip(range(first, last), video.frames(first), strict=False):
        for body in missing:
            row = frame - body.track.first_frame
            if row == body.recovered < len(body.track):
                body.recover(body.track.rows[row : row + 1], picture)
                step(1)
    for body in missing:
        if body.recovered < len(body.track):
            frame = body.track.first_frame + body.recovered
            raise InputError(f"{video.path}: frame {frame} can no longer be read")
