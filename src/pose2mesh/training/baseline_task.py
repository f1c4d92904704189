"""A learned baseline as a training task: its network and samples of a config, and the bundle at the end."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from pose2mesh.baselines.baseline_bundle import LearnedInfo, initialise_from, save_learned
from pose2mesh.baselines.baseline_config import BaselineConfig
from pose2mesh.baselines.baseline_samples import prior_bodies, training_chunks, validation_chunks
from pose2mesh.baselines.common.body_layer import BodyLayer
from pose2mesh.baselines.common.stature import stature_features
from pose2mesh.baselines.registry import find_learned_method
from pose2mesh.body_models.default_body import DEFAULT_BODY, default_body
from pose2mesh.config.config_files import plain_values
from pose2mesh.datasets.synthetic.pose_sources import describe_poses, pose_sources
from pose2mesh.errors import InputError
from pose2mesh.skeletons import COCO
from pose2mesh.training.baseline_module import BaselineModule
from pose2mesh.training.distributed import Processes
from pose2mesh.training.epoch_log import read_rows
from pose2mesh.training.task import Task, seed_generators
from pose2mesh.training.training_module import VALIDATION_SEED

PRIOR_BODIES = 4096  # training bodies for methods that fit a prior of pose and shape


class BaselineTask(Task):
    """See `training.task.Task`; the config and its seed determine all of it.

    The weights of the last epoch are kept: methods are compared on the validation clips, and choosing the best epoch
    on them would be selection on the test set.

    Raises:
        InputError: a folder or file is missing or cannot be used, or torchrun started several processes.
    """

    config: BaselineConfig
    module: BaselineModule
    monitored = None
    accelerator = "cpu"  # where the images are rendered

    def __init__(self, config: BaselineConfig) -> None:
        if Processes.found().count > 1:
            raise InputError(f"torchrun: method {config.method} is trained by one process")
        seed_generators(config.seed)
        self.config = config
        self.layer = BodyLayer(default_body(), COCO)
        method = find_learned_method(config.method, config.name)
        network = method.make(self.layer, config.settings)
        train, validation = pose_sources(config.data)
        network.prepare(*prior_bodies(config, train, PRIOR_BODIES))
        training = training_chunks(config, self.layer, train, network)
        held_out = validation_chunks(self.layer, validation, network, VALIDATION_SEED)
        self.module = BaselineModule(config, network, training, held_out)
        self.samples_per_epoch = config.samples_per_epoch
        self.validation_batches = config.validation_samples // config.batch_size
        self.fit_seconds = 0.0

    def start(self, say: Callable[[str], None]) -> None:
        method = find_learned_method(self.config.method, self.config.name)
        if self.config.pretrained is not None and method.starts_from is not None:
            initialise_from(self.module.network, method.starts_from, self.layer, self.config.pretrained, say)
        began = time.perf_counter()
        self.module.network.begin(self.module.training_chunks, say)
        self.fit_seconds = time.perf_counter() - began

    def fit(self, say: Callable[[str], None]) -> bool:
        began = time.perf_counter()
        chunks = self.config.epochs * self.module.steps
        fitted = self.module.network.fit(self.module.training_chunks, chunks, say)
        self.fit_seconds += time.perf_counter() - began
        return fitted

    def bundle_bytes(self) -> int:
        return 0

    def finish(self, bundle: Path) -> None:
        config, network = self.config, self.module.network.eval()
        network.drop_training_state()
        trained = list(network.parameters()) or list(network.state_dict().values())
        rows = read_rows(bundle.with_name("metrics.csv"))
        seconds = self.fit_seconds + sum(config.samples_per_epoch / float(row["samples_per_second"]) for row in rows)
        info = LearnedInfo(
            name=config.name,
            joint_set=network.joint_set.name,
            body=DEFAULT_BODY,
            config=plain_values(config) | {"motions": None, "kept": None, "pretrained": None},
            data=describe_poses(config.motions) + ", images rendered from them",
            licence="Apache-2.0",
            stature_features=stature_features(self.layer.body, network.joint_set),
            parameters=sum(numbers.numel() for numbers in trained),
            minutes=seconds / 60,
            samples=config.epochs * self.module.steps * config.batch_size,
            seed=config.seed,
        )
        save_learned(bundle, network, info)
