"""Training configs: typed dataclasses, read from YAML, refused when a key or a type is wrong."""

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
    """How weights are updated. The defaults are the published ones for PoseNet.

    Attributes:
        name: `rmsprop`, `adam` or `adamw`.
        learning_rate: At the start.
        weight_decay: For adamw.
        schedule: `step` multiplies the rate by `decay` at each of `milestones` (epochs); `cosine` warms up for `warmup`
            of all steps and then falls to zero along a cosine.
        milestones, decay, warmup: See `schedule`.
        clip: Largest norm of the gradient; 0 for none.
        posenet_factor: Stage two: PoseNet's learning rate relative to MeshNet's. 1 in the paper; 0 leaves a lifter that
            was trained to the end of its schedule as it is, BatchNorm's statistics too.
        keep_statistics: PoseNet's BatchNorms keep the statistics that `pretrained` gave them; their factors and shifts
            learn. A lifter that goes on learning then loses nothing first; with the statistics of its batches one lost
            3 mm of MPJPE in 600 steps.
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
        stage: `posenet` trains the lifter; `pose2mesh` the whole network, from a lifter that is trained on.
        joint_set: `coco`, `human36` or `smpl` of bodies; `hand` of MANO.
        network: Sizes and inputs.
        data: Where people come from.
        optimiser: How weights are updated.
        losses: Weights of the terms.
        pretrained: The run folder, checkpoint or bundle whose PoseNet this one starts from; `default` is the one that
            ships. Stage two needs a whole one.
        epochs, seed: As they say.
        batch_size: People that one device sees at once.
        accumulate: Batches whose gradients are added up before a step, where a larger batch does not fit. A step takes
            `batch_size` × `accumulate` × devices people, whichever way that product comes about.
        precision: `bf16` computes matrix products in bfloat16 where that is safe.
        name: Of the run folder and the bundle.
        checkpoint_minutes: `last.ckpt` is written at the end of every epoch, and within one every so many minutes.
        tensorboard: Log to TensorBoard as well, in `tensorboard/` of the run folder.
    """

    stage: Literal["posenet", "pose2mesh"] = "posenet"
    joint_set: Literal["coco", "human36", "smpl", "hand"] = "coco"
    network: NetworkConfig = field(default_factory=NetworkConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    losses: LossWeights = field(default_factory=LossWeights)
    pretrained: str | None = None
    epochs: int = 60
    batch_size: int = 64
    accumulate: int = 1
    seed: int = 0
    precision: Literal["fp32", "bf16"] = "fp32"
    name: str = "run"
    checkpoint_minutes: float = 10.0
    tensorboard: bool = False

    def check(self, source: str) -> None:
        """Refuse combinations that cannot work.

        Raises:
            InputError: names the file and the keys.
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
        self._check_lifter(source)
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

    def _check_lifter(self, source: str) -> None:
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
        data = self.data
        if data.sets and data.mirror and (self.stage == "pose2mesh" or self.network.landmarks):
            which = "in stage pose2mesh" if self.stage == "pose2mesh" else "with network.landmarks"
            raise InputError(f"{source}: data.mirror is {data.mirror}, expected 0 {which}: no mesh is mirrored")

    def _check_numbers(self, source: str) -> None:
        for key, value in (("epochs", self.epochs), ("accumulate", self.accumulate)):
            if value < 1:
                raise InputError(f"{source}: {key} is {value}, expected at least 1")
        if not self.checkpoint_minutes > 0:
            raise InputError(f"{source}: checkpoint_minutes is {self.checkpoint_minutes}, expected more than 0")
        check_optimiser(self.optimiser, source)


def check_optimiser(optimiser: OptimiserConfig, source: str) -> None:
    """Refuse a learning rate that moves nothing.

    Raises:
        InputError: names the file, the key and the value.
    """
    if not optimiser.learning_rate > 0:
        raise InputError(f"{source}: optimiser.learning_rate is {optimiser.learning_rate}, expected more than 0")


def load_config(path: Path, overrides: list[str] | None = None) -> TrainConfig:
    """Read a YAML config; `overrides` are `dotted.key=value` with YAML values.

    A config may name `base: other.yaml` (relative to it), whose values it then changes.

    Raises:
        InputError: no such file, not YAML, an unknown key (the nearest known one is named), a wrong type or an
            impossible combination.
    """
    return parse_config(read_values(path, overrides), str(path))


def parse_config(values: dict[str, Any], source: str) -> TrainConfig:
    """A checked `TrainConfig` from nested dictionaries; `source` names them in errors."""
    refuse_unknown(values, TrainConfig, source)
    config = instantiate(TrainConfig, values, source)
    config.check(source)
    return config
