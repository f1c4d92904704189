"""What each method of the literature claims for itself, as measured pairs on the same people."""

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
from pose2mesh.datasets.synthetic.pose_sampling import angle_limits

Measured: TypeAlias = Mapping[str, Mapping[Input, Sequence[MethodPredictions]]]
_POSED_AT_ONCE = 32
_BEYOND_RAD = 0.1  # past a limit, for a joint to count


@dataclass(frozen=True)
class Pair:
    """One figure of two methods; the smaller the better.

    Attributes:
        what: The figure, with its unit.
        claimed: Of the method that is said to be better.
        other: Of the other.
        difference: Mean of claimed − other over people.
        error: Its standard error.
        people: Of the true bodies, where that says something.
    """

    what: str
    claimed: float
    other: float
    difference: float
    error: float
    people: float | None = None


@dataclass(frozen=True)
class Ablation:
    """A claim and what was measured of it."""

    says: str
    claimed: str
    other: str
    pairs: list[Pair]

    def markdown(self) -> str:
        told = any(pair.people is not None for pair in self.pairs)
        heads = [self.claimed, self.other, "difference", *(["true bodies"] if told else [])]
        lines = [f"**{self.says}**", "", table_line("", *heads), table_line(*["---"] * (len(heads) + 1))]
        for pair in self.pairs:
            cells = [f"{pair.claimed:.4g}", f"{pair.other:.4g}", f"{pair.difference:+.3g} ± {pair.error:.2g}"]
            lines.append(table_line(pair.what, *cells, *([f"{pair.people:.4g}"] if pair.people is not None else [])))
        return "\n".join(lines)


def claims(found: Measured, videos: Mapping[Input, VideoErrors] | None, fitter: Fitter) -> list[Ablation]:
    """Every claim whose methods were measured."""
    made = [
        _errors("SPIN is better than HMR alone", "spin", "hmr", found),
        _errors("SPIN is better than HMR alone, where no 3D label is known", "spin_unpaired", "hmr_unpaired", found),
        _errors(
            "What fits could gain: 3D labels for all, not for a fifth", "hmr_labelled", "hmr_without_critics", found
        ),
        _errors("The fit is better with a good start than without", "smplify-started", "smplify", found),
        None if videos is None else sequence_claim(videos),
        *retraining_claims(found),
        _errors("GraphCMR's mesh is no worse than its own parameters", "graphcmr", "graphcmr_parameters", found),
        silhouette_claim(found, fitter),
        critics_claim("HMR's poses are more plausible with the critics than without", "hmr", found, fitter),
        critics_claim("The same, where no 3D label is known", "hmr_unpaired", found, fitter),
        _errors(
            "HMR is better with the critics than without, where no 3D label is known",
            "hmr_unpaired",
            "hmr_unpaired_without_critics",
            found,
        ),
    ]
    return [claim for claim in made if claim is not None]


def _errors(says: str, claimed: str, other: str, found: Measured) -> Ablation | None:
    """By the errors of the table."""
    if claimed not in found or other not in found:
        return None
    pairs = [
        _pair(f"{input_}: {measure}, mm", *(_over_seeds(found[name][input_], column) for name in (claimed, other)))
        for input_ in INPUTS
        for column, measure in enumerate(MEASURES)
    ]
    return Ablation(says, claimed, other, pairs)


def _over_seeds(seeds: Sequence[MethodPredictions], column: int) -> Tensor:
    """(N,) each person's mean over the seeds."""
    return torch.stack([answers.errors_mm[:, column] for answers in seeds]).mean(0)


def _pair(what: str, claimed: Tensor, other: Tensor, people: Tensor | None = None) -> Pair:
    difference = claimed - other
    error = float(difference.std() / len(difference) ** 0.5)
    true = None if people is None else float(people.mean())
    return Pair(what, float(claimed.mean()), float(other.mean()), float(difference.mean()), error, true)


