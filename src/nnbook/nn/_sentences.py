"""Texts in, vectors of length 1 out: a tokenizer, a pretrained encoder, a mean, a division."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from nnbook._check.values import check_count, check_texts
from nnbook.data import minilm_files

from .pretrained import BertModel, load_bert, mean_pool, unit


def _extra(name: str) -> Any:
    """Import a package of the extra ``pretrained``."""
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(
            f"SentenceEncoder: the package {name.partition('.')[0]} is not installed; "
            "get it with `pip install nnbook[pretrained]`."
        ) from error


class SentenceEncoder:
    """Embed sentences with all-MiniLM-L6-v2: texts of like meaning get vectors of like direction.

    Args:
        folder: where its three files lie, see `nnbook.data.minilm_files`; None means the
            environment variable ``NNBOOK_PRETRAINED`` or the installed package.
        length: tokens beyond this number, the two marks at the ends included, are cut off.

    Attributes:
        model: the `BertModel`, in eval mode.
        tokenizer: a ``tokenizers.Tokenizer`` that pads a batch to its longest text.

    Raises:
        FileNotFoundError: if the files are not on this machine.
        ImportError: if safetensors or tokenizers are not installed.
        ValueError: if a file is not the original, or length lies outside 3 ... 512.

    Source:
        Reimers and Gurevych (2019), "Sentence-BERT"; Wang, Wei, Dong, Bao, Yang and Zhou (2020),
        "MiniLM: Deep Self-Attention Distillation for Task-Agnostic Compression of Pre-Trained
        Transformers".
    """

    def __init__(self, folder: str | Path | None = None, length: int = 256) -> None:
        files = minilm_files(folder)
        config = json.loads(files.config.read_text("utf-8"))
        self.length = check_count("SentenceEncoder", "length", length, 3)
        self.model = BertModel(
            vocabulary=config["vocab_size"],
            width=config["hidden_size"],
            layers=config["num_hidden_layers"],
            heads=config["num_attention_heads"],
            hidden=config["intermediate_size"],
            positions=config["max_position_embeddings"],
            types=config["type_vocab_size"],
            eps=config["layer_norm_eps"],
        )
        if length > (most := config["max_position_embeddings"]):
            raise ValueError(
                f"SentenceEncoder: length={length} is more than the {most} positions of the model; "
                f"give at most {most}."
            )
        load_bert(self.model, _extra("safetensors.torch").load_file(files.weights)).eval()
        self.tokenizer = _extra("tokenizers").Tokenizer.from_file(str(files.tokenizer))
        self.tokenizer.enable_truncation(length)
        self.tokenizer.enable_padding(pad_id=config["pad_token_id"], pad_token="[PAD]")

    def tokens(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return the numbers of the tokens, (n, t), and where there are tokens and not padding.

        Raises:
            TypeError: if texts is a single string or holds something else than strings.
        """
        check_texts("SentenceEncoder", texts)
        found = self.tokenizer.encode_batch(list(texts))
        shape = (len(found), len(found[0]) if found else 0)
        ids = torch.tensor([f.ids for f in found], dtype=torch.long).reshape(shape)
        mask = torch.tensor([f.attention_mask for f in found], dtype=torch.bool).reshape(shape)
        return ids, mask

    def words(self, text: str) -> list[str]:
        """Return the tokens of one text as they are written in the vocabulary."""
        return list(self.tokenizer.encode(text).tokens)

    @torch.inference_mode()
    def encode(self, texts: Sequence[str], batch_size: int = 32) -> Float[Tensor, "n d"]:
        """Return one vector of length 1 for each text.

        Texts of like length share a batch, so that little is computed for padding; a text's vector
        does not depend on the others but for rounding.

        Args:
            texts: a list of strings; an empty one gives no rows.
            batch_size: how many texts are computed at once.

        Returns:
            A tensor of shape (number of texts, width).

        Raises:
            TypeError: if texts is a single string or holds something else than strings.
            ValueError: if batch_size is less than 1.
        """
        check_count("SentenceEncoder.encode", "batch_size", batch_size)
        check_texts("SentenceEncoder", texts)
        out = torch.empty(len(texts), self.model.word.embedding_dim)
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            ids, mask = self.tokens([texts[i] for i in batch])
            out[batch] = unit(mean_pool(self.model(ids, mask), mask))  # n d
        return out

    @torch.inference_mode()
    def attention(self, text: str) -> Float[Tensor, "l h t t"]:
        """Return the weights of every head of every block for one text."""
        return self.model.attention(*self.tokens([text]))[:, 0]
