"""Positions on tensors: a drop-in for ``torch.nn.Embedding``, sinusoids, rotations, slopes."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from nnbook._check.attention import check_rotary, check_row, check_table_length
from nnbook._check.shapes import check_matrix, check_rows, check_same_shape
from nnbook._check.values import (
    check_choice,
    check_count,
    check_even,
    check_floating,
    check_index,
    check_plain,
    check_range,
)

from ._precision import wide as _wide

Pairing = Literal["interleaved", "halves"]
PAIRINGS = ("interleaved", "halves")
Whole = Int[Tensor, "..."]
Vectors = Float[Tensor, "..."]
Tokens = Float[Tensor, "*batch t d"]


def embedding(
    input: Whole,  # noqa: A002  (the name that torch uses)
    weight: Float[Tensor, "n d"],
    padding_idx: int | None = None,
) -> Vectors:
    r"""Look up a row of a table for each whole number.

    .. math:: y_i = W_{k_i} = W^\top e_{k_i}

    Args:
        input: whole numbers from 0 to n - 1, of any shape.
        weight: the table W, shape (n, d).
        padding_idx: a row that is looked up as it is but gets no gradient; negative numbers count
            from the end.

    Returns:
        A tensor of shape ``(*input.shape, d)``.

    Raises:
        TypeError: if the input holds no whole numbers.
        ValueError: if ``padding_idx`` is no row, or W is no matrix.
        IndexError: if a number is no row.

    Examples:
        >>> embedding(torch.tensor([2, 0]), torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
        tensor([[5., 6.],
                [1., 2.]])
    """
    check_index("embedding", input.dtype, input.dtype in (torch.int32, torch.int64))
    check_matrix("embedding", "weight", weight.shape)
    rows = torch.index_select(weight, 0, input.flatten())  # *batch d, eq. pos-embedding
    y = rows.reshape(*input.shape, weight.shape[1])
    if padding_idx is None:
        return y
    skip = (input == _row("embedding", padding_idx, weight.shape[0])).unsqueeze(-1)
    return torch.where(skip, y.detach(), y)


def _row(who: str, padding_idx: int, rows: int) -> int:
    """Return a row counted from the front; raise unless there is such a row."""
    check_row(who, "padding_idx", padding_idx, rows)
    return padding_idx % rows


class Embedding(nn.Module):
    r"""A learnt vector for each whole number, a drop-in for ``torch.nn.Embedding``.

    .. math:: y_i = W_{k_i}

    The vectors start as standard normal numbers, the same for the same seed as in torch.

    Args:
        num_embeddings: the number of rows of the table.
        embedding_dim: the length of a row.
        padding_idx: a row that starts at 0 and is not learnt.
        max_norm: not taught.
        norm_type: not taught.
        scale_grad_by_freq: not taught.
        sparse: not taught.
        device: where the table is made.
        dtype: the dtype of the table.

    Shape:
        - Input: whole numbers, of any shape ``(*)``.
        - Output: ``(*, embedding_dim)``.

    Raises:
        NotImplementedError: for an option that is not taught.
        ValueError: if a size is negative, or ``padding_idx`` is no row.

    Examples:
        >>> Embedding(7, 3)(torch.tensor([[1, 6, 0, 6]])).shape
        torch.Size([1, 4, 3])
    """

    weight: Tensor

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        who = "Embedding"
        left_out = {"max_norm": max_norm, "scale_grad_by_freq": scale_grad_by_freq}
        check_plain(who, left_out | {"sparse": sparse, "norm_type": norm_type != 2.0})
        self.num_embeddings = check_count(who, "num_embeddings", num_embeddings, least=0)
        self.embedding_dim = check_count(who, "embedding_dim", embedding_dim, least=0)
        rows = self.num_embeddings
        self.padding_idx = None if padding_idx is None else _row(who, padding_idx, rows)
        shape = (self.num_embeddings, self.embedding_dim)
        if _weight is not None:
            check_same_shape(who, "_weight", tuple(_weight.shape), shape)
        table = torch.empty(shape, device=device, dtype=dtype) if _weight is None else _weight
        self.weight = nn.Parameter(table, requires_grad=not _freeze)
        if _weight is None:
            self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the table from the standard normal distribution; the padding row becomes 0."""
        nn.init.normal_(self.weight)
        if self.padding_idx is not None:
            with torch.no_grad():
                self.weight[self.padding_idx].fill_(0)

    @classmethod
    def from_pretrained(
        cls, embeddings: Tensor, freeze: bool = True, padding_idx: int | None = None
    ) -> Embedding:
        """Make a module that looks up in a given table.

        Args:
            embeddings: the table.
            freeze: do not learn it.
            padding_idx: a row that is not learnt.

        Raises:
            ValueError: if the table is no matrix.
        """
        check_matrix("Embedding.from_pretrained", "embeddings", embeddings.shape)
        rows, d = embeddings.shape
        return cls(rows, d, padding_idx, _weight=embeddings, _freeze=freeze)

    def forward(self, input: Whole) -> Vectors:  # noqa: A002
        """Look up the rows."""
        return embedding(input, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        """Name the sizes, as torch does."""
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"


def _angles(
    positions: Tensor, dim: int, base: float, device: torch.device | str | None = None
) -> Tensor:
    """Return position times frequency, in float64, so that late positions keep their digits."""
    pairs = torch.arange(0, dim, 2, dtype=torch.float64, device=device)
    omega = float(base) ** (-pairs / dim)  # d/2, eq. pos-frequencies
    return torch.outer(positions.to(torch.float64), omega)  # t d/2, eq. pos-angle


def sinusoidal(
    length: int,
    dim: int,
    *,
    base: float = 10000.0,
    offset: int = 0,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Float[Tensor, "t d"]:
    r"""Write the positions offset, offset + 1, ... as sines and cosines of falling frequency.

    .. math:: \mathrm{PE}(p)_{2i} = \sin(\omega_i p), \qquad
        \mathrm{PE}(p)_{2i+1} = \cos(\omega_i p), \qquad \omega_i = b^{-2i/d}

    Args:
        length: the number of positions.
        dim: d, the number of features. An odd d ends in a sine without its cosine.
        base: b.
        offset: the first position.
        device: where the table is made.
        dtype: its dtype; None means torch's default.

    Returns:
        A tensor of shape (length, d).

    Raises:
        ValueError: if a number is out of range.

    Source:
        Vaswani et al. (2017), "Attention Is All You Need", section 3.5, arXiv:1706.03762.

    Examples:
        >>> sinusoidal(2, 4, base=100).round(decimals=4)
        tensor([[0.0000, 1.0000, 0.0000, 1.0000],
                [0.8415, 0.5403, 0.0998, 0.9950]])
    """
    who = "sinusoidal"
    check_count(who, "length", length, least=0)
    check_count(who, "offset", offset, least=0)
    check_count(who, "dim", dim)
    check_range(who, "base", base, 0.0, ends="()")
    angles = _angles(torch.arange(offset, offset + length, device=device), dim, base, device)
    waves = torch.stack([angles.sin(), angles.cos()], -1)  # t d/2 2, eq. pos-sinusoidal
    return waves.flatten(1)[:, :dim].to(dtype or torch.get_default_dtype())


class SinusoidalPositions(nn.Module):
    """Add `sinusoidal` to each sequence; there is nothing to learn and no longest length.

    Args:
        dim: the number of features.
        base: as in `sinusoidal`.

    Shape:
        - Input: ``(*batch, t, dim)``
        - Output: the same.

    Raises:
        ValueError: if the input has another number of features.

    Examples:
        >>> SinusoidalPositions(2)(torch.zeros(1, 2), offset=1).round(decimals=4).tolist()
        [[0.8414999842643738, 0.5403000116348267]]
    """

    def __init__(self, dim: int, base: float = 10000.0) -> None:
        super().__init__()
        self.dim, self.base = check_count("SinusoidalPositions", "dim", dim), base

    def forward(self, x: Tokens, offset: int = 0) -> Tokens:
        """Add the encodings of the positions offset, offset + 1, ..."""
        check_rows("SinusoidalPositions", x.shape, self.dim)
        t, place = x.shape[-2], x.device
        waves = sinusoidal(t, self.dim, base=self.base, offset=offset, device=place, dtype=x.dtype)
        return x + waves  # *batch t d

    def extra_repr(self) -> str:
        """Name the sizes."""
        return f"{self.dim}, base={self.base:g}"


class LearnedPositions(nn.Module):
    r"""Add a learnt vector for each position.

    .. math:: y_p = x_p + P_p

    Args:
        num_positions: the longest sequence.
        dim: the number of features.
        device: where the table is made.
        dtype: the dtype of the table.

    Shape:
        - Input: ``(*batch, t, dim)`` with offset + t at most ``num_positions``.
        - Output: the same.

    Raises:
        ValueError: if a sequence goes on after the last row, or has another number of features.

    Examples:
        >>> LearnedPositions(8, 3)(torch.zeros(2, 5, 3)).shape
        torch.Size([2, 5, 3])
    """

    def __init__(
        self,
        num_positions: int,
        dim: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.num_positions = check_count("LearnedPositions", "num_positions", num_positions)
        self.dim = check_count("LearnedPositions", "dim", dim)
        table = torch.empty(self.num_positions, self.dim, device=device, dtype=dtype)
        self.weight = nn.Parameter(table)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the table from a normal distribution of deviation 0.02, as GPT-2 does."""
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, x: Tokens, offset: int = 0) -> Tokens:
        """Add the rows offset, offset + 1, ..."""
        check_rows("LearnedPositions", x.shape, self.dim)
        check_count("LearnedPositions", "offset", offset, least=0)
        last = offset + x.shape[-2]
        check_table_length("LearnedPositions", last, self.num_positions)
        return x + self.weight[offset:last]  # *batch t d, eq. pos-learned

    def extra_repr(self) -> str:
        """Name the sizes."""
        return f"{self.num_positions}, {self.dim}"


def rope(
    x: Tokens,
    *,
    offset: int = 0,
    base: float = 10000.0,
    pairing: Pairing = "interleaved",
) -> Tokens:
    r"""Rotate each pair of features by an angle that grows with the position.

    .. math:: y_{2i} + \mathrm{i}\, y_{2i+1} = e^{\mathrm{i} \omega_i p}
        (x_{2i} + \mathrm{i}\, x_{2i+1})

    ``pairing="interleaved"`` pairs neighbours (RoFormer, GPT-J), ``"halves"`` pairs feature i with
    feature i + d/2 (GPT-NeoX, LLaMA in its Hugging Face form). Half precision is rotated in
    float32 and rounded once. `RotaryPositions` keeps the sines and cosines.

    Args:
        x: queries or keys (not values), shape ``(*batch, t, d)`` with an even d.
        offset: the position of the first row: the number of keys that are in the cache already.
        base: of the frequencies.
        pairing: which features form a pair.

    Returns:
        A tensor of the shape and dtype of x.

    Raises:
        ValueError: if d is odd, the pairing unknown, or a number out of range.
        TypeError: if x holds no floating point numbers.

    Source:
        Su et al. (2021), "RoFormer: Enhanced Transformer with Rotary Position Embedding",
        arXiv:2104.09864.

    Examples:
        >>> rope(torch.tensor([[1.0, 0.0], [1.0, 0.0]])).round(decimals=4)
        tensor([[1.0000, 0.0000],
                [0.5403, 0.8415]])
    """
    check_rotary("rope", "x", x.shape)
    waves = _waves("rope", x.shape[-2], x.shape[-1], offset, base, x.device)
    return _rotate("rope", x, *waves, pairing)


def _waves(
    who: str, t: int, d: int, offset: int, base: float, device: torch.device
) -> tuple[Tensor, Tensor]:
    check_range(who, "base", base, 0.0, ends="()")
    check_count(who, "offset", offset, least=0)
    angles = _angles(torch.arange(offset, offset + t, device=device), d, base, device)
    return angles.cos(), angles.sin()  # t d/2 each, eq. pos-angle


def _rotate(who: str, x: Tensor, cos: Tensor, sin: Tensor, pairing: Pairing) -> Tensor:
    check_floating(who, "x", x.dtype, x.dtype.is_floating_point)
    check_choice(who, "pairing", pairing, PAIRINGS)
    z = _wide(x)
    cos, sin = cos.to(z.dtype), sin.to(z.dtype)
    if pairing == "interleaved":
        a, b = z.unflatten(-1, (-1, 2)).unbind(-1)  # *batch t d/2 each
        y = torch.stack([a * cos - b * sin, a * sin + b * cos], -1)  # eq. pos-rope
        return y.flatten(-2).to(x.dtype)
    a, b = z.chunk(2, -1)  # *batch t d/2 each
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1).to(x.dtype)  # eq. pos-rope


class RotaryPositions(nn.Module):
    """Apply `rope`, with the sines and cosines of the positions seen so far kept.

    Nothing is learnt and nothing enters the state: what is kept is made anew when it is too short,
    or on another device. Apply it to queries and keys, of all heads at once.

    Args:
        dim: the number of features of a head, even.
        base: of the frequencies.
        pairing: as in `rope`.

    Shape:
        - Input: ``(*batch, t, dim)``
        - Output: the same.

    Raises:
        ValueError: if dim is odd, the pairing unknown, or the input has other features.

    Examples:
        >>> turn = RotaryPositions(4)
        >>> q = torch.randn(2, 3, 5, 4)  # batch, heads, positions, features
        >>> torch.allclose(turn(q)[..., 2:, :], turn(q[..., 2:, :], offset=2))
        True
    """

    def __init__(self, dim: int, base: float = 10000.0, pairing: Pairing = "interleaved") -> None:
        super().__init__()
        check_even("RotaryPositions", "dim", check_count("RotaryPositions", "dim", dim, least=2))
        check_range("RotaryPositions", "base", base, 0.0, ends="()")
        check_choice("RotaryPositions", "pairing", pairing, PAIRINGS)
        self.dim, self.base, self.pairing = dim, base, pairing
        self._kept: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tokens, offset: int = 0) -> Tokens:
        """Rotate the rows of x, which stand at the positions offset, offset + 1, ..."""
        check_rows("RotaryPositions", x.shape, self.dim)
        check_count("RotaryPositions", "offset", offset, least=0)
        last = offset + x.shape[-2]
        if self._kept is None or len(self._kept[0]) < last or self._kept[0].device != x.device:
            length = max(last, 2 * len(self._kept[0]) if self._kept else 0)
            self._kept = _waves("RotaryPositions", length, self.dim, 0, self.base, x.device)
        cos, sin = (wave[offset:last] for wave in self._kept)
        return _rotate("RotaryPositions", x, cos, sin, self.pairing)

    def __getstate__(self) -> dict[str, object]:
        """Leave what is kept out of copies and pickles."""
        return {**self.__dict__, "_kept": None}

    def extra_repr(self) -> str:
        """Name the sizes."""
        return f"{self.dim}, base={self.base:g}, pairing={self.pairing!r}"


def rope_permutation(dim: int) -> Int[Tensor, " d"]:
    r"""Return the order of features that turns the interleaved pairing into that of halves.

    With ``p = rope_permutation(d)``, ``rope(x)[..., p]`` equals
    ``rope(x[..., p], pairing="halves")``. Rows of projection weights are permuted the same way,
    head by head, to carry weights from one convention to the other.

    Args:
        dim: the number of features of a head, even.

    Returns:
        The numbers 0, 2, 4, ..., 1, 3, 5, ...

    Raises:
        ValueError: if dim is odd.

    Examples:
        >>> rope_permutation(6)
        tensor([0, 2, 4, 1, 3, 5])
    """
    check_even("rope_permutation", "dim", check_count("rope_permutation", "dim", dim, least=2))
    return torch.arange(dim).reshape(-1, 2).T.flatten()  # d, eq. pos-permutation


def alibi_slopes(heads: int) -> Float[Tensor, " h"]:
    r"""Return the slope of each head, in float64.

    .. math:: m_j = 2^{-8j/h}, \qquad j = 1, \dots, h

    for a power of two h; for other h the slopes of the largest power of two below h, then every
    other slope of the next one, as in the authors' code.

    Args:
        heads: h.

    Returns:
        h positive numbers.

    Raises:
        ValueError: if h is below 1.

    Source:
        Press, Smith and Lewis (2022), arXiv:2108.12409.

    Examples:
        >>> alibi_slopes(3).tolist()
        [0.0625, 0.00390625, 0.25]
    """
    h = check_count("alibi_slopes", "heads", heads)
    power = 1 << (h.bit_length() - 1)
    j = torch.arange(1, power + 1, dtype=torch.float64)
    between = 2 * torch.arange(h - power, dtype=torch.float64) + 1
    return torch.cat([2 ** (-8 * j / power), 2 ** (-4 * between / power)])  # h, eq. pos-slopes


def alibi(
    heads: int,
    queries: int,
    keys: int,
    *,
    causal: bool = True,
    offset: int = 0,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Float[Tensor, "h q k"]:
    r"""Return what ALiBi adds to the scores: minus the distance, times the slope of the head.

    .. math:: b_{jqk} = -m_j \lvert q + o - k \rvert

    It is a floating point ``attn_mask`` for attention, with -inf where a key comes after the
    query. ``nn.MultiheadAttention`` takes one copy per sample: ``mask.repeat(batch, 1, 1)``.

    Args:
        heads: h.
        queries: the number of queries; the first one stands at position ``offset``.
        keys: the number of keys; the first one stands at position 0.
        causal: put -inf where a key comes after the query.
        offset: o, how many keys came before the first query.
        device: where the mask is made.
        dtype: its dtype; None means torch's default.

    Returns:
        A tensor of shape (h, queries, keys).

    Raises:
        ValueError: if a count is negative, or there are no heads.

    Source:
        Press, Smith and Lewis (2022), arXiv:2108.12409.

    Examples:
        >>> alibi(1, 2, 2).mul(256)
        tensor([[[ 0., -inf],
                 [-1.,  0.]]])
    """
    for name, count in (("queries", queries), ("keys", keys), ("offset", offset)):
        check_count("alibi", name, count, least=0)
    place = torch.arange(queries, device=device)[:, None] + offset
    ahead = torch.arange(keys, device=device) - place  # q k
    slopes = alibi_slopes(heads).to(ahead.device)[:, None, None]
    bias = slopes * -ahead.abs()  # h q k, eq. pos-alibi
    bias = bias.masked_fill(ahead > 0, -torch.inf) if causal else bias
    return bias.to(dtype or torch.get_default_dtype())
