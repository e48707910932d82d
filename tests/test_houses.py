"""What the claims about the house table and the tax rest on, and that they can fail."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tools import close

from nnbook import data
from nnbook.claims import ClaimFailed, run
from nnbook.claims import houses as claims
from nnbook.claims._core import get


@pytest.mark.parametrize("income", [0.0, 1.0, 9_999.0, 10_000.0, 40_000.0, 50_000.0, 80_000.0, 3e6])
def test_the_tax_as_relus_is_the_tax_by_brackets(income):
    close(claims.progressive_tax(income), claims.tax_by_brackets(income))


def test_the_tax_of_three_incomes_by_hand():
    got = [claims.progressive_tax(x) for x in (10_000.0, 40_000.0, 80_000.0)]
    close(got, [0.0, 6_000.0, 20_000.0])


def test_the_line_to_the_largest_pair_is_found_without_the_library():
    table = data.houses()
    price = [
        sum(w * x for w, x in zip(weights, house, strict=True)) + b
        for house in table.x
        for weights, b in zip(table.weights, table.biases, strict=True)
    ]
    doubled = [2 * p - b for p, b in zip(price, [*table.biases] * 4, strict=True)]
    slope = max(doubled) / max(price)
    gaps = [slope * p - d for p, d in zip(price, doubled, strict=True)]
    got = claims.source_line()
    close(got, (slope, sum(abs(g) < 1e-6 for g in gaps), max(gaps)))


@pytest.mark.parametrize("label", ["hou-prices", "hou-lines"])
@pytest.mark.parametrize("what", ["weights", "biases", "x"])
def test_a_table_with_one_other_number_fails(label, what, monkeypatch):
    table = data.houses()
    changed = getattr(table, what).copy()
    changed.flat[0] += 10.0 * (1 if what == "weights" else 1000)
    monkeypatch.setattr(claims, "houses", lambda: replace(table, **{what: changed}))
    with pytest.raises(ClaimFailed, match=f"'{label}' is false"):
        run(get(label))


def test_a_house_that_depends_on_the_others_fails(monkeypatch):
    table = data.houses()
    x = table.x.copy()
    x[3] = (x[0] + x[1]) / 2
    monkeypatch.setattr(claims, "houses", lambda: replace(table, x=x))
    with pytest.raises(ClaimFailed, match="'hou-fit' is false"):
        run(get("hou-fit"))


def test_a_table_without_biases_doubles(monkeypatch):
    table = data.houses()
    monkeypatch.setattr(claims, "houses", lambda: replace(table, biases=np.zeros(3)))
    with pytest.raises(ClaimFailed, match="the statement holds"):
        run(get("hou-doubling-source"))
