"""One clear training loop, and the helpers around it.

Read `fit` first, then `train_epoch`: the two are the whole loop.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from nnbook._check.values import check_choice, check_count
from nnbook._checkpoint import Run, save_checkpoint
from nnbook._evaluation import (
    Measure,
    accuracy,
    check_scalar,
    confusion_matrix,
    evaluate,
    mode,
    outputs,
    predict,
    weighted_mean,
)
from nnbook._history import Best, EarlyStopping, History
from nnbook._progress import progress_bar
from nnbook._tensors import Data, as_tensors

__all__ = [
    "Best",
    "EarlyStopping",
    "History",
    "accuracy",
    "confusion_matrix",
    "evaluate",
    "fit",
    "outputs",
    "predict",
    "seed_everything",
    "train_epoch",
]

Metrics = Mapping[str, Measure]
"""What to measure beside the loss, by name."""
Callback = Callable[[int, nn.Module, History], None]
"""``callback(epoch, model, history)``, called after each epoch."""


def fit(
    model: nn.Module,
    train: Data,
    *,
    loss: Measure,
    optimizer: torch.optim.Optimizer,
    epochs: int,
    batch_size: int,
    seed: int,
    val: Data | None = None,
    metrics: Metrics | None = None,
    device: torch.device | str | None = None,
    scheduler: LRScheduler | None = None,
    early_stopping: EarlyStopping | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    progress: bool | Literal["auto"] = "auto",
    callbacks: Sequence[Callback] = (),
) -> History:
    """Train a model; for each batch of each epoch: forward, loss, backward, step.

    Args:
        model: the model; it is trained in place, and each module's train/eval mode is put back.
        train: inputs and targets, tensors or NumPy arrays. Floats must have the dtype of the model,
            class numbers must be int64.
        loss: ``loss(output, target)``, the mean over the batch, such as ``nn.CrossEntropyLoss()``.
        optimizer: over the parameters of the model.
        epochs: how often to go through the training data, the epochs before a resume included.
        batch_size: the number of samples of a batch; the last batch of an epoch may be smaller.
        seed: of the shuffling, which has a generator of its own. Initial values and dropout take
            torch's global generator: see `seed_everything`.
        val: validation data, measured after each epoch.
        metrics: names and functions of what to measure beside the loss, on the training data and
            on the validation data, such as ``{"accuracy": accuracy}``.
        device: where to train; None means where the model is. Model and data are moved there.
        scheduler: of the learning rate, stepped once after each epoch; a ``ReduceLROnPlateau``
            gets the monitored number.
        early_stopping: when to stop before the last epoch.
        checkpoint: a file that receives the state of the run after each epoch.
        resume: go on from that file, bit for bit as if the run had not stopped; where there is no
            such file, start.
        progress: whether to show a bar; ``"auto"`` means only on a terminal.
        callbacks: called as ``callback(epoch, model, history)`` after each epoch.

    Returns:
        The `History`: one list per column, one number per epoch, and which epoch was best.

    Raises:
        ValueError: if the data are empty or of different lengths, a number is out of range, the
            optimizer belongs to another model, or the checkpoint cannot be used.
        TypeError: if the data have another dtype than the model takes.
        FloatingPointError: if the loss is not finite. On the CPU the weights are still those from
            before the bad batch; on a GPU it is noticed at the end of the epoch only, because
            asking after each batch would make the GPU wait.

    Examples:
        >>> import torch
        >>> from nnbook.training import fit, seed_everything
        >>> seed_everything(0)
        >>> x = torch.randn(64, 3)
        >>> model = torch.nn.Linear(3, 1)
        >>> history = fit(
        ...     model, (x, x @ torch.tensor([[1.0], [2.0], [3.0]])), loss=torch.nn.MSELoss(),
        ...     optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        ...     epochs=20, batch_size=16, seed=0)
        >>> history.best.epoch, [round(w, 2) for w in model.weight[0].tolist()]
        (20, [1.0, 2.0, 3.0])
    """
    _check_settings(model, optimizer, epochs, batch_size)
    if device is not None:
        model.to(device)
    x, y = as_tensors("fit", "train", train, model)
    held_out = None if val is None else as_tensors("fit", "val", val, model)
    columns = _columns(has_val=held_out is not None, metrics=metrics or {})
    history = _empty_history(early_stopping, columns)
    run = Run(
        model,
        optimizer,
        scheduler,
        history,
        shuffle=torch.Generator().manual_seed(seed),
        keep_best=early_stopping is not None and early_stopping.restore_best,
        settings={"seed": seed, "batch_size": batch_size, "samples": len(x), "columns": columns},
    )
    if resume and _path(checkpoint).exists():
        run.load(_path(checkpoint))

    with mode(model, training=True), progress_bar(progress, total=epochs) as bar:
        bar.update(len(history.epochs))
        for epoch in range(len(history.epochs) + 1, epochs + 1):
            if early_stopping and early_stopping.is_due(history.get(history.monitor, [])):
                break
            batches = torch.randperm(len(x), generator=run.shuffle).to(x.device).split(batch_size)
            row = {"lr": float(optimizer.param_groups[0]["lr"])}
            row["loss"] = train_epoch(model, (x, y), batches, loss, optimizer, epoch)
            row |= _after_epoch(model, (x, y), held_out, loss, metrics)
            history.append(row)
            run.end_epoch()
            if checkpoint is not None:
                save_checkpoint(_path(checkpoint), run.state())
            for callback in callbacks:
                callback(epoch, model, history)
            bar.update()
            bar.set_postfix(loss=row["loss"])
    if run.best is not None:
        model.load_state_dict(run.best)
    return history


def train_epoch(
    model: nn.Module,
    data: tuple[Tensor, Tensor],
    batches: Sequence[Tensor],
    loss: Measure,
    optimizer: torch.optim.Optimizer,
    epoch: int = 1,
) -> float:
    """Go once through the batches and change the weights after each.

    Args:
        model: the model; it is set to train mode.
        data: inputs and targets, on the device of the model.
        batches: the positions of the samples of each batch.
        loss: the mean loss of a batch.
        optimizer: over the parameters of the model.
        epoch: the number of the epoch, for the error message.

    Returns:
        The mean loss over all samples, each taken when its batch was trained.

    Raises:
        FloatingPointError: if the loss is not finite.
        ValueError: if the loss is not a single number.
    """
    x, y = data
    model.train()
    losses: list[Tensor] = []
    for rows in batches:
        optimizer.zero_grad()
        value = loss(model(x[rows]), y[rows])
        losses.append(check_scalar("fit", "the loss", value).detach())
        if x.device.type == "cpu":  # elsewhere the host would have to wait for the device
            _check_finite(losses[-1:], epoch, first=len(losses), of=len(batches))
        value.backward()
        optimizer.step()
    _check_finite(losses, epoch, first=1, of=len(batches))
    return weighted_mean(losses, [len(rows) for rows in batches])


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python and torch (the CPU's and those of all GPUs).

    NumPy's global generator is left alone: nnbook uses generators of its own there.

    Args:
        seed: a whole number >= 0.

    Raises:
        ValueError: if the seed is negative.
    """
    check_count("seed_everything", "seed", seed, least=0)
    random.seed(seed)
    torch.manual_seed(seed)


