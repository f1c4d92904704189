"""Disk cache of rendered samples: each is generated once and shared by epochs, runs and methods.

A chunk has one file for each field, so that methods with different needs share what exists. Maps and colours are stored
in 8 bits, the rest unchanged. The mask of samples with 3D labels is not stored, since it is cheap to recompute, nor are
vertices, which no training uses.
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

# Fields stored as integers: the type, and the integer that stands for 1.0.
_WHOLE: dict[str, tuple[type, float]] = {
    "images": (np.uint8, 255.0),
    "parts": (np.uint8, 255.0),
    "silhouettes": (np.uint8, 255.0),
}
# The fields of `Observation` that each need provides.
_FIELDS: dict[Need, tuple[str, ...]] = {
    "images": ("images",),
    "parts": ("parts",),
    "silhouettes": ("silhouettes",),
    "landmarks": ("landmarks", "landmark_confidence"),
}
_STEMS = {"images": "pictures"}  # file names that differ from the field name, so that existing caches stay readable
# Settings that came after the first caches, with the defaults at which samples are as before: left out of the hash, so
# that existing caches stay valid.
_LATER: dict[str, Any] = {
    **{"rarity": 0.0, "mix_limbs": 0.0, "tails": 0.0, "archetypes": 0.0, "rest": 0.0, "any_orientation": 0.0},
    **{"rest_temperature_m": 0.2, "fingers": 0.0, "known": 0.0, "nominal": 0.0},
    **{"children": 0.0, "child_age": (0.1, 0.6)},
}
_ALWAYS = ("joints", "confidence")
_TRUTH = tuple(item.name for item in fields(GroundTruth) if item.name not in ("vertices", "labelled"))


class SampleStore:
    """A `SampleStream` with a disk cache.

    Args:
        stream: Generates the samples that are not on disk yet.
        folder: Root of the cache; streams with different settings use different subfolders.
    """

    def __init__(self, stream: SampleStream, folder: Path) -> None:
        self.stream, self.folder = stream, folder
        self._digest = digest(stream)
        self._names = (*_ALWAYS, *(name for need in sorted(stream.needs) for name in _FIELDS[need]))

    def sample(self, chunk: int, seed: int) -> tuple[Observation, GroundTruth]:
        """See `SampleStream.sample`. New samples are returned as read back from disk, like stored ones.

        Raises:
            InputError: the folder cannot be written to, or a file there cannot be read.
        """
        if self.stream.config.distinct is not None:
            chunk %= self.stream.config.distinct // CHUNK
        place = self.folder / self._digest / str(seed) / f"{chunk:06d}"
        observation = {name: place / f"{_STEMS.get(name, name)}.npy" for name in self._names}
        ground_truth = {name: place / f"true_{name}.npy" for name in _TRUTH}
        try:
            if not all(file.is_file() for file in (*observation.values(), *ground_truth.values())):
                place.mkdir(parents=True, exist_ok=True)
                for group, files in zip(self.stream.sample(chunk, seed), (observation, ground_truth), strict=True):
                    for name, file in files.items():
                        with replacing(file) as partial, partial.open("wb") as stream:
                            np.save(stream, _packed(name, getattr(group, name)))
            known = GroundTruth(labelled=self.stream.labelled(chunk, seed), **_read(ground_truth))
            return Observation(**_read(observation)), known
        except (OSError, ValueError) as error:
            raise InputError(f"{place}: samples cannot be cached there ({one_line(error)})") from error


def digest(stream: SampleStream) -> str:
    """Hash of all settings that decide the samples of a stream, except the seed, `distinct` and `labelled`.

    It does not cover changes of the code that generates samples.
    """
    settings = {**asdict(stream.config), "distinct": None, "labelled": None, "joint_set": stream.joint_set.name}
    if stream.config.frames == 1:  # without videos the hash stays that of caches written before videos existed
        del settings["frames"], settings["stride"]
    found = hashlib.sha256(json.dumps(_without_later_keys(settings), sort_keys=True).encode())
    for tensor in (stream.source.frames, stream.source.weights):
        if tensor is not None:
            found.update(tensor.cpu().numpy().tobytes())
    found.update(json.dumps(_without_later_keys(asdict(stream.source.config)), sort_keys=True).encode())
    return found.hexdigest()[:16]


def _without_later_keys(settings: Any) -> Any:
    """Settings without the keys of `_LATER` that have their defaults, in the dicts within them, too."""
    if not isinstance(settings, dict):
        return settings
    kept = {key: value for key, value in settings.items() if key not in _LATER or value != _LATER[key]}
    return {key: _without_later_keys(value) for key, value in kept.items()}


def _packed(name: str, values: Tensor) -> NDArray[Any]:
    if name not in _WHOLE:
        return values.numpy()
    kind, steps = _WHOLE[name]
    return (values * steps).round_().numpy().astype(kind)


def _read(files: dict[str, Path]) -> dict[str, Tensor]:
    found = {name: torch.from_numpy(np.load(file)) for name, file in files.items()}
    return {name: value.float() / _WHOLE[name][1] if name in _WHOLE else value for name, value in found.items()}
