"""Output formats: one record and one writing function per format. The command line, its help, the server and the
documents read `WRITERS`; a new format is one entry and one function here.

Imports what a format needs when it is written, so that the command line's `--help` stays fast.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pose2mesh.errors import InputError

if TYPE_CHECKING:
    from pose2mesh.inference.predictor import Predictor
    from pose2mesh.motion.body_motion import BodyMotion
    from pose2mesh.motion.person_fitting import Rig
    from pose2mesh.pipelines.video.frame_reader import Video
    from pose2mesh.pipelines.video.video_result import VideoResult
    from pose2mesh.visualization.image_result import ImageResult
    from pose2mesh.visualization.overlay import OverlayParts

Kind = Literal["image", "video"]


@dataclass(frozen=True)
class Writer:
    """An output format of images or of videos.

    Attributes:
        kind: Kind of result that the format stores: an image or a video.
        name: Value of `--formats`.
        title: Description of the content, for display.
        write: `write(output, path)`, or `write(output, path, person)` with an index where `per_person`; `output` is an
            `ImageOutput` or a `VideoOutput`. None where the format only adds data to the files of other formats.
        suffix: End of the file name, after the stem of the input and, where `per_person`, the person's index.
        media_type: MIME type of a file.
        usual: Whether the format is written by default.
        per_person: Whether there is a file for each person, else one for all.
        needs_people: Whether the format is omitted where no person was detected.
        needs_body: Whether the format needs a model of the Anny body, which is fitted to each person.
        extra: Optional dependency group (extra) that the format requires.
    """

    kind: Kind
    name: str
    title: str
    write: Callable[..., None] | None
    suffix: str = ""
    media_type: str = ""
    usual: bool = True
    per_person: bool = False
    needs_people: bool = False
    needs_body: bool = False
    extra: str | None = None

    def file_name(self, stem: str, person: int) -> str:
        """The name of the file that holds a person."""
        return f"{stem}_{person}{self.suffix}" if self.per_person else f"{stem}{self.suffix}"


@dataclass(frozen=True, eq=False)
class ImageOutput:
    """Input of the writers of an image.

    Attributes:
        predictor: The model.
        result: The recovered people.
        overlay: Elements of the overlay.
        files: For each person, format to the name of the file that contains the person.
        rigs, rig_arrays: The fitted bodies, for the JSON and the NPZ file; empty where not requested.
    """

    predictor: Predictor
    result: ImageResult
    overlay: OverlayParts
    files: list[dict[str, str]]
    rigs: list[dict[str, Any]]
    rig_arrays: dict[str, Any]


@dataclass(frozen=True, eq=False)
class VideoOutput:
    """Input of the writers of a video.

    Attributes:
        stem: Start of the file names.
        result: The recovered people.
        video: The frames; None for keypoints alone.
        rig: The body fitted to the people; None where no format needs it.
        overlay: Elements of the overlay.
        files: For each person, format to the name of the file that contains the person.
        with_rig: Whether to add the fitted bodies to the JSON and the NPZ file.
    """

    stem: str
    result: VideoResult
    video: Video | None
    rig: Rig | None
    overlay: OverlayParts
    files: list[dict[str, str]]
    with_rig: bool

    @cached_property
    def motions(self) -> list[BodyMotion]:
        """Bone rotations of every person over all frames of the person, in memory."""
        upright = self.result.gravity.rotation
        return [replace(body.motion(), upright=upright) for body in self.result.people]


def _image_obj(output: ImageOutput, path: Path, person: int) -> None:
    from pose2mesh.io.mesh_files import write_obj

    write_obj(path, output.result.people[person].vertices, output.predictor.faces)


def _image_ply(output: ImageOutput, path: Path, person: int) -> None:
    from pose2mesh.io.mesh_files import write_ply

    write_ply(path, output.result.people[person].vertices, output.predictor.faces)


def _image_glb(output: ImageOutput, path: Path) -> None:
    from pose2mesh.io.mesh_files import in_unit, write_glb

    meshes = [
        (f"person_{index}", person.vertices_camera, output.predictor.faces, in_unit(colour))
        for index, (person, colour) in enumerate(zip(output.result.people, output.result.colours, strict=True))
    ]
    gravity = output.result.gravity
    write_glb(path, meshes, gravity.rotation, {"up": gravity.describe()})


def _image_json(output: ImageOutput, path: Path) -> None:
    from pose2mesh.io.mesh_files import write_json
    from pose2mesh.pipelines.image_document import describe_image

    write_json(path, describe_image(output.predictor, output.result, output.files, output.rigs))


def _image_npz(output: ImageOutput, path: Path) -> None:
    import numpy as np

    from pose2mesh.io.mesh_files import write_npz

    people, predictor = output.result.people, output.predictor
    # reshape: without people, too, the arrays have three dimensions
    vertices = np.array([person.vertices for person in people]).reshape(-1, len(predictor.template), 3)
    joints = np.array([person.joints for person in people]).reshape(-1, len(predictor.joint_set), 3)
    arrays: dict[str, Any] = {}
    poses = [person.pose for person in people if person.pose is not None]
    if people and len(poses) == len(people):
        arrays["rotations"] = np.array([pose.rotations for pose in poses])
        arrays["shape"] = np.array([pose.shape for pose in poses])
        arrays["size"] = np.array([pose.size for pose in poses], np.float32)
    errors = [person.expected_errors_m for person in people if person.expected_errors_m is not None]
    if people and len(errors) == len(people):
        arrays["expected_errors_m"] = np.array(errors)
    write_npz(path, vertices, joints, predictor.faces, **arrays, **output.rig_arrays)


def _image_overlay(output: ImageOutput, path: Path) -> None:
    from pose2mesh.visualization.hand_drawing import draw_hands
    from pose2mesh.visualization.overlay import draw_overlay
    from pose2mesh.visualization.renderer import PALETTE, save_image

    result, canvas = output.result, output.result.canvas()
    image = draw_overlay(canvas, result.people, output.predictor, result.colours or PALETTE, output.overlay)
    if output.overlay.joints or output.overlay.confidences:
        image = draw_hands(image, canvas, result.hands)
    save_image(path, image)


def _image_html(output: ImageOutput, path: Path) -> None:
    from pose2mesh.visualization.html_page import write_page
    from pose2mesh.visualization.scene import describe_frame

    result, predictor = output.result, output.predictor
    frame = describe_frame(
        predictor, result.people, result.canvas(), result.stem, result.identifiers, result.colours, result.gravity
    )
    write_page(path, result.stem, predictor, [frame])


def _video_mp4(output: VideoOutput, path: Path) -> None:
    from pose2mesh.pipelines.video.progress_bar import progress
    from pose2mesh.pipelines.video.video_writers import write_overlay

    with progress(output.stem, "drawing", output.result.frames) as step:
        write_overlay(path, output.result, output.video, output.overlay, step)


def _video_glb(output: VideoOutput, path: Path) -> None:
    from pose2mesh.motion.glb_writer import write_animated_glb
    from pose2mesh.pipelines.video.video_writers import track_colours

    assert output.rig is not None
    extras = {"up": output.result.gravity.describe()}
    write_animated_glb(path, output.rig.body, output.motions, track_colours(output.result), extras)


def _video_bvh(output: VideoOutput, path: Path, person: int) -> None:
    from pose2mesh.motion.bvh_writer import write_bvh

    assert output.rig is not None
    write_bvh(path, output.rig.body, output.motions[person])


def _video_npz(output: VideoOutput, path: Path) -> None:
    from pose2mesh.pipelines.video.video_writers import write_arrays

    write_arrays(path, output.result, output.with_rig)


def _video_json(output: VideoOutput, path: Path) -> None:
    from pose2mesh.pipelines.video.video_writers import write_description

    write_description(path, output.result, output.files, output.with_rig)


def _video_html(output: VideoOutput, path: Path) -> None:
    from pose2mesh.pipelines.video.video_page import write_video_page

    write_video_page(path, output.result, output.video)


WRITERS = (
    Writer(
        "image", "obj", "A mesh a person, for any 3D program", _image_obj, ".obj", "model/obj", per_person=True
    ),
    Writer(
        "image", "glb", "All people in one scene, for Blender, browsers and game engines", _image_glb, ".glb",
        "model/gltf-binary", needs_people=True,
    ),
    Writer("image", "json", "Joints, cameras, heights and confidences", _image_json, ".json", "application/json"),
    Writer(
        "image", "npz", "Vertices, joints and faces as NumPy arrays", _image_npz, ".npz", "application/octet-stream"
    ),
    Writer(
        "image", "ply", "A mesh a person, with normals", _image_ply, ".ply", "application/octet-stream", usual=False,
        per_person=True,
    ),
    Writer("image", "overlay", "Bodies drawn over the image", _image_overlay, "_overlay.png", "image/png"),
    Writer(
        "image", "html", "This view as one file that opens from disk", _image_html, ".html",
        "text/html; charset=utf-8", usual=False,
    ),
    Writer(
        "image", "rig", "Pose, shape and measurements of the body model, in json and npz", None, usual=False,
        needs_body=True, extra="video",
    ),
    Writer("video", "mp4", "Bodies drawn over the video", _video_mp4, "_overlay.mp4", "video/mp4", extra="video"),
    Writer(
        "video", "glb", "All people in one animated scene, with skeletons", _video_glb, ".glb", "model/gltf-binary",
        needs_people=True, needs_body=True, extra="video",
    ),
    Writer(
        "video", "bvh", "The motion of a person, for animation programs", _video_bvh, ".bvh", "text/plain",
        per_person=True, needs_body=True, extra="video",
    ),
    Writer(
        "video", "rig", "Pose, shape and measurements of the body model, in json and npz", None, needs_body=True,
        extra="video",
    ),
    Writer(
        "video", "npz", "Vertices, joints and tracks as NumPy arrays", _video_npz, ".npz", "application/octet-stream"
    ),
    Writer("video", "json", "Joints, cameras and confidences of every frame", _video_json, ".json", "application/json"),
    Writer(
        "video", "html", "A 3D view with a slider over the frames, as one file", _video_html, ".html",
        "text/html; charset=utf-8", usual=False,
    ),
)  # fmt: skip

FORMATS = tuple(dict.fromkeys(writer.name for writer in WRITERS))


def writers(kind: Kind) -> dict[str, Writer]:
    """The formats of images or of videos, by name."""
    return {writer.name: writer for writer in WRITERS if writer.kind == kind}


def chosen_formats(kind: Kind, names: tuple[str, ...] | None) -> tuple[str, ...]:
    """The formats to write: those named, or the usual ones for None.

    Raises:
        InputError: a format belongs to the other kind.
    """
    possible = writers(kind)
    if names is None:
        return tuple(name for name, writer in possible.items() if writer.usual)
    if not set(names) <= set(possible):
        what = "an image" if kind == "image" else "a video"
        raise InputError(f"--formats {','.join(names)}: expected some of {', '.join(possible)} for {what}")
    return names


def describe_formats() -> str:
    """The help of `--formats`."""

    def listed(kind: Kind) -> str:
        usual = [writer.name for writer in WRITERS if writer.kind == kind and writer.usual]
        others = [writer.name for writer in WRITERS if writer.kind == kind and not writer.usual]
        return f"{', '.join(usual)} (the default), {', '.join(others)}"

    return (
        f"Output formats, separated by commas. Images: {listed('image')}. Videos: {listed('video')}; overlay there "
        "means mp4. html is a page with a 3D view. rig fits the body model to every person and adds its pose, shape "
        "and measurements to json and npz."
    )


def name_files(kind: Kind, stem: str, people: int, formats: tuple[str, ...]) -> list[dict[str, str]]:
    """For each person, format to the name of the file that contains the person; the JSON file does not list itself."""
    listed = {name: writer for name, writer in writers(kind).items() if writer.write is not None and name != "json"}
    return [
        {name: listed[name].file_name(stem, index) for name in formats if name in listed} for index in range(people)
    ]


def write_files(kind: Kind, folder: Path, stem: str, people: int, formats: tuple[str, ...], output: Any) -> None:
    """Write the files of an image or a video into a folder that exists.

    Args:
        kind: Kind of `output`.
        folder, stem: Folder of the files, and start of their names.
        people: Number of people.
        formats: Names of the formats to write.
        output: An `ImageOutput` or a `VideoOutput`.

    Raises:
        InputError: a file cannot be written.
    """
    for name, writer in writers(kind).items():
        if name not in formats or writer.write is None or (writer.needs_people and not people):
            continue
        if writer.per_person:
            for person in range(people):
                writer.write(output, folder / writer.file_name(stem, person), person)
        else:
            writer.write(output, folder / writer.file_name(stem, 0))
