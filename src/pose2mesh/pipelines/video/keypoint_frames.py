"""Keypoints of a video's frames, from files: for people with a detector of their own.

The number of a frame is what the file says: the last digits of an OpenPose file's name and the `image_id` of COCO
detection results, which leave out frames without anybody; COCO annotations and arrays (T, J, 2|3) of one person have a
picture or a row for every frame. OpenPose's first file is frame 0, whatever its number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path

from pose2mesh.errors import InputError
from pose2mesh.io.keypoints import PoseInput, stream_keypoints

_NUMBER = re.compile(r"(\d+)(_keypoints)?$")
# More frames without a file than this, in a row, and the numbers are no frames'.
_LONGEST_PAUSE = 10_000


class KeypointFrames:
    """Frame by frame, everyone in a keypoint file or folder.

    Args:
        path: A folder of OpenPose files, a COCO file, or an array (T, J, 2|3) of one person.
        joints: The order of the joints in arrays.
    """

    def __init__(self, path: Path, joints: str) -> None:
        self.path, self.joints = path, joints

    @property
    def size(self) -> tuple[int, int] | None:
        """(width, height) of the frames, where the file has it.

        Raises:
            InputError: as `frames`.
        """
        if self.path.suffix.lower() != ".json":  # OpenPose and arrays do not have it
            return None
        sizes = (picture.size for picture in stream_keypoints(self.path, self.joints))
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
            (picture,) = stream_keypoints(self.path, self.joints, minimum_joints=0)
            people = {person.identifier: person for person in picture.people}
            for frame in range(len(people) + len(picture.skipped)):  # identified by their rows
                yield frame, [people[frame]] if frame in people else []
            return
        if self.path.is_dir():
            yield from self._openpose()
            return
        pictures = list(stream_keypoints(self.path, self.joints))  # JSON is read whole anyway
        if all(picture.image_name is None and isinstance(picture.image_id, int) for picture in pictures):
            yield from sorted(((int(picture.image_id or 0), picture.people) for picture in pictures), key=itemgetter(0))
        else:
            yield from enumerate(picture.people for picture in pictures)

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
            (picture,) = stream_keypoints(file, self.joints)
            yield numbers[file] - numbers[files[0]], picture.people
