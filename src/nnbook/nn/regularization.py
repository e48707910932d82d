"""Pictures moved and mirrored at random: augmentation as modules that act in train mode only."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from nnbook._check.learning import check_offsets, check_picture_axes
from nnbook._check.values import check_boolean, check_count, check_range, check_same_length

Pictures = Float[Tensor, "n *c h w"]


def shift_images(x: Pictures, by: Int[Tensor, "n 2"]) -> Pictures:
    r"""Move each picture down and to the right; what comes in from outside is 0.

    .. math:: y_{kij} = x_{k,\, i - a_k,\, j - b_k}, \qquad 0 \text{ outside the picture}

    Args:
        x: pictures; the first axis is the sample, the last two are rows and columns.
        by: rows down and columns to the right, one pair of whole numbers per picture.

    Returns:
        A tensor of the shape and dtype of x.

    Raises:
        ValueError: if ``by`` has another shape than (n, 2).
        TypeError: if ``by`` holds no whole numbers.

    Examples:
        >>> shift_images(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), torch.tensor([[0, 1]]))
        tensor([[[0., 1.],
                 [0., 3.]]])
    """
    whole = not (by.is_floating_point() or by.is_complex() or by.dtype == torch.bool)
    check_offsets("shift_images", tuple(by.shape), tuple(x.shape), whole)
    n, (h, w) = x.shape[0], x.shape[-2:]
    i = torch.arange(h, device=x.device) - by[:, :1]  # n h, the row that each row comes from
    j = torch.arange(w, device=x.device) - by[:, 1:]  # n w
    inside = ((i >= 0) & (i < h))[:, :, None] & ((j >= 0) & (j < w))[:, None, :]  # n h w
    place = i.clamp(0, max(h - 1, 0))[:, :, None] * w + j.clamp(0, max(w - 1, 0))[:, None, :]
    middle = x.shape[1:-2].numel()
    flat = x.reshape(n, middle, h * w)
    index = place.reshape(n, 1, h * w).expand(n, middle, h * w)
    moved = flat.gather(2, index).masked_fill(~inside.reshape(n, 1, h * w), 0)  # eq. reg-shift
    return moved.reshape(x.shape)


def flip_images(x: Pictures, which: Bool[Tensor, " n"]) -> Pictures:
    """Exchange left and right in the chosen pictures.

    Args:
        x: pictures; the first axis is the sample, the last one runs along a row.
        which: one boolean per picture.

    Returns:
        A tensor of the shape and dtype of x.

    Raises:
        ValueError: if there are not as many booleans as pictures.
        TypeError: if ``which`` is not boolean.

    Examples:
        >>> flip_images(torch.tensor([[[1.0, 2.0]], [[3.0, 4.0]]]), torch.tensor([True, False]))
        tensor([[[2., 1.]],
        <BLANKLINE>
                [[3., 4.]]])
    """
    check_boolean("flip_images", "which", which.dtype, which.dtype == torch.bool)
    check_same_length("flip_images", "x", x, "which", which)
    chosen = which.reshape(-1, *[1] * (x.dim() - 1))
    return torch.where(chosen, x.flip(-1), x)  # n *c h w, eq. reg-flip


class RandomShift(nn.Module):
    r"""In train mode move each picture by its own random whole steps; in eval mode do nothing.

    .. math:: y_{kij} = x_{k,\, i - a_k,\, j - b_k}, \qquad
        a_k, b_k \text{ uniform on } \{-r, \dots, r\}

    Args:
        most: r, the largest number of rows or columns.
        generator: of the random numbers; None means torch's global one.

    Shape:
        - Input: ``(n, *c, h, w)``
        - Output: the same.

    Raises:
        ValueError: if ``most`` is negative.
        TypeError: if ``most`` is no whole number.

    Examples:
        >>> shift = RandomShift(2, torch.Generator().manual_seed(0))
        >>> shift(torch.ones(5, 1, 6, 6)).sum((1, 2, 3)).tolist()
        [16.0, 20.0, 20.0, 30.0, 30.0]
    """

    def __init__(self, most: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.most = check_count("RandomShift", "most", most, least=0)
        self.generator = generator

    def forward(self, input: Pictures) -> Pictures:  # noqa: A002  (as torch names it)
        """Move the pictures, in train mode."""
        check_picture_axes("RandomShift", tuple(input.shape))
        if not self.training or self.most == 0:
            return input
        source = self.generator
        at = input.device if source is None else source.device
        ends = (-self.most, self.most + 1)
        by = torch.randint(*ends, (len(input), 2), generator=source, device=at)
        return shift_images(input, by.to(input.device))

    def extra_repr(self) -> str:
        """Name the largest step."""
        return f"most={self.most}"


class RandomFlip(nn.Module):
    """In train mode exchange left and right, in each picture with probability p; else do nothing.

    Args:
        p: the probability.
        generator: of the random numbers; None means torch's global one.

    Shape:
        - Input: ``(n, *c, h, w)``
        - Output: the same.

    Raises:
        ValueError: if p lies outside [0, 1].

    Examples:
        >>> flip = RandomFlip(generator=torch.Generator().manual_seed(0))
        >>> flip(torch.arange(2.0).expand(6, 1, 1, 2))[:, 0, 0, 0].tolist()
        [1.0, 0.0, 1.0, 1.0, 1.0, 0.0]
    """

    def __init__(self, p: float = 0.5, generator: torch.Generator | None = None) -> None:
        super().__init__()
        check_range("RandomFlip", "p", p, 0.0, 1.0, ends="[]")
        self.p, self.generator = p, generator

    def forward(self, input: Pictures) -> Pictures:  # noqa: A002
        """Mirror the pictures, in train mode."""
        check_picture_axes("RandomFlip", tuple(input.shape))
        if not self.training or self.p == 0:
            return input
        source = self.generator
        at = input.device if source is None else source.device
        which = torch.rand(len(input), generator=source, device=at) < self.p
        return flip_images(input, which.to(input.device))

    def extra_repr(self) -> str:
        """Name the probability."""
        return f"p={self.p}"
