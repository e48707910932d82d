"""Measure a model on data without changing it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from nnbook._check.values import check_count, check_same_length
from nnbook._tensors import ArrayLike, Data, as_tensor, as_tensors, home

Measure = Callable[[Tensor, Tensor], Tensor]
"""``measure(output, target)``: the mean over a batch, as a tensor with one number."""


def evaluate(
    model: nn.Module,
    data: Data,
    *,
    loss: Measure | None = None,
    metrics: Mapping[str, Measure] | None = None,
    batch_size: int = 1024,
) -> dict[str, float]:
    """Return the mean loss and the mean metrics over all samples.

    The model runs in eval mode and without gradients; each module's mode is put back. Every batch
    counts by its number of samples, so the result does not depend on ``batch_size`` (but for
    rounding).

    Args:
        model: the model; the data are moved to where it is.
        data: inputs and targets, tensors or NumPy arrays.
        loss: the mean loss of a batch, such as ``nn.CrossEntropyLoss()``; reported as ``loss``.
        metrics: names and functions of what else to measure. A function gives the mean over a
            batch of something that each sample has.
        batch_size: how many samples go through the model at once.

    Returns:
        The numbers by name.

    Raises:
        ValueError: if there is nothing to measure or no data, or a function gives no single number.
        TypeError: if the data have another dtype than the model takes.
    """
    check_count("evaluate", "batch_size", batch_size)
    measures = ({"loss": loss} if loss else {}) | dict(metrics or {})
    if not measures:
        raise ValueError("evaluate: neither loss nor metrics is given; give at least one of them.")
    x, y = as_tensors("evaluate", "data", data, model)
    values: dict[str, list[Tensor]] = {name: [] for name in measures}
    sizes = []
    with mode(model, training=False), torch.no_grad():
        for x_batch, y_batch in zip(x.split(batch_size), y.split(batch_size), strict=True):
            output = model(x_batch)
            sizes.append(len(x_batch))
            for name, measure in measures.items():
                values[name].append(check_scalar("evaluate", name, measure(output, y_batch)))
    return {name: weighted_mean(column, sizes) for name, column in values.items()}


def outputs(model: nn.Module, x: ArrayLike, *, batch_size: int = 1024) -> Tensor:
    """Return ``model(x)`` on the CPU, in eval mode and without gradients.

    Args:
        model: the model; each module's mode is put back.
        x: the inputs, a tensor or an array; floats are cast to the dtype of the model.
        batch_size: how many samples go through the model at once.

    Returns:
        The outputs of all samples.

    Raises:
        ValueError: if x has no samples.
    """
    check_count("outputs", "batch_size", batch_size)
    device, dtype = home(model)
    x = as_tensor(x)
    x = x.to(device, dtype if x.is_floating_point() else x.dtype)
    if x.ndim == 0 or len(x) == 0:
        raise ValueError("outputs: x has no samples; give at least one, along the first axis.")
    with mode(model, training=False), torch.no_grad():
        return torch.cat([model(batch).cpu() for batch in x.split(batch_size)])


def predict(model: nn.Module, x: ArrayLike, *, batch_size: int = 1024) -> np.ndarray:
    """Return the class with the largest output, for each sample.

    Args:
        model: the model, with outputs of shape (n, classes).
        x: the inputs, a tensor or an array; floats are cast to the dtype of the model.
        batch_size: how many samples go through the model at once.

    Returns:
        The class numbers, int64 of shape (n,).

    Raises:
        ValueError: if the outputs do not have the shape (n, classes).
    """
    scores = outputs(model, x, batch_size=batch_size)
    if scores.ndim != 2:
        raise ValueError(
            f"predict: the outputs have shape {tuple(scores.shape)}; "
            "wanted (n, classes), one score for each class."
        )
    return scores.argmax(dim=1).numpy()


def accuracy(output: Tensor, target: Tensor) -> Tensor:
    """Return the share of samples whose largest output is that of the target class.

    Args:
        output: scores of shape (n, classes).
        target: class numbers of shape (n,).

    Returns:
        A float32 tensor with one number in [0, 1].

    Raises:
        ValueError: if the shapes do not fit.

    Examples:
        >>> import torch
        >>> from nnbook.training import accuracy
        >>> accuracy(torch.tensor([[2.0, 1.0], [0.0, 3.0], [5.0, 4.0]]), torch.tensor([0, 1, 1]))
        tensor(0.6667)
    """
    if output.ndim != 2 or target.shape != output.shape[:1]:
        raise ValueError(
            f"accuracy: got output of shape {tuple(output.shape)} and target of shape "
            f"{tuple(target.shape)}; wanted (n, classes) and (n,)."
        )
    return (output.argmax(dim=1) == target).float().mean()


def confusion_matrix(y: ArrayLike, pred: ArrayLike, n: int) -> np.ndarray:
    """Count how often the true class i (row) was taken for class j (column).

    Args:
        y: the true classes, whole numbers of shape (samples,).
        pred: the predicted classes, of the same shape.
        n: the number of classes.

    Returns:
        The counts, int64 of shape (n, n).

    Raises:
        ValueError: if the lengths differ or a class is not in 0 ... n - 1.
        TypeError: if the classes are not whole numbers.

    Examples:
        >>> import numpy as np
        >>> from nnbook.training import confusion_matrix
        >>> confusion_matrix(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 1]), n=3)
        array([[1, 1, 0],
               [0, 1, 0],
               [0, 1, 0]])
    """
    check_count("confusion_matrix", "n", n)
    true, got = (np.asarray(part.cpu() if isinstance(part, Tensor) else part) for part in (y, pred))
    check_same_length("confusion_matrix", "y", true, "pred", got)
    for name, classes in (("y", true), ("pred", got)):
        if classes.ndim != 1 or not np.issubdtype(classes.dtype, np.integer):
            raise TypeError(
                f"confusion_matrix: {name} has dtype {classes.dtype} and shape {classes.shape}; "
                "give class numbers, whole numbers along one axis."
            )
        if classes.size and not (0 <= classes.min() and classes.max() < n):
            raise ValueError(
                f"confusion_matrix: {name} holds classes from {classes.min()} to {classes.max()}; "
                f"with n={n} they must lie in 0 ... {n - 1}."
            )
    cells = true.astype(np.int64) * n + got.astype(np.int64)
    return np.bincount(cells, minlength=n * n).reshape(n, n)


@contextmanager
def mode(model: nn.Module, *, training: bool) -> Iterator[None]:
    """Set the model to train or eval mode, and put back the mode of each of its modules."""
    found = {module: module.training for module in model.modules()}
    model.train(training)
    try:
        yield
    finally:
        for module, was_training in found.items():
            module.training = was_training


def weighted_mean(means: Sequence[Tensor], sizes: Sequence[int]) -> float:
    """Return the mean over all samples from the means over batches of these sizes."""
    values = torch.stack(list(means)).cpu().double()  # the only time that the host waits
    weights = torch.tensor(sizes, dtype=torch.float64)
    return float((values * weights).sum() / weights.sum())


def check_scalar(who: str, name: str, value: Tensor) -> Tensor:
    """Return the tensor; raise ValueError unless it holds a single number."""
    if not isinstance(value, Tensor) or value.ndim != 0:
        got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"{value!r}"
        raise ValueError(
            f"{who}: {name} gave {got}; wanted a tensor with one number, the mean over the batch "
            '(for the losses of torch: reduction="mean").'
        )
    return value
