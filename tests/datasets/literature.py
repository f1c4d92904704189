"""Fake data sets in the formats of the literature, and fake SMPL and MANO files: enough to train and evaluate on.

Every file has the structure of the real one. Bodies are small made-up meshes (`tests/body_models/smpl_fixtures.py`),
and all labels of a person agree: joints are regressed from the posed body and projected by the camera.

    models, data = write_models(folder / "models"), write_data_sets(folder / "data")
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tests.body_models.smpl_fixtures import fake_model, save_npz, skinned

PEOPLE = 6  # of each data set and part
FOCAL, CENTRE, SIZE = (1145.0, 1143.0), (512.0, 515.0), (1000, 1002)
# A camera as Human3.6M has them: x_cam = R x_world + t, millimetres; it looks along the world's +y.
ROTATION = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
ORIGIN_MM = np.array([100.0, 900.0, 4000.0])
SEEDS = {"neutral": 0, "male": 1, "female": 2}
HAND_CENTRE = np.array([0.02, -0.01, 0.6])
_FINGERTIPS = (744, 320, 443, 555, 672)  # thumb, index, middle, ring, little, as FreiHAND takes them
_FINGERS = (13, 1, 4, 10, 7)  # their first joints in MANO


@cache
def model(name: str, gender: str = "neutral") -> dict[str, Any]:
    """The arrays of a model file."""
    return fake_model(name, SEEDS[gender])


@cache
def regressor(joints: str) -> np.ndarray:
    """(17, V) of `human36` or `coco`: each joint the mean of a few vertices, at its height in a body."""
    rng = np.random.default_rng(len(joints))
    template = model("smpl")["v_template"]
    rows = np.zeros((17, len(template)))
    for row in rows:
        near = np.argsort(np.abs(template[:, 1] - rng.uniform(-0.8, 0.8)))[:8]
        row[rng.choice(near, 4, replace=False)] = 0.25
    return rows


def write_models(folder: Path) -> Path:
    """SMPL in three genders, the right MANO, the two files of joint regressors."""
    for gender in SEEDS:
        save_npz(_made(folder / "smpl" / f"SMPL_{gender.upper()}.npz"), model("smpl", gender))
    save_npz(_made(folder / "mano" / "MANO_RIGHT.npz"), model("mano"))
    np.save(folder / "J_regressor_h36m_correct.npy", regressor("human36"))
    np.save(folder / "J_regressor_coco.npy", regressor("coco"))
    return folder


class Person:
    """A made-up body with its labels.

    Attributes:
        parameters: As annotation files write them.
        vertices: (V, 3) metres, in the axes that the parameters are in.
    """

    def __init__(self, number: int, root: tuple[float, float, float], trans: tuple[float, float, float]) -> None:
        rng = np.random.default_rng(number)
        self.gender = ("male", "female")[number % 2]
        pose = rng.normal(0, 0.15, (24, 3))
        pose[0] = root
        self.parameters = {
            "pose": pose.ravel().tolist(), "shape": rng.normal(0, 0.5, 10).tolist(),
            "trans": (np.array(trans) + rng.uniform(-0.3, 0.3, 3)).tolist(),
        }  # fmt: skip
        self.pose = pose

    def vertices(self, gender: str = "neutral") -> np.ndarray:
        shape, trans = np.array(self.parameters["shape"]), np.array(self.parameters["trans"])
        return skinned(model("smpl", gender), self.pose, shape, trans)


def towards_camera(number: int) -> Person:
    """Upright in the camera's axes, whose y points down, four metres off."""
    return Person(number, (np.pi, 0.0, 0.0), (0.0, 0.0, 4.0))


def in_world(number: int) -> Person:
    """Upright in a world whose z points up."""
    return Person(number, (np.pi / 2, 0.0, 0.0), (0.0, 0.0, 1.0))


def project(points: np.ndarray) -> np.ndarray:
    """(N, 2) pixels of points in the camera's axes, metres."""
    return points[:, :2] / points[:, 2:] * FOCAL + CENTRE


def box(points_px: np.ndarray) -> list[float]:
    low, high = points_px.min(0), points_px.max(0)
    return [*low.tolist(), *(high - low).tolist()]


