"""Small data sets in the formats of the literature, awkward parts included; the Anny body and posed joints."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pose2mesh.body_models.default_body import default_body
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.datasets.synthetic.bodies import BodySynthesiser, SyntheticConfig, SyntheticSamples, sample_people
from pose2mesh.datasets.synthetic.camera_sampling import CameraConfig
from pose2mesh.datasets.synthetic.detection_noise import NoiseConfig
from pose2mesh.datasets.synthetic.pose_sampling import PoseConfig, PoseSource
from pose2mesh.skeletons import COCO

# A camera as Human3.6M has them: x_cam = R x_world + t, millimetres; it looks along the world's +y.
ROTATION = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
ORIGIN_MM = np.array([100.0, 1000.0, 4000.0])


def write_json(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


@pytest.fixture
def edit_json() -> Callable[[Path, Callable[[Any], Any]], None]:
    """Calls a function with what a JSON file holds, to alter it in place."""

    def edit(path: Path, change: Callable[[Any], Any]) -> None:
        value = json.loads(path.read_text())
        change(value)
        path.write_text(json.dumps(value))

    return edit


def body(number: int) -> dict[str, Any]:
    """SMPL parameters that tell by their values whose they are."""
    return {"pose": [number + i / 1000 for i in range(72)], "shape": [0.1] * 10, "trans": [0.1, 0.2, 3.0 + number]}


def joints_mm(count: int, number: int = 0) -> list[list[float]]:
    """Joints in a column about 1.5 m high, in Human3.6M's world, millimetres."""
    return [[10.0 * i, 20.0 * number, 90.0 * i] for i in range(count)]


@pytest.fixture
def human36m_folder(tmp_path: Path) -> Path:
    """Frames 0, 3, 5, 50 of one action by two cameras, of every subject; frame 5 of subject 1 has no fit."""
    folder = tmp_path / "Human36M"
    for subject in (1, 5, 6, 7, 8, 9, 11):
        images, annotations = [], []
        for camera in (1, 4):
            for frame in (0, 3, 5, 50):
                number = subject * 10_000 + camera * 1000 + frame
                name = f"s_{subject:02d}_act_02_subact_01_ca_{camera:02d}"
                told = {"subject": subject, "action_idx": 2, "subaction_idx": 1, "cam_idx": camera, "frame_idx": frame}
                file = f"{name}/{name}_{frame + 1:06d}.jpg"
                images.append({"id": number, "file_name": file, "width": 1000, "height": 1002, **told})
                annotations.append({"id": number + 7, "image_id": number, "bbox": [10, 20, 300, 600]})
        frames = ("0", "3", "5", "50")
        camera = {"R": ROTATION.tolist(), "t": ORIGIN_MM.tolist(), "f": [1145.0, 1143.0], "c": [512.0, 515.0]}
        fits = {frame: body(int(frame)) for frame in frames if (subject, frame) != (1, "5")}
        joints = {frame: joints_mm(17, int(frame)) for frame in frames}
        start = folder / "annotations" / f"Human36M_subject{subject}"
        write_json(Path(f"{start}_data.json"), {"images": images, "annotations": annotations})
        write_json(Path(f"{start}_camera.json"), {"1": camera, "4": camera})
        write_json(Path(f"{start}_joint_3d.json"), {"2": {"1": joints}})
        write_json(Path(f"{start}_smpl_param.json"), {"2": {"1": fits}})
    detected = {"s_09_act_02_subact_01_ca_01_000051.jpg": [[5.0 + i, 6.0, 0.5] for i in range(17)]}
    write_json(folder / "absnet_output_on_testset.json", detected)
    return folder


