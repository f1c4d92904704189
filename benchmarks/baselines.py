"""Benchmark of the optimisation baselines, the bundle that ships and the mean body on held-out clips.

    python benchmarks/baselines.py people MOTIONS [--samples 256] [--input gt|noisy] [--part validation]
    python benchmarks/baselines.py videos MOTIONS [--frames 45] [--input gt|noisy] [--part validation]

`people`: independent samples, those of `pose2mesh evaluate` with the same seed; input is 2D joints alone, errors in mm,
and milliseconds of CPU time a person on one thread. `videos`: one video a clip (`motion/synthetic_video.py`), means
over the clips, and the acceleration error in mm/frame² at 30 frames a second. `make table` compares these with the
learned baselines.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from pose2mesh.baselines.benchmark.method_benchmark import (
    benchmark_methods,
    fitting_method,
    mean_body,
    pose2mesh_method,
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
from pose2mesh.skeletons import COCO

SPLIT = Path(__file__).parents[1] / "configs" / "mocap_split.yaml"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("people", "videos"))
    parser.add_argument("motions", type=Path)
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--frames", type=int, default=45)
    parser.add_argument("--input", choices=("gt", "noisy"), default="gt")
    parser.add_argument("--part", choices=("train", "validation"), default="validation")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    train, validation = load_split(SPLIT, load_clips(options.motions))
    clips = train if options.part == "train" else validation
    fitter, predictor = Fitter(default_body(), COCO, PosePrior.load()), Predictor.load()
    if options.what == "videos":
        arnab = FITTING_METHODS["arnab"](fitter)
        assert isinstance(arnab, Arnab)
        noise = measured_noise(options.input, COCO)
        errors = benchmark_videos(arnab, predictor, fitter, clips, options.frames, noise)
        print(f"{len(clips)} clips, {errors.frames} frames           MPJPE  PA-MPJPE  accel.")
        for name, values in errors.rows.items():
            print(f"{name:28}", *(f"{value:8.1f}" for value in values.mean(0)))
        print(*(f"{name}: {spent:.0f} ms a frame" for name, spent in errors.ms_a_frame.items()))
        return
    methods = {"mean body": mean_body(fitter), "default": pose2mesh_method(predictor)}
    methods |= {name: fitting_method(FITTING_METHODS[name](fitter)) for name in ("smplify", "smplify-started")}
    found = benchmark_methods(methods, fitter.layer, unchanged_poses(clips), options.samples, options.input)
    print(
        f"{options.samples} people          MPJPE  PA-MPJPE     MPVPE  PA-MPVPE  ms/person  (± standard error of MPJPE)"
    )
    for name, predictions in found.items():
        values = "".join(f"{value:10.1f}" for value in predictions.errors_mm.mean(0))
        spread = predictions.errors_mm[:, 0].std() / options.samples**0.5
        print(f"{name:16}{values} {predictions.milliseconds:10.1f}  ± {spread:.1f}")


if __name__ == "__main__":
    main()
