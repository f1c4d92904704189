"""The 2D detections of every frame on disk, written frame by frame, so that an interrupted run resumes there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pose2mesh.pipelines.video.array_file import ArrayFile
from pose2mesh.skeletons import JointSet


class DetectionStore:
    """The 2D joints of all people in every frame so far, in the model's joint set.

    Args:
        folder: Folder of the stored detections; existing ones are kept.
        joint_set: Joint set of the joints.
    """

    def __init__(self, folder: Path, joint_set: JointSet) -> None:
        # For each frame, the number of people up to and including it.
        self._ends = ArrayFile(folder / "frames.rows", np.int64)
        self._people = ArrayFile(folder / "detections.rows", np.float32, (len(joint_set), 3))
        self._people.cut(self.people)

    def __len__(self) -> int:
        """Number of frames."""
        return len(self._ends)

    @property
    def people(self) -> int:
        """Number of people in all frames together."""
        return int(self._ends[-1]) if len(self._ends) else 0

    def append(self, joints_px: NDArray[np.floating], confidence: NDArray[np.floating]) -> None:
        """Add the next frame: joints (D, J, 2) in pixels and confidences (D, J), 0 for a missing joint."""
        before = self.people
        if len(joints_px):
            self._people.append(np.concatenate([joints_px, confidence[..., None]], axis=2))
        self._ends.append(np.array([before + len(joints_px)]))  # written last: only then does the frame count as stored

    def __getitem__(self, frame: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """A frame's joints (D, J, 2) and confidences (D, J)."""
        start = int(self._ends[frame - 1]) if frame else 0
        people = self._people[start : int(self._ends[frame])]
        return people[..., :2], people[..., 2]
