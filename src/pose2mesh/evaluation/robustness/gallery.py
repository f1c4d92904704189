"""Gallery of the worst cases: input joints, the predicted body over them, and the body from the side."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pose2mesh.evaluation.robustness.measure import GAP_ERROR, Case, Measures
from pose2mesh.inference.person import solve_camera
from pose2mesh.inference.predictor import Predictor
from pose2mesh.visualization import renderer

Floats: TypeAlias = NDArray[np.floating]
TILE_PX = 240
_INPUT, _TRUE = (200, 60, 20), (150, 150, 150)


def draw_gallery(measures: Measures, predictor: Predictor) -> NDArray[np.uint8]:
    """Draw the worst cases of a set in rows of three tiles: joints, body over joints, body from the side.

    True bodies, where known, are grey in the view from the side.
    """
    tiles = [_draw_case(case, measures, predictor) for case in measures.worst]
    captions = [caption(case, measures) for case in measures.worst]
    return renderer.contact_sheet(tiles, captions, columns=2, tile=(TILE_PX, tiles[0].shape[1]))


def caption(case: Case, measures: Measures) -> str:
    """Label of the sample and its error."""
    values, label = measures.values, measures.people.labels[case.index]
    if GAP_ERROR in values:
        return f"{label}: MPJPE {values[GAP_ERROR][case.index]:.0f} mm"
    return f"{label}: OKS {values['oks'][case.index]:.2f}"


def _draw_case(case: Case, measures: Measures, predictor: Predictor) -> NDArray[np.uint8]:
    people, index = measures.people, case.index
    pixels, confidence = people.joints_px[index].astype(np.float64), people.confidence[index]
    intrinsics = people.ground_truth.intrinsics[index] if people.ground_truth is not None else None
    camera = solve_camera(case.joints, pixels, confidence, intrinsics)
    mesh_px = camera.project(case.vertices.astype(np.float64))
    scale, shift = _fit(np.concatenate([mesh_px, pixels[confidence > 0]]))
    canvas = renderer.plain_canvas(TILE_PX, TILE_PX)
    joints = renderer.draw_skeleton(
        canvas, pixels * scale + shift, confidence, predictor.joint_set.edges, colour=_INPUT
    )
    depth = case.vertices[:, 2] + 10  # anywhere in front of the camera: only the order counts
    mesh = renderer.ProjectedMesh(mesh_px * scale + shift, depth, case.vertices, predictor.faces)
    over = renderer.draw_people(canvas, [mesh])
    over = renderer.draw_skeleton(over, pixels * scale + shift, confidence, predictor.joint_set.edges, colour=_INPUT)
    return np.concatenate([joints, over, _side_view(case, predictor)], axis=1)


def _side_view(case: Case, predictor: Predictor) -> NDArray[np.uint8]:
    """View along the image's x axis: depth becomes the horizontal axis."""
    bodies = [case.vertices] if case.true_vertices is None else [case.true_vertices, case.vertices]
    turned = [np.stack([-body[:, 2], body[:, 1], body[:, 0]], axis=1) for body in bodies]
    scale, shift = _fit(np.concatenate(turned)[:, :2])
    meshes = [
        renderer.ProjectedMesh(body[:, :2] * scale + shift, body[:, 2] + 10, body, predictor.faces) for body in turned
    ]
    colours = [_TRUE, renderer.PALETTE[0]][-len(bodies) :]
    return renderer.draw_people(renderer.plain_canvas(TILE_PX, TILE_PX), meshes, colours, alpha=0.85)


def _fit(points: Floats) -> tuple[float, Floats]:
    """Scale and shift (2,) that fit points (N, 2) into a tile."""
    low, high = points.min(0), points.max(0)
    scale = 0.92 * TILE_PX / max(float((high - low).max()), 1e-6)
    return scale, TILE_PX / 2 - scale * (low + high) / 2
