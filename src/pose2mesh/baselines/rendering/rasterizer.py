"""Fast z-buffer for meshes with many small faces in small images, one body at a time.

`visualization.renderer.rasterise` is exact along scan lines and suited to large faces. Here most of Anny's 27,420 faces
cover no pixel centre at all at 128 pixels, and most time is spent finding those that do. Back faces, then faces whose
bounding box holds no pixel centre, are discarded early; the pixels in the boxes of the rest are tested one by one.

Convention: pixels with the origin at the top left corner of the image, the centre of the first one at (0.5, 0.5).
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.floating]

# Corners are snapped to 1/256 of a pixel, as in `visualization.renderer`: the tests are then exact, and no pixel centre
# falls between two faces that share an edge.
_SUBPIXELS = np.float32(256)
_FARTHEST_PX = 2.0**14
# Bounding boxes are tested in parts of this many pixels, to bound the memory of a close-up.
_CHUNK_PX = 1_000_000


class Rasteriser:
    """Finds the nearest face at every pixel centre.

    Args:
        faces: (F, 3), counter-clockwise seen from outside.
        size: Pixels along the side of the image.
    """

    def __init__(self, faces: NDArray[np.integer], size: int) -> None:
        self.corners = [np.ascontiguousarray(faces[:, k]).astype(np.intp) for k in range(3)]
        self.size = size

    def __call__(self, vertices_px: Floats, depth_m: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The `N` covered pixels and the nearest face at each.

        Args:
            vertices_px: (V, 2).
            depth_m: (V,) distance along the optical axis; faces with a corner at 0.05 m or nearer are left out.

        Returns:
            Flat pixel indices (N,), row by row, and the visible face (N,) at each.
        """
        # Complex numbers carry both coordinates through one gather. After subtracting 0.5, pixel k's centre is at k.
        far = np.abs(vertices_px)
        usable = (depth_m > 0.05) & (far[:, 0] < _FARTHEST_PX) & (far[:, 1] < _FARTHEST_PX)
        snapped = np.rint((vertices_px - np.float32(0.5)) * _SUBPIXELS).astype(np.float32, copy=False) / _SUBPIXELS
        snapped[~usable] = np.nan
        places = snapped.view(np.complex64)[:, 0]
        a, b, c = (places[corner] for corner in self.corners)
        ab, ac = b - a, c - a
        # Right × down = forward: faces turned to the camera are clockwise in the image.
        face = np.flatnonzero(ab.real * ac.imag < ab.imag * ac.real)
        a, b, c = a[face], b[face], c[face]
        low_x, high_x = self._centres(a.real, b.real, c.real)
        low_y, high_y = self._centres(a.imag, b.imag, c.imag)
        kept = np.flatnonzero((low_x <= high_x) & (low_y <= high_y))
        face = face[kept]
        corners = np.stack((a[kept], c[kept], b[kept]))  # clockwise in the image
        inverse = np.stack([1 / depth_m[self.corners[k][face]] for k in (0, 2, 1)])
        box = np.stack((low_x[kept], high_x[kept], low_y[kept], high_y[kept])).astype(np.int32)
        winner, nearest = np.full(self.size**2, -1, np.intp), np.zeros(self.size**2, np.float32)
        pixels = (box[1] - box[0] + 1) * (box[3] - box[2] + 1)
        part = np.cumsum(pixels) // _CHUNK_PX
        for members in np.split(np.arange(len(face)), np.flatnonzero(np.diff(part)) + 1):
            which, pixel, depth = self._covered(corners[:, members], inverse[:, members], box[:, members])
            _keep_nearest(winner, nearest, members[which], pixel, depth)
        covered = np.flatnonzero(winner >= 0)
        return covered, face[winner[covered]]

    def _centres(self, a: Floats, b: Floats, c: Floats) -> tuple[Floats, Floats]:
        """First and last pixel whose centre lies within the range of three coordinates, clipped to the image."""
        low = np.minimum(np.minimum(a, b), c)
        high = np.maximum(np.maximum(a, b), c)
        return np.maximum(np.ceil(low), 0), np.minimum(np.floor(high), self.size - 1)

    def _covered(
        self, corners: NDArray[np.complexfloating], inverse: Floats, box: NDArray[np.int32]
    ) -> tuple[NDArray[np.intp], NDArray[np.int32], Floats]:
        """Face, pixel and inverse depth of every pixel centre of a box (4, T) that lies in its triangle (3, T)."""
        width = box[1] - box[0] + 1
        count = width * (box[3] - box[2] + 1)
        which = np.repeat(np.arange(len(count)), count)
        step = np.arange(len(which), dtype=np.int32) - np.repeat(np.cumsum(count, dtype=np.int32) - count, count)
        row, column = np.divmod(step, width[which])
        row += box[2, which]
        column += box[0, which]
        # Corners relative to the pixel: their cross products are twice the areas of the three parts that the pixel
        # divides the triangle into, hence barycentric weights. Two faces that share an edge compute the same products.
        corner = corners[:, which]
        x, y = corner.real - column.astype(np.float32), corner.imag - row.astype(np.float32)
        weight = np.stack([x[k] * y[m] - y[k] * x[m] for k, m in ((1, 2), (2, 0), (0, 1))])
        inside = np.flatnonzero((weight[0] >= 0) & (weight[1] >= 0) & (weight[2] >= 0))
        which, weight = which[inside], weight[:, inside]
        # 1/z, not z, is linear in the image.
        depth = (weight * inverse[:, which]).sum(0) / weight.sum(0)
        return which, row[inside] * self.size + column[inside], depth


def _keep_nearest(
    winner: NDArray[np.intp], nearest: Floats, face: NDArray[np.intp], pixel: NDArray[np.int32], inverse: Floats
) -> None:
    np.maximum.at(nearest, pixel, inverse)
    front = inverse == nearest[pixel]
    winner[pixel[front]] = face[front]
