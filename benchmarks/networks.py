"""Sizes and speed of the networks: parameters, multiply–accumulates, milliseconds a person.

    python benchmarks/networks.py [--threads N] [--rounds N]

Builds each network fresh from its config on the Anny body (speed does not depend on the weights) and times the whole
forward pass, pixels to vertices. Ratios between rows of one run mean more than milliseconds, which depend on the
machine.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from pathlib import Path

import torch

from pose2mesh.body.anny import AnnyBody
from pose2mesh.config import load_config
from pose2mesh.data.poses import PoseConfig, PoseSource
from pose2mesh.graph.chebyshev import GraphLaplacian
from pose2mesh.models.pose2mesh import Pose2Mesh
from pose2mesh.training.run import build_network

ROOT = Path(__file__).parents[1]
CONFIGS = {"light": "light.yaml", "faithful": "faithful.yaml"}
BATCHES = (1, 32)


def multiply_accumulates(network: Pose2Mesh) -> int:
    """Of one person: every linear layer's, and one for each entry of a sparse matrix and channel."""
    total = 0

    def count(module: torch.nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        nonlocal total
        if isinstance(module, GraphLaplacian):
            total += len(module.value) * inputs[0].shape[-1]
        elif isinstance(module, torch.nn.Linear):
            total += output.numel() * module.in_features

    hooks = [m.register_forward_hook(count) for m in network.modules()]
    J = len(network.joint_set)
    with torch.inference_mode():
        prediction = network(torch.rand(1, J, 2), torch.ones(1, J))
        if network.upsample is not None:
            total += network.upsample.weight.numel() * prediction.points.shape[-1]
    for hook in hooks:
        hook.remove()
    return total


def milliseconds(network: Pose2Mesh, batch: int, rounds: int) -> tuple[float, float, float]:
    """Median, least and greatest time a person over `rounds` forward passes."""
    J = len(network.joint_set)
    pixels, confidence = torch.rand(batch, J, 2) * 500, torch.ones(batch, J)
    times = []
    with torch.inference_mode():
        for _ in range(rounds + 2):
            start = time.perf_counter()
            network.vertices(network(pixels, confidence).points)
            times.append(1000 * (time.perf_counter() - start) / batch)
    times = times[2:]
    return statistics.median(times), min(times), max(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    body, poses = AnnyBody(), PoseSource(None, PoseConfig(procedural=1.0))
    results: dict[str, object] = {"machine": platform.processor() or platform.machine(), "threads": arguments.threads}
    print(f"{'network':10} {'parameters':>12} {'MACs':>12}" + "".join(f"{f'ms, batch {b}':>24}" for b in BATCHES))
    for name, file in CONFIGS.items():
        _, network = build_network(load_config(ROOT / "configs" / file, ["data.motions=unused"]), body, poses)
        network.eval()
        row = {
            "parameters": sum(parameter.numel() for parameter in network.parameters()),
            "multiply_accumulates": multiply_accumulates(network),
        }
        text = f"{name:10} {row['parameters'] / 1e6:10.2f} M {row['multiply_accumulates'] / 1e6:10.1f} M"
        for batch in BATCHES:
            median, least, most = milliseconds(network, batch, arguments.rounds)
            row[f"ms_per_person_batch{batch}"] = round(median, 3)
            text += f"{f'{median:.2f} ({least:.2f}–{most:.2f})':>24}"
        results[name] = row
        print(text)
    out = ROOT / "benchmarks" / "out" / "networks.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
