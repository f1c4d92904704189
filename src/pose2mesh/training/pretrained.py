"""Loading pretrained weights: the PoseNet of another run, or only its layers whose shapes fit, and its MeshNet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from torch import Tensor

from pose2mesh.config.train_config import load_config
from pose2mesh.errors import InputError
from pose2mesh.models.bundle.bundle import load_bundle
from pose2mesh.models.bundle.bundle_info import BUNDLE, DEFAULT
from pose2mesh.models.network_config import LIFTER_PREFIX, NetworkConfig
from pose2mesh.models.pose2mesh import Pose2Mesh
from pose2mesh.training.checkpoints import BEST, LANDMARKS, LAST, read_checkpoint
from pose2mesh.training.resume import other_landmarks, refuse_misfit, refuse_other_landmarks

MESHNET_PREFIX = "meshnet."  # of its weights in the state dict of `Pose2Mesh`


def load_pretrained(network: Pose2Mesh, source: Path, whole: bool, say: Callable[[str], None]) -> None:
    """Load the PoseNet of a run folder, a checkpoint or a bundle.

    Args:
        network: Network whose PoseNet is filled.
        source: The file, or the folder of a run.
        whole: Whether every layer must fit, as in stage two. Otherwise layers that do not fit keep their initial
            weights: a lifter can start from one for another joint set, whose first and last layers have other shapes.
        say: Called with a line that names the layers that are not reused.

    Raises:
        InputError: there is nothing to load, or its PoseNet does not fit or has other landmarks; with `whole` False,
            no weight matrix fits.
    """
    source = find_weights(source)
    trained, config, landmarks = read_lifter(source)
    if config.lifter != network.config.lifter:
        raise InputError(f"{source}: its network.lifter is {config.lifter!r}, expected {network.config.lifter!r}")
    if whole:
        refuse_other_landmarks(source, landmarks, network)
    trained = network.lifter.convert_weights(trained, config, whole or not other_landmarks(landmarks, network))
    trained = {LIFTER_PREFIX + name: value for name, value in trained.items()}
    own = {name: value for name, value in network.state_dict().items() if name.startswith(LIFTER_PREFIX)}
    if whole:
        refuse_misfit(source, trained, own, "its PoseNet")
    fits = {name: value for name, value in trained.items() if name in own and own[name].shape == value.shape}
    if not any(value.ndim > 1 for value in fits.values()):
        raise InputError(f"{source}: no layer of its PoseNet fits this network's; expected the same width")
    network.load_state_dict(fits, strict=False)
    fresh = sorted({name.rpartition(".")[0] for name in own.keys() - fits.keys()})
    without = f", but for {', '.join(fresh)}, which start fresh" if fresh else ""
    say(f"{source}: PoseNet starts from it{without}")


def load_meshnet(network: Pose2Mesh, source: Path, say: Callable[[str], None]) -> None:
    """Load the MeshNet of a run folder, a checkpoint or a bundle.

    Args:
        network: Network whose MeshNet is filled.
        source: The file, or the folder of a run.
        say: Called with a line about it.

    Raises:
        InputError: there is nothing to load, or its MeshNet does not fit or has other landmarks.
    """
    source = find_weights(source)
    state, _, landmarks = read_network(source)
    refuse_other_landmarks(source, landmarks, network)
    trained, own = (
        {name: value for name, value in each.items() if name.startswith(MESHNET_PREFIX)}
        for each in (state, network.state_dict())
    )
    refuse_misfit(source, trained, own, "its MeshNet")
    network.load_state_dict(trained, strict=False)
    say(f"{source}: MeshNet starts from it")


def pretrained_landmarks(source: Path, config: NetworkConfig) -> np.ndarray | None:
    """(L,) landmarks of the lifter that `load_pretrained` would load, so that they keep their meaning.

    None where it has none or another number, where they are of other graphs, or where there is nothing to load, which
    `load_pretrained` reports.
    """
    if not config.landmarks or not (source.exists() or str(source) == DEFAULT):
        return None
    _, trained, landmarks = read_lifter(find_weights(source))
    same_points = (trained.coarsenings, trained.finest) == (config.coarsenings, config.finest)
    if landmarks is None or len(landmarks) != config.landmarks or not same_points:
        return None
    return np.array(landmarks, np.int64)


def find_weights(source: Path) -> Path:
    """The file itself, or the best weights of a run folder.

    Raises:
        InputError: the folder has no weights.
    """
    if not source.is_dir():
        return source
    # The checkpoint before the bundle, which holds the same weights in half precision.
    found = next((source / name for name in (BEST, BUNDLE, LAST) if (source / name).is_file()), None)
    if found is None:
        raise InputError(f"{source}: no bundle or checkpoint in this run folder")
    return found


def read_lifter(source: Path) -> tuple[dict[str, Tensor], NetworkConfig, list[int] | None]:
    """Read the weights of a lifter by their names in it, the config of its network, and its landmarks.

    Raises:
        InputError: as `read_network`.
    """
    state, config, landmarks = read_network(source)
    trained = {name: value for name, value in state.items() if name.startswith(LIFTER_PREFIX)}
    return {name.removeprefix(LIFTER_PREFIX): value for name, value in trained.items()}, config, landmarks


def read_network(source: Path) -> tuple[dict[str, Tensor], NetworkConfig, list[int] | None]:
    """Read the state dict of a network, its config, and its landmarks.

    Raises:
        InputError: the file cannot be read, or the config beside a checkpoint is missing.
    """
    if source.suffix == ".ckpt":
        checkpoint = read_checkpoint(source)
        state, landmarks = checkpoint["state_dict"], checkpoint.get(LANDMARKS)
        state = {name.removeprefix("network."): value for name, value in state.items()}
        config = load_config(source.with_name("config.yaml")).network
    else:
        model = load_bundle(source).model
        state, config = model.state_dict(), model.config
        landmarks = None if model.landmarks is None else model.landmarks.tolist()
    return state, config, landmarks
