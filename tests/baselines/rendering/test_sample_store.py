"""Drawn people kept on disk: the same whoever asks, drawn once, and told when they cannot be kept."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
import torch

from pose2mesh.baselines.common.body_layer import BodyLayer
from pose2mesh.baselines.observation import Need
from pose2mesh.baselines.rendering.rendering_config import RenderingConfig
from pose2mesh.baselines.rendering.sample_store import SampleStore, digest
from pose2mesh.baselines.rendering.sample_stream import SampleStream
from pose2mesh.datasets.synthetic.pose_sampling import PoseConfig, PoseSource
from pose2mesh.errors import InputError
from tests.moving_poses import moving_poses

PROCEDURAL = PoseSource(None, PoseConfig(procedural=1.0))


def stream(layer: BodyLayer, *needs: Need, source: PoseSource = PROCEDURAL, **changes: object) -> SampleStream:
    config = RenderingConfig(distinct=128, **changes)  # type: ignore[arg-type]
    return SampleStream(layer.body, layer.joint_set, source, config, frozenset(needs))


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    drawn: list[int] = []
    draw = SampleStream.draw

    def noted(self: SampleStream, chunk: int, seed: int) -> object:
        drawn.append(chunk)
        return draw(self, chunk, seed)

    monkeypatch.setattr(SampleStream, "draw", noted)
    return drawn


def test_what_is_kept_is_what_is_drawn(layer: BodyLayer, tmp_path: Path, counted: list[int]) -> None:
    fresh = stream(layer, "images", "silhouettes", "landmarks")
    kept = SampleStore(fresh, tmp_path)
    drawn, first = fresh.draw(1, 0), kept.draw(1, 0)
    assert len(list(tmp_path.rglob("pictures.npy"))) == 1  # the name in stores of earlier versions
    counted.clear()
    same = SampleStore(stream(layer, "images", "silhouettes", "landmarks"), tmp_path)
    again = same.draw(1 + 2, 0)  # of 2 chunks
    assert counted == []
    limits = {"images": 0.5 / 255, "silhouettes": 0.5 / 255}
    for one, other, last in zip(drawn, first, again, strict=True):
        for item in fields(one):
            value, read = getattr(one, item.name), getattr(other, item.name)
            if value is None or item.name == "vertices":
                assert read is None
                continue
            assert read.dtype == value.dtype
            torch.testing.assert_close(read, value, rtol=0, atol=1.01 * limits.get(item.name, 0.0))
            assert torch.equal(getattr(last, item.name), read)


def test_methods_share_what_they_both_need(layer: BodyLayer, tmp_path: Path, counted: list[int]) -> None:
    SampleStore(stream(layer, "silhouettes", "landmarks"), tmp_path).draw(0, 0)
    counted.clear()
    seen, _ = SampleStore(stream(layer, "silhouettes"), tmp_path).draw(0, 0)
    assert counted == []
    assert seen.silhouettes is not None
    SampleStore(stream(layer, "silhouettes"), tmp_path).draw(0, 1)  # another seed draws others
    assert counted == [0]


def test_the_same_people_are_labelled_or_not(layer: BodyLayer, tmp_path: Path, counted: list[int]) -> None:
    few, many, fresh = (stream(layer, labelled=share) for share in (0.2, 0.6, 0.6))
    (_, one), (_, other) = SampleStore(few, tmp_path).draw(0, 0), SampleStore(many, tmp_path).draw(0, 0)
    assert counted == [0]
    assert torch.equal(one.joints, other.joints)
    assert torch.equal(other.labelled, fresh.draw(0, 0)[1].labelled)
    assert 0 < one.labelled.sum() < other.labelled.sum()
    assert (other.labelled | ~one.labelled).all()


def test_other_people_have_another_place(layer: BodyLayer) -> None:
    same = digest(stream(layer))
    assert digest(stream(layer, "landmarks")) == same
    assert digest(stream(layer, occluded=0.5)) != same
    assert digest(stream(layer, errors=False)) != same


def test_pictures_are_kept_where_they_were_before_there_were_videos(layer: BodyLayer) -> None:
    """Many gigabytes lie under the names that there were."""
    assert digest(stream(layer)) == "4cdaeb0c28a1791f"
    assert digest(stream(layer, stride=3)) == "4cdaeb0c28a1791f"
    moving = moving_poses()
    videos = [{"frames": 2}, {"frames": 2, "stride": 3}, {}]
    assert len({digest(stream(layer, source=moving, **changes)) for changes in videos}) == 3


def test_videos_are_kept(layer: BodyLayer, tmp_path: Path, counted: list[int]) -> None:
    fresh = stream(layer, "silhouettes", source=moving_poses(), frames=2)
    _, drawn = SampleStore(fresh, tmp_path).draw(1, 0)
    counted.clear()
    seen, truth = SampleStore(stream(layer, source=moving_poses(), frames=2), tmp_path).draw(1, 0)
    assert counted == []
    assert torch.equal(truth.orientations, drawn.orientations)
    assert torch.equal(truth.labelled, drawn.labelled)
    assert truth.index.tolist() == list(range(1, 128, 2))
    assert seen.silhouettes is None


def test_a_folder_that_is_a_file_is_refused(layer: BodyLayer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be kept there"):
        SampleStore(stream(layer), tmp_path / "file").draw(0, 0)


def test_a_damaged_file_is_named(layer: BodyLayer, tmp_path: Path) -> None:
    kept = SampleStore(stream(layer), tmp_path)
    kept.draw(0, 0)
    for file in tmp_path.rglob("joints.npy"):
        file.write_bytes(b"\x93NUMPY")
    with pytest.raises(InputError, match="000000: drawn people cannot be kept there"):
        kept.draw(0, 0)
