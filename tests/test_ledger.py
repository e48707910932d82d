"""The ledger and the errata: complete, and readable Markdown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from nnbook.claims import (
    ClaimFailed,
    Close,
    _core,
    became,
    claim,
    errata,
    ledger,
    refutation,
    refute,
    statements,
    verify,
)
from nnbook.claims import pages as rendering
from nnbook.claims._core import TOPICS
from nnbook.claims.cards import FACTS
from nnbook.claims.domains import Scalar
from nnbook.claims.statements import Statement

BOOK = Path(__file__).parent.parent / "book"


@pytest.fixture
def little(monkeypatch):
    """Leave one claim, one refutation and three statements of the topic modules."""
    _core.registry()  # every file is loaded, so that none adds its claims later
    monkeypatch.setattr(_core, "_registry", {})

    @claim("mod-one", says=r"$a \cdot 1 = a$", given={"a": Scalar()})
    def one(a):
        return Close(a * 1, a)

    @refutation("mod-two", says="$2a = a$", given={"a": Scalar()}, right="mod-one")
    def two(a):
        return Close(2 * a, a)

    rows = (
        Statement("XX-01", "modules", "One.", "as stated", "", ("mod-one",)),
        Statement("XX-02", "modules", "Two.", "refuted", "Only for $a = 0$.", ("mod-two",)),
        Statement("XX-03", "modules", "Three.", "opinion", "A matter of taste.", ()),
        Statement("XX-04", "linear", "Four.", "refuted", "It is four.", ("mod-two",)),
    )
    monkeypatch.setattr(rendering, "statements", lambda: rows)


@pytest.mark.parametrize("page", ["ledger", "errata"])
def test_a_page_has_a_section_for_every_topic_in_their_order(page):
    text = (BOOK / f"{page}.md").read_text()
    calls = re.findall(r"^(became|errata)\(\"(\w+)\"\)$", text, re.MULTILINE)
    calls += re.findall(r"^```\{claim-(ledger)\} (\w+)$", text, re.MULTILINE)
    kinds = ["became", "ledger"] if page == "ledger" else ["errata"]
    treated = {s.topic for s in statements()}  # some topics are of the book alone
    topics = {kind: [t for t in TOPICS.values() if t in treated] for kind in kinds}
    topics["ledger"] = list(TOPICS.values())
    assert calls == [(kind, topic) for kind in kinds for topic in topics[kind]]


def test_the_map_of_the_book_names_every_chapter():
    toc = yaml.safe_load((BOOK / "_toc.yml").read_text())
    files = [c["file"] for part in toc["parts"] for c in part["chapters"] if "/" in c["file"]]
    text = (BOOK / "intro.md").read_text()
    named = re.findall(r"^\| \[\]\((\w+/\w+)\.md\) \|", text, re.MULTILINE)
    assert named == [f for f in files if not f.startswith("api/")]


def test_the_ledger_says_what_is_claimed_and_links_both_ways(little):
    text = ledger("modules").text
    first, second = text.split("\n\n")
    assert first.startswith("[]{#claim-mod-one} {ref}`mod-one <card-mod-one>`\n: $a")
    assert re.search(r"- \*\*cases\*\* 100 drawn .*: no error at all", first)
    assert "\n: *False:* $2a = a$\n" in second
    assert "a\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}1`" in second, (
        "a name and its value stay together"
    )


def test_the_ledger_runs_the_claims(little):
    @claim("mod-wrong", says="3 is 4", given={})
    def wrong():
        return Close(3, 4)

    with pytest.raises(ClaimFailed, match="'mod-wrong' is false"):
        ledger("modules")


def test_the_ledger_takes_what_the_cards_say(little):
    shown = {"mod-one": ["**cases** 7 drawn"], "mod-two": ["**refuted** at 1"]}
    text = ledger("modules", shown).text
    assert "- **cases** 7 drawn\n" in text
    assert "- **refuted** at 1\n" in text
    with pytest.raises(KeyError, match="mod-two"):
        ledger("modules", {"mod-one": []})


def test_a_card_says_the_same_to_a_machine(little):
    for card in (verify("mod-one"), refute("mod-two")):
        bundle, metadata = card._repr_mimebundle_()
        facts = metadata[FACTS]
        assert facts["lines"]
        assert all(
            line.removeprefix("**refuted** ") in bundle["text/markdown"] for line in facts["lines"]
        )
        assert f"- {facts['lines'][0]}" in ledger("modules").text
    assert became("modules")._repr_mimebundle_()[1] == {}


def test_a_topic_without_claims_or_without_a_name_is_an_error(little):
    with pytest.raises(ValueError, match="the topic 'layernorm' has no claims"):
        ledger("layernorm")
    with pytest.raises(KeyError, match="no topic 'nothing'; there are: modules, "):
        ledger("nothing")


def test_each_statement_is_listed_with_its_verdict_and_reason(little):
    one, two, three = became("modules").text.split("\n\n")
    assert one == (
        "XX-01: as stated\n: *The source, in our words:* One.\n"
        "  - **Shown by** {ref}`mod-one <claim-mod-one>`"
    )
    assert "{ref}`mod-two <claim-mod-two>`" in two
    assert "Right" not in one + two + three, "the right form stands in the errata"
    assert three.strip().endswith("- **Why:** A matter of taste.")


def test_the_errata_list_what_does_not_hold_with_the_right_form(little):
    text = errata("modules").text
    assert re.findall(r"^XX-\d+: \w+", text, re.MULTILINE) == ["XX-02: refuted"]
    assert "- **Right:** Only for $a = 0$.\n" in text


def test_a_topic_on_which_nothing_is_wrong_says_so(little, monkeypatch):
    monkeypatch.setattr(rendering, "statements", lambda: ())
    assert "holds as it stands" in errata("modules").text
    assert "states nothing" in became("modules").text
