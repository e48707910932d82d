"""Gradient clipping: by the length of the whole gradient, or each number by itself."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from nnbook._check.values import check_plain
from nnbook.optim._base import Real

Parameters = Tensor | Iterable[Tensor]


def _gradients(parameters: Parameters) -> list[Tensor]:
    several = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    return [p.grad for p in several if p.grad is not None]


@torch.no_grad()
def clip_grad_norm_(
    parameters: Parameters,
    max_norm: Real,
    norm_type: Real = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    r"""Shorten the gradient, taken as one vector, to a largest length.

    .. math:: g \leftarrow \min\Big(1, \frac{c}{\lVert g \rVert + 10^{-6}}\Big)\, g

    Drop-in for ``torch.nn.utils.clip_grad_norm_``.

    Args:
        parameters: a parameter or several, whose gradients are changed in place.
        max_norm: c.
        norm_type: p of the p-norm; may be infinite.
        error_if_nonfinite: whether a length that is not finite is an error; if not, the gradient
            becomes 0 or NaN.
        foreach: not taught; leave it as it is.

    Returns:
        The length before.

    Raises:
        RuntimeError: if the length is not finite and that is to be an error.

    Source:
        Pascanu, Mikolov and Bengio (2013), "On the difficulty of training recurrent neural
        networks", arXiv:1211.5063.

    Examples:
        >>> w = torch.nn.Parameter(torch.zeros(2))
        >>> w.grad = torch.tensor([3.0, 4.0])
        >>> clip_grad_norm_(w, 1.0), w.grad.round(decimals=4)
        (tensor(5.), tensor([0.6000, 0.8000]))
    """
    check_plain("clip_grad_norm_", {"foreach": foreach})
    grads = _gradients(parameters)
    if not grads:
        return torch.tensor(0.0)
    device = grads[0].device
    norms = [torch.linalg.vector_norm(g, norm_type).to(device) for g in grads]
    norm = torch.linalg.vector_norm(torch.stack(norms), norm_type)
    if error_if_nonfinite and not bool(norm.isfinite()):
        raise RuntimeError(
            f"clip_grad_norm_: the {norm_type}-norm of the gradients is {norm.item()}; wanted a "
            "finite number. Look for a loss that is not finite, or give error_if_nonfinite=False."
        )
    factor = (max_norm / (norm + 1e-6)).clamp(max=1.0)  # eq. sch-clip-norm
    for g in grads:
        g.mul_(factor.to(g.device))
    return norm


@torch.no_grad()
def clip_grad_value_(parameters: Parameters, clip_value: Real, foreach: bool | None = None) -> None:
    r"""Put each number of the gradient between -c and c.

    .. math:: g_i \leftarrow \max(-c, \min(g_i, c))

    Drop-in for ``torch.nn.utils.clip_grad_value_``.

    Args:
        parameters: a parameter or several, whose gradients are changed in place.
        clip_value: c.
        foreach: not taught; leave it as it is.

    Examples:
        >>> w = torch.nn.Parameter(torch.zeros(2))
        >>> w.grad = torch.tensor([0.3, -4.0])
        >>> clip_grad_value_(w, 1.0)
        >>> w.grad
        tensor([ 0.3000, -1.0000])
    """
    check_plain("clip_grad_value_", {"foreach": foreach})
    for g in _gradients(parameters):
        g.clamp_(-float(clip_value), float(clip_value))  # eq. sch-clip-value