@pytest.fixture
def coco_folder(tmp_path: Path) -> Path:
    """Two images: two people with fits, one without, a crowd, one without keypoints, one in a box without area."""
    folder = tmp_path / "COCO"
    flags = [2, 1, 0, *[2] * 14]
    keypoints = [value for i, flag in enumerate(flags) for value in (10 * i, 5 * i, flag)]
    common = {"category_id": 1, "iscrowd": 0, "bbox": [1, 2, 30, 40], "keypoints": keypoints, "num_keypoints": 16}
    annotations = [
        {**common, "id": 100, "image_id": 1},
        {**common, "id": 101, "image_id": 1, "iscrowd": 1, "segmentation": {"counts": [1, 2], "size": [480, 640]}},
        {**common, "id": 102, "image_id": 2, "keypoints": [0] * 51, "num_keypoints": 0},
        {**common, "id": 103, "image_id": 2},
        {**common, "id": 104, "image_id": 2, "bbox": [1, 2, 0.5, 40]},
        {**common, "id": 105, "image_id": 2},
    ]
    images = [{"id": i, "file_name": f"{i:012d}.jpg", "width": 640, "height": 480} for i in (1, 2)]
    data = {"info": {"year": 2017}, "licenses": [], "images": images, "annotations": annotations, "categories": []}
    write_json(folder / "annotations" / "person_keypoints_train2017.json", data)
    fits = {
        "100": {"smpl_param": body(1), "cam_param": {"s": 150.0, "t": [300.0, 200.0]}},
        "105": {"smpl_param": body(2), "cam_param": {"s": [151.0], "t": [301.0, 201.0]}},
    }
    write_json(folder / "annotations" / "coco_smplify_train.json", fits)
    return folder


@pytest.fixture
def pw3d_folder(tmp_path: Path) -> Path:
    """3DPW: one sequence with two people in its image 0 and one in image 1, of whom one has no detection."""
    folder = tmp_path / "PW3D"
    camera = {"focal": [1961.0, 1969.0], "princpt": [540.0, 960.0], "R": ROTATION.tolist(), "t": [0.0, 0.0, 3.0]}
    names = {"sequence": "downtown_bar_00", "width": 1080, "height": 1920, "cam_param": camera}
    images = [{"id": i, "file_name": f"image_{i:05d}.jpg", "frame_idx": i, **names} for i in (0, 1)]
    annotations = [
        {
            "id": number,
            "image_id": image,
            "person_id": person,
            "bbox": [10.0, 20.0, 100.0, 200.0],
            "joint_cam": [[0.1 * j, 0.2, 3.0 + person] for j in range(24)],
            "joint_img": [[20.0 * j, 30.0 + person] for j in range(24)],
            "openpose_result": [[1.0 * j, 2.0, 0.25] for j in range(18)],
            "smpl_param": {**body(number), "gender": "female" if person else "male"},
        }
        for number, (image, person) in enumerate([(0, 0), (0, 1), (1, 0)])
    ]
    write_json(folder / "data" / "3DPW_latest_test.json", {"images": images, "annotations": annotations})
    found = [{"annotation_id": i, "keypoints": [[10.0 * j, i, 0.5] for j in range(17)]} for i in (0, 2)]
    write_json(folder / "data" / "darkpose_3dpw_testset_output.json", found)
    return folder


@pytest.fixture
def pw3d_sequence(tmp_path: Path) -> dict[str, Any]:
    """What a sequence file of 3DPW holds: three frames, two people, the second without a valid camera in frame 1."""
    frames, people = 3, 2
    camera = np.eye(4)
    camera[:3, :3], camera[:3, 3] = ROTATION, (0.1, 1.0, 4.0)
    joints = np.array([[0.01 * j, 0.1, 0.05 * j] for j in range(24)])
    return {
        "sequence": "courtyard_golf_00",
        "cam_poses": np.tile(camera, (frames, 1, 1)),
        "cam_intrinsics": np.array([[1961.0, 0, 540], [0, 1969.0, 960], [0, 0, 1]]),
        "genders": ["m", "f"],
        "poses": [np.full((frames, 72), 0.1 + person) for person in range(people)],
        "betas": [np.arange(10.0), np.arange(300.0) / 100],
        "trans": [np.full((frames, 3), 0.5 + person) for person in range(people)],
        "jointPositions": [np.tile((joints + person).ravel(), (frames, 1)) for person in range(people)],
        "campose_valid": [np.array([1, 1, 1]), np.array([1, 0, 1])],
        "poses2d": [np.full((frames, 3, 18), 7.0 + person) for person in range(people)],
        "img_frame_ids": np.arange(frames),
        "texture_maps": [],
    }


