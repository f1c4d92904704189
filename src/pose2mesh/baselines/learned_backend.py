"""A learned baseline in the place of a trained model: a backend of `inference.predictor.Predictor`."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from pose2mesh.baselines.baseline_bundle import LearnedInfo, load_learned, load_pretraining_network
from pose2mesh.baselines.baseline_samples import benchmark_rendering
from pose2mesh.baselines.bundle_lookup import find_learned_bundle
from pose2mesh.baselines.common.body_layer import BodyLayer
from pose2mesh.baselines.interface import BodyEstimate, LearnedBaseline
from pose2mesh.baselines.methods.pretraining_network import PretrainingNetwork
from pose2mesh.baselines.observation import Observation
from pose2mesh.baselines.rendering.image_crops import crop_image
from pose2mesh.baselines.rendering.rendering_config import CHUNK
from pose2mesh.baselines.rendering.sample_stream import SampleStream
from pose2mesh.body_models.default_body import default_body
from pose2mesh.datasets.synthetic.pose_sampling import PoseSource
from pose2mesh.errors import InputError
from pose2mesh.inference.backend import Images
from pose2mesh.models.bundle.bundle_info import BundleInfo
from pose2mesh.skeletons import COCO


class LearnedBackend:
    """See `inference.backend.ImageBackend`. Of a photo, who looks at maps or landmarks gets what the reader finds.

    Args:
        network: The method, in evaluation mode.
        info: What its bundle says.
        layer: The body.
        reader: The reader; the one that ships where None, once a photo needs it.

    Raises:
        InputError: the method gives no bodies.
    """

    def __init__(
        self, network: LearnedBaseline, info: LearnedInfo, layer: BodyLayer, reader: PretrainingNetwork | None = None
    ) -> None:
        if not network.predicts_bodies:
            raise InputError(f"model {info.name!r} reads pictures and gives no bodies; expected a method that does")
        self.info: BundleInfo = info
        self.network, self.layer = network, layer
        self._reader = reader
        self.faces = layer.body.faces.numpy().astype(np.int32)
        self.template = layer.body.template.numpy()

    @classmethod
    def load(cls, name_or_path: str | Path, device: str) -> LearnedBackend:
        """A method whose bundle ships, or from a file or a run folder.

        Raises:
            InputError: another device than the CPU, no such bundle, or one that cannot be used.
        """
        if device != "cpu":
            raise InputError(f"--device {device}: model {str(name_or_path)!r} runs on the cpu")
        find_learned_bundle(name_or_path)  # before the body is made, which takes seconds
        layer = BodyLayer(default_body(), COCO)
        return cls(*load_learned(name_or_path, layer), layer)

    def run_on_images(
        self, pixels: NDArray[np.float32], confidence: NDArray[np.float32], pictures: Images
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See `inference.backend.ImageBackend`."""
        seen = pictures
        if isinstance(pictures, np.ndarray):
            seen = self._read(crop_image(pictures, torch.from_numpy(pixels), torch.from_numpy(confidence)))
        found = self.estimate(cast(Observation, seen))
        return found.joints.numpy(), found.vertices.numpy()

    @torch.no_grad()
    def estimate(self, seen: Observation) -> BodyEstimate:
        """Bodies of any number of people."""
        people = torch.arange(len(seen.joints))
        return BodyEstimate.joined([self.network.estimate(seen[part]) for part in people.split(CHUNK)])

    def _read(self, seen: Observation) -> Observation:
        if not self.network.needs - {"images"}:
            return seen
        if self._reader is None:
            self._reader = load_pretraining_network(self.layer)
        return self._reader.read(seen)

    def sample_observer(self, poses: PoseSource, input_: str) -> SampleStream:
        """Shows drawn people as this method is measured on them: with `gt` or `noisy` maps and landmarks."""
        pictures = benchmark_rendering(input_, self.layer)
        return SampleStream(self.layer.body, self.network.joint_set, poses, pictures, self.network.needs)
