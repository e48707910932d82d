"""A BERT encoder on the book's own modules, and the names under which its weights are stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from nnbook._check.attention import check_mask, check_table, check_table_length
from nnbook._check.shapes import check_axis_count, check_same_shape
from nnbook._check.values import (
    check_count,
    check_floating,
    check_index,
    check_range,
    check_same_names,
)

from ._precision import wide as _wide
from .layernorm import LayerNorm
from .linear import Linear
from .positions import Embedding
from .transformer import TransformerEncoderLayer

Ids = Int[Tensor, "n t"]
Mask = Bool[Tensor, "n t"]
Rows = Float[Tensor, "n t d"]


class BertModel(nn.Module):
    r"""Turn token numbers into one row per token that depends on the whole text.

    .. math:: h^0_i = \mathrm{LN}(E_{t_i} + P_i + S_0), \quad h^l = \mathrm{Block}_l(h^{l-1})

    Each block is a `TransformerEncoderLayer` in the order of 2017, with the norm after the sum.
    The model is there to be used with pretrained weights: it has no dropout. The pooler, a layer
    on the first token, belongs to the checkpoint and plays no part in the rows.

    Args:
        vocabulary: the number of tokens that have an embedding.
        width: the length of a row.
        layers: the number of blocks.
        heads: the number of heads of each attention; they divide the width.
        hidden: the width of the hidden layer of each block.
        positions: the longest text.
        types: the number of kinds of text, such as question and answer.
        eps: of every layer normalization, in the units of the squared input.

    Shape:
        - ids: (n, t), whole numbers below ``vocabulary``
        - mask: (n, t), True where there is a token; None means everywhere
        - Output: (n, t, width)

    Raises:
        ValueError: if a size is less than 1, or a text is longer than the table of positions.
        IndexError: if an id is none of the vocabulary.
        TypeError: if the ids are no whole numbers, or the mask holds no booleans.

    Source:
        Devlin, Chang, Lee and Toutanova (2019), "BERT: Pre-training of Deep Bidirectional
        Transformers for Language Understanding".

    Examples:
        >>> model = BertModel(vocabulary=9, width=4, layers=2, heads=2, hidden=8, positions=5)
        >>> model(torch.tensor([[1, 8, 2]])).shape
        torch.Size([1, 3, 4])
    """

    def __init__(
        self,
        vocabulary: int = 30522,
        width: int = 384,
        layers: int = 6,
        heads: int = 12,
        hidden: int = 1536,
        positions: int = 512,
        types: int = 2,
        eps: float = 1e-12,
    ) -> None:
        super().__init__()
        sizes = {"vocabulary": vocabulary, "layers": layers, "positions": positions}
        for name, size in {**sizes, "types": types}.items():
            check_count("BertModel", name, size)
        self.word = Embedding(vocabulary, width)
        self.position = Embedding(positions, width)
        self.kind = Embedding(types, width)
        self.norm = LayerNorm(width, eps=eps)
        self.layers = nn.ModuleList(
            TransformerEncoderLayer(
                width, heads, hidden, 0.0, "gelu", layer_norm_eps=eps, batch_first=True
            )
            for _ in range(layers)
        )
        self.pooler = Linear(width, width)
        self.register_buffer("position_ids", torch.arange(positions)[None])

    def forward(self, ids: Ids, mask: Mask | None = None) -> Rows:
        """Return one row per token; rows of padding mean nothing."""
        return self._run(ids, mask, None)

    def attention(self, ids: Ids, mask: Mask | None = None) -> Float[Tensor, "l n h t t"]:
        """Return the weights of every head of every block: row i says where token i looks."""
        weights: list[Tensor] = []
        self._run(ids, mask, weights)
        return torch.stack(weights)

    def embed(self, ids: Ids) -> Rows:
        """Return the rows before the first block."""
        self._check(ids)
        places = torch.arange(ids.shape[1], device=ids.device)
        h = self.word(ids) + self.position(places) + self.kind.weight[0]  # n t d, eq. pre-embed
        return self.norm(h)  # n t d, eq. pre-embed-norm

    def _check(self, ids: Ids) -> None:
        check_axis_count("BertModel", tuple(ids.shape), (2,), "(texts, tokens), ids[None] for one")
        check_index("BertModel", ids.dtype, ids.dtype in (torch.int32, torch.int64))
        size = self.word.num_embeddings
        check_table("BertModel", size, bool(((ids < 0) | (ids >= size)).any()))
        check_table_length("BertModel", ids.shape[1], self.position.num_embeddings)

    def _run(self, ids: Ids, mask: Mask | None, weights: list[Tensor] | None) -> Rows:
        h = self.embed(ids)
        padding = None
        if mask is not None:
            check_same_shape("BertModel", "mask", tuple(mask.shape), tuple(ids.shape))
            check_mask("BertModel", "mask", mask.dtype, mask.dtype == torch.bool)
            padding = ~mask  # the modules of torch mark what to leave out
        for layer in self.layers:
            if weights is not None:
                attend: Callable[..., Any] = layer.self_attn  # type: ignore[assignment]
                options = {"key_padding_mask": padding, "average_attn_weights": False}
                weights.append(attend(h, h, h, **options)[1])  # n h t t, eq. pre-head
            h = layer(h, src_key_padding_mask=padding)  # n t d, eq. pre-stack
        return h


class Place(NamedTuple):
    """Where a tensor of the checkpoint goes.

    Attributes:
        name: the name in the state of `BertModel`.
        third: 0, 1 or 2 for the first, second or last third of its rows; None for all of it.
    """

    name: str
    third: int | None = None

    def of(self, tensor: Tensor) -> Tensor:
        """Return the part of the tensor of that name."""
        return tensor if self.third is None else tensor.chunk(3)[self.third]

    def __str__(self) -> str:
        """Write the place as Python would."""
        return (
            self.name + ("", "[:d]", "[d:2d]", "[2d:]")[0 if self.third is None else self.third + 1]
        )


OUTSIDE = {
    "embeddings.word_embeddings": "word",
    "embeddings.position_embeddings": "position",
    "embeddings.token_type_embeddings": "kind",
    "embeddings.LayerNorm": "norm",
    "pooler.dense": "pooler",
}
INSIDE = {
    "attention.output.dense": "self_attn.out_proj",
    "attention.output.LayerNorm": "norm1",
    "intermediate.dense": "linear1",
    "output.dense": "linear2",
    "output.LayerNorm": "norm2",
}


def bert_names(layers: int) -> dict[str, Place]:
    """Return where each tensor of a BERT checkpoint goes in `BertModel`.

    Args:
        layers: the number of blocks.

    Returns:
        A dictionary from the names of the checkpoint to places; no place occurs twice.

    Raises:
        ValueError: if layers is less than 1.

    Examples:
        >>> print(bert_names(1)["encoder.layer.0.attention.self.key.bias"])
        layers.0.self_attn.in_proj_bias[d:2d]
    """
    check_count("bert_names", "layers", layers)
    pairs = {"embeddings.position_ids": Place("position_ids")}
    for theirs, ours in OUTSIDE.items():
        kinds = ("weight",) if theirs.endswith("_embeddings") else ("weight", "bias")
        pairs |= {f"{theirs}.{kind}": Place(f"{ours}.{kind}") for kind in kinds}
    for layer in range(layers):
        for kind in ("weight", "bias"):
            for theirs, ours in INSIDE.items():
                place = Place(f"layers.{layer}.{ours}.{kind}")
                pairs[f"encoder.layer.{layer}.{theirs}.{kind}"] = place
            for third, part in enumerate(("query", "key", "value")):
                place = Place(f"layers.{layer}.self_attn.in_proj_{kind}", third)
                pairs[f"encoder.layer.{layer}.attention.self.{part}.{kind}"] = place
    return pairs


@torch.no_grad()
def load_bert(model: BertModel, checkpoint: Mapping[str, Tensor]) -> BertModel:
    """Copy a checkpoint into a model, each tensor to its place, and return the model.

    Args:
        model: a model of the sizes of the checkpoint.
        checkpoint: tensors by name, such as ``safetensors.torch.load_file`` returns.

    Returns:
        The model.

    Raises:
        ValueError: if a tensor is missing, left over, or of another shape than its place, or if
            the positions are not 0, 1, 2, ...; the model is then as it was.
    """
    names, state = bert_names(len(model.layers)), model.state_dict()
    check_same_names("load_bert", checkpoint, names)
    for theirs, place in names.items():
        there = place.of(state[place.name])
        check_same_shape("load_bert", theirs, tuple(checkpoint[theirs].shape), tuple(there.shape))
    positions = checkpoint["embeddings.position_ids"]
    if not torch.equal(positions, state["position_ids"]):
        raise ValueError(
            "load_bert: embeddings.position_ids are not 0, 1, 2, ...; this model numbers positions "
            "from 0 without gaps, so give a checkpoint that does."
        )
    for theirs, place in names.items():
        place.of(state[place.name]).copy_(checkpoint[theirs])
    return model


def bert_checkpoint(model: BertModel) -> dict[str, Tensor]:
    """Return the state of a model under the names of a checkpoint, the inverse of `load_bert`.

    Args:
        model: the model; its tensors are not copied.

    Returns:
        Tensors by name.
    """
    state = model.state_dict()
    return {
        theirs: place.of(state[place.name])
        for theirs, place in bert_names(len(model.layers)).items()
    }


def bert_parameters(
    vocabulary: int, width: int, layers: int, hidden: int, positions: int, types: int
) -> int:
    r"""Return the number of parameters of a `BertModel`, the pooler included.

    .. math:: (V + P + S + 2) d + L (4 d^2 + 2 d f + f + 9 d) + d^2 + d

    Args:
        vocabulary: V, as in `BertModel`, like the rest.
        width: d.
        layers: L.
        hidden: f.
        positions: P.
        types: S.

    Returns:
        The number.

    Examples:
        >>> bert_parameters(30522, 384, 6, 1536, 512, 2)
        22713216
    """
    tables = (vocabulary + positions + types + 2) * width
    block = 4 * width**2 + 2 * width * hidden + hidden + 9 * width
    return tables + layers * block + width**2 + width  # eq. pre-count-sum


def mean_pool(
    x: Float[Tensor, "*batch t d"], mask: Bool[Tensor, "*batch t"]
) -> Float[Tensor, "*batch d"]:
    r"""Return the mean of the rows that are tokens; rows of padding do not count.

    .. math:: p = \frac{1}{\lvert M \rvert} \sum_{i \in M} x_i

    A text without a single token gives zeros. float16 and bfloat16 are computed in float32.

    Args:
        x: one row for each position.
        mask: True where a position holds a token, False where it is padding.

    Returns:
        A tensor of the shape of x without its second to last axis, of the dtype of x.

    Raises:
        ValueError: if the mask does not have one entry per row.
        TypeError: if x holds no real floating point numbers, or the mask no booleans.

    Source:
        Reimers and Gurevych (2019), "Sentence-BERT: Sentence Embeddings using Siamese
        BERT-Networks".

    Examples:
        >>> x = torch.tensor([[[1.0, 3.0], [3.0, 5.0], [99.0, 99.0]]])
        >>> mean_pool(x, torch.tensor([[True, True, False]]))
        tensor([[2., 4.]])
    """
    check_floating("mean_pool", "x", x.dtype, x.dtype.is_floating_point)
    check_same_shape("mean_pool", "mask", tuple(mask.shape), tuple(x.shape[:-1]))
    check_mask("mean_pool", "mask", mask.dtype, mask.dtype == torch.bool)
    total = _wide(x).masked_fill(~mask[..., None], 0).sum(-2)  # *batch d
    count = mask.sum(-1, keepdim=True).clamp(min=1)  # *batch 1
    return (total / count).to(x.dtype)  # *batch d, eq. pre-pool-mean


def unit(x: Float[Tensor, ...], eps: float = 1e-12) -> Float[Tensor, ...]:
    r"""Divide each row by its length, as ``torch.nn.functional.normalize`` does along ``dim=-1``.

    .. math:: u = x / \max(\lVert x \rVert, \varepsilon)

    Args:
        x: rows.
        eps: rows shorter than this are divided by it, so that a row of zeros stays one.

    Returns:
        A tensor of the shape and dtype of x.

    Raises:
        ValueError: if eps is not positive.
        TypeError: if x holds no real floating point numbers.

    Examples:
        >>> unit(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
        tensor([[0.6000, 0.8000],
                [0.0000, 0.0000]])
    """
    check_floating("unit", "x", x.dtype, x.dtype.is_floating_point)
    check_range("unit", "eps", eps, 0.0, ends="()")
    length = torch.linalg.vector_norm(_wide(x), dim=-1, keepdim=True).clamp(min=eps)  # ... 1
    return (_wide(x) / length).to(x.dtype)  # ... d, eq. pre-unit
