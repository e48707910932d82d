"""Checkpoints: keep only the input of a part of the computation, and compute it again."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nnbook._check.learning import check_same_result, check_seen
from nnbook._check.values import check_count

from .backward import walk
from .tensor import Tensor, as_tensor, constant, enabled, no_grad, record, source

Layer = Callable[[Tensor], Tensor]


def checkpoint(f: Callable[..., Tensor], *inputs: Any) -> Tensor:
    """Return ``f(*inputs)`` and keep nothing of it but the inputs; the way back runs f again.

    Args:
        f: a function of tensors that gives the same result for the same inputs.
        inputs: everything that f needs a gradient for, parameters included.

    Returns:
        The result; its gradients are those of ``f(*inputs)``.

    Raises:
        RuntimeError: on the way back, if f gives another result, or if it uses a tensor that
            requires a gradient and is not among the inputs.

    Source:
        Chen, Xu, Zhang and Guestrin (2016), "Training Deep Nets with Sublinear Memory Cost",
        arXiv:1604.06174.

    Examples:
        >>> x = Tensor(3.0, requires_grad=True)
        >>> checkpoint(lambda x: x * x + x, x).backward()
        >>> x.grad
        array(7.)
    """
    tensors = [as_tensor(x) for x in inputs]
    arrays = [t._data for t in tensors]
    wanted = [source(t) is not None for t in tensors]
    with no_grad():
        out = f(*tensors)
    mark = _mark(out)

    def pull(v: Any) -> list[Any]:
        again = [constant(a) for a in arrays]
        for x, w in zip(again, wanted, strict=True):
            x.requires_grad = w
        with enabled():
            result = f(*again)
        check_same_result("checkpoint", _mark(result) == mark)
        end = source(result)
        found = {} if end is None else walk(end, v)
        check_seen("checkpoint", all(leaf in again for leaf in found))
        return [
            found.get(x, np.zeros_like(x._data)) if w else None
            for x, w in zip(again, wanted, strict=True)
        ]

    return record("checkpoint", out._data, tensors, pull)


def _mark(x: Tensor) -> int:
    return zlib.crc32(x._data.tobytes())


def checkpoint_sequential(
    layers: Sequence[Layer], parameters: Sequence[Sequence[Tensor]], x: Tensor, every: int
) -> Tensor:
    """Carry out a chain of layers in segments, each of them a checkpoint.

    Args:
        layers: functions ``layer(x, *parameters)``.
        parameters: those of each layer.
        x: the input of the first.
        every: the length of a segment; the last one may be shorter.

    Raises:
        ValueError: if ``every`` is less than 1.
    """
    check_count("checkpoint_sequential", "every", every)
    for start in range(0, len(layers), every):
        part, own = layers[start : start + every], parameters[start : start + every]
        x = checkpoint(_chain(part, [len(p) for p in own]), x, *[t for p in own for t in p])
    return x


def _chain(layers: Sequence[Layer], counts: Sequence[int]) -> Callable[..., Tensor]:
    def run(x: Tensor, *parameters: Tensor) -> Tensor:
        rest = iter(parameters)
        for layer, count in zip(layers, counts, strict=True):
            x = layer(x, *[next(rest) for _ in range(count)])
        return x

    return run
