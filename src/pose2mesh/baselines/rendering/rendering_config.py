"""Settings of the synthetic training images."""

from __future__ import annotations

from dataclasses import dataclass, field

from pose2mesh.datasets.synthetic.bodies import SyntheticConfig
from pose2mesh.errors import InputError

CHUNK = 64  # samples generated together


@dataclass
class RenderingConfig:
    """Synthetic images of people and the simulated detections in them.

    Attributes:
        synthetic: Shapes, poses, cameras, and the errors of the 2D joints; `views` must be 1, one image a body.
        labelled: Share of the images with 3D labels, from 0 to 1.
        distinct: Number of distinct images, a multiple of `CHUNK`, after which they repeat; None for no limit.
        errors: Simulate detector errors in part maps, silhouettes and landmarks; otherwise these are exact.
        occluded: Share of images with occluders in front of the person, from 0 to 1.
        accompanied: Share of images with a second person behind or beside the main one, from 0 to 1.
        backgrounds: Seed of the background textures; evaluation uses another seed than training.
        frames: Frames of a video: this many consecutive chunks show the same `CHUNK` people in consecutive frames under
            static cameras; either all frames of a video are labelled or none. Clothes, light, background, occluders
            and detections are sampled anew for each frame. With 1, all images are independent.
        stride: Frames of the motion clip between consecutive frames of a video.
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
        """Validate every value.

        Raises:
            InputError: a value is out of range; the message names it.
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
            raise InputError(f"pictures: synthetic.views {self.synthetic.views!r}: expected 1, one image a body")
        if self.synthetic.fingers:
            raise InputError(f"pictures: synthetic.fingers {self.synthetic.fingers!r}: expected 0, without fingers")
        if self.backgrounds < 0:
            raise InputError(f"pictures: backgrounds {self.backgrounds!r}: expected a seed of 0 or more")
        if self.stride < 1:
            raise InputError(f"pictures: stride {self.stride!r}: expected 1 or more")
