"""Draw contact sheets of the best and the worst predictions on annotated images, without the images.

    python scripts/contact_sheet.py --keypoints person_keypoints.json --images images --out docs [--model default]

Writes `people_best.png` and `people_worst.png`: one tile a person with the annotated mask in grey and the annotated
joints, the predicted mesh over the mask, and the mesh from the side, ordered by the IoU of the silhouettes. COCO's
annotations are CC BY 4.0; its images may not be redistributed, so none is shown.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from pose2mesh.evaluation.image_metrics import measurable_people, score_person
from pose2mesh.inference.person import Person
from pose2mesh.io.keypoints import PoseInput
from pose2mesh.model_zoo import load_model
from pose2mesh.skeletons import COCO
from pose2mesh.visualization import renderer

TILE_PX = 320


def draw_tile(person: PoseInput, mask: np.ndarray | None, found: Person, faces: np.ndarray) -> np.ndarray:
    """Tile (TILE_PX, 3·TILE_PX, 3): keypoints over the mask (H, W), if any; mesh over the mask; mesh from the side."""
    mesh_px = found.camera.project(found.vertices)
    corners = [mesh_px, person.joints_px[person.confidence > 0]]
    if mask is not None:
        corners.append(np.argwhere(mask)[:, ::-1])
    low, high = (limit([limit(part, axis=0) for part in corners], axis=0) for limit in (np.min, np.max))
    scale = 0.92 * TILE_PX / (high - low).max()
    shift = TILE_PX / 2 - scale * (low + high) / 2

    ground = renderer.plain_canvas(TILE_PX, TILE_PX)
    if mask is not None:
        ground = np.where(_resample(mask, scale, shift)[..., None], np.uint8(165), ground)
    keypoints = renderer.draw_skeleton(
        ground, person.joints_px * scale + shift, person.confidence, COCO.edges, colour=(200, 60, 20)
    )
    depth = found.vertices[:, 2] + 10  # in front of the camera: only the order of depths matters
    over = renderer.draw_people(ground, [renderer.ProjectedMesh(mesh_px * scale + shift, depth, found.vertices, faces)])
    # View along the x axis of the image: depth becomes the horizontal axis.
    turned = np.stack([-found.vertices[:, 2], found.vertices[:, 1], found.vertices[:, 0]], axis=1)
    size = np.ptp(turned[:, :2], axis=0).max()
    middle = (turned[:, :2].min(0) + turned[:, :2].max(0)) / 2
    side_px = (turned[:, :2] - middle) * (0.9 * TILE_PX / size) + TILE_PX / 2
    side = renderer.draw_people(
        renderer.plain_canvas(TILE_PX, TILE_PX), [renderer.ProjectedMesh(side_px, turned[:, 2] + 10, turned, faces)]
    )
    return np.concatenate([keypoints, over, side], axis=1)


def _resample(mask: np.ndarray, scale: float, shift: np.ndarray) -> np.ndarray:
    """Resample the mask (H, W) to the pixels of a tile, nearest neighbour."""
    y, x = np.mgrid[:TILE_PX, :TILE_PX]
    source = np.round((np.stack([x, y], -1) + 0.5 - shift) / scale - 0.5).astype(int)
    inside = (source >= 0).all(-1) & (source[..., 0] < mask.shape[1]) & (source[..., 1] < mask.shape[0])
    covered = np.zeros_like(inside)
    covered[inside] = mask[source[inside][:, 1], source[inside][:, 0]]
    return covered


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keypoints", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="default")
    parser.add_argument("--count", type=int, default=9)
    arguments = parser.parse_args()
    predictor = load_model(arguments.model)
    tiles = []
    for person, mask, _ in measurable_people(arguments.keypoints, arguments.images):
        size = mask.shape[1], mask.shape[0]
        found = predictor.recover_converted(person.joints_px[None], person.confidence[None], image_size=size)[0]
        oks, iou = score_person(person, mask, found.joints, found.vertices, found.camera, predictor.faces)
        caption = f"{person.identifier}: IoU {iou:.2f}, OKS {oks:.2f}"
        tiles.append((iou, draw_tile(person, mask, found, predictor.faces), caption))
    tiles.sort(key=lambda tile: -tile[0])
    for name, chosen in (("best", tiles[: arguments.count]), ("worst", tiles[: -arguments.count - 1 : -1])):
        _, images, captions = zip(*chosen, strict=True)
        sheet = renderer.contact_sheet(images, captions, columns=3, tile=(200, 600))
        renderer.save_image(arguments.out / f"people_{name}.png", sheet)


if __name__ == "__main__":
    main()
