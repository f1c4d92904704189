"""`STEM.html` of a video: its people in one page with a 3D view and a slider over the frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pose2mesh.pipelines.video.frame_reader import Video
from pose2mesh.pipelines.video.video_result import VideoResult, colour_of
from pose2mesh.visualization.overlay import photo_ground, plain_ground

MOST_FRAMES = 100  # of a page, a quarter of a megabyte each: a page that can still be mailed
LONGEST_PX = 640  # of a frame's picture in it


def write_video_page(path: Path, result: VideoResult, video: Video | None) -> None:
    """Write the page; of a longer video it shows `MOST_FRAMES` frames, evenly apart, at the speed of the video.

    Args:
        path: The HTML file.
        result: Whom to show.
        video: The frames; None for keypoints alone.

    Raises:
        InputError: the file cannot be written.
    """
    from pose2mesh.visualization.html_page import write_page
    from pose2mesh.visualization.scene import describe_frame

    apart = max(1, -(-result.frames // MOST_FRAMES))
    pictures = iter(()) if video is None else video.frames()
    size = result.shooting.size
    ground, frames = plain_ground([], size), []
    for frame in range(result.frames):
        picture = next(pictures, None)
        if frame % apart:
            continue
        if picture is not None:
            ground = photo_ground(_smaller(picture), size)
        seen = result.at(frame)
        people, numbers = [each.person for each in seen], [each.number for each in seen]
        colours = [colour_of(each.number, each.bridged) for each in seen]
        frames.append(describe_frame(result.recovery, people, ground, f"frame {frame}", numbers, colours))
    write_page(path, result.name, result.recovery, frames, float(result.rate) / apart)


def _smaller(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    image = Image.fromarray(picture)
    image.thumbnail((LONGEST_PX, LONGEST_PX))
    return np.asarray(image)
