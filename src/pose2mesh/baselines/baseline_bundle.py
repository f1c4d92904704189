"""Learned baselines as files: one `.safetensors` with the weights in half precision and what the method says of itself.

The bundles that ship lie in `weights/baselines/`; a method's name finds its own. Nothing in them is pickled. The body
is not in them: unlike a bundle of Pose2Mesh they need the `train` extra, which brings it.
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
    """What the bundle of a learned baseline says of itself.

    Attributes:
        parameters: Numbers that were learnt: the networks' parameters, or all that a method without a network holds.
        minutes: Of training: drawing people and steps, without validation.
        samples: Pictures that were seen, the same one every time it was.
        seed: Of the run.
    """

    parameters: int
    minutes: float
    samples: int
    seed: int

    @property
    def method(self) -> str:
        return str(self.config["method"])


def save_learned(path: Path, network: LearnedBaseline, info: LearnedInfo) -> None:
    """Write a bundle; it is there whole or not at all."""
    from safetensors.torch import save_file

    metadata = {"format": LEARNED_FORMAT, "version": str(VERSION), "info": json.dumps(vars(info))}
    tensors = {name: _stored(name, value) for name, value in network.state_dict().items()}
    with replacing(path) as partial:
        save_file(tensors, partial, metadata)
        partial.chmod(0o644)


def _stored(name: str, value: Tensor) -> Tensor:
    # BatchNorm's running variance can exceed float16's range; the statistics are few.
    keep = not value.is_floating_point() or "running" in name
    return (value if keep else value.half()).contiguous()


def read_info(path: Path) -> LearnedInfo:
    """What the bundle of a learned baseline says of itself; its weights are not read.

    Raises:
        InputError: not such a bundle, cut short, or of another version.
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
    """A method as it was trained, in evaluation mode.

    Args:
        name_or_path: A name whose bundle ships, or a file.
        layer: The body.
        changes: Of settings, by their names: such as the weights do not depend on.

    Raises:
        InputError: there is no such bundle, or it cannot be used.
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
    """The reader, which finds parts, silhouettes and landmarks in pictures.

    Raises:
        InputError: there is none, or it is the bundle of another method.
    """
    return cast("PretrainingNetwork", _load_method(PRETRAINING, layer, source))


def _load_method(method: str, layer: BodyLayer, source: str | Path) -> LearnedBaseline:
    network, info = load_learned(source, layer)
    if info.method != method:
        raise InputError(f"{source}: is a bundle of method {info.method!r}; expected one of {method!r}")
    return network


def initialise_from(
    network: LearnedBaseline, method: str, layer: BodyLayer, source: str, say: Callable[[str], None]
) -> None:
    """Start a network from what another one learnt: from its backbone, if that is the reader, else from all of it.

    Args:
        network: To be filled.
        method: Of the other.
        layer: The body.
        source: The other's bundle or run folder.
        say: Takes a line that tells what was reused.

    Raises:
        InputError: there is none, it is of another method, or it does not fit.
    """
    if method == PRETRAINING:
        load_backbone(network, load_pretraining_network(layer, source), say)
    else:
        load_all(network, _load_method(method, layer, source), source, say)


def load_backbone(network: LearnedBaseline, reader: PretrainingNetwork, say: Callable[[str], None]) -> None:
    """Start a network's backbone from the reader's, weight by weight where the shapes agree.

    Args:
        network: Whose attribute `backbone` is filled.
        reader: Where from.
        say: Takes a line that tells what was reused.

    Raises:
        InputError: the network has no backbone, or one that no weight fits.
    """
    backbone = getattr(network, "backbone", None)
    if backbone is None:
        raise InputError("pretrained: this method has no backbone to start from the reader's; leave it out")
    learnt, own = reader.backbone.state_dict(), backbone.state_dict()
    fits = {name: value for name, value in learnt.items() if name in own and own[name].shape == value.shape}
    if not any(value.ndim > 1 for value in fits.values()):
        raise InputError("pretrained: no weight of the reader's backbone fits this method's")
    backbone.load_state_dict(fits, strict=False)
    fresh = sorted({name.rpartition(".")[0] for name in own.keys() - fits.keys()})
    say("the backbone starts from the reader's" + (f", but for {', '.join(fresh)}, of other shapes" if fresh else ""))


def load_all(network: LearnedBaseline, other: LearnedBaseline, source: str, say: Callable[[str], None]) -> None:
    """Start a network from all that another one has in common with it: every weight that is learnt.

    Args:
        network: To be filled.
        other: Where from. What it has beyond that is left out.
        source: Named in the error.
        say: Takes a line that tells what was reused.

    Raises:
        InputError: it lacks some of the network's weights, or has them in another shape.
    """
    learnt, own = other.state_dict(), network.state_dict()
    needed = {name for name, _ in network.named_parameters()}
    common = {name: value for name, value in learnt.items() if name in own and own[name].shape == value.shape}
    if missing := sorted(needed - common.keys()):
        raise InputError(f"{source}: does not fit this method: has no {missing[0]} of {tuple(own[missing[0]].shape)}")
    network.load_state_dict(common, strict=False)
    say(f"all weights start from those of {source}")
