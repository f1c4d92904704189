"""The people detected in every frame on disk, written frame by frame, so that an interrupted run resumes there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose2mesh.motion import person_colours
from pose2mesh.pipelines.video.array_file import ArrayFile
from pose2mesh.skeletons import JointSet


def person_dtype(joint_set: JointSet) -> np.dtype[Any]:
    """One detected person, a row of a `DetectionStore`.

    Fields:
        joints_px: (J, 2) in pixels, in the model's joint set.
        confidence: (J,), 0 for a missing joint.
        joints3d_m: (J, 3) 3D joints that the detector estimated from the image, metres; NaN where missing.
        score: Score of the person in [0, 1].
        colours: (R, B) descriptor of the person's colours, see `motion.person_colours`; 0 without an image.

    A further field of what a detector estimates needs a line here and one where the rows are made (`frame_detections`).
    """
    J = len(joint_set)
    fields = [
        ("joints_px", "<f4", (J, 2)),
        ("confidence", "<f4", (J,)),
        ("joints3d_m", "<f4", (J, 3)),
        ("score", "<f4"),
        ("colours", "<f4", (len(person_colours.REGIONS), person_colours.BINS)),
    ]
    return np.dtype(fields, align=True)  # PyTorch requires aligned floats


class DetectionStore:
    """The people of every frame so far, as rows of `person_dtype`.

    Args:
        folder: Folder of the stored detections; existing ones are kept.
        joint_set: Joint set of the joints.
    """

    def __init__(self, folder: Path, joint_set: JointSet) -> None:
        # For each frame, the number of people up to and including it.
        self._ends = ArrayFile(folder / "frames.rows", np.int64)
        self._people = ArrayFile(folder / "detections.rows", person_dtype(joint_set))
        self._people.cut(self.people)

    def __len__(self) -> int:
        """Number of frames."""
        return len(self._ends)

    @property
    def people(self) -> int:
        """Number of people in all frames together."""
        return int(self._ends[-1]) if len(self._ends) else 0

    def append(self, people: NDArray[Any]) -> None:
        """Add the next frame's people, rows (D,) of `person_dtype`."""
        before = self.people
        if len(people):
            self._people.append(people)
        self._ends.append(np.array([before + len(people)]))  # written last: only then does the frame count as stored

    def __getitem__(self, frame: int) -> NDArray[Any]:
        """A frame's people, rows (D,) of `person_dtype`."""
        start = int(self._ends[frame - 1]) if frame else 0
        return self._people[start : int(self._ends[frame])]
