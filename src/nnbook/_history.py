"""What a training run measured, which epoch was best, and when to stop."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

from nnbook._check.values import check_choice, check_count, check_range

Mode = Literal["min", "max"]


@dataclass(frozen=True)
class EarlyStopping:
    """When to stop before the last epoch.

    Args:
        patience: stop after this many epochs in a row without progress.
        min_delta: only a value that is better by more than this counts as progress.
        monitor: the column of the history to watch; None means ``val_loss`` where there are
            validation data, else ``loss``.
        mode: whether the smallest or the largest value is best.
        restore_best: at the end, give the model the weights of the best epoch.

    Raises:
        ValueError: if patience < 1, min_delta < 0 or mode is not known.
    """

    patience: int
    min_delta: float = 0.0
    monitor: str | None = None
    mode: Mode = "min"
    restore_best: bool = True

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        check_count("EarlyStopping", "patience", self.patience)
        check_range("EarlyStopping", "min_delta", self.min_delta, 0.0)
        check_choice("EarlyStopping", "mode", self.mode, ("min", "max"))

    def is_due(self, values: list[float]) -> bool:
        """Return whether the last ``patience`` values brought no progress."""
        reference, waited = math.inf, 0
        for value in values:
            value = value if self.mode == "min" else -value
            if value < reference - self.min_delta:  # never true for NaN
                reference, waited = value, 0
            else:
                waited += 1
        return waited >= self.patience


class Best(NamedTuple):
    """The best epoch of a history."""

    epoch: int
    """Its number, from 1."""
    monitor: str
    """The column by which it is best."""
    value: float
    """The value in that column."""


class History(dict[str, list[float]]):
    """What `nnbook.training.fit` measured: one list per column, one number per epoch.

    The columns: ``loss``, the mean of the training loss while the epoch ran (in train mode, while
    the weights were changing); each metric on the training data after the epoch (in eval mode);
    ``val_loss`` and ``val_<metric>`` where there are validation data (in eval mode); ``lr``, the
    learning rate that the epoch used.

    Args:
        monitor: the column that says which epoch is best.
        mode: whether its smallest or its largest value is best.

    Examples:
        >>> from nnbook.training import History
        >>> history = History("loss")
        >>> for loss in (0.9, 0.4, 0.5):
        ...     history.append({"loss": loss})
        >>> history.epochs, history["loss"], history.best
        ([1, 2, 3], [0.9, 0.4, 0.5], Best(epoch=2, monitor='loss', value=0.4))
    """

    def __init__(self, monitor: str, mode: Mode = "min") -> None:
        """Start an empty history."""
        super().__init__()
        self.monitor, self.mode = monitor, mode

    @property
    def epochs(self) -> list[int]:
        """The numbers of the epochs: 1, 2, ..."""
        return list(range(1, max((len(column) for column in self.values()), default=0) + 1))

    @property
    def best(self) -> Best:
        """The epoch with the best value of the monitored column; the first of equals."""
        sign = 1.0 if self.mode == "min" else -1.0
        column = self.get(self.monitor, [])
        ranked = [(sign * value, at) for at, value in enumerate(column) if not math.isnan(value)]
        if not ranked:
            raise ValueError(
                f"History: the column {self.monitor!r} has no number yet, so no epoch is the best; "
                f"train at least one epoch, and monitor one of {sorted(self)}."
            )
        at = min(ranked)[1]
        return Best(at + 1, self.monitor, column[at])

    def is_best_now(self) -> bool:
        """Return whether the last epoch is the best one."""
        column = self[self.monitor]
        return not math.isnan(column[-1]) and self.best.epoch == len(column)

    def append(self, row: dict[str, float]) -> None:
        """Add the numbers of one epoch."""
        for name, value in row.items():
            self.setdefault(name, []).append(value)
