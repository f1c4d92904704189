"""Constant sparse matrices cut into dense blocks of rows, for runtimes without a sparse product."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray


class RowBlocks(NamedTuple):
    """A sparse matrix as dense matrices: one per block of rows, over the columns in which the block has entries.

    Attributes:
        columns: (blocks, m) the columns of each block, padded with column 0 at weight 0.
        weight: (blocks, rows, m) the entries; the last block is padded with zero rows.
    """

    columns: NDArray[np.int64]
    weight: NDArray[np.float32]


def cut_rows(matrix: sp.csr_array, rows: int) -> RowBlocks:
    """Cut a matrix (N, M) into blocks of at most `rows` rows, all of the same size.

    The nodes of a hierarchy are in the order of its tree, so that consecutive nodes are near each other and have
    entries in few columns: the blocks are small.
    """
    N = matrix.shape[0]
    height = -(-N // -(-N // rows))
    entries = matrix.tocoo()
    block = entries.row // height
    # Columns of all blocks in one array, sorted by block; `place` is each entry's index into it.
    touched, place = np.unique(block.astype(np.int64) * matrix.shape[1] + entries.col, return_inverse=True)
    blocks, columns = np.divmod(touched, matrix.shape[1])
    first = np.searchsorted(blocks, np.arange(-(-N // height) + 1))
    place = place - first[block]
    index = np.zeros((len(first) - 1, max(1, int(np.diff(first).max()))), np.int64)
    index[blocks, np.arange(len(touched)) - first[blocks]] = columns
    weight = np.zeros((len(index), height, index.shape[1]), np.float32)
    weight[block, entries.row % height, place] = entries.data
    return RowBlocks(index, weight)
