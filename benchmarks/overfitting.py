"""False alarm rate of the overfitting criterion on real clips: random divisions of one part, where there is no gap.

    python benchmarks/overfitting.py --motions BVH_DIR --split SPLIT.yaml [--model default] [--divisions 500]

The training clips are divided into a "training" and a "validation" part, the latter with as many clips as the split
validates on; the validation clips are divided into halves. Both sides are equally known to the model, so every flag is
a false alarm.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from pose2mesh.body_models.default_body import default_body
from pose2mesh.datasets.synthetic.bodies import BodySynthesiser
from pose2mesh.datasets.synthetic.mocap import load_clips
from pose2mesh.datasets.synthetic.motion_split import load_split
from pose2mesh.evaluation.robustness.generalization_gap import ClipErrors, measure_gap, verdict
from pose2mesh.evaluation.robustness.measure import Meter
from pose2mesh.model_zoo import load_model


def clip_subset(errors: ClipErrors, clips: np.ndarray) -> ClipErrors:
    """The errors of some clips."""
    chosen = np.isin(errors.clip, clips)
    return ClipErrors(errors.model[chosen], errors.reference[chosen], errors.clip[chosen])


def divide(errors: ClipErrors, validation: int, divisions: int) -> str:
    """Share of random divisions with a gap, and of those flagged as overfitting."""
    rng, clips = np.random.default_rng(0), np.unique(errors.clip)
    beyond_one, flagged, ratios = 0, 0, []
    for division in range(divisions):
        order = rng.permutation(clips)
        gap = measure_gap(clip_subset(errors, order[validation:]), clip_subset(errors, order[:validation]), division)
        assert gap is not None
        beyond_one += gap.low > 1
        flagged += gap.overfits
        ratios.append(gap.ratio)
    low, high = np.quantile(ratios, (0.025, 0.975))
    return (
        f"{len(clips) - validation} and {validation} clips, {divisions} times: ratio {low:.2f} to {high:.2f} in 95%; "
        f"interval above 1 in {100 * beyond_one / divisions:.1f}%, overfitting in {100 * flagged / divisions:.1f}%"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--motions", type=Path, required=True)
    parser.add_argument("--split", type=Path, required=True)
    parser.add_argument("--model", default="default")
    parser.add_argument("--divisions", type=int, default=500)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    predictor, body = load_model(arguments.model), default_body()
    meter = Meter(predictor, body, BodySynthesiser(body, predictor.joint_set, None))
    train, validation = load_split(arguments.split, load_clips(arguments.motions))
    found = [meter.of_clips(clips, arguments.seed) for clips in (train, validation)]
    print(verdict(measure_gap(*found, arguments.seed)))
    print("training clips divided,", divide(found[0], len(validation), arguments.divisions))
    print("validation clips divided,", divide(found[1], len(validation) // 2, arguments.divisions))


if __name__ == "__main__":
    main()
