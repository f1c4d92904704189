"""The networks beside their textbook formulation and beside what the machine can do.

    python benchmarks/bench.py [--device cpu|cuda] [--threads N] [--budget SECONDS] [--quick] [--out FILE.json]

Times each network (fresh weights: speed does not depend on them) on the Anny body: pixels to vertices and training
steps, in float32 and under bfloat16 autocast, turn about with the textbook formulation (`textbook.py`); measures the
machine's matrix products and copies (`limits.py`), and how time grows with people and vertices (`scaling.py`). Ratios
within one run are the result; milliseconds depend on the machine. Prints tables, and writes them beside the JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import limits
import report
import scaling
import torch
from cases import Case, Comparison, Subject, compare, fresh_process
from textbook import TextbookPose2Mesh

from pose2mesh.config import load_config
from pose2mesh.files import replacing
from pose2mesh.models.bundle import Bundle, save_bundle
from pose2mesh.models.bundle_info import BundleInfo
from pose2mesh.skeletons import JOINT_SETS
from pose2mesh.training.run import build_network, open_supply

ROOT = Path(__file__).parents[1]
CONFIGS = {"faithful": "faithful.yaml", "light": "light.yaml"}
BOTH: tuple[Literal["fp32", "bf16"], ...] = ("fp32", "bf16")


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        precisions: By network.
        batches: By pass.
        rounds: At the least in float32 up to a batch of 32 (elsewhere one), and at the most.
        cube: Edge of the square matrices whose product is timed.
        rate_budget_s: For each of the machine's rates and of the scaling's times.
        steps: Of training, for its samples a second.
        people, tori, torus_batch: Of the scaling.
    """

    precisions: dict[str, tuple[Literal["fp32", "bf16"], ...]]
    batches: dict[Literal["forward", "train"], tuple[int, ...]]
    rounds: tuple[int, int]
    cube: int
    rate_budget_s: float
    steps: int
    people: tuple[int, ...]
    tori: tuple[tuple[int, int], ...]
    torus_batch: int


FULL = Plan(
    {"faithful": BOTH, "light": BOTH}, {"forward": (1, 8, 32, 64), "train": (8, 32, 64)}, (2, 11), 2048, 1.0, 20,
    (1, 8, 64, 256), ((48, 72), (72, 96), (96, 144), (144, 192)), 8,
)  # fmt: skip
QUICK = Plan(
    {"faithful": ("fp32",), "light": BOTH}, {"forward": (1,), "train": (2,)}, (1, 2), 256, 0.02, 2,
    (1, 4), ((16, 24), (24, 32)), 1,
)  # fmt: skip


def build(name: str, folder: Path) -> tuple[Subject, report.Size]:
    """A fresh network, written to a bundle, and its sizes."""
    config = load_config(ROOT / "configs" / CONFIGS[name], ["data.synthetic.poses.procedural=1.0"])
    surface, network = build_network(config, open_supply(config))
    info = BundleInfo(name, config.joint_set, "anny", {"network": config.network.as_dict()}, "nothing", "Apache-2.0")
    subject = Subject(config, surface, folder / f"{name}.safetensors")
    save_bundle(subject.bundle, Bundle(network.eval(), surface, info))
    textbook = TextbookPose2Mesh(config.network, JOINT_SETS[config.joint_set], surface).eval()
    return subject, report.Size(
        sum(parameter.numel() for parameter in network.parameters()),
        limits.needed_multiply_accumulates(network, surface),
        limits.multiply_accumulates(network),
        limits.multiply_accumulates(textbook),
        *limits.least_values(network, surface),
        limits.layer_shapes(network, surface, people=8),
    )


def run_cases(subjects: dict[str, Subject], plan: Plan, arguments: argparse.Namespace) -> list[Comparison]:
    """Every network, pass, precision and batch; prints a line for each."""
    done = []
    for name, subject in subjects.items():
        for mode, batches in plan.batches.items():
            for precision in plan.precisions[name]:
                expected = 0.0
                for batch in batches:
                    least = plan.rounds[0] if precision == "fp32" and batch <= 32 else 1
                    comparison = compare(
                        Case(name, mode, precision, batch, arguments.device, arguments.threads),
                        subject, arguments.budget, least, plan.rounds[1], int(batch * expected),
                    )  # fmt: skip
                    done.append(comparison)
                    print(report.brief(comparison), flush=True)
                    if comparison.ours is not None and comparison.textbook is not None:
                        expected = 1.1 * (comparison.ours.peak_bytes + comparison.textbook.peak_bytes) / batch
    return done


def alone(work: Callable[..., Any], *arguments: Any) -> Any:
    """The result of a function, called in a fresh process."""
    with fresh_process() as pool:
        return pool.submit(work, *arguments).result()


def measure(plan: Plan, arguments: argparse.Namespace, folder: Path) -> tuple[dict[str, Any], str]:
    """All of it: results and tables."""
    device, threads, budget_s = arguments.device, arguments.threads, plan.rate_budget_s
    subjects, sizes = {}, {}
    for name in CONFIGS:
        subjects[name], sizes[name] = build(name, folder)
    light, faithful = subjects["light"], subjects["faithful"]
    shapes = [(plan.cube,) * 3, *sizes["faithful"].shapes]
    rates = alone(limits.machine_rates, shapes, device, threads, budget_s)
    cases = run_cases(subjects, plan, arguments)
    one_core = compare(Case("light", "forward", "fp32", 1, "cpu", 1), light, arguments.budget, *plan.rounds)
    training = alone(scaling.training_rate, light.config, device, threads, plan.steps)
    by_people = alone(scaling.people_ms, plan.people, device, threads, budget_s)
    by_vertices = alone(
        scaling.vertices_ms, plan.tori, faithful.config.network, plan.torus_batch, device, threads, budget_s
    )
    results: dict[str, Any] = {"machine": describe_machine(device, threads), "quick": arguments.quick}
    results |= report.headline(cases, sizes, rates)
    if one_core.ours is not None:
        results |= {"light_one_core_ms": 1000 * one_core.ours.median, "light_one_core_ratio": one_core.time_ratio}
    results["light_train_samples_per_second"] = training["samples_per_second"]
    results["networks"] = {name: size.as_dict() for name, size in sizes.items()}
    scaled = {"ms_by_people": by_people, "ms_by_vertices": by_vertices, "vertices_batch": plan.torus_batch}
    results |= {"rates": rates, "light_training": training, "scaling": scaled}
    results["cases"] = [{**c.as_dict(), **report.shares(c, sizes[c.case.network], rates)} for c in cases]
    return results, f"{report.table(cases, sizes, rates)}\n\n{report.summary(results)}\n"


def describe_machine(device: str, threads: int) -> dict[str, Any]:
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine(),
        "vector_unit": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "threads": threads,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--budget", type=float, default=15.0, help="seconds for the rounds of a case")
    parser.add_argument("--quick", action="store_true", help="small batches, few rounds: to see that it runs")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "out" / "bench.json")
    arguments = parser.parse_args()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        results, text = measure(QUICK if arguments.quick else FULL, arguments, Path(folder))
    results["minutes"] = (time.perf_counter() - start) / 60
    print(f"\n{text}")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    for file, content in ((arguments.out, json.dumps(results, indent=1)), (arguments.out.with_suffix(".md"), text)):
        with replacing(file) as partial:
            partial.write_text(content.rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
