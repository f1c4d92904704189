"""Counts and figures of the benchmark, and a smoke test."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from cases import FORMULATIONS, Case, Comparison, Measured, together
from limits import ProductCount, layer_shapes, least_values, multiply_accumulates, needed_multiply_accumulates
from report import Size, brief, headline, shares, table
from scaling import Torus
from textbook import TextbookPose2Mesh, coordinates

from pose2mesh.graph.coarsening import mesh_adjacency
from pose2mesh.models.layers.linear import linear
from pose2mesh.models.mesh_topology import MeshTopology, laplacians
from pose2mesh.models.network_config import NetworkConfig
from pose2mesh.models.pose2mesh import Pose2Mesh
from pose2mesh.skeletons import COCO


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
def test_products_are_counted_by_their_stored_entries() -> None:
    dense, sparse = torch.rand(5, 6), torch.eye(6).to_sparse()
    rows = torch.rand(6, 7)
    for work, expected in (
        (lambda: dense @ rows, 5 * 6 * 7),
        (lambda: torch.addmm(torch.zeros(7), dense, rows), 5 * 6 * 7),
        (lambda: torch.rand(3, 5, 6) @ torch.rand(3, 6, 7), 3 * 5 * 6 * 7),
        (lambda: torch.nn.Linear(6, 4)(torch.rand(2, 3, 6)), 2 * 3 * 6 * 4),
        (lambda: torch.sparse.mm(sparse, rows), 6 * 7),
        (lambda: sparse.to_sparse_csr() @ rows, 6 * 7),
        (lambda: torch.nn.functional.embedding_bag(torch.tensor([[0, 1], [2, 3]]), rows, mode="sum"), 4 * 7),
        (lambda: linear(dense, rows.T.contiguous()), 5 * 6 * 7),
        (lambda: rows + rows.sum(0), 0),
    ):
        with torch.no_grad(), ProductCount() as count:
            work()
        assert count.total == expected


def test_textbook_count_is_the_sum_over_its_layers(small_config: NetworkConfig, small_surface: MeshTopology) -> None:
    textbook = TextbookPose2Mesh(small_config, COCO, small_surface).eval()
    blocks = [small_config.joint_widths, *small_config.block_widths]
    blocks[-1] = (*blocks[-1], small_config.head_width, 3)
    expected, width, order = 0, 6, small_config.chebyshev_order
    for laplacian, widths in zip(laplacians(small_surface, COCO, small_config.spectrum), blocks, strict=True):
        for a, b in pairwise((width, *widths)):
            expected += (order - 1) * laplacian.nnz * a + laplacian.shape[0] * order * a * b
        width = widths[-1]
    for name, value in textbook.named_parameters():
        if value.ndim == 2 and (name.startswith("posenet") or "to_mesh" in name):
            expected += value.numel()
    assert textbook.upsample is not None
    expected += 3 * textbook.upsample.weight.numel()
    assert multiply_accumulates(textbook) == expected


def test_the_network_needs_less_than_either_computes(small_config: NetworkConfig, small_surface: MeshTopology) -> None:
    network = Pose2Mesh(small_config, COCO, small_surface).eval()
    textbook = multiply_accumulates(TextbookPose2Mesh(small_config, COCO, small_surface).eval())
    needed = needed_multiply_accumulates(network, small_surface)
    assert 0.4 * textbook < needed < textbook
    assert needed <= multiply_accumulates(network)
    # The textbook also multiplies un-pooled nodes by weights, and applies the Laplacian to the wider side.
    sizes = [graph.shape[0] for graph in small_surface.adjacency]
    entries = [laplacian.nnz for laplacian in laplacians(small_surface, COCO, "unit")]
    unpooled = sizes[0] * 3 * 16 * 16 + sizes[1] * 3 * 32 * 32
    wider = 2 * entries[3] * ((32 - 16) + (16 - 3))
    assert textbook - needed == unpooled + wider


def test_a_layers_input_and_output_are_moved_once(small_config: NetworkConfig, small_surface: MeshTopology) -> None:
    network = Pose2Mesh(small_config, COCO, small_surface)
    a, b, c = (graph.shape[0] for graph in small_surface.adjacency)
    expected = len(COCO) * (6 + 8 + 8 + 16)
    expected += a * (16 + 16 + 16 + 16)
    expected += a * 16 + b * (16 + 16 + 32)
    expected += b * 32 + c * (32 + 32 + 16 + 16 + 16 + 16 + 3)
    a_batch, a_person = least_values(network, small_surface)
    assert a_batch == sum(parameter.numel() for parameter in network.parameters())
    assert a_person == expected + 3 * (len(small_surface.points) + len(small_surface.template))
    assert layer_shapes(network, small_surface, 2) == [(2 * a, 48, 16), (2 * b, 48, 32), (2 * c, 96, 32)]


def test_every_vertex_of_a_torus_has_six_neighbours() -> None:
    torus = Torus(6, 9)
    adjacency = mesh_adjacency(torus.faces.numpy(), 54)
    assert (adjacency.sum(axis=1) == 6).all()
    assert len(torus.faces) == 2 * 54  # no hole: F = 2 V
    assert torch.cdist(torus.template, torus.template).fill_diagonal_(1).min() > 0.1
    assert torch.allclose(torus.regressor(COCO).sum(1), torch.ones(len(COCO)))


SIZE = Size(1000, 3_000_000, 3_500_000, 4_000_000, 1000, 2000, [])
RATES = {"fp32": {"a": 1e9, "b": 2e9}, "bf16": {"a": 8e9}, "copy_bytes_per_second": 1e6}


def comparison(mode: str = "forward", network: str = "faithful", batch: int = 32) -> Comparison:
    case = Case(network, mode, "fp32", batch, "cpu", 1)
    return Comparison(case, Measured([0.1, 0.2, 0.5], 2**28, 0), Measured([0.6, 0.8, 0.7], 2**30, 0))


def test_ratios_and_shares() -> None:
    done = [comparison(), comparison("train"), comparison("train", batch=64), comparison(network="light", batch=8)]
    figures = headline(done, {"faithful": SIZE, "light": SIZE}, RATES)
    assert figures["faithful_forward_ratio_b32"] == pytest.approx(0.7 / 0.2)
    assert figures["faithful_train_ratio_b32"] == pytest.approx(0.7 / 0.2)
    assert figures["faithful_train_memory_ratio_b32"] == figures["faithful_train_memory_ratio_b64"] == 0.25
    assert figures["faithful_gemm_share"] == pytest.approx(3e6 * 32 / 2e9 / 0.2)
    assert figures["faithful_gemm_share_textbook_count"] == pytest.approx(4e6 * 32 / 2e9 / 0.2)
    assert figures["light_people_per_second"] == pytest.approx(8 / 0.2)
    assert shares(comparison("train"), SIZE, RATES) == {}
    # Moving 4 · (1000 + 2000 · 32) bytes takes longer than the matrix products.
    assert shares(comparison(), SIZE, RATES)["limit_share"] == pytest.approx(0.26 / 0.2)


def test_formulations_that_do_not_fit_together_run_one_after_the_other() -> None:
    expected = comparison("train").expected_bytes(64)
    assert expected == {"ours": int(2.2 * 2**28), "textbook": int(2.2 * 2**30)}
    assert together({}, 0) == together(expected, 3 * 2**30) == [FORMULATIONS]
    assert together(expected, int(2.5 * 2**30)) == [("ours",), ("textbook",)]
    assert together(expected, 2**31) == []


def test_sequential_runs_are_reported() -> None:
    case = Case("faithful", "train", "fp32", 64, "cpu", 1)
    done = Comparison(case, Measured([0.1, 0.2], 2**28, 0), Measured([0.6], 2**30, 0), alternating=False)
    assert done.as_dict()["turns"] == "one after the other"
    assert comparison("train").as_dict()["turns"] == "alternating"
    assert (done.as_dict()["time_ratio_least"], done.as_dict()["time_ratio_most"]) == pytest.approx((3, 6))
    assert "one after the other" in brief(done)
    assert "| 64, one after the other |" in table([done], {"faithful": SIZE}, RATES)
    assert headline([done], {"faithful": SIZE}, RATES)["faithful_train_memory_ratio_b64"] == 0.25


def test_a_skipped_case_has_a_row_and_no_figure() -> None:
    left_out = Comparison(Case("faithful", "train", "fp32", 64, "cpu", 1), skipped="would need 30 GiB")
    assert "faithful_train_ratio_b64" not in headline([left_out], {"faithful": SIZE}, RATES)
    lines = table([comparison(), left_out], {"faithful": SIZE}, RATES).splitlines()
    assert "6.25 (3.12–15.6)" not in lines[2]  # the same number of digits within a cell
    assert "6.2 (3.1–15.6)" in lines[2]
    assert "would need 30 GiB" in lines[3]
    assert len({line.count("|") for line in lines}) == 1
    assert left_out.as_dict()["skipped"] == "would need 30 GiB"


@pytest.mark.slow
def test_it_runs(tmp_path: Path) -> None:
    script = Path(__file__).parents[2] / "benchmarks" / "bench.py"
    out = tmp_path / "new" / "bench.json"
    done = subprocess.run(
        [sys.executable, str(script), "--quick", "--threads", "1", "--out", str(out)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    results = json.loads(out.read_text())
    for name in (
        "faithful_forward_ratio_b1", "faithful_train_ratio_b2", "faithful_train_memory_ratio_b2", "faithful_gemm_share",
        "light_one_core_ms", "light_people_per_second", "light_train_samples_per_second",
        "light_data_wait_share", "predict_onnx_s", "many_people_share",
    ):  # fmt: skip
        assert results[name] > 0, name
    assert results["faithful_gemm_share"] < 1
    assert results["faithful_train_memory_ratio_b2"] < 1.5
    assert not any(case.get("skipped") for case in results["cases"])
    assert out.with_suffix(".md").read_text() in done.stdout


def test_sparse_matrices_keep_their_entries(small_surface: MeshTopology) -> None:
    laplacian = laplacians(small_surface, COCO, "unit")[-1]
    assert torch.equal(coordinates(laplacian).to_dense(), torch.from_numpy(laplacian.toarray()))
