"""How well recovered bodies meet photos, beside bodies that do not follow the person.

    python benchmarks/photos.py --keypoints person_keypoints.json --images images [--model default] [--motions BVH_DIR]

Over the people with 12 or more labelled keypoints: mean OKS of the reprojected joints (area: the person's mask), mean
IoU of the mesh's silhouette with COCO's person mask. The same camera fit is given to a T-pose and to the mean pose (of
the motion clips where given, else of the joint-limit sampler), both facing the camera.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from pose2mesh.body.anny import AnnyBody
from pose2mesh.body.rig import BODY_BONES
from pose2mesh.data.poses import PoseConfig, PoseSource
from pose2mesh.data.sources import clip_poses
from pose2mesh.geometry import WORLD_TO_CAMERA, axis_rotation
from pose2mesh.predict import Recovery
from pose2mesh.silhouettes import evaluate_keypoints

ARM_TO_LEVEL_RAD = 0.72  # Anny's rest arms hang some 41° below the horizontal


def t_pose() -> torch.Tensor:
    """(1, 22, 3, 3) arms level, all else at rest."""
    pose = torch.eye(3).repeat(1, len(BODY_BONES), 1, 1)
    for index, name in enumerate(BODY_BONES):
        if name.endswith(("Arm", "ForeArm", "Hand")):
            pose[0, index] = axis_rotation(
                1, torch.tensor(-ARM_TO_LEVEL_RAD if name.startswith("Left") else ARM_TO_LEVEL_RAD)
            )
    return pose


def mean_pose(source: PoseSource, count: int = 4000) -> torch.Tensor:
    """(1, 22, 3, 3) the chordal mean of each bone's orientation, every pose first turned to face the camera."""
    poses = source.draw(count, torch.Generator().manual_seed(0))
    left = poses[:, 0, :, 0]
    turned = axis_rotation(2, -torch.atan2(left[:, 1], left[:, 0]))[:, None] @ poses
    u, _, vt = torch.linalg.svd(turned.mean(0, keepdim=True))
    sign = torch.ones_like(u[..., 0])
    sign[..., -1] = torch.linalg.det(u @ vt)
    return (u * sign[..., None, :]) @ vt


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keypoints", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--motions", type=Path)
    parser.add_argument("--model", default="default")
    arguments = parser.parse_args()
    recovery = Recovery.load(arguments.model)
    body = AnnyBody()
    source = clip_poses(arguments.motions) if arguments.motions else PoseSource(None, PoseConfig(procedural=1.0))
    still = {}
    to_camera = torch.tensor(WORLD_TO_CAMERA)
    for name, pose in (("t_pose", t_pose()), ("mean_pose", mean_pose(source))):
        vertices = body(body.mean_phenotypes[None], pose) @ to_camera.T
        joints = body.regressor(recovery.joint_set) @ vertices
        root = joints[:, recovery.joint_set.root_index]
        still[name] = (np.asarray((joints - root)[0]), np.asarray((vertices - root)[0]))
    results = evaluate_keypoints(recovery, arguments.keypoints, arguments.images, still)
    print(f"{'':12} {'OKS':>6} {'IoU':>6}   ({results['people']} people)")
    for name, prefix in ((results["model"], ""), ("T-pose", "t_pose_"), ("mean pose", "mean_pose_")):
        print(f"{name:12} {results[f'{prefix}oks']:6.3f} {results[f'{prefix}iou']:6.3f}")
    out = Path(__file__).parent / "out" / "photos.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
