"""Dropout in PyTorch, a drop-in for ``torch.nn.Dropout`` that draws the same masks on a CPU."""

from __future__ import annotations

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from nnbook._check.values import check_range, check_real

AnyShape = Shaped[Tensor, "*s"]


def dropout(
    input: AnyShape,  # noqa: A002  (the name that torch uses)
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
) -> AnyShape:
    r"""Drop each number with probability p and divide the others by 1 - p.

    .. math:: y_i = \frac{k_i}{1 - p}\, x_i, \qquad \operatorname{P}(k_i = 0) = p

    The mask is drawn by torch's global generator of the device. On a CPU it is the mask of
    ``torch.nn.functional.dropout``, so that after the same seed both give the same bits; on a GPU
    torch has a fused kernel, which need not draw the same one. As in torch, a number that is
    dropped is multiplied by 0: from an infinity or NaN comes NaN, so that an error is not hidden.

    Args:
        input: numbers of any shape.
        p: the probability that a number is dropped.
        training: whether to drop; without, the result is the input itself.
        inplace: overwrite the input with the result.

    Returns:
        A tensor of the shape and dtype of the input. With p = 1 it is the input times 0.

    Raises:
        ValueError: if p lies outside [0, 1].
        TypeError: if numbers are to be dropped and the input holds no real fractions.

    Source:
        Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov (2014), "Dropout: A Simple Way
        to Prevent Neural Networks from Overfitting", JMLR 15.

    Examples:
        >>> y = dropout(torch.ones(1000), p=0.75)
        >>> sorted(set(y.tolist()))
        [0.0, 4.0]
        >>> dropout(torch.ones(3), p=0.75, training=False)
        tensor([1., 1., 1.])
    """
    check_range("dropout", "p", p, 0.0, 1.0, ends="[]")
    if p == 0 or not training or input.numel() == 0:
        return input
    check_real("dropout", "input", input.dtype, input.dtype.is_floating_point)
    if p == 1:
        factors = input.new_zeros(())  # 0, not the 0/0 that the equation would give
    else:
        kept = torch.empty_like(input).bernoulli_(1 - p)  # *s, eq. dro-mask
        factors = kept.div_(1 - p)  # *s
    return input.mul_(factors) if inplace else input * factors  # *s, eq. dro-inverted


class Dropout(nn.Module):
    r"""Drop numbers at random while training, return the input in eval mode.

    .. math:: y_i = \frac{k_i}{1 - p}\, x_i, \qquad \operatorname{P}(k_i = 0) = p

    Every call draws a new mask, one decision for each number. There are no parameters and no
    buffers. See `dropout` for the generator and for p = 1.

    Args:
        p: the probability that a number is dropped.
        inplace: overwrite the input with the result.

    Shape:
        - Input: any shape.
        - Output: the same.

    Raises:
        ValueError: if p lies outside [0, 1].

    Source:
        Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov (2014), "Dropout: A Simple Way
        to Prevent Neural Networks from Overfitting", JMLR 15.

    Examples:
        >>> drop = Dropout(p=0.75)
        >>> sorted(set(drop(torch.ones(1000)).tolist()))
        [0.0, 4.0]
        >>> drop.eval()(torch.ones(3))
        tensor([1., 1., 1.])
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        check_range("Dropout", "p", p, 0.0, 1.0, ends="[]")
        self.p, self.inplace = p, inplace

    def forward(self, input: AnyShape) -> AnyShape:  # noqa: A002
        """Call `dropout` with the options of the module, in its mode."""
        return dropout(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        """Name the options, as torch does."""
        return f"p={self.p}, inplace={self.inplace}"
