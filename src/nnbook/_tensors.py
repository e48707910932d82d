"""Data for a model: arrays become tensors where the model is, and wrong ones are refused."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from nnbook._check.values import check_not_empty, check_same_length

ArrayLike = Tensor | np.ndarray
Data = tuple[ArrayLike, ArrayLike]
"""Inputs and targets, along the same first axis."""


def home(model: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Return the device and the dtype of the parameters; torch's defaults where there are none."""
    for parameter in model.parameters():
        if parameter.is_floating_point():
            return parameter.device, parameter.dtype
    return torch.device("cpu"), torch.get_default_dtype()


def as_tensor(value: ArrayLike) -> Tensor:
    """Return a tensor with the values of an array or a tensor."""
    if isinstance(value, Tensor):
        return value.detach()
    return torch.from_numpy(np.array(value, order="C"))  # a copy: it may be read-only


def as_tensors(who: str, name: str, data: Data, model: nn.Module) -> tuple[Tensor, Tensor]:
    """Return inputs and targets as tensors on the device of the model.

    Args:
        who: the function that complains.
        name: what it calls the data.
        data: inputs and targets.
        model: the model that takes them.

    Returns:
        Inputs and targets.

    Raises:
        TypeError: if data is not a pair of arrays, or a dtype is none that the model takes.
        ValueError: if there are no samples, or not the same number of inputs and targets.
    """
    pair = isinstance(data, tuple | list) and len(data) == 2
    if not pair or not all(isinstance(part, Tensor | np.ndarray) for part in data):
        raise TypeError(
            f"{who}: {name} is {_kind(data)}; give a pair (inputs, targets) of tensors or arrays."
        )
    x, y = as_tensor(data[0]), as_tensor(data[1])
    for part, tensor in (("inputs", x), ("targets", y)):
        if tensor.ndim == 0:
            raise ValueError(
                f"{who}: the {name} {part} are a single number; give them a first axis of samples."
            )
    check_same_length(who, f"{name} inputs", x, f"{name} targets", y)
    check_not_empty(who, name, x)
    device, dtype = home(model)
    _check_dtype(who, f"the {name} inputs", x, dtype, "indices")
    _check_dtype(who, f"the {name} targets", y, dtype, "class numbers")
    return x.to(device), y.to(device)


def _check_dtype(who: str, name: str, x: Tensor, dtype: torch.dtype, whole: str) -> None:
    if x.dtype not in (dtype, torch.int64):
        raise TypeError(
            f"{who}: {name} have dtype {_short(x.dtype)}; give {_short(dtype)}, the dtype of the "
            f"model, or int64 for {whole}. Convert with .astype (NumPy) or .to (torch)."
        )


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _kind(data: object) -> str:
    if isinstance(data, tuple | list):
        return f"a {type(data).__name__} of ({', '.join(type(part).__name__ for part in data)})"
    return f"a {type(data).__name__}"
