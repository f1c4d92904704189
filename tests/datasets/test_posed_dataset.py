"""Posed samples of data sets: bodies from parameters, projection by cameras, masks where a label is missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from pose2mesh.body_models.gendered import BodyConfig, GenderedBody, open_body
from pose2mesh.datasets.batch import mirror_batch
from pose2mesh.datasets.posed_dataset import LabelSettings, PosedDataset, make_batch
from pose2mesh.datasets.readers.amass import read_amass
from pose2mesh.datasets.readers.coco import read_coco
from pose2mesh.datasets.readers.custom import read_custom
from pose2mesh.datasets.readers.freihand import read_freihand, read_freihand_coco
from pose2mesh.datasets.readers.human36m import read_human36m
from pose2mesh.datasets.readers.muco import read_muco
from pose2mesh.datasets.readers.pw3d import read_pw3d
from pose2mesh.datasets.readers.surreal import read_surreal
from pose2mesh.datasets.records import Records
from pose2mesh.datasets.synthetic.detection_noise import NoiseConfig
from pose2mesh.errors import InputError
from pose2mesh.skeletons import COCO, HAND, HUMAN36, SMPL
from tests.datasets import literature
from tests.datasets.literature import FOCAL, ROTATION, in_world, project, regressor, towards_camera

ALL = torch.arange(162)
NOISE = NoiseConfig(drop=1.0)


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("literature")
    literature.write_models(folder / "models")
    literature.write_data_sets(folder / "data")
    return folder


@pytest.fixture(scope="module")
def body(disk: Path) -> GenderedBody:
    return open_body(BodyConfig("smpl", str(disk / "models")), {1: "male", 2: "female"})


@pytest.fixture(scope="module")
def hand(disk: Path) -> GenderedBody:
    return open_body(BodyConfig("mano", str(disk / "models")))


@pytest.fixture(scope="module")
def read(disk: Path) -> Callable[..., Records]:
    def records(reader: Callable[..., Records], folder: str, **choices: object) -> Records:
        return reader(disk / "data" / folder, disk / "cache", **choices)

    return records


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def close(found: torch.Tensor, expected: np.ndarray, atol: float = 2e-5) -> None:
    np.testing.assert_allclose(found.numpy(), expected, atol=atol, rtol=1e-5)


def test_human36m_is_turned_into_the_camera(read: Callable[..., Records], body: GenderedBody) -> None:
    records = read(read_human36m, "Human36M", split="train")
    data = PosedDataset(records, body, HUMAN36, ALL, LabelSettings(fit_limit_mm=25.0))
    people = data.samples(np.arange(3))
    person = in_world(1000 + 100)  # the last frame of subject 1
    vertices = (person.vertices() @ ROTATION.T) + literature.ORIGIN_MM / 1000
    joints = regressor("human36") @ vertices
    assert people.points_cam is not None
    close(people.points_cam[2], vertices - joints[0])
    close(people.joints_cam[2], joints - joints[0])
    close(people.root_cam[2], joints[0])
    close(people.true_px[2, :, :2], project(joints), atol=1e-2)
    assert people.surface_valid.tolist() == [True, False, True]  # frame 50 has no fit, but joints
    assert people.joints_valid.all()
    assert (people.points_cam[1] == 0).all()
    assert data.usable("gt").tolist() == list(range(15))
    assert data.usable("gt", whole=True).tolist() == [0, *range(2, 15)]
    assert len(data.usable("detected")) == 0  # no file was given


def test_fits_beyond_the_limit_are_no_truth(read: Callable[..., Records], body: GenderedBody) -> None:
    """The made-up fits are exact up to rounding; moved joints are not."""
    records = read(read_muco, "MuCo")
    exact = PosedDataset(records, body, COCO, ALL, LabelSettings(fit_limit_mm=0.1)).samples(np.arange(6))
    assert exact.surface_valid.tolist() == [True, False, True, False, True, True]  # one is missing, one NaN
    assert torch.equal(exact.joints_valid, exact.surface_valid[:, None].expand(-1, 19))
    strict = PosedDataset(records, body, COCO, ALL, LabelSettings(fit_limit_mm=1e-9)).samples(np.arange(6))
    assert not strict.surface_valid.any()
    assert not strict.joints_valid.any()  # which are regressed from it
    assert (strict.joints_cam == 0).all()
    assert (strict.true_px == 0).all()


def test_coco_is_seen_in_weak_perspective(read: Callable[..., Records], body: GenderedBody) -> None:
    records = read(read_coco, "COCO")
    assert records.joints_px is not None
    data = PosedDataset(records, body, COCO, None, LabelSettings(fit_limit_crop_px=0.2))
    people = data.samples(np.arange(6))
    assert people.surface_valid.tolist() == [True] * 5 + [False]
    bare = towards_camera(101)
    joints = regressor("coco") @ (bare.vertices() - np.array(bare.parameters["trans"]))
    close(people.true_px[1, :17, :2], 150 * joints[:, :2] + (300, 240), atol=1e-3)
    assert (people.true_px[:5, :, 2] == 1).all()
    # What lacks a fit is seen where it is labelled; on request everybody is, the unlabelled joint as projected.
    close(people.true_px[5], records.joints_px[5])
    labelled = PosedDataset(records, body, COCO, None, LabelSettings("labelled")).samples(np.arange(6))
    seen = records.joints_px[:, :, 2] > 0
    close(labelled.true_px[seen], records.joints_px[seen])
    close(labelled.true_px[1, 1], people.true_px[1, 1].numpy())
    assert data.usable("noisy").tolist() == [0, 1, 2, 3, 4]
    batch = make_batch(people, "gt", COCO)
    close(batch.to_ray, np.tile(np.eye(3), (6, 1, 1)))


@pytest.mark.parametrize(("reader", "folder", "split"), [(read_pw3d, "PW3D", "test"), (read_surreal, "SURREAL", "val")])
def test_everybody_has_the_body_of_their_gender(
    reader: Callable[..., Records], folder: str, split: str, read: Callable[..., Records], body: GenderedBody
) -> None:
    """Men's and women's files have other shapes: labels agree with the surface only under the right one."""
    records = read(reader, folder, split=split)
    assert records.gender is not None
    assert set(records.gender.tolist()) == {1, 2}
    people = PosedDataset(records, body, SMPL, ALL).samples(np.arange(6))
    assert people.points_cam is not None
    for person, gender in enumerate(records.gender):
        rows = literature.model("smpl", ("neutral", "male", "female")[gender])["J_regressor"]
        joints = rows @ people.points_cam[person].numpy()
        close(people.joints_cam[person], joints - joints[0], atol=1e-4)
    neutral = PosedDataset(records, GenderedBody(body.main), SMPL, ALL).samples(np.arange(6))
    assert neutral.points_cam is not None
    assert (neutral.points_cam - people.points_cam).norm(dim=-1).mean() > 0.01


def test_detections_come_into_the_joint_set(read: Callable[..., Records], body: GenderedBody) -> None:
    dark = read(read_pw3d, "PW3D", split="test")
    open_pose = read(read_pw3d, "PW3D", split="test", detections="openpose")
    data = PosedDataset(dark, body, COCO)
    assert data.usable("detected").tolist() == [0, 1, 2, 3, 4]  # the last was not found
    found = [PosedDataset(records, body, COCO).samples(np.arange(5)) for records in (dark, open_pose)]
    for people, offset in zip(found, (1, 0), strict=True):
        assert people.detected_px is not None
        close(people.detected_px[:, :17, :2], people.true_px[:, :17, :2].numpy() + offset, atol=2e-2)
        assert (people.detected_px[..., 2] > 0.7).all()  # pelvis and neck too
        batch = make_batch(people, "detected", COCO)
        assert torch.equal(batch.joints_px, people.detected_px[..., :2])


def test_amass_is_filmed_by_drawn_cameras(read: Callable[..., Records], body: GenderedBody) -> None:
    records = read(read_amass, "AMASS")
    data = PosedDataset(records, body, COCO, ALL)
    rows = data.usable("noisy")
    with pytest.raises(ValueError, match="amass has no cameras"):
        data.samples(rows)
    first, again, other = (data.samples(rows, seeded(seed)) for seed in (1, 1, 2))
    assert first.points_cam is not None
    assert other.points_cam is not None
    assert torch.equal(first.true_px, again.true_px)
    # The same bodies from elsewhere: distances agree, places do not.
    close(
        torch.cdist(first.points_cam, first.points_cam), torch.cdist(other.points_cam, other.points_cam).numpy(), 1e-3
    )
    assert (first.points_cam - other.points_cam).abs().max() > 0.1
    # Seen from all sides, but upright: the head (up in the body) is above the pelvis in the picture.
    top, bottom = literature.model("smpl")["v_template"][:, 1].argsort()[[-1, 0]]
    upright = first.points_cam[:, top, 1] < first.points_cam[:, bottom, 1]
    assert upright.float().mean() > 0.9
    assert (first.root_cam[:, 2] > 1).all()


@pytest.mark.parametrize("form", ["published", "annotation files"])
def test_hands(form: str, read: Callable[..., Records], hand: GenderedBody) -> None:
    if form == "published":
        records = read(read_freihand, "FreiHAND", split="training")
    else:
        records = read(read_freihand_coco, "FreiHAND", split="train")
    people = PosedDataset(records, hand, HAND, torch.arange(778)).samples(np.arange(6))
    assert people.points_cam is not None
    _, _, joints = literature.hand(603)
    close(people.joints_cam[3], joints - joints[0])
    close(people.root_cam[3], joints[0])
    regressed = hand.regressor(HAND) @ people.points_cam
    # MANO's regressor gives the joints of the bent hand nearly: its blend shapes move the vertices it averages.
    assert (regressed - people.joints_cam).norm(dim=-1).mean() < 0.1
    close(people.true_px[3, :, :2], project(joints), atol=1e-2)


def test_the_truth_is_turned_to_the_ray(read: Callable[..., Records], body: GenderedBody) -> None:
    data = PosedDataset(read(read_human36m, "Human36M", split="train"), body, HUMAN36, ALL)
    people = data.samples(np.arange(6))
    batch = make_batch(people, "gt", HUMAN36)
    centre = batch.joints_px.mean(1)
    ray = torch.cat(((centre - torch.tensor([512.0, 515.0])) / torch.tensor(FOCAL), torch.ones(6, 1)), dim=1)
    along = (batch.to_ray @ torch.nn.functional.normalize(ray, dim=1)[..., None])[..., 0]
    close(along, np.tile([0.0, 0.0, 1.0], (6, 1)))
    close(batch.joints, (people.joints_cam @ batch.to_ray.mT).numpy())
    assert batch.points is not None
    assert people.points_cam is not None
    close(batch.points, (people.points_cam @ batch.to_ray.mT).numpy())


def test_noise_is_drawn_around_labelled_joints_alone(read: Callable[..., Records], body: GenderedBody) -> None:
    data = PosedDataset(read(read_coco, "COCO"), body, COCO, None, LabelSettings("labelled"))
    people = data.samples(np.arange(6))
    hidden = people.true_px[5, :, 2] == 0  # has no fit that would fill them in
    assert hidden.any()
    noise = NoiseConfig(clean=0.0, drop=0.0, out_of_picture=False)
    noisy, again = (make_batch(people, "noisy", COCO, noise, seeded(4)) for _ in range(2))
    assert torch.equal(noisy.joints_px, again.joints_px)
    assert (noisy.confidence[5, hidden] == 0).all()
    assert (noisy.joints_px[5, hidden] == 0).all()
    assert (noisy.joints_px - people.true_px[..., :2]).abs().max() > 1
    with pytest.raises(ValueError, match="need noise"):
        make_batch(people, "noisy", COCO)
    with pytest.raises(ValueError, match="no detections"):
        make_batch(people, "detected", COCO)


def test_a_mirrored_person_is_the_other_way_round(read: Callable[..., Records], body: GenderedBody) -> None:
    data = PosedDataset(read(read_human36m, "Human36M", split="train"), body, HUMAN36)
    batch = make_batch(data.samples(np.arange(4)), "noisy", HUMAN36, NOISE, seeded(1))
    who = torch.tensor([True, False, True, False])
    once = mirror_batch(batch, HUMAN36, who)
    left, right = HUMAN36.index("left_wrist"), HUMAN36.index("right_wrist")
    close(once.joints[0, left], (batch.joints[0, right] * torch.tensor([-1.0, 1.0, 1.0])).numpy())
    assert torch.equal(once.joints_px[1], batch.joints_px[1])
    assert float(torch.linalg.det(once.to_ray).min()) > 0.99
    twice = mirror_batch(once, HUMAN36, who)
    for item in fields(batch):
        if item.name != "points":
            torch.testing.assert_close(getattr(twice, item.name), getattr(batch, item.name))


def test_bodies_as_the_data_set_has_them(read: Callable[..., Records], body: GenderedBody) -> None:
    """Whatever their fit, and where they stand."""
    data = PosedDataset(read(read_muco, "MuCo"), body, COCO, ALL, LabelSettings(fit_limit_mm=1e-9))
    vertices, valid, placed, views = data.posed(np.arange(6))
    assert valid.tolist() == placed.tolist() == [True, False, True, False, True, True]
    close(vertices[4], towards_camera(204).vertices())
    assert views is not None
    close(views.project(vertices)[4], project(towards_camera(204).vertices()), atol=1e-2)
    assert PosedDataset(read(read_amass, "AMASS"), body, COCO, ALL).posed(np.arange(2))[3] is None


def test_a_shape_far_out_is_the_mean_shape(read: Callable[..., Records], body: GenderedBody) -> None:
    records = read(read_surreal, "SURREAL", split="val")
    assert records.shape is not None
    limit = float(np.sort(np.abs(records.shape).max(axis=1))[2])
    people = PosedDataset(records, body, SMPL, ALL, LabelSettings(shape_limit=limit + 1e-4)).samples(np.arange(6))
    read_custom = PosedDataset(records, body, SMPL, ALL).samples(np.arange(6))
    assert people.points_cam is not None
    assert read_custom.points_cam is not None
    changed = (people.points_cam - read_custom.points_cam).abs().amax((1, 2)) > 1e-6
    assert changed.tolist() == (np.abs(records.shape).max(axis=1) > limit + 1e-4).tolist()


def test_who_cannot_be_posed_is_refused(read: Callable[..., Records], body: GenderedBody, hand: GenderedBody) -> None:
    records = read(read_human36m, "Human36M", split="train")
    with pytest.raises(InputError, match="human36m: its bodies are of smpl, none is given"):
        PosedDataset(records, None, COCO)
    with pytest.raises(InputError, match=r"human36m: its bodies are of smpl, .*MANO_RIGHT\.npz is of mano"):
        PosedDataset(records, hand, HUMAN36, ALL)
    assert PosedDataset(records, None, HUMAN36).samples(np.arange(2)).joints_valid.all()  # its own joints need no body


def test_who_has_a_body_and_no_labelled_joints(body: GenderedBody, tmp_path: Path) -> None:
    """Joints come from the body where nobody labelled them, and from the labels where somebody did."""
    people = [towards_camera(900 + number) for number in range(2)]
    image = {"id": 0, "file_name": "a.jpg", "width": 1000, "height": 1002}
    image["cam_param"] = {"focal": FOCAL, "princpt": literature.CENTRE}
    annotations = []
    for number, person in enumerate(people):
        joints = regressor("coco") @ person.vertices()
        keypoints = np.insert(project(joints), 2, 2, axis=1).ravel().tolist()
        annotation = {"id": number, "image_id": 0, "keypoints": keypoints, "smpl_param": person.parameters}
        annotations.append(annotation | ({"joint_cam": (joints + 0.5 * joints[:1]).tolist()} if number else {}))
    literature.write_json(tmp_path / "annotations.json", {"images": [image], "annotations": annotations})
    for points in (None, ALL):
        data = PosedDataset(read_custom(tmp_path, tmp_path / "cache"), body, COCO, points)
        assert data.usable("gt", whole=True).tolist() == [0, 1]
        found = data.samples(np.arange(2))
        assert found.joints_valid.all()
        assert found.true_px[..., 2].all()
        joints = regressor("coco") @ people[0].vertices()
        pelvis = joints[[11, 12]].mean(0)
        np.testing.assert_allclose(found.joints_cam[0, :17], joints - pelvis, atol=1e-5)
        np.testing.assert_allclose(found.root_cam[0], pelvis, atol=1e-5)
        joints = regressor("coco") @ people[1].vertices()
        np.testing.assert_allclose(found.root_cam[1], joints[[11, 12]].mean(0) + 0.5 * joints[0], atol=1e-5)
