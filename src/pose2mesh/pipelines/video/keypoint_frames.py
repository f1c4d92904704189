"""Reads keypoints of a video's frames from files of another detector.

Frame numbers come from the files: the last digits of an OpenPose file's name and the `image_id` of COCO
detection results, which leave out frames without people; COCO annotations and arrays (T, J, 2|3) of one person have
an image or a row for every frame. OpenPose's first file is frame 0, whatever its number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path

from pose2mesh.errors import InputError
from pose2mesh.io.keypoints import PoseInput, stream_keypoints

_NUMBER = re.compile(r"(\d+)(_keypoints)?$")
# With more consecutive frames missing than this, the numbers are not those of frames.
_LONGEST_PAUSE = 10_000


class KeypointFrames:
    """The people of each frame, from a keypoint file or folder.

    Args:
        path: A folder of OpenPose files, a COCO file, or an array (T, J, 2|3) of one person.
        joints: Order of the joints in arrays.
    """

    def __init__(self, path: Path, joints: str) -> None:
        self.path, self.joints = path, joints

    @property
    def size(self) -> tuple[int, int] | None:
        """(width, height) of the frames, where the file states it.

        Raises:
            InputError: as `frames`.
        """
        if self.path.suffix.lower() != ".json":  # OpenPose files and arrays do not state it
            return None
        sizes = (image.size for image in stream_keypoints(self.path, self.joints))
        return next((size for size in sizes if size is not None), None)

    def frames(self, start: int = 0) -> Iterator[list[PoseInput]]:
        """The people of each frame from `start` on; none in frames that the files leave out.

        Raises:
            InputError: the files cannot be read, or their numbers are not those of frames.
        """
        expected = 0
        for frame, people in self._numbered():
            if not 0 <= frame - expected <= _LONGEST_PAUSE:
                raise InputError(
                    f"{self.path}: frame {frame} follows {expected - 1}; expected rising numbers of a video's frames"
                )
            for _ in range(max(expected, start), frame):
                yield []
            if frame >= start:
                yield people
            expected = frame + 1

    def _numbered(self) -> Iterator[tuple[int, list[PoseInput]]]:
        if self.path.suffix.lower() in (".npy", ".npz"):
            (image,) = stream_keypoints(self.path, self.joints, minimum_joints=0)
            people = {person.identifier: person for person in image.people}
            for frame in range(len(people) + len(image.skipped)):  # identified by the row index
                yield frame, [people[frame]] if frame in people else []
            return
        if self.path.is_dir():
            yield from self._openpose()
            return
        images = list(stream_keypoints(self.path, self.joints))  # JSON is read whole anyway
        if all(image.image_name is None and isinstance(image.image_id, int) for image in images):
            yield from sorted(((int(image.image_id or 0), image.people) for image in images), key=itemgetter(0))
        else:
            yield from enumerate(image.people for image in images)

    def _openpose(self) -> Iterator[tuple[int, list[PoseInput]]]:
        numbers = {}
        for file in self.path.glob("*.json"):
            found = _NUMBER.search(file.stem)
            if found is None:
                raise InputError(f"{file}: has no number at the end of its name; expected that of the frame")
            numbers[file] = int(found[1])
        if not numbers:
            raise InputError(f"{self.path}: has no .json file; expected a folder of OpenPose files")
        files = sorted(numbers, key=lambda file: numbers[file])
        for file in files:
            (image,) = stream_keypoints(file, self.joints)
            yield numbers[file] - numbers[files[0]], image.people
