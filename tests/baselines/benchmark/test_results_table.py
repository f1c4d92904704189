"""Results table: the same samples for all methods, figures with their spread, and ablations as measured pairs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from pose2mesh.baselines import learned_backend
from pose2mesh.baselines.benchmark.ablations import ablations, sequence_ablation, to_json
from pose2mesh.baselines.benchmark.method_benchmark import (
    Input,
    MethodPredictions,
    benchmark_methods,
    mean_body,
    pose2mesh_method,
)
from pose2mesh.baselines.benchmark.results_table import (
    MethodRuns,
    benchmark_all,
    find_bundles,
    load_methods,
    markdown,
    summary,
    video_markdown,
)
from pose2mesh.baselines.benchmark.video_benchmark import VideoErrors
from pose2mesh.baselines.common.fitting import Fitter
from pose2mesh.baselines.interface import Parameters
from pose2mesh.baselines.methods.hmr import HMR, HMRSettings
from pose2mesh.datasets.synthetic.pose_sampling import PoseConfig, PoseSource
from pose2mesh.evaluation.synthetic_evaluator import evaluate_synthetic
from pose2mesh.inference.predictor import Predictor
from tests.tiny_baseline import save_untrained

PROCEDURAL = PoseSource(None, PoseConfig(procedural=1.0))
PEOPLE = 4


@pytest.fixture(scope="module")
def runs(fitter: Fitter, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two seeds of an untrained HMR, and one without a discriminator."""
    folder = tmp_path_factory.mktemp("runs")
    settings = HMRSettings(critics=False)
    for seed, name in enumerate(("hmr/seed1", "hmr/seed2", "hmr_without_critics")):
        torch.manual_seed(seed)
        (folder / name).mkdir(parents=True)
        save_untrained(folder / name / "bundle.safetensors", HMR(fitter.layer, settings), "hmr", settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learned_backend, "default_body", lambda: fitter.body)
        yield folder


@pytest.fixture(scope="module")
def measured(
    runs: Path, fitter: Fitter
) -> tuple[dict[str, MethodRuns], dict[str, dict[Input, list[MethodPredictions]]]]:
    """All methods but the optimisation methods, which are slow."""
    found = load_methods(fitter, runs)
    assert {"mean body", "smplify", "smplify-started", "hmr", "hmr_without_critics", "default"} <= set(found)
    quick = {name: found[name] for name in ("mean body", "hmr", "hmr_without_critics", "default")}
    return quick, benchmark_all(quick, fitter.layer, PROCEDURAL, PEOPLE)


@pytest.mark.thorough
def test_samples_are_those_of_evaluate(fitter: Fitter) -> None:
    predictor = Predictor.load()
    methods = {"default": pose2mesh_method(predictor), "mean body": mean_body(fitter)}
    found = benchmark_methods(methods, fitter.layer, PROCEDURAL, PEOPLE, "noisy", seed=5)
    expected = evaluate_synthetic(predictor, PROCEDURAL, PEOPLE, 5, "noisy", body=fitter.body, camera="none")
    names = ("mpjpe_mm", "pa_mpjpe_mm", "mpvpe_mm", "pa_mpvpe_mm")
    errors = found["default"].errors_mm.mean(0).tolist()
    assert errors == pytest.approx([expected[name] for name in names], abs=0.05)
    assert found["mean body"].errors_mm[:, 0].mean() > errors[0]
    assert found["default"].milliseconds > 0


def test_bundles_of_a_method(runs: Path) -> None:
    assert [path.parent.name for path in find_bundles("hmr", runs)] == ["seed1", "seed2"]
    assert find_bundles("pavlakos_without_silhouette", runs) == []


@pytest.mark.thorough
def test_predictions_do_not_depend_on_the_other_methods(
    measured: tuple[dict[str, MethodRuns], dict[str, dict[Input, list[MethodPredictions]]]], fitter: Fitter
) -> None:
    found, predictions = measured
    single_frames = benchmark_methods({"hmr": found["hmr"].by_seed[0]}, fitter.layer, PROCEDURAL, PEOPLE, "gt")["hmr"]
    torch.testing.assert_close(single_frames.errors_mm, predictions["hmr"]["gt"][0].errors_mm)
    ground_truth = single_frames.true_parameters
    joints = fitter.body.regressor(fitter.joint_set) @ fitter.body(ground_truth.phenotypes, ground_truth.orientations)
    assert joints.shape[0] == PEOPLE


