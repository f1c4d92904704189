"""Speed of the networks relative to their textbook formulation and to the limits of the machine.

    python benchmarks/bench.py [--device cpu|cuda] [--threads N] [--budget SECONDS] [--quick] [--out FILE.json]

Times each network (random weights: speed does not depend on them) on the Anny body: pixels to vertices and training
steps, in float32 and under bfloat16 autocast, alternating with the textbook formulation (`textbook.py`); measures the
rates of matrix products and copies (`limits.py`), and run time by people and vertices (`scaling.py`, `many_people.py`).
Ratios within one run are the result; milliseconds depend on the machine. Prints tables, and writes them beside the JSON
after each case, so that an interrupted run keeps its measurements.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import limits
import many_people
import report
import scaling
import torch
from cases import Case, Comparison, Subject, compare, fresh_process
from textbook import TextbookPose2Mesh

from pose2mesh.config.train_config import load_config
from pose2mesh.io.atomic_write import replacing
from pose2mesh.models.bundle.bundle import Bundle, save_bundle
from pose2mesh.models.bundle.bundle_info import BundleInfo
from pose2mesh.skeletons import JOINT_SETS
from pose2mesh.training.pose2mesh_task import build_network, open_data_source

ROOT = Path(__file__).parents[1]
CONFIGS = {"faithful": "faithful.yaml", "light": "light.yaml"}
Mode: TypeAlias = Literal["forward", "train"]
Precision: TypeAlias = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class Plan:
    """Extent of the measurements.

    Attributes:
        cases: Network, pass, precision and batches, the most important first, for runs that are interrupted.
        rounds: Least number of rounds in float32 (elsewhere one), and the largest number.
        cube: Edge of the square matrices whose product is timed.
        rate_budget_s: Seconds for each rate of the machine and each time of the scaling.
        steps: Training steps for the throughput.
        people, tori, torus_batch: Sizes for the scaling by people and by vertices.
        many: Numbers of people in one file.
    """

    cases: tuple[tuple[str, Mode, Precision, tuple[int, ...]], ...]
    rounds: tuple[int, int]
    cube: int
    rate_budget_s: float
    steps: int
    people: tuple[int, ...]
    tori: tuple[tuple[int, int], ...]
    torus_batch: int
    many: tuple[int, ...]


FULL = Plan(
    (
        ("faithful", "forward", "fp32", (1, 32)), ("faithful", "train", "fp32", (32, 64)),
        ("light", "forward", "fp32", (1, 8, 32, 64)), ("light", "train", "bf16", (8, 32, 64)),
        ("faithful", "forward", "fp32", (8, 64)), ("faithful", "train", "fp32", (8,)),
        ("faithful", "forward", "bf16", (1, 8, 32, 64)), ("faithful", "train", "bf16", (8, 32)),
        ("light", "forward", "bf16", (1, 8, 32, 64)), ("light", "train", "fp32", (8, 32, 64)),
    ), (2, 11), 2048, 0.5, 20, (1, 8, 64, 256), ((48, 72), (72, 96), (96, 144), (144, 192)), 8, (500, 2500),
)  # fmt: skip
QUICK = Plan(
    (
        ("faithful", "forward", "fp32", (1,)), ("faithful", "train", "fp32", (2,)),
        ("light", "forward", "fp32", (1,)), ("light", "train", "bf16", (2,)),
    ), (1, 2), 256, 0.02, 2, (1, 4), ((16, 24), (24, 32)), 1, (4,),
)  # fmt: skip


def build(name: str, folder: Path) -> tuple[Subject, report.Size]:
    """Build a network with random weights, write it to a bundle, and compute its sizes."""
    config = load_config(ROOT / "configs" / CONFIGS[name], ["data.synthetic.poses.procedural=1.0"])
    surface, network = build_network(config, open_data_source(config))
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


def run_cases(subjects: dict[str, Subject], plan: Plan, arguments: argparse.Namespace) -> Iterator[Comparison]:
    """Run every network, pass, precision and batch of the plan, and print a line for each."""
    for name, mode, precision, batches in plan.cases:
        last: Comparison | None = None
        for batch in batches:
            least = plan.rounds[0] if precision == "fp32" else 1
            comparison = compare(
                Case(name, mode, precision, batch, arguments.device, arguments.threads),
                subjects[name], arguments.budget, least, plan.rounds[1], last.expected_bytes(batch) if last else None,
            )  # fmt: skip
            print(report.brief(comparison), flush=True)
            yield comparison
            if comparison.ours is not None:
                last = comparison


def alone(work: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a fresh process and return its result."""
    with fresh_process() as pool:
        return pool.submit(work, *arguments).result()


