"""Configs: every file in configs/ loads, and faults are reported in one line."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from pose2mesh.config.config_files import changed_keys, dump_config
from pose2mesh.config.train_config import TrainConfig, load_config, parse_config
from pose2mesh.errors import InputError
from pose2mesh.training.run_config import override_any

CONFIGS = Path(__file__).parents[2] / "configs"
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


def test_configs_exist() -> None:
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
    if config.pretrained is not None and config.stage == "pose2mesh":  # `overfit` trains both parts at once
        lifter = load_config(CONFIGS / f"{Path(config.pretrained).name}.yaml", ["data.motions=clips"])
        assert lifter.network == config.network


@pytest.mark.thorough
def test_published_configs_differ_from_the_defaults_as_published() -> None:
    names = {path.stem for path in (CONFIGS / "published").glob("*.yaml")}
    experiments = ("human36", "coco", "coco_amass", "smpl", "hand")
    assert names == {name + how + stage for name in experiments for how in ("", "_adam") for stage in ("", "_posenet")}
    for name in names:
        config = load_config(CONFIGS / "published" / f"{name}.yaml")
        adam, hand, lifter = "adam" in name, "hand" in name, name.endswith("posenet")
        assert config.name == name
        assert (config.optimiser.name, config.batch_size) == (("adam", 32) if adam else ("rmsprop", 64))
        assert config.optimiser.learning_rate == 1e-3
        assert (
            config.epochs == {(True, True): 120, (True, False): 60, (False, True): 40, (False, False): 15}[lifter, hand]
        )
        assert config.pretrained == (None if lifter else f"runs/{name}_posenet")
        assert config.data.body.model == ("mano" if hand else "smpl")
        assert config.network.block_widths[-1] == (128, 128)


def test_an_own_data_set_as_the_documents_show_it(tmp_path: Path) -> None:
    page = (CONFIGS.parent / "docs" / "data.md").read_text()
    example = page.split("alone or with other data sets:")[1].split("Annotations without 3D labels")[0]
    values = textwrap.dedent(example).replace("light_posenet.yaml", str(CONFIGS / "light_posenet.yaml"))
    config = load_config(write(tmp_path, values))
    assert {name: choice.weight for name, choice in config.data.sets.items()} == {"mine": 1.0, "coco": 0.5}
    assert config.data.sets["mine"].reader == "own"


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
        ("data.synthetic.fingers=2", "fingers is 2.0, expected 0 to 1"),
        ("seed=-1", "seed is -1, expected 0 to"),
        ("data.fps=0", "data.fps is 0.0, expected more than 0"),
        ("optimiser.learning_rate=-1", "learning_rate is -1.0, expected more than 0"),
        ("data.synthetic.poses.mirror=1.2", "poses.mirror is 1.2, expected 0 to 1"),
        ("data.synthetic.poses.mix_limbs=1.2", "poses.mix_limbs is 1.2, expected 0 to 1"),
        ("data.synthetic.poses.rarity=-1", "poses.rarity is -1.0, expected 0 to 1"),
        ("data.synthetic.poses.rest_temperature_m=0", "poses.rest_temperature_m is 0.0, expected more than 0"),
        ("data.synthetic.noise.drop=-0.1", "noise.drop is -0.1, expected 0 to 1"),
        ("data.synthetic.noise.scattered=1.5", "noise.scattered is 1.5, expected 0 to 1"),
        ("data.synthetic.shapes.age=[0.9, 0.1]", "shapes.age is [0.9, 0.1], expected the smaller first"),
        ("data.synthetic.noise.scale=[1, 0]", "noise.scale is [1.0, 0.0], expected the smaller first"),
        ("network.landmarks=-1", "network.landmarks is -1, expected 0 or more"),
        ("network.landmarks=8", "network.landmarks is 8, which needs network.joint_base: true"),
        ("optimiser.keep_statistics=true", "keep_statistics is true, expected false without pretrained"),
    ],
)
def test_impossible_combinations(override: str, fault: str, good: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_config(good, [override])
    assert fault in str(caught.value)
    assert str(caught.value).startswith(f"{good}: ")


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        (
            "data.sets.human36m.splitt=a",
            "key 'data.sets.human36m.splitt' is not known; the nearest is 'data.sets.human36",
        ),
        ("data.sets.human36m.weight=a", "data.sets.human36m.weight is 'a', expected float"),
        ("data.sets.human36m.input=a", "data.sets.human36m.input is 'a', expected Literal['gt', 'noisy', 'detected']"),
        ("data.sets.human36m=3", "'data.sets.human36m' is 3, expected a group of keys"),
        ("data.sets.human35m.weight=1", "data.sets.human35m.reader is 'human35m', which is not known"),
        ("data.sets.coco.which=all", "data.sets.coco.which: reader coco has no such choice"),
        ("data.validation=", "data.validation is missing; data.sets needs a data set to validate on"),
        ("data.validation.stride=x", "data.validation.stride is 'x', expected int | None"),
        ("data.sets.freihand.weight=1", "data.body.model is smpl, expected mano, that of data.sets.freihand"),
        ("data.body.model=anny", "data.body.model is anny, expected smpl, that of data.sets.human36m"),
        ("data.motions=clips", "data.motions and data.sets are both given, expected one of them"),
        ("joint_set=hand", "joint_set hand does not go with data.body.model smpl"),
        ("stage=pose2mesh", "data.mirror is 0.5, expected 0 in stage pose2mesh"),
        ("data.mirror=2", "data.mirror is 2.0, expected 0 to 1"),
    ],
)
def test_impossible_choices_of_data_sets(override: str, fault: str) -> None:
    path = CONFIGS / "published" / "human36_posenet.yaml"
    with pytest.raises(InputError) as caught:
        load_config(path, ["data.synthetic.noise.model=coco", override])
    assert fault in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")


def test_people_with_landmarks_are_not_mirrored() -> None:
    path = CONFIGS / "published" / "human36_posenet.yaml"
    with pytest.raises(InputError, match=r"data\.mirror is 0\.5, expected 0 with network\.landmarks: no mesh"):
        load_config(path, ["network.joint_base=true", "network.landmarks=8"])


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ("data.mirror=0.5", "data.mirror goes with data.sets, which are not given"),
        ("data.validation.reader=coco", "data.validation goes with data.sets, which are not given"),
        ("data.body.model=smpl", "data.body.model is smpl, which goes with data.sets; expected anny"),
        ("joint_set=hand", "joint_set is hand, expected one of the Anny body: human36, coco, smpl"),
    ],
)
def test_synthetic_samples_are_of_the_anny_body(override: str, fault: str, good: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_config(good, [override])
    assert fault in str(caught.value)


def test_overrides_apply(good: Path) -> None:
    overrides = ["epochs=3", "optimiser.learning_rate=1e-4", "data.synthetic.shapes.age=[0.7, 0.9]", " name = a run"]
    config = load_config(good, [*overrides, "pretrained=", "optimiser.clip=1", "stage=pose2mesh"])
    assert config.epochs == 3
    assert config.optimiser.learning_rate == 1e-4  # which YAML 1.1 takes for a string
    assert config.data.synthetic.shapes.age == (0.7, 0.9)
    assert config.data.synthetic.poses.procedural == 1  # keys beside the changed one keep their values
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


def test_changed_keys_have_dotted_names() -> None:
    config = parse_config(PROCEDURAL, "test")
    assert changed_keys(config, parse_config(yaml.safe_load(dump_config(config)), "test")) == {}
    changed = override_any(config, ["epochs=7", "data.synthetic.shapes.age=[0.7, 0.9]", "optimiser.milestones=[2]"])
    assert changed_keys(config, changed) == {
        "epochs": (60, 7),
        "data.synthetic.shapes.age": ([0.6, 1.0], [0.7, 0.9]),
        "optimiser.milestones": ([30], [2]),
    }
    path = CONFIGS / "published" / "human36_posenet.yaml"
    more = load_config(path, ["data.sets.coco.weight=2", "data.folder=elsewhere"])
    assert {key: new for key, (_, new) in changed_keys(load_config(path), more).items() if new is not None} == {
        "data.folder": "elsewhere", "data.sets.coco.weight": 2.0, "data.sets.coco.input": "noisy",
        "data.sets.coco.true_px": "projected", "data.sets.coco.genders": "labelled", "data.sets.coco.on_fault": "raise",
    }  # fmt: skip
    with pytest.raises(InputError, match="--set: key 'epoch' is not known"):
        override_any(config, ["epoch=7"])