@pytest.fixture
def muco_folder(tmp_path: Path) -> Path:
    """Two images, three people in the first: one without a fit, one whose fit is NaN."""
    folder = tmp_path / "MuCo"
    images = [
        {
            "id": i,
            "file_name": f"augmented_set/{i}.jpg",
            "width": 1024,
            "height": 512,
            "f": [1500.0, 1501.0],
            "c": [512, 256],
        }
        for i in (0, 1)
    ]
    annotations = [
        {
            "id": number,
            "image_id": image,
            "bbox": [10, 20, 50, 60],
            "keypoints_img": [[10.0 * j, 5.0] for j in range(21)],
            "keypoints_cam": [[100.0 * j, -50.0, depth] for j in range(21)],
            "keypoints_vis": [True] * 21,
        }
        for number, (image, depth) in enumerate([(0, 4000.0), (0, 3000.0), (0, 5000.0), (1, 2500.0)])
    ]
    write_json(folder / "data" / "MuCo-3DHP.json", {"images": images, "annotations": annotations})
    broken = {**body(2), "shape": [float("nan")] * 10}
    write_json(folder / "data" / "smpl_param.json", {"0": body(0), "2": broken, "3": body(3)})
    return folder


@pytest.fixture
def surreal_folder(tmp_path: Path) -> Path:
    """Two images; joints of the first in metres, of the second in millimetres, which its file does not tell."""
    folder = tmp_path / "SURREAL"
    camera = {"focal": [600.0, 600.0], "princpt": [160.0, 120.0]}
    images = [{"id": i, "file_name": f"{i}.jpg", "width": 320, "height": 240, "cam_param": camera} for i in (5, 6)]
    joints = np.array([[0.01 * j, 0.05 * j, 6.0] for j in range(24)])
    annotations = [
        {
            "id": 50 + i,
            "image_id": 5 + i,
            "bbox": [1, 2, 30, 40],
            "joint_cam": (joints * (1, 1000)[i]).tolist(),
            "smpl_param": {**body(i), "gender": "female"},
        }
        for i in (0, 1)
    ]
    write_json(folder / "data" / "val.json", {"images": images, "annotations": annotations})
    found = [{"image_id": 6, "annotation_id": 51, "keypoints": [[j, 2 * j] for j in range(24)]}]
    write_json(folder / "data" / "hrnet_output_on_valset.json", found)
    return folder


@pytest.fixture
def freihand_folder(tmp_path: Path) -> Path:
    """FreiHAND in both forms, with two hands to train and one to evaluate."""
    folder = tmp_path / "FreiHAND"
    matrix = [[500.0, 0, 112], [0, 501.0, 113], [0, 0, 1]]
    hand = [[0.004 * j, 0.002 * j, 0.7] for j in range(21)]
    theta = [[i / 100 for i in range(61)]]
    write_json(folder / "training_K.json", [matrix, matrix])
    write_json(folder / "training_xyz.json", [hand, hand])
    write_json(folder / "training_mano.json", [theta, theta])
    write_json(folder / "evaluation_K.json", [matrix])
    camera = {"focal": [500.0, 501.0], "princpt": [112.0, 113.0]}
    mano = {"pose": [i / 100 for i in range(48)], "shape": [0.5] * 10}
    train = {**camera, "R": np.eye(3).tolist(), "t": [0.0, 0.0, 0.7]}
    images = [
        {"id": i, "file_name": f"training/rgb/{i:08d}.jpg", "width": 224, "height": 224, "db_idx": i} for i in (0, 1)
    ]
    annotations = [{"id": 10 + i, "image_id": i, "bbox": [50, 60, 100, 110]} for i in (0, 1)]
    write_json(folder / "data" / "freihand_train_coco.json", {"images": images, "annotations": annotations})
    hands = {str(i): {"cam_param": train, "mano_param": mano, "joint_3d": hand} for i in (0, 1)}
    write_json(folder / "data" / "freihand_train_data.json", hands)
    write_json(folder / "data" / "freihand_eval_coco.json", {"images": images[:1], "annotations": annotations[:1]})
    write_json(folder / "data" / "freihand_eval_data.json", {"0": {"cam_param": camera, "scale": 0.03}})
    found = [{"image_id": 1, "annotation_id": 11, "keypoints": [[j, 2 * j, 0.9] for j in range(21)]}]
    write_json(folder / "data" / "hrnet_output_on_trainset.json", found)
    return folder


@pytest.fixture(scope="session")
def anny_body() -> BodyModel:
    return default_body()


@pytest.fixture(scope="session")
def coco_people(anny_body: BodyModel) -> SyntheticSamples:
    """1500 people in procedural poses, each seen by one camera; joints in COCO order."""
    config = SyntheticConfig(
        poses=PoseConfig(procedural=1.0), cameras=CameraConfig(), noise=NoiseConfig(model="none"), views=1
    )
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        return sample_people(
            1500, PoseSource(None, config.poses), BodySynthesiser(anny_body, COCO, None), config, generator
        )


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"
