"""How well recovered bodies meet photos: keypoint similarity of the reprojected joints, overlap of the silhouettes.

Photos have no 3D truth; these two say whether a body lies where the person is seen. A body in one fixed pose under the
same camera fit is the measure of what the fit alone achieves.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pose2mesh import metrics, render
from pose2mesh.data.keypoints import PoseInput, match_images, read_keypoints
from pose2mesh.predict import Camera, Recovery, solve_camera
from pose2mesh.skeletons import COCO, COCO17

LEAST_LABELLED = 12  # people with fewer labelled joints say little about a whole body


def evaluate_keypoints(
    recovery: Recovery,
    annotations: Path,
    images: Path,
    still_poses: dict[str, tuple[NDArray[np.floating], NDArray[np.floating]]] | None = None,
) -> dict[str, Any]:
    """Mean OKS and silhouette IoU over the people with at least 12 labelled joints.

    Args:
        recovery: A model of the coco joint set.
        annotations: A COCO keypoint file with masks.
        images: The folder of its photos; only their sizes are used.
        still_poses: Name to root-relative joints (19, 3) and vertices (V, 3), metres, camera axes: bodies that do not
            follow the person, to be measured beside the model under the same camera fit.
    """
    scores: dict[str, list[tuple[float, float]]] = {"model": []}
    people = 0
    pictures = read_keypoints(annotations)
    match_images(pictures, images)
    for picture in pictures:
        for person in picture.people:
            labelled = int((person.confidence[: len(COCO17)] > 0).sum())
            if labelled < LEAST_LABELLED or picture.size is None or not isinstance(person.mask, list):
                continue
            people += 1
            mask = polygon_mask(person.mask, picture.size)
            found = recovery.recover_converted(
                person.joints_px[None], person.confidence[None], image_size=picture.size
            )[0]
            scores["model"].append(
                _score(person, mask, found.joints, found.vertices, found.camera, recovery.faces, picture.size)
            )
            for name, (joints, vertices) in (still_poses or {}).items():
                camera = solve_camera(joints, person.joints_px, person.confidence, None, picture.size)
                scores.setdefault(name, []).append(
                    _score(person, mask, joints, vertices, camera, recovery.faces, picture.size)
                )
    results: dict[str, Any] = {"model": recovery.bundle.info.name, "people": people}
    for name, values in scores.items():
        prefix = "" if name == "model" else f"{name}_"
        oks, iou = np.array(values).T if values else (np.full(1, np.nan), np.full(1, np.nan))
        results[f"{prefix}oks"], results[f"{prefix}iou"] = round(float(oks.mean()), 3), round(float(iou.mean()), 3)
    return results


def _score(
    person: PoseInput,
    mask: NDArray[np.bool_],
    joints: NDArray[np.floating],
    vertices: NDArray[np.floating],
    camera: Camera,
    faces: NDArray[np.integer],
    size: tuple[int, int],
) -> tuple[float, float]:
    seen = person.confidence > 0
    seen[len(COCO17) :] = False
    similarity = metrics.object_keypoint_similarity(
        torch.from_numpy(camera.project(joints))[None],
        torch.from_numpy(person.joints_px).double()[None],
        torch.tensor([float(mask.sum())]),
        torch.tensor(COCO.oks_sigmas, dtype=torch.float64),
        torch.from_numpy(seen)[None],
    )
    depth = vertices[:, 2] + camera.translation_m[2]
    shape = render.silhouette(camera.project(vertices), depth, faces, size[1], size[0])
    union = float((shape | mask).sum())
    return float(similarity), float((shape & mask).sum()) / union if union else 0.0


def polygon_mask(polygons: Sequence[Sequence[float]], size: tuple[int, int]) -> NDArray[np.bool_]:
    """COCO polygons (flat lists x, y, x, y …) of one person as a mask (H, W); `size` is (width, height)."""
    from PIL import Image, ImageDraw

    image = Image.new("1", size)
    draw = ImageDraw.Draw(image)
    for polygon in polygons:
        draw.polygon([(polygon[i], polygon[i + 1]) for i in range(0, len(polygon) - 1, 2)], fill=1)
    return np.asarray(image)
