"""Reading the configs of `pose2mesh train`: of Pose2Mesh, or of a learned baseline if it has the key `method`."""

from __future__ import annotations

from pathlib import Path

from pose2mesh.baselines.baseline_config import BaselineConfig, parse_baseline_config
from pose2mesh.config.config_files import override_values, plain_values, read_values
from pose2mesh.config.train_config import TrainConfig, parse_config


def load_any(path: Path, overrides: list[str] | None = None) -> TrainConfig | BaselineConfig:
    """Read a config; see `config.train_config.load_config`.

    Raises:
        InputError: for the same reasons.
    """
    values = read_values(path, overrides)
    return parse_baseline_config(values, str(path)) if "method" in values else parse_config(values, str(path))


def override_any(config: TrainConfig | BaselineConfig, overrides: list[str]) -> TrainConfig | BaselineConfig:
    """A config with `dotted.key=value` overrides.

    Raises:
        InputError: for the same reasons as `load_any`.
    """
    values = override_values(plain_values(config), overrides)
    if isinstance(config, BaselineConfig):
        return parse_baseline_config(values, "--set")
    return parse_config(values, "--set")
