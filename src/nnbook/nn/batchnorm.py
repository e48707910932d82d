"""Batch normalization with its own backward formula, a drop-in for torch's BatchNorm1d and 2d."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nnbook._check.normalization import check_values
from nnbook._check.shapes import check_axes, check_channels, check_same_shape
from nnbook._check.values import check_both_or_neither, check_count, check_floating, check_range

from ._precision import wide as _wide

Batch = Float[Tensor, "n c *s"]
Channels = Float[Tensor, " c"]
Maybe = Tensor | None


class _BatchNorm(torch.autograd.Function):
    """Normalize with the batch's own statistics; the channels are on the last axis here.

    For a small batch, 64 by 128 say, the forward pass takes about three times as long as torch's.
    That is not arithmetic: half of it is starting the dozen operations of the equations, the rest
    this class and the module around it. Of what was tried, sums for means, one product for the sum
    of squares (einsum, vecdot) and var_mean are no faster; no checks, all steps in one function and
    one output, that is no forward mode and no transforms, would still take more than twice as long.
    """

    @staticmethod
    def forward(x: Tensor, weight: Maybe, bias: Maybe, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        mu = _mean(x)  # c, eq. bn-mean
        centred = x - mu  # n *s c
        squares = _square_sum(centred)  # c, n times the variance, eq. bn-var
        scale = _rstd(squares, _count(x), eps)  # c, eq. bn-sigma
        if weight is not None:
            scale.mul_(weight)
        return _affine_(centred, scale, bias), mu, squares  # n *s c, eq. bn-full

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        x, weight, bias, ctx.eps = inputs
        _, mu, squares = output
        ctx.has_bias = bias is not None
        ctx.mark_non_differentiable(mu, squares)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, mu, squares, weight)
        ctx.save_for_forward(x, mu, squares, weight)

    @staticmethod
    def backward(ctx: Any, v: Maybe, *none: Maybe) -> tuple[Maybe, ...]:
        if v is None:
            return None, None, None, None
        x, mu, squares, weight = ctx.saved_tensors
        pull = _pull
        if torch.is_grad_enabled():  # a second derivative is wanted: show how u depends on x
            mu, pull = _mean(x), _pull_traced
            squares = _sum((x - mu).square())
        rstd = _rstd(squares, _count(x), ctx.eps)
        grad_x, grad_weight, grad_bias = pull(v, x - mu, rstd, weight)
        return grad_x, grad_weight, grad_bias if ctx.has_bias else None, None

    @staticmethod
    def jvp(ctx: Any, dx: Maybe, dweight: Maybe, dbias: Maybe, eps: Any) -> tuple[Any, ...]:
        """Push directions forward; the Jacobian of bn_s is symmetric, so `_jacobian` does both."""
        x, mu, squares, weight = ctx.saved_tensors
        rstd = _rstd(squares, _count(x), ctx.eps)
        u = (x - mu) * rstd
        du = torch.zeros_like(x) if dx is None else _jacobian(dx, u, rstd)
        dy = du if weight is None else du * weight
        dy = dy if dweight is None else dy + u * dweight
        return dy if dbias is None else dy + dbias, None, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> tuple[Any, Any]:
        """A stack of batches is one batch with more channels."""
        b = info.batch_size

        def merge(t: Maybe, dim: int | None) -> Maybe:
            if t is None:
                return None
            stacked = t.unsqueeze(-2) if dim is None else t.movedim(dim, -2)
            return stacked.expand(*stacked.shape[:-2], b, stacked.shape[-1]).flatten(-2)

        x, weight, bias = (merge(t, dim) for t, dim in zip(args[:3], in_dims[:3], strict=True))
        found = _BatchNorm.apply(x, weight, bias, args[3])  # type: ignore[no-untyped-call]
        outputs = tuple(t.unflatten(-1, (b, -1)) for t in found)
        return outputs, tuple(t.dim() - 2 for t in outputs)


def _apply(*args: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Call `_BatchNorm`; where no transform is at work, without torch's look at its signature."""
    if torch.compiler.is_compiling():
        return _steps(*args)  # a compiler fuses the steps and their derivatives by itself
    if torch._C._are_functorch_transforms_active():
        return _BatchNorm.apply(*args)  # type: ignore[no-untyped-call]
    return super(torch.autograd.Function, _BatchNorm).apply(*args)  # type: ignore[no-untyped-call]


