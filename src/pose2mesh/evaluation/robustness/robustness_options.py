"""Options of `pose2mesh robustness`: the flags and their help, so this file imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pose2mesh.errors import InputError

MAX_SAMPLES = 5000  # the true bodies of a set are held in memory, 0.2 MB per person


@dataclass(frozen=True)
class RobustnessOptions:
    """Sample sets of a robustness report, and its options.

    Attributes:
        out: Folder for report.md, report.html, report.json and their images.
        motions: A folder of BVH clips.
        split: YAML file that names the training and the validation clips: shows whether the model overfits.
        keypoints: COCO keypoint files, with or without masks, each as FILE or NAME=FILE; the name heads its column.
        images: The image folder of each keypoint file; no image is shown in the report.
        samples: Number of samples of a set.
        seed: Seed of samples, cameras and disturbances.
    """

    out: Path
    motions: Path | None = None
    split: Path | None = None
    keypoints: tuple[str, ...] = ()
    images: tuple[Path, ...] = ()
    samples: int = 500
    seed: int = 7

    def check(self) -> None:
        """Check the options before any model or file is read.

        Raises:
            InputError: an option is invalid; the message names it, its value and what was expected.
        """
        if self.motions is None and not self.keypoints:
            raise InputError("robustness: expected --motions, --keypoints, or both")
        if self.split is not None and self.motions is None:
            raise InputError(f"--split {self.split}: goes with --motions, which is not given")
        if self.images and len(self.images) != len(self.keypoints):
            raise InputError(
                f"--images: {len(self.images)} given for {len(self.keypoints)} --keypoints; expected one each"
            )
        if not 1 <= self.samples <= MAX_SAMPLES:
            raise InputError(f"--samples {self.samples}: expected 1 to {MAX_SAMPLES}")
        if not 0 <= self.seed < 2**31:
            raise InputError(f"--seed {self.seed}: expected a number from 0 to 2^31")
        if self.out.exists() and not self.out.is_dir():
            raise InputError(f"--out {self.out}: is a file; expected a folder")

    def named_files(self) -> list[tuple[str, Path]]:
        """Name and file of each of `keypoints`; repeated names are numbered."""
        found: list[tuple[str, Path]] = []
        taken = {"training clips", "validation clips", "clips"}
        for text in self.keypoints:
            name, separator, path = text.partition("=")
            file = Path(path) if separator and not Path(text).exists() else Path(text)
            name = name if separator and file != Path(text) else file.stem
            unique = name
            number = 2
            while unique in taken:
                unique, number = f"{name} {number}", number + 1
            taken.add(unique)
            found.append((unique, file))
        return found
