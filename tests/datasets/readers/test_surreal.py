"""SURREAL's reader."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pose2mesh.datasets.readers.surreal import read_surreal


def test_people(surreal_folder: Path, cache: Path) -> None:
    detections = surreal_folder / "data" / "hrnet_output_on_valset.json"
    records = read_surreal(surreal_folder, cache, split="val", detections=detections)
    assert records.annotation_id.tolist() == [50, 51]
    assert records.gender.tolist() == [2, 2]
    # In metres or millimetres, the unit shows.
    np.testing.assert_allclose(records.joints_m[:, 2], [[0.02, 0.1, 6.0]] * 2, rtol=1e-6)
    np.testing.assert_allclose(records.joints_px[0, 2], [162, 130, 1], rtol=1e-6)
    np.testing.assert_allclose(records.detected_px[1, 3], [3, 6, 1])
    assert (records.detected_px[0] == 0).all()
    np.testing.assert_allclose(records.translation_m[1], [0.1, 0.2, 4.0])
