"""Accuracy and speed of fitting the body model to meshes: residuals, bone angles, milliseconds a person, on one core.

    python benchmarks/fitting.py [--people 96]

Bodies with training shapes in poses within joint limits: exact, with noise on every vertex, and with 24 frames a
person.
"""

from __future__ import annotations

import argparse
import time

import torch

from pose2mesh.body_models.body_fitting import BodyFitter
from pose2mesh.body_models.default_body import default_body
from pose2mesh.datasets.synthetic.bodies import ShapeConfig
from pose2mesh.datasets.synthetic.procedural_poses import sample_procedural
from pose2mesh.skeletons import COCO


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=96)
    count = parser.parse_args().people
    torch.set_num_threads(1)
    body = default_body()
    generator = torch.Generator().manual_seed(2)
    phenotypes, orientations = ShapeConfig().sample(count, generator), sample_procedural(count, generator)
    person = torch.arange(count) // 24
    with torch.no_grad():
        vertices, shared = (body(shapes, orientations) for shapes in (phenotypes, phenotypes[person]))
    regressor = body.regressor(COCO)
    meshes, joints = BodyFitter(body), BodyFitter(body, regressor)
    print(f"{'':24}{'residual':>10}{'surface':>10}{'worst':>10}{'angle':>8}{'ms/frame':>10}")
    for name, fitter, true_vertices, points, person_of in (
        ("exact", meshes, vertices, vertices, None),
        ("2 mm noise", meshes, vertices, noisy(vertices, 0.002, generator), None),
        ("10 mm noise", meshes, vertices, noisy(vertices, 0.01, generator), None),
        ("10 mm, 24 frames each", meshes, shared, noisy(shared, 0.01, generator), person),
        ("19 joints", joints, vertices, regressor @ vertices, None),
    ):
        start = time.perf_counter()
        fit = fitter(points, person_of)
        elapsed_ms = 1000 * (time.perf_counter() - start) / count
        error_mm = 1000 * (fit.vertices(body) - true_vertices).norm(dim=-1).mean(1)
        cosine = ((fit.orientations.mT @ orientations).diagonal(dim1=-1, dim2=-2).sum(-1) - 1) / 2
        angle = torch.rad2deg(torch.arccos(cosine.clamp(-1, 1))).mean()
        print(f"{name:24}{fit.residual_mm.mean():10.2f}{error_mm.mean():10.2f}{error_mm.max():10.2f}", end="")
        print(f"{angle:8.2f}{elapsed_ms:10.1f}")


def noisy(vertices: torch.Tensor, spread_m: float, generator: torch.Generator) -> torch.Tensor:
    return vertices + spread_m * torch.randn(vertices.shape, generator=generator)


if __name__ == "__main__":
    main()
