"""The registry: what a claim is, and the decorators that put one there."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ._outcomes import Outcome
from .domains import Domain

# the prefix of a label says which file of this package holds the claim, so that a page that shows
# one claim loads one topic
TOPICS = {
    "mod": "modules",
    "cir": "circles",
    "mm": "linear",
    "hou": "houses",
    "den": "denselayer",
    "ini": "initial",
    "act": "activations",
    "sm": "softmax",
    "nl": "nonlinear",
    "flow": "gradientflow",
    "cmp": "composition",
    "app": "approximation",
    "clo": "clothes",
    "dev": "devices",
    "wal": "walkthrough",
    "per": "perceptron",
    "inz": "initialization",
    "loss": "losses",
    "cls": "classification",
    "div": "divergences",
    "gra": "graphs",
    "bkp": "backprop",
    "pyt": "pytorch",
    "sgd": "sgd",
    "ada": "adaptive",
    "sch": "schedules",
    "dro": "dropout",
    "reg": "regularization",
    "ln": "layernorm",
    "lg": "lngeometry",
    "rms": "rmsnorm",
    "sf": "scalefree",
    "bn": "batchnorm",
    "rs": "runningstats",
    "gn": "groupnorm",
    "bs": "batchsize",
    "cvo": "conv1d",
    "eqv": "equivariance",
    "chn": "channels",
    "cvt": "conv2d",
    "pool": "pooling",
    "cnn": "cnn",
    "res": "residual",
    "pth": "paths",
    "dep": "depth",
    "rn": "resnet",
    "dn": "densenet",
    "att": "attention",
    "til": "tiled",
    "mha": "multihead",
    "trf": "transformer",
    "nor": "normorder",
    "pos": "positions",
    "ngr": "ngrams",
    "lmo": "languagemodel",
    "gen": "generation",
    "pre": "pretrained",
    "mea": "meaning",
}

Check = Callable[..., Outcome]
Exact = Callable[[], list[tuple[str, Any]]]
Measure = Callable[[int], float]
Band = tuple[float | int, float | int]


class ClaimFailed(AssertionError):
    """A claim of the book is not true as stated, or a refutation found no counterexample."""


@dataclass
class Claim:
    """A labelled statement and the functions that give its evidence.

    Attributes:
        label: its name, the label of the theorem in the chapter; it starts with the topic's prefix.
        says: the statement, in Markdown with LaTeX.
        proof: whether a chapter proves it.
        given: the inputs over which it is stated.
        check: the statement on one input; for a refutation, the false statement.
        cases: how many inputs are drawn.
        also: inputs that are always tried, the edges of the domain.
        exact: identities that SymPy must simplify to zero.
        measure: a number for a seed, which must lie in ``band`` for every seed of ``seeds``.
        right: for a refutation, the label of the claim that states what is true.
        refutes: whether it is a refutation.
        varies: whether the number is another one in each run, as a time is. Then the card does not
            show it, so that a page is the same in every build; the page of the build's status does.
    """

    label: str
    says: str
    proof: bool = False
    given: Mapping[str, Domain] = field(default_factory=dict)
    check: Check | None = None
    cases: int = 100
    also: tuple[Mapping[str, Any], ...] = ()
    exact: Exact | None = None
    measure: Measure | None = None
    band: Band | None = None
    seeds: tuple[int, ...] = ()
    unit: str = ""
    right: str | None = None
    refutes: bool = False
    varies: bool = False

    @property
    def topic(self) -> str:
        """The topic whose file and chapter hold the claim."""
        return topic_of(self.label)

    @property
    def evidence(self) -> tuple[str, ...]:
        """The kinds of evidence that the claim has."""
        kinds = {
            "refuted": self.refutes,
            "proof": self.proof,
            "exact": self.exact is not None,
            "cases": self.check is not None and not self.refutes,
            "measured": self.measure is not None,
        }
        return tuple(kind for kind, there in kinds.items() if there)


_registry: dict[str, Claim] = {}


def topic_of(label: str) -> str:
    """Return the topic that a label's prefix names.

    Raises:
        KeyError: if no topic has that prefix.
    """
    prefix = label.partition("-")[0]
    if prefix not in TOPICS:
        known = ", ".join(f"{p}- ({t})" for p, t in TOPICS.items())
        raise KeyError(f"claim {label!r}: no topic has the prefix {prefix!r}; use one of {known}.")
    return TOPICS[prefix]


def _add(new: Claim) -> None:
    topic_of(new.label)
    if new.label in _registry:
        raise ValueError(f"claim {new.label!r} is registered twice; a label names one claim.")
    _registry[new.label] = new


def _parameters(label: str, function: Callable[..., Any], given: Mapping[str, Domain]) -> None:
    wanted = set(inspect.signature(function).parameters)
    named = set(given) | {n for d in given.values() for n in d.names()}
    if missing := sorted(wanted - named):
        raise ValueError(
            f"claim {label!r}: the check takes {missing}, but `given` describes only "
            f"{sorted(named)}; add a domain for each parameter."
        )


def claim(
    label: str,
    *,
    says: str,
    given: Mapping[str, Domain] | None = None,
    proof: bool = False,
    cases: int = 100,
    also: Iterable[Mapping[str, Any]] = (),
) -> Callable[[Check], Check]:
    """Register a statement that holds for every input described by ``given``."""

    def register(check: Check) -> Check:
        domains = dict(given or {})
        _parameters(label, check, domains)
        _add(Claim(label, says, proof, domains, check, cases if domains else 1, tuple(also)))
        return check

    return register


def exact(label: str) -> Callable[[Exact], Exact]:
    """Add an exact proof to a claim: pairs of a name and what SymPy must find zero or true."""

    def register(identities: Exact) -> Exact:
        if label not in _registry:
            raise ValueError(f"exact({label!r}): no such claim yet; put it below the claim.")
        if _registry[label].exact is not None:
            raise ValueError(f"exact({label!r}): the claim has an exact proof already.")
        _registry[label].exact = identities
        return identities

    return register


def refutation(
    label: str,
    *,
    says: str,
    given: Mapping[str, Domain] | None = None,
    right: str | None = None,
    cases: int = 2000,
) -> Callable[[Check], Check]:
    """Register a false statement; the check must fail somewhere, and the page prints where."""

    def register(check: Check) -> Check:
        domains = dict(given or {})
        _parameters(label, check, domains)
        _add(Claim(label, says, False, domains, check, cases, right=right, refutes=True))
        return check

    return register


def measured(
    label: str,
    *,
    says: str,
    band: Band,
    seeds: Iterable[int] = (0, 1, 2),
    unit: str = "",
    varies: bool = False,
) -> Callable[[Measure], Measure]:
    """Register a measurement: a number for each seed, each of which must lie in the band."""

    def register(measure: Measure) -> Measure:
        new = Claim(label, says, measure=measure, band=band, seeds=tuple(seeds), unit=unit)
        new.varies = varies
        _add(new)
        return measure

    return register


def get(label: str) -> Claim:
    """Return one claim; only the file of its topic is loaded.

    Raises:
        KeyError: if there is no such claim.
    """
    if label not in _registry:
        topic = topic_of(label)
        importlib.import_module(f"nnbook.claims.{topic}")
        if label not in _registry:
            there = ", ".join(sorted(n for n, c in _registry.items() if c.topic == topic))
            raise KeyError(f"no claim {label!r} in nnbook.claims.{topic}; there are: {there}.")
    return _registry[label]


def of_topic(topic: str) -> list[Claim]:
    """Return the claims of one topic; only its file is loaded.

    Raises:
        KeyError: if there is no such topic.
    """
    if topic not in TOPICS.values():
        raise KeyError(f"no topic {topic!r}; there are: {', '.join(TOPICS.values())}.")
    importlib.import_module(f"nnbook.claims.{topic}")
    return [claim for claim in _registry.values() if claim.topic == topic]


def registry() -> dict[str, Claim]:
    """Return every claim of the book by label, in the order of the topics."""
    for topic in TOPICS.values():
        importlib.import_module(f"nnbook.claims.{topic}")
    order = list(TOPICS.values())
    return dict(sorted(_registry.items(), key=lambda item: order.index(item[1].topic)))
