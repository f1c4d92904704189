"""The people of one picture once they are recovered: what is written, drawn and shown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pose2mesh.inference.person import Person
from pose2mesh.io.keypoints import Skipped
from pose2mesh.visualization.overlay import Ground, photo_ground, plain_ground
from pose2mesh.visualization.renderer import PALETTE, Colour


@dataclass(frozen=True, eq=False)
class ImageResult:
    """The people of one picture, ready to be written.

    Attributes:
        stem, name: Of the names of its files; of the picture, for readers.
        photo, size: (H, W, 3) RGB; (width, height) in pixels of the keypoints' picture; each where there is one.
        people, identifiers, skipped: In the order of the input; their ids there; the others.
        numbers: Of their colours, where those are not in order: the same person has the same in every frame.
    """

    stem: str
    name: str
    photo: NDArray[np.uint8] | None
    size: tuple[int, int] | None
    people: list[Person]
    identifiers: list[int | str | None]
    skipped: list[Skipped]
    numbers: list[int] | None = None

    def ground(self) -> Ground:
        """What its people are drawn on."""
        return plain_ground(self.people, self.size) if self.photo is None else photo_ground(self.photo, self.size)

    @property
    def colours(self) -> list[Colour]:
        """One a person."""
        numbers = range(len(self.people)) if self.numbers is None else self.numbers
        return [PALETTE[number % len(PALETTE)] for number in numbers]