def measure(plan: Plan, arguments: argparse.Namespace, folder: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield all results and tables so far, after each case and at the end."""
    device, threads, budget_s = arguments.device, arguments.threads, plan.rate_budget_s
    subjects, sizes = {}, {}
    for name in CONFIGS:
        subjects[name], sizes[name] = build(name, folder)
    light, faithful = subjects["light"], subjects["faithful"]
    shapes = [(plan.cube,) * 3, *sizes["faithful"].shapes]
    rates = alone(limits.machine_rates, shapes, device, threads, budget_s)
    one_core = compare(Case("light", "forward", "fp32", 1, "cpu", 1), light, arguments.budget, *plan.rounds)
    training = alone(scaling.training_rate, light.config, device, threads, plan.steps)
    fixed: dict[str, Any] = {"machine": describe_machine(device, threads), "quick": arguments.quick}
    if one_core.ours is not None:
        fixed |= {"light_one_core_ms": 1000 * one_core.ours.median, "light_one_core_ratio": one_core.time_ratio}
    fixed["light_train_samples_per_second"] = training["samples_per_second"]
    fixed["light_data_wait_share"] = training["data_wait_share"]
    fixed["predict_onnx_s"] = many_people.whole_process_s("onnx", rounds=3)
    fixed["networks"] = {name: size.as_dict() for name, size in sizes.items()}
    fixed |= {"rates": rates, "light_training": training}
    cases: list[Comparison] = []

    def results() -> tuple[dict[str, Any], str]:
        found = {**report.headline(cases, sizes, rates), **fixed}
        found["cases"] = [{**c.as_dict(), **report.shares(c, sizes[c.case.network], rates)} for c in cases]
        return found, f"{report.table(cases, sizes, rates)}\n\n{report.summary(found)}\n"

    for comparison in run_cases(subjects, plan, arguments):
        cases.append(comparison)
        yield results()
    many = [alone(many_people.measure, count, "json", "torch") for count in plan.many]
    fixed["many_people"] = [{**asdict(run), "share": run.share} for run in many]
    fixed["many_people_share"] = many[-1].share
    by_people = alone(scaling.people_ms, plan.people, device, threads, budget_s)
    by_vertices = alone(
        scaling.vertices_ms, plan.tori, faithful.config.network, plan.torus_batch, device, threads, budget_s
    )
    fixed["scaling"] = {
        "ms_by_people": by_people, "ms_by_vertices": by_vertices, "vertices_batch": plan.torus_batch,
    }  # fmt: skip
    yield results()


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
    parser.add_argument("--budget", type=float, default=3.0, help="seconds for the rounds of a case")
    parser.add_argument("--quick", action="store_true", help="small batches and few rounds, as a smoke test")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "out" / "bench.json")
    arguments = parser.parse_args()
    start = time.perf_counter()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    text = ""
    with tempfile.TemporaryDirectory() as folder:
        for results, text in measure(QUICK if arguments.quick else FULL, arguments, Path(folder)):
            results["minutes"] = (time.perf_counter() - start) / 60
            for file, content in (
                (arguments.out, json.dumps(results, indent=1)),
                (arguments.out.with_suffix(".md"), text),
            ):
                with replacing(file) as partial:
                    partial.write_text(content.rstrip() + "\n", encoding="utf-8")
    print(f"\n{text}")


if __name__ == "__main__":
    main()
