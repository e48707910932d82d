"""Where to compute and how much: the two environment variables that a reader may set."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Literal, cast

from nnbook._check.values import check_choice

if TYPE_CHECKING:
    import torch


def device() -> torch.device:
    """Return the device to compute on, as the environment variable ``NNBOOK_DEVICE`` says.

    The values are ``auto`` (the default: CUDA where there is any, else the CPU), ``cpu``, ``cuda``
    and ``cuda:1`` and so on. A device that was asked for by name and is not there is an error: a
    build that was meant for a GPU must not finish on a CPU without a word.

    Returns:
        The device, with its index if it is a CUDA device that was asked for by index.

    Raises:
        ValueError: if the variable has another value.
        RuntimeError: if CUDA, or the CUDA device with this index, is not there.

    Examples:
        >>> import nnbook
        >>> nnbook.device().type in ("cpu", "cuda")
        True
    """
    import torch

    who = "NNBOOK_DEVICE"
    wanted = os.environ.get(who, "") or "auto"
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted == "auto":
        return torch.device("cuda" if count else "cpu")
    asked = re.fullmatch(r"cpu|cuda(?::(0|[1-9]\d*))?", wanted)
    if asked is None:
        raise ValueError(
            f"{who}: {wanted!r} is not a device; "
            "set it to auto, cpu, cuda or cuda:N, with the number N of a GPU."
        )
    if wanted != "cpu" and int(asked[1] or 0) >= count:
        raise RuntimeError(
            f"{who}: {wanted!r} was asked for and torch {torch.__version__} sees {count} CUDA "
            "devices; install a CUDA build of torch and a driver, or set it to auto or cpu."
        )
    return torch.device(wanted)


def profile() -> Literal["quick", "full"]:
    """Return how much work the book does, as ``NNBOOK_PROFILE`` says.

    ``quick`` (the default) is sized for two CPU cores and the embedded samples, ``full`` for a GPU
    and the full data sets.

    Returns:
        ``"quick"`` or ``"full"``.

    Raises:
        ValueError: if the variable has another value.

    Examples:
        >>> import nnbook
        >>> nnbook.profile() in ("quick", "full")
        True
    """
    wanted = os.environ.get("NNBOOK_PROFILE", "") or "quick"
    check_choice("NNBOOK_PROFILE", "profile", wanted, ("quick", "full"))
    return cast(Literal["quick", "full"], wanted)
