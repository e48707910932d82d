"""Batch normalization in use: running statistics, the affine map they make, and folding it."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from nnbook._check.normalization import check_values
from nnbook._check.shapes import check_channels, check_same_shape
from nnbook._check.values import check_count, check_floating, check_range

Array = Float[np.ndarray, "..."]
Batch = Float[np.ndarray, "n c *s"]
Channels = Float[np.ndarray, " c"]
PerChannel = Channels | None
Weight = Float[np.ndarray, "c *k"]


def running_update(
    mean: Channels, var: Channels, x: Batch, momentum: float | None = 0.1, seen: int = 0
) -> tuple[Channels, Channels]:
    r"""Move running statistics towards those of a batch.

    .. math:: r \leftarrow (1 - \alpha)\, r + \alpha\, s

    Here s is the mean of each channel, or its variance divided by one less than the number of
    values: what normalizes the batch is the biased variance, what is kept is the unbiased one.

    Args:
        mean: the running mean so far, shape (c,).
        var: the running variance so far, shape (c,).
        x: a batch of shape ``(n, c, *s)`` with at least two values per channel.
        momentum: alpha, the weight of the new batch; None means ``1 / (seen + 1)``, which makes
            the running statistics plain means over all batches.
        seen: how many batches came before; only looked at when momentum is None.

    Returns:
        The new running mean and variance, of the dtypes of the old ones.

    Raises:
        ValueError: if mean or var does not fit axis 1 of x, if a channel holds fewer than two
            values, if momentum lies outside [0, 1], or if seen is negative.
        TypeError: if x holds no floating point numbers.

    Examples:
        >>> x = np.array([[1.0], [3.0]])
        >>> running_update(np.zeros(1), np.ones(1), x, momentum=0.5)
        (array([1.]), array([1.5]))
    """
    who = "running_update"
    _check(who, x, mean=mean, var=var)
    check_values(who, "x", x.shape, least=2)
    alpha = 1 / (check_count(who, "seen", seen, 0) + 1) if momentum is None else momentum
    check_range(who, "momentum", alpha, 0.0, 1.0, ends="[]")
    wide = x.astype(np.promote_types(x.dtype, np.float32), copy=False)
    axes = (0, *range(2, x.ndim))
    batch_mean = wide.mean(axis=axes)  # c
    batch_var = wide.var(axis=axes, ddof=1)  # c, eq. rs-kept
    new_mean = (1 - alpha) * mean + alpha * batch_mean  # c, eq. rs-update
    new_var = (1 - alpha) * var + alpha * batch_var  # c, eq. rs-update
    return new_mean.astype(mean.dtype), new_var.astype(var.dtype)


def _check(who: str, x: Batch, **vectors: PerChannel) -> None:
    check_floating(who, "x", x.dtype, np.issubdtype(x.dtype, np.floating))
    check_channels(who, "x", x.shape)
    for name, value in vectors.items():
        if value is not None:
            check_same_shape(who, name, value.shape, x.shape[1:2])


def batch_norm_eval(
    x: Batch,
    mean: Channels,
    var: Channels,
    gamma: PerChannel = None,
    beta: PerChannel = None,
    *,
    eps: float = 1e-5,
) -> Batch:
    r"""Normalize each channel with given statistics, then scale and shift.

    .. math:: y = \beta + \gamma \odot (x - \mu) / \sqrt{\sigma^2 + \varepsilon}

    With the statistics given, this is an affine map of each value; samples are not mixed.

    Args:
        x: a batch of shape ``(n, c, *s)``; it may be empty.
        mean: mean of each channel, shape (c,).
        var: variance of each channel, shape (c,).
        gamma: scale of each channel; None means 1.
        beta: shift of each channel; None means 0.
        eps: added to the variance.

    Returns:
        An array of the shape and dtype of x.

    Raises:
        ValueError: if a vector does not fit axis 1 of x, or eps is negative.
        TypeError: if x holds no floating point numbers.

    Source:
        Ioffe and Szegedy (2015), "Batch Normalization", arXiv:1502.03167.

    Examples:
        >>> batch_norm_eval(np.array([[5.0]]), np.array([1.0]), np.array([4.0]), eps=0.0)
        array([[2.]])
    """
    who = "batch_norm_eval"
    _check(who, x, mean=mean, var=var, gamma=gamma, beta=beta)
    scale = _scale(who, var, gamma, eps)
    wide = x.astype(np.promote_types(x.dtype, np.float32), copy=False)
    y = _per(scale, x) * (wide - _per(mean, x))  # n c *s, eq. rs-use
    return (y if beta is None else _per(beta, x) + y).astype(x.dtype)


def batch_norm_eval_vjp(
    v: Batch,
    x: Batch,
    mean: Channels,
    var: Channels,
    gamma: PerChannel = None,
    beta: PerChannel = None,
    *,
    eps: float = 1e-5,
) -> tuple[Batch, PerChannel, PerChannel]:
    r"""Return the gradients of :math:`\langle v, \mathrm{batch\_norm\_eval}(x)\rangle`.

    Args:
        v: the gradient at the output, of the shape of x.
        x: the input.
        mean: as in `batch_norm_eval`.
        var: as in `batch_norm_eval`.
        gamma: as in `batch_norm_eval`.
        beta: as in `batch_norm_eval`; only its shape matters.
        eps: as in `batch_norm_eval`.

    Returns:
        The gradients at x, gamma and beta; None for a gamma or beta that is None. Mean and
        variance are constants here.

    Raises:
        ValueError: as `batch_norm_eval`, and if v and x differ in shape.
        TypeError: if x holds no floating point numbers.

    Examples:
        >>> one = np.ones(1)
        >>> v, x = np.array([[1.0]]), np.array([[5.0]])
        >>> batch_norm_eval_vjp(v, x, one, 4 * one, 3 * one, 0 * one, eps=0.0)
        (array([[1.5]]), array([2.]), array([1.]))
    """
    who = "batch_norm_eval_vjp"
    check_same_shape(who, "v", v.shape, x.shape)
    _check(who, x, mean=mean, var=var, gamma=gamma, beta=beta)
    axes = (0, *range(2, x.ndim))
    wide, v = (a.astype(np.promote_types(a.dtype, np.float32), copy=False) for a in (x, v))
    u = (wide - _per(mean, x)) * _per(_scale(who, var, None, eps), x)  # n c *s
    return (
        (_per(_scale(who, var, gamma, eps), x) * v).astype(x.dtype),  # n c *s, eq. rs-use-vjp
        None if gamma is None else (v * u).sum(axes).astype(gamma.dtype),
        None if beta is None else v.sum(axes).astype(beta.dtype),
    )


def _scale(who: str, var: Channels, gamma: PerChannel, eps: float) -> Channels:
    """Return gamma over the standard deviation, in at least float32."""
    check_range(who, "eps", eps, 0.0)
    wide = var.astype(np.promote_types(var.dtype, np.float32), copy=False)
    sigma = np.sqrt(wide + np.asarray(eps, wide.dtype))  # c
    return 1 / sigma if gamma is None else gamma / sigma


def _per(values: Array, x: Array) -> Array:
    """Give one number per channel the axes of x."""
    return values.reshape(-1, *(1,) * (x.ndim - 2))


def fold_batch_norm(
    W: Weight,
    b: PerChannel,
    mean: Channels,
    var: Channels,
    gamma: PerChannel = None,
    beta: PerChannel = None,
    *,
    eps: float = 1e-5,
) -> tuple[Weight, Channels]:
    r"""Return the weight and bias of an affine map or convolution with its norm folded in.

    .. math:: W' = \operatorname{diag}(d)\, W, \quad b' = \beta + d \odot (b - \mu),
        \quad d = \gamma / \sqrt{\sigma^2 + \varepsilon}

    Args:
        W: weight of shape ``(c, *k)``: (c, inputs) of an affine map, and
            ``(c, inputs / groups, *kernel)`` of a convolution with any number of groups.
        b: bias of shape (c,); None means 0.
        mean: running mean of the batch normalization that follows, shape (c,).
        var: its running variance.
        gamma: its scale; None means 1.
        beta: its shift; None means 0.
        eps: its eps.

    Returns:
        The new weight and bias, of the dtype of W.

    Raises:
        ValueError: if a vector does not have one number per row of W, or eps is negative.
        TypeError: if W holds no floating point numbers.

    Examples:
        >>> W, b = np.array([[1.0, 2.0]]), None
        >>> fold_batch_norm(W, b, np.array([1.0]), np.array([4.0]), eps=0.0)
        (array([[0.5, 1. ]]), array([-0.5]))
    """
    who = "fold_batch_norm"
    check_floating(who, "W", W.dtype, np.issubdtype(W.dtype, np.floating))
    vectors = {"b": b, "mean": mean, "var": var, "gamma": gamma, "beta": beta}
    for name, value in vectors.items():
        if value is not None:
            check_same_shape(who, name, value.shape, W.shape[:1])
    d = _scale(who, var, gamma, eps)  # c, eq. rs-fold-scale
    shift = d * ((0 if b is None else b) - mean)  # c
    folded = d.reshape(-1, *(1,) * (W.ndim - 1)) * W  # c *k, eq. rs-folded
    bias = shift if beta is None else beta + shift  # c, eq. rs-folded
    return folded.astype(W.dtype), bias.astype(W.dtype)
