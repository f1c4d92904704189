"""What a bundle is, in lines a person can read: `pose2mesh info`."""

from __future__ import annotations

from torch import nn

from pose2mesh.models.bundle.bundle import load_bundle
from pose2mesh.models.bundle.bundle_info import is_learned, resolve


def describe_bundle(name_or_path: str) -> str:
    """Sizes, joint set, body, data, licence and measured errors of a bundle.

    Raises:
        InputError: as `load_bundle`.
    """
    if is_learned(name_or_path):
        return _describe_learned(name_or_path)
    bundle = load_bundle(name_or_path)
    info, surface, model = bundle.info, bundle.surface, bundle.model

    def millions(module: nn.Module) -> str:
        return f"{sum(parameter.numel() for parameter in module.parameters()) / 1e6:.2f} M parameters"

    graphs = ", ".join(str(graph.shape[0]) for graph in surface.adjacency)
    size = resolve(name_or_path).stat().st_size / 1e6
    rows = {
        "bundle": f"{info.name}, {size:.1f} MB",
        "input": f"{len(model.joint_set)} joints ({info.joint_set})"
        + (", confidences" if model.config.confidence_input else ""),
        "output": f"{len(surface.template):,} vertices, {len(surface.faces):,} faces ({info.body})",
        "posenet": millions(model.lifter),
        "meshnet": f"{millions(model.meshnet)}, graphs of {graphs} nodes",
        "data": info.data,
        "licence": info.licence,
    }
    lines = [f"{name:9} {value}" for name, value in rows.items()]
    for test, errors in info.errors.items():
        lines.append(f"{'errors':9} {test}: " + ", ".join(f"{name} {value:.1f}" for name, value in errors.items()))
    return "\n".join(lines)


def _describe_learned(name_or_path: str) -> str:
    from pose2mesh.baselines.baseline_bundle import read_info

    path = resolve(name_or_path)
    info = read_info(path)
    rows = {
        "bundle": f"{info.name}, {path.stat().st_size / 1e6:.1f} MB",
        "method": f"{info.method}, {info.parameters / 1e6:.2f} M parameters",
        "input": f"pictures around {info.joint_set} joints",
        "output": f"the body {info.body}",
        "training": f"{info.samples:,} pictures, {info.minutes:.1f} minutes, seed {info.seed}",
        "data": info.data,
        "licence": info.licence,
    }
    return "\n".join(f"{name:9} {value}" for name, value in rows.items())
