"""MediaPipe on real images. The lower bounds are slightly below the measured values (docs/detectors.md)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pose2mesh.detectors.detection import Detection
from pose2mesh.detectors.mediapipe_pose import MediaPipeDetector, square_around, tiles
from pose2mesh.detectors.registry import load_detector
from pose2mesh.errors import InputError
from pose2mesh.io.image_lookup import match_images
from pose2mesh.io.images import read_image
from pose2mesh.io.keypoints import PoseInput, read_keypoints


@pytest.fixture(scope="session")
def task(shared_models: Path) -> Path:
    try:
        MediaPipeDetector.require()
    except InputError as error:
        pytest.skip(str(error))
    return shared_models / "pose_landmarker_full.task"


@pytest.fixture(scope="session")
def detector(task: Path) -> MediaPipeDetector:
    return MediaPipeDetector(task)


LabelledImage = tuple[NDArray[np.uint8], list[PoseInput]]


@pytest.fixture(scope="session")
def images(shared_data: Path) -> list[LabelledImage]:
    """Every second image, with the people who have at least eight labelled joints."""
    folder = shared_data / "coco_mini"
    annotated = read_keypoints(folder / "person_keypoints.json", minimum_joints=8)
    files = match_images(annotated, folder / "images")
    return [(read_image(files[each.stem]), each.people) for each in annotated if each.people][::2]


def labelled(person: PoseInput) -> Iterator[tuple[int, NDArray[np.float32]]]:
    return ((joint, person.joints_px[joint]) for joint in range(17) if person.confidence[joint] > 0)


def share_correct(found: Detection, person: PoseInput) -> float:
    """PCK@0.1: the share of the labelled joints within a tenth of the box's longer side."""
    assert person.box_px is not None
    near = 0.1 * max(person.box_px[2:])
    return float(
        np.mean([np.hypot(*(found.joints_px[joint] - ground_truth)) < near for joint, ground_truth in labelled(person)])
    )


def best_shares(images: list[LabelledImage], found: list[list[Detection]]) -> NDArray[np.floating]:
    """Best share of correct joints of each labelled person, 0 if not detected."""
    return np.array(
        [
            max((share_correct(each, person) for each in detections), default=0.0)
            for (_, people), detections in zip(images, found, strict=True)
            for person in people
        ]
    )


def boxes_of(people: list[PoseInput]) -> NDArray[np.float32]:
    """Left, top, right, bottom of the labelled boxes, (P, 4)."""
    boxes = np.array([person.box_px for person in people], np.float32)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def test_people_are_detected_and_tiles_detect_more(
    detector: MediaPipeDetector, task: Path, images: list[LabelledImage]
) -> None:
    found = [detector(image) for image, _ in images]
    plain = MediaPipeDetector(task, scales=())
    shares, shares_without_tiles = (
        best_shares(images, found),
        best_shares(images, [plain(image) for image, _ in images]),
    )
    assert len(shares) == 27
    assert shares.mean() > 0.32  # measured: 0.357
    assert shares_without_tiles.mean() < shares.mean() - 0.05  # measured: 0.280
    is_large = [max(each.box_px[2:]) > 0.5 * max(image.shape) for image, people in images for each in people]
    assert shares[is_large].mean() > 0.55  # measured: 0.637
    for people in found:
        scores = [person.score for person in people]
        assert scores == sorted(scores, reverse=True)
        assert all(0 < score <= 1 for score in scores)


def test_known_boxes_give_one_pose_each(detector: MediaPipeDetector, images: list[LabelledImage]) -> None:
    shares = []
    for image, people in images:
        boxes = boxes_of(people)
        found = detector(image, boxes)
        np.testing.assert_array_equal([each.box_px for each in found], boxes)
        shares += [share_correct(each, person) * (each.score > 0) for each, person in zip(found, people, strict=True)]
    assert np.mean(shares) > 0.45  # measured: 0.499


def test_a_box_without_a_person_gives_a_pose_without_confidence(
    detector: MediaPipeDetector, images: list[LabelledImage]
) -> None:
    (empty,) = detector(np.zeros_like(images[0][0]), np.array([[50, 50, 150, 250]]))
    assert empty.score == 0
    assert (empty.confidence == 0).all()


def test_a_person_detector_replaces_the_tiles(task: Path, images: list[LabelledImage]) -> None:
    image, people = next((image, people) for image, people in images if len(people) == 1)
    (box,) = boxes_of(people)
    shapes: list[tuple[int, ...]] = []

    def person_detector(image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        shapes.append(image.shape)
        return np.stack([box, box + 2]), np.ones(2, np.float32)

    found = MediaPipeDetector(task, person_detector)(image)
    assert shapes == [image.shape]
    assert len(found) == 1
    assert share_correct(found[0], people[0]) > 0.5


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (40, 40)])
def test_an_empty_image_of_any_size_has_no_detections(detector: MediaPipeDetector, shape: tuple[int, int]) -> None:
    assert detector(np.zeros((*shape, 3), np.uint8)) == []


def test_mediapipe_prints_nothing(task: Path, shared_data: Path) -> None:
    image = next((shared_data / "coco_mini" / "images").glob("*.jpg"))
    program = (
        "import numpy, PIL.Image; from pathlib import Path; from pose2mesh.detectors.registry import load_detector; "
        f"detector = load_detector('mediapipe', (Path({str(task)!r}),)); "
        f"detector(numpy.asarray(PIL.Image.open({str(image)!r}).convert('RGB')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == done.stdout == ""


@pytest.mark.parametrize("content", [b"", b"not a model"])
def test_a_file_that_is_no_model_is_refused(task: Path, content: bytes, tmp_path: Path) -> None:
    (tmp_path / "bad.task").write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.task: is not a pose model of MediaPipe"):
        load_detector("mediapipe", (tmp_path / "bad.task",))


def test_a_library_that_lacks_gl_says_what_to_install(task: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mediapipe.tasks.python.vision import PoseLandmarker

    def fail(*_: object) -> None:
        raise OSError("libEGL.so.1: cannot open shared object file")

    monkeypatch.setattr(PoseLandmarker, "create_from_options", fail)
    with pytest.raises(InputError, match=r"libEGL\.so\.1: cannot open .*apt-get install libgl1 libegl1 libgles2"):
        MediaPipeDetector(task)


def test_files_that_are_not_its_own_are_refused(task: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.bin"
    other.touch()
    with pytest.raises(InputError, match=r"other\.bin: expected a \.task file"):
        load_detector("mediapipe", (task, other))


@pytest.mark.parametrize("shape", [(100, 160), (160, 100), (90, 90)])
def test_tiles_cover_the_image_and_overlap_by_half(shape: tuple[int, int]) -> None:
    image = np.zeros((*shape, 3), np.uint8)
    count = np.zeros(shape, int)
    for left, top, right, bottom in np.array(list(tiles(image, (0.6,)))).astype(int):
        assert right - left == bottom - top == int(0.6 * min(shape))
        count[top:bottom, left:right] += 1
    assert count.min() >= 1
    assert np.median(count) >= 2


def test_the_crop_of_the_second_run_is_a_square_around_the_person() -> None:
    np.testing.assert_allclose(square_around(np.array([10.0, 20.0, 30.0, 60.0]), 1.5), [-10, 10, 50, 70])
