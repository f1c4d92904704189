"""Freed memory stays with the process: a tensor made anew costs no page faults."""

from __future__ import annotations

import subprocess
import sys

import pytest

_PAGES = """
import resource, torch
from pose2mesh.training.memory import keep_freed_memory
if {keep}: print(keep_freed_memory())
torch.set_num_threads(1)
for _ in range(30): torch.ones(2**24)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(8): torch.ones(2**24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.thorough
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc alone has what this asks for")
def test_memory_is_kept() -> None:
    def run(keep: bool) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", _PAGES.format(keep=keep)], capture_output=True, text=True, check=True
        )
        return done.stdout.split()

    arranged, kept = run(True)
    (given_back,) = run(False)
    assert arranged == "True"
    assert int(given_back) > 4 * int(kept)