def write_json(path: Path, value: Any) -> Path:
    _made(path).write_text(json.dumps(value))
    return path


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def write_data_sets(folder: Path) -> Path:
    """All of them, in their usual folders."""
    write_human36m(folder / "Human36M")
    write_coco(folder / "COCO")
    write_muco(folder / "MuCo")
    write_pw3d(folder / "PW3D")
    write_amass(folder / "AMASS")
    write_surreal(folder / "SURREAL")
    write_freihand(folder / "FreiHAND")
    return folder


def write_human36m(folder: Path) -> None:
    """Every subject: frames 0, 50 and 100 of one action by one camera. Frame 50 of subject 1 has no fit."""
    detected: dict[str, Any] = {}
    camera = {"R": ROTATION.tolist(), "t": ORIGIN_MM.tolist(), "f": FOCAL, "c": CENTRE}
    for subject in (1, 5, 6, 7, 8, 9, 11):
        images, annotations, joints, fits = [], [], {}, {}
        for frame in (0, 50, 100):
            person = in_world(subject * 1000 + frame)
            world_mm = 1000 * regressor("human36") @ person.vertices()
            pixels = project((world_mm @ ROTATION.T + ORIGIN_MM) / 1000)
            number, name = subject * 10_000 + frame, f"s_{subject:02d}_act_02_subact_01_ca_04"
            told = {"subject": subject, "action_idx": 2, "subaction_idx": 1, "cam_idx": 4, "frame_idx": frame}
            file = f"{name}_{frame + 1:06d}.jpg"
            images.append({"id": number, "file_name": f"{name}/{file}", "width": SIZE[0], "height": SIZE[1], **told})
            annotations.append({"id": number, "image_id": number, "bbox": box(pixels)})
            joints[str(frame)] = world_mm.tolist()
            fits[str(frame)] = person.parameters
            detected[file] = (pixels + 2).tolist()
        if subject == 1:
            del fits["50"]
        start = folder / "annotations" / f"Human36M_subject{subject}"
        write_json(Path(f"{start}_data.json"), {"images": images, "annotations": annotations})
        write_json(Path(f"{start}_camera.json"), {"4": camera})
        write_json(Path(f"{start}_joint_3d.json"), {"2": {"1": joints}})
        write_json(Path(f"{start}_smpl_param.json"), {"2": {"1": fits}})
    write_json(folder / "absnet_output_on_testset.json", detected)


def write_coco(folder: Path) -> None:
    """One person an image, the last without a fit; each has a keypoint without a label. One crowd."""
    images, annotations, fits = [], [], {}
    for number in range(PEOPLE):
        person = towards_camera(100 + number)
        scale, shift = 150.0, np.array([300.0, 240.0])
        bare = person.vertices() - np.array(person.parameters["trans"])  # fits have no translation
        pixels = scale * (regressor("coco") @ bare)[:, :2] + shift
        flags = np.full(17, 2)
        flags[number % 5] = 0
        keypoints = np.column_stack((np.round(pixels, 1), flags))
        keypoints[flags == 0] = 0
        images.append({"id": number, "file_name": f"{number:012d}.jpg", "width": 640, "height": 480})
        annotations.append({
            "id": 500 + number, "image_id": number, "category_id": 1, "iscrowd": 0, "num_keypoints": 16,
            "bbox": box(pixels), "keypoints": keypoints.ravel().tolist(),
        })  # fmt: skip
        if number < PEOPLE - 1:
            body = {key: person.parameters[key] for key in ("pose", "shape")}
            fits[str(500 + number)] = {"smpl_param": body, "cam_param": {"s": [scale], "t": shift.tolist()}}
    crowd = {
        "id": 900,
        "image_id": 0,
        "category_id": 1,
        "iscrowd": 1,
        "segmentation": {"counts": [1], "size": [480, 640]},
    }
    crowd |= {"bbox": [0, 0, 9, 9], "keypoints": [0] * 51, "num_keypoints": 0}
    content = {"info": {}, "images": images, "annotations": [*annotations, crowd], "categories": []}
    write_json(folder / "annotations" / "person_keypoints_train2017.json", content)
    write_json(folder / "annotations" / "coco_smplify_train.json", fits)


