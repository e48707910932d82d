"""Folding a batch normalization in eval mode into the affine map or convolution before it."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

from nnbook._check.normalization import check_foldable
from nnbook._check.shapes import check_same_shape
from nnbook.nn.batchnorm import BatchNorm1d, BatchNorm2d

Layer = TypeVar("Layer", bound=nn.Module)
Norm = BatchNorm1d | BatchNorm2d | nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d


def fold_batch_norm(layer: Layer, norm: Norm) -> Layer:
    r"""Return a copy of a layer that does what it and its batch normalization do in eval mode.

    .. math:: W' = \operatorname{diag}(d)\, W, \quad b' = \beta + d \odot (b - \mu),
        \quad d = \gamma / \sqrt{\sigma^2 + \varepsilon}

    The layer and the normalization are left as they are. A layer without bias gets one.

    Args:
        layer: an affine map or a convolution (of any stride, padding, dilation, groups) whose
            weight has one row per channel: ``Linear``, ``Conv1d``, ``Conv2d`` of nnbook or torch.
        norm: the batch normalization that takes the output of the layer, in eval mode.

    Returns:
        A new layer of the same class.

    Raises:
        ValueError: if the normalization is in train mode or keeps no running statistics, if it has
            another number of channels than the layer, or if the weight has its channels elsewhere,
            as in a transposed convolution.

    Examples:
        >>> layer, norm = nn.Linear(3, 2), BatchNorm1d(2)
        >>> out = norm(layer(torch.randn(8, 3)))  # moves the running statistics
        >>> x = torch.randn(5, 3)
        >>> folded = fold_batch_norm(layer, norm.eval())
        >>> torch.allclose(folded(x), norm(layer(x)), atol=1e-6)
        True
    """
    who = "fold_batch_norm"
    weight, bias = getattr(layer, "weight", None), getattr(layer, "bias", None)
    mean, var = norm.running_mean, norm.running_var
    transposed = bool(getattr(layer, "transposed", False))
    check_foldable(who, type(layer).__name__, weight is not None and not transposed, norm.training)
    if mean is None or var is None:
        raise ValueError(
            f"{who}: {type(norm).__name__} keeps no running statistics, so in eval mode it depends "
            "on the batch and is no affine map; make it with track_running_stats=True."
        )
    assert isinstance(weight, Tensor)
    check_same_shape(who, "the running mean", tuple(mean.shape), tuple(weight.shape[:1]))
    folded = copy.deepcopy(layer)
    with torch.no_grad():
        W, m, s2 = (t.to(torch.promote_types(t.dtype, torch.float32)) for t in (weight, mean, var))
        d = (s2 + norm.eps).rsqrt()  # c
        d = d if norm.weight is None else norm.weight * d  # c, eq. rs-fold-scale
        b = (-m if bias is None else bias - m) * d  # c
        b = b if norm.bias is None else norm.bias + b  # c, eq. rs-folded
        W = d.reshape(-1, *(1,) * (W.dim() - 1)) * W  # c *k, eq. rs-folded
    folded.weight = nn.Parameter(W.to(weight.dtype), weight.requires_grad)
    folded.bias = nn.Parameter(b.to(weight.dtype), weight.requires_grad)
    return folded
