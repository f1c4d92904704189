"""Sample predictions of a finished run as files: meshes, coordinates and an image of all samples.

The samples are from validation; synthetic ones have no missing joints. 3D is relative to the root joint, in the axes of
a camera whose optical axis passes through the person, as in `datasets.batch.Batch`.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from pose2mesh.datasets.batch import Batch
from pose2mesh.datasets.source import DataSource
from pose2mesh.io.atomic_write import replacing
from pose2mesh.io.mesh_files import write_obj
from pose2mesh.metrics import BodyPoints, compute_errors
from pose2mesh.models.pose2mesh import Pose2Mesh
from pose2mesh.skeletons import JointSet
from pose2mesh.visualization import renderer

SAMPLE_COUNT = 8
SAMPLE_SEED = 11
TILE_PX = 220
_INPUT, _PREDICTED, _TRUE = (200, 60, 20), renderer.PALETTE[0], (150, 150, 150)


@dataclass(frozen=True)
class SamplePredictions:
    """Predictions and ground truth, root-relative, in metres.

    Attributes:
        joints_px: (N, J, 2) input joints.
        confidence: (N, J) confidences of the input joints.
        joints, true_joints: (N, J, 3).
        vertices, true_vertices: (N, V, 3), or None for a lifter.
        errors: Errors of each sample, by name, in millimetres.
    """

    joints_px: np.ndarray
    confidence: np.ndarray
    joints: np.ndarray
    true_joints: np.ndarray
    vertices: np.ndarray | None
    true_vertices: np.ndarray | None
    errors: list[dict[str, float]]


def write_samples(
    folder: Path, stage: Literal["posenet", "pose2mesh"], network: Pose2Mesh, faces: np.ndarray, data_source: DataSource
) -> None:
    """Write `sample_<i>.obj` (whole networks), `sample_<i>.csv` and `samples.png` for some validation samples.

    Args:
        folder: Made if need be; files of the same name are replaced.
        stage: Stage of the run.
        network: In evaluation mode, on the CPU.
        faces: (F, 3) of the body's mesh.
        data_source: Data source of the run.

    Raises:
        InputError: a file cannot be written.
    """
    samples = predict_samples(stage, network, data_source)
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(len(samples.errors)):
        _write_coordinates(folder / f"sample_{index}.csv", samples, index, network.joint_set)
        if samples.vertices is not None:
            write_obj(folder / f"sample_{index}.obj", samples.vertices[index], faces)
    tiles = [draw_tile(samples, index, network.joint_set, faces) for index in range(len(samples.errors))]
    captions = [f"{index}: {_describe(errors)}" for index, errors in enumerate(samples.errors)]
    sheet = renderer.contact_sheet(tiles, captions, columns=2, tile=tiles[0].shape[:2])
    renderer.save_image(folder / "samples.png", sheet)


def predict_samples(
    stage: Literal["posenet", "pose2mesh"], network: Pose2Mesh, data_source: DataSource
) -> SamplePredictions:
    """Predict validation samples, which are the same for every run on the same data, whatever its seed.

    Args:
        stage, network, data_source: See `write_samples`.
    """
    joint_set = network.joint_set
    generator = torch.Generator().manual_seed(SAMPLE_SEED)
    with torch.no_grad():
        batch, true_vertices = data_source.validation_samples(SAMPLE_COUNT, stage == "pose2mesh", generator)
        joints, vertices = _predict(stage, network, batch)
    prediction, ground_truth = BodyPoints(joints, vertices), BodyPoints(batch.joints, true_vertices)
    errors = compute_errors(prediction, ground_truth, joint_set, ("mpjpe", "pa_mpjpe", "mpvpe"))
    measures = {name.upper().replace("_", "-"): values for name, values in errors.items()}
    return SamplePredictions(
        batch.joints_px.numpy(),
        batch.confidence.numpy(),
        joints.numpy(),
        batch.joints.numpy(),
        None if vertices is None else vertices.numpy(),
        None if true_vertices is None else true_vertices.numpy(),
        [{name: 1000 * float(value[index]) for name, value in measures.items()} for index in range(len(joints))],
    )


def _predict(stage: str, network: Pose2Mesh, batch: Batch) -> tuple[Tensor, Tensor | None]:
    """Joints (N, J, 3) and, of a whole network, vertices (N, V, 3), both relative to the root joint."""
    root = network.joint_set.root_index
    if stage == "posenet":
        lifted = network.lift(batch.joints_px, batch.confidence).lifted
        return lifted - lifted[:, root, None], None
    joints, vertices, *_ = network.mesh(network(batch.joints_px, batch.confidence))
    return joints, vertices


def _describe(errors: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.1f} mm" for name, value in errors.items())


def _write_coordinates(path: Path, samples: SamplePredictions, index: int, joint_set: JointSet) -> None:
    """One sample's joints in millimetres, predicted and true, under a comment line with errors and frame."""
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        stream.write(
            f"# {_describe(samples.errors[index])}; relative to {joint_set.root}, x right, y down, z forward\n"
        )
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["joint", "x_mm", "y_mm", "z_mm", "true_x_mm", "true_y_mm", "true_z_mm", "error_mm"])
        for name, predicted, true in zip(
            joint_set.names, samples.joints[index], samples.true_joints[index], strict=True
        ):
            values = [*predicted, *true, np.linalg.norm(predicted - true)]
            writer.writerow([name, *(f"{1000 * value:.1f}" for value in values)])