def write_muco(folder: Path) -> None:
    """Two people an image; one has no fit, one a fit that is not a number. Only joints of Human3.6M's names agree."""
    names = {
        0: 10, 2: 14, 3: 15, 4: 16, 5: 11, 6: 12, 7: 13, 8: 1, 9: 2, 10: 3, 11: 4, 12: 5, 13: 6, 14: 0,
    }  # fmt: skip
    images, annotations, fits = [], [], {}
    for number in range(PEOPLE):
        person = towards_camera(200 + number)
        body_joints = regressor("human36") @ person.vertices()
        joints = np.tile(body_joints[:1], (21, 1))
        joints[list(names)] = body_joints[list(names.values())]
        if number % 2 == 0:
            file = f"augmented_set/{number}.jpg"
            images.append(
                {"id": number, "file_name": file, "width": SIZE[0], "height": SIZE[1], "f": FOCAL, "c": CENTRE}
            )
        annotations.append({
            "id": 700 + number, "image_id": number - number % 2, "bbox": box(project(joints)),
            "keypoints_img": project(joints).tolist(), "keypoints_cam": (1000 * joints).tolist(),
            "keypoints_vis": [True] * 21,
        })  # fmt: skip
        fits[str(700 + number)] = person.parameters
    del fits["701"]
    fits["703"] = fits["703"] | {"shape": [float("nan")] * 10}
    write_json(folder / "data" / "MuCo-3DHP.json", {"images": images, "annotations": annotations})
    write_json(folder / "data" / "smpl_param.json", fits)


