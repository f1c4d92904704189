"""Training configs: typed dataclasses, read from YAML, refused when a key or a type is wrong."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from pose2mesh.body_models.gendered import BodyConfig
from pose2mesh.config.config_files import instantiate, read_values, refuse_unknown
from pose2mesh.datasets.registry import DatasetConfig
from pose2mesh.datasets.synthetic.bodies import SyntheticConfig
from pose2mesh.errors import InputError
from pose2mesh.models.lifter_registry import find_lifter
from pose2mesh.models.losses import LossWeights
from pose2mesh.models.network_config import NetworkConfig
from pose2mesh.skeletons import BODY_JOINT_SETS, HAND


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
class DataConfig:
    """Where people come from: drawn on the Anny body, or those of data sets (`sets`) on a body of the user's.

    Attributes:
        motions: Folder of BVH clips, or None for poses drawn from joint limits alone.
        split: YAML file that names the training and the validation clips; needed with `motions`.
        fps: Clips are read at this rate.
        body: The body whose mesh is predicted.
        sets: Data sets to train on, each under its reader's name, or under any with `reader` (see `DatasetConfig`).
        validation: The data set to validate on; needed with `sets`, and with its `reader`.
        folder: Where the data sets' usual folders are.
        cache: Where their indices are kept; the user's cache folder by default.
        mirror: Share of the people of data sets who are seen as in a mirror; for joints alone.
        synthetic: What is drawn at random while training. Of data sets only cameras (where they have none) and noise.
        samples_per_epoch: People in an epoch. None is 200,000 of the drawn ones, none of whom comes twice, and for data
            sets as many as show each of them whole.
        validation_samples: Validation people: of the validation clips (or new procedural poses), drawn once, by a seed
            of their own; or evenly spread over the data set.
    """

    motions: str | None = None
    split: str | None = None
    fps: float = 30.0
    body: BodyConfig = field(default_factory=BodyConfig)
    sets: dict[str, DatasetConfig] = field(default_factory=dict)
    validation: DatasetConfig | None = None
    folder: str | None = None
    cache: str | None = None
    mirror: float = 0.0
    synthetic: SyntheticConfig = field(default_factory=SyntheticConfig)
    samples_per_epoch: int | None = None
    validation_samples: int = 4000


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
        if self.data.sets:
            self._check_sets(source)
        else:
            self._check_drawn(source)
        if self.data.synthetic.noise.model == "human36" and self.joint_set != "human36":
            raise InputError(f"{source}: data.synthetic.noise.model human36 needs joint_set human36")
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

    def _check_drawn(self, source: str) -> None:
        data = self.data
        for key, given in (("validation", data.validation), ("mirror", data.mirror)):
            if given:
                raise InputError(f"{source}: data.{key} goes with data.sets, which are not given")
        if data.body.model != "anny":
            raise InputError(
                f"{source}: data.body.model is {data.body.model}, which goes with data.sets; expected anny"
            )
        if self.joint_set not in BODY_JOINT_SETS:
            expected = ", ".join(BODY_JOINT_SETS)
            raise InputError(f"{source}: joint_set is {self.joint_set}, expected one of the Anny body: {expected}")
        if data.motions is not None and data.split is None:
            raise InputError(f"{source}: data.split is missing; with data.motions it must name the split file")
        if data.motions is None and data.synthetic.poses.procedural < 1:
            raise InputError(
                f"{source}: data.motions is missing; without clips data.synthetic.poses.procedural must be 1, "
                f"found {data.synthetic.poses.procedural}"
            )

    def _check_sets(self, source: str) -> None:
        data = self.data
        if data.motions is not None:
            raise InputError(f"{source}: data.motions and data.sets are both given, expected one of them")
        if data.validation is None:
            raise InputError(f"{source}: data.validation is missing; with data.sets it must say what to validate on")
        chosen = [(f"data.sets.{name}", name, choice) for name, choice in data.sets.items()]
        for key, name, choice in [*chosen, ("data.validation", "validation", data.validation)]:
            choice.check(source, key, name)
            body = choice.source(name).body
            if body and body != data.body.model:
                raise InputError(f"{source}: data.body.model is {data.body.model}, expected {body}, that of {key}")
        if data.body.model == "anny":
            raise InputError(f"{source}: data.body.model is anny, expected smpl or mano, that of data.sets")
        if (self.joint_set == HAND.name) != (data.body.model == "mano"):
            raise InputError(f"{source}: joint_set {self.joint_set} does not go with data.body.model {data.body.model}")
        if data.mirror and (self.stage == "pose2mesh" or self.network.landmarks):
            which = "in stage pose2mesh" if self.stage == "pose2mesh" else "with network.landmarks"
            raise InputError(f"{source}: data.mirror is {data.mirror}, expected 0 {which}: no mesh is mirrored")

    def _check_numbers(self, source: str) -> None:
        """Counts are at least 1, shares lie in [0, 1], and of two bounds the smaller comes first."""
        data = self.data
        for key, value in (
            ("epochs", self.epochs),
            ("accumulate", self.accumulate),
            ("data.samples_per_epoch", 1 if data.samples_per_epoch is None else data.samples_per_epoch),
            ("data.validation_samples", data.validation_samples),
        ):
            if value < 1:
                raise InputError(f"{source}: {key} is {value}, expected at least 1")
        for key, number in (("data.fps", data.fps), ("checkpoint_minutes", self.checkpoint_minutes)):
            if not number > 0:
                raise InputError(f"{source}: {key} is {number}, expected more than 0")
        if not 0 <= data.mirror <= 1:
            raise InputError(f"{source}: data.mirror is {data.mirror}, expected 0 to 1")
        check_optimiser(self.optimiser, source)
        check_drawn(data.synthetic, source, "data.synthetic")


def check_optimiser(optimiser: OptimiserConfig, source: str) -> None:
    """Refuse a learning rate that moves nothing.

    Raises:
        InputError: names the file, the key and the value.
    """
    if not optimiser.learning_rate > 0:
        raise InputError(f"{source}: optimiser.learning_rate is {optimiser.learning_rate}, expected more than 0")


def check_drawn(drawn: SyntheticConfig, source: str, prefix: str) -> None:
    """Refuse what cannot be drawn; `prefix` is where a config has it.

    Raises:
        InputError: names the file, the key and the value.
    """
    if drawn.views < 1:
        raise InputError(f"{source}: {prefix}.views is {drawn.views}, expected at least 1")
    shares = {
        "poses": ("procedural", "mirror", "recombine", "perturb", "tumble"),
        "noise": ("swap", "drop", "scattered", "plain_confidence", "clean"),
        "cameras": ("steep",),
    }
    for group, names in shares.items():
        for name in names:
            share = getattr(getattr(drawn, group), name)
            if not 0 <= share <= 1:
                raise InputError(f"{source}: {prefix}.{group}.{name} is {share}, expected 0 to 1")
    bounds = {f"shapes.{item.name}": getattr(drawn.shapes, item.name) for item in fields(drawn.shapes)}
    bounds |= {
        "noise.scale": drawn.noise.scale,
        "cameras.view_deg": drawn.cameras.view_deg,
        "cameras.fill": drawn.cameras.fill,
    }
    for name, (low, high) in bounds.items():
        if low > high:
            raise InputError(f"{source}: {prefix}.{name} is [{low}, {high}], expected the smaller first")


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
