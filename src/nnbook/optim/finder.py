"""The learning-rate range test: raise the rate at every step and watch the loss."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nnbook._check.values import check_count, check_range
from nnbook._tensors import Data, as_tensors
from nnbook.optim._base import Real


@dataclass(frozen=True)
class RangeTest:
    """What the test saw: one entry for each step that was taken.

    Attributes:
        rates: the learning rates.
        losses: the loss of each batch, before the step.
        smoothed: a running mean of them, corrected for its start at 0.
        diverged: the rate at which the test stopped because of the loss, or None.
    """

    rates: list[float]
    losses: list[float]
    smoothed: list[float]
    diverged: float | None

    @property
    def steepest(self) -> float:
        """The rate at which the smoothed loss fell most from one step to the next.

        Raises:
            ValueError: if the test stopped at its first step.
        """
        if len(self.rates) < 2:
            raise ValueError(
                f"RangeTest: it stopped at its first step with the loss {self.losses}, so that "
                "nothing fell; look for a loss that is not finite."
            )
        falls = [b - a for a, b in zip(self.smoothed, self.smoothed[1:], strict=False)]
        return self.rates[min(range(len(falls)), key=falls.__getitem__)]


def lr_find(
    model: nn.Module,
    train: Data,
    *,
    loss: Callable[[Tensor, Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    batch_size: int,
    seed: int,
    low: Real = 1e-6,
    high: Real = 10.0,
    steps: int = 100,
    smoothing: Real = 0.9,
    stop: Real = 4.0,
) -> RangeTest:
    r"""Train with a rate that grows by the same factor at every step, and put everything back.

    .. math:: \eta_t = \eta_{\text{low}} (\eta_{\text{high}} / \eta_{\text{low}})^{t / (n - 1)}

    The model, the optimizer, the gradients and torch's random numbers are afterwards as they were.

    Args:
        model: the model; it is trained in train mode.
        train: inputs and targets; they are shuffled, and anew when all have been used.
        loss: ``loss(output, target)``, the mean over the batch.
        optimizer: over the parameters of the model.
        batch_size: the number of samples of a batch.
        seed: of the shuffling.
        low, high: the first and the last rate.
        steps: n, the number of steps.
        smoothing: the share of the running mean of the losses that is kept.
        stop: the test ends when the smoothed loss is this many times its least value so far, or is
            not finite.

    Returns:
        Rates and losses, see `RangeTest`.

    Raises:
        ValueError: if a number is out of its range.

    Source:
        Smith (2017), "Cyclical learning rates for training neural networks", arXiv:1506.01186,
        where the rate grows on a straight line; growing by a factor is the form of the library
        fastai.

    Examples:
        >>> model = torch.nn.Linear(1, 1)
        >>> x = torch.linspace(-1, 1, 8)[:, None]
        >>> sgd = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> test = lr_find(model, (x, 3 * x), loss=torch.nn.MSELoss(), optimizer=sgd,
        ...                batch_size=8, seed=0, low=0.01, high=100.0, steps=40)
        >>> 1 < test.diverged < 100, sgd.param_groups[0]["lr"]
        (True, 0.1)
    """
    check_range("lr_find", "low", float(low), 0.0, ends="()")
    check_range("lr_find", "high", float(high), low, ends="()")
    check_range("lr_find", "smoothing", float(smoothing), 0.0, 1.0)
    check_range("lr_find", "stop", float(stop), 1.0, ends="()")
    check_count("lr_find", "steps", steps, least=2)
    check_count("lr_find", "batch_size", batch_size)
    x, y = as_tensors("lr_find", "train", train, model)
    before = copy.deepcopy(model.state_dict()), copy.deepcopy(optimizer.state_dict())
    grads = [p.grad for p in model.parameters()]
    modes = [module.training for module in model.modules()]
    try:
        with torch.random.fork_rng():
            rates = [low * (high / low) ** (t / (steps - 1)) for t in range(steps)]  # eq. sch-sweep
            shuffle = torch.Generator().manual_seed(seed)
            return _sweep(
                model.train(),
                (x, y),
                loss,
                optimizer,
                rates,
                shuffle,
                (batch_size, smoothing, stop),
            )
    finally:
        model.load_state_dict(before[0])
        optimizer.load_state_dict(before[1])
        for p, g in zip(model.parameters(), grads, strict=True):
            p.grad = g
        for module, training in zip(model.modules(), modes, strict=True):
            module.training = training


def _sweep(
    model: nn.Module,
    data: tuple[Tensor, Tensor],
    loss: Callable[[Tensor, Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    rates: list[float],
    shuffle: torch.Generator,
    settings: tuple[int, Real, Real],
) -> RangeTest:
    (x, y), (batch_size, keep, stop) = data, settings
    batches: list[Tensor] = []
    losses: list[float] = []
    smoothed: list[float] = []
    mean = 0.0
    for t, rate in enumerate(rates, 1):
        batches = batches or list(torch.randperm(len(x), generator=shuffle).split(batch_size))
        rows = batches.pop(0).to(x.device)
        for group in optimizer.param_groups:
            group["lr"] = rate
        for p in model.parameters():
            p.grad = None
        value = loss(model(x[rows]), y[rows])
        losses.append(value.item())
        mean = keep * mean + (1 - keep) * losses[-1]
        smoothed.append(mean / (1 - keep**t))
        if not math.isfinite(smoothed[-1]) or smoothed[-1] > stop * min(smoothed):
            return RangeTest(rates[:t], losses, smoothed, rate)
        value.backward()
        optimizer.step()
    return RangeTest(rates, losses, smoothed, None)
