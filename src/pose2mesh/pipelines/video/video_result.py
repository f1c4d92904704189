"""Everyone in a video, frame by frame: what all of its output files are written from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from pose2mesh.inference.person import Person
from pose2mesh.inference.predictor import Predictor
from pose2mesh.pipelines.video.track_bodies import BodyTrack, FilmingConditions
from pose2mesh.visualization.orthographic_views import extent_of
from pose2mesh.visualization.renderer import PALETTE, Colour

_GREY = (150, 150, 150)


@dataclass(frozen=True)
class VisiblePerson:
    """Someone in one frame.

    Attributes:
        number: Whom, an index into `VideoResult.people`.
        person: As they are there.
        bridged: They were not detected in this frame, but before and after it.
    """

    number: int
    person: Person
    bridged: bool


@dataclass(frozen=True)
class VideoResult:
    """What was recovered. The people's frames lie on disk and are read when they are asked for.

    Attributes:
        name: Of the input.
        recovery: The model.
        shooting: Size, camera, frames a second.
        rate: Frames a second, exactly.
        frames: How many there are.
        people: In the order of appearance.
        unclaimed: Detections that are no one's.
        fault: Why there are fewer frames than expected, or None.
    """

    name: str
    recovery: Predictor
    shooting: FilmingConditions
    rate: Fraction
    frames: int
    people: list[BodyTrack]
    unclaimed: int
    fault: str | None

    def at(self, frame: int) -> list[VisiblePerson]:
        """Everyone in view in a frame."""
        found = []
        for number, body in enumerate(self.people):
            if body.track.first_frame <= frame < body.track.end:
                found.append(VisiblePerson(number, body.person(frame), body.is_bridged(frame)))
        return found

    def extent(self) -> NDArray[np.floating]:
        """(2, 3) the least and greatest coordinates of anyone in any frame, in the camera's frame, metres."""
        extents = [
            extent_of([seen.person for seen in self.at(frame)])
            for frame in range(self.frames)
            if any(body.track.first_frame <= frame < body.track.end for body in self.people)
        ]
        if not extents:
            return extent_of([])
        return np.stack([np.min([low for low, _ in extents], axis=0), np.max([high for _, high in extents], axis=0)])

    def of(self, number: int) -> Iterator[tuple[int, VisiblePerson]]:
        """One person's frames: their numbers, and the person as they are there."""
        body = self.people[number]
        for frame in range(body.track.first_frame, body.track.end):
            yield frame, VisiblePerson(number, body.person(frame), body.is_bridged(frame))


def colour_of(number: int, bridged: bool = False) -> Colour:
    """A person's colour, the same in every frame; greyer where they were not detected."""
    red, green, blue = PALETTE[number % len(PALETTE)]
    if bridged:
        red, green, blue = ((channel + 2 * grey) // 3 for channel, grey in zip((red, green, blue), _GREY, strict=True))
    return red, green, blue
