"""Prefetched samples: in order, each made once, and errors raised where they are taken."""

from __future__ import annotations

import threading

import pytest
import torch

from pose2mesh.training.prefetch import Prefetcher


def test_the_next_is_drawn_while_the_last_is_in_use() -> None:
    drawn = {step: threading.Event() for step in range(4)}

    def draw(step: int) -> int:
        drawn[step].set()
        return 10 * step

    ahead = Prefetcher(draw)
    assert ahead.take(0, 1) == 0
    assert drawn[1].wait(600)  # before it was requested
    assert ahead.take(1, None) == 10
    assert not drawn[2].is_set()


def test_each_is_drawn_once_and_all_in_the_same_thread() -> None:
    calls: list[tuple[int, str]] = []
    ahead = Prefetcher(lambda step: calls.append((step, threading.current_thread().name)))
    for step in range(3):
        ahead.take(step, step + 1)
    ahead.take(7, None)  # another epoch: what was drawn ahead is of no use
    assert [step for step, _ in calls] == [0, 1, 2, 3, 7]
    assert len({name for _, name in calls}) == 1
    assert calls[0][1] != threading.current_thread().name


def test_it_draws_on_one_core_and_leaves_the_others_their_threads() -> None:
    before = torch.get_num_threads()
    assert Prefetcher[int, int](lambda step: torch.get_num_threads()).take(0, None) == 1
    assert torch.get_num_threads() == before


def test_a_fault_comes_up_where_the_batch_is_taken() -> None:
    ahead = Prefetcher(lambda step: 1 // step)
    assert ahead.take(1, 0) == 1
    with pytest.raises(ZeroDivisionError):
        ahead.take(0, None)
