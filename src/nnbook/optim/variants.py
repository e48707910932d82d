"""NAdam and RAdam: Adam with a look ahead, and Adam that waits until it can trust the root."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nnbook._check.values import check_range
from nnbook.optim._base import Group, PlainOptimizer, Real, State, count_step, start

Betas = tuple[Real, Real]


class NAdam(PlainOptimizer):
    r"""Adam with Nesterov's look ahead.

    .. math:: \mu_t = \beta_1 (1 - \tfrac12 0.96^{t \psi}), \qquad
        \hat m_t = \frac{\mu_{t+1} m_t}{1 - \prod_{i \le t+1} \mu_i}
        + \frac{(1 - \mu_t) g_t}{1 - \prod_{i \le t} \mu_i}, \qquad
        \theta_t = \theta_{t-1}
        - \eta\, \hat m_t / (\sqrt{s_t / (1 - \beta_2^t)} + \varepsilon)

    Drop-in for ``torch.optim.NAdam``.

    Args:
        params: parameters or groups of parameters.
        lr: the learning rate.
        betas, eps: as in `Adam`.
        weight_decay: lambda; lambda times the parameter is added to its gradient.
        momentum_decay: psi.
        decoupled_weight_decay: whether to shrink the parameters as `AdamW` does.
        foreach, capturable, differentiable: not taught; leave them as they are.
        maximize: whether to step up.

    Raises:
        ValueError: if a number is out of its range.
        NotImplementedError: if an option that is not taught is set.

    Source:
        Dozat (2016), "Incorporating Nesterov momentum into Adam".

    Examples:
        >>> w = torch.nn.Parameter(torch.tensor([1.0]))
        >>> w.grad = torch.tensor([2.0])
        >>> NAdam([w], lr=0.5).step()
        >>> round(w.item(), 3)
        0.472
    """

    def __init__(
        self,
        params: Any,
        lr: Real | Tensor = 2e-3,
        betas: Betas = (0.9, 0.999),
        eps: Real = 1e-8,
        weight_decay: Real = 0,
        momentum_decay: Real = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_range("NAdam", "momentum_decay", float(momentum_decay), 0.0)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        (beta1, beta2), psi, lr = group["betas"], group["momentum_decay"], float(group["lr"])
        if not state:
            start(p, state, "exp_avg", "exp_avg_sq")
            state["mu_product"] = torch.ones_like(state["step"])
        t = count_step(state)
        g = _decayed(self, p, g, group, lr)
        mu, ahead = (beta1 * (1 - 0.5 * 0.96 ** (k * psi)) for k in (t, t + 1))
        state["mu_product"] *= mu
        product = float(state["mu_product"].item())
        m, s = state["exp_avg"], state["exp_avg_sq"]
        m.lerp_(g, 1 - beta1)  # *s, eq. ada-m
        s.mul_(beta2).addcmul_(g, g, value=1 - beta2)  # *s, eq. ada-s
        c2 = (1 - beta2**t) ** 0.5
        root = torch.sqrt(s, out=self._scratch(p)).add_(c2 * group["eps"])
        p.addcdiv_(g, root, value=-lr * c2 * (1 - mu) / (1 - product))
        p.addcdiv_(m, root, value=-lr * c2 * ahead / (1 - product * ahead))


class RAdam(PlainOptimizer):
    r"""Adam that divides by the root only once enough gradients have gone into it.

    .. math:: \rho_\infty = \frac{2}{1 - \beta_2} - 1, \qquad
        \rho_t = \rho_\infty - \frac{2 t \beta_2^t}{1 - \beta_2^t}

    While :math:`\rho_t \le 5` the step is :math:`\eta\, m_t / (1 - \beta_1^t)`; after that it is
    divided by the root and multiplied by a factor r that goes from nearly 0 to 1. Drop-in for
    ``torch.optim.RAdam``, where eps is added to the root before it is corrected.

    Args:
        params: parameters or groups of parameters.
        lr: the learning rate.
        betas, eps: as in `Adam`.
        weight_decay: lambda; lambda times the parameter is added to its gradient.
        decoupled_weight_decay: whether to shrink the parameters as `AdamW` does.
        foreach, capturable, differentiable: not taught; leave them as they are.
        maximize: whether to step up.

    Raises:
        ValueError: if a number is out of its range.
        NotImplementedError: if an option that is not taught is set.

    Source:
        Liu et al. (2020), "On the variance of the adaptive learning rate and beyond",
        arXiv:1908.03265.

    Examples:
        >>> w = torch.nn.Parameter(torch.tensor([1.0]))
        >>> w.grad = torch.tensor([2.0])
        >>> RAdam([w], lr=0.25).step()
        >>> round(w.item(), 4)  # at first the step is as large as the gradient
        0.5
    """

    def __init__(
        self,
        params: Any,
        lr: Real | Tensor = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: Real = 1e-8,
        weight_decay: Real = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        (beta1, beta2), lr = group["betas"], float(group["lr"])
        start(p, state, "exp_avg", "exp_avg_sq")
        t = count_step(state)
        g = _decayed(self, p, g, group, lr)
        m, s = state["exp_avg"], state["exp_avg_sq"]
        m.lerp_(g, 1 - beta1)  # *s, eq. ada-m
        s.mul_(beta2).addcmul_(g, g, value=1 - beta2)  # *s, eq. ada-s
        c1, c2 = 1 - beta1**t, 1 - beta2**t
        most = 2 / (1 - beta2) - 1
        rho = most - 2 * t * beta2**t / c2
        if rho > 5:
            r = ((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho)) ** 0.5
            root = torch.sqrt(s, out=self._scratch(p)).add_(group["eps"])
            p.addcdiv_(m, root, value=-lr * r * c2**0.5 / c1)
        else:
            p.add_(m, alpha=-lr / c1)


def _decayed(optimizer: PlainOptimizer, p: Tensor, g: Tensor, group: Group, lr: Real) -> Tensor:
    """Shrink p if the decay is decoupled, and return the gradient, with the penalty if not."""
    decay = group["weight_decay"]
    if decay and group["decoupled_weight_decay"]:
        p.mul_(1 - lr * decay)  # *s, eq. ada-decoupled
        decay = 0
    return optimizer._uphill(p, g, group, decay)
