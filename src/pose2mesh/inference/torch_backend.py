"""The network run by PyTorch, in and out of NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pose2mesh.errors import InputError
from pose2mesh.models.bundle.bundle import Bundle, load_bundle
from pose2mesh.models.layers.linear import halve_exact

CHUNK = 64  # people in one forward pass: memory stays flat however many there are


class TorchBackend:
    """A backend of `inference.predictor.Predictor`.

    Args:
        bundle: As loaded.
        device: `cpu` or `cuda`.

    Raises:
        InputError: no such device here.
    """

    def __init__(self, bundle: Bundle, device: str = "cpu") -> None:
        if device == "cuda" and not torch.cuda.is_available():
            raise InputError("--device cuda: no CUDA device is available; expected cpu")
        self.info, self.faces, self.template = bundle.info, bundle.surface.faces, bundle.surface.template
        self.device = torch.device(device)
        self.model = bundle.model.to(self.device)

    @classmethod
    def load(cls, name_or_path: str | Path, device: str) -> TorchBackend:
        """Load a bundle for use alone: its BatchNorms are folded, large weights kept in float16.

        Raises:
            InputError: as `load_bundle` and the constructor.
        """
        bundle = load_bundle(name_or_path)
        bundle.model.fuse()
        if device == "cpu":
            halve_exact(bundle.model)
        return cls(bundle, device)

    @torch.inference_mode()
    def run(
        self, pixels: NDArray[np.float32], confidence: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See `inference.backend.Backend`."""
        joints, vertices = [], []
        for start in range(0, len(pixels), CHUNK):
            part = slice(start, start + CHUNK)
            points = self.model(*(torch.from_numpy(x[part]).to(self.device) for x in (pixels, confidence))).points
            joints.append(self.model.joints(points).cpu().numpy())
            vertices.append(self.model.vertices(points).cpu().numpy())
        return np.concatenate(joints), np.concatenate(vertices)
