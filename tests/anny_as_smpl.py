"""The mean Anny body as a model file of SMPL's structure, and synthetic samples of it as a 3DPW on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from pose2mesh.body_models.bones import BODY_BONES, PARENTS
from pose2mesh.body_models.interface import BodyModel
from pose2mesh.datasets.synthetic.bodies import SyntheticSamples
from pose2mesh.skeletons import COCO, HUMAN36
from tests.body_models.smpl_fixtures import save_npz
from tests.pw3d_fixtures import SMPL_TO_WORLD

JOINTS = 24  # the 22 bones of the body, in their order, and two that carry nothing


def write_anny(folder: Path, anny: BodyModel) -> None:
    """The model file and its joint regressors, in the usual layout.

    Of the mean shape alone. Its fingers are stiff, as they are in every pose of `BodyModel`; a finger's weights go to
    the hand. The root joint is Human3.6M's pelvis, which no vertex minds, so that errors have one root everywhere.
    """
    V = len(anny.template)
    weights = np.zeros((V, JOINTS))
    np.add.at(weights.T, anny.bone_source.numpy(), anny.skin_weights.double().numpy().T)
    # The template's origin is the head of the hips.
    rest = torch.eye(3).repeat(1, len(BODY_BONES), 1, 1)
    heads = anny.bone_heads(anny.mean_phenotypes[None], rest)[0].double().numpy()
    heads = heads[[anny.bone_names.index(name) for name in BODY_BONES]]
    template = anny.template.double().numpy()
    human36 = anny.regressor(HUMAN36).numpy()
    regressor = np.concatenate([_means_of_vertices(heads, template), np.zeros((JOINTS - len(heads), V))])
    regressor[0] = human36[HUMAN36.root_index]
    regressor[len(heads) :] = regressor[0]
    arrays = {
        "v_template": template @ SMPL_TO_WORLD,
        "f": anny.faces.numpy().astype(np.uint32),
        "weights": weights,
        "shapedirs": np.zeros((V, 3, 10), np.float32),
        "posedirs": np.zeros((V, 3, 9 * (JOINTS - 1)), np.float32),
        "J_regressor": regressor,
        "kintree_table": np.array([[2**32 - 1, *PARENTS[1:], 0, 0], range(JOINTS)], np.uint32),
        "bs_style": "lbs",
    }
    (folder / "smpl").mkdir(parents=True)
    save_npz(folder / "smpl" / "SMPL_NEUTRAL.npz", arrays)
    np.save(folder / "J_regressor_h36m_correct.npy", human36)
    np.save(folder / "J_regressor_coco.npy", anny.regressor(COCO).numpy()[: len(COCO) - len(COCO.derived)])


def _means_of_vertices(points: NDArray[np.floating], vertices: NDArray[np.floating]) -> NDArray[np.float64]:
    """(N, V) the smallest weights that sum to one and give the points (N, 3) from the vertices."""
    equations = np.column_stack([vertices, np.ones(len(vertices))])
    return np.column_stack([points, np.ones(len(points))]) @ np.linalg.pinv(equations)


def smpl_parameters(anny: BodyModel, people: SyntheticSamples) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Axis-angles (B, 24, 3) and translations (B, 3) that pose the model file like samples, in the camera's axes."""
    to_camera = people.cameras.rotation.double().numpy()
    turned = to_camera[:, None] @ people.orientations.double().numpy() @ SMPL_TO_WORLD
    local = turned.copy()
    local[:, 1:] = turned[:, list(PARENTS[1:])].swapaxes(2, 3) @ turned[:, 1:]
    pose = np.zeros((len(local), JOINTS, 3))
    pose[:, : len(BODY_BONES)] = Rotation.from_matrix(local.reshape(-1, 3, 3)).as_rotvec().reshape(len(local), -1, 3)
    # SMPL turns about its root joint, Anny about the head of the hips.
    root = anny.regressor(HUMAN36)[HUMAN36.root_index].double() @ anny.template.double()
    root = root.numpy() @ SMPL_TO_WORLD
    return pose, people.cameras.position_cam.double().numpy() + turned[:, 0] @ root - root


def write_people(folder: Path, anny: BodyModel, people: SyntheticSamples) -> None:
    """The annotation file of 3DPW's test split: every sample in an image of its own."""
    poses, translations = smpl_parameters(anny, people)
    true_px = people.joints_px.double().numpy()
    focal, centre, sizes = (
        getattr(people.cameras, name).double().numpy() for name in ("focal_px", "centre_px", "size_px")
    )
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, pixels in enumerate(true_px):
        width, height = sizes[number].round().astype(int).tolist()
        camera = {"focal": [focal[number]] * 2, "princpt": centre[number].tolist()}
        image = {"id": number, "file_name": f"image_{number:05d}.jpg", "sequence": "clips", "frame_idx": number}
        images.append({**image, "width": width, "height": height, "cam_param": camera})
        body = {"pose": poses[number].ravel().tolist(), "shape": [0.0] * 10, "trans": translations[number].tolist()}
        joints = np.broadcast_to(people.root_cam[number].double().numpy(), (JOINTS, 3))  # not used
        annotations.append(
            {
                "id": number,
                "image_id": number,
                "person_id": number,
                "bbox": [*pixels.min(0), *np.ptp(pixels, axis=0)],
                "joint_cam": joints.tolist(),
                "joint_img": (joints[:, :2] / joints[:, 2:] * focal[number] + centre[number]).tolist(),
                "openpose_result": [[0.0, 0.0, 0.0]] * 18,
                "smpl_param": {**body, "gender": "neutral"},
            }
        )
    (folder / "data").mkdir(parents=True)
    labels = {"images": images, "annotations": annotations}
    (folder / "data" / "3DPW_latest_test.json").write_text(json.dumps(labels))
