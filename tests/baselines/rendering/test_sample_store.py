"""Sample cache on disk: samples are equal to fresh ones, generated once, and write failures are reported."""

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
    sampled: list[int] = []
    sample = SampleStream.sample

    def noted(self: SampleStream, chunk: int, seed: int) -> object:
        sampled.append(chunk)
        return sample(self, chunk, seed)

    monkeypatch.setattr(SampleStream, "sample", noted)
    return sampled


@pytest.mark.thorough
def test_cached_samples_equal_fresh_ones(layer: BodyLayer, tmp_path: Path, counted: list[int]) -> None:
    fresh = stream(layer, "images", "silhouettes", "landmarks")
    kept = SampleStore(fresh, tmp_path)
    sampled, first = fresh.sample(1, 0), kept.sample(1, 0)
    assert len(list(tmp_path.rglob("pictures.npy"))) == 1  # the file name of caches of earlier versions
    counted.clear()
    same = SampleStore(stream(layer, "images", "silhouettes", "landmarks"), tmp_path)
    again = same.sample(1 + 2, 0)  # of 2 chunks
    assert counted == []
    limits = {"images": 0.5 / 255, "silhouettes": 0.5 / 255}
    for one, other, last in zip(sampled, first, again, strict=True):
        for item in fields(one):
            value, read = getattr(one, item.name), getattr(other, item.name)
            if value is None or item.name == "vertices":
                assert read is None
                continue
            assert read.dtype == value.dtype
            torch.testing.assert_close(read, value, rtol=0, atol=1.01 * limits.get(item.name, 0.0))
            assert torch.equal(getattr(last, item.name), read)


@pytest.mark.thorough
def test_methods_share_common_fields(layer: BodyLayer, tmp_path: Path, counted: list[int]) -> None:
    SampleStore(stream(layer, "silhouettes", "landmarks"), tmp_path).sample(0, 0)
    counted.clear()
    observation, _ = SampleStore(stream(layer, "silhouettes"), tmp_path).sample(0, 0)
    assert counted == []
    assert observation.silhouettes is not None
    SampleStore(stream(layer, "silhouettes"), tmp_path).sample(0, 1)  # another seed gives other samples
    assert counted == [0]


@pytest.mark.thorough
def test_the_same_people_are_labelled_or_not(layer: BodyLayer, tmp_path: Path, counted: list[int]) -> None:
    few, many, fresh = (stream(layer, labelled=share) for share in (0.2, 0.6, 0.6))
    (_, one), (_, other) = SampleStore(few, tmp_path).sample(0, 0), SampleStore(many, tmp_path).sample(0, 0)
    assert counted == [0]
    assert torch.equal(one.joints, other.joints)
    assert torch.equal(other.labelled, fresh.sample(0, 0)[1].labelled)
    assert 0 < one.labelled.sum() < other.labelled.sum()
    assert (other.labelled | ~one.labelled).all()


@pytest.mark.thorough
def test_other_settings_have_another_folder(layer: BodyLayer) -> None:
    same = digest(stream(layer))
    assert digest(stream(layer, "landmarks")) == same
    assert digest(stream(layer, occluded=0.5)) != same
    assert digest(stream(layer, errors=False)) != same


@pytest.mark.thorough
def test_digest_is_unchanged_since_before_videos(layer: BodyLayer) -> None:
    """Existing caches of many gigabytes stay valid."""
    assert digest(stream(layer)) == "4cdaeb0c28a1791f"
    assert digest(stream(layer, stride=3)) == "4cdaeb0c28a1791f"
    moving = moving_poses()
    videos = [{"frames": 2}, {"frames": 2, "stride": 3}, {}]
    assert len({digest(stream(layer, source=moving, **changes)) for changes in videos}) == 3


def test_videos_are_cached(layer: BodyLayer, tmp_path: Path, counted: list[int]) -> None:
    fresh = stream(layer, "silhouettes", source=moving_poses(), frames=2)
    _, sampled = SampleStore(fresh, tmp_path).sample(1, 0)
    counted.clear()
    observation, ground_truth = SampleStore(stream(layer, source=moving_poses(), frames=2), tmp_path).sample(1, 0)
    assert counted == []
    assert torch.equal(ground_truth.orientations, sampled.orientations)
    assert torch.equal(ground_truth.labelled, sampled.labelled)
    assert ground_truth.index.tolist() == list(range(1, 128, 2))
    assert observation.silhouettes is None


def test_a_folder_that_is_a_file_is_refused(layer: BodyLayer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be cached there"):
        SampleStore(stream(layer), tmp_path / "file").sample(0, 0)


def test_a_damaged_file_is_named(layer: BodyLayer, tmp_path: Path) -> None:
    kept = SampleStore(stream(layer), tmp_path)
    kept.sample(0, 0)
    for file in tmp_path.rglob("joints.npy"):
        file.write_bytes(b"\x93NUMPY")
    with pytest.raises(InputError, match="000000: samples cannot be cached there"):
        kept.sample(0, 0)
