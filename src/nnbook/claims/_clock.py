"""Times, for claims whose numbers vary."""

from __future__ import annotations

import time
from collections.abc import Callable


def seconds(run: Callable[[], object]) -> float:
    """Return how long a run takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def least_seconds(run: Callable[[], object], times: int) -> float:
    """Return the least time of some runs: what else the machine does can only add."""
    return min(seconds(run) for _ in range(times))


def ratio_of_times(
    one: Callable[[], object], other: Callable[[], object], times: int = 40
) -> float:
    """Return the least time of one over that of another, run in turn."""
    pairs = [(seconds(one), seconds(other)) for _ in range(times)]
    return min(a for a, _ in pairs) / min(b for _, b in pairs)
