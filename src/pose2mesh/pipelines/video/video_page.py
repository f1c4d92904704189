"""`STEM.html` of a video: a page with a 3D view and a slider over the frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pose2mesh.pipelines.video.frame_reader import Video
from pose2mesh.pipelines.video.video_result import VideoResult, colour_of
from pose2mesh.visualization.overlay import blank_canvas, image_canvas

MOST_FRAMES = 100  # a quarter of a megabyte each, so that the page can be mailed
LONGEST_PX = 640  # longer side of a frame's image


def write_video_page(path: Path, result: VideoResult, video: Video | None) -> None:
    """Write the page; a longer video is subsampled to `MOST_FRAMES` frames, played at the speed of the video.

    Args:
        path: The HTML file.
        result: The recovered people.
        video: The frames; None for keypoints alone.

    Raises:
        InputError: the file cannot be written.
    """
    from pose2mesh.visualization.html_page import write_page
    from pose2mesh.visualization.scene import describe_frame

    apart = max(1, -(-result.frames // MOST_FRAMES))
    images = iter(()) if video is None else video.frames()
    size = result.conditions.size
    canvas, frames = blank_canvas([], size), []
    for frame in range(result.frames):
        image = next(images, None)
        if frame % apart:
            continue
        if image is not None:
            canvas = image_canvas(_shrunk(image), size)
        visible = result.at(frame)
        people, numbers = [each.person for each in visible], [each.number for each in visible]
        colours = [colour_of(each.number, each.bridged) for each in visible]
        frames.append(
            describe_frame(result.predictor, people, canvas, f"frame {frame}", numbers, colours, result.gravity)
        )
    write_page(path, result.name, result.predictor, frames, float(result.rate) / apart)


def _shrunk(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    thumbnail = Image.fromarray(image)
    thumbnail.thumbnail((LONGEST_PX, LONGEST_PX))
    return np.asarray(thumbnail)
