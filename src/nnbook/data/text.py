"""Text to learn a language model from: the documentation that every Python carries."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

# every character of the text is one of these: the line feed and the printable ones of ASCII
ALPHABET = "\n" + "".join(chr(code) for code in range(32, 127))
SIGNS = {"“": '"', "”": '"', "‘": "'", "’": "'", "–": "-", "—": "-", "…": "...", "\t": "    "}


@dataclass(frozen=True)
class Text:
    """A text in three parts that share no paragraph.

    Args:
        train: what a model may learn from.
        validation: what settings are chosen by.
        test: what is looked at once, at the end.
        topics: the names of the topics of each part, in the order of the text.
        alphabet: the characters that can occur, the same for every version of Python.
    """

    train: str
    validation: str
    test: str
    topics: Mapping[str, tuple[str, ...]]
    alphabet: str = ALPHABET

    @property
    def sha256(self) -> str:
        """The fingerprint of the three parts; another version of Python has another."""
        whole = "\0".join((self.train, self.validation, self.test))
        return hashlib.sha256(whole.encode("ascii")).hexdigest()


def python_docs(share: float = 0.1) -> Text:
    """Return the language reference that Python's ``help()`` shows, split for learning.

    The text is ``pydoc_data.topics`` of the Python that runs, so that it differs between versions
    of Python; `Text.sha256` says which one it is. Every character is brought into ASCII (quotation
    marks and dashes get their plain forms, what is left becomes ``?``). A paragraph that occurs in
    several topics stays in the first, in the order of the alphabet. Whole topics then go to the
    validation and the test part, in an order that depends on their names only, as long as they fit
    into the share.

    Args:
        share: the share of the characters that the validation and the test part have at most, each.

    Returns:
        The three parts. Each is as long as its topics, with a blank line after every paragraph.

    Raises:
        ValueError: if the share is not in (0, 0.5).

    Examples:
        >>> from nnbook import data
        >>> docs = data.python_docs()
        >>> set(docs.train) <= set(docs.alphabet), len(docs.alphabet)
        (True, 96)
    """
    from pydoc_data.topics import topics

    return split_by_topic(topics, share)


def split_by_topic(topics: Mapping[str, str], share: float) -> Text:
    """Do what `python_docs` does, with any topics."""
    from nnbook._check.values import check_range

    check_range("python_docs", "share", share, 0.0, 0.5, ends="()")
    own = _without_repeats(topics)
    room = share * sum(len(text) for text in own.values())
    parts: dict[str, tuple[str, ...]] = {}
    left = sorted(own, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    for part in ("validation", "test"):
        chosen, used = [], 0
        for name in left:
            if used + len(own[name]) <= room:
                chosen.append(name)
                used += len(own[name])
        left = [name for name in left if name not in chosen]
        parts[part] = tuple(sorted(chosen))
    parts["train"] = tuple(sorted(left))
    texts = {part: "".join(own[name] for name in names) for part, names in parts.items()}
    return Text(texts["train"], texts["validation"], texts["test"], parts)


def _without_repeats(topics: Mapping[str, str]) -> dict[str, str]:
    """Return each topic with those paragraphs only that no topic before it has."""
    seen: set[str] = set()
    own = {}
    for name in sorted(topics):
        kept = []
        for paragraph in re.split(r"\n[ \t]*\n", plain(topics[name])):
            words = " ".join(paragraph.split())  # the same words with other spaces are a repeat
            if words and words not in seen:
                seen.add(words)
                kept.append(paragraph.strip("\n").rstrip() + "\n\n")
        own[name] = "".join(kept)
    return {name: text for name, text in own.items() if text}


def plain(text: str) -> str:
    """Return the text with every character brought into the alphabet.

    >>> plain("“naïve” – ok\\r\\n")
    '"na?ve" - ok\\n'
    """
    text = text.replace("\r\n", "\n")
    for sign, simple in SIGNS.items():
        text = text.replace(sign, simple)
    return re.sub(r"[^\n -~]", "?", text)
