"""Timing of one case: the network and its textbook formulation, each in its own process, in alternating rounds.

Each of the two runs in a fresh process, so that its peak memory can be measured; their rounds alternate, so that other
load on the machine affects both. If memory does not suffice for both, they run one after the other.
"""

from __future__ import annotations

import ctypes
import itertools
import multiprocessing
import os
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from limits import synchronise
from textbook import TextbookPose2Mesh

from pose2mesh.config.train_config import TrainConfig
from pose2mesh.datasets.batch import Batch
from pose2mesh.inference.torch_backend import TorchBackend
from pose2mesh.models.mesh_topology import MeshTopology
from pose2mesh.models.pose2mesh import Pose2Mesh
from pose2mesh.skeletons import JOINT_SETS
from pose2mesh.training.batch_size import peak_bytes
from pose2mesh.training.memory import keep_freed_memory

FORMULATIONS = ("ours", "textbook")
ROUND_SECONDS = 0.2  # of repeated passes, at the least: a single pass of a millisecond would measure cold caches
LEAST_BYTES = 2**24  # smaller peaks are dominated by the allocator
TINY_BATCH = {"forward": 1, "train": 2}  # batch of the warm-up, whose memory is not counted


@dataclass(frozen=True)
class Subject:
    """A network under test: its training config, its mesh topology and the file of its bundle."""

    config: TrainConfig
    surface: MeshTopology
    bundle: Path


@dataclass(frozen=True)
class Case:
    """One case to time.

    Attributes:
        network: Name of the network.
        mode: `forward` is pixels to vertices; `train` a step on a given batch: forward, losses, backward, optimiser.
        precision: `bf16` is autocast, as in training.
        batch: Number of people.
        device: `cpu` or `cuda`.
        threads: CPU threads.
    """

    network: str
    mode: Literal["forward", "train"]
    precision: Literal["fp32", "bf16"]
    batch: int
    device: str
    threads: int


@dataclass(frozen=True)
class Measured:
    """Measurements of one formulation.

    Attributes:
        seconds: Seconds a pass, of each round.
        peak_bytes: Peak memory above the memory at rest.
        rest_bytes: Memory of the program, the network and, in training, gradients and optimiser state.
    """

    seconds: list[float]
    peak_bytes: int
    rest_bytes: int

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def as_dict(self, batch: int) -> dict[str, Any]:
        ms = [1000 * value / batch for value in self.seconds]
        return {
            "ms_per_person": statistics.median(ms), "ms_per_person_least": min(ms), "ms_per_person_most": max(ms),
            "rounds": len(ms), "peak_bytes": self.peak_bytes, "rest_bytes": self.rest_bytes,
        }  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """Measurements of both formulations of a case.

    Attributes:
        case: The case.
        ours, textbook: The measurements; None if the case was skipped.
        skipped: Why it was skipped.
        alternating: Whether the rounds alternated; if not, one formulation ran after the other.
    """

    case: Case
    ours: Measured | None = None
    textbook: Measured | None = None
    skipped: str = ""
    alternating: bool = True

    @property
    def time_ratio(self) -> float:
        """Time of the textbook formulation over ours."""
        assert self.ours is not None
        assert self.textbook is not None
        return self.textbook.median / self.ours.median

    @property
    def memory_ratio(self) -> float | None:
        """Our peak memory over the textbook's; None where both are too small to compare."""
        assert self.ours is not None
        assert self.textbook is not None
        if self.textbook.peak_bytes < LEAST_BYTES:
            return None
        return self.ours.peak_bytes / self.textbook.peak_bytes

    def expected_bytes(self, batch: int) -> dict[str, int]:
        """Estimated memory of each formulation with another batch; empty if this case was skipped."""
        if self.ours is None or self.textbook is None:
            return {}
        growth = 1.1 * batch / self.case.batch
        sides = zip(FORMULATIONS, (self.ours, self.textbook), strict=True)
        return {name: int(growth * side.peak_bytes) + side.rest_bytes for name, side in sides}

    def as_dict(self) -> dict[str, Any]:
        if self.ours is None or self.textbook is None:
            return {**asdict(self.case), "skipped": self.skipped}
        pair = zip if self.alternating else itertools.product
        pairs = [b / a for a, b in pair(self.ours.seconds, self.textbook.seconds)]
        return {
            **asdict(self.case),
            "turns": "alternating" if self.alternating else "one after the other",
            "ours": self.ours.as_dict(self.case.batch),
            "textbook": self.textbook.as_dict(self.case.batch),
            "time_ratio": self.time_ratio, "time_ratio_least": min(pairs), "time_ratio_most": max(pairs),
            "memory_ratio": self.memory_ratio,
        }  # fmt: skip


