"""Configs: every one that is there loads, and what is wrong with one is said in a line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from pose2mesh.config import TrainConfig, changed_keys, dump_config, load_config, override_config, parse_config
from pose2mesh.errors import InputError

CONFIGS = Path(__file__).parents[1] / "configs"
RUN_CONFIGS = sorted(path.name for path in CONFIGS.glob("*.yaml") if not path.name.endswith("_split.yaml"))
# A config without clips, as small as can be.
PROCEDURAL = {"data": {"synthetic": {"poses": {"procedural": 1.0}}}}


def write(folder: Path, values: object, name: str = "config.yaml") -> Path:
    path = folder / name
    path.write_text(values if isinstance(values, str) else yaml.safe_dump(values))
    return path


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write(tmp_path, PROCEDURAL)


def test_there_are_configs() -> None:
    assert "light.yaml" in RUN_CONFIGS


@pytest.mark.parametrize("name", RUN_CONFIGS)
def test_every_config_loads(name: str) -> None:
    if name == "quick.yaml":
        config = load_config(CONFIGS / name)
        assert (config.name, config.data.motions, config.pretrained) == ("quick", None, None)
        return
    config = load_config(CONFIGS / name, ["data.motions=clips"])
    assert config.name == Path(name).stem
    assert config.data.split is not None
    assert (CONFIGS.parent / config.data.split).is_file()
    if config.pretrained is not None:  # `overfit` trains both parts at once
        lifter = load_config(CONFIGS / f"{config.name}_posenet.yaml", ["data.motions=clips"])
        assert lifter.network == config.network


@pytest.mark.parametrize("name", RUN_CONFIGS)
def test_round_trip(name: str, tmp_path: Path) -> None:
    config = load_config(CONFIGS / name, ["data.motions=clips", "data.split=split.yaml"])
    again = load_config(write(tmp_path, dump_config(config)))
    assert dump_config(again) == dump_config(config)
    assert again == config


def test_defaults_are_the_published_ones() -> None:
    config = parse_config(PROCEDURAL, "test")
    assert (config.network.posenet_width, config.network.posenet_blocks, config.network.posenet_dropout) == (
        4096,
        2,
        0.5,
    )
    assert (config.optimiser.name, config.optimiser.learning_rate, config.optimiser.milestones) == (
        "rmsprop",
        1e-3,
        (30,),
    )
    assert (config.epochs, config.batch_size) == (60, 64)
    assert (config.losses.vertex, config.losses.normal, config.losses.edge, config.losses.edge_from_epoch) == (
        1,
        0.1,
        20,
        7,
    )


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"epoch": 3}, "key 'epoch' is not known; the nearest is 'epochs'"),
        (
            {"network": {"posnet_width": 3}},
            "key 'network.posnet_width' is not known; the nearest is 'network.posenet_width'",
        ),
        ({"data": {"synthetic": {"noise": {"dropp": 0}}}}, "the nearest is 'data.synthetic.noise.drop'"),
        ({"epochs": 1.5}, "epochs is 1.5, expected int"),
        ({"epochs": "many"}, "epochs is 'many', expected int"),
        ({"name": 5}, "name is 5, expected str"),
        ({"precision": "fp16"}, "precision is 'fp16', expected Literal['fp32', 'bf16']"),
        ({"data": {"motions": 3}}, "data.motions is 3, expected str | None"),
        (
            {"data": {"synthetic": {"noise": {"scale": [1, 2, 3]}}}},
            "noise.scale is [1, 2, 3], expected tuple[float, float]",
        ),
        ({"data": {"synthetic": {"noise": {"model": "laplace"}}}}, "noise.model is 'laplace', expected Literal"),
        ({"network": 3}, "'network' is 3, expected a group of keys"),
    ],
)
def test_unknown_keys_and_wrong_types(values: dict, fault: str, tmp_path: Path) -> None:
    path = write(tmp_path, values)
    with pytest.raises(InputError) as caught:
        load_config(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert fault in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ("network.block_widths=[[8, 8]]", "network.block_widths has 1 blocks, expected 8 (coarsenings − finest + 1)"),
        ("network.finest=3", "expected 5"),
        ("data.motions=clips", "data.split is missing"),
        ("data.synthetic.poses.procedural=0.5", "data.motions is missing; without clips"),
        ("data.synthetic.noise.model=human36", "noise.model human36 needs joint_set human36"),
        ("batch_size=1", "batch_size is 1, expected at least 2"),
        ("epochs=0", "epochs is 0, expected at least 1"),
        ("accumulate=0", "accumulate is 0, expected at least 1"),
        ("checkpoint_minutes=0", "checkpoint_minutes is 0.0, expected more than 0"),
        ("data.samples_per_epoch=0", "data.samples_per_epoch is 0, expected at least 1"),
        ("data.synthetic.views=0", "views is 0, expected at least 1"),
        ("seed=-1", "seed is -1, expected 0 to"),
        ("data.fps=0", "data.fps is 0.0, expected more than 0"),
        ("optimiser.learning_rate=-1", "learning_rate is -1.0, expected more than 0"),
        ("data.synthetic.poses.mirror=1.2", "poses.mirror is 1.2, expected 0 to 1"),
        ("data.synthetic.noise.drop=-0.1", "noise.drop is -0.1, expected 0 to 1"),
        ("data.synthetic.noise.scattered=1.5", "noise.scattered is 1.5, expected 0 to 1"),
        ("data.synthetic.shapes.age=[0.9, 0.1]", "shapes.age is [0.9, 0.1], expected the smaller first"),
        ("data.synthetic.noise.scale=[1, 0]", "noise.scale is [1.0, 0.0], expected the smaller first"),
    ],
)
def test_impossible_combinations(override: str, fault: str, good: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_config(good, [override])
    assert fault in str(caught.value)
    assert str(caught.value).startswith(f"{good}: ")


def test_overrides_apply(good: Path) -> None:
    overrides = ["epochs=3", "optimiser.learning_rate=1e-4", "data.synthetic.shapes.age=[0.7, 0.9]", " name = a run"]
    config = load_config(good, [*overrides, "pretrained=", "optimiser.clip=1", "stage=pose2mesh"])
    assert config.epochs == 3
    assert config.optimiser.learning_rate == 1e-4  # which YAML 1.1 takes for a string
    assert config.data.synthetic.shapes.age == (0.7, 0.9)
    assert config.data.synthetic.poses.procedural == 1  # what is beside the changed key stays
    assert config.name == "a run"
    assert config.pretrained is None
    assert config.stage == "pose2mesh"


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ("epochs", "--set 'epochs': expected key=value"),
        ("epochs.x=3", "epochs is {'x': 3}, expected int"),
        ("name=[1", "--set 'name=[1': not YAML"),
        ("=3", "key '' is not known"),
        ("optimizer.clip=3", "key 'optimizer' is not known; the nearest is 'optimiser'"),
    ],
)
def test_bad_overrides(override: str, fault: str, good: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_config(good, [override])
    assert fault in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_override_fills_an_empty_group(tmp_path: Path) -> None:
    path = write(tmp_path, "data:\n")
    assert load_config(path, ["data.synthetic.poses.procedural=1"]).data.synthetic.poses.procedural == 1
    path.write_text("epochs: 3\n")
    with pytest.raises(InputError, match="'epochs' is a value, not a group of keys"):
        load_config(path, ["epochs.x=3"])


def test_base(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    write(tmp_path, {**PROCEDURAL, "epochs": 5, "optimiser": {"clip": 2.0, "decay": 0.1}}, "base.yaml")
    write(tmp_path, {"base": "base.yaml", "optimiser": {"clip": 3.0}}, "middle.yaml")
    path = write(tmp_path / "below", {"base": "../middle.yaml", "name": "top"})
    config = load_config(path)
    assert (config.name, config.epochs) == ("top", 5)
    assert (config.optimiser.clip, config.optimiser.decay) == (3.0, 0.1)


def test_bad_bases(tmp_path: Path) -> None:
    path = write(tmp_path, {"base": "none.yaml"})
    with pytest.raises(InputError, match=r"none\.yaml: No such file"):
        load_config(path)
    path = write(tmp_path, {"base": 3})
    with pytest.raises(InputError, match="base is 3, expected the path of a config"):
        load_config(path)
    write(tmp_path, {"base": "config.yaml"}, "other.yaml")
    path = write(tmp_path, {"base": "other.yaml"})
    with pytest.raises(InputError, match="leads back to itself"):
        load_config(path)


def test_files_that_are_no_configs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yaml: No such file"):
        load_config(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="Is a directory"):
        load_config(tmp_path)
    with pytest.raises(InputError, match="expected keys and values, found list"):
        load_config(write(tmp_path, "- 1\n"))
    with pytest.raises(InputError, match="not YAML"):
        load_config(write(tmp_path, "a: [1\n"))
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(InputError, match=r"binary\.yaml: not a text file"):
        load_config(tmp_path / "binary.yaml")


def test_the_split_is_no_run_config() -> None:
    with pytest.raises(InputError, match=r"mocap_split\.yaml: key 'train' is not known"):
        load_config(CONFIGS / "mocap_split.yaml")


def test_a_config_made_in_code_round_trips() -> None:
    config = parse_config(PROCEDURAL, "test")
    config = replace(config, epochs=2, name="made: in 'code'")
    assert parse_config(yaml.safe_load(dump_config(config)), "test") == config
    assert isinstance(config, TrainConfig)


def test_changed_keys_are_told_by_their_dotted_names() -> None:
    config = parse_config(PROCEDURAL, "test")
    assert changed_keys(config, parse_config(yaml.safe_load(dump_config(config)), "test")) == {}
    changed = override_config(config, ["epochs=7", "data.synthetic.shapes.age=[0.7, 0.9]", "optimiser.milestones=[2]"])
    assert changed_keys(config, changed) == {
        "epochs": (60, 7),
        "data.synthetic.shapes.age": ([0.6, 1.0], [0.7, 0.9]),
        "optimiser.milestones": ([30], [2]),
    }
    with pytest.raises(InputError, match="--set: key 'epoch' is not known"):
        override_config(config, ["epoch=7"])
