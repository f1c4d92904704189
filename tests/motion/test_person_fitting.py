"""Fitted bodies in the JSON and NPZ of an image."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pose2mesh.body_models.bones import BODY_BONES
from pose2mesh.cli.main import main

EXAMPLE = Path(__file__).parents[2] / "examples" / "coco_people.json"


def test_a_body_is_fitted_to_every_person(tmp_path: Path) -> None:
    assert main(["predict", str(EXAMPLE), "--formats", "json,npz,rig", "--out", str(tmp_path)]) == 0
    documents = sorted(tmp_path.glob("*.json"))
    assert len(documents) > 1
    for path in documents:
        document = json.loads(path.read_text())
        with np.load(path.with_suffix(".npz")) as arrays:
            for index, person in enumerate(document["people"]):
                rig = person["rig"]
                assert person["files"] == {"npz": f"{path.stem}.npz"}
                assert rig["residual_mm"] < 30
                assert rig["residual_mm"] == pytest.approx(float(arrays["residual_mm"][index]), abs=1e-4)
                assert list(rig["orientations"]) == list(BODY_BONES)
                turns = np.array(list(rig["orientations"].values()))
                assert turns == pytest.approx(arrays["orientations"][index], abs=1e-4)
                assert np.einsum("bij,bkj->bik", turns, turns) == pytest.approx(
                    np.tile(np.eye(3), (22, 1, 1)), abs=1e-3
                )
                assert list(rig["phenotypes"]) == arrays["phenotype_names"].tolist()
                assert rig["measurements"]["height_m"]["value"] == pytest.approx(person["stature_m"], abs=0.1)
                # The hips are near the pelvis that the network predicted.
                pelvis = person["joints3d_m"][document["joint_names"].index("pelvis")]
                off = np.array(rig["hips_m"]) - person["camera"]["translation_m"] - pelvis
                assert np.linalg.norm(off) < 0.12


def test_a_model_of_another_body_is_refused(
    bundle_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["predict", str(EXAMPLE), "--model", str(bundle_file), "--formats", "json,rig"]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 2
    fault = "pose2mesh: model 'small' has another body than Anny, which glb, bvh, rig need"
    assert set(capsys.readouterr().err.splitlines()) == {fault}
    assert not (tmp_path / "out").exists()
