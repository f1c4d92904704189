"""What is drawn at random in pictures of people."""

from __future__ import annotations

from dataclasses import dataclass, field

from pose2mesh.datasets.synthetic.bodies import SyntheticConfig
from pose2mesh.errors import InputError

CHUNK = 64  # people that are drawn together


@dataclass
class RenderingConfig:
    """People in pictures, and what detectors make of them.

    Attributes:
        synthetic: Shapes, poses, cameras, and the errors of the 2D joints; each person is seen once (`views` 1).
        labelled: Share of the pictures whose people have 3D labels, from 0 to 1.
        distinct: How many distinct pictures there are, a multiple of `CHUNK`, after which the first ones come again;
            None for no end.
        errors: Part maps, silhouettes and landmarks as a detector errs on them; otherwise they are exact.
        occluded: Share of people with something in front of them, from 0 to 1.
        accompanied: Share of people with somebody else behind or beside them, from 0 to 1.
        backgrounds: Seed of the backgrounds' textures. Whoever measures takes another than for training.
        frames: Of a video: so many chunks in a row show the same `CHUNK` people, a frame of each after the other,
            before cameras that stand still; all frames of a video are labelled or none. Clothes, light, background,
            occluders and detections are drawn anew. With 1 every picture is of somebody else.
        stride: Frames of a motion clip from one frame of a video to the next.
    """

    synthetic: SyntheticConfig = field(default_factory=lambda: SyntheticConfig(views=1))
    labelled: float = 0.2
    distinct: int | None = None
    errors: bool = True
    occluded: float = 0.35
    accompanied: float = 0.15
    backgrounds: int = 0
    frames: int = 1
    stride: int = 1

    def check(self) -> None:
        """Whether every value can be used.

        Raises:
            InputError: naming the one that cannot.
        """
        for name in ("labelled", "occluded", "accompanied"):
            share = getattr(self, name)
            if not 0 <= share <= 1:
                raise InputError(f"pictures: {name} {share!r}: expected a share from 0 to 1")
        if self.frames < 1:
            raise InputError(f"pictures: frames {self.frames!r}: expected 1 or more")
        whole = CHUNK * self.frames
        if self.distinct is not None and (self.distinct < 1 or self.distinct % whole):
            raise InputError(f"pictures: distinct {self.distinct!r}: expected a positive multiple of {whole}")
        if self.synthetic.views != 1:
            raise InputError(f"pictures: synthetic.views {self.synthetic.views!r}: expected 1, one picture a body")
        if self.backgrounds < 0:
            raise InputError(f"pictures: backgrounds {self.backgrounds!r}: expected a seed of 0 or more")
        if self.stride < 1:
            raise InputError(f"pictures: stride {self.stride!r}: expected 1 or more")
