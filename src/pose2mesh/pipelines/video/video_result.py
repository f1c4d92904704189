"""The recovered people of a video: the input of all output formats of videos."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from pose2mesh.geometry.gravity import LEVEL_CAMERA, Gravity
from pose2mesh.inference.person import Person
from pose2mesh.inference.predictor import Predictor
from pose2mesh.pipelines.video.body_track import BodyTrack, VideoConditions
from pose2mesh.visualization.orthographic_views import extent_of
from pose2mesh.visualization.renderer import PALETTE, Colour

_GREY = (150, 150, 150)


@dataclass(frozen=True)
class VisiblePerson:
    """A person in one frame.

    Attributes:
        number: Index into `VideoResult.people`.
        person: The body in this frame.
        bridged: Whether the frame is interpolated: the person was detected before and after it, but not in it.
    """

    number: int
    person: Person
    bridged: bool


@dataclass(frozen=True)
class VideoResult:
    """The recovered people of a video. Their bodies lie on disk and are read on access.

    Attributes:
        name: Name of the input.
        predictor: The model.
        conditions: Image size, camera, frame rate.
        rate: Exact number of frames per second.
        frames: Number of frames.
        people: Tracked people in the order of appearance.
        unclaimed: Number of detections outside any track.
        fault: The reason for fewer frames than expected, or None.
        gravity: Which way is up, for formats whose bodies stand upright.
    """

    name: str
    predictor: Predictor
    conditions: VideoConditions
    rate: Fraction
    frames: int
    people: list[BodyTrack]
    unclaimed: int
    fault: str | None
    gravity: Gravity = LEVEL_CAMERA

    def at(self, frame: int) -> list[VisiblePerson]:
        """The people in view in a frame."""
        found = []
        for number, body in enumerate(self.people):
            if body.is_present(frame):
                found.append(VisiblePerson(number, body.person(frame), body.is_bridged(frame)))
        return found

    def extent(self) -> NDArray[np.floating]:
        """Least and greatest coordinates (2, 3) of all people in all frames, in the camera frame, metres."""
        extents = [
            extent_of([visible.person for visible in self.at(frame)])
            for frame in range(self.frames)
            if any(body.is_present(frame) for body in self.people)
        ]
        if not extents:
            return extent_of([])
        return np.stack([np.min([low for low, _ in extents], axis=0), np.max([high for _, high in extents], axis=0)])

    def of(self, number: int) -> Iterator[tuple[int, VisiblePerson]]:
        """The frame numbers of one person, each with the person in that frame; without those where they are absent."""
        body = self.people[number]
        for frame in range(body.track.first_frame, body.track.end):
            if body.is_present(frame):
                yield frame, VisiblePerson(number, body.person(frame), body.is_bridged(frame))


def colour_of(number: int, bridged: bool = False) -> Colour:
    """The colour of a person, the same in every frame; greyer where the frame is bridged."""
    red, green, blue = PALETTE[number % len(PALETTE)]
    if bridged:
        red, green, blue = ((channel + 2 * grey) // 3 for channel, grey in zip((red, green, blue), _GREY, strict=True))
    return red, green, blue
