"""The sheet of thin limbs: the samples of `pose2mesh evaluate`, and a row of views for each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from limb_sheet import TILE_PX, ThinSample, draw_row, samples

from pose2mesh.body_models.default_body import default_body
from pose2mesh.datasets.synthetic.pose_sampling import PoseConfig, PoseSource
from pose2mesh.evaluation.synthetic_chunks import SyntheticTest
from pose2mesh.evaluation.synthetic_evaluator import evaluate_kinds
from pose2mesh.inference.predictor import Predictor
from pose2mesh.skeletons import COCO
from tests.untrained import save_untrained


@pytest.mark.thorough
def test_samples_are_those_of_the_evaluation(tmp_path: Path) -> None:
    body, source = default_body(), PoseSource(None, PoseConfig(procedural=1.0))
    predictor = Predictor.load(save_untrained(tmp_path / "bundle.safetensors", body, source, COCO))
    test = SyntheticTest(6, 3, "gt")
    found = list(samples([predictor, predictor], source, "jump", test, body))
    assert [sample.number for sample in found] == list(range(6))
    for sample in found:
        assert sample.meshes.shape == (3, len(body.template), 3)
        assert sample.ratios[0] == sample.ratios[1]
    results = evaluate_kinds(predictor, {"": source}, test, body)
    assert results["thin_limbs_70"] == pytest.approx(np.mean([sample.ratios[0] < 0.7 for sample in found]))
    true, predicted = (np.stack([sample.meshes[index] for sample in found]) for index in (0, 1))
    error = np.linalg.norm(true - predicted, axis=-1).mean()
    assert results["mpvpe_mm"] == pytest.approx(1000 * error, rel=1e-4)


def test_a_row_shows_every_mesh_from_two_sides() -> None:
    """A plate that is seen from the front covers its square; from the side, its edge covers almost nothing."""
    plate = np.array([[-1.0, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]])
    sample = ThinSample("jump", 4, 1, np.array([0.31, 0.5]), np.stack([plate, plate, plate]))
    row = draw_row(sample, np.array([[0, 2, 1], [0, 3, 2]]))
    assert row.shape == (TILE_PX, 6 * TILE_PX, 3)
    tiles = row.reshape(TILE_PX, 6, TILE_PX, 3).swapaxes(0, 1).astype(int)
    middle = TILE_PX // 2
    covered = [np.abs(tile[middle, 30:60] - tile[middle, 1]).max() > 10 for tile in tiles]
    assert covered == [True, True, True, False, False, False]
    assert sample.caption == "jump 4: left forearm 0.31, 0.50"