def draw_tile(samples: SamplePredictions, index: int, joint_set: JointSet, faces: np.ndarray) -> np.ndarray:
    """Image (TILE, 5·TILE, 3) of a sample: input joints; prediction and ground truth from the front, then the side.

    The output of a whole network is a mesh, that of a lifter a skeleton; prediction and ground truth are orthographic
    and at one scale.
    """
    input_px = samples.joints_px[index]
    scale, shift = _fit(input_px)
    figure = input_px * scale + shift, samples.confidence[index]
    panels = [renderer.draw_skeleton(_panel("input"), *figure, joint_set.edges, _INPUT)]
    if samples.vertices is not None and samples.true_vertices is not None:
        shapes = samples.vertices[index], samples.true_vertices[index]
    else:
        shapes = samples.joints[index], samples.true_joints[index]
    for view in ("front", "side"):
        # From the side: depth becomes the horizontal axis.
        turned = [points if view == "front" else points[:, [2, 1, 0]] * (-1, 1, 1) for points in shapes]
        scale, shift = _fit(np.concatenate(turned)[:, :2])
        for name, colour, points in zip(("predicted", "true"), (_PREDICTED, _TRUE), turned, strict=True):
            canvas, px = _panel(f"{name}, {view}"), points[:, :2] * scale + shift
            if samples.vertices is None:
                panels.append(renderer.draw_skeleton(canvas, px, np.ones(len(px)), joint_set.edges, colour))
            else:
                depth = points[:, 2] + 10  # anywhere in front of the camera: only the order counts
                panels.append(renderer.render_mesh(canvas, px, depth, points, faces, colour, alpha=1.0))
    return np.concatenate(panels, axis=1)


def _fit(points: np.ndarray) -> tuple[float, np.ndarray]:
    """Scale and shift that bring points (N, 2) into a panel, under its title."""
    low, high = points.min(axis=0), points.max(axis=0)
    scale = 0.82 * TILE_PX / max(float((high - low).max()), 1e-6)
    return scale, np.array([TILE_PX / 2, TILE_PX * 0.54]) - scale * (low + high) / 2


def _panel(title: str) -> np.ndarray:
    """An empty panel (TILE, TILE, 3) with its title."""
    from PIL import Image, ImageDraw, ImageFont

    image = Image.fromarray(renderer.plain_canvas(TILE_PX, TILE_PX))
    ImageDraw.Draw(image).text((5, 3), title, fill=(90, 90, 90), font=ImageFont.load_default(size=13))
    return np.array(image)
