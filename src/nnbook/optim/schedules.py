"""Learning-rate schedules, each written as a function of the number of steps taken."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from nnbook._check.values import check_choice, check_count, check_range
from nnbook.optim._base import Real


class _Schedule(LRScheduler):
    """A schedule whose rate is a function of ``last_epoch``, the number of steps taken.

    The rate is set from the equation, not from the rate before: where two schedules step the same
    optimizer, the last one counts. To have one after the other, use
    ``torch.optim.lr_scheduler.SequentialLR``.
    """

    def rate(self, base: Real, t: int) -> Real:
        """Return the learning rate after t steps of one that starts from ``base``."""
        raise NotImplementedError

    def get_lr(self) -> list[Any]:
        """Return the learning rate of each group."""
        return [self.rate(float(base), self.last_epoch) for base in self.base_lrs]


class StepLR(_Schedule):
    r"""Multiply the rate by gamma every so many steps.

    .. math:: \eta_t = \eta_0\, \gamma^{\lfloor t / S \rfloor}

    Drop-in for ``torch.optim.lr_scheduler.StepLR``.

    Args:
        optimizer: whose learning rates are set.
        step_size: S.
        gamma: the factor.
        last_epoch: the number of steps taken before, or -1.

    Raises:
        ValueError: if S is less than 1.

    Examples:
        >>> import torch
        >>> sgd = torch.optim.SGD([torch.zeros(1)], lr=8.0)
        >>> rates_of(StepLR(sgd, 2, gamma=0.5), 5)
        [8.0, 8.0, 4.0, 4.0, 2.0]
    """

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: Real = 0.1, last_epoch: int = -1
    ) -> None:
        self.step_size = check_count("StepLR", "step_size", step_size)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def rate(self, base: Real, t: int) -> Real:
        """Return the rate after t steps."""
        return base * self.gamma ** (t // self.step_size)  # eq. sch-step


class ExponentialLR(_Schedule):
    r"""Multiply the rate by gamma at every step.

    .. math:: \eta_t = \eta_0\, \gamma^t

    Drop-in for ``torch.optim.lr_scheduler.ExponentialLR``.

    Args:
        optimizer: whose learning rates are set.
        gamma: the factor.
        last_epoch: the number of steps taken before, or -1.

    Examples:
        >>> import torch
        >>> rates_of(ExponentialLR(torch.optim.SGD([torch.zeros(1)], lr=8.0), 0.5), 4)
        [8.0, 4.0, 2.0, 1.0]
    """

    def __init__(self, optimizer: Optimizer, gamma: Real, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def rate(self, base: Real, t: int) -> Real:
        """Return the rate after t steps."""
        return base * self.gamma**t  # eq. sch-exp


class LinearLR(_Schedule):
    r"""Go from one multiple of the rate to another on a straight line, and stay there.

    .. math:: \eta_t = \eta_0 \big(a + (b - a) \min(t, T) / T\big)

    With a < b it is a warmup. Drop-in for ``torch.optim.lr_scheduler.LinearLR``.

    Args:
        optimizer: whose learning rates are set.
        start_factor: a, in (0, 1].
        end_factor: b, in [0, 1].
        total_iters: T.
        last_epoch: the number of steps taken before, or -1.

    Raises:
        ValueError: if a factor is out of its range or T is less than 1.

    Examples:
        >>> import torch
        >>> rates_of(LinearLR(torch.optim.SGD([torch.zeros(1)], lr=8.0), 0.25, total_iters=3), 5)
        [2.0, 4.0, 6.0, 8.0, 8.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: Real = 1.0 / 3,
        end_factor: Real = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        check_range("LinearLR", "start_factor", float(start_factor), 0.0, 1.0, ends="(]")
        check_range("LinearLR", "end_factor", float(end_factor), 0.0, 1.0, ends="[]")
        self.start_factor, self.end_factor = start_factor, end_factor
        self.total_iters = check_count("LinearLR", "total_iters", total_iters)
        super().__init__(optimizer, last_epoch)

    def rate(self, base: Real, t: int) -> Real:
        """Return the rate after t steps."""
        done = min(t, self.total_iters) / self.total_iters
        return base * (self.start_factor + (self.end_factor - self.start_factor) * done)


class CosineAnnealingLR(_Schedule):
    r"""Fall from the rate to a least one along half a period of a cosine.

    .. math:: \eta_t = \eta_{\min} + \tfrac12 (\eta_0 - \eta_{\min}) (1 + \cos(\pi t / T))

    After T steps the rate rises again, as in torch. Drop-in for
    ``torch.optim.lr_scheduler.CosineAnnealingLR``.

    Args:
        optimizer: whose learning rates are set.
        T_max: T.
        eta_min: the least rate.
        last_epoch: the number of steps taken before, or -1.

    Raises:
        ValueError: if T is less than 1.

    Examples:
        >>> import torch
        >>> sgd = torch.optim.SGD([torch.zeros(1)], lr=8.0)
        >>> [round(r, 3) for r in rates_of(CosineAnnealingLR(sgd, 2), 4)]
        [8.0, 4.0, 0.0, 4.0]
    """

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: Real = 0.0, last_epoch: int = -1
    ) -> None:
        self.T_max, self.eta_min = check_count("CosineAnnealingLR", "T_max", T_max), eta_min
        super().__init__(optimizer, last_epoch)

    def rate(self, base: Real, t: int) -> Real:
        """Return the rate after t steps."""
        return cosine(base, self.eta_min, t / self.T_max)  # eq. sch-cosine


