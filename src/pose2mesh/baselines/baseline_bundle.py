"""Bundles of learned baselines: one `.safetensors` file with the weights in half precision and JSON metadata.

The bundles that ship are in `weights/baselines/`, named after their methods. Nothing in them is pickled. They do not
contain the body model: unlike a bundle of Pose2Mesh they need the `train` extra, which installs it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from torch import Tensor

from pose2mesh.baselines.bundle_lookup import LEARNED_FORMAT, find_learned_bundle
from pose2mesh.baselines.common.body_layer import BodyLayer
from pose2mesh.baselines.interface import LearnedBaseline
from pose2mesh.baselines.registry import PRETRAINING, find_learned_method
from pose2mesh.config.config_files import instantiate
from pose2mesh.errors import InputError, one_line
from pose2mesh.io.atomic_write import replacing
from pose2mesh.models.bundle.bundle_file import fitting
from pose2mesh.models.bundle.bundle_info import BundleInfo

if TYPE_CHECKING:
    from pose2mesh.baselines.methods.pretraining_network import PretrainingNetwork

VERSION = 1


@dataclass(kw_only=True)
class LearnedInfo(BundleInfo):
    """Metadata of the bundle of a learned baseline.

    Attributes:
        parameters: Number of trained parameters; for a method without a network, the size of its state.
        minutes: Duration of the training: rendering and steps, without validation.
        samples: Number of training samples, repetitions included.
        seed: Seed of the run.
    """

    parameters: int
    minutes: float
    samples: int
    seed: int

    @property
    def method(self) -> str:
        return str(self.config["method"])


def save_learned(path: Path, network: LearnedBaseline, info: LearnedInfo) -> None:
    """Write a bundle atomically."""
    from safetensors.torch import save_file

    metadata = {"format": LEARNED_FORMAT, "version": str(VERSION), "info": json.dumps(vars(info))}
    tensors = {name: _stored(name, value) for name, value in network.state_dict().items()}
    with replacing(path) as partial:
        save_file(tensors, partial, metadata)
        partial.chmod(0o644)


def _stored(name: str, value: Tensor) -> Tensor:
    # The running variance of BatchNorm can exceed the range of float16; keeping it in full precision costs little.
    keep = not value.is_floating_point() or "running" in name
    return (value if keep else value.half()).contiguous()


def read_info(path: Path) -> LearnedInfo:
    """The metadata of the bundle of a learned baseline, without its weights.

    Raises:
        InputError: the file is not the bundle of a learned baseline, is truncated, or has another version.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: cannot be read as a bundle ({one_line(error)})") from error
    if metadata.get("format") != LEARNED_FORMAT:
        raise InputError(f"{path}: not the bundle of a learned baseline (no {LEARNED_FORMAT!r} in its metadata)")
    if metadata.get("version") != str(VERSION):
        raise InputError(f"{path}: bundle version {metadata.get('version')}, expected {VERSION}")
    with fitting(path):
        return LearnedInfo(**json.loads(metadata["info"]))


def load_learned(
    name_or_path: str | Path, layer: BodyLayer, changes: Mapping[str, Any] | None = None
) -> tuple[LearnedBaseline, LearnedInfo]:
    """A trained method, in evaluation mode, and the metadata of its bundle.

    Args:
        name_or_path: Name of a method whose bundle ships, a file or a run folder.
        layer: The body layer.
        changes: Settings to override, by name; only those on which the weights do not depend.

    Raises:
        InputError: the bundle does not exist or cannot be used.
    """
    from safetensors.torch import load_file

    path = find_learned_bundle(name_or_path)
    info = read_info(path)
    with fitting(path):
        method = find_learned_method(info.method, str(path))
        settings = info.config["settings"] | dict(changes or {})
        network = method.make(layer, instantiate(method.settings, settings, str(path), "settings."))
        network.drop_training_state()
        weights = load_file(path)
        network.load_state_dict({name: _single(value) for name, value in weights.items()})
    return network.eval(), info


def _single(value: Tensor) -> Tensor:
    return value.float() if value.is_floating_point() else value


def load_pretraining_network(layer: BodyLayer, source: str | Path = PRETRAINING) -> PretrainingNetwork:
    """The pre-training network (`reader`), which detects parts, silhouettes and landmarks in images.

    Raises:
        InputError: the bundle does not exist or belongs to another method.
    """
    return cast("PretrainingNetwork", _load_method(PRETRAINING, layer, source))


def _load_method(method: str, layer: BodyLayer, source: str | Path) -> LearnedBaseline:
    network, info = load_learned(source, layer)
    if info.method != method:
        raise InputError(f"{source}: is a bundle of method {info.method!r}; expected one of {method!r}")
    return network


def initialise_from(
    network: LearnedBaseline, method: str, layer: BodyLayer, source: str, log: Callable[[str], None]
) -> None:
    """Initialise a network from a bundle: the backbone alone from the pre-training network, else all weights.

    Args:
        network: The network to initialise.
        method: Method of the trained network.
        layer: The body layer.
        source: Bundle or run folder of the trained network.
        log: Called with a message that names the reused weights.

    Raises:
        InputError: the bundle is missing, is of another method, or does not fit.
    """
    if method == PRETRAINING:
        load_backbone(network, load_pretraining_network(layer, source), log)
    else:
        load_all(network, _load_method(method, layer, source), source, log)


def load_backbone(network: LearnedBaseline, source_network: PretrainingNetwork, log: Callable[[str], None]) -> None:
    """Initialise the backbone of a network from the pre-training network: all weights of equal name and shape.

    Args:
        network: Network with an attribute `backbone`.
        source_network: The pre-training network.
        log: Called with a message that names the reused weights.

    Raises:
        InputError: the network has no backbone, or no weight of equal shape.
    """
    backbone = getattr(network, "backbone", None)
    if backbone is None:
        raise InputError("pretrained: this method has no backbone to initialise; leave it out")
    source_weights, weights = source_network.backbone.state_dict(), backbone.state_dict()
    matching = {
        name: value for name, value in source_weights.items() if name in weights and weights[name].shape == value.shape
    }
    if not any(value.ndim > 1 for value in matching.values()):
        raise InputError("pretrained: no weight of the given backbone has the shape that this method needs")
    backbone.load_state_dict(matching, strict=False)
    unmatched = sorted({name.rpartition(".")[0] for name in weights.keys() - matching.keys()})
    rest = f", except {', '.join(unmatched)}, whose shapes differ" if unmatched else ""
    log(f"backbone initialised from the pre-training network{rest}")


def load_all(network: LearnedBaseline, other: LearnedBaseline, source: str, log: Callable[[str], None]) -> None:
    """Initialise all trained weights of a network from another network.

    Args:
        network: The network to initialise.
        other: The trained network. Weights that `network` does not have are ignored.
        source: Name of the other network, for messages.
        log: Called with a message that names the reused weights.

    Raises:
        InputError: a weight of the network is missing in the other network, or has another shape there.
    """
    source_weights, weights = other.state_dict(), network.state_dict()
    needed = {name for name, _ in network.named_parameters()}
    common = {
        name: value for name, value in source_weights.items() if name in weights and weights[name].shape == value.shape
    }
    if missing := sorted(needed - common.keys()):
        raise InputError(
            f"{source}: does not fit this method: no {missing[0]} of shape {tuple(weights[missing[0]].shape)}"
        )
    network.load_state_dict(common, strict=False)
    log(f"all weights initialised from {source}")
