"""The largest batch that fits: by trial, and by the growth of the peak."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pose2mesh.cli.main import main
from pose2mesh.config.config_files import dump_config
from pose2mesh.config.train_config import TrainConfig
from pose2mesh.training import batch_size

MB = 1 << 20


class Machine:
    """Memory that a step of a known cost fills."""

    def __init__(self, fixed: int, a_person: int) -> None:
        self.fixed, self.a_person, self.held, self.sizes = fixed, a_person, fixed, list[int]()

    def step(self, size: int) -> None:
        self.sizes.append(size)
        self.held = max(self.held, 150 * MB + size * self.a_person)

    def peak(self) -> int:
        return self.held


@pytest.mark.parametrize(("a_person", "expected"), [(MB, 4096), (MB // 10, 32768), (100 * MB, 32)])
def test_growth_is_carried_on_to_the_available_memory(a_person: int, expected: int) -> None:
    machine = Machine(300 * MB, a_person)
    found = batch_size.by_growth(machine.step, machine.peak, 6000 * MB, 1 << 20)
    assert found == expected
    assert 150 * MB + found * a_person <= 300 * MB + 0.8 * 6000 * MB < 150 * MB + 2 * found * a_person
    assert machine.held < 0.5 * 6000 * MB  # without having filled it


def test_growth_ends_at_the_most_and_at_nothing() -> None:
    machine = Machine(300 * MB, 1000)
    assert batch_size.by_growth(machine.step, machine.peak, 6000 * MB, 100) == 64
    machine = Machine(300 * MB, 5000 * MB)
    assert batch_size.by_growth(machine.step, machine.peak, 6000 * MB, 100) == 1


def test_trial_ends_when_the_memory_is_full() -> None:
    def step(size: int) -> None:
        if size > 40:
            raise torch.cuda.OutOfMemoryError

    assert batch_size.by_trial(step, 1000) == 32
    assert batch_size.by_trial(step, 20) == 16


@pytest.mark.thorough
def test_the_command_says_it(
    tiny: Callable[..., TrainConfig], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.yaml").write_text(dump_config(tiny()))
    assert main(["train", str(tmp_path / "config.yaml"), "--find-batch"]) == 0
    assert capsys.readouterr().out == "batch_size=512\n"  # an epoch has 640 people
    assert main(["train", "--resume", str(tmp_path), "--find-batch"]) == 2
    assert [file.name for file in tmp_path.iterdir()] == ["config.yaml"]
