"""Memory allocator settings: freed memory is kept for the next training step."""

from __future__ import annotations

import ctypes
import sys

# Parameters of glibc's mallopt (malloc.h).
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def keep_freed_memory() -> bool:
    """Make the C library keep freed memory for the next step instead of returning it to the system.

    Otherwise each allocation of a large tensor costs a page fault for every 4 KiB: 75 of the 370 ms that a sample of
    the faithful network's training step took on one core (`docs/performance.md`). The setting lasts as long as the
    process.

    Returns:
        Whether the setting was made: only with glibc, on Linux.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library
        return False
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))
