"""Drawn people kept on disk: they are drawn once, whatever the epoch, the run or the method that shows them.

A chunk has a file for each thing that is known of its people, so that methods with different needs share what is there.
Shares and colours are kept in 8 bits, the rest as it is. Whose 3D is known is not kept, which is cheap to say again,
nor are vertices: no training looks at them.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pose2mesh.baselines.observation import GroundTruth, Need, Observation
from pose2mesh.baselines.rendering.rendering_config import CHUNK
from pose2mesh.baselines.rendering.sample_stream import SampleStream
from pose2mesh.errors import InputError, one_line
from pose2mesh.io.atomic_write import replacing

# Kept as whole numbers of this type, so many of them to one.
_WHOLE: dict[str, tuple[type, float]] = {
    "images": (np.uint8, 255.0),
    "parts": (np.uint8, 255.0),
    "silhouettes": (np.uint8, 255.0),
}
# What of `Observation` each need stands for.
_FIELDS: dict[Need, tuple[str, ...]] = {
    "images": ("images",),
    "parts": ("parts",),
    "silhouettes": ("silhouettes",),
    "landmarks": ("landmarks", "landmark_confidence"),
}
_STEMS = {"images": "pictures"}  # file names that differ from the field, so that existing stores stay readable
_ALWAYS = ("joints", "confidence")
_TRUTH = tuple(item.name for item in fields(GroundTruth) if item.name not in ("vertices", "labelled"))


class SampleStore:
    """Stands in the place of a `SampleStream`.

    Args:
        stream: Draws what is not there yet.
        folder: Of everything that is kept; streams that draw other people have subfolders of their own.
    """

    def __init__(self, stream: SampleStream, folder: Path) -> None:
        self.stream, self.folder = stream, folder
        self._digest = digest(stream)
        self._names = (*_ALWAYS, *(name for need in sorted(stream.needs) for name in _FIELDS[need]))

    def draw(self, chunk: int, seed: int) -> tuple[Observation, GroundTruth]:
        """See `SampleStream.draw`. What was just drawn, too, is given as it is read back.

        Raises:
            InputError: the folder cannot be written to, or a file there cannot be read.
        """
        if self.stream.config.distinct is not None:
            chunk %= self.stream.config.distinct // CHUNK
        place = self.folder / self._digest / str(seed) / f"{chunk:06d}"
        seen = {name: place / f"{_STEMS.get(name, name)}.npy" for name in self._names}
        truth = {name: place / f"true_{name}.npy" for name in _TRUTH}
        try:
            if not all(file.is_file() for file in (*seen.values(), *truth.values())):
                place.mkdir(parents=True, exist_ok=True)
                for group, files in zip(self.stream.draw(chunk, seed), (seen, truth), strict=True):
                    for name, file in files.items():
                        with replacing(file) as partial, partial.open("wb") as stream:
                            np.save(stream, _packed(name, getattr(group, name)))
            known = GroundTruth(labelled=self.stream.labelled(chunk, seed), **_read(truth))
            return Observation(**_read(seen)), known
        except (OSError, ValueError) as error:
            raise InputError(f"{place}: drawn people cannot be kept there ({one_line(error)})") from error


def digest(stream: SampleStream) -> str:
    """A name for everything that decides what a stream draws, but for the seed, and how many it draws and labels.

    A change of the code that draws does not show in it.
    """
    settings = {**asdict(stream.config), "distinct": None, "labelled": None, "joint_set": stream.joint_set.name}
    if stream.config.frames == 1:  # no videos: the names of before there were any
        del settings["frames"], settings["stride"]
    found = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for tensor in (stream.source.frames, stream.source.weights):
        if tensor is not None:
            found.update(tensor.cpu().numpy().tobytes())
    found.update(json.dumps(asdict(stream.source.config), sort_keys=True).encode())
    return found.hexdigest()[:16]


def _packed(name: str, values: Tensor) -> NDArray[Any]:
    if name not in _WHOLE:
        return values.numpy()
    kind, steps = _WHOLE[name]
    return (values * steps).round_().numpy().astype(kind)


def _read(files: dict[str, Path]) -> dict[str, Tensor]:
    found = {name: torch.from_numpy(np.load(file)) for name, file in files.items()}
    return {name: value.float() / _WHOLE[name][1] if name in _WHOLE else value for name, value in found.items()}