# Functions that run in the process of the benchmark


def fresh_process() -> ProcessPoolExecutor:
    """A pool of one process that has imported the libraries but not used them: no threads, memory or device yet."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pose2mesh.training.pose2mesh_module", "pose2mesh.inference.predictor"])
    return ProcessPoolExecutor(1, mp_context=context)


def compare(
    case: Case, subject: Subject, budget_s: float, least: int, most: int, expected_bytes: dict[str, int] | None = None
) -> Comparison:
    """Time both formulations for as many rounds as fit into the budget.

    The rounds alternate; if memory does not suffice for both, the formulations run one after the other.

    Args:
        case: The case to time.
        subject: The network.
        budget_s: Seconds for the rounds of both formulations together.
        least, most: Least number of rounds, regardless of the budget, and largest number.
        expected_bytes: Estimated memory of each formulation; the case is skipped if one alone does not fit.
    """
    expected = expected_bytes or {}
    try:
        with fresh_process() as pool:
            available = pool.submit(available_bytes, case.device).result()
        groups = together(expected, available)
        found: dict[str, Measured] = {}
        for names in groups:
            found |= measure(case, names, subject, budget_s / len(groups), least, most)
        if not found:
            gib = max(expected.values()) / 2**30
            return Comparison(case, skipped=f"would need {gib:.1f} GiB, {available / 2**30:.1f} GiB are free")
        return Comparison(case, found["ours"], found["textbook"], alternating=len(groups) == 1)
    except (BrokenProcessPool, torch.OutOfMemoryError) as error:
        return Comparison(case, skipped=f"a process ended early, most likely out of memory ({type(error).__name__})")


def together(expected_bytes: dict[str, int], available: int) -> list[tuple[str, ...]]:
    """Groups of formulations that run at the same time; no group if one formulation alone does not fit."""
    if sum(expected_bytes.values()) <= available:
        return [FORMULATIONS]
    if max(expected_bytes.values()) <= available:
        return [(name,) for name in FORMULATIONS]
    return []


def measure(
    case: Case, names: tuple[str, ...], subject: Subject, budget_s: float, least: int, most: int
) -> dict[str, Measured]:
    """Time alternating rounds of formulations, each in a fresh process."""
    processes = {name: fresh_process() for name in names}
    try:
        for ready in [pool.submit(prepare, case, name, subject) for name, pool in processes.items()]:
            ready.result()
        seconds: dict[str, list[float]] = {name: [] for name in names}
        start = time.perf_counter()
        for count in range(most):
            spent = time.perf_counter() - start
            if count >= least and spent * (count + 1) / count > budget_s:
                break
            for name, pool in processes.items():
                seconds[name].append(pool.submit(time_round).result())
        # The first round is a warm-up, unless long rounds leave only a few.
        kept = {name: values[1:] if len(values) > 3 else values for name, values in seconds.items()}
        return {name: Measured(kept[name], *pool.submit(peak_memory).result()) for name, pool in processes.items()}
    finally:
        for pool in processes.values():
            pool.shutdown()


# Functions that run in the process of a case

_work: Work


class Work:
    """A network prepared for the passes of a case."""

    def __init__(self, case: Case, formulation: str, subject: Subject) -> None:
        torch.set_num_threads(case.threads)
        torch.manual_seed(0)
        self.case = case
        if case.mode == "train" and formulation == "ours":
            keep_freed_memory()  # as `pose2mesh train` does
        network = build(case, formulation, subject)
        self.once = Forward(network, case) if case.mode == "forward" else Step(network, subject, case)
        self.once(random_people(subject, TINY_BATCH[case.mode], case.device))
        self.people = random_people(subject, case.batch, case.device)
        synchronise(case.device)
        self.rest_bytes = memory_at_rest(case.device)

    def time_round(self) -> float:
        """Mean seconds a pass over one round."""
        count, start, spent = 0, time.perf_counter(), 0.0
        while spent < ROUND_SECONDS:
            self.once(self.people)
            synchronise(self.case.device)
            count, spent = count + 1, time.perf_counter() - start
        return spent / count


def build(case: Case, formulation: str, subject: Subject) -> Pose2Mesh:
    """Build the network; for inference in the form that `pose2mesh predict` uses."""
    if case.mode == "forward" and formulation == "ours":
        return TorchBackend.load(subject.bundle, case.device).network
    kind = TextbookPose2Mesh if formulation == "textbook" else Pose2Mesh
    config = subject.config
    return kind(config.network, JOINT_SETS[config.joint_set], subject.surface).to(case.device).eval()


def prepare(case: Case, formulation: str, subject: Subject) -> None:
    """Set up this process for a case."""
    global _work
    _work = Work(case, formulation, subject)


def available_bytes(device: str) -> int:
    """Free memory in bytes."""
    if device == "cuda":
        return torch.cuda.mem_get_info()[0]
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    kib = next(line.split()[1] for line in meminfo.read_text().splitlines() if line.startswith("MemAvailable"))
    return 1024 * int(kib)


def time_round() -> float:
    return _work.time_round()


def peak_memory() -> tuple[int, int]:
    """Peak bytes in use during the rounds above those at rest, and bytes at rest."""
    peak = torch.cuda.max_memory_allocated() if _work.case.device == "cuda" else peak_bytes()
    return max(0, peak - _work.rest_bytes), _work.rest_bytes


def memory_at_rest(device: str) -> int:
    """Bytes in use; resets the peak."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    reset = Path("/proc/self/clear_refs")
    if reset.exists():  # Linux
        ctypes.CDLL(None).malloc_trim(0)  # return memory freed by the warm-up to the system
        reset.write_text("5")  # reset the largest resident size
    return peak_bytes()


