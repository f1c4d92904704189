"""Starting from what another run has learnt: its PoseNet, whole or the layers that fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from pose2mesh.config.train_config import load_config
from pose2mesh.errors import InputError
from pose2mesh.models.bundle.bundle import load_bundle
from pose2mesh.models.bundle.bundle_info import BUNDLE
from pose2mesh.models.pose2mesh import Pose2Mesh
from pose2mesh.training.checkpoints import BEST, LAST
from pose2mesh.training.resume import (
    LANDMARKS,
    other_landmarks,
    read_checkpoint,
    refuse_misfit,
    refuse_other_landmarks,
)

POSENET = "posenet."
HEAD, LANDMARK_HEAD = "posenet.head.", "posenet.landmark_head."


def load_pretrained(network: Pose2Mesh, source: Path, whole: bool, say: Callable[[str], None]) -> None:
    """Start from the PoseNet of a run folder, a checkpoint or a bundle.

    Args:
        network: Whose PoseNet is filled.
        source: The file, or the folder of a run.
        whole: Every layer must fit, as for stage two. Else those that do not keep their fresh weights: a lifter can
            start from one of another joint set, whose first and last layers have other shapes.
        say: Takes a line that tells what was reused.

    Raises:
        InputError: nothing to load there, or its PoseNet does not fit, or lifts other landmarks; where not all has to
            fit, not one matrix does.
    """
    source = find_weights(source)
    learnt, unit_m, landmarks = read_posenet(source)
    if whole:
        refuse_other_landmarks(source, landmarks, network)
    elif other_landmarks(landmarks, network):
        learnt = {name: value for name, value in learnt.items() if not name.startswith(LANDMARK_HEAD)}
    own = {name: value for name, value in network.state_dict().items() if name.startswith(POSENET)}
    for name in learnt:
        if name.startswith((HEAD, LANDMARK_HEAD)):
            learnt[name] = learnt[name] * (unit_m / network.posenet.unit_m)
    if whole:
        refuse_misfit(source, learnt, own, "its PoseNet")
    fits = {name: value for name, value in learnt.items() if name in own and own[name].shape == value.shape}
    if not any(value.ndim > 1 for value in fits.values()):
        raise InputError(f"{source}: no layer of its PoseNet fits this network's; expected the same width")
    network.load_state_dict(fits, strict=False)
    fresh = sorted({name.rpartition(".")[0] for name in own.keys() - fits.keys()})
    without = f", but for {', '.join(fresh)}, which start fresh" if fresh else ""
    say(f"{source}: PoseNet starts from it{without}")


def find_weights(source: Path) -> Path:
    """The file itself, or the best of a run folder.

    Raises:
        InputError: the folder has none.
    """
    if not source.is_dir():
        return source
    # Not the bundle first: it holds the same weights in half precision.
    found = next((source / name for name in (BEST, BUNDLE, LAST) if (source / name).is_file()), None)
    if found is None:
        raise InputError(f"{source}: no bundle or checkpoint in this run folder")
    return found


def read_posenet(source: Path) -> tuple[dict[str, Tensor], float, list[int] | None]:
    """PoseNet's weights by their names in `Pose2Mesh`, what its last layers count in, in metres, and its landmarks.

    Raises:
        InputError: the file cannot be read, or the config beside a checkpoint is missing.
    """
    if source.suffix == ".ckpt":
        checkpoint = read_checkpoint(source)
        state, landmarks = checkpoint["state_dict"], checkpoint.get(LANDMARKS)
        state = {name.removeprefix("network."): value for name, value in state.items()}
        unit_m = load_config(source.with_name("config.yaml")).network.posenet_unit_m
    else:
        model = load_bundle(source).model
        state, unit_m = model.state_dict(), model.config.posenet_unit_m
        landmarks = None if model.landmarks is None else model.landmarks.tolist()
    return {name: value for name, value in state.items() if name.startswith(POSENET)}, unit_m, landmarks
