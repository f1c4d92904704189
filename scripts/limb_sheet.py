"""Draw the samples with the thinnest predicted limbs: the true mesh and those of one or more models.

    python scripts/limb_sheet.py CONFIG OUT.png [--model default after.safetensors] [--samples 480] [--seed 7]
        [--input gt|noisy] [--clips PATTERN …] [--count 12]

The samples are those of `pose2mesh evaluate --data CONFIG` with the same options. The thinnest limb of the first model
selects and orders them, so that further models are drawn for the same people. A row has the camera's views and then the
views from the side: the true mesh in grey, each model in a colour. The caption names kind of motion and number of the
sample, its thinnest limb, and that limb's radius with each model as a part of the true one. Bodies are seen in parallel
projection.
"""

from __future__ import annotations

import argparse
import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pose2mesh.body_models.default_body import default_body
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.config.train_config import load_config
from pose2mesh.datasets.synthetic.pose_sampling import PoseSource
from pose2mesh.datasets.synthetic.pose_sources import unchanged_poses
from pose2mesh.evaluation.motion_kinds import validation_clips
from pose2mesh.evaluation.surface_quality import LIMBS, SurfaceMeter
from pose2mesh.evaluation.synthetic_chunks import SyntheticTest, synthetic_chunks
from pose2mesh.evaluation.synthetic_evaluator import kind_tests
from pose2mesh.inference.predictor import Predictor
from pose2mesh.model_zoo import load_model
from pose2mesh.visualization import renderer

TILE_PX = 260
_TRUE = (150, 150, 155)


@dataclass(frozen=True, eq=False)
class ThinSample:
    """A sample and the predictions for it.

    Attributes:
        kind: Kind of motion.
        number: Number of the sample within its kind.
        limb: Index of the limb that is thinnest with the first model.
        ratios: (M,) radius of that limb with each model, as a part of the true one.
        meshes: (1 + M, V, 3) the true vertices, then those of each model; camera axes, metres, relative to the root.
    """

    kind: str
    number: int
    limb: int
    ratios: NDArray[np.floating]
    meshes: NDArray[np.floating]

    @property
    def caption(self) -> str:
        ratios = ", ".join(f"{ratio:.2f}" for ratio in self.ratios)
        return f"{self.kind} {self.number}: {LIMBS[self.limb].replace('_', ' ')} {ratios}"


def samples(
    predictors: Sequence[Predictor], source: PoseSource, kind: str, test: SyntheticTest, body: BodyModel
) -> Iterator[ThinSample]:
    """All samples of a kind of motion, with the predictions of all models, which have one joint set."""
    meter, number = SurfaceMeter(body), 0
    for chunk in synthetic_chunks(predictors[0], source, test, body):
        assert chunk.ground_truth.vertices is not None
        root = chunk.ground_truth.joints[:, predictors[0].joint_set.root_index, None]
        true = chunk.ground_truth.vertices - root
        cameras = chunk.cameras()[test.camera]
        predicted = [
            torch.from_numpy(predictor.run(chunk.pixels, chunk.confidence, cameras, chunk.images)[1])
            for predictor in predictors
        ]
        ratios = torch.stack([meter(vertices, true)["limb_radius"] for vertices in predicted], 1).numpy()
        meshes = torch.stack([true, *predicted], 1).numpy()
        for of_models, bodies in zip(ratios, meshes, strict=True):
            limb = int(of_models[0].argmin())
            yield ThinSample(kind, number, limb, of_models[:, limb], bodies)
            number += 1


def draw_row(sample: ThinSample, faces: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Row (TILE_PX, 2 · (1 + M) · TILE_PX, 3): all meshes from the camera, then from the side."""
    size = max(np.ptp(mesh, axis=0).max() for mesh in sample.meshes)
    tiles = []
    for axes in ([[1, 0, 0], [0, 1, 0], [0, 0, 1]], [[0, 0, -1], [0, 1, 0], [1, 0, 0]]):
        for index, mesh in enumerate(sample.meshes):
            turned = mesh @ np.array(axes, float).T
            middle = (turned.min(0) + turned.max(0)) / 2
            pixels = (turned - middle)[:, :2] * (0.94 * TILE_PX / size) + TILE_PX / 2
            colour = renderer.PALETTE[(index - 1) % len(renderer.PALETTE)] if index else _TRUE
            depth = turned[:, 2] + 10  # in front of the camera: only the order of depths matters
            drawn = renderer.ProjectedMesh(pixels, depth, turned, faces)
            canvas = renderer.plain_canvas(TILE_PX, TILE_PX)
            tiles.append(renderer.draw_people(canvas, [drawn], [colour], alpha=1.0))
    return np.concatenate(tiles, axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", nargs="+", default=["default"])
    parser.add_argument("--samples", type=int, default=480)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--input", choices=("gt", "noisy"), default="gt")
    parser.add_argument("--clips", nargs="+", default=[])
    parser.add_argument("--count", type=int, default=12)
    options = parser.parse_args()
    body, predictors = default_body(), [load_model(model) for model in options.model]
    clips = validation_clips(load_config(options.config, []).data, options.clips)
    parts = kind_tests(list(clips), SyntheticTest(options.samples, options.seed, options.input))
    found = (
        sample
        for kind, test in parts.items()
        for sample in samples(predictors, unchanged_poses(clips[kind]), kind, test, body)
    )
    worst = heapq.nsmallest(options.count, found, key=lambda sample: sample.ratios[0])
    rows = [draw_row(sample, predictors[0].faces) for sample in worst]
    height, width = (side * 3 // 4 for side in rows[0].shape[:2])
    columns = 2 if len(predictors) == 1 else 1
    sheet = renderer.contact_sheet(rows, [sample.caption for sample in worst], columns, (height, width))
    renderer.save_image(options.out, sheet)


if __name__ == "__main__":
    main()
