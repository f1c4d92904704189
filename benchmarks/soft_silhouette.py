"""Agreement of soft silhouettes with exact ones, and their cost.

    python benchmarks/soft_silhouette.py [--people 64]

Bodies of many shapes in procedural poses and random headings, at the nominal distance of the camera. Exact silhouettes
are rendered at 512 pixels and downsampled by averaging. Milliseconds are CPU time a person on one thread, forward and
backward.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

from pose2mesh.baselines.common.baseline_camera import NOMINAL_DISTANCE_M, project
from pose2mesh.baselines.common.body_layer import BodyLayer, BodyParameters
from pose2mesh.baselines.common.soft_silhouette import SoftSilhouette, overlap_loss
from pose2mesh.baselines.observation import Crops
from pose2mesh.body_models.default_body import default_body
from pose2mesh.datasets.synthetic.bodies import ShapeConfig
from pose2mesh.datasets.synthetic.pose_tree import to_local
from pose2mesh.datasets.synthetic.procedural_poses import sample_procedural
from pose2mesh.geometry.rotations import WORLD_TO_CAMERA, axis_rotation
from pose2mesh.skeletons import COCO
from pose2mesh.visualization import renderer

FINE_PX = 512


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=64)
    count = parser.parse_args().people
    torch.set_num_threads(1)
    layer = BodyLayer(default_body(), COCO)
    with torch.no_grad():
        bodies = sample_bodies(layer, count)
        vertices = layer.vertices(bodies)
        fine = exact_silhouettes(layer, bodies, vertices)
    print("balls  pixels  hard IoU  soft IoU  area, soft by exact  forwards ms  backwards ms")
    for balls in (150, 300, 600):
        for size in (32, 64):
            measure(SoftSilhouette(layer.body, balls, size), bodies, vertices, fine)


def sample_bodies(layer: BodyLayer, count: int) -> BodyParameters:
    """Sample bodies with the cameras of crops around their joints."""
    generator = torch.Generator().manual_seed(0)
    yaw = axis_rotation(2, 2 * torch.pi * torch.rand(count, generator=generator))
    orientations = (torch.tensor(WORLD_TO_CAMERA) @ yaw)[:, None] @ sample_procedural(count, generator)
    shape = layer.shape_of(ShapeConfig().sample(count, generator))
    bodies = BodyParameters(shape, to_local(orientations), torch.zeros(count), torch.zeros(count, 2))
    far = project(layer.joints(bodies), torch.ones(count), torch.zeros(count, 2))
    crops = Crops.around(1000 * far, torch.ones(far.shape[:2]))
    return BodyParameters(shape, bodies.rotations, (1000 / crops.half_px).log(), -crops.centre_px / 1000)


def exact_silhouettes(layer: BodyLayer, bodies: BodyParameters, vertices: torch.Tensor) -> torch.Tensor:
    """Exact masks (B, FINE_PX, FINE_PX): 1 inside the body, 0 elsewhere."""
    pixels = ((bodies.project(vertices) + 1) * (FINE_PX / 2) - 0.5).double().numpy()
    depth = (NOMINAL_DISTANCE_M + vertices[..., 2]).double().numpy()
    faces = layer.body.faces.numpy()
    masks = [renderer.silhouette(*person, faces, FINE_PX, FINE_PX) for person in zip(pixels, depth, strict=True)]
    return torch.from_numpy(np.stack(masks)).float()


def measure(silhouette: SoftSilhouette, bodies: BodyParameters, vertices: torch.Tensor, fine: torch.Tensor) -> None:
    """Measure one setting and print a row."""
    count = len(fine)
    target = torch.nn.functional.adaptive_avg_pool2d(fine, silhouette.size)
    points = vertices[:, silhouette.vertices].requires_grad_()
    begun = time.process_time()
    predicted = silhouette(points, bodies)
    between = time.process_time()
    loss = overlap_loss(predicted, target, torch.ones(count))
    loss.backward()
    ended = time.process_time()
    inside, full = predicted > 0.5, target > 0.5
    hard = ((inside & full).sum((1, 2)) / (inside | full).sum((1, 2))).mean()
    area = predicted.detach().sum((1, 2)) / target.sum((1, 2))
    print(
        f"{len(silhouette.share):5}  {silhouette.size:6}  {hard:8.3f}  {1 - loss.item():8.3f}"
        f"  {area.mean():12.3f} ± {area.std():.3f}"
        f"  {1000 * (between - begun) / count:11.2f}  {1000 * (ended - between) / count:12.2f}"
    )


if __name__ == "__main__":
    main()
