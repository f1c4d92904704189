"""The results table: the same people for all, figures with their spread, and claims as measured pairs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from pose2mesh.baselines import learned_backend
from pose2mesh.baselines.benchmark.ablations import claims, plain, sequence_claim
from pose2mesh.baselines.benchmark.method_benchmark import Input, MethodPredictions, judge, mean_body, of_bundle
from pose2mesh.baselines.benchmark.results_table import (
    Contender,
    contenders,
    find_bundles,
    judge_all,
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
    """Two seeds of an untrained HMR, and one without critics."""
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
) -> tuple[dict[str, Contender], dict[str, dict[Input, list[MethodPredictions]]]]:
    """All but the fits, which take long."""
    found = contenders(fitter, runs)
    assert {"mean body", "smplify", "smplify-started", "hmr", "hmr_without_critics", "default"} <= set(found)
    quick = {name: found[name] for name in ("mean body", "hmr", "hmr_without_critics", "default")}
    return quick, judge_all(quick, fitter.layer, PROCEDURAL, PEOPLE)


def test_the_people_are_those_of_evaluate(fitter: Fitter) -> None:
    recovery = Predictor.load()
    methods = {"default": of_bundle(recovery), "mean body": mean_body(fitter)}
    found = judge(methods, fitter.layer, PROCEDURAL, PEOPLE, "noisy", seed=5)
    expected = evaluate_synthetic(recovery, PROCEDURAL, PEOPLE, 5, "noisy", body=fitter.body)
    names = ("mpjpe_mm", "pa_mpjpe_mm", "mpvpe_mm", "pa_mpvpe_mm")
    errors = found["default"].errors_mm.mean(0).tolist()
    assert errors == pytest.approx([expected[name] for name in names], abs=0.05)
    assert found["mean body"].errors_mm[:, 0].mean() > errors[0]
    assert found["default"].milliseconds > 0


def test_bundles_of_a_method(runs: Path) -> None:
    assert [path.parent.name for path in find_bundles("hmr", runs)] == ["seed1", "seed2"]
    assert find_bundles("pavlakos_without_silhouette", runs) == []


def test_a_picture_decides_the_same_whoever_else_is_asked(
    measured: tuple[dict[str, Contender], dict[str, dict[Input, list[MethodPredictions]]]], fitter: Fitter
) -> None:
    found, answers = measured
    alone = judge({"hmr": found["hmr"].judged[0]}, fitter.layer, PROCEDURAL, PEOPLE, "gt")["hmr"]
    torch.testing.assert_close(alone.errors_mm, answers["hmr"]["gt"][0].errors_mm)
    truth = alone.true_parameters
    joints = fitter.body.regressor(fitter.joint_set) @ fitter.body(truth.phenotypes, truth.orientations)
    assert joints.shape[0] == PEOPLE


def test_figures_and_their_table(
    measured: tuple[dict[str, Contender], dict[str, dict[Input, list[MethodPredictions]]]],
) -> None:
    found, answers = measured
    rows = summary(found, answers)
    seeds = [each.errors_mm[:, 0].mean() for each in answers["hmr"]["gt"]]
    assert rows["hmr"]["gt_mpjpe_mm"] == pytest.approx(float(sum(seeds)) / 2)
    assert rows["hmr"]["gt_mpjpe_pm"] == pytest.approx(float(torch.stack(seeds).std()))
    people = answers["default"]["gt"][0].errors_mm[:, 0]
    assert rows["default"]["gt_mpjpe_pm"] == pytest.approx(float(people.std()) / PEOPLE**0.5)
    assert rows["mean body"]["parameters"] is None
    text = markdown(rows, PEOPLE)
    assert "| HMR (2 seeds) | picture | " in text
    assert "hmr_without_critics" not in text
    assert "| HMR | 88.0 | 56.8 | Kanazawa et al." in text
    assert len({line.count("|") for line in text.splitlines() if line.startswith("|")}) == 2


def test_claims_are_pairs(
    measured: tuple[dict[str, Contender], dict[str, dict[Input, list[MethodPredictions]]]], fitter: Fitter
) -> None:
    _, answers = measured
    (claim,) = claims(answers, None, fitter)
    assert (claim.claimed, claim.other) == ("hmr", "hmr_without_critics")
    assert len(claim.pairs) == 4
    for pair in claim.pairs:
        assert pair.difference == pytest.approx(pair.claimed - pair.other, abs=1e-3)
    assert plain([claim])[0]["pairs"][0]["what"] == "gt: energy of the pose prior"
    assert claim.markdown().startswith("**HMR's poses are more plausible")


def test_what_was_retrained_is_compared_with_the_seed_it_began_from(fitter: Fitter) -> None:
    """And not with the mean over seeds; without the runs nothing is claimed."""
    nobody = Parameters(torch.zeros(3, 6), torch.zeros(3, 22, 3, 3))

    def answers(*errors_mm: float) -> dict[Input, list[MethodPredictions]]:
        seeds = [MethodPredictions(torch.full((3, 4), error), nobody, nobody, 1.0) for error in errors_mm]
        return {"gt": seeds, "noisy": seeds}

    found = {"hmr": answers(9.0, 5.0), "retrained": answers(7.0)}
    (before,) = claims(found, None, fitter)
    assert [pair.difference for pair in before.pairs] == [-2.0] * 6
    _, without = claims({**found, "retrained_without_fits": answers(8.0)}, None, fitter)
    assert (without.claimed, without.other) == ("retrained", "retrained_without_fits")
    assert [pair.difference for pair in without.pairs] == [-1.0] * 6


def test_shapes_are_compared_in_the_rest_pose(fitter: Fitter) -> None:
    """The true shape is no error whatever the pose; a taller one is off by the difference."""
    truth = Parameters(torch.full((3, 6), 0.5), torch.eye(3).expand(3, 22, 3, 3))
    taller = torch.tensor([0.5, 0.5, 0.5, 0.5, 0.7, 0.5]).expand(3, 6)
    bent = torch.eye(3).roll(1, 0).expand(3, 22, 3, 3)

    def answers(parameters: Parameters) -> dict[Input, list[MethodPredictions]]:
        each = [MethodPredictions(torch.zeros(3, 4), parameters, truth, 1.0)]
        return {"gt": each, "noisy": each}

    both = {
        "pavlakos": answers(Parameters(truth.phenotypes, bent)),
        "pavlakos_without_silhouette": answers(Parameters(taller, truth.orientations)),
    }
    (claim,) = claims(both, None, fitter)
    surface, height = claim.pairs[:2]
    assert surface.claimed == pytest.approx(0, abs=1e-3)
    assert height.claimed == 0
    stature = fitter.body.stature(taller) - fitter.body.stature(truth.phenotypes)
    assert height.other == pytest.approx(1000 * float(stature[0]), rel=1e-3)
    assert surface.other > 20


def test_videos() -> None:
    rows = {"arnab": torch.full((2, 3), 1.0), "smplify-started": torch.full((2, 3), 3.0)}
    videos: dict[Input, VideoErrors] = {"gt": VideoErrors(rows, 9, {}), "noisy": VideoErrors(rows, 9, {})}
    assert [pair.difference for pair in sequence_claim(videos).pairs] == [-2.0] * 6
    assert "| arnab | 1.0 | 1.0 | 1.0 | 1.0 | 1.0 | 1.0 |" in video_markdown(videos)
