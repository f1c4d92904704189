"""`pose2mesh convert`: conversion of a published checkpoint of the reference implementation to a bundle."""

from __future__ import annotations

from pathlib import Path

from pose2mesh.body_models.default_body import DEFAULT_BODY, default_body
from pose2mesh.errors import InputError

# Overrides of the config: no data are read, so that it need not name motion clips.
_WITHOUT_DATA = ["data.motions=null", "data.synthetic.poses.procedural=1"]


def convert_checkpoint(checkpoint: Path, config: Path, out: Path) -> Path:
    """Read a `.pth.tar` file, fill the network of a config with it, and write a bundle in full precision.

    Args:
        checkpoint: Checkpoint of the reference's PoseNet or of its whole network.
        config: A training config, for its joint set, network sizes and `stage`: `posenet` converts the lifter of
            either kind of checkpoint; `pose2mesh` converts the MeshNet too.
        out: The bundle.

    Raises:
        InputError: the checkpoint or the config cannot be used, they do not fit, or the bundle cannot be written.
    """
    from pose2mesh.config.train_config import load_config
    from pose2mesh.models.bundle import reference_checkpoint
    from pose2mesh.models.bundle.bundle import Bundle, save_bundle
    from pose2mesh.models.bundle.bundle_info import BundleInfo
    from pose2mesh.models.mesh_topology import build_topology
    from pose2mesh.models.pose2mesh import Pose2Mesh
    from pose2mesh.skeletons import JOINT_SETS

    settings = load_config(config, _WITHOUT_DATA)
    if settings.network.finest != 0:
        raise InputError(
            f"{config}: network.finest is {settings.network.finest}, expected 0: the reference's MeshNet predicts all "
            "vertices"
        )
    if not out.parent.is_dir():
        raise InputError(f"--out {out}: expected the name of a file in a folder that exists")
    found = reference_checkpoint.read_reference(checkpoint)
    joint_set = JOINT_SETS[settings.joint_set]
    surface = build_topology(default_body(), joint_set, settings.network, None)
    network = Pose2Mesh(settings.network, joint_set, surface).eval()
    reference_checkpoint.load_posenet(network, found)
    if settings.stage == "pose2mesh":
        reference_checkpoint.load_meshnet(network, found)
    when = "" if found.epoch is None else f", epoch {found.epoch}"
    info = BundleInfo(
        name=settings.name,
        joint_set=settings.joint_set,
        body=DEFAULT_BODY,
        # Only the architecture: the weights were not trained with the rest of this config.
        config={"stage": settings.stage, "joint_set": joint_set.name, "network": settings.network.as_dict()},
        data=f"as the reference implementation's checkpoint {checkpoint.name}{when}",
        licence="as the source of the checkpoint says",
    )
    try:
        save_bundle(out, Bundle(network, surface, info), half=False)
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written ({error.strerror or error})") from error
    return out
