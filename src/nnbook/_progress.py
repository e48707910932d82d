"""Progress bars that are seen on a terminal and nowhere else."""

from __future__ import annotations

import os
import sys
from typing import Any, Literal

from tqdm import tqdm


def progress_bar(show: bool | Literal["auto"], **options: Any) -> Any:
    """Return a tqdm bar on stderr, or one that does nothing.

    Args:
        show: ``"auto"`` means only where stderr is a terminal and no test is running. In a page of
            the book (where ``NNBOOK_BOOK`` is set) nothing is ever written.
        options: what else ``tqdm`` takes.

    Returns:
        The bar, also usable in a ``with`` statement.
    """
    terminal = sys.stderr is not None and sys.stderr.isatty()
    wanted = terminal and "PYTEST_CURRENT_TEST" not in os.environ if show == "auto" else show
    return tqdm(disable=not wanted or "NNBOOK_BOOK" in os.environ, file=sys.stderr, **options)
