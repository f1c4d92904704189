"""Study of RMSprop, Adam and AdamW for both stages of the light network, on the same samples and budget.

    python scripts/study_optimisers.py --motions BVH_DIR [--out runs/study] [--workers 2]

Each optimiser has its usual schedule: RMSprop and Adam the published steps, AdamW a cosine with warm-up and clipped
gradients. Its learning rate is chosen for each stage on the validation clips, over a grid that is extended as long as
the best rate is at its end; then three seeds of each are measured on held-out clips (`configs/study_split.yaml`).
Every run is resumable: start the script again after a kill.

Writes `metrics/<run>.csv`, the curves and `results.md` to `docs/study/` (`--report`).
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import BoundedSemaphore

ROOT = Path(__file__).parents[1]
RATES = (3e-4, 1e-3, 3e-3)  # initial grid; extended by factors of about 3
SEEDS = (0, 1, 2)
SAMPLES, SEED = 2000, 7  # samples that finalists are measured on
METRICS = ("mpjpe_mm", "pa_mpjpe_mm", "mpvpe_mm")


@dataclass(frozen=True)
class Stage:
    """A training stage.

    Attributes:
        config: Config file.
        column: Column of `metrics.csv` by which the learning rate is chosen.
        milestones: Epochs of the published schedule at which the learning rate drops.
        decay: Factor of each drop.
    """

    config: str
    column: str
    milestones: list[int]
    decay: float


STAGES = {
    "posenet": Stage("configs/study_posenet.yaml", "val/lifted_mpjpe_mm", [3], 0.5),
    "pose2mesh": Stage("configs/study.yaml", "val/surface_mm", [2], 0.1),
}


def settings(optimiser: str, stage: Stage) -> list[str]:
    """Config overrides for an optimiser and its usual schedule."""
    if optimiser == "adamw":
        return ["optimiser.name=adamw", "optimiser.schedule=cosine", "optimiser.weight_decay=0.01", "optimiser.clip=1"]
    steps = [f"optimiser.milestones={stage.milestones}", f"optimiser.decay={stage.decay}"]
    return [f"optimiser.name={optimiser}", "optimiser.schedule=step", "optimiser.clip=0", *steps]


OPTIMISERS = ("rmsprop", "adam", "adamw")


@dataclass(frozen=True)
class Run:
    """One training run of the study."""

    optimiser: str
    stage: str
    rate: float
    seed: int

    @property
    def name(self) -> str:
        return f"{self.stage}_{self.optimiser}_{self.rate:g}_seed{self.seed}"


class Study:
    """Trains each requested run once; its only state are the run folders.

    Args:
        motions: Folder of BVH clips.
        out: Folder of the runs.
        workers: Number of parallel runs, which share the cores equally.
    """

    def __init__(self, motions: Path, out: Path, workers: int) -> None:
        self.motions, self.out, self.workers = motions, out, workers
        self._free = BoundedSemaphore(workers)

    def train(self, run: Run, lifter: Run | None = None) -> None:
        """Train, resume or skip a run; stage two is initialised from `lifter`."""
        folder, stage = self.out / run.name, STAGES[run.stage]
        if (folder / "bundle.safetensors").is_file():
            return
        command = [sys.executable, "-m", "pose2mesh.cli", "train"]
        if (folder / "last.ckpt").is_file():
            command += ["--resume", str(folder)]
        else:
            values = [*settings(run.optimiser, stage), f"optimiser.learning_rate={run.rate}", f"seed={run.seed}"]
            values += [f"data.motions={self.motions}", "optimiser.posenet_factor=1"]
            values += [f"pretrained={self.out / lifter.name}"] if lifter else []
            command += [stage.config, "--out", str(folder)]
            command += [part for value in values for part in ("--set", value)]
        threads = str(max(1, (os.cpu_count() or 1) // self.workers))
        log = self.out / f"{run.name}.log"
        environment = {**os.environ, "OMP_NUM_THREADS": threads}
        with self._free, log.open("a") as stream:
            print(f"{run.name}: begins", flush=True)
            done = subprocess.run(command, cwd=ROOT, stdout=stream, stderr=stream, env=environment)
        if done.returncode not in (0, 2):
            raise SystemExit(f"{run.name}: ended with status {done.returncode}; see {log}")
        error = self.error(run)
        print(f"{run.name}: {stage.column} {error:.1f}", flush=True)

    def train_all(self, runs: dict[Run, Run | None]) -> None:
        with ThreadPoolExecutor(len(runs)) as pool:
            for done in [pool.submit(self.train, run, lifter) for run, lifter in runs.items()]:
                done.result()

    def error(self, run: Run) -> float:
        """Validation error of the best epoch; infinite for a run whose loss diverged."""
        if not (self.out / run.name / "bundle.safetensors").is_file():
            return float("inf")
        with (self.out / run.name / "metrics.csv").open(newline="") as stream:
            return min(float(row[STAGES[run.stage].column]) for row in csv.DictReader(stream))

    def choose_rate(self, optimiser: str, stage: str, lifter: Run | None) -> float:
        """The learning rate with the smallest validation error, seed 0."""

        def error(rate: float) -> float:
            run = Run(optimiser, stage, rate, SEEDS[0])
            self.train(run, lifter)
            return self.error(run)

        self.train_all({Run(optimiser, stage, rate, SEEDS[0]): lifter for rate in RATES})
        return best_rate(error, RATES)

    def finalists(self, optimiser: str) -> dict[str, list[Run]]:
        """Runs of an optimiser at its best rates by stage, one a seed; stage two starts from the lifter of its seed."""
        found: dict[str, list[Run]] = {}
        for stage in STAGES:
            lifters: dict[int, Run | None] = {seed: None for seed in SEEDS}
            lifters |= {run.seed: run for run in found.get("posenet", [])}
            rate = self.choose_rate(optimiser, stage, lifters[SEEDS[0]])
            found[stage] = [Run(optimiser, stage, rate, seed) for seed in SEEDS]
            self.train_all({run: lifters[run.seed] for run in found[stage]})
        return found

    def measure(self, run: Run) -> dict[str, float]:
        """Errors of a finalist on held-out clips, with exact and with noisy 2D joints."""
        found: dict[str, float] = {}
        for kind in ("gt", "noisy"):
            report = self.out / run.name / f"{kind}.json"
            if not report.is_file():
                data = self.out / "test.yaml"
                data.write_text(f"base: {ROOT / 'configs/light.yaml'}\ndata: {{motions: {self.motions}}}\n")
                command = [sys.executable, "-m", "pose2mesh.cli", "evaluate", str(self.out / run.name)]
                command += ["--data", str(data), "--samples", str(SAMPLES), "--seed", str(SEED)]
                subprocess.run([*command, "--input", kind, "--report", str(report)], cwd=ROOT, check=True)
            values = json.loads(report.read_text())
            found |= {f"{kind}_{name}": values[name] for name in METRICS}
        return found


def best_rate(error: Callable[[float], float], rates: tuple[float, ...]) -> float:
    """The rate of the smallest error; the grid is extended while the best rate is at its end."""
    errors = {rate: error(rate) for rate in rates}
    while True:
        best = min(errors, key=errors.__getitem__)
        low, high = min(errors), max(errors)
        if best not in (low, high) or len(errors) > 6:
            return best
        # Leading digits 1 and 3 alternate: 1e-3, 3e-3, 1e-2, …
        leading = f"{best:e}"[0]
        factor = (10 / 3 if leading == "3" else 3) if best == high else (1 / 3 if leading == "3" else 0.3)
        further = float(f"{best * factor:.1g}")
        errors[further] = error(further)


def spread(values: list[float]) -> str:
    return f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}"


def write_report(study: Study, finalists: dict[str, dict[str, list[Run]]], report: Path) -> None:
    """Write the table, the curves and the CSV of every run."""
    from pose2mesh.training.plots import draw_curves

    metrics = report / "metrics"
    metrics.mkdir(parents=True, exist_ok=True)
    for file in study.out.glob("*/metrics.csv"):
        shutil.copyfile(file, metrics / f"{file.parent.name}.csv")
    lines = [
        "| optimiser | rate, stage one | rate, stage two | 2D | MPJPE | PA-MPJPE | MPVPE |",
        "| --- | ---: | ---: | --- | ---: | ---: | ---: |",
    ]
    for optimiser, stages in finalists.items():
        rates = " | ".join(f"{stages[stage][0].rate:g}" for stage in STAGES)
        found = [study.measure(run) for run in stages["pose2mesh"]]
        for kind, name in (("gt", "true"), ("noisy", "noisy")):
            cells = " | ".join(spread([values[f"{kind}_{metric}"] for values in found]) for metric in METRICS)
            lines.append(f"| {optimiser} | {rates} | {name} | {cells} |")
    (report / "results.md").write_text("\n".join(lines) + "\n")
    for stage in STAGES:
        runs = {
            f"{run.optimiser}, seed {run.seed}": study.out / run.name
            for stages in finalists.values()
            for run in stages[stage]
        }
        draw_curves(runs, report / stage)
    print("\n".join(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--motions", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "study")
    parser.add_argument("--report", type=Path, default=ROOT / "docs" / "study")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    study = Study(arguments.motions.resolve(), arguments.out.resolve(), arguments.workers)
    with ThreadPoolExecutor(len(OPTIMISERS)) as pool:  # in parallel: the searches are independent
        finalists = dict(zip(OPTIMISERS, pool.map(study.finalists, OPTIMISERS), strict=True))
    write_report(study, finalists, arguments.report)


if __name__ == "__main__":
    main()
