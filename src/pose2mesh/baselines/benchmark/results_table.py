"""The results table of the literature, run: every method on the same people, with what others published set apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pose2mesh.baselines.baseline_bundle import LearnedInfo, load_learned
from pose2mesh.baselines.benchmark.method_benchmark import (
    MEASURES,
    SEED,
    BenchmarkedMethod,
    Input,
    MethodPredictions,
    judge,
    mean_body,
    of_bundle,
    of_joints,
    of_pictures,
)
from pose2mesh.baselines.benchmark.video_benchmark import VideoErrors
from pose2mesh.baselines.bundle_lookup import find_learned_bundle
from pose2mesh.baselines.common.body_layer import BodyLayer
from pose2mesh.baselines.common.fitting import Fitter
from pose2mesh.baselines.learned_backend import LearnedBackend
from pose2mesh.baselines.registry import FITTING_METHODS, LEARNED_METHODS
from pose2mesh.datasets.synthetic.pose_sampling import PoseSource
from pose2mesh.errors import InputError
from pose2mesh.evaluation.published_results import PUBLISHED
from pose2mesh.inference.predictor import Predictor
from pose2mesh.models.bundle.bundle_info import BUNDLE, DEFAULT

INPUTS: tuple[Input, ...] = ("gt", "noisy")
_TITLES = {"mpjpe": "MPJPE", "pa_mpjpe": "PA-MPJPE", "mpvpe": "MPVPE"}


class MethodRow(NamedTuple):
    """A method in the table.

    Attributes:
        title: Its name there.
        sees: What it looks at.
        published: Its name in `evaluation.published_results.PUBLISHED`.
    """

    title: str
    sees: str
    published: str | None = None


ROWS = {
    "mean body": MethodRow("mean body, facing the camera", "nothing"),
    "smplify": MethodRow("SMPLify", "2D joints"),
    "smplify-started": MethodRow("SMPLify, started by Pose2Mesh", "2D joints"),
    "lassner": MethodRow("Lassner et al.", "landmarks", "Lassner et al."),
    "pavlakos": MethodRow("Pavlakos et al.", "2D joints, silhouette", "Pavlakos et al."),
    "nbf": MethodRow("NBF", "part map", "NBF"),
    "hmr": MethodRow("HMR", "picture", "HMR"),
    "graphcmr": MethodRow("GraphCMR", "picture", "GraphCMR"),
    "spin": MethodRow("SPIN", "picture", "SPIN"),
    "retrained": MethodRow("HMR, retrained on fits of videos (Arnab et al.)", "picture", "Arnab et al."),
    DEFAULT: MethodRow("Pose2Mesh, the bundle that ships", "2D joints", "Pose2Mesh"),
}
# Trained to see what one part of a method is for; they have no row, and so has GraphCMR's body of parameters.
VARIANTS = (
    "hmr_labelled",
    "hmr_without_critics",
    "hmr_unpaired",
    "hmr_unpaired_without_critics",
    "spin_unpaired",
    "retrained_without_fits",
    "pavlakos_without_silhouette",
)


@dataclass(frozen=True)
class Contender:
    """A method with the bundles of it there are: one, or one a seed.

    Attributes:
        judged: What is asked, by seed.
        parameters: Numbers in its networks; None for a fit.
        minutes: Of training, by seed; empty where none were recorded.
    """

    judged: list[BenchmarkedMethod]
    parameters: int | None = None
    minutes: tuple[float, ...] = ()


def find_bundles(name: str, runs: Path | None) -> list[Path]:
    """The bundles of a learned method: in `NAME/` and `NAME/seed*/` of a folder of runs, else the one that ships."""
    if runs is not None:
        folders = [runs / name, *sorted((runs / name).glob("seed*"))]
        found = [folder / BUNDLE for folder in folders if (folder / BUNDLE).is_file()]
        if found:
            return found
    if name not in LEARNED_METHODS:
        return []
    try:
        return [find_learned_bundle(name)]
    except InputError:
        return []


def contenders(fitter: Fitter, runs: Path | None) -> dict[str, Contender]:
    """Every row and variant that can be run."""
    default = Predictor.load()
    found = {"mean body": Contender([mean_body(fitter)])}
    found |= {name: Contender([of_joints(FITTING_METHODS[name](fitter))]) for name in ("smplify", "smplify-started")}
    for name in (*ROWS, *VARIANTS):
        if name not in found and name != DEFAULT and (bundles := find_bundles(name, runs)):
            found[name] = _learned(bundles, fitter.layer)
    if "graphcmr" in found:
        found["graphcmr_parameters"] = _learned(find_bundles("graphcmr", runs), fitter.layer, answer="parameters")
    found[DEFAULT] = Contender([of_bundle(default)], _parameters(DEFAULT))
    return found


def _learned(bundles: Sequence[Path], layer: BodyLayer, **settings: Any) -> Contender:
    """Of bundles, with `settings` changed that do not change the network."""
    loaded = [load_learned(bundle, layer, settings) for bundle in bundles]
    infos: list[LearnedInfo] = [info for _, info in loaded]
    judged = [of_pictures(LearnedBackend(network, info, layer)) for network, info in loaded]
    return Contender(judged, infos[0].parameters, tuple(info.minutes for info in infos))


def _parameters(bundle: str) -> int:
    from pose2mesh.models.bundle.bundle import load_bundle

    return sum(parameter.numel() for parameter in load_bundle(bundle).model.parameters())


def judge_all(
    found: Mapping[str, Contender], layer: BodyLayer, poses: PoseSource, samples: int, seed: int = SEED
) -> dict[str, dict[Input, list[MethodPredictions]]]:
    """The answers of every contender, by name, input and seed."""
    numbered = {f"{name} {at}": each for name, one in found.items() for at, each in enumerate(one.judged)}
    answers = {input_: judge(numbered, layer, poses, samples, input_, seed) for input_ in INPUTS}
    return {
        name: {input_: [answers[input_][f"{name} {at}"] for at in range(len(one.judged))] for input_ in INPUTS}
        for name, one in found.items()
    }


def summary(
    found: Mapping[str, Contender], answers: Mapping[str, Mapping[Input, Sequence[MethodPredictions]]]
) -> dict[str, dict[str, Any]]:
    """The figures of the table by method: means in mm, and `…_pm`: their spread over the seeds where there are several,
    else the standard error over people.
    """
    rows = {}
    for name, by_input in answers.items():
        contender = found[name]
        row: dict[str, Any] = {"seeds": len(contender.judged)}
        for input_, seeds in by_input.items():
            for column, measure in enumerate(MEASURES):
                means, pm = _mean_and_spread([each.errors_mm[:, column] for each in seeds])
                row |= {f"{input_}_{measure}_mm": means, f"{input_}_{measure}_pm": pm}
        row["parameters"] = contender.parameters
        row["ms_a_person"] = _mean(each.milliseconds for seeds in by_input.values() for each in seeds)
        row["training_minutes"] = _mean(contender.minutes) if contender.minutes else None
        rows[name] = row
    return rows


def _mean_and_spread(seeds: list[Tensor]) -> tuple[float, float]:
    if len(seeds) == 1:
        return float(seeds[0].mean()), float(seeds[0].std() / len(seeds[0]) ** 0.5)
    means = torch.stack([errors.mean() for errors in seeds])
    return float(means.mean()), float(means.std())


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)


def markdown(rows: Mapping[str, Mapping[str, Any]], samples: int) -> str:
    """The table, with the published errors in columns of their own."""
    heads = [f"{input_}: {_TITLES[measure]}" for input_ in INPUTS for measure in MEASURES]
    lines = [
        f"{samples} people of the validation clips, errors in mm: ± is the standard error of the mean over people, or, "
        "where a method was trained with several seeds, the spread of their means. `gt`: true 2D joints, part maps, "
        "silhouettes and landmarks; `noisy`: with a detector's errors. Pictures are the same but for the crop.",
        "",
        table_line("method", "sees", *heads, "parameters", "ms a person", "training, min"),
        table_line(*["---"] * (len(heads) + 5)),
    ]
    for name, shown in ROWS.items():
        if name not in rows:
            continue
        row = rows[name]
        seeds = f" ({row['seeds']} seeds)" if row["seeds"] > 1 else ""
        errors = [
            f"{row[f'{input_}_{measure}_mm']:.1f} ± {row[f'{input_}_{measure}_pm']:.1f}"
            for input_ in INPUTS
            for measure in MEASURES
        ]
        parameters = "–" if row["parameters"] is None else f"{row['parameters'] / 1e6:.2f} M"
        minutes = "–" if row["training_minutes"] is None else f"{row['training_minutes']:.1f}"
        lines.append(
            table_line(shown.title + seeds, shown.sees, *errors, parameters, f"{row['ms_a_person']:.1f}", minutes)
        )
    lines += ["", "Published, on Human3.6M (protocol 2, mm): other bodies, people, pictures and training data.", ""]
    lines += [table_line("method", "MPJPE", "PA-MPJPE", "source"), table_line(*["---"] * 4)]
    names = [row.published for row in ROWS.values() if row.published]
    for published in PUBLISHED:
        if published.protocol == "human36m-p2" and published.method in names and published.input_ != "gt":
            errors = ["–" if value is None else f"{value:.1f}" for value in (published.mpjpe, published.pa_mpjpe)]
            lines.append(table_line(published.method, *errors, published.source))
    return "\n".join(lines)


def video_markdown(videos: Mapping[Input, VideoErrors]) -> str:
    """Ways to treat a video: means over the clips."""
    first = videos[INPUTS[0]]
    heads = [f"{input_}: {head}" for input_ in INPUTS for head in ("MPJPE", "PA-MPJPE", "acceleration")]
    lines = [
        f"One video of each of {len(next(iter(first.rows.values())))} validation clips, {first.frames} frames; mm, "
        "and mm/frame² of the acceleration error.",
        "",
        table_line("video", *heads),
        table_line(*["---"] * (len(heads) + 1)),
    ]
    for name in first.rows:
        cells = [f"{value:.1f}" for input_ in INPUTS for value in videos[input_].rows[name].mean(0).tolist()]
        lines.append(table_line(name, *cells))
    return "\n".join(lines)


def table_line(*cells: str) -> str:
    """A row of a table in Markdown."""
    return f"| {' | '.join(cells)} |"
