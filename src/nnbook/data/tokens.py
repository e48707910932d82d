"""Tokenizers: text to whole numbers and back, by characters or by pairs of bytes."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Int64

from nnbook._check.values import check_count

Tokens = Int64[np.ndarray, " n"]
FORMAT = "nnbook byte pairs 1"
CHUNK = re.compile(r" ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+")


class CharTokenizer:
    """One token per character, numbered in the order of the alphabet.

    Args:
        alphabet: the characters; a repeated one counts once.

    Raises:
        ValueError: if the alphabet is empty.

    Examples:
        >>> from nnbook import data
        >>> tokenizer = data.CharTokenizer("abc")
        >>> tokenizer.encode("cab").tolist(), tokenizer.decode([2, 0, 1])
        ([2, 0, 1], 'cab')
    """

    def __init__(self, alphabet: str) -> None:
        self.characters = "".join(dict.fromkeys(alphabet))
        check_count("CharTokenizer", "number of characters", len(self.characters))
        self._ids = {c: i for i, c in enumerate(self.characters)}

    @property
    def vocab_size(self) -> int:
        """How many tokens there are."""
        return len(self.characters)

    def encode(self, text: str) -> Tokens:
        """Return the numbers of the characters.

        Raises:
            ValueError: if a character is not in the alphabet.
        """
        if unknown := sorted(set(text) - set(self._ids)):
            raise ValueError(
                f"CharTokenizer: {unknown[:3]} are not among the {self.vocab_size} characters of "
                "the alphabet; add them, or use BytePairTokenizer, which takes any text."
            )
        return np.array([self._ids[c] for c in text], np.int64)

    def decode(self, tokens: Iterable[int] | Tokens) -> str:
        """Return the text of these numbers."""
        return "".join(self.characters[_known("CharTokenizer", t, self.vocab_size)] for t in tokens)


class BytePairTokenizer:
    """Byte-pair encoding: the bytes of UTF-8, and pairs of tokens that occur often together.

    Token k below 256 is the byte k. Token 256 + k stands for the pair ``merges[k]`` of two earlier
    tokens. The text is first cut into chunks (a word, a number or signs, each with a space before
    it, or white space), which no token crosses. In a chunk the earliest merge that applies is
    done first, from left to right. Every text can be encoded, and decoding gives it back.

    Args:
        merges: pairs of tokens, in the order in which they were learnt.

    Raises:
        ValueError: if a merge uses a token that comes after it, or stands there twice.

    Source:
        Gage (1994), "A new algorithm for data compression", C Users Journal 12(2); Sennrich,
        Haddow and Birch (2016), "Neural Machine Translation of Rare Words with Subword Units",
        arXiv:1508.07909. On bytes as in Radford and others (2019), section 2.2; their cutting into
        chunks is a little different.

    Examples:
        >>> from nnbook import data
        >>> tokenizer = data.BytePairTokenizer.train("low lower lowest", vocab_size=259)
        >>> [tokenizer.decode([t]) for t in tokenizer.encode(" lowest")]
        [' low', 'e', 's', 't']
    """

    def __init__(self, merges: Sequence[tuple[int, int]]) -> None:
        self.merges = tuple((int(a), int(b)) for a, b in merges)
        self._bytes = [bytes([k]) for k in range(256)]
        self._ranks: dict[tuple[int, int], int] = {}
        for k, (a, b) in enumerate(self.merges):
            if not (0 <= a < 256 + k and 0 <= b < 256 + k and (a, b) not in self._ranks):
                raise ValueError(
                    f"BytePairTokenizer: merge {k} is {(a, b)}; give two tokens from 0 to "
                    f"{255 + k}, and each pair once."
                )
            self._ranks[a, b] = k
            self._bytes.append(self._bytes[a] + self._bytes[b])
        self._seen: dict[str, list[int]] = {}

    @property
    def vocab_size(self) -> int:
        """How many tokens there are."""
        return 256 + len(self.merges)

    @classmethod
    def train(cls, text: str, vocab_size: int) -> BytePairTokenizer:
        """Learn merges: again and again the pair that occurs most often in the text.

        Of pairs that occur equally often the one with the smaller numbers is taken. It stops early
        when no pair occurs twice.

        Raises:
            ValueError: if vocab_size is less than 256.
        """
        check_count("BytePairTokenizer.train", "vocab_size", vocab_size, 256)
        counts = Counter(CHUNK.findall(text))
        chunks = [list(_utf8(chunk)) for chunk in counts]
        times = list(counts.values())
        pairs: Counter[tuple[int, int]] = Counter()
        where: dict[tuple[int, int], set[int]] = defaultdict(set)
        for i, chunk in enumerate(chunks):
            _count(i, chunk, times[i], pairs, where)
        merges: list[tuple[int, int]] = []
        while len(merges) < vocab_size - 256 and pairs:
            best = max(pairs, key=lambda pair: (pairs[pair], -pair[0], -pair[1]))
            if pairs[best] < 2:
                break
            for i in sorted(where[best]):
                _count(i, chunks[i], -times[i], pairs, where)
                chunks[i] = _merge(chunks[i], best, 256 + len(merges))
                _count(i, chunks[i], times[i], pairs, where)
            merges.append(best)
            del pairs[best]
        return cls(merges)

    def encode(self, text: str) -> Tokens:
        """Return the tokens of any text."""
        found: list[int] = []
        for chunk in CHUNK.findall(text):
            if chunk not in self._seen:
                self._seen[chunk] = self._encode_chunk(chunk)
            found += self._seen[chunk]
        return np.array(found, np.int64)

    def _encode_chunk(self, chunk: str) -> list[int]:
        tokens = list(_utf8(chunk))
        while len(tokens) > 1:
            rank = min(self._ranks.get(p, len(self.merges)) for p in pairwise(tokens))
            if rank == len(self.merges):
                break
            tokens = _merge(tokens, self.merges[rank], 256 + rank)
        return tokens

    def decode(self, tokens: Iterable[int] | Tokens) -> str:
        """Return the text of these tokens; bytes that are no UTF-8 become U+FFFD."""
        joined = b"".join(
            self._bytes[_known("BytePairTokenizer", t, self.vocab_size)] for t in tokens
        )
        try:
            return joined.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            return joined.decode("utf-8", "replace")

    def to_json(self) -> str:
        """Write the tokenizer down: a format, and the merges in their order."""
        return json.dumps({"format": FORMAT, "chunk": CHUNK.pattern, "merges": self.merges})

    @classmethod
    def from_json(cls, text: str) -> BytePairTokenizer:
        """Read what `to_json` wrote.

        Raises:
            ValueError: if it is of another format.
        """
        read = json.loads(text)
        if (read.get("format"), read.get("chunk")) != (FORMAT, CHUNK.pattern):
            raise ValueError(
                f"BytePairTokenizer: the format is {read.get('format')!r}, cut by "
                f"{read.get('chunk')!r}; give what to_json of this version wrote."
            )
        return cls([(a, b) for a, b in read["merges"]])


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # a half of a surrogate pair is also a text


def _known(who: str, token: int | np.integer, size: int) -> int:
    if not 0 <= token < size:
        raise ValueError(f"{who}: there is no token {token}; give numbers from 0 to {size - 1}.")
    return int(token)


def _count(
    i: int,
    chunk: list[int],
    times: int,
    pairs: Counter[tuple[int, int]],
    where: dict[tuple[int, int], set[int]],
) -> None:
    """Add the pairs of chunk i; with negative times, take them away."""
    for pair in pairwise(chunk):
        pairs[pair] += times
        where[pair].add(i)
        if pairs[pair] == 0:
            del pairs[pair]


def _merge(tokens: list[int], pair: tuple[int, int], new: int) -> list[int]:
    """Replace the pair by the new token, from left to right."""
    out: list[int] = []
    for token in tokens:
        if out and (out[-1], token) == pair:
            out[-1] = new
        else:
            out.append(token)
    return out
