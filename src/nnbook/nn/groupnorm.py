"""Group and instance normalization with their own backward, drop-ins for ``torch.nn``."""

from __future__ import annotations

import math
import warnings
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nnbook._check.normalization import (
    check_maps,
    check_per_channel,
    check_positions,
    check_several,
)
from nnbook._check.shapes import check_axis_count, check_groups
from nnbook._check.values import check_count, check_floating, check_range

from ._precision import wide as _wide
from .layernorm import Maybe
from .rmsnorm import _call, _fill

AnyShape = Float[Tensor, "..."]
Maps = Float[Tensor, "n c *s"]
Channels = Float[Tensor, " c"] | None
GROUP, SPACE = (2, 3), (0, 3)  # in n g k s: the axes of one group; those that share a channel


def _statistics(x: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return x less its mean, the mean and 1/sigma of each group; x has the axes n g k s."""
    m = max(1, x.shape[2] * x.shape[3])
    mu = x.mean(GROUP, keepdim=True)  # n g 1 1, eq. gn-mean
    centred = x - mu  # n g k s
    wide = torch.float64 if m > 2**16 else None  # float32 adds so many squares up badly
    norm = torch.linalg.vector_norm(centred, dim=GROUP, keepdim=True, dtype=wide).to(x.dtype)
    s2 = torch.rsub(norm.square(), eps, alpha=-1 / m)  # n g 1 1, eps + norm²/m, eq. gn-var
    return centred, mu, s2.rsqrt_()


class _GroupNorm(torch.autograd.Function):
    """Scale and shift what is centred; the derivative is that of the whole, from x to y."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        x: Tensor, centred: Tensor, mu: Tensor, rstd: Tensor, weight: Maybe, bias: Maybe, eps: float
    ) -> Tensor:
        scale = rstd if weight is None else rstd * weight  # n g k 1
        if torch._C._are_functorch_transforms_active():  # vmap may forbid to work in place
            y = centred * scale  # n g k s, eq. gn-hat
            return y if bias is None else y + bias  # n g k s, eq. gn-affine
        y = centred.mul_(scale)
        return y if bias is None else y.add_(bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        x, centred, mu, rstd, weight, bias, ctx.eps = inputs
        if output is centred:
            ctx.mark_dirty(centred)
        ctx.has_bias = bias is not None
        ctx.save_for_backward(x, mu, rstd, weight)
        ctx.save_for_forward(x, mu, rstd, weight)

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> tuple[Maybe, ...]:
        x, mu, rstd, weight = ctx.saved_tensors
        pull = _pull
        if torch.is_grad_enabled():  # a second derivative is wanted: show how mu depends on x
            mu = x.mean(GROUP, keepdim=True)
            rstd = ((x - mu).square().mean(GROUP, keepdim=True) + ctx.eps).rsqrt()
            pull = _pull_traced
        grad_x, *grads = pull(v, x - mu, rstd, weight, ctx.has_bias)
        return grad_x, None, None, None, *grads, None

    @staticmethod
    def jvp(ctx: Any, dx: Maybe, *rest: Any) -> Tensor:
        """Push directions forward."""
        x, mu, rstd, weight = ctx.saved_tensors
        dweight, dbias = rest[3:5]
        u = (x - mu) * rstd
        du = torch.zeros_like(u)
        if dx is not None:
            du = _jacobian(dx, u, rstd)
        dy = du if weight is None else du * weight
        dy = dy if dweight is None else dy + u * dweight
        return dy if dbias is None else dy + dbias


def _jacobian(q: Tensor, u: Tensor, rstd: Tensor) -> Tensor:
    """Return the Jacobian of u times q; it is symmetric, so this serves both directions."""
    mean_q, mean_qu = (t.mean(GROUP, keepdim=True) for t in (q, q * u))
    return (q - mean_q - u * mean_qu) * rstd  # n g k s, eq. gn-backward-x


def _pull_traced(
    v: Tensor, centred: Tensor, rstd: Tensor, weight: Maybe, has_bias: bool
) -> tuple[Tensor, Maybe, Maybe]:
    u = centred * rstd  # n g k s, eq. gn-hat
    q = v if weight is None else v * weight  # n g k s, eq. gn-q
    at_weight = None if weight is None else (v * u).sum(SPACE).unsqueeze(-1)
    at_bias = v.sum(SPACE).unsqueeze(-1) if has_bias else None  # g k 1, eq. gn-backward-affine
    return _jacobian(q, u, rstd), at_weight, at_bias


def _pull(
    v: Tensor, centred: Tensor, rstd: Tensor, weight: Maybe, has_bias: bool
) -> tuple[Tensor, Maybe, Maybe]:
    """Do what `_pull_traced` does with sums per channel, which serve twice, and in place."""
    m = max(1, v.shape[2] * v.shape[3])
    at_weight = (v * centred).sum(3, keepdim=True) * rstd  # n g k 1, the sums of v u
    at_bias = v.sum(3, keepdim=True)  # n g k 1
    q, qu = (at_bias, at_weight) if weight is None else (at_bias * weight, at_weight * weight)
    mean_q, mean_qu = (t.sum(2, keepdim=True) / m for t in (q, qu))  # n g 1 1
    rest = (centred * (-mean_qu * rstd)).sub_(mean_q)  # n g k s
    rest = rest.add_(v) if weight is None else rest.addcmul_(v, weight)
    grads = (None if weight is None else at_weight.sum(0), at_bias.sum(0) if has_bias else None)
    return rest.mul_(rstd), *grads


def _apply(x: Tensor, groups: int, weight: Maybe, bias: Maybe, eps: float) -> Tensor:
    """Normalize maps n c *s; the splitting of axes is a view in either memory format."""
    n, c = x.shape[:2]
    axes = (groups, c // groups)
    rows = _wide(x).reshape(n, *axes, math.prod(x.shape[2:]))  # n g k s
    gamma, beta = (None if t is None else _wide(t).reshape(*axes, 1) for t in (weight, bias))
    with torch.no_grad():
        centred, mu, rstd = _statistics(torch.autograd.forward_ad.unpack_dual(rows).primal, eps)
    y = _call(_GroupNorm, rows, centred, mu, rstd, gamma, beta, eps)
    return y.reshape(x.shape).to(x.dtype)


def group_norm(
    input: Maps,  # noqa: A002  (the name that torch uses)
    num_groups: int,
    weight: Channels = None,
    bias: Channels = None,
    eps: float = 1e-5,
) -> Maps:
    r"""Normalize each group of channels of each sample, then scale and shift each channel.

    .. math:: y_{nc} = \beta_c + \gamma_c (x_{nc} - \mu_{ng}) / \sqrt{\sigma^2_{ng} + \varepsilon}

    The backward pass is the formula of the book, so that only the input, gamma and two numbers
    per group are kept. float16 and bfloat16 are computed in float32 and cast back. A group that is
    constant, or has one number, gives beta; with eps = 0 it gives NaN, as in torch. Second
    derivatives, forward mode, `torch.func` and both memory formats work. On a CPU the fused
    ``torch.nn.functional.group_norm`` is faster by a factor of two to five.

    Args:
        input: maps of shape ``(n, c, *s)``; s may have no axes.
        num_groups: number of groups; it must divide c.
        weight: gamma, of shape ``(c,)``; None means 1.
        bias: beta, likewise; None means 0.
        eps: added to the variance, in the units of the input squared.

    Returns:
        A tensor of the shape, dtype and memory format of the input.

    Raises:
        ValueError: if num_groups does not divide c, if weight or bias has another shape, if eps is
            negative, or if one sample with one number per group is all there is (torch refuses
            that, too; with two such samples both give beta).
        TypeError: if the input holds no real floating point numbers.

    Source:
        Wu and He (2018), "Group Normalization", arXiv:1803.08494.

    Examples:
        >>> x = torch.tensor([[[3.0], [1.0], [-2.0], [5.0]]])
        >>> group_norm(x, 2, eps=0.0)[0, :, 0].round(decimals=4)
        tensor([ 1., -1., -1.,  1.])
    """
    who = "group_norm"
    _check_maps(who, input, weight, bias, eps)
    check_groups(who, input.shape[1], num_groups)
    check_several(who, tuple(input.shape), input.numel() // num_groups)
    return _apply(input, num_groups, weight, bias, eps)


def _check_maps(who: str, x: Tensor, weight: Maybe, bias: Maybe, eps: float) -> None:
    check_floating(who, "input", x.dtype, x.dtype.is_floating_point)
    check_maps(who, "input", (*x.shape[:2], *(max(1, s) for s in x.shape[2:])))
    check_range(who, "eps", eps, 0.0)
    for name, value in (("weight", weight), ("bias", bias)):
        if value is not None:
            check_per_channel(who, name, tuple(value.shape), x.shape[1])


def instance_norm(
    input: Maps,  # noqa: A002
    running_mean: Channels = None,
    running_var: Channels = None,
    weight: Channels = None,
    bias: Channels = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Maps:
    r"""Normalize each channel of each sample over its positions: a group for every channel.

    With ``use_input_stats`` the running numbers, where given, move towards the mean over the
    samples of the means and of the unbiased variances of this input. Without it they are used in
    place of the input's own, and the function is affine.

    Args:
        input: maps of shape ``(n, c, *s)``.
        running_mean: a mean per channel, changed in place; None means that none is kept.
        running_var: a variance per channel, likewise.
        weight: gamma, of shape ``(c,)``; None means 1.
        bias: beta, likewise; None means 0.
        use_input_stats: normalize by the statistics of this input.
        momentum: the share of this input in the new running numbers.
        eps: added to the variance, in the units of the input squared.

    Returns:
        A tensor of the shape, dtype and memory format of the input.

    Raises:
        ValueError: if a channel has one position only, if running numbers are to be used and are
            missing, or as `group_norm`.
        TypeError: if the input holds no real floating point numbers.

    Source:
        Ulyanov, Vedaldi and Lempitsky (2016), "Instance Normalization: The Missing Ingredient for
        Fast Stylization", arXiv:1607.08022.

    Examples:
        >>> instance_norm(torch.tensor([[[3.0, 1.0], [-2.0, 5.0]]]), eps=0.0)[0].round(decimals=4)
        tensor([[ 1., -1.],
                [-1.,  1.]])
    """
    who = "instance_norm"
    _check_maps(who, input, weight, bias, eps)
    running = (("running_mean", running_mean), ("running_var", running_var))
    for name, value in running:
        if value is not None or not use_input_stats:
            shape = () if value is None else tuple(value.shape)
            check_per_channel(who, name, shape, input.shape[1])
    if not use_input_stats:
        assert running_mean is not None
        assert running_var is not None
        return _affine(input, running_mean, running_var, weight, bias, eps)
    check_positions(who, tuple(input.shape))
    if running_mean is not None and running_var is not None and len(input):
        _track(input.detach(), running_mean, running_var, momentum)
    return _apply(input, input.shape[1], weight, bias, eps)


def _track(x: Tensor, running_mean: Tensor, running_var: Tensor, momentum: float) -> None:
    """Move the running numbers towards those of this input."""
    var, mean = torch.var_mean(_wide(x).flatten(2), 2, correction=1)  # n c
    for old, new in ((running_mean, mean.mean(0)), (running_var, var.mean(0))):
        old.copy_((1 - momentum) * old + momentum * new)  # c, eq. gn-track


def _affine(x: Tensor, mean: Tensor, var: Tensor, weight: Maybe, bias: Maybe, eps: float) -> Tensor:
    """Normalize by given numbers, which do not depend on x."""
    spread = (-1, *(1,) * (x.dim() - 2))
    scale = (_wide(var) + eps).rsqrt() * (1.0 if weight is None else _wide(weight))  # c
    y = (_wide(x) - _wide(mean).view(spread)) * scale.view(spread)  # n c *s, eq. gn-use
    return (y if bias is None else y + _wide(bias).view(spread)).to(x.dtype)


class GroupNorm(nn.Module):
    r"""Normalize each group of channels of each sample, with a learnt scale and shift per channel.

    .. math:: y_{nc} = \beta_c + \gamma_c (x_{nc} - \mu_{ng}) / \sqrt{\sigma^2_{ng} + \varepsilon}

    Nothing is shared between samples, and train and eval mode do the same. See `group_norm`.

    Args:
        num_groups: number of groups; it must divide ``num_channels``.
        num_channels: number of channels, the length of axis 1 of the input.
        eps: added to the variance, in the units of the input squared.
        affine: learn gamma (and beta).
        device: where the parameters are made.
        dtype: the dtype of the parameters.
        bias: learn beta; only looked at with ``affine``.

    Shape:
        - Input: ``(n, c, *s)``
        - Output: the same.

    Raises:
        ValueError: if the channels cannot be split into so many groups, or eps is negative.
        TypeError: if a number of groups or channels is not an int.

    Source:
        Wu and He (2018), "Group Normalization", arXiv:1803.08494.

    Examples:
        >>> norm = GroupNorm(2, 4)
        >>> norm(torch.tensor([[3.0, 1.0, -2.0, 5.0]])).round(decimals=3).tolist()
        [[1.0, -1.0, -1.0, 1.0]]
    """

    weight: nn.Parameter | None
    bias: nn.Parameter | None

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        check_groups(
            "GroupNorm", check_count("GroupNorm", "num_channels", num_channels), num_groups
        )
        check_range("GroupNorm", "eps", eps, 0.0)
        self.num_groups, self.num_channels = num_groups, num_channels
        self.eps, self.affine = eps, affine
        for name, there in (("weight", affine), ("bias", affine and bias)):
            empty = torch.empty(num_channels, device=device, dtype=dtype)
            self.register_parameter(name, nn.Parameter(empty) if there else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set gamma to 1 and beta to 0."""
        _fill(self, ["weight"], 1.0)
        _fill(self, ["bias"], 0.0)

    def forward(self, input: Maps) -> Maps:  # noqa: A002
        """Call `group_norm` with the module's parameters."""
        return group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Name the sizes and the options, as torch does."""
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


class _InstanceNorm(nn.Module):
    """What the classes for one and for two axes of positions have in common."""

    _version = 2  # of the state, as in torch: since 2 it counts batches (which nothing adds to)
    _positions: int
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
        affine: bool = False,
        track_running_stats: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        who = type(self).__name__
        self.num_features = check_count(who, "num_features", num_features)
        check_range(who, "eps", eps, 0.0)
        self.eps, self.momentum = eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        for name, there in (("weight", affine), ("bias", affine and bias)):
            empty = torch.empty(num_features, device=device, dtype=dtype)
            self.register_parameter(name, nn.Parameter(empty) if there else None)
        for name in ("running_mean", "running_var"):
            empty = torch.empty(num_features, device=device, dtype=dtype)
            self.register_buffer(name, empty if track_running_stats else None)
        count = torch.tensor(0, dtype=torch.long, device=device)
        self.register_buffer("num_batches_tracked", count if track_running_stats else None)
        self.reset_parameters()

    def _load_from_state_dict(self, state: Any, prefix: str, metadata: Any, *rest: Any) -> None:
        """Take a state that counts no batches, as torch does."""
        if self.num_batches_tracked is not None and (metadata.get("version") or 1) < 2:
            state.setdefault(prefix + "num_batches_tracked", torch.tensor(0))
        super()._load_from_state_dict(state, prefix, metadata, *rest)

    def reset_running_stats(self) -> None:
        """Set the running means to 0 and the running variances to 1."""
        _fill(self, ["running_mean", "num_batches_tracked"], 0.0)
        _fill(self, ["running_var"], 1.0)

    def reset_parameters(self) -> None:
        """Reset the running numbers, gamma to 1 and beta to 0."""
        self.reset_running_stats()
        _fill(self, ["weight"], 1.0)
        _fill(self, ["bias"], 0.0)

    def forward(self, input: AnyShape) -> AnyShape:  # noqa: A002
        """Call `instance_norm` with the module's parameters and running numbers."""
        who, axes = type(self).__name__, self._positions
        check_axis_count(
            who, input.shape, (axes + 1, axes + 2), f"(c, {'s, ' * axes}) or one more in front"
        )
        channels = input.shape[-1 - axes]
        if channels != self.num_features and (self.affine or self.track_running_stats):
            check_per_channel(who, "num_features", (self.num_features,), channels)
        if channels != self.num_features:
            warnings.warn(
                f"{who}: the input has {channels} channels and num_features={self.num_features}, "
                "which is not used without affine; give the same number.",
                stacklevel=2,
            )
        batch = input if input.dim() == axes + 2 else input.unsqueeze(0)
        y = instance_norm(
            batch,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            0.0 if self.momentum is None else self.momentum,
            self.eps,
        )
        return y if input.dim() == axes + 2 else y.squeeze(0)

    def extra_repr(self) -> str:
        """Name the sizes and the options, as torch does."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class InstanceNorm1d(_InstanceNorm):
    r"""Normalize each channel of each sample over one axis of positions.

    .. math:: y_{nc} = \beta_c + \gamma_c (x_{nc} - \mu_{nc}) / \sqrt{\sigma^2_{nc} + \varepsilon}

    As in torch there is no gamma and no beta by default, and no running numbers; with
    ``track_running_stats`` these are used in eval mode in place of the input's own. ``momentum``
    None leaves them as they are. See `instance_norm`.

    Args:
        num_features: number of channels.
        eps: added to the variance, in the units of the input squared.
        momentum: the share of the newest input in the running numbers.
        affine: learn gamma (and beta).
        track_running_stats: keep running numbers, and use them in eval mode.
        device: where parameters and buffers are made.
        dtype: the dtype of parameters and buffers.
        bias: learn beta; only looked at with ``affine``.

    Shape:
        - Input: ``(n, c, s)`` or ``(c, s)``
        - Output: the same.

    Raises:
        ValueError: if a size is below 1, eps is negative, the input has another number of axes or
            channels, or a channel has one position only.
        TypeError: if a size is not an int.

    Source:
        Ulyanov, Vedaldi and Lempitsky (2016), "Instance Normalization: The Missing Ingredient for
        Fast Stylization", arXiv:1607.08022.

    Examples:
        >>> norm = InstanceNorm1d(2)
        >>> norm(torch.tensor([[3.0, 1.0], [-2.0, 5.0]])).round(decimals=3).tolist()
        [[1.0, -1.0], [-1.0, 1.0]]
    """

    _positions = 1


class InstanceNorm2d(_InstanceNorm):
    r"""Normalize each channel of each sample over two axes of positions; see `InstanceNorm1d`.

    .. math:: y_{nc} = \beta_c + \gamma_c (x_{nc} - \mu_{nc}) / \sqrt{\sigma^2_{nc} + \varepsilon}

    Args:
        num_features: number of channels.
        eps: added to the variance, in the units of the input squared.
        momentum: the share of the newest input in the running numbers.
        affine: learn gamma (and beta).
        track_running_stats: keep running numbers, and use them in eval mode.
        device: where parameters and buffers are made.
        dtype: the dtype of parameters and buffers.
        bias: learn beta; only looked at with ``affine``.

    Shape:
        - Input: ``(n, c, h, w)`` or ``(c, h, w)``
        - Output: the same.

    Raises:
        ValueError: as `InstanceNorm1d`.
        TypeError: if a size is not an int.

    Source:
        Ulyanov, Vedaldi and Lempitsky (2016), "Instance Normalization: The Missing Ingredient for
        Fast Stylization", arXiv:1607.08022.

    Examples:
        >>> InstanceNorm2d(3)(torch.rand(4, 3, 5, 6)).mean((2, 3)).abs().max().item() < 1e-6
        True
    """

    _positions = 2
