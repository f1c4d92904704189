"""Splits long tracks into overlapping windows that are recovered separately, and cross-fades them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pose2mesh.pipelines.video.array_file import ArrayFile


def windows(frames: int, longest: int, overlap: int) -> list[slice]:
    """Split frames into windows of at most `longest`, about equally long; each overlaps the one before by `overlap`."""
    count = max(1, -(-(frames - overlap) // (longest - overlap)))
    ends = np.linspace(0, max(frames - overlap, 0), count + 1).round().astype(int).tolist()
    return [slice(start, min(stop + overlap, frames)) for start, stop in pairwise(ends)]


def joined(rows: ArrayFile, spans: Sequence[slice]) -> Iterator[NDArray[np.floating]]:
    """Yield the frames of a track in parts, from the concatenated rows of its windows; overlaps are blended."""
    at = 0
    tail = rows[:0]
    for span, following in zip(spans, [*spans[1:], None], strict=True):
        length = span.stop - span.start
        part = rows[at : at + length]
        at += length
        # Raised cosine: position and speed are continuous.
        share = 0.5 - 0.5 * np.cos(np.pi * np.arange(1, len(tail) + 1) / (len(tail) + 1))
        share = share.reshape(-1, *(1,) * (part.ndim - 1)).astype(part.dtype)
        part[: len(tail)] = (1 - share) * tail + share * part[: len(tail)]
        end = length if following is None else following.start - span.start
        tail = part[end:]
        yield part[:end]
