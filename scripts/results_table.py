"""The results table: every baseline and the bundle that ships on the same people, and what each method claims.

    python scripts/results_table.py MOTIONS [--runs DIR] [--samples 256] [--frames 40] [--out runs/baselines] [--train]

MOTIONS is the folder of BVH clips of `configs/mocap_split.yaml`. Learned methods are taken from the runs in DIR
(`NAME/` or `NAME/seed1/`, `NAME/seed2/`, …), else those that ship. With --train all are trained into DIR first, two at
a time on a core each; what is there already is kept, and an interrupted run goes on. Writes table.md and table.json.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from pose2mesh.baselines.arnab import Arnab
from pose2mesh.baselines.backend import MAKERS
from pose2mesh.baselines.claims import claims, plain
from pose2mesh.baselines.fitting import Fitter
from pose2mesh.baselines.pose_prior import PosePrior
from pose2mesh.baselines.table import INPUTS, contenders, judge_all, markdown, summary, video_markdown
from pose2mesh.baselines.videos import judge_videos
from pose2mesh.body.anny import AnnyBody
from pose2mesh.data.motion import load_clips, load_split
from pose2mesh.data.noise import measured_noise
from pose2mesh.data.sources import unchanged_poses
from pose2mesh.export import write_json
from pose2mesh.files import replacing
from pose2mesh.models.bundle_info import BUNDLE
from pose2mesh.predict import Recovery
from pose2mesh.skeletons import COCO
from pose2mesh.training.any_config import load_any

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / "configs" / "baselines"
READER = "reader"
PICTURES = "pictures"  # folder of drawn people among the runs, some 18 GB
AT_ONCE = 2


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
    """Train every config of `configs/baselines/`, the reader first, from which others start."""
    names = [file.stem for file in sorted(CONFIGS.glob("*.yaml")) if file.stem not in ("common", READER)]
    train(READER, motions, runs)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for done in [pool.submit(train, name, motions, runs) for name in names]:
            done.result()


def train(name: str, motions: Path, runs: Path) -> None:
    """One run, or what is left of it."""
    folder = runs / name
    if (folder / BUNDLE).is_file():
        return
    command = [sys.executable, "-m", "pose2mesh.cli", "train"]
    if (folder / "last.ckpt").is_file():
        command += ["--resume", str(folder)]
    else:
        config = CONFIGS / f"{name}.yaml"
        settings = [f"motions={motions}", f"split={ROOT / 'configs' / 'mocap_split.yaml'}"]
        settings.append(f"kept={runs / PICTURES}")
        if load_any(config, settings).pretrained is not None:
            settings.append(f"pretrained={runs / READER}")
        command += [str(config), "--out", str(folder), "--set", *settings]
    subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})


def write_table(motions: Path, runs: Path, samples: int, frames: int, out: Path) -> None:
    """Measure what there is, and write it as Markdown and JSON."""
    _, clips = load_split(ROOT / "configs" / "mocap_split.yaml", load_clips(motions))
    with torch.no_grad():
        fitter = Fitter(AnnyBody(), COCO, PosePrior.load())
        found = contenders(fitter, runs)
        answers = judge_all(found, fitter.layer, unchanged_poses(clips), samples)
        rows = summary(found, answers)
        arnab = MAKERS["arnab"](fitter)
        assert isinstance(arnab, Arnab)
        videos = {
            input_: judge_videos(arnab, Recovery.load(), fitter, clips, frames, measured_noise(input_, COCO))
            for input_ in INPUTS
        }
    made = claims(answers, videos, fitter)
    parts = [markdown(rows, samples), video_markdown(videos), *(claim.markdown() for claim in made)]
    out.mkdir(parents=True, exist_ok=True)
    with replacing(out / "table.md") as partial:
        partial.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    by_video = {
        input_: {name: values.mean(0).tolist() for name, values in errors.rows.items()}
        for input_, errors in videos.items()
    }
    content = {"samples": samples, "rows": rows, "videos": by_video, "claims": plain(made)}
    write_json(out / "table.json", content, decimals=3)
    print("\n\n".join(parts))


if __name__ == "__main__":
    main()
