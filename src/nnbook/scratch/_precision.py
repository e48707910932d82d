"""The precision in which half-precision input is computed."""

from __future__ import annotations

from typing import Any

import numpy as np


def wide(x: np.ndarray) -> Any:
    """Return float16 as float32 and everything else as it is."""
    return x.astype(np.promote_types(x.dtype, np.float32), copy=False)