def sequence_claim(videos: Mapping[Input, VideoErrors]) -> Ablation:
    """By the errors of videos; the differences are over clips."""
    pairs = []
    for input_, errors in videos.items():
        whole, single = errors.rows["arnab"], errors.rows["smplify-started"]
        for column, what in enumerate(("mpjpe, mm", "pa_mpjpe, mm", "acceleration, mm/frame²")):
            pairs.append(_pair(f"{input_}: {what}", whole[:, column], single[:, column]))
    return Ablation(
        "The fit of a whole video is smoother than single frames and no worse", "arnab", "single frames", pairs
    )


def retraining_claims(found: Measured) -> list[Ablation | None]:
    """Against the HMR that was retrained, which is its first seed, and against the same training without the fits."""
    says = "The regressor is better retrained on fits of videos than"
    alone = {name: {input_: seeds[:1] for input_, seeds in answers.items()} for name, answers in found.items()}
    return [
        _errors(f"{says} before", "retrained", "hmr", alone),
        _errors(f"{says} after the same training without them", "retrained", "retrained_without_fits", alone),
    ]


def silhouette_claim(found: Measured, fitter: Fitter) -> Ablation | None:
    """By how far the bodies are from the true ones in the rest pose, and by their height."""

    def figures(parameters: Parameters, truth: Parameters) -> dict[str, Tensor]:
        body, distances = fitter.body, []
        for part in torch.arange(len(truth.phenotypes)).split(_POSED_AT_ONCE):
            still = torch.eye(3).expand(len(part), *truth.orientations.shape[1:])
            rest, true_rest = (body(each.phenotypes[part], still) for each in (parameters, truth))
            distances.append((rest - true_rest).norm(dim=-1).mean(1))
        heights = body.stature(parameters.phenotypes) - body.stature(truth.phenotypes)
        return {"surface in the rest pose, mm": 1000 * torch.cat(distances), "height, mm": 1000 * heights.abs()}

    says = "Pavlakos' shapes are better with the silhouette than without"
    return _of_parameters(says, "pavlakos", "pavlakos_without_silhouette", found, figures)


def critics_claim(says: str, name: str, found: Measured, fitter: Fitter) -> Ablation | None:
    """By how unlikely the poses of a method with critics are, and by how many joints are beyond their limits.

    Who always answers with the mean pose is the most plausible of all: beside the figures stand those of the people.
    """
    limits = angle_limits()

    def figures(parameters: Parameters, truth: Parameters) -> dict[str, Tensor]:
        pose = rotation_vectors(parameters.orientations)
        angle = (pose[:, limits.bone - 1] * limits.axis).sum(-1)
        beyond = (angle > limits.high + _BEYOND_RAD) | (angle < limits.low - _BEYOND_RAD)
        return {"energy of the pose prior": fitter.prior(pose), "angles beyond limits, %": 100 * beyond.float().mean(1)}

    return _of_parameters(says, name, f"{name}_without_critics", found, figures)


def _of_parameters(
    says: str,
    claimed: str,
    other: str,
    found: Measured,
    figures: Callable[[Parameters, Parameters], dict[str, Tensor]],
) -> Ablation | None:
    if claimed not in found or other not in found:
        return None

    def of(name: str, input_: Input) -> dict[str, Tensor]:
        seeds = []
        for answers in found[name][input_]:
            assert answers.parameters is not None
            seeds.append(figures(answers.parameters, answers.true_parameters))
        return {what: torch.stack([seed[what] for seed in seeds]).mean(0) for what in seeds[0]}

    pairs = []
    with torch.no_grad():
        for input_ in INPUTS:
            truth = found[claimed][input_][0].true_parameters
            ours, theirs, people = of(claimed, input_), of(other, input_), figures(truth, truth)
            for what in ours:
                own = people[what] if people[what].any() else None  # an error of the truth is none
                pairs.append(_pair(f"{input_}: {what}", ours[what], theirs[what], own))
    return Ablation(says, claimed, other, pairs)


def plain(made: Sequence[Ablation]) -> list[dict[str, Any]]:
    """Claims as JSON takes them."""
    return [
        {"says": claim.says, "claimed": claim.claimed, "other": claim.other, "pairs": [vars(p) for p in claim.pairs]}
        for claim in made
    ]
