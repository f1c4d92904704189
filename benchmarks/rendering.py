"""Speed of rendering synthetic images on one core by the requested observations, and of the two z-buffers.

    python benchmarks/rendering.py [--chunks 8]

CPU time of one thread: the best chunk and the median, for poses sampled within joint limits. The z-buffer is compared
with `visualization.renderer.rasterise`, which is made for large faces, on the same bodies: time a person, and number
of pixels that differ.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from pose2mesh.baselines.observation import CROP_PX, Need
from pose2mesh.baselines.rendering.rasterizer import Rasteriser
from pose2mesh.baselines.rendering.rendering_config import CHUNK, RenderingConfig
from pose2mesh.baselines.rendering.sample_stream import SampleStream
from pose2mesh.body_models.default_body import default_body
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.datasets.synthetic.pose_sampling import PoseConfig, PoseSource
from pose2mesh.skeletons import COCO
from pose2mesh.visualization.renderer import rasterise

SOURCE = PoseSource(None, PoseConfig(procedural=1.0))
NEEDS: tuple[tuple[Need, ...], ...] = (
    (),
    ("landmarks",),
    ("silhouettes",),
    ("parts",),
    ("images",),
    ("images", "parts", "silhouettes", "landmarks"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=8)
    chunks = parser.parse_args().chunks
    torch.set_num_threads(1)
    body = default_body()
    print("| needs | ms a person, best | median | people a second, best |\n| --- | --- | --- | --- |")
    for needs in NEEDS:
        stream = SampleStream(body, COCO, SOURCE, RenderingConfig(), frozenset(needs))
        best, median = clock(lambda chunk, stream=stream: stream.sample(chunk, seed=0), range(chunks))
        name = ", ".join(needs) or "joints and ground truth alone"
        print(f"| {name} | {1e3 * best / CHUNK:.2f} | {1e3 * median / CHUNK:.2f} | {CHUNK / best:.0f} |")
    compare_rasterisers(body, chunks)


def compare_rasterisers(body: BodyModel, count: int) -> None:
    """Time and compare both z-buffers on bodies near the middle of crops, as in `SampleStream`."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        posed = body(torch.rand(count, 6, generator=generator), SOURCE.sample(count, generator))
    vertices = (posed[..., [0, 2, 1]] * torch.tensor([1.0, -1.0, 1.0])).numpy()
    depth = vertices[..., 2] + 4
    places = vertices[..., :2] / depth[..., None] * 240 + CROP_PX / 2
    faces = body.faces.numpy()
    fast = Rasteriser(faces, CROP_PX)
    best, _ = clock(lambda person: fast(places[person], depth[person]), range(count))
    exact, _ = clock(lambda person: rasterise(places[person], depth[person], faces, CROP_PX, CROP_PX), range(count))
    differ, covered = 0, 0
    for person in range(count):
        expected = rasterise(places[person], depth[person], faces, CROP_PX, CROP_PX).face_index.ravel()
        found = np.full_like(expected, -1)
        pixels, face = fast(places[person], depth[person])
        found[pixels] = face
        differ, covered = differ + int((found != expected).sum()), covered + len(pixels)
    print(
        f"\nz-buffer: {1e3 * best:.2f} ms, render.rasterise {1e3 * exact:.2f} ms; {differ} of {covered} pixels differ"
    )


def clock(call: Callable[[int], object], numbers: Sequence[int]) -> tuple[float, float]:
    """Least and median CPU seconds of calls with each number, after a warm-up call."""
    call(numbers[0])
    times = []
    for number in numbers:
        start = time.process_time()
        call(number)
        times.append(time.process_time() - start)
    return min(times), float(np.median(times))


if __name__ == "__main__":
    main()
