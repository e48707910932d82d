"""Layers of any model scaled on a batch of data, one after the other."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from nnbook._check.learning import check_has_layers, check_varied
from nnbook._check.values import check_range

SCALED = ("Linear", "Conv1d", "Conv2d", "Conv3d")
"""Modules of these classes, and of those derived from them, are scaled."""


@torch.no_grad()
def lsuv_(model: nn.Module, *inputs: Any, std: float | int = 1.0) -> dict[str, float]:
    r"""Scale the weights of all linear and convolution layers, until each has the same spread.

    .. math:: W_l \leftarrow \frac{s}{\operatorname{std}(W_l h_{l-1})} \, W_l

    One run forward is enough: a layer is scaled when its input arrives, and hands on what it
    gives then. A layer that is used several times is scaled at its first use. Biases are left as
    they are and do not count. For the method of the paper give the weights orthogonal values
    first, see `nnbook.nn.init.orthogonal_`.

    Args:
        model: the model, changed in place. Its train or eval mode is not touched, so batch norm
            in training mode updates its running statistics once.
        inputs: what the model is called with, a batch of real data.
        std: the wanted spread s.

    Returns:
        By the name of each layer, in the order of use, its spread before.

    Raises:
        ValueError: if the model uses no such layer, a layer gives a constant, or std is not
            positive.

    Source:
        Mishkin and Matas (2016), "All you need is a good init", arXiv:1511.06422.

    Examples:
        >>> _ = torch.manual_seed(0)
        >>> model, x = torch.nn.Sequential(torch.nn.Linear(9, 5)), torch.randn(64, 9)
        >>> list(lsuv_(model, x))
        ['0']
        >>> bool(torch.isclose((model(x) - model[0].bias).std(correction=0), torch.tensor(1.0)))
        True
    """
    check_range("lsuv_", "std", float(std), 0.0, ends="()")
    before: dict[str, float] = {}
    names = {module: name for name, module in model.named_modules() if _is_scaled(module)}

    def scale(module: Any, args: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        name = names[module]
        if name in before:
            return None
        still = module.forward(torch.zeros_like(args[0]))  # what the bias alone gives
        before[name] = float((output - still).std(correction=0))
        check_varied("lsuv_", f"layer {name!r}", before[name])
        module.weight.mul_(std / before[name])  # n m, eq. inz-scale
        scaled: Tensor = module.forward(*args)
        return scaled

    hooks = [module.register_forward_hook(scale) for module in names]
    try:
        model(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    check_has_layers("lsuv_", len(before), SCALED)
    return before


def _is_scaled(module: nn.Module) -> bool:
    return any(c.__name__ in SCALED for c in type(module).__mro__)
