"""How much memory something needs, as Python's own allocators count it."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable


def peak_bytes(run: Callable[[], object], repeats: int = 3) -> int:
    """Return the most bytes that were allocated at a time during a run, the least of some runs.

    Other threads of the process allocate a little now and then, which can only add.
    """
    peaks = []
    for _ in range(repeats):
        gc.collect()
        gc.disable()
        tracemalloc.start()
        try:
            run()
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
            gc.enable()
    return min(peaks)
