"""What confidences are worth: does the body meet a joint better where the detector was surer of it?

The networks give no confidence of their own. What a user has is that of the input joints; its mean is `Person.score`.
It is held against the keypoint similarity of the body's joint with the true place of the joint, in [0, 1] as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata

from pose2mesh.datasets.synthetic.detection_noise import NoiseConfig, add_detection_noise
from pose2mesh.evaluation.robustness.predictions import reproject
from pose2mesh.evaluation.robustness.sample_sets import SampleSet
from pose2mesh.inference.predictor import Predictor

Floats: TypeAlias = NDArray[np.floating]
EDGES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True, eq=False)
class Calibration:
    """Confidence against similarity.

    Attributes:
        source: Where confidences came from, in words.
        bins: Of those with joints: their number, mean confidence and mean similarity.
        error: Mean over the joints of |mean similarity − mean confidence| of their bin: 0 for confidences that can be
            read as the similarity to expect.
        joint_rank: Spearman's correlation of the confidence of joints with their similarity; NaN where all are equal.
        person_rank: The same of people's scores with their OKS.
    """

    source: str
    bins: list[tuple[int, float, float]]
    error: float
    joint_rank: float
    person_rank: float


def measure_calibration(predictor: Predictor, people: SampleSet, seed: int) -> Calibration:
    """On clips: synthesised detector errors and confidences, against the true pixels. Else: the file's confidences,
    against the file's own joints, which the body was recovered from."""
    joint_set = predictor.joint_set
    pixels, confidence = people.joints_px, people.confidence
    source = "the file's confidences, against the joints of the file"
    if people.ground_truth is not None:
        noise = NoiseConfig(drop=0.0, clean=0.0, plain_confidence=0.0, out_of_picture=False)
        if joint_set.name == "human36":
            noise.model = "human36"
        generator = torch.Generator().manual_seed(seed)
        drawn = add_detection_noise(torch.from_numpy(people.joints_px), joint_set, noise, generator)
        pixels, confidence = (x.numpy() for x in drawn)
        source = "synthesised detections, against the true joints"
    joints, _ = predictor.run(pixels, confidence)
    laid = reproject(joints, pixels, confidence, people.joints_px, people.area_px, joint_set)
    seen = np.isfinite(laid.similarity)
    score = np.where(seen, confidence, 0).sum(1) / seen.sum(1)
    return calibrate(source, confidence[seen], laid.similarity[seen], score, laid.oks)


def calibrate(source: str, confidence: Floats, similarity: Floats, score: Floats, oks: Floats) -> Calibration:
    """Confidences and similarities (N,) of joints, scores and OKS (P,) of people."""
    index = np.clip(np.digitize(confidence, EDGES[1:-1], right=True), 0, len(EDGES) - 2)
    bins, error = [], 0.0
    for chosen in range(len(EDGES) - 1):
        inside = index == chosen
        if inside.any():
            claimed, found = float(confidence[inside].mean()), float(similarity[inside].mean())
            bins.append((int(inside.sum()), claimed, found))
            error += abs(claimed - found) * float(inside.mean())
    return Calibration(source, bins, error, spearman(confidence, similarity), spearman(score, oks))


def spearman(a: Floats, b: Floats) -> float:
    """Rank correlation of (N,) and (N,); NaN where one of them is constant."""
    if len(a) < 2 or np.ptp(a) < 1e-6 or np.ptp(b) < 1e-6:
        return float("nan")
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])