class Forward:
    """Pixels to vertices."""

    def __init__(self, network: Pose2Mesh, case: Case) -> None:
        self.network, self.case = network, case

    def __call__(self, people: Batch) -> None:
        with torch.inference_mode(), autocast(self.case):
            self.network.vertices(self.network(people.joints_px, people.confidence).points)


class Step:
    """A training step of stage two on a given batch, so that only the formulation of the network differs."""

    def __init__(self, network: Pose2Mesh, subject: Subject, case: Case) -> None:
        from pose2mesh.training.optimisers import build_optimiser
        from pose2mesh.training.pose2mesh_module import Pose2MeshModule

        self.case, unused = case, cast(Any, None)  # the data source
        faces = torch.from_numpy(subject.surface.point_faces)
        self.module = Pose2MeshModule(subject.config, network, unused, faces).to(case.device).train()
        if subject.config.optimiser.posenet_factor == 0:
            network.posenet.eval()
        self.optimiser = build_optimiser(subject.config.optimiser, network)

    def __call__(self, people: Batch) -> None:
        self.optimiser.zero_grad()
        with autocast(self.case):
            prediction = self.module.predict_batch(people)
        loss = torch.stack(list(self.module.loss_terms(prediction, people).values())).sum()
        loss.backward()
        self.module.check_and_clip_gradient(0)
        self.optimiser.step()


def random_people(subject: Subject, count: int, device: str) -> Batch:
    """A batch of random numbers: speed does not depend on them."""
    J = len(JOINT_SETS[subject.config.joint_set])
    there = torch.ones(count, J, dtype=torch.bool, device=device)
    return Batch(
        joints_px=500 * torch.rand(count, J, 2, device=device),
        confidence=torch.ones(count, J, device=device),
        joints=torch.randn(count, J, 3, device=device),
        points=torch.randn(count, len(subject.surface.points), 3, device=device),
        joints_valid=there,
        surface_valid=there[:, 0],
        to_ray=torch.eye(3, device=device).expand(count, 3, 3),
    )


def autocast(case: Case) -> torch.autocast:
    return torch.autocast(case.device, torch.bfloat16, enabled=case.precision == "bf16")
