"""Backend that runs the network with PyTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pose2mesh.errors import InputError
from pose2mesh.inference.backend import Bodies
from pose2mesh.models.bundle.bundle import Bundle, load_bundle
from pose2mesh.models.layers.linear import halve_exact

CHUNK = 64  # people in one forward pass, so that memory does not grow with their number


class TorchBackend:
    """See `inference.backend.BodyBackend`.

    Args:
        bundle: As loaded.
        device: `cpu` or `cuda`.

    Raises:
        InputError: the device is not available.
    """

    takes_joints3d = True

    def __init__(self, bundle: Bundle, device: str = "cpu") -> None:
        if device == "cuda" and not torch.cuda.is_available():
            raise InputError("--device cuda: no CUDA device is available; expected cpu")
        self.info, self.faces, self.template = bundle.info, bundle.surface.faces, bundle.surface.template
        self.device = torch.device(device)
        self.network = bundle.model.to(self.device)

    @classmethod
    def load(cls, name_or_path: str | Path, device: str) -> TorchBackend:
        """Load a bundle for inference only: BatchNorms are folded, and large weights stay in float16 on a CPU.

        Raises:
            InputError: as `load_bundle` and the constructor.
        """
        bundle = load_bundle(name_or_path)
        bundle.model.fuse()
        if device == "cpu":
            halve_exact(bundle.model)
        return cls(bundle, device)

    def run(
        self,
        pixels: NDArray[np.float32],
        confidence: NDArray[np.float32],
        joints3d_m: NDArray[np.float32] | None = None,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See `inference.backend.DepthBackend`."""
        bodies = self.run_bodies(pixels, confidence, joints3d_m)
        return bodies.joints, bodies.vertices

    @torch.inference_mode()
    def run_bodies(
        self,
        pixels: NDArray[np.float32],
        confidence: NDArray[np.float32],
        joints3d_m: NDArray[np.float32] | None = None,
    ) -> Bodies:
        """See `inference.backend.BodyBackend`."""
        found: list[list[NDArray[np.float32] | None]] = []
        for start in range(0, len(pixels), CHUNK):
            part = slice(start, start + CHUNK)
            inputs = [x[part] for x in (pixels, confidence, joints3d_m) if x is not None]
            prediction = self.network(*(torch.from_numpy(x).to(self.device) for x in inputs))
            outputs = (*self.network.mesh(prediction), self.network.expected_errors(prediction))
            found.append([None if x is None else x.cpu().numpy() for x in outputs])
        return Bodies(*(None if x[0] is None else np.concatenate(x) for x in zip(*found, strict=True)))  # type: ignore[arg-type]
