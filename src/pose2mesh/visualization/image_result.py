"""The recovered people of one image: the input of all output formats of images."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pose2mesh.geometry.camera import Intrinsics
from pose2mesh.geometry.gravity import LEVEL_CAMERA, Gravity
from pose2mesh.inference.person import Person
from pose2mesh.io.hands import Hands
from pose2mesh.io.keypoints import Skipped
from pose2mesh.visualization.overlay import Canvas, blank_canvas, image_canvas
from pose2mesh.visualization.renderer import PALETTE, Colour


@dataclass(frozen=True, eq=False)
class ImageResult:
    """The recovered people of one image.

    Attributes:
        stem: Start of the names of the output files.
        name: Name of the image, for display.
        image: (H, W, 3) RGB; None where only keypoints are given.
        size: (width, height) in pixels of the keypoints; None where it is unknown.
        people: Recovered people, in the order of the input.
        identifiers: Ids of the people in the input.
        skipped: Annotations that were not recovered, with the reason.
        intrinsics: Of the camera that the people were recovered with; None for weak perspective.
        numbers: Colour index of each person, the same in every frame of a video; None for the order of `people`.
        gravity: Which way is up, for formats whose bodies stand upright.
        is_refined: Whether the people were moved to their joints and silhouettes (`inference.refinement`).
        hands: Hands of each person, None where none were searched; empty where those of no person were.
    """

    stem: str
    name: str
    image: NDArray[np.uint8] | None
    size: tuple[int, int] | None
    people: list[Person]
    identifiers: list[int | str | None]
    skipped: list[Skipped]
    intrinsics: Intrinsics | None = None
    numbers: list[int] | None = None
    gravity: Gravity = LEVEL_CAMERA
    is_refined: bool = False
    hands: list[Hands | None] = field(default_factory=list)

    def canvas(self) -> Canvas:
        """The canvas that its people are drawn on."""
        return blank_canvas(self.people, self.size) if self.image is None else image_canvas(self.image, self.size)

    @property
    def colours(self) -> list[Colour]:
        """The colour of each person."""
        numbers = range(len(self.people)) if self.numbers is None else self.numbers
        return [PALETTE[number % len(PALETTE)] for number in numbers]