def _after_epoch(
    model: nn.Module, train: Data, val: Data | None, loss: Measure, metrics: Metrics | None
) -> dict[str, float]:
    row = evaluate(model, train, metrics=metrics) if metrics else {}
    if val is None:
        return row
    measured = evaluate(model, val, loss=loss, metrics=metrics)
    return row | {f"val_{name}": value for name, value in measured.items()}


def _check_settings(
    model: nn.Module, optimizer: torch.optim.Optimizer, epochs: int, batch_size: int
) -> None:
    check_count("fit", "epochs", epochs, least=0)
    check_count("fit", "batch_size", batch_size)
    own = {id(parameter) for parameter in model.parameters()}
    if not any(id(p) in own for group in optimizer.param_groups for p in group["params"]):
        raise ValueError(
            f"fit: the {type(optimizer).__name__} holds no parameter of this model, so nothing "
            "would be learned; make it from model.parameters()."
        )


def _columns(has_val: bool, metrics: Metrics) -> list[str]:
    names = ["loss", *metrics]
    return ["lr", *names, *(f"val_{name}" for name in names if has_val)]


def _empty_history(early_stopping: EarlyStopping | None, columns: list[str]) -> History:
    monitor = "val_loss" if "val_loss" in columns else "loss"
    if early_stopping is None:
        return History(monitor)
    monitor = early_stopping.monitor or monitor
    check_choice("fit", "monitor", monitor, columns)
    return History(monitor, early_stopping.mode)


def _path(checkpoint: str | Path | None) -> Path:
    if checkpoint is None:
        raise ValueError("fit: resume=True without a checkpoint; name the file to go on from.")
    return Path(checkpoint)


def _check_finite(losses: Sequence[Tensor], epoch: int, first: int, of: int) -> None:
    values = torch.stack(list(losses)).tolist()
    bad = [at for at, value in enumerate(values) if not math.isfinite(value)]
    if bad:
        raise FloatingPointError(
            f"fit: the loss of epoch {epoch}, batch {first + bad[0]} of {of} is {values[bad[0]]}; "
            "wanted a finite number. Lower the learning rate, look for NaN or huge numbers in the "
            "data, and check that the loss takes what the model gives (logits or probabilities)."
        )
