"""Backend of `inference.predictor.Predictor` for the learned baselines."""

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
    """See `inference.backend.ImageBackend`. On images, maps and landmarks are detected by the pre-training network.

    Args:
        network: The method, in evaluation mode.
        info: Metadata of its bundle.
        layer: The body layer.
        pretraining_network: Detects maps and landmarks; None for the one that ships, loaded when first needed.

    Raises:
        InputError: the method predicts no bodies.
    """

    def __init__(
        self,
        network: LearnedBaseline,
        info: LearnedInfo,
        layer: BodyLayer,
        pretraining_network: PretrainingNetwork | None = None,
    ) -> None:
        if not network.predicts_bodies:
            raise InputError(
                f"model {info.name!r} pre-trains a backbone and predicts no bodies; expected a method that does"
            )
        self.info: BundleInfo = info
        self.network, self.layer = network, layer
        self._pretraining_network = pretraining_network
        self.faces = layer.body.faces.numpy().astype(np.int32)
        self.template = layer.body.template.numpy()

    @classmethod
    def load(cls, name_or_path: str | Path, device: str) -> LearnedBackend:
        """The backend of a method whose bundle ships, of a bundle file or of a run folder.

        Raises:
            InputError: the device is not the CPU, or the bundle is missing or cannot be used.
        """
        if device != "cpu":
            raise InputError(f"--device {device}: model {str(name_or_path)!r} runs on the cpu")
        find_learned_bundle(name_or_path)  # raises before the body model is built, which takes seconds
        layer = BodyLayer(default_body(), COCO)
        return cls(*load_learned(name_or_path, layer), layer)

    def run_on_images(
        self, pixels: NDArray[np.float32], confidence: NDArray[np.float32], images: Images
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See `inference.backend.ImageBackend`."""
        observation = images
        if isinstance(images, np.ndarray):
            observation = self._detect_maps(crop_image(images, torch.from_numpy(pixels), torch.from_numpy(confidence)))
        estimate = self.estimate(cast(Observation, observation))
        return estimate.joints.numpy(), estimate.vertices.numpy()

    @torch.no_grad()
    def estimate(self, observation: Observation) -> BodyEstimate:
        """Bodies of any number of samples."""
        samples = torch.arange(len(observation.joints))
        return BodyEstimate.joined([self.network.estimate(observation[part]) for part in samples.split(CHUNK)])

    def _detect_maps(self, observation: Observation) -> Observation:
        if not self.network.needs - {"images"}:
            return observation
        if self._pretraining_network is None:
            self._pretraining_network = load_pretraining_network(self.layer)
        return self._pretraining_network.detect(observation)

    def sample_observer(self, poses: PoseSource, input_: str) -> SampleStream:
        """Renders samples for the evaluation of this method, with `gt` or `noisy` maps and landmarks."""
        rendering = benchmark_rendering(input_, self.layer)
        return SampleStream(self.layer.body, self.network.joint_set, poses, rendering, self.network.needs)
