"""Several genders as one body."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pose2mesh.body_models.gendered import BodyConfig, GenderedBody, GenderedPoints, open_body
from pose2mesh.body_models.smpl import SmplBody
from pose2mesh.datasets.records import GENDERS
from pose2mesh.errors import InputError
from pose2mesh.skeletons import COCO, SMPL
from tests.body_models.smpl_fixtures import fake_model, save_npz
from tests.datasets.literature import write_models


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_models(tmp_path_factory.mktemp("models"))


def test_each_sample_is_posed_with_the_body_of_its_gender(models: Path) -> None:
    body = open_body(BodyConfig("smpl", str(models)), {1: "male", 2: "female"})
    generator = torch.Generator().manual_seed(0)
    pose, shape = torch.randn(5, 24, 3, generator=generator), torch.randn(5, 10, generator=generator)
    gender = torch.tensor([2, 0, 1, 1, 2], dtype=torch.int8)

    def posed(body: GenderedBody, people: slice = slice(None)) -> torch.Tensor:
        return GenderedPoints(body, torch.arange(162), torch.zeros(0, 162))(pose[people], shape[people], gender[people])

    together = posed(body)
    for person, number in enumerate(gender.tolist()):
        alone = SmplBody(models / "smpl" / f"SMPL_{GENDERS[number].upper()}.npz")
        torch.testing.assert_close(
            together[person], alone(pose[person, None], shape[person, None])[0], atol=1e-5, rtol=0
        )
    torch.testing.assert_close(body.template, body.main.template)
    assert body.regressor(COCO).shape == (19, 162)
    one = open_body(BodyConfig("smpl", str(models), "male"), {1: "male"})
    torch.testing.assert_close(posed(one, slice(2, 3)), together[2:3])
    assert not one.others
    torch.testing.assert_close(one.regressor(SMPL), one.main.joint_regressor)


def test_bodies_of_other_meshes_are_refused(models: Path, tmp_path: Path) -> None:
    arrays = fake_model("smpl")
    arrays["f"] = arrays["f"][::-1]
    other = SmplBody(save_npz(tmp_path / "other.npz", arrays))
    with pytest.raises(InputError, match=r"other\.npz: its faces are not those of .*SMPL_NEUTRAL\.npz"):
        GenderedBody(SmplBody(models / "smpl" / "SMPL_NEUTRAL.npz"), {1: other})


def test_a_missing_file_or_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"data\.body\.folder is missing; the files of smpl are the user's own"):
        open_body(BodyConfig("smpl"))
    with pytest.raises(InputError, match=r"no file mano/MANO_RIGHT\.npz or \.pkl, expected for mano right"):
        open_body(BodyConfig("mano", str(tmp_path)))


def test_names_in_bundles() -> None:
    assert [BodyConfig(model).name for model in ("anny", "smpl", "mano")] == ["anny", "smpl-neutral", "mano-right"]
    assert BodyConfig("smpl", None, "female").name == "smpl-female"
