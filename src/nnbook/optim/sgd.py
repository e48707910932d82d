"""Stochastic gradient descent with momentum, a drop-in for ``torch.optim.SGD``."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nnbook._check.learning import check_nesterov
from nnbook._check.values import check_range
from nnbook.optim._base import Group, PlainOptimizer, Real, State


class SGD(PlainOptimizer):
    r"""Step down along the gradient, or along a velocity made of the gradients so far.

    .. math:: v_t = \mu v_{t-1} + (1 - \tau)\, g_t, \quad v_1 = g_1, \qquad
        \theta_t = \theta_{t-1} - \eta v_t

    With ``nesterov`` the step is along :math:`g_t + \mu v_t`. The arguments, their defaults,
    parameter groups and the state dictionary are those of ``torch.optim.SGD``.

    Args:
        params: parameters or groups of parameters.
        lr: the learning rate.
        momentum: mu, the share of the velocity that is kept.
        dampening: tau, what is taken off the weight of a gradient that enters the velocity.
        weight_decay: lambda; lambda times the parameter is added to its gradient.
        nesterov: whether to look ahead.
        maximize: whether to step up.
        foreach, differentiable, fused: not taught; leave them as they are.

    Raises:
        ValueError: if a number is negative, or nesterov is asked for without momentum or with
            dampening.
        NotImplementedError: if an option that is not taught is set.

    Source:
        Polyak (1964), "Some methods of speeding up the convergence of iteration methods";
        Sutskever, Martens, Dahl and Hinton (2013), "On the importance of initialization and
        momentum in deep learning".

    Examples:
        >>> w = torch.nn.Parameter(torch.tensor([1.0]))
        >>> sgd = SGD([w], lr=0.25, momentum=0.5)
        >>> for _ in range(2):
        ...     sgd.zero_grad()
        ...     (w * w).backward()
        ...     sgd.step()
        >>> w.item()  # 1 - 0.25 · 2 = 0.5, then 0.5 - 0.25 · (1 + 0.5 · 2) = 0
        0.0
    """

    def __init__(
        self,
        params: Any,
        lr: Real | Tensor = 1e-3,
        momentum: Real = 0,
        dampening: Real = 0,
        weight_decay: Real = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_range("SGD", "momentum", float(momentum), 0.0)
        check_nesterov("SGD", nesterov, momentum, dampening)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)

    def _update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        mu, lr = group["momentum"], float(group["lr"])
        g = self._uphill(p, g, group, group["weight_decay"])
        if mu != 0:
            v = state.get("momentum_buffer")
            if v is None:
                v = state["momentum_buffer"] = g.clone()  # *s, eq. sgd-first
            else:
                v.mul_(mu).add_(g, alpha=1 - group["dampening"])  # *s, eq. sgd-velocity
            if group["nesterov"]:
                g = torch.add(g, v, alpha=mu, out=self._scratch(p))  # *s, eq. sgd-ahead
            else:
                g = v
        p.add_(g, alpha=-lr)  # *s, eq. sgd-step
