"""Ablations: the central claim of each published method, measured as paired differences on the same samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from pose2mesh.baselines.benchmark.method_benchmark import MEASURES, Input, MethodPredictions
from pose2mesh.baselines.benchmark.results_table import INPUTS, table_line
from pose2mesh.baselines.benchmark.video_benchmark import VideoErrors
from pose2mesh.baselines.common.fitting import Fitter
from pose2mesh.baselines.common.pose_prior import rotation_vectors
from pose2mesh.baselines.interface import Parameters
from pose2mesh.datasets.synthetic.pose_limits import angle_limits

Measured: TypeAlias = Mapping[str, Mapping[Input, Sequence[MethodPredictions]]]
_POSED_AT_ONCE = 32
_BEYOND_RAD = 0.1  # excess over a joint limit from which an angle counts as a violation


@dataclass(frozen=True)
class Pair:
    """One quantity measured for two methods; smaller is better.

    Attributes:
        quantity: Name of the quantity, with its unit.
        claimed: Mean of the method that is claimed to be better.
        other: Mean of the other method.
        difference: Mean of claimed − other over samples.
        error: Standard error of the difference.
        true_bodies: Mean of the quantity for the true bodies; None if the quantity is an error.
    """

    quantity: str
    claimed: float
    other: float
    difference: float
    error: float
    true_bodies: float | None = None


@dataclass(frozen=True)
class Ablation:
    """A claim and its measurements.

    Attributes:
        statement: The claim.
        claimed: The method that is claimed to be better.
        other: The method it is compared with.
        pairs: The measurements.
    """

    statement: str
    claimed: str
    other: str
    pairs: list[Pair]

    def markdown(self) -> str:
        """The claim as a heading and a table in Markdown."""
        has_true_bodies = any(pair.true_bodies is not None for pair in self.pairs)
        heads = [self.claimed, self.other, "difference", *(["true bodies"] if has_true_bodies else [])]
        lines = [f"**{self.statement}**", "", table_line("", *heads), table_line(*["---"] * (len(heads) + 1))]
        for pair in self.pairs:
            cells = [f"{pair.claimed:.4g}", f"{pair.other:.4g}", f"{pair.difference:+.3g} ± {pair.error:.2g}"]
            if pair.true_bodies is not None:
                cells.append(f"{pair.true_bodies:.4g}")
            lines.append(table_line(pair.quantity, *cells))
        return "\n".join(lines)


def ablations(found: Measured, videos: Mapping[Input, VideoErrors] | None, fitter: Fitter) -> list[Ablation]:
    """All ablations whose methods were measured.

    Args:
        found: Predictions by method, input and seed.
        videos: Errors on videos by input; None to leave out the ablation of videos.
        fitter: Provides the body and the pose prior.
    """
    measured = [
        _error_ablation("SPIN is better than HMR alone", "spin", "hmr", found),
        _error_ablation("SPIN is better than HMR alone, without 3D labels", "spin_unpaired", "hmr_unpaired", found),
        _error_ablation(
            "Upper bound for supervision by fits: 3D labels for all samples instead of a fifth",
            "hmr_labelled",
            "hmr_without_critics",
            found,
        ),
        _error_ablation("The fit is better with a good start than without", "smplify-started", "smplify", found),
        None if videos is None else sequence_ablation(videos),
        *retraining_ablations(found),
        _error_ablation(
            "GraphCMR's mesh is no worse than its own parameters", "graphcmr", "graphcmr_parameters", found
        ),
        silhouette_ablation(found, fitter),
        discriminator_ablation(
            "HMR's poses are more plausible with the discriminator than without", "hmr", found, fitter
        ),
        discriminator_ablation("The same, without 3D labels", "hmr_unpaired", found, fitter),
        _error_ablation(
            "Without 3D labels, HMR is better with the discriminator than without it",
            "hmr_unpaired",
            "hmr_unpaired_without_critics",
            found,
        ),
    ]
    return [ablation for ablation in measured if ablation is not None]


def _error_ablation(statement: str, claimed: str, other: str, found: Measured) -> Ablation | None:
    """Compare two methods by the errors of the results table; None if either was not measured."""
    if claimed not in found or other not in found:
        return None
    pairs = [
        _pair(f"{input_}: {measure}, mm", *(_over_seeds(found[name][input_], column) for name in (claimed, other)))
        for input_ in INPUTS
        for column, measure in enumerate(MEASURES)
    ]
    return Ablation(statement, claimed, other, pairs)


def _over_seeds(seeds: Sequence[MethodPredictions], column: int) -> Tensor:
    """Mean error (N,) of each sample over the seeds."""
    return torch.stack([predictions.errors_mm[:, column] for predictions in seeds]).mean(0)


def _pair(quantity: str, claimed: Tensor, other: Tensor, true_bodies: Tensor | None = None) -> Pair:
    difference = claimed - other
    error = float(difference.std() / len(difference) ** 0.5)
    true = None if true_bodies is None else float(true_bodies.mean())
    return Pair(quantity, float(claimed.mean()), float(other.mean()), float(difference.mean()), error, true)


def sequence_ablation(videos: Mapping[Input, VideoErrors]) -> Ablation:
    """Compare the fit of whole videos with single-frame fits; the differences are over clips."""
    pairs = []
    for input_, errors in videos.items():
        whole, single = errors.rows["arnab"], errors.rows["smplify-started"]
        for column, quantity in enumerate(("mpjpe, mm", "pa_mpjpe, mm", "acceleration, mm/frame²")):
            pairs.append(_pair(f"{input_}: {quantity}", whole[:, column], single[:, column]))
    return Ablation(
        "The fit of a whole video is smoother than single frames and no worse", "arnab", "single frames", pairs
    )


def retraining_ablations(found: Measured) -> list[Ablation | None]:
    """Compare the retrained HMR with the run it started from, the first seed, and with retraining without the fits."""
    statement = "The regressor is better retrained on fits of videos than"
    first_seed = {name: {input_: seeds[:1] for input_, seeds in inputs.items()} for name, inputs in found.items()}
    return [
        _error_ablation(f"{statement} before", "retrained", "hmr", first_seed),
        _error_ablation(
            f"{statement} after the same training without them", "retrained", "retrained_without_fits", first_seed
        ),
    ]


def silhouette_ablation(found: Measured, fitter: Fitter) -> Ablation | None:
    """Compare shapes: surface error in the rest pose, and error of the body height."""

    def figures(parameters: Parameters, ground_truth: Parameters) -> dict[str, Tensor]:
        body, distances = fitter.body, []
        for part in torch.arange(len(ground_truth.phenotypes)).split(_POSED_AT_ONCE):
            still = torch.eye(3).expand(len(part), *ground_truth.orientations.shape[1:])
            rest, true_rest = (body(each.phenotypes[part], still) for each in (parameters, ground_truth))
            distances.append((rest - true_rest).norm(dim=-1).mean(1))
        heights = body.stature(parameters.phenotypes) - body.stature(ground_truth.phenotypes)
        return {"surface in the rest pose, mm": 1000 * torch.cat(distances), "height, mm": 1000 * heights.abs()}

    statement = "Pavlakos' shapes are better with the silhouette than without"
    return _parameter_ablation(statement, "pavlakos", "pavlakos_without_silhouette", found, figures)


def discriminator_ablation(statement: str, name: str, found: Measured, fitter: Fitter) -> Ablation | None:
    """Compare the plausibility of poses: energy of the pose prior, and share of joint angles beyond their limits.

    A constant prediction of the mean pose would have the lowest energy; the reference is that of the true bodies.
    """
    limits = angle_limits()

    def figures(parameters: Parameters, ground_truth: Parameters) -> dict[str, Tensor]:
        pose = rotation_vectors(parameters.orientations)
        angle = (pose[:, limits.bone - 1] * limits.axis).sum(-1)
        beyond = (angle > limits.high + _BEYOND_RAD) | (angle < limits.low - _BEYOND_RAD)
        return {"energy of the pose prior": fitter.prior(pose), "angles beyond limits, %": 100 * beyond.float().mean(1)}

    return _parameter_ablation(statement, name, f"{name}_without_critics", found, figures)


def _parameter_ablation(
    statement: str,
    claimed: str,
    other: str,
    found: Measured,
    figures: Callable[[Parameters, Parameters], dict[str, Tensor]],
) -> Ablation | None:
    """Compare two methods by quantities (N,) that `figures` computes of predicted and true body parameters."""
    if claimed not in found or other not in found:
        return None

    def of(name: str, input_: Input) -> dict[str, Tensor]:
        seeds = []
        for predictions in found[name][input_]:
            assert predictions.parameters is not None
            seeds.append(figures(predictions.parameters, predictions.true_parameters))
        return {quantity: torch.stack([seed[quantity] for seed in seeds]).mean(0) for quantity in seeds[0]}

    pairs = []
    with torch.no_grad():
        for input_ in INPUTS:
            ground_truth = found[claimed][input_][0].true_parameters
            of_claimed, of_other = of(claimed, input_), of(other, input_)
            of_truth = figures(ground_truth, ground_truth)
            for quantity in of_claimed:
                true = of_truth[quantity] if of_truth[quantity].any() else None  # an error of the ground truth is 0
                pairs.append(_pair(f"{input_}: {quantity}", of_claimed[quantity], of_other[quantity], true))
    return Ablation(statement, claimed, other, pairs)


def to_json(measured: Sequence[Ablation]) -> list[dict[str, Any]]:
    """Ablations as the JSON values of `table.json`."""
    return [
        {
            "says": ablation.statement,
            "claimed": ablation.claimed,
            "other": ablation.other,
            "pairs": [_pair_json(pair) for pair in ablation.pairs],
        }
        for ablation in measured
    ]


def _pair_json(pair: Pair) -> dict[str, Any]:
    return {
        "what": pair.quantity,
        "claimed": pair.claimed,
        "other": pair.other,
        "difference": pair.difference,
        "error": pair.error,
        "people": pair.true_bodies,
    }