def test_figures_and_their_table(
    measured: tuple[dict[str, MethodRuns], dict[str, dict[Input, list[MethodPredictions]]]],
) -> None:
    found, predictions = measured
    rows = summary(found, predictions)
    seeds = [each.errors_mm[:, 0].mean() for each in predictions["hmr"]["gt"]]
    assert rows["hmr"]["gt_mpjpe_mm"] == pytest.approx(float(sum(seeds)) / 2)
    assert rows["hmr"]["gt_mpjpe_pm"] == pytest.approx(float(torch.stack(seeds).std()))
    people = predictions["default"]["gt"][0].errors_mm[:, 0]
    assert rows["default"]["gt_mpjpe_pm"] == pytest.approx(float(people.std()) / PEOPLE**0.5)
    assert rows["mean body"]["parameters"] is None
    text = markdown(rows, PEOPLE)
    assert "| HMR (2 seeds) | image | " in text
    assert "hmr_without_critics" not in text
    assert "| HMR | 88.0 | 56.8 | Kanazawa et al." in text
    assert len({line.count("|") for line in text.splitlines() if line.startswith("|")}) == 2


def test_ablations_are_pairs(
    measured: tuple[dict[str, MethodRuns], dict[str, dict[Input, list[MethodPredictions]]]], fitter: Fitter
) -> None:
    _, predictions = measured
    (ablation,) = ablations(predictions, None, fitter)
    assert (ablation.claimed, ablation.other) == ("hmr", "hmr_without_critics")
    assert len(ablation.pairs) == 4
    for pair in ablation.pairs:
        assert pair.difference == pytest.approx(pair.claimed - pair.other, abs=1e-3)
    assert to_json([ablation])[0]["pairs"][0]["what"] == "gt: energy of the pose prior"
    assert ablation.markdown().startswith("**HMR's poses are more plausible")


def test_retrained_hmr_is_compared_with_the_seed_it_started_from(fitter: Fitter) -> None:
    """Not with the mean over seeds; ablations whose runs are missing are left out."""
    unknown = Parameters(torch.zeros(3, 6), torch.zeros(3, 22, 3, 3))

    def predictions(*errors_mm: float) -> dict[Input, list[MethodPredictions]]:
        seeds = [MethodPredictions(torch.full((3, 4), error), unknown, unknown, 1.0) for error in errors_mm]
        return {"gt": seeds, "noisy": seeds}

    found = {"hmr": predictions(9.0, 5.0), "retrained": predictions(7.0)}
    (before,) = ablations(found, None, fitter)
    assert [pair.difference for pair in before.pairs] == [-2.0] * 6
    _, without = ablations({**found, "retrained_without_fits": predictions(8.0)}, None, fitter)
    assert (without.claimed, without.other) == ("retrained", "retrained_without_fits")
    assert [pair.difference for pair in without.pairs] == [-1.0] * 6


def test_shapes_are_compared_in_the_rest_pose(fitter: Fitter) -> None:
    """The true shape has no error whatever the pose; a taller one has the difference as its error."""
    ground_truth = Parameters(torch.full((3, 6), 0.5), torch.eye(3).expand(3, 22, 3, 3))
    taller = torch.tensor([0.5, 0.5, 0.5, 0.5, 0.7, 0.5]).expand(3, 6)
    bent = torch.eye(3).roll(1, 0).expand(3, 22, 3, 3)

    def predictions(parameters: Parameters) -> dict[Input, list[MethodPredictions]]:
        each = [MethodPredictions(torch.zeros(3, 4), parameters, ground_truth, 1.0)]
        return {"gt": each, "noisy": each}

    both = {
        "pavlakos": predictions(Parameters(ground_truth.phenotypes, bent)),
        "pavlakos_without_silhouette": predictions(Parameters(taller, ground_truth.orientations)),
    }
    (ablation,) = ablations(both, None, fitter)
    surface, height = ablation.pairs[:2]
    assert surface.claimed == pytest.approx(0, abs=1e-3)
    assert height.claimed == 0
    stature = fitter.body.stature(taller) - fitter.body.stature(ground_truth.phenotypes)
    assert height.other == pytest.approx(1000 * float(stature[0]), rel=1e-3)
    assert surface.other > 20


def test_videos() -> None:
    rows = {"arnab": torch.full((2, 3), 1.0), "smplify-started": torch.full((2, 3), 3.0)}
    videos: dict[Input, VideoErrors] = {"gt": VideoErrors(rows, 9, {}), "noisy": VideoErrors(rows, 9, {})}
    assert [pair.difference for pair in sequence_ablation(videos).pairs] == [-2.0] * 6
    assert "| arnab | 1.0 | 1.0 | 1.0 | 1.0 | 1.0 | 1.0 |" in video_markdown(videos)
