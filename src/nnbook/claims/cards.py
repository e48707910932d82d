"""The card that a chapter shows under a theorem: what was checked, how, and how closely."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ._core import ClaimFailed, get
from ._outcomes import show
from ._run import Result, run

FACTS = "nnbook_claim"
"""Where the metadata of an output hold what a card says for a machine, for the ledger."""


@dataclass(frozen=True)
class Card:
    """A piece of Markdown that a notebook renders, and what it says for a machine."""

    text: str
    facts: dict[str, Any] | None = None

    def _repr_mimebundle_(self, **options: object) -> tuple[dict[str, str], dict[str, Any]]:
        facts = {} if self.facts is None else {FACTS: self.facts}
        return {"text/markdown": self.text, "text/plain": self.text}, facts

    def __repr__(self) -> str:
        return self.text


def domain(result: Result) -> str:
    """Return the inputs of a claim in LaTeX, one after the other."""
    return ", ".join(f"${d.text(_latex(n))}$" for n, d in result.claim.given.items())


def _latex(name: str) -> str:
    greek = {"gamma", "beta", "alpha", "eps", "delta", "eta", "theta", "sigma", "lam"}
    letter, _, index = name.partition("_")
    if not index and letter[-1:].isdigit() and letter[:-1].isalpha():
        letter, index = letter[:-1], letter[-1]
    letter = {"eps": r"\varepsilon", "lam": r"\lambda"}.get(
        letter, "\\" + letter if letter in greek else letter
    )
    letter = letter if len(letter) == 1 or letter.startswith("\\") else rf"\mathrm{{{letter}}}"
    return f"{letter}_{{{index}}}" if index else letter


def evidence(result: Result) -> list[str]:
    """Return one line of Markdown for each kind of evidence."""
    claim = result.claim
    lines = []
    if claim.proof:
        lines.append(f"**proof** {{prf:ref}}`{claim.label}`")
    if result.identities:
        lines.append(f"**exact** by SymPy: {'; '.join(result.identities)}")
    if result.cases > 1:
        worst = "no error at all" if result.worst == 0 else f"worst error {result.worst:.1e}"
        allowed = f", allowed {result.allowed:.0e}" if result.worst else ""
        lines.append(f"**cases** {result.cases} drawn over {domain(result)}: {worst}{allowed}")
    elif result.cases:
        lines.append("**case** the statement names one case, which was run")
    if result.values:
        lines.append(f"**measured** {_measurement(result)}")
    return lines


def _measurement(result: Result) -> str:
    claim = result.claim
    lo, hi = claim.band or (0.0, 0.0)
    seeds = ", ".join(map(str, claim.seeds))
    if claim.varies:
        return (
            f"{claim.unit}, between {lo:g} and {hi:g} for seeds {seeds}; the numbers differ from "
            "run to run, and those of this build are on the page of its status"
        )
    seen = ", ".join(f"{v:.4g}" for v in result.values)
    return f"{claim.unit} {seen} for seeds {seeds} (each must lie in {lo:g} to {hi:g})"


def found(result: Result) -> str:
    """Return the counterexample as Markdown."""
    if not result.counterexample:
        return f"Its one case: {result.seen}."
    # no-break spaces, so that a narrow page does not tear a name from its value
    values = ", ".join(
        f"`{name}\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{show(v)}`"
        for name, v in result.counterexample.items()
    )
    return f"Smallest counterexample found: {values}; {result.seen}."


def lines(result: Result) -> list[str]:
    """Return all that running a claim gave, one line of Markdown for each kind of evidence."""
    return [f"**refuted** {found(result)}"] if result.claim.refutes else evidence(result)


def verify(label: str) -> Card:
    """Run the claim and return its card.

    Args:
        label: the label of the claim, which is the label of its theorem.

    Raises:
        ClaimFailed: if the claim does not hold, or if it is a refutation.
        KeyError: if there is no such claim.

    Examples:
        >>> print(verify("ln-shift").text.splitlines()[1])
        ::::{admonition} Checked: `ln-shift`
    """
    claim = get(label)
    if claim.refutes:
        raise ClaimFailed(f"{label!r} is a refutation; show it by refute({label!r}).")
    result = run(claim)
    listed = "\n".join(f"- {line}" for line in lines(result))
    body = f"{claim.says}\n\n{listed}\n\n{{ref}}`In the ledger <claim-{label}>`."
    return _card(result, "Checked", body)


def refute(label: str) -> Card:
    """Search the smallest counterexample to a false statement and return its card.

    Args:
        label: the label of the refutation.

    Raises:
        ClaimFailed: if no counterexample is found, or if the label is no refutation.
        KeyError: if there is no such claim.
    """
    claim = get(label)
    if not claim.refutes:
        raise ClaimFailed(f"{label!r} is not a refutation; show it by verify({label!r}).")
    result = run(claim)
    right = _right(claim.right)
    link = f"{{ref}}`In the ledger <claim-{label}>`."
    body = f"*False:* {claim.says}\n\n{found(result)}\n\n{right}{link}"
    return _card(result, "Refuted", body)


def _right(label: str | None) -> str:
    if label is None:
        return ""
    where = f"{{prf:ref}}`{label}`" if get(label).proof else f"{{ref}}`{label} <card-{label}>`"
    return f"What is right: {where}. "


def _card(result: Result, word: str, body: str) -> Card:
    label = result.claim.label
    head = f"::::{{admonition}} {word}: `{label}`\n:class: claim claim-{word.lower()}"
    facts: dict[str, Any] = {"label": label, "lines": lines(result)}
    if result.claim.varies:
        facts["measured"] = [result.claim.unit, *(f"{v:.4g}" for v in result.values)]
    return Card(f"(card-{label})=\n{head}\n\n{body}\n::::\n", facts)
