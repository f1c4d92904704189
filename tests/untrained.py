"""Bundles of small untrained networks on the Anny body."""

from __future__ import annotations

from pathlib import Path

import torch

from pose2mesh.body_models.interface import BodyModel
from pose2mesh.datasets.synthetic.bodies import ShapeConfig
from pose2mesh.datasets.synthetic.pose_sampling import PoseSource
from pose2mesh.models.bundle.bundle import Bundle, save_bundle
from pose2mesh.models.bundle.bundle_info import BundleInfo
from pose2mesh.models.mesh_topology import build_topology
from pose2mesh.models.network_config import NetworkConfig
from pose2mesh.models.pose2mesh import Pose2Mesh
from pose2mesh.skeletons import JointSet


def save_untrained(
    path: Path, anny: BodyModel, source: PoseSource, joint_set: JointSet, joint_base: bool = False
) -> Path:
    """Write the bundle of an untrained network for a joint set; it has no calibration of stature."""
    config = NetworkConfig(
        confidence_input=True,
        isotropic=True,
        posenet_width=32,
        posenet_unit_m=1.0,
        posenet_blocks=1,
        posenet_dropout=0.0,
        coarsenings=8,
        finest=6,
        joint_widths=(8,),
        block_widths=((8, 8), (8, 8), (8, 8)),
        head_width=8,
        joint_base=joint_base,
    )
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        posed = anny(ShapeConfig().sample(24, generator), source.sample(24, generator)).numpy()
    surface = build_topology(anny, joint_set, config, posed)
    torch.manual_seed(0)
    info = BundleInfo("untrained", joint_set.name, "anny", {"network": config.as_dict()}, "nothing", "Apache-2.0")
    save_bundle(path, Bundle(Pose2Mesh(config, joint_set, surface).eval(), surface, info))
    return path
