"""Config of a training run of a learned baseline; a YAML config is of this kind if it has the key `method`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pose2mesh.baselines.registry import PRETRAINING, LearnedMethod, find_learned_method
from pose2mesh.baselines.rendering.rendering_config import CHUNK, RenderingConfig
from pose2mesh.config.config_files import instantiate, refuse_unknown
from pose2mesh.config.train_config import OptimiserConfig, check_optimiser
from pose2mesh.datasets.data_config import DataConfig, check_synthetic
from pose2mesh.errors import InputError


@dataclass
class BaselineConfig:
    """One training run of a learned baseline. A batch is one chunk of `CHUNK` samples.

    Attributes:
        method: Name of the method, a key of `registry.LEARNED_METHODS`.
        settings: Settings of the method, a dataclass of its file.
        pictures: How samples are generated: bodies, images and simulated detections.
        kept: Folder in which samples are stored, so that they are rendered once for all epochs, runs and methods; needs
            `pictures.distinct`. Some 60 to 110 kB a sample.
        motions, split, fps: See `datasets.data_config.DataConfig`.
        optimiser: Optimiser and learning rates.
        pretrained: Bundle or run folder that initialises the network (`registry.LearnedMethod.starts_from`).
        epochs: Number of epochs.
        seed: Seed of the samples and of the initial weights.
        samples_per_epoch, validation_samples: Numbers of samples. The validation samples are the same in every epoch
            and run.
        name: Name of the run folder and the bundle.
        checkpoint_minutes: `last.ckpt` is written at the end of every epoch, and within one at this interval.
        tensorboard: Log to TensorBoard as well, in `tensorboard/` of the run folder.
    """

    method: str
    settings: Any = None
    pictures: RenderingConfig = field(default_factory=RenderingConfig)
    kept: str | None = None
    motions: str | None = None
    split: str | None = None
    fps: float = 30.0
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    pretrained: str | None = None
    epochs: int = 20
    samples_per_epoch: int = 6400
    validation_samples: int = 256
    seed: int = 0
    name: str = "baseline"
    checkpoint_minutes: float = 2.0
    tensorboard: bool = False

    @property
    def batch_size(self) -> int:
        return CHUNK

    @property
    def accumulate(self) -> int:
        return 1

    @property
    def precision(self) -> Literal["fp32"]:
        """Always `fp32`: the networks switch to bfloat16 themselves where that is enough."""
        return "fp32"

    @property
    def data(self) -> DataConfig:
        """Source of the poses."""
        return DataConfig(motions=self.motions, split=self.split, fps=self.fps, synthetic=self.pictures.synthetic)

    def check(self, source: str) -> None:
        """Check values and combinations of them.

        Raises:
            InputError: a value cannot be used; the message names the file and the key.
        """
        least = {"epochs": 1, "samples_per_epoch": CHUNK, "validation_samples": CHUNK}
        for key, smallest in least.items():
            if getattr(self, key) < smallest:
                raise InputError(f"{source}: {key} is {getattr(self, key)}, expected at least {smallest}")
        for key in ("fps", "checkpoint_minutes"):
            if not getattr(self, key) > 0:
                raise InputError(f"{source}: {key} is {getattr(self, key)}, expected more than 0")
        if not 0 <= self.seed < 2**24:
            raise InputError(f"{source}: seed is {self.seed}, expected 0 to {2**24 - 1}")
        if self.motions is not None and self.split is None:
            raise InputError(f"{source}: split is missing; with motions it must name the split file")
        if self.motions is None and self.pictures.synthetic.poses.procedural < 1:
            raise InputError(
                f"{source}: motions is missing; without clips pictures.synthetic.poses.procedural must be 1, "
                f"found {self.pictures.synthetic.poses.procedural}"
            )
        if self.motions is None and self.pictures.frames > 1:
            raise InputError(
                f"{source}: motions is missing; videos of pictures.frames {self.pictures.frames} are taken from clips"
            )
        frames = getattr(self.settings, "frames", self.pictures.frames)
        if frames != self.pictures.frames:
            raise InputError(
                f"{source}: settings.frames is {frames}, expected the value of pictures.frames, {self.pictures.frames}"
            )
        if self.kept is not None and self.pictures.distinct is None:
            raise InputError(
                f"{source}: pictures.distinct is missing; with kept, the number of distinct images is required"
            )
        check_optimiser(self.optimiser, source)
        check_synthetic(self.pictures.synthetic, source, "pictures.synthetic")
        try:
            self.pictures.check()
        except InputError as error:
            raise InputError(f"{source}: {error}") from error


def parse_baseline_config(values: dict[str, Any], source: str) -> BaselineConfig:
    """A checked config from nested dictionaries; `source` names them in errors."""
    values = dict(values)
    settings = values.pop("settings", None) or {}
    refuse_unknown(values, BaselineConfig, source)
    if "method" not in values:
        raise InputError(f"{source}: method is missing, expected the name of a method")
    method = find_learned_method(values["method"], source)
    if not isinstance(settings, dict):
        raise InputError(f"{source}: 'settings' is {settings!r}, expected a group of keys")
    refuse_unknown(settings, method.settings, source, "settings.")
    config = instantiate(BaselineConfig, values, source)
    config = replace(config, settings=instantiate(method.settings, settings, source, "settings."))
    config.check(source)
    _check_start(config, method, source)
    return config


def _check_start(config: BaselineConfig, method: LearnedMethod, source: str) -> None:
    """Check that `pretrained` is given if the method requires it, and absent if the method has no use for it."""
    if config.pretrained is not None and method.starts_from is None:
        raise InputError(
            f"{source}: pretrained is {config.pretrained!r}; method {config.method!r} starts from random weights: "
            "leave it out"
        )
    if config.pretrained is None and method.starts_from not in (None, PRETRAINING):
        raise InputError(
            f"{source}: pretrained is missing; method {config.method!r} starts from a bundle of {method.starts_from!r}"
        )
