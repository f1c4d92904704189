"""Fixed sparse matrices cut into blocks of rows, for runtimes that only multiply dense ones."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray


class RowBlocks(NamedTuple):
    """A sparse matrix as dense pieces: one for each block of its rows, over the columns that the block touches.

    Attributes:
        columns: (blocks, m) those of each block; where it touches fewer, column 0 with weight 0.
        weight: (blocks, rows, m) the last block filled up with rows of 0.
    """

    columns: NDArray[np.int64]
    weight: NDArray[np.float32]


def cut_rows(matrix: sp.csr_array, rows: int) -> RowBlocks:
    """Cut a matrix (N, M) into blocks of at most `rows` rows, all of one size.

    The nodes of a hierarchy are in the order of its tree, so that a few in a row lie near each other and touch few
    others: the pieces are small.
    """
    N = matrix.shape[0]
    height = -(-N // -(-N // rows))
    entries = matrix.tocoo()
    block = entries.row // height
    # Columns of all blocks side by side, sorted by block; `place` counts them through.
    touched, place = np.unique(block.astype(np.int64) * matrix.shape[1] + entries.col, return_inverse=True)
    blocks, columns = np.divmod(touched, matrix.shape[1])
    first = np.searchsorted(blocks, np.arange(-(-N // height) + 1))
    place = place - first[block]
    index = np.zeros((len(first) - 1, max(1, int(np.diff(first).max()))), np.int64)
    index[blocks, np.arange(len(touched)) - first[blocks]] = columns
    weight = np.zeros((len(index), height, index.shape[1]), np.float32)
    weight[block, entries.row % height, place] = entries.data
    return RowBlocks(index, weight)
