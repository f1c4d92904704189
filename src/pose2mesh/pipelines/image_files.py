"""Writes the output files of one image, after fitting the body model if a format needs it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pose2mesh.body_models.default_body import DEFAULT_BODY, default_body_installed
from pose2mesh.errors import InputError
from pose2mesh.inference.predictor import Predictor
from pose2mesh.io.extras import not_installed
from pose2mesh.pipelines.formats import ImageOutput, name_files, write_files, writers
from pose2mesh.visualization.image_result import ImageResult
from pose2mesh.visualization.overlay import USUAL_PARTS, OverlayParts

if TYPE_CHECKING:
    from pose2mesh.motion.person_fitting import Rig


def write_image_files(
    folder: Path,
    predictor: Predictor,
    result: ImageResult,
    formats: tuple[str, ...],
    overlay: OverlayParts = USUAL_PARTS,
) -> None:
    """Write the people of an image into a folder that exists, in formats of `formats.WRITERS`.

    Raises:
        InputError: a file cannot be written, or the body model cannot be fitted to the people.
    """
    people, stem = result.people, result.stem
    rigs: list[dict[str, Any]] = [{} for _ in people]
    rig_arrays: dict[str, Any] = {}
    if "rig" in formats:
        rig = find_rig(predictor)
        if people:
            from pose2mesh.motion.person_fitting import rig_people

            rigs, rig_arrays = rig_people(people, rig)
    files = name_files("image", stem, len(people), formats)
    output = ImageOutput(predictor, result, overlay, files, rigs, rig_arrays)
    write_files("image", folder, stem, len(people), formats, output)


def find_rig(predictor: Predictor) -> Rig:
    """The Anny body, for fitting to the meshes of a model.

    Raises:
        InputError: the model has another body, or Anny is not installed.
    """
    if predictor.info.body != DEFAULT_BODY:
        names = [name for name, writer in writers("video").items() if writer.needs_body]
        raise InputError(f"model {predictor.info.name!r} has another body than Anny, which {', '.join(names)} need")
    if not default_body_installed():
        raise InputError(not_installed("the Anny body", "video"))
    from pose2mesh.motion.person_fitting import load_rig

    return load_rig(predictor.joint_set.name)
