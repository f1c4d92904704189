"""Options of `pose2mesh evaluate`: the flags and their help, so this file imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from pose2mesh.errors import InputError

MAX_NOISE_SCALE = 10.0


@dataclass(frozen=True)
class EvaluateOptions:
    """Test data of an evaluation, and its options.

    Attributes:
        data: A training config: the test part of its data sets is used, or its validation clips where it has none.
        motions: A folder of BVH clips, all of which are used.
        keypoints: A COCO annotation file, with --images: reports OKS and silhouette IoU.
        images: The folder of its images.
        clips: Patterns of names of clips, such as mesh2motion/*: only the validation clips of --data that match one are
            used.
        protocol: How the data set is tested: human36m-p1, human36m-p2, human36m-frontal, 3dpw, surreal or freihand; by
            default the usual one of the data set that the config validates on.
        samples: Number of samples: by default 4000 from clips and all of a data set.
        seed: Seed of bodies, cameras and detector errors.
        input_: gt: true or labelled 2D joints; noisy: with synthesised detector errors; detected: those that come with
            a data set.
        drop_joints: Number of joints removed from each sample of the clips, at random.
        noise_scale: Size of the errors of --input noisy in the clips; 1 is that of a detector of COCO's joints.
        refine: Move the predicted bodies to the 2D joints and, with --keypoints, to the masks, as predict does.
        on_fault: skip leaves out the records of a data set that cannot be used; by default as the config says.
        overrides: key=value that overrides the config of --data; several may follow.
        camera: Camera of the samples of clips: nominal, guessed from the size of the image, as predict does; known, the
            true one; none, from pixels alone. The report has the errors with each, too.
        report: JSON file for the results; of a data set, the tables go beside it as Markdown.
    """

    data: Path | None = None
    motions: Path | None = None
    keypoints: Path | None = None
    images: Path | None = None
    clips: tuple[str, ...] = ()
    protocol: str | None = None
    samples: int | None = None
    seed: int = 7
    input_: Literal["gt", "noisy", "detected"] = "gt"
    drop_joints: int = 0
    noise_scale: float = 1.0
    refine: bool = False
    on_fault: Literal["raise", "skip"] | None = None
    overrides: Annotated[tuple[str, ...], Parameter(name="--set")] = ()
    report: Path | None = None
    camera: Literal["known", "nominal", "none"] = "nominal"

    def check(self) -> None:
        """Check the options before any model or file is read.

        Raises:
            InputError: an option is invalid; the message names it, its value and what was expected.
        """
        if sum(choice is not None for choice in (self.data, self.motions, self.keypoints)) != 1:
            raise InputError("evaluate: expected one of --data, --motions and --keypoints")
        if self.samples is not None and self.samples < 1:
            raise InputError(f"--samples {self.samples}: expected at least 1")
        if not 0 <= self.seed < 2**63:
            raise InputError(f"--seed {self.seed}: expected a number from 0 to 2^63")
        if self.drop_joints < 0:
            raise InputError(f"--drop-joints {self.drop_joints}: expected 0 or more")
        if not 0 < self.noise_scale <= MAX_NOISE_SCALE:
            raise InputError(f"--noise-scale {self.noise_scale:g}: expected more than 0, at most {MAX_NOISE_SCALE:g}")
        if self.noise_scale != 1 and self.input_ != "noisy":
            raise InputError(f"--noise-scale {self.noise_scale:g}: goes with --input noisy, not {self.input_}")
        if self.data is None:
            given = (
                ("--protocol", self.protocol),
                ("--on-fault", self.on_fault),
                ("--set", self.overrides),
                ("--clips", self.clips),
            )
            for option, value in (*given, ("--clips", self.clips)):
                if value:
                    raise InputError(f"{option}: goes with --data, which is not given")
            if self.input_ == "detected":
                raise InputError("--input detected: is for data sets with detections (--data); expected gt or noisy")
        if self.keypoints is None and self.images is not None:
            raise InputError(f"--images {self.images}: goes with --keypoints, which is not given")
        if self.keypoints is not None:
            if self.images is None:
                raise InputError("evaluate: --keypoints needs --images, the folder of the images")
            if self.input_ == "noisy" or self.drop_joints:
                raise InputError("evaluate: --input noisy and --drop-joints are for clips, not for --keypoints")
        if self.report is not None and (self.report.is_dir() or not self.report.parent.is_dir()):
            raise InputError(f"--report {self.report}: expected the name of a file in a folder that exists")
