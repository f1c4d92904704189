"""Results table: every baseline and the Pose2Mesh bundle on the same samples, and the ablations of each method.

    python scripts/results_table.py MOTIONS [--runs DIR] [--samples 256] [--frames 40] [--out runs/baselines] [--train]

MOTIONS is the folder of BVH clips of `configs/mocap_split.yaml`. Learned methods are taken from the runs in DIR
(`NAME/` or `NAME/seed0/`, `NAME/seed1/`, …), else the bundles that ship. With --train all are trained into DIR first,
two at a time on one core each; finished runs are kept and interrupted ones resumed. Writes table.md and table.json.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch

from pose2mesh.baselines.benchmark.ablations import ablations, to_json
from pose2mesh.baselines.benchmark.results_table import (
    INPUTS,
    benchmark_all,
    load_methods,
    markdown,
    summary,
    video_markdown,
)
from pose2mesh.baselines.benchmark.video_benchmark import benchmark_videos
from pose2mesh.baselines.common.fitting import Fitter
from pose2mesh.baselines.common.pose_prior import PosePrior
from pose2mesh.baselines.methods.arnab import Arnab
from pose2mesh.baselines.registry import FITTING_METHODS
from pose2mesh.body_models.default_body import default_body
from pose2mesh.datasets.synthetic.detection_noise import measured_noise
from pose2mesh.datasets.synthetic.mocap import load_clips
from pose2mesh.datasets.synthetic.motion_split import load_split
from pose2mesh.datasets.synthetic.pose_sources import unchanged_poses
from pose2mesh.inference.predictor import Predictor
from pose2mesh.io.atomic_write import replacing
from pose2mesh.io.mesh_files import write_json
from pose2mesh.models.bundle.bundle_info import BUNDLE
from pose2mesh.skeletons import COCO
from pose2mesh.training.run_config import load_any

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / "configs" / "baselines"
CACHE = "pictures"  # folder of the cached samples among the runs, some 30 GB
AT_ONCE = 2
SEEDS = {"lassner": 3, "hmr": 3, "graphcmr": 3, "spin": 3}  # all other configs have one seed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("motions", type=Path)
    parser.add_argument("--runs", type=Path, default=Path("runs/baselines"))
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--out", type=Path, default=Path("runs/baselines"))
    parser.add_argument("--train", action="store_true")
    options = parser.parse_args()
    if options.train:
        train_all(options.motions, options.runs)
    torch.set_num_threads(1)
    write_table(options.motions, options.runs, options.samples, options.frames, options.out)


def train_all(motions: Path, runs: Path) -> None:
    """Train every config of `configs/baselines/` into a folder of runs, each after the run it is initialised from."""
    planned = [run for file in sorted(CONFIGS.glob("*.yaml")) if file.stem != "common" for run in Run.of(file, runs)]
    waited_for = {run.start.folder for run in planned if run.start is not None}
    planned.sort(key=lambda run: (run.depth, run.folder not in waited_for))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        begun: dict[Path, Future[None]] = {}
        for run in planned:
            start = None if run.start is None else begun[run.start.folder]
            begun[run.folder] = pool.submit(train_after, start, run, motions, runs / CACHE)
        try:
            for done in begun.values():
                done.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


@dataclass(frozen=True)
class Run:
    """A training run.

    Attributes:
        config: Config file.
        seed: Seed of the run.
        folder: Output folder.
        start: The run whose weights it is initialised from.
    """

    config: Path
    seed: int
    folder: Path
    start: Run | None

    @property
    def depth(self) -> int:
        """Length of the chain of runs that must be trained before it."""
        return 0 if self.start is None else 1 + self.start.depth

    @classmethod
    def of(cls, config: Path, runs: Path) -> list[Run]:
        """All runs of a config, one a seed; the folder name in `pretrained` is the name of another config."""
        pretrained = load_any(config, [f"motions={ROOT}"]).pretrained
        start = None if pretrained is None else cls.of(CONFIGS / f"{Path(pretrained).name}.yaml", runs)[0]
        seeds = SEEDS.get(config.stem, 1)
        folder = runs / config.stem
        folders = [folder] if seeds == 1 else [folder / f"seed{seed}" for seed in range(seeds)]
        return [cls(config, seed, folder, start) for seed, folder in enumerate(folders)]


def train_after(start: Future[None] | None, run: Run, motions: Path, cache: Path) -> None:
    """Wait for the run that `run` is initialised from, then train `run`."""
    if start is not None:
        start.result()
    train(run, motions, cache)


def train(run: Run, motions: Path, cache: Path) -> None:
    """Train, resume or skip a run.

    Raises:
        subprocess.CalledProcessError: the training failed; its output has been printed.
    """
    if (run.folder / BUNDLE).is_file():
        return
    command = [sys.executable, "-m", "pose2mesh.cli", "train"]
    if (run.folder / "last.ckpt").is_file():
        command += ["--resume", str(run.folder)]
    else:
        settings = [f"motions={motions}", f"split={ROOT / 'configs' / 'mocap_split.yaml'}"]
        settings += [f"kept={cache}", f"seed={run.seed}"]
        if run.start is not None:
            settings.append(f"pretrained={run.start.folder}")
        command += [str(run.config), "--out", str(run.folder), "--set", *settings]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(f"{run.config.stem}, seed {run.seed}: {line.decode().rstrip()}", flush=True)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)


def write_table(motions: Path, runs: Path, samples: int, frames: int, out: Path) -> None:
    """Benchmark all available methods and write the results as Markdown and JSON."""
    _, clips = load_split(ROOT / "configs" / "mocap_split.yaml", load_clips(motions))
    with torch.no_grad():
        fitter = Fitter(default_body(), COCO, PosePrior.load())
        methods = load_methods(fitter, runs)
        predictions = benchmark_all(methods, fitter.layer, unchanged_poses(clips), samples)
        rows = summary(methods, predictions)
        arnab = FITTING_METHODS["arnab"](fitter)
        assert isinstance(arnab, Arnab)
        videos = {
            input_: benchmark_videos(arnab, Predictor.load(), fitter, clips, frames, measured_noise(input_, COCO))
            for input_ in INPUTS
        }
    measured_ablations = ablations(predictions, videos, fitter)
    parts = [markdown(rows, samples), video_markdown(videos), *(ablation.markdown() for ablation in measured_ablations)]
    out.mkdir(parents=True, exist_ok=True)
    with replacing(out / "table.md") as partial:
        partial.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    by_video = {
        input_: {name: values.mean(0).tolist() for name, values in errors.rows.items()}
        for input_, errors in videos.items()
    }
    content = {"samples": samples, "rows": rows, "videos": by_video, "claims": to_json(measured_ablations)}
    write_json(out / "table.json", content, decimals=3)
    print("\n\n".join(parts))


if __name__ == "__main__":
    main()