class CosineAnnealingWarmRestarts(_Schedule):
    r"""Fall along a cosine, jump back to the start, and fall again, more slowly each time.

    .. math:: \eta_t = \eta_{\min} + \tfrac12 (\eta_0 - \eta_{\min}) (1 + \cos(\pi t_i / T_i))

    Here :math:`T_i = T_0 M^i` is the length of the run that step t belongs to, and :math:`t_i`
    counts the steps since its start. Drop-in for
    ``torch.optim.lr_scheduler.CosineAnnealingWarmRestarts``.

    Args:
        optimizer: whose learning rates are set.
        T_0: the length of the first run.
        T_mult: M, by which the length grows.
        eta_min: the least rate.
        last_epoch: the number of steps taken before, or -1.

    Raises:
        ValueError: if a length is less than 1.

    Examples:
        >>> import torch
        >>> sgd = torch.optim.SGD([torch.zeros(1)], lr=8.0)
        >>> [round(r, 2) for r in rates_of(CosineAnnealingWarmRestarts(sgd, 2, 2), 8)]
        [8.0, 4.0, 8.0, 6.83, 4.0, 1.17, 8.0, 7.7]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: Real = 0.0,
        last_epoch: int = -1,
    ) -> None:
        who = "CosineAnnealingWarmRestarts"
        self.T_0 = self.T_i = check_count(who, "T_0", T_0)
        self.T_mult, self.eta_min = check_count(who, "T_mult", T_mult), eta_min
        self.T_cur: Real = last_epoch
        super().__init__(optimizer, last_epoch)

    def step(self, epoch: Real | None = None) -> None:
        """Go to the next step, or to any place, which may lie between two steps.

        Args:
            epoch: the place; None means the next step.

        Raises:
            ValueError: if the place is negative.
        """
        if epoch is None:
            super().step()
            return
        check_range("CosineAnnealingWarmRestarts", "epoch", float(epoch), 0.0)
        self.last_epoch = math.floor(epoch)
        for group, base in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = self.rate(float(base), epoch)
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def rate(self, base: Real, t: Real) -> Real:
        """Return the rate after t steps, and keep where in which run they lead."""
        self.T_cur, self.T_i = t, self.T_0
        while self.T_cur >= self.T_i:
            self.T_cur, self.T_i = self.T_cur - self.T_i, self.T_i * self.T_mult
        return cosine(base, self.eta_min, self.T_cur / self.T_i)  # eq. sch-runs


class OneCycleLR(_Schedule):
    r"""Rise to a large rate and fall to a tiny one, with the momentum the other way round.

    The rate goes from ``max_lr / div_factor`` up to ``max_lr`` in the first part of the steps and
    down to ``max_lr / (div_factor * final_div_factor)`` in the rest; with ``three_phase`` it
    first goes down as it came. Drop-in for ``torch.optim.lr_scheduler.OneCycleLR``.

    Args:
        optimizer: whose learning rates are set.
        max_lr: the largest rate, or one for each group.
        total_steps: the number of steps, or None to take the product of the next two.
        epochs: the number of epochs.
        steps_per_epoch: the number of steps of each.
        pct_start: the share of the steps in which the rate rises.
        anneal_strategy: "cos" or "linear".
        cycle_momentum: whether to move the momentum, or the first of the betas, too.
        base_momentum: the least momentum, or one for each group.
        max_momentum: the largest momentum, or one for each group.
        div_factor: the largest rate over the first.
        final_div_factor: the first rate over the last.
        three_phase: whether the rate falls to the first one before it goes to the last.
        last_epoch: the number of steps taken before, or -1.

    Raises:
        ValueError: if no number of steps is given, a list has another length than the groups, the
            optimizer has no momentum to cycle, or more steps are taken than there are.

    Source:
        Smith and Topin (2019), "Super-convergence", arXiv:1708.07120.

    Examples:
        >>> import torch
        >>> sgd = torch.optim.SGD([torch.zeros(1)], momentum=0.9)
        >>> cycle = OneCycleLR(sgd, 1.0, 6, pct_start=0.5, anneal_strategy="linear", div_factor=4)
        >>> [round(r, 2) for r in rates_of(cycle, 6)]
        [0.25, 0.62, 1.0, 0.67, 0.33, 0.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: Real | Sequence[Real],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: Real = 0.3,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        cycle_momentum: bool = True,
        base_momentum: Real | Sequence[Real] = 0.85,
        max_momentum: Real | Sequence[Real] = 0.95,
        div_factor: Real = 25.0,
        final_div_factor: Real = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        who = "OneCycleLR"
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError(
                    f"{who}: got neither total_steps nor both of epochs and steps_per_epoch; "
                    "give the number of steps."
                )
            total_steps = check_count(who, "epochs", epochs) * check_count(
                who, "steps_per_epoch", steps_per_epoch
            )
        self.total_steps = check_count(who, "total_steps", total_steps)
        check_range(who, "pct_start", float(pct_start), 0.0, 1.0, ends="[]")
        check_choice(who, "anneal_strategy", anneal_strategy, ["cos", "linear"])
        self._anneal_func_type, self.cycle_momentum = anneal_strategy, cycle_momentum
        self._schedule_phases = _phases(pct_start, total_steps, three_phase)
        self._set_ends(optimizer, (max_lr, div_factor, final_div_factor), last_epoch == -1)
        if cycle_momentum:
            self._set_momenta(optimizer, base_momentum, max_momentum, last_epoch == -1)
        super().__init__(optimizer, last_epoch)

    def _set_ends(self, optimizer: Optimizer, ends: Any, fresh: bool) -> None:
        largest, first, last = ends
        rates = _per_group("max_lr", optimizer, largest)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            if fresh:
                group["initial_lr"], group["max_lr"] = rate / first, rate
                group["min_lr"] = group["initial_lr"] / last

    def _set_momenta(self, optimizer: Optimizer, low: Any, high: Any, fresh: bool) -> None:
        if not {"momentum", "betas"} & set(optimizer.defaults):
            raise ValueError(
                f"OneCycleLR: {type(optimizer).__name__} has neither momentum nor betas to cycle; "
                "give cycle_momentum=False or another optimizer."
            )
        self.use_beta1 = "betas" in optimizer.defaults
        lows = _per_group("base_momentum", optimizer, low)
        highs = _per_group("max_momentum", optimizer, high)
        for group, least, most in zip(optimizer.param_groups, lows, highs, strict=True):
            if fresh:
                group["max_momentum"], group["base_momentum"] = most, least
                self._set_momentum(group, most)

    def _set_momentum(self, group: dict[str, Any], value: Real) -> None:
        if self.use_beta1:
            group["betas"] = (value, *group["betas"][1:])
        else:
            group["momentum"] = value

    def get_lr(self) -> list[Any]:
        """Return the learning rate of each group, and set its momentum."""
        t = self.last_epoch
        if t > self.total_steps:
            raise ValueError(
                f"OneCycleLR: step {t} of {self.total_steps}; the cycle is over: make one with "
                "more steps."
            )
        begin = 0.0
        for phase in self._schedule_phases[:-1]:
            if t <= phase["end_step"]:
                break
            begin = phase["end_step"]
        else:
            phase = self._schedule_phases[-1]
        part = (t - begin) / (phase["end_step"] - begin)
        move = cosine if self._anneal_func_type == "cos" else line  # eq. sch-phase
        groups = self.optimizer.param_groups
        for group in groups if self.cycle_momentum else ():
            ends = group[phase["start_momentum"]], group[phase["end_momentum"]]
            self._set_momentum(group, move(*ends, part))
        return [move(g[phase["start_lr"]], g[phase["end_lr"]], part) for g in groups]


class WarmupCosineLR(_Schedule):
    r"""Warm up on a straight line, then fall along a cosine, and stay at the least rate.

    .. math:: \eta_t = \eta_0 \big(a + (1 - a)\, t / w\big) \text{ for } t < w, \qquad
        \eta_{\min} + \tfrac12 (\eta_0 - \eta_{\min})
        \Big(1 + \cos \pi \frac{\min(t, T) - w}{T - w}\Big) \text{ after}

    Up to step T it is what torch makes of ``LinearLR`` and ``CosineAnnealingLR`` in a
    ``SequentialLR``.

    Args:
        optimizer: whose learning rates are set.
        warmup_steps: w; 0 means no warmup.
        total_steps: T, more than w.
        start_factor: a, in (0, 1].
        eta_min: the least rate.
        last_epoch: the number of steps taken before, or -1.

    Raises:
        ValueError: if T is not more than w, or a is out of its range.

    Examples:
        >>> import torch
        >>> sgd = torch.optim.SGD([torch.zeros(1)], lr=8.0)
        >>> [round(r, 3) for r in rates_of(WarmupCosineLR(sgd, 2, 4, 0.5), 6)]
        [4.0, 6.0, 8.0, 4.0, 0.0, 0.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        warmup_steps: int,
        total_steps: int,
        start_factor: Real = 0.01,
        eta_min: Real = 0.0,
        last_epoch: int = -1,
    ) -> None:
        who = "WarmupCosineLR"
        self.warmup_steps = check_count(who, "warmup_steps", warmup_steps, least=0)
        self.total_steps = check_count(who, "total_steps", total_steps, least=warmup_steps + 1)
        check_range(who, "start_factor", float(start_factor), 0.0, 1.0, ends="(]")
        self.start_factor, self.eta_min = start_factor, eta_min
        super().__init__(optimizer, last_epoch)

    def rate(self, base: Real, t: int) -> Real:
        """Return the rate after t steps."""
        w, end = self.warmup_steps, self.total_steps
        if t < w:
            return base * line(self.start_factor, 1.0, t / w)  # eq. sch-warmup
        return cosine(base, self.eta_min, (min(t, end) - w) / (end - w))  # eq. sch-cosine


def cosine(start: Real, end: Real, part: Real) -> Real:
    """Return the value that lies a part of the way from start to end along half a cosine.

    Examples:
        >>> cosine(4.0, 2.0, 0.5)
        3.0
    """
    return end + (start - end) * (1 + math.cos(math.pi * part)) / 2


def line(start: Real, end: Real, part: Real) -> Real:
    """Return the value that lies a part of the way from start to end on a straight line.

    Examples:
        >>> line(4.0, 2.0, 0.25)
        3.5
    """
    return start + (end - start) * part


def rates_of(schedule: LRScheduler, steps: int) -> list[Real]:
    """Step a schedule and its optimizer, and return the learning rate of each step.

    Args:
        schedule: a new schedule; its optimizer makes real steps.
        steps: the number of steps.

    Returns:
        The learning rates of the first group, one for each step.

    Examples:
        >>> import torch
        >>> rates_of(ExponentialLR(torch.optim.SGD([torch.zeros(1)], lr=1.0), 2.0), 3)
        [1.0, 2.0, 4.0]
    """
    rates = []
    for at in range(steps):
        rates.append(float(schedule.optimizer.param_groups[0]["lr"]))
        schedule.optimizer.step()
        if at < steps - 1:
            schedule.step()
    return rates


def _phases(share: Real, steps: int, three: bool) -> list[dict[str, Any]]:
    """Return where each phase of the cycle ends, and between which ends it moves."""

    def phase(end: Real, first: str, last: str, high: str, low: str) -> dict[str, Any]:
        return {
            "end_step": end,
            "start_lr": first,
            "end_lr": last,
            "start_momentum": high,
            "end_momentum": low,
        }

    up = phase(float(share * steps) - 1, "initial_lr", "max_lr", "max_momentum", "base_momentum")
    if not three:
        return [up, phase(steps - 1, "max_lr", "min_lr", "base_momentum", "max_momentum")]
    return [
        up,
        phase(
            float(2 * share * steps) - 2, "max_lr", "initial_lr", "base_momentum", "max_momentum"
        ),
        phase(steps - 1, "initial_lr", "min_lr", "max_momentum", "max_momentum"),
    ]


def _per_group(name: str, optimizer: Optimizer, value: Real | Sequence[Real]) -> list[Real]:
    count = len(optimizer.param_groups)
    values: list[Any] = list(value) if isinstance(value, list | tuple) else [value] * count
    if len(values) != count:
        raise ValueError(
            f"OneCycleLR: {name} has {len(values)} values for {count} groups of parameters; give "
            "one for each, or one number."
        )
    return values
