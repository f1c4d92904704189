"""One person's motion as animation files store it: one body shape, bone rotations and a root path over the frames.

Animation files are Y up. `Y_UP_FROM_CAMERA` converts camera axes of a level camera, as `io/mesh_files.py` does: the
camera is at the origin and looks along −Z. `Y_UP_FROM_BODY` converts the body's rest pose (z up, facing −y) to one that
stands along Y and faces +Z.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from pose2mesh.body_models.fit_equations import BONES
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.errors import InputError
from pose2mesh.geometry.rotations import WORLD_TO_CAMERA

Floats: TypeAlias = NDArray[np.floating]

_CHUNK = 500  # frames
Y_UP_FROM_CAMERA = np.diag([1.0, -1.0, -1.0])
Y_UP_FROM_BODY = Y_UP_FROM_CAMERA @ np.array(WORLD_TO_CAMERA)


@dataclass(frozen=True)
class BodyMotion:
    """A person over `T` consecutive frames.

    Attributes:
        name: Name of the person in the files.
        phenotypes: (6,) shape parameters.
        orientations: (T, 22, 3, 3) of the bones, from the mean adult's rest pose to camera axes, as in `BodyFit`.
        hips_m: (T, 3) the hips' bone head in the camera's frame.
        fps: Frames per second.
        first_frame: The index in the video of the motion's first frame.
        absent: First and last frames in the video of stretches in which the person is not shown.
        upright: (3, 3) from camera axes to those of a level camera, so that files show the person standing.
    """

    name: str
    phenotypes: Floats
    orientations: Floats
    hips_m: Floats
    fps: float
    first_frame: int = 0
    absent: tuple[tuple[int, int], ...] = ()
    upright: Floats = field(default_factory=lambda: np.eye(3))

    def __post_init__(self) -> None:
        frames = len(self.orientations)
        shapes = (self.phenotypes.shape, self.orientations.shape, self.hips_m.shape)
        if frames == 0 or shapes != ((6,), (frames, BONES, 3, 3), (frames, 3)):
            raise InputError(f"motion {self.name!r}: shapes {shapes}, expected (6,), (T, {BONES}, 3, 3), (T, 3), T > 0")
        for name, values in (("orientations", self.orientations), ("hips_m", self.hips_m)):
            if not np.isfinite(values).all():
                raise InputError(
                    f"motion {self.name!r}: {name} of frame {np.argwhere(~np.isfinite(values))[0, 0]} are not finite"
                )
        if not 0 < self.fps < np.inf:
            raise InputError(f"motion {self.name!r}: fps is {self.fps}, expected a positive number")

    def __len__(self) -> int:
        return len(self.orientations)

    def chunks(self) -> Iterator[BodyMotion]:
        """The motion in chunks of consecutive frames, to bound the memory of what is computed from them."""
        for start in range(0, len(self), _CHUNK):
            chunk = slice(start, start + _CHUNK)
            yield replace(
                self,
                orientations=self.orientations[chunk],
                hips_m=self.hips_m[chunk],
                first_frame=self.first_frame + start,
            )

    @property
    def rotations(self) -> Floats:
        """(T, 22, 3, 3) rotations of the bones from a rest pose that stands along Y, in the Y-up frame of files."""
        return Y_UP_FROM_CAMERA @ self.upright @ self.orientations.astype(np.float64) @ Y_UP_FROM_BODY.T

    @property
    def local_rotations(self) -> Floats:
        """(T, 22, 3, 3) rotations of the bones relative to their parent bones."""
        from pose2mesh.datasets.synthetic.pose_tree import to_local

        return to_local(torch.from_numpy(self.rotations)).numpy()

    @property
    def path(self) -> Floats:
        """(T, 3) the hips in the Y-up frame of files, metres."""
        return self.hips_m.astype(np.float64) @ (Y_UP_FROM_CAMERA @ self.upright).T

    def vertices(self, body: BodyModel) -> Floats:
        """Posed vertices (T, V, 3) in the camera's frame."""
        phenotypes = torch.as_tensor(self.phenotypes).float().expand(len(self), -1)
        with torch.no_grad():
            posed = body(phenotypes, torch.as_tensor(self.orientations).float()).numpy()
        return posed + self.hips_m[:, None]


@dataclass(frozen=True)
class RestRig:
    """Rig of a body at rest (identity rotations, arms half lowered): Y up, facing +Z, metres, hips at the origin.

    Attributes:
        heads: (52, 3) bone heads.
        to_rest: (52, 4, 4) transforms of the rest vertices of the mesh to coordinates relative to each bone's head.
        vertices: (V, 3) in the mesh's own rest pose, which depends on the shape.
    """

    heads: Floats
    to_rest: Floats
    vertices: Floats


def rest_rig(body: BodyModel, phenotypes: Floats) -> RestRig:
    """The rig of a shape (6,): skinning with head + rotation · `to_rest` gives the posed vertices of `BodyModel`."""
    shape = torch.as_tensor(phenotypes).float()[None]
    identity = torch.eye(3).expand(1, BONES, 3, 3)
    with torch.no_grad():
        coefficients = body.coefficients(shape)
        rotations, translations = body.bone_transforms(coefficients, identity)
        heads = body.bone_heads(shape, identity)
        vertices = body.rest_vertices + (coefficients @ body.shapes).reshape(-1, 3)
    axes = Y_UP_FROM_BODY
    to_rest = np.tile(np.eye(4), (heads.shape[1], 1, 1))
    to_rest[:, :3, :3] = axes @ rotations[0].double().numpy() @ axes.T
    to_rest[:, :3, 3] = (translations - heads)[0].double().numpy() @ axes.T
    return RestRig(heads[0].double().numpy() @ axes.T, to_rest, vertices.double().numpy() @ axes.T)
