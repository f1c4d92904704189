"""A synthetic 3DPW on disk: procedural poses on made-up SMPL bodies before one camera, with their ground truth."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from pose2mesh.body_models.bones import BODY_BONES
from pose2mesh.datasets.synthetic.pose_sampling import PoseConfig, PoseSource
from pose2mesh.skeletons import COCO17
from tests.body_models.smpl_fixtures import PARENTS, fake_model, save_npz, skinned

FOCAL, CENTRE, SIZE = (1961.0, 1969.0), (540.0, 960.0), (1080, 1920)
GENDERS = ("male", "female")
# SMPL's joints that a bone of the rig turns, by place in the tree.
BONES = {
    0: "Hips", 1: "LeftUpLeg", 2: "RightUpLeg", 3: "Spine", 4: "LeftLeg", 5: "RightLeg", 6: "Spine1", 7: "LeftFoot",
    8: "RightFoot", 9: "Spine2", 12: "Neck", 13: "LeftShoulder", 14: "RightShoulder", 15: "Head", 16: "LeftArm",
    17: "RightArm", 18: "LeftForeArm", 19: "RightForeArm", 20: "LeftHand", 21: "RightHand",
}  # fmt: skip
# SMPL stands with y up and faces +z; the rig's world has z up and faces -y; the camera has y down and looks along +z.
SMPL_TO_WORLD = WORLD_TO_CAMERA = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])


@dataclass
class People:
    """Ground truth (N, …) in metres, in the camera's frame, and in pixels."""

    vertices: np.ndarray
    coco_px: np.ndarray
    human36: np.ndarray
    pelvis: np.ndarray
    genders: list[str]
    folder: Path

    @property
    def true_mesh(self) -> np.ndarray:
        """The vertices, relative to the pelvis of the neutral SMPL's own regressor."""
        return self.vertices - self.pelvis[:, None]


def write_models(folder: Path) -> dict[str, dict[str, Any]]:
    """A made-up SMPL of each gender and its regressors, in the usual layout; their arrays."""
    (folder / "smpl").mkdir(parents=True)
    arrays = {gender: fake_model("smpl", seed) for seed, gender in enumerate(("neutral", *GENDERS))}
    for gender, model in arrays.items():
        # Fewer random bulges, so that the body keeps human proportions.
        model["shapedirs"] *= 0.2
        model["posedirs"] *= 0.1
        save_npz(folder / "smpl" / f"SMPL_{gender.upper()}.npz", model)
    rng = np.random.default_rng(9)
    for name in ("J_regressor_h36m_correct.npy", "J_regressor_coco.npy"):
        rows = np.zeros((17, 162))
        for row in rows:
            row[rng.choice(162, 6, replace=False)] = rng.dirichlet(np.ones(6))
        np.save(folder / name, rows)
    return arrays


def smpl_poses(count: int, seed: int = 0) -> np.ndarray:
    """(count, 24, 3) axis-angles of procedural poses, turned about the vertical, as the camera sees them."""
    rng = np.random.default_rng(seed)
    drawn = PoseSource(None, PoseConfig(procedural=1.0)).sample(count, torch.Generator().manual_seed(seed)).numpy()
    poses = np.zeros((count, 24, 3))
    for person, bones in enumerate(drawn):
        world = [np.eye(3)] * 24
        for joint in range(24):
            parent = PARENTS["smpl"][joint]
            above = world[parent] if joint else np.eye(3)
            world[joint] = above
            if joint in BONES:
                turned = bones[BODY_BONES.index(BONES[joint])].astype(np.float64)
                world[joint] = SMPL_TO_WORLD.T @ turned @ SMPL_TO_WORLD
            local = above.T @ world[joint]
            if not joint:
                yaw = Rotation.from_euler("z", rng.uniform(0, 2 * np.pi)).as_matrix()
                local = WORLD_TO_CAMERA @ yaw @ SMPL_TO_WORLD @ world[0]
            poses[person, joint] = Rotation.from_matrix(local).as_rotvec()
    return poses


def write_pw3d(
    folder: Path, models: Path, arrays: dict[str, dict[str, Any]], count: int = 30, split: str = "test"
) -> People:
    """The annotation files of two people in `count` / 2 frames of one sequence, and their ground truth."""
    rng = np.random.default_rng(1)
    poses, shapes = smpl_poses(count), rng.normal(0, 0.5, (count, 10))
    regressors = [np.load(models / name) for name in ("J_regressor_coco.npy", "J_regressor_h36m_correct.npy")]
    vertices, joints, genders, annotations, detected = [], [], [], [], []
    for number in range(count):
        frame, person = divmod(number, 2)
        model = arrays[GENDERS[person]]
        translation = np.array([0.6 * person - 0.3, 0.1, 4 + 0.02 * frame + person])
        mesh = skinned(model, poses[number], shapes[number], translation)
        own = model["J_regressor"] @ mesh
        coco = regressors[0] @ mesh
        seen = _with_middles(coco[:, :2] / coco[:, 2:] * FOCAL + CENTRE)
        vertices.append(mesh)
        joints.append((seen, regressors[1] @ mesh, arrays["neutral"]["J_regressor"][0] @ mesh))
        genders.append(GENDERS[person])
        body = {"pose": poses[number].ravel().tolist(), "shape": shapes[number].tolist(), "trans": translation.tolist()}
        low, high = seen.min(0), seen.max(0)
        annotations.append(
            {
                "id": number,
                "image_id": frame,
                "person_id": person,
                "bbox": [*low, *(high - low)],
                "joint_cam": own.tolist(),
                "joint_img": (own[:, :2] / own[:, 2:] * FOCAL + CENTRE).tolist(),
                "openpose_result": [[0.0, 0.0, 0.0]] * 18,
                "smpl_param": {**body, "gender": GENDERS[person]},
            }
        )
        if number % 5:  # one in five has no detection
            noisy = seen[:17] + rng.normal(0, 4, (17, 2))
            detected.append({"annotation_id": number, "keypoints": np.insert(noisy, 2, 0.9, axis=1).tolist()})
    camera = {"focal": FOCAL, "princpt": CENTRE}
    images = [
        {
            "id": frame,
            "file_name": f"image_{frame:05d}.jpg",
            "sequence": "downtown_walking_00",
            "frame_idx": frame,
            "width": SIZE[0],
            "height": SIZE[1],
            "cam_param": camera,
        }
        for frame in range((count + 1) // 2)
    ]
    (folder / "data").mkdir(parents=True, exist_ok=True)
    labels = {"images": images, "annotations": annotations}
    (folder / "data" / f"3DPW_latest_{split}.json").write_text(json.dumps(labels))
    (folder / "data" / f"darkpose_3dpw_{split}set_output.json").write_text(json.dumps(detected))
    coco_px, human36, pelvis = (np.stack(column) for column in zip(*joints, strict=True))
    return People(np.stack(vertices), coco_px, human36, pelvis, genders, folder)


def _with_middles(joints: np.ndarray) -> np.ndarray:
    pairs = [("left_hip", "right_hip"), ("left_shoulder", "right_shoulder")]
    middles = [joints[[COCO17.index(name) for name in pair]].mean(0) for pair in pairs]
    return np.vstack([joints, middles])
