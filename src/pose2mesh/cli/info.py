"""`pose2mesh info`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pose2mesh.cli.console import say

if TYPE_CHECKING:
    from torch import nn


def info(model: str = "default", /) -> int:
    """Describe a bundle: sizes, joint set, data, licence, measured errors.

    Parameters
    ----------
    model
        `default` or a bundle file.
    """
    say(describe_bundle(model))
    return 0


def describe_bundle(name_or_path: str) -> str:
    """Sizes, joint set, body, data, licence and measured errors of a bundle.

    Raises:
        InputError: as `load_bundle`.
    """
    from pose2mesh.baselines.bundle_lookup import is_learned
    from pose2mesh.models.bundle.bundle import load_bundle
    from pose2mesh.models.bundle.bundle_info import find_bundle

    if is_learned(name_or_path):
        return _describe_learned(name_or_path)
    bundle = load_bundle(name_or_path)
    header, surface, model = bundle.info, bundle.surface, bundle.model

    def millions(module: nn.Module) -> str:
        return f"{sum(parameter.numel() for parameter in module.parameters()) / 1e6:.2f} M parameters"

    graphs = ", ".join(str(graph.shape[0]) for graph in surface.adjacency)
    size = find_bundle(name_or_path).stat().st_size / 1e6
    rows = {
        "bundle": f"{header.name}, {size:.1f} MB",
        "input": f"{len(model.joint_set)} joints ({header.joint_set})"
        + (", confidences" if model.config.confidence_input else ""),
        "output": f"{len(surface.template):,} vertices, {len(surface.faces):,} faces ({header.body})",
        "posenet": millions(model.lifter),
        "meshnet": f"{millions(model.meshnet)}, graphs of {graphs} nodes",
        "data": header.data,
        "licence": header.licence,
    }
    lines = [f"{name:9} {value}" for name, value in rows.items()]
    for test, errors in header.errors.items():
        lines.append(f"{'errors':9} {test}: " + ", ".join(f"{name} {value:.1f}" for name, value in errors.items()))
    return "\n".join(lines)


def _describe_learned(name_or_path: str) -> str:
    from pose2mesh.baselines.baseline_bundle import read_info
    from pose2mesh.baselines.bundle_lookup import find_learned_bundle

    path = find_learned_bundle(name_or_path)
    header = read_info(path)
    rows = {
        "bundle": f"{header.name}, {path.stat().st_size / 1e6:.1f} MB",
        "method": f"{header.method}, {header.parameters / 1e6:.2f} M parameters",
        "input": f"images around {header.joint_set} joints",
        "output": f"the body {header.body}",
        "training": f"{header.samples:,} images, {header.minutes:.1f} minutes, seed {header.seed}",
        "data": header.data,
        "licence": header.licence,
    }
    return "\n".join(f"{name:9} {value}" for name, value in rows.items())
