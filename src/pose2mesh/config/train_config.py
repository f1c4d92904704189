"""`TrainConfig`, the config of a training run: dataclasses read from YAML and validated."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pose2mesh.config.config_files import instantiate, read_values, refuse_unknown
from pose2mesh.datasets.data_config import DataConfig
from pose2mesh.errors import InputError
from pose2mesh.models.lifter_registry import find_lifter
from pose2mesh.models.losses import LossWeights
from pose2mesh.models.network_config import NetworkConfig


@dataclass
class OptimiserConfig:
    """Optimiser and learning-rate schedule. The defaults are the published ones for PoseNet.

    Attributes:
        name: `rmsprop`, `adam` or `adamw`.
        learning_rate: Initial learning rate.
        weight_decay: Weight decay, for `adamw`.
        schedule: `step` multiplies the rate by `decay` at each of `milestones` (epochs); `cosine` warms up for the
            share `warmup` of all steps and then decays to zero along a cosine.
        milestones, decay, warmup: See `schedule`.
        clip: Maximal norm of the gradient; 0 for no clipping.
        posenet_factor: In stage two, the lifter's learning rate relative to MeshNet's. 1 in the paper; 0 freezes a
            lifter that was trained to the end of its schedule, including the statistics of its BatchNorms.
        keep_statistics: The lifter's BatchNorms keep the running statistics of `pretrained`; their weights and biases
            are trained. Continued training then starts without a loss of accuracy; with the statistics of its batches
            a lifter lost 3 mm of MPJPE in the first 600 steps.
    """

    name: Literal["rmsprop", "adam", "adamw"] = "rmsprop"
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    schedule: Literal["step", "cosine"] = "step"
    milestones: tuple[int, ...] = (30,)
    decay: float = 0.5
    warmup: float = 0.02
    clip: float = 0.0
    posenet_factor: float = 1.0
    keep_statistics: bool = False


@dataclass
class TrainConfig:
    """One training run.

    Attributes:
        stage: `posenet` trains the lifter alone; `pose2mesh` trains the whole network, starting from a trained lifter.
        joint_set: `coco`, `human36`, `smpl` or `wholebody` for bodies; `hand` for MANO.
        network: Sizes and inputs of the network.
        data: Training and validation data.
        optimiser: Optimiser and schedule.
        losses: Weights of the loss terms.
        pretrained: Run folder, checkpoint or bundle with whose lifter this run starts; `default` is the bundle that
            ships. In stage two all its layers must fit.
        pretrained_meshnet: In stage two, the same for MeshNet, all of whose layers must fit; by default it starts from
            random weights.
        epochs: Number of epochs.
        batch_size: Samples per batch and device.
        accumulate: Number of batches whose gradients are summed for one optimiser step, for devices on which a larger
            batch does not fit. A step takes `batch_size` × `accumulate` × devices samples; only that product matters.
        seed: Seed of initialisation and samples.
        precision: `bf16` computes matrix products in bfloat16 where that is safe.
        name: Name of the run folder and the bundle.
        checkpoint_minutes: `last.ckpt` is written at the end of every epoch, and during an epoch after so many minutes.
        tensorboard: Log to TensorBoard as well, in `tensorboard/` of the run folder.
    """

    stage: Literal["posenet", "pose2mesh"] = "posenet"
    joint_set: Literal["coco", "human36", "smpl", "wholebody", "hand"] = "coco"
    network: NetworkConfig = field(default_factory=NetworkConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    losses: LossWeights = field(default_factory=LossWeights)
    pretrained: str | None = None
    pretrained_meshnet: str | None = None
    epochs: int = 60
    batch_size: int = 64
    accumulate: int = 1
    seed: int = 0
    precision: Literal["fp32", "bf16"] = "fp32"
    name: str = "run"
    checkpoint_minutes: float = 10.0
    tensorboard: bool = False

    def check(self, source: str) -> None:
        """Validate values and combinations.

        Raises:
            InputError: names the file `source` and the keys.
        """
        net = self.network
        if len(net.block_widths) != net.coarsenings - net.finest + 1:
            raise InputError(
                f"{source}: network.block_widths has {len(net.block_widths)} blocks, expected "
                f"{net.coarsenings - net.finest + 1} (coarsenings − finest + 1)"
            )
        if net.landmarks < 0:
            raise InputError(f"{source}: network.landmarks is {net.landmarks}, expected 0 or more")
        if net.landmarks and not net.joint_base:
            raise InputError(f"{source}: network.landmarks is {net.landmarks}, which needs network.joint_base: true")
        self._check_skinned(source)
        self._check_lifter(source)
        if self.pretrained_meshnet is not None and self.stage != "pose2mesh":
            raise InputError(f"{source}: pretrained_meshnet is given, which needs stage: pose2mesh")
        if self.optimiser.keep_statistics and self.pretrained is None:
            raise InputError(
                f"{source}: optimiser.keep_statistics is true, expected false without pretrained: a fresh network has "
                "none to keep"
            )
        self.data.check(source, self.joint_set)
        self._check_mirror(source)
        if self.batch_size < 2:
            raise InputError(f"{source}: batch_size is {self.batch_size}, expected at least 2, for BatchNorm's spread")
        if not 0 <= self.seed < 2**24:
            raise InputError(f"{source}: seed is {self.seed}, expected 0 to {2**24 - 1}")
        self._check_numbers(source)

    def _check_skinned(self, source: str) -> None:
        net = self.network
        if net.shape_components < 0:
            raise InputError(f"{source}: network.shape_components is {net.shape_components}, expected 0 or more")
        if net.skinned and not net.shape_components:
            raise InputError(f"{source}: network.skinned is true, which needs network.shape_components above 0")
        if net.shape_components and self.data.sets:
            raise InputError(
                f"{source}: network.shape_components is {net.shape_components}, expected 0 with data.sets: their "
                "bodies have no shapes in that basis"
            )

    def _check_lifter(self, source: str) -> None:
        """Validate the lifter's name and settings."""
        net = self.network
        lifter, prefix = find_lifter(net.lifter, f"{source}: ").network(), "network.lifter_settings."
        if lifter.settings is not None:
            refuse_unknown(net.lifter_settings, lifter.settings, source, prefix)
            instantiate(lifter.settings, net.lifter_settings, source, prefix)
        elif net.lifter_settings:
            keys = ", ".join(net.lifter_settings)
            raise InputError(f"{source}: network.lifter_settings has {keys}, expected none for {net.lifter!r}")
        if lifter.needs_confidence and not net.confidence_input:
            raise InputError(
                f"{source}: network.confidence_input is false, expected true for network.lifter {net.lifter!r}"
            )

    def _check_mirror(self, source: str) -> None:
        """Mirroring is for joints alone."""
        data = self.data
        if data.sets and data.mirror and (self.stage == "pose2mesh" or self.network.landmarks):
            which = "in stage pose2mesh" if self.stage == "pose2mesh" else "with network.landmarks"
            raise InputError(f"{source}: data.mirror is {data.mirror}, expected 0 {which}: no mesh is mirrored")

    def _check_numbers(self, source: str) -> None:
        """Validate ranges."""
        for key, value in (("epochs", self.epochs), ("accumulate", self.accumulate)):
            if value < 1:
                raise InputError(f"{source}: {key} is {value}, expected at least 1")
        if not self.checkpoint_minutes > 0:
            raise InputError(f"{source}: checkpoint_minutes is {self.checkpoint_minutes}, expected more than 0")
        check_optimiser(self.optimiser, source)


def check_optimiser(optimiser: OptimiserConfig, source: str) -> None:
    """Refuse a learning rate that is not positive.

    Raises:
        InputError: names the file, the key and the value.
    """
    if not optimiser.learning_rate > 0:
        raise InputError(f"{source}: optimiser.learning_rate is {optimiser.learning_rate}, expected more than 0")


def load_config(path: Path, overrides: list[str] | None = None) -> TrainConfig:
    """Read a YAML config; `overrides` are `dotted.key=value` with YAML values.

    A config may name `base: other.yaml`, a path relative to itself, whose values it then overrides.

    Raises:
        InputError: the file does not exist or is not YAML; an unknown key (the nearest known key is named), a wrong
            type or an invalid combination.
    """
    return parse_config(read_values(path, overrides), str(path))


def parse_config(values: dict[str, Any], source: str) -> TrainConfig:
    """A validated `TrainConfig` from nested dictionaries; `source` names them in errors."""
    refuse_unknown(values, TrainConfig, source)
    config = instantiate(TrainConfig, values, source)
    config.check(source)
    return config