def _steps(x: Tensor, weight: Maybe, bias: Maybe, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    mu = _mean(x)
    centred = x - mu
    squares = _sum(centred.square())
    scale = _rstd(squares, _count(x), eps)
    y = centred * (scale if weight is None else scale * weight)
    return y if bias is None else y + bias, mu.detach(), squares.detach()


def _axes(x: Tensor) -> tuple[int, ...]:
    return tuple(range(x.dim() - 1))


def _count(x: Tensor) -> int:
    """Return how many values a channel has, but at least 1."""
    return max(x.numel() // max(x.shape[-1], 1), 1)


def _mean(x: Tensor) -> Tensor:
    return x.mean(_axes(x))


def _sum(x: Tensor) -> Tensor:
    return x.sum(_axes(x))


def _square_sum(centred: Tensor) -> Tensor:
    """Return the sum of squares of each channel; no squares are stored if its numbers are close."""
    positions = math.prod(centred.shape[1:-1])
    if centred.is_contiguous() or not 1 < positions <= 2**16:  # more are too many for float32
        return _sum(centred.square())
    norms = torch.linalg.vector_norm(centred, dim=_axes(centred)[1:])  # n c
    return norms.square_().sum(0)


def _rstd(squares: Tensor, count: int, eps: float) -> Tensor:
    return torch.rsub(squares, eps, alpha=-1 / count).rsqrt_()  # c, of eps + squares / count


def _affine_(centred: Tensor, scale: Tensor, bias: Maybe) -> Tensor:
    if bias is None:
        return centred.mul_(scale)
    if centred.is_contiguous():
        return torch.addcmul(bias, centred, scale, out=centred)
    return centred.mul_(scale).add_(bias)  # two passes, each faster than half of the other


def _like(v: Tensor, x: Tensor) -> Tensor:
    """Return v in the memory format of x, so that the gradient has it, too."""
    if v.stride() == x.stride():
        return v
    return v.contiguous() if x.is_contiguous() else v.movedim(-1, 1).contiguous().movedim(1, -1)


def _jacobian(q: Tensor, u: Tensor, rstd: Tensor) -> Tensor:
    """Return the Jacobian of bn_s times q: in each channel, q less its parts along 1 and u."""
    return (q - _mean(q) - u * _mean(q * u)) * rstd  # n *s c, eq. bn-jacobian


def _pull_traced(
    v: Tensor, centred: Tensor, rstd: Tensor, weight: Maybe
) -> tuple[Tensor, Maybe, Tensor]:
    u = centred * rstd  # n *s c, eq. bn-s
    q = v if weight is None else v * weight  # n *s c, eq. bn-q
    grad_weight = None if weight is None else _sum(v * u)  # c, eq. bn-backward-affine
    return _jacobian(q, u, rstd), grad_weight, _sum(v)  # n *s c, eq. bn-backward-x


def _pull(v: Tensor, centred: Tensor, rstd: Tensor, weight: Maybe) -> tuple[Tensor, Maybe, Tensor]:
    """Do what `_pull_traced` does in fewer passes: the two sums serve twice, gamma comes last."""
    n, v = _count(centred), _like(v, centred)
    grad_bias = _sum(v)  # c
    grad_weight = _sum(v * centred).mul_(rstd)  # c
    grad_x = torch.sub(v, grad_bias, alpha=1 / n)  # n *s c
    grad_x.addcmul_(centred, grad_weight * rstd, value=-1 / n)
    grad_x.mul_(rstd if weight is None else rstd * weight)
    return grad_x, None if weight is None else grad_weight, grad_bias


def batch_norm(
    input: Batch,  # noqa: A002  (the name that torch uses)
    running_mean: Channels | None,
    running_var: Channels | None,
    weight: Channels | None = None,
    bias: Channels | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Batch:
    r"""Normalize each channel, then scale and shift.

    .. math:: y = \beta + \gamma \odot (x - \mu) / \sqrt{\sigma^2 + \varepsilon}

    In training, mean and biased variance are those of the batch, over its samples and positions,
    and the running statistics, if given, are moved towards them in place (the running variance
    towards the unbiased one). Otherwise mean and variance are the running ones. The backward pass
    is the formula of the book, not a trace of the steps; only the input, gamma and two numbers per
    channel are kept. float16 and bfloat16 are computed in float32. Second derivatives, forward mode
    and `torch.func` work.

    Args:
        input: a batch of shape ``(n, c, *s)``.
        running_mean: shape (c,); None in training means that none is kept.
        running_var: shape (c,), likewise; both or neither.
        weight: gamma, shape (c,); None means 1.
        bias: beta, shape (c,); None means 0.
        training: whether to use, and to keep, the statistics of the batch.
        momentum: the weight of this batch in the running statistics.
        eps: added to the variance, in the units of the input squared.

    Returns:
        A tensor of the shape, dtype and memory format of the input.

    Raises:
        ValueError: if a vector does not fit axis 1 of the input, if a channel holds one value in
            training, if running statistics are missing, or eps is negative (or 0 in training).
        TypeError: if the input holds no real floating point numbers.

    Source:
        Ioffe and Szegedy (2015), "Batch Normalization", arXiv:1502.03167.

    Examples:
        >>> x = torch.tensor([[3.0, 1.0], [5.0, 9.0]])
        >>> batch_norm(x, None, None, training=True).round(decimals=3)
        tensor([[-1., -1.],
                [ 1.,  1.]])
    """
    _check(input, running_mean, running_var, weight, bias, training, eps)
    x = _wide(input) if input.dim() == 2 else _wide(input).movedim(1, -1)  # n *s c
    gamma = weight if weight is None else _wide(weight)
    beta = bias if bias is None else _wide(bias)
    if training:
        y, mu, squares = _apply(x, gamma, beta, eps)
        if running_mean is not None and running_var is not None and x.numel() > 0:
            _update(running_mean, mu, momentum)  # c, eq. bn-running
            _update(running_var, squares / (_count(x) - 1), momentum)  # c, eq. bn-running
    else:
        assert running_mean is not None
        assert running_var is not None
        scale = (_wide(running_var) + eps).rsqrt()  # c
        scale = scale if gamma is None else scale * gamma
        shift = -_wide(running_mean) * scale if beta is None else beta - _wide(running_mean) * scale
        y = torch.addcmul(shift, x, scale)  # n *s c, eq. bn-use
    y = y if input.dim() == 2 else y.movedim(-1, 1)
    return y if y.dtype == input.dtype else y.to(input.dtype)


def _check(
    x: Tensor, mean: Maybe, var: Maybe, weight: Maybe, bias: Maybe, training: bool, eps: float
) -> None:
    who, shape = "batch_norm", x.shape
    check_floating(who, "input", x.dtype, x.is_floating_point())
    if len(shape) < 2:
        check_channels(who, "input", shape)
    if (mean is None) != (var is None) or (not training and mean is None):
        both = {"running_mean": mean, "running_var": var}
        check_both_or_neither(who, both, ("running_mean", "running_var"), needed=not training)
    channels = shape[1:2]
    for value in (mean, var, weight, bias):
        if value is not None and value.shape != channels:
            named = {"running_mean": mean, "running_var": var, "weight": weight, "bias": bias}
            name = next(n for n, t in named.items() if t is value)
            check_same_shape(who, name, tuple(value.shape), tuple(channels))
    check_range(who, "eps", eps, 0.0, ends="()" if training else "[)")
    if training and x.numel() == shape[1]:
        check_values(who, "input", shape, least=2)


def _update(running: Tensor, batch: Tensor, momentum: float) -> None:
    if running.dtype == batch.dtype:
        running.lerp_(batch, momentum)
    else:
        running.copy_(running.to(batch.dtype).lerp_(batch, momentum))


class _BatchNormModule(nn.Module):
    """What BatchNorm1d and BatchNorm2d share: all but the axes that they take."""

    _version = 2
    _dimensions: tuple[int, ...]
    weight: nn.Parameter | None
    bias: nn.Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        who = type(self).__name__
        self.num_features = check_count(who, "num_features", num_features)
        check_range(who, "eps", eps, 0.0)
        if momentum is not None:
            check_range(who, "momentum", momentum, 0.0, 1.0, ends="[]")
        self.eps, self.momentum, self.affine = eps, momentum, affine
        self.track_running_stats = track_running_stats
        for name, there in (("weight", affine), ("bias", affine and bias)):
            empty = torch.empty(num_features, device=device, dtype=dtype)
            self.register_parameter(name, nn.Parameter(empty) if there else None)
        for name in ("running_mean", "running_var"):
            empty = torch.empty(num_features, device=device, dtype=dtype)
            self.register_buffer(name, empty if track_running_stats else None)
        count = torch.tensor(0, dtype=torch.long, device=device)
        self.register_buffer("num_batches_tracked", count if track_running_stats else None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forget all batches: mean 0, variance 1, no batch counted."""
        for name, value in (("running_mean", 0), ("running_var", 1), ("num_batches_tracked", 0)):
            if getattr(self, name) is not None:
                getattr(self, name).fill_(value)

    def reset_parameters(self) -> None:
        """Set gamma to 1 and beta to 0, and forget all batches."""
        self.reset_running_stats()
        with torch.no_grad():
            if self.weight is not None:
                self.weight.fill_(1.0)
            if self.bias is not None:
                self.bias.zero_()

    def forward(self, input: Batch) -> Batch:  # noqa: A002
        """Call `batch_norm` with the module's parameters and, if it keeps them, its statistics."""
        if input.dim() not in self._dimensions or input.shape[1] != self.num_features:
            self._refuse(tuple(input.shape))
        kept = not self.training or self.track_running_stats
        mean, var = (self.running_mean, self.running_var) if kept else (None, None)
        own = self.training or (mean is None and var is None)
        if own and input.numel() == self.num_features:
            check_values(type(self).__name__, "input", tuple(input.shape), least=2)
        momentum = 0.0 if self.momentum is None else self.momentum
        if self.training and kept and (count := self.num_batches_tracked) is not None:
            count.add_(1)
            if self.momentum is None:
                momentum = 1.0 / float(count)  # eq. bn-cumulative
        return batch_norm(input, mean, var, self.weight, self.bias, own, momentum, self.eps)

    def _refuse(self, shape: tuple[int, ...]) -> None:
        who = type(self).__name__
        check_axes(who, "input", shape, self._dimensions)
        check_same_shape(who, "axis 1 of input", shape[1:2], (self.num_features,))

    def extra_repr(self) -> str:
        """Name the number of channels and the options, as torch does."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any], *rest: Any
    ) -> None:
        """Load; a state from before torch counted batches (version 1) gets the count it lacks."""
        old = (local_metadata.get("version") or 1) < 2
        count = self.num_batches_tracked
        if old and count is not None:
            usable = count if count.device.type != "meta" else torch.tensor(0)
            state_dict.setdefault(prefix + "num_batches_tracked", usable)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)


class BatchNorm1d(_BatchNormModule):
    r"""Normalize each feature over the batch, with a learnt scale and shift.

    .. math:: y = \beta + \gamma \odot (x - \mu) / \sqrt{\sigma^2 + \varepsilon}

    In train mode mean and biased variance are those of the batch, and running statistics are moved
    towards them; in eval mode the running statistics take their place, if there are any. See
    `batch_norm` for precision and derivatives.

    Args:
        num_features: c, the number of features or channels.
        eps: added to the variance, in the units of the input squared.
        momentum: the weight of a new batch in the running statistics; None means their plain mean.
        affine: learn gamma (and beta).
        track_running_stats: keep running statistics; without them eval mode uses the batch, too.
        device: where parameters and buffers are made.
        dtype: the dtype of parameters and buffers.
        bias: learn beta; only looked at with ``affine``.

    Shape:
        - Input: ``(n, c)`` or ``(n, c, length)``
        - Output: the same.

    Raises:
        ValueError: if the input has other axes, if a channel holds one value in train mode, or if
            num_features, eps or momentum is out of range.
        TypeError: if num_features is not an int.

    Source:
        Ioffe and Szegedy (2015), "Batch Normalization", arXiv:1502.03167.

    Examples:
        >>> norm = BatchNorm1d(1)
        >>> norm(torch.tensor([[1.0], [3.0]])).round(decimals=3).tolist()
        [[-1.0], [1.0]]
        >>> norm.running_mean, norm.running_var  # a tenth of the way to the mean 2, variance 2
        (tensor([0.2000]), tensor([1.1000]))
    """

    _dimensions = (2, 3)


class BatchNorm2d(_BatchNormModule):
    r"""Normalize each channel of pictures over the batch and all positions.

    .. math:: y = \beta + \gamma \odot (x - \mu) / \sqrt{\sigma^2 + \varepsilon}

    Everything else is as in `BatchNorm1d`, the arguments included.

    Shape:
        - Input: ``(n, c, height, width)``
        - Output: the same, in the same memory format.

    Raises:
        ValueError: as `BatchNorm1d`.
        TypeError: if num_features is not an int.

    Source:
        Ioffe and Szegedy (2015), "Batch Normalization", arXiv:1502.03167.

    Examples:
        >>> BatchNorm2d(3)(torch.randn(2, 3, 4, 5)).mean((0, 2, 3)).abs().max() < 1e-6
        tensor(True)
    """

    _dimensions = (4,)
