"""What all optimizers of the book share: the loop over the parameters, and scratch memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from nnbook._check.learning import check_dense_real
from nnbook._check.values import check_plain, check_range

Group = dict[str, Any]
State = dict[str, Any]
Real = float | int


class PlainOptimizer(torch.optim.Optimizer):
    """A ``torch.optim.Optimizer`` that updates one parameter after the other, in place.

    A subclass writes `_update`, the rule for one parameter.
    """

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        who = type(self).__name__
        plain = ("foreach", "fused", "capturable", "differentiable")
        check_plain(who, {name: defaults[name] for name in plain if name in defaults})
        for name in ("lr", "eps", "weight_decay"):
            if name in defaults:
                check_range(who, name, _number(defaults[name]), 0.0)
        for beta in defaults.get("betas", ()):
            check_range(who, "betas", _number(beta), 0.0, 1.0)
        super().__init__(params, defaults)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            for name, value in self.defaults.items():
                group.setdefault(name, value)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change each parameter once.

        Args:
            closure: computes the loss anew, with its gradients; None means that they are there.

        Returns:
            What the closure returns, or None.

        Raises:
            NotImplementedError: if a gradient is sparse or a parameter complex.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                g = p.grad
                if g is not None:
                    if g.is_sparse or p.is_complex():
                        check_dense_real(type(self).__name__, p.shape, g.is_sparse, p.is_complex())
                    self._update(p, g, self.state[p], group)
        return loss

    def _update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        raise NotImplementedError

    def _scratch(self, p: Tensor, slot: int = 0) -> Tensor:
        """Return memory like p that every parameter uses in turn, so that it stays in the cache."""
        views: dict[Any, Tensor] = self.__dict__.setdefault(f"_scratch_{slot}", {})
        view = views.get(p)
        if view is None or view.shape != p.shape or view.dtype != p.dtype:
            self._make_scratch(views)
            view = views.get(p)
        return torch.empty_like(p) if view is None else view

    def _make_scratch(self, views: dict[Any, Tensor]) -> None:
        """Give all parameters of a device and dtype views of one piece of memory."""
        views.clear()
        several = [p for group in self.param_groups for p in group["params"] if p.is_contiguous()]
        for kind in {(p.device, p.dtype) for p in several}:
            alike = [p for p in several if (p.device, p.dtype) == kind]
            memory = alike[0].new_empty(max(p.numel() for p in alike))
            views.update({p: memory[: p.numel()].view(p.shape) for p in alike})

    def _uphill(self, p: Tensor, g: Tensor, group: Group, decay: Real) -> Tensor:
        """Return the gradient to go down along: of minus the goal, and of the L2 penalty."""
        if decay:
            out = self._scratch(p, 1)
            if group["maximize"]:
                return torch.mul(p, decay, out=out).sub_(g)
            return torch.add(g, p, alpha=decay, out=out)  # *s, eq. ada-l2
        return torch.neg(g, out=self._scratch(p, 1)) if group["maximize"] else g


def _number(value: Any) -> Real:
    """Return a number or a tensor of one number as a float."""
    return float(value)


def count_step(state: State) -> Real:
    """Count a step in the state, where torch keeps it too, and return its number."""
    step: Tensor = state["step"]
    return float(step.add_(1).item())


def start(p: Tensor, state: State, *names: str) -> None:
    """Fill an empty state with a step number 0 and arrays of zeros like p."""
    if not state:
        wide = torch.get_default_dtype() == torch.float64
        state["step"] = torch.tensor(0.0, dtype=torch.float64 if wide else torch.float32)
    for name in names:
        if name not in state:
            state[name] = torch.zeros_like(p, memory_format=torch.preserve_format)
