"""Sparse matrices as blocks of rows: reassembled they equal the original."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from pose2mesh.graph.row_blocks import RowBlocks, cut_rows


def put_together(blocks: RowBlocks, shape: tuple[int, int]) -> np.ndarray:
    dense = np.zeros((blocks.weight.shape[0] * blocks.weight.shape[1], shape[1]))
    for number, (columns, weight) in enumerate(zip(blocks.columns, blocks.weight, strict=True)):
        rows = slice(number * len(weight), (number + 1) * len(weight))
        np.add.at(dense[rows].T, columns, weight.T)
    assert not dense[shape[0] :].any()
    return dense[: shape[0]]


@pytest.mark.parametrize("rows", [1, 3, 4, 16, 50])
@pytest.mark.parametrize("density", [0, 0.02, 0.3, 1])
def test_blocks_are_the_matrix(rows: int, density: float) -> None:
    matrix = sp.random_array((22, 17), density=density, rng=np.random.default_rng(0), format="csr", dtype=np.float32)
    blocks = cut_rows(matrix, rows)
    assert blocks.weight.shape[1] <= rows
    assert blocks.columns.shape == (len(blocks.weight), blocks.weight.shape[2])
    np.testing.assert_array_equal(put_together(blocks, matrix.shape), matrix.toarray())


def test_blocks_hold_only_the_columns_they_touch() -> None:
    band = sp.csr_array(sp.diags_array([np.ones(63), np.ones(64), np.ones(63)], offsets=[-1, 0, 1]))
    blocks = cut_rows(band, 8)
    assert blocks.weight.shape == (8, 8, 10)
    assert blocks.columns[3].tolist() == list(range(23, 33))


def test_blocks_are_of_one_size_as_near_as_that_goes() -> None:
    assert cut_rows(sp.eye_array(56, format="csr"), 32).weight.shape == (2, 28, 28)
    assert cut_rows(sp.eye_array(33, format="csr"), 32).weight.shape == (2, 17, 17)
