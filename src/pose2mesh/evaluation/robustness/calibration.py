"""Calibration of the input confidences: whether the body fits a joint better where the detector is more confident.

The networks predict no confidence. The input joints have one; its mean is `Person.score`. It is compared with the
keypoint similarity of the projected joint with the true joint, which is in [0, 1] as well.
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
    """Confidence compared with similarity.

    Attributes:
        source: Source of the confidences, as the report prints it.
        bins: Number of joints, mean confidence and mean similarity of each bin with joints.
        error: Mean over the joints of |mean similarity − mean confidence| of their bin: 0 if a confidence equals the
            expected similarity.
        joint_rank: Spearman's correlation of the joints' confidences with their similarities; NaN where all are equal.
        person_rank: The same of people's scores with their OKS.
    """

    source: str
    bins: list[tuple[int, float, float]]
    error: float
    joint_rank: float
    person_rank: float


def measure_calibration(predictor: Predictor, people: SampleSet, seed: int) -> Calibration:
    """Calibration on one sample set.

    On clips it compares the confidences of synthesised detections with the true pixels, on keypoint files the file's
    confidences with the file's joints, which are also the model's input.
    """
    joint_set = predictor.joint_set
    pixels, confidence = people.joints_px, people.confidence
    source = "the file's confidences, compared with the file's joints"
    if people.ground_truth is not None:
        noise = NoiseConfig(drop=0.0, clean=0.0, plain_confidence=0.0, out_of_picture=False)
        if joint_set.name == "human36":
            noise.model = "human36"
        generator = torch.Generator().manual_seed(seed)
        detections = add_detection_noise(torch.from_numpy(people.joints_px), joint_set, noise, generator)
        pixels, confidence = (x.numpy() for x in detections)
        source = "synthesised detections, compared with the true joints"
    joints, _ = predictor.run(pixels, confidence)
    reprojection = reproject(joints, pixels, confidence, people.joints_px, people.area_px, joint_set)
    present = np.isfinite(reprojection.similarity)
    score = np.where(present, confidence, 0).sum(1) / present.sum(1)
    return calibrate(source, confidence[present], reprojection.similarity[present], score, reprojection.oks)


def calibrate(source: str, confidence: Floats, similarity: Floats, score: Floats, oks: Floats) -> Calibration:
    """Calibration of confidences (N,) by similarities (N,) of joints, and of scores (P,) by OKS (P,) of people."""
    index = np.clip(np.digitize(confidence, EDGES[1:-1], right=True), 0, len(EDGES) - 2)
    bins, error = [], 0.0
    for chosen in range(len(EDGES) - 1):
        inside = index == chosen
        if inside.any():
            mean_confidence, mean_similarity = float(confidence[inside].mean()), float(similarity[inside].mean())
            bins.append((int(inside.sum()), mean_confidence, mean_similarity))
            error += abs(mean_confidence - mean_similarity) * float(inside.mean())
    return Calibration(source, bins, error, spearman(confidence, similarity), spearman(score, oks))


def spearman(a: Floats, b: Floats) -> float:
    """Rank correlation of (N,) and (N,); NaN where one of them is constant."""
    if len(a) < 2 or np.ptp(a) < 1e-6 or np.ptp(b) < 1e-6:
        return float("nan")
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])
