"""The precision in which half-precision input is computed."""

from __future__ import annotations

import torch
from torch import Tensor


def wide(t: Tensor) -> Tensor:
    """Return float16 and bfloat16 as float32 and everything else as it is."""
    return t.float() if t.dtype in (torch.float16, torch.bfloat16) else t