def write_pw3d(folder: Path) -> None:
    """Two people an image, men and women, in two parts; the last has no detection of DarkPose."""
    camera = {"focal": FOCAL, "princpt": CENTRE, "R": np.eye(3).tolist(), "t": [0, 0, 0]}
    for part, split in enumerate(("validation", "test")):
        images, annotations, detected = [], [], []
        for number in range(PEOPLE):
            person = towards_camera(300 + 50 * part + number)
            vertices = person.vertices(person.gender)
            joints = model("smpl", person.gender)["J_regressor"] @ vertices
            coco = project(regressor("coco") @ vertices)
            if number % 2 == 0:
                told = {"sequence": "downtown_bar_00", "frame_idx": number // 2, "cam_param": camera}
                file = f"image_{number // 2:05d}.jpg"
                images.append({"id": number, "file_name": file, "width": SIZE[0], "height": SIZE[1], **told})
            neck = coco[[5, 6]].mean(0)
            openpose = coco[[0, 0, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3]]
            openpose[1] = neck
            annotations.append({
                "id": number, "image_id": number - number % 2, "person_id": number % 2, "bbox": box(project(joints)),
                "joint_cam": joints.tolist(), "joint_img": project(joints).tolist(),
                "openpose_result": np.column_stack((openpose, np.full(18, 0.8))).tolist(),
                "smpl_param": {**person.parameters, "gender": person.gender},
            })  # fmt: skip
            keypoints = np.column_stack((coco + 1, np.full(17, 0.9))).tolist()
            detected.append({"annotation_id": number, "keypoints": keypoints})
        write_json(folder / "data" / f"3DPW_latest_{split}.json", {"images": images, "annotations": annotations})
        write_json(folder / "data" / f"darkpose_3dpw_{split}set_output.json", detected[:-1])


def write_amass(folder: Path) -> None:
    """Two motions of CMU, of 60 and of 120 frames a second, of a man and a woman."""
    for number, (rate, gender) in enumerate(((60.0, "male"), (120.0, b"female"))):
        poses = np.random.default_rng(400 + number).normal(0, 0.15, (int(rate) + 1, 156))
        poses[:, :3] = (np.pi / 2, 0, 0)
        np.savez(
            _made(folder / "CMU" / "01" / f"01_0{number}_poses.npz"),
            poses=poses, trans=np.zeros((len(poses), 3)), betas=np.zeros(16), dmpls=np.zeros((len(poses), 8)),
            gender=np.array(gender), mocap_framerate=np.array(rate),
        )  # fmt: skip


def write_surreal(folder: Path) -> None:
    """One person an image; the last has no detection."""
    for part, split in enumerate(("train", "val")):
        images, annotations, detected = [], [], []
        for number in range(PEOPLE):
            person = towards_camera(500 + 50 * part + number)
            joints = model("smpl", person.gender)["J_regressor"] @ person.vertices(person.gender)
            camera = {"focal": FOCAL, "princpt": CENTRE}
            images.append(
                {"id": number, "file_name": f"{number}.jpg", "width": SIZE[0], "height": SIZE[1], "cam_param": camera}
            )
            annotations.append({
                "id": 50 + number, "image_id": number, "bbox": box(project(joints)), "joint_cam": joints.tolist(),
                "smpl_param": {**person.parameters, "gender": person.gender},
            })  # fmt: skip
            keypoints = np.column_stack((project(joints) + 1, np.full(24, 0.9))).tolist()
            detected.append({"image_id": number, "annotation_id": 50 + number, "keypoints": keypoints})
        write_json(folder / "data" / f"{split}.json", {"images": images, "annotations": annotations})
        write_json(folder / "data" / f"hrnet_output_on_{split}set.json", detected[:-1])


def write_own(folder: Path) -> Path:
    """Own data: each second person lacks the body, each third the 3D joints; the last has neither."""
    images, annotations = [], []
    for number in range(PEOPLE + 1):
        person = towards_camera(700 + number)
        joints = regressor("coco") @ person.vertices()
        size = {"width": SIZE[0], "height": SIZE[1]}
        images.append(
            {"id": number, "file_name": f"{number}.jpg", **size, "cam_param": {"focal": FOCAL, "princpt": CENTRE}}
        )
        keypoints = np.column_stack((project(joints), np.full(17, 2))).ravel().tolist()
        annotations.append({"id": number, "image_id": number, "keypoints": keypoints})
        if number % 2 == 0 and number < PEOPLE:
            annotations[-1]["smpl_param"] = person.parameters
        if number % 3 and number < PEOPLE:
            annotations[-1]["joint_cam"] = joints.tolist()
    write_json(folder / "annotations.json", {"images": images, "annotations": annotations})
    return folder


def hand(number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A hand in the camera's axes: pose (16, 3) about MANO's mean hand, shape (10,), joints (21, 3) in metres."""
    rng, arrays = np.random.default_rng(number), model("mano")
    pose, shape = rng.normal(0, 0.15, (16, 3)), rng.normal(0, 0.5, 10)
    whole = pose.copy()
    whole[1:] += arrays["hands_mean"].reshape(15, 3)
    vertices = skinned(arrays, whole, shape, np.zeros(3))
    joints = arrays["J_regressor"] @ vertices
    rows = [joints[:1]]
    for start, tip in zip(_FINGERS, _FINGERTIPS, strict=True):
        rows += [joints[start : start + 3], vertices[tip, None]]
    found = np.concatenate(rows)
    return pose, shape, found - found[0] + HAND_CENTRE + np.array([0, 0, 2.0])  # the made-up hand has a body's size


def write_freihand(folder: Path) -> None:
    """Both forms: the training hands with detections, but for the last; the evaluation's with joints and MANO."""
    matrix = [[FOCAL[0], 0, CENTRE[0]], [0, FOCAL[1], CENTRE[1]], [0, 0, 1]]
    for split in ("training", "evaluation"):
        hands = [hand(600 + number + 50 * (split == "evaluation")) for number in range(PEOPLE)]
        # After pose and shape, where a joint is seen and its scale, which nobody asks for.
        theta = [[[*pose.ravel().tolist(), *shape.tolist(), 112.0, 112.0, 0.1]] for pose, shape, _ in hands]
        write_json(folder / f"{split}_K.json", [matrix] * PEOPLE)
        write_json(folder / f"{split}_xyz.json", [joints.tolist() for _, _, joints in hands])
        write_json(folder / f"{split}_mano.json", theta)
    images, annotations, details, detected = [], [], {}, []
    camera = {"focal": FOCAL, "princpt": CENTRE, "R": np.eye(3).tolist(), "t": [0.0, 0.0, 0.6]}
    for number in range(PEOPLE):
        pose, shape, joints = hand(600 + number)
        images.append(
            {"id": number, "file_name": f"{number:08d}.jpg", "width": SIZE[0], "height": SIZE[1], "db_idx": number}
        )
        annotations.append({"id": 10 + number, "image_id": number, "bbox": box(project(joints))})
        mano = {"pose": pose.ravel().tolist(), "shape": shape.tolist()}
        details[str(number)] = {"cam_param": camera, "mano_param": mano, "joint_3d": joints.tolist()}
        keypoints = np.column_stack((project(joints) + 1, np.full(21, 0.9))).tolist()
        detected.append({"image_id": number, "annotation_id": 10 + number, "keypoints": keypoints})
    data = folder / "data"
    write_json(data / "freihand_train_coco.json", {"images": images, "annotations": annotations})
    write_json(data / "freihand_train_data.json", details)
    write_json(data / "hrnet_output_on_trainset.json", detected[:-1])
