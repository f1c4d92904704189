"""Results table: every method evaluated on the same samples, and its published errors."""

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
    benchmark_methods,
    fitting_method,
    learned_method,
    mean_body,
    pose2mesh_method,
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


class TableRow(NamedTuple):
    """A row of the table.

    Attributes:
        title: Name of the method.
        input: Observations that it uses.
        published: Name of the method in `evaluation.published_results.PUBLISHED`.
    """

    title: str
    input: str
    published: str | None = None


ROWS = {
    "mean body": TableRow("mean body, facing the camera", "nothing"),
    "smplify": TableRow("SMPLify", "2D joints"),
    "smplify-started": TableRow("SMPLify, started by Pose2Mesh", "2D joints"),
    "lassner": TableRow("Lassner et al.", "landmarks", "Lassner et al."),
    "pavlakos": TableRow("Pavlakos et al.", "2D joints, silhouette", "Pavlakos et al."),
    "nbf": TableRow("NBF", "part map", "NBF"),
    "hmr": TableRow("HMR", "image", "HMR"),
    "graphcmr": TableRow("GraphCMR", "image", "GraphCMR"),
    "spin": TableRow("SPIN", "image", "SPIN"),
    "retrained": TableRow("HMR, retrained on fits of videos (Arnab et al.)", "image", "Arnab et al."),
    DEFAULT: TableRow("Pose2Mesh, the bundle that ships", "2D joints", "Pose2Mesh"),
}
# Variants of methods, trained for the ablations; they have no row in the table, nor has GraphCMR's parametric body.
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
class MethodRuns:
    """A method and its bundles, one per seed.

    Attributes:
        by_seed: The method to run, for each seed.
        parameters: Number of network parameters; None for an optimisation method.
        minutes: Training time for each seed; empty if not recorded.
    """

    by_seed: list[BenchmarkedMethod]
    parameters: int | None = None
    minutes: tuple[float, ...] = ()


def find_bundles(name: str, runs: Path | None) -> list[Path]:
    """Bundles of a learned method: in `NAME/` and `NAME/seed*/` of a folder of runs, else the one that ships."""
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


def load_methods(fitter: Fitter, runs: Path | None) -> dict[str, MethodRuns]:
    """All rows and variants for which there is a bundle, and the optimisation methods."""
    default = Predictor.load()
    found = {"mean body": MethodRuns([mean_body(fitter)])}
    found |= {
        name: MethodRuns([fitting_method(FITTING_METHODS[name](fitter))]) for name in ("smplify", "smplify-started")
    }
    for name in (*ROWS, *VARIANTS):
        if name not in found and name != DEFAULT and (bundles := find_bundles(name, runs)):
            found[name] = _learned(bundles, fitter.layer)
    if "graphcmr" in found:
        found["graphcmr_parameters"] = _learned(find_bundles("graphcmr", runs), fitter.layer, answer="parameters")
    found[DEFAULT] = MethodRuns([pose2mesh_method(default)], _parameters(DEFAULT))
    return found


def _learned(bundles: Sequence[Path], layer: BodyLayer, **settings: Any) -> MethodRuns:
    """Load bundles, overriding `settings` that do not change the network."""
    loaded = [load_learned(bundle, layer, settings) for bundle in bundles]
    infos: list[LearnedInfo] = [info for _, info in loaded]
    by_seed = [learned_method(LearnedBackend(network, info, layer)) for network, info in loaded]
    return MethodRuns(by_seed, infos[0].parameters, tuple(info.minutes for info in infos))


def _parameters(bundle: str) -> int:
    from pose2mesh.models.bundle.bundle import load_bundle

    return sum(parameter.numel() for parameter in load_bundle(bundle).model.parameters())


def benchmark_all(
    found: Mapping[str, MethodRuns], layer: BodyLayer, poses: PoseSource, samples: int, seed: int = SEED
) -> dict[str, dict[Input, list[MethodPredictions]]]:
    """Predictions of every method, by name, input and seed."""
    numbered = {f"{name} {at}": each for name, one in found.items() for at, each in enumerate(one.by_seed)}
    predictions = {input_: benchmark_methods(numbered, layer, poses, samples, input_, seed) for input_ in INPUTS}
    return {
        name: {input_: [predictions[input_][f"{name} {at}"] for at in range(len(one.by_seed))] for input_ in INPUTS}
        for name, one in found.items()
    }


def summary(
    found: Mapping[str, MethodRuns], predictions: Mapping[str, Mapping[Input, Sequence[MethodPredictions]]]
) -> dict[str, dict[str, Any]]:
    """Figures of the table by method: means in mm, and as `…_pm` their standard deviation over seeds.

    With a single seed, `…_pm` is the standard error over samples.
    """
    rows = {}
    for name, by_input in predictions.items():
        runs_of_method = found[name]
        row: dict[str, Any] = {"seeds": len(runs_of_method.by_seed)}
        for input_, seeds in by_input.items():
            for column, measure in enumerate(MEASURES):
                means, pm = _mean_and_spread([each.errors_mm[:, column] for each in seeds])
                row |= {f"{input_}_{measure}_mm": means, f"{input_}_{measure}_pm": pm}
        row["parameters"] = runs_of_method.parameters
        row["ms_a_person"] = _mean(each.milliseconds for seeds in by_input.values() for each in seeds)
        row["training_minutes"] = _mean(runs_of_method.minutes) if runs_of_method.minutes else None
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
    """The table in Markdown, followed by a table of the published errors."""
    heads = [f"{input_}: {_TITLES[measure]}" for input_ in INPUTS for measure in MEASURES]
    lines = [
        f"{samples} people of the validation clips, errors in mm: ± is the standard error of the mean over people, or, "
        "where a method was trained with several seeds, the spread of their means. `gt`: true 2D joints, part maps, "
        "silhouettes and landmarks; `noisy`: with a detector's errors. Images are the same apart from the crop.",
        "",
        table_line("method", "input", *heads, "parameters", "ms a person", "training, min"),
        table_line(*["---"] * (len(heads) + 5)),
    ]
    for name, table_row in ROWS.items():
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
            table_line(
                table_row.title + seeds, table_row.input, *errors, parameters, f"{row['ms_a_person']:.1f}", minutes
            )
        )
    lines += ["", "Published, on Human3.6M (protocol 2, mm): other bodies, people, images and training data.", ""]
    lines += [table_line("method", "MPJPE", "PA-MPJPE", "source"), table_line(*["---"] * 4)]
    names = [row.published for row in ROWS.values() if row.published]
    for published in PUBLISHED:
        if published.protocol == "human36m-p2" and published.method in names and published.input_ != "gt":
            errors = ["–" if value is None else f"{value:.1f}" for value in (published.mpjpe, published.pa_mpjpe)]
            lines.append(table_line(published.method, *errors, published.source))
    return "\n".join(lines)


def video_markdown(videos: Mapping[Input, VideoErrors]) -> str:
    """Table of the methods for videos in Markdown: means over the clips."""
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
