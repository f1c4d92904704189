"""Configs of the learned baselines: all files of the hub load, and errors are one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pose2mesh.baselines.baseline_config import BaselineConfig
from pose2mesh.baselines.methods.hmr import HMRSettings
from pose2mesh.baselines.registry import LEARNED_METHODS
from pose2mesh.config.config_files import dump_config
from pose2mesh.errors import InputError
from pose2mesh.training.run_config import load_any, override_any

CONFIGS = Path(__file__).parents[2] / "configs" / "baselines"
HUB = sorted(file.stem for file in CONFIGS.glob("*.yaml") if file.stem != "common")


def load(folder: Path, values: dict[str, Any], *overrides: str) -> BaselineConfig:
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(values))
    config = load_any(file, list(overrides))
    assert isinstance(config, BaselineConfig)
    return config


def test_every_method_has_a_config() -> None:
    assert set(LEARNED_METHODS) <= set(HUB)


@pytest.mark.thorough
@pytest.mark.parametrize("name", HUB)
def test_the_configs_of_the_hub(name: str, tmp_path: Path) -> None:
    config = load_any(CONFIGS / f"{name}.yaml", ["motions=clips"])
    assert isinstance(config, BaselineConfig)
    assert config.name == name
    assert isinstance(config.settings, LEARNED_METHODS[config.method]().settings)
    again = tmp_path / "again.yaml"
    again.write_text(dump_config(config))
    assert load_any(again) == config


def test_settings_are_the_methods_own(tmp_path: Path) -> None:
    given = {"method": "hmr", "settings": {"critics": False}, "motions": "clips", "split": "split.yaml"}
    config = load(tmp_path, given, "settings.iterations=2")
    assert config.settings == HMRSettings(critics=False, iterations=2)
    changed = override_any(config, ["settings.critics=true", "epochs=3"])
    assert isinstance(changed, BaselineConfig)
    assert (changed.settings.critics, changed.epochs) == (True, 3)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"method": "hrm"}, "method 'hrm' is not known; the nearest is 'hmr'"),
        ({"method": None}, "method None is not known"),
        ({"setings": {}}, "key 'setings' is not known; the nearest is 'settings'"),
        ({"settings": {"critic": True}}, "key 'settings.critic' is not known; the nearest is 'settings.critics'"),
        ({"settings": {"weights": {"joint": 1}}}, "key 'settings.weights.joint' is not known"),
        ({"settings": {"iterations": "two"}}, "settings.iterations is 'two', expected int"),
        ({"settings": 3}, "'settings' is 3, expected a group of keys"),
        ({"pictures": {"occluded": 1.5}}, "pictures: occluded 1.5"),
        ({"pictures": {"synthetic": {"views": 2}}}, "synthetic.views 2: expected 1"),
        ({"pictures": {"synthetic": {"fingers": 0.5}}}, "synthetic.fingers 0.5: expected 0"),
        (
            {"pictures": {"synthetic": {"noise": {"drop": 2.0}}}},
            "pictures.synthetic.noise.drop is 2.0, expected 0 to 1",
        ),
        ({"samples_per_epoch": 63}, "samples_per_epoch is 63, expected at least 64"),
        ({"epochs": 0}, "epochs is 0, expected at least 1"),
        ({"seed": -1}, "seed is -1, expected 0 to"),
        ({"split": None}, "split is missing"),
        ({"motions": None}, "motions is missing"),
        (
            {"motions": None, "pictures": {"frames": 16, "synthetic": {"poses": {"procedural": 1.0}}}},
            "motions is missing; videos of pictures.frames 16 are taken from clips",
        ),
        ({"pictures": {"frames": 0}}, "pictures: frames 0: expected 1 or more"),
        (
            {"method": "retrained", "pretrained": "hmr", "pictures": {"frames": 8}},
            "settings.frames is 16, expected the value of pictures.frames, 8",
        ),
        (
            {"method": "retrained", "pictures": {"frames": 16}},
            "pretrained is missing; method 'retrained' starts from a bundle of 'hmr'",
        ),
        (
            {"method": "lassner", "pretrained": "runs/reader"},
            "pretrained is 'runs/reader'; method 'lassner' starts from random weights: leave it out",
        ),
        ({"checkpoint_minutes": 0.0}, "checkpoint_minutes is 0.0, expected more than 0"),
        ({"optimiser": {"learning_rate": 0.0}}, "optimiser.learning_rate is 0.0, expected more than 0"),
    ],
)
def test_faults(change: dict[str, Any], fault: str, tmp_path: Path) -> None:
    values = {"method": "hmr", "motions": "clips", "split": "split.yaml"} | change
    with pytest.raises(InputError) as caught:
        load(tmp_path, values)
    assert str(caught.value).startswith(f"{tmp_path / 'config.yaml'}: ")
    assert fault in str(caught.value)
    assert "\n" not in str(caught.value)
