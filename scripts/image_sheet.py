"""Draw a sheet of synthetic inputs of the learned baselines: images, part maps and silhouettes with the 2D joints.

    python scripts/image_sheet.py [--motions BVH_FOLDER] [--seed 0] [--chunk 0] [--exact] [--out FILE.png]

Poses are sampled within joint limits, or from the training clips of a folder. 24 people in four columns, each with the
image, the body parts and the silhouette side by side; `--exact` leaves out the detector errors of parts, silhouettes
and joints.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from pose2mesh.baselines.observation import CROP_PX, MAP_PX, Observation
from pose2mesh.baselines.rendering.rendering_config import RenderingConfig
from pose2mesh.baselines.rendering.sample_stream import SampleStream
from pose2mesh.body_models.default_body import default_body
from pose2mesh.datasets.data_config import DataConfig
from pose2mesh.datasets.synthetic.detection_noise import measured_noise
from pose2mesh.datasets.synthetic.pose_sampling import PoseConfig, PoseSource
from pose2mesh.datasets.synthetic.pose_sources import pose_sources
from pose2mesh.io.mesh_files import atomic_write
from pose2mesh.skeletons import COCO
from pose2mesh.visualization import renderer

ROOT = Path(__file__).parents[1]
PEOPLE, COLUMNS = 24, 4
# Head and torso, then arms, legs and feet: left parts in warm colours, right ones in cold.
PART_COLOURS = (
    (250, 225, 190), (130, 130, 130), (230, 60, 50), (50, 120, 230), (250, 140, 60), (80, 190, 240),
    (190, 40, 120), (40, 60, 170), (240, 110, 180), (110, 110, 220), (250, 200, 60), (60, 190, 150),
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--motions", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--chunk", type=int, default=0)
    parser.add_argument("--exact", action="store_true")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/baselines/images.png")
    options = parser.parse_args()
    source = PoseSource(None, PoseConfig(procedural=1.0))
    if options.motions is not None:
        split = ROOT / "configs/mocap_split.yaml"
        source, _ = pose_sources(DataConfig(motions=str(options.motions), split=str(split)))
    config = RenderingConfig()
    if options.exact:
        synthetic = replace(config.synthetic, noise=measured_noise("gt", COCO))
        config = replace(config, synthetic=synthetic, errors=False)
    needs = frozenset(("images", "parts", "silhouettes"))
    observation, _ = SampleStream(default_body(), COCO, source, config, needs).sample(options.chunk, options.seed)
    tiles = [draw_tile(observation, person) for person in range(PEOPLE)]
    rows = [np.concatenate(tiles[first : first + COLUMNS], axis=1) for first in range(0, PEOPLE, COLUMNS)]
    # A palette of 256 colours is sufficient, and image noise does not compress well in RGB.
    sheet = Image.fromarray(np.concatenate(rows)).quantize(256, dither=Image.Dither.NONE)
    with atomic_write(options.out) as file:
        sheet.save(file, format="PNG", optimize=True)
    print(f"{options.out}: {options.out.stat().st_size / 1024:.0f} KiB")


def draw_tile(observation: Observation, person: int) -> NDArray[np.uint8]:
    """Tile (CROP_PX, 3 · CROP_PX, 3): image, body parts, silhouette with the joints."""
    assert observation.images is not None
    assert observation.parts is not None
    assert observation.silhouettes is not None
    parts = torch.einsum("khw,kc->hwc", observation.parts[person], torch.tensor(PART_COLOURS).float())
    silhouette = (70 + 150 * observation.silhouettes[person])[..., None].expand(-1, -1, 3)
    joints_px = ((observation.joints[person] + 1) * (CROP_PX / 2)).numpy()
    skeleton = renderer.draw_skeleton(
        enlarged(silhouette), joints_px, observation.confidence[person].numpy(), COCO.edges, (250, 190, 60)
    )
    image = to_bytes(255 * observation.images[person].permute(1, 2, 0))
    return np.concatenate((image, enlarged(parts), skeleton), axis=1)


def to_bytes(image: torch.Tensor) -> NDArray[np.uint8]:
    return image.round().clamp(0, 255).byte().numpy()


def enlarged(image: torch.Tensor) -> NDArray[np.uint8]:
    """Enlarge a map (MAP_PX, MAP_PX, 3) to the size of the crop."""
    return to_bytes(image).repeat(CROP_PX // MAP_PX, axis=0).repeat(CROP_PX // MAP_PX, axis=1)


if __name__ == "__main__":
    main()
