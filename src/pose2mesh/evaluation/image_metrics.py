"""2D agreement of predicted bodies with images: OKS of the reprojected joints and IoU of the silhouettes.

Images have no 3D ground truth; the two measures show whether a body is projected onto the person. The same measures of
a body in one fixed pose show how much the camera fit alone achieves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pose2mesh import metrics
from pose2mesh.errors import InputError, one_line
from pose2mesh.inference.person import Camera, solve_camera
from pose2mesh.inference.predictor import Predictor
from pose2mesh.inference.refinement import refine_people
from pose2mesh.io.body_mask import body_mask, polygon_corners
from pose2mesh.io.image_lookup import match_images
from pose2mesh.io.images import read_image, resize_image
from pose2mesh.io.keypoints import ImageInput, PoseInput, read_keypoints
from pose2mesh.skeletons import COCO, COCO17
from pose2mesh.visualization import renderer

MIN_LABELLED_JOINTS = 12  # fewer labelled joints say little about a whole body


def evaluate_keypoints(
    predictor: Predictor,
    annotations: Path,
    images: Path,
    still_poses: dict[str, tuple[NDArray[np.floating], NDArray[np.floating]]] | None = None,
    refine: bool = False,
) -> dict[str, Any]:
    """Mean OKS and silhouette IoU over the people with at least 12 labelled joints and a polygon mask.

    Args:
        predictor: A model of the coco joint set.
        annotations: A COCO keypoint file with masks.
        images: Folder of the images. Only their sizes are used, unless the model takes images. People in images that
            are not in the folder are left out.
        still_poses: Name to root-relative joints (19, 3) and vertices (V, 3), metres, camera axes: fixed bodies that
            are measured beside the model under the same camera fit.
        refine: Whether the bodies are moved to the labelled joints and the masks (`inference.refinement`).

    Returns:
        `oks` and `iou` of the model, `NAME_oks` and `NAME_iou` of each still pose, and the number of `people`.

    Raises:
        InputError: the model has other joints, a file cannot be used, or no person in it can be measured.
    """
    if predictor.joint_set is not COCO:
        raise InputError(f"model {predictor.info.name!r} has joint set {predictor.joint_set.name!r}; expected 'coco'")
    scores: dict[str, list[tuple[float, float]]] = {"": []}
    for person, mask, file in measurable_people(annotations, images):
        size = mask.shape[1], mask.shape[0]
        image = resize_image(read_image(file, size), size) if predictor.needs_image else None
        found = predictor.recover_converted(
            person.joints_px[None], person.confidence[None], image_size=size, image=image
        )[0]
        if refine:
            (found,) = refine_people(predictor, [found], [body_mask(person.mask)])
        bodies = {"": (found.joints, found.vertices, found.camera)}
        for name, (joints, vertices) in (still_poses or {}).items():
            camera = solve_camera(joints, person.joints_px, person.confidence, None, size)
            bodies[f"{name}_"] = (joints, vertices, camera)
        for prefix, (joints, vertices, camera) in bodies.items():
            score = score_person(person, mask, joints, vertices, camera, predictor.faces)
            scores.setdefault(prefix, []).append(score)
    people = len(scores[""])
    if not people:
        raise InputError(
            f"{annotations}: no person has {MIN_LABELLED_JOINTS} labelled joints and a polygon mask; expected one"
        )
    results: dict[str, Any] = {"model": predictor.info.name, "input": "gt", "people": people}
    if refine:
        results["refined"] = True
    for prefix, values in scores.items():
        oks, iou = np.mean(values, axis=0)
        results[f"{prefix}oks"], results[f"{prefix}iou"] = round(float(oks), 3), round(float(iou), 3)
    return results


def measurable_people(annotations: Path, images: Path) -> Iterator[tuple[PoseInput, NDArray[np.bool_], Path]]:
    """People with at least 12 labelled joints and a polygon mask in the available images, with mask and image file.

    Raises:
        InputError: a file cannot be used.
    """
    inputs = read_keypoints(annotations)
    files = match_images(inputs, images)
    for image in inputs:
        if image.stem in files:
            file = files[image.stem]
            for person, mask in measurable_in_image(image, _size(file, image.size), annotations):
                yield person, mask, file


def measurable_in_image(
    image: ImageInput, size: tuple[int, int], annotations: Path
) -> Iterator[tuple[PoseInput, NDArray[np.bool_]]]:
    """`measurable_people` of one image of `size` (width, height); errors name the file `annotations`."""
    for person in image.people:
        labelled = int((person.confidence[: len(COCO17)] > 0).sum())
        if labelled >= MIN_LABELLED_JOINTS and isinstance(person.mask, list):
            yield person, polygon_mask(person.mask, size, f"{annotations}: annotation {person.identifier}")


def _size(file: Path, expected: tuple[int, int] | None) -> tuple[int, int]:
    """(width, height) of an image file, which must be the annotated size, upright or as stored."""
    from PIL import Image

    try:
        with Image.open(file) as image:
            size = image.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{file}: cannot be read as an image ({one_line(error)})") from error
    if expected not in (None, size, size[::-1]):
        raise InputError(f"{file}: is {size[0]}x{size[1]} pixels; expected {expected[0]}x{expected[1]} as annotated")
    return expected or size


def score_person(
    person: PoseInput,
    mask: NDArray[np.bool_],
    joints: NDArray[np.floating],
    vertices: NDArray[np.floating],
    camera: Camera,
    faces: NDArray[np.integer],
) -> tuple[float, float]:
    """OKS over the labelled joints, with the area of the mask as the person's, and IoU of silhouette and mask."""
    labelled = person.confidence > 0
    labelled[len(COCO17) :] = False
    similarity = metrics.object_keypoint_similarity(
        torch.from_numpy(camera.project(joints))[None],
        torch.from_numpy(person.joints_px).double()[None],
        torch.tensor([float(mask.sum())]),
        torch.tensor(COCO.oks_sigmas, dtype=torch.float64),
        torch.from_numpy(labelled)[None],
    )
    depth = vertices[:, 2] + camera.translation_m[2]
    silhouette = renderer.silhouette(camera.project(vertices), depth, faces, *mask.shape)
    union = float((silhouette | mask).sum())
    return float(similarity), float((silhouette & mask).sum()) / union if union else 0.0


def polygon_mask(polygons: Sequence[Any], size: tuple[int, int], where: str = "mask") -> NDArray[np.bool_]:
    """COCO polygons of one person (flat lists x, y, x, y … of pixels) as a mask (H, W).

    Args:
        polygons: The value of `segmentation` in the file.
        size: (width, height).
        where: Name of the annotation in an error.

    Raises:
        InputError: a polygon is not a list of at least three pairs of pixels.
    """
    from PIL import Image, ImageDraw

    image = Image.new("1", size)
    draw = ImageDraw.Draw(image)
    for polygon in polygons:
        draw.polygon([(float(x), float(y)) for x, y in polygon_corners(polygon, where)], fill=1)
    return np.asarray(image)
