"""Where to compute and how much, from the environment; and what an import costs."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import torch

import nnbook
from nnbook._check.values import (
    check_choice,
    check_count,
    check_not_empty,
    check_range,
    check_same_length,
)


def pretend(monkeypatch: pytest.MonkeyPatch, gpus: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)


@pytest.mark.parametrize(
    ("wanted", "gpus", "device"),
    [
        (None, 0, "cpu"),
        (None, 2, "cuda"),
        ("", 1, "cuda"),
        ("auto", 0, "cpu"),
        ("auto", 1, "cuda"),
        ("cpu", 2, "cpu"),
        ("cuda", 1, "cuda"),
        ("cuda:0", 1, "cuda:0"),
        ("cuda:1", 2, "cuda:1"),
        ("cuda:11", 12, "cuda:11"),
    ],
)
def test_device(wanted: str | None, gpus: int, device: str, monkeypatch) -> None:
    pretend(monkeypatch, gpus)
    if wanted is None:
        monkeypatch.delenv("NNBOOK_DEVICE", raising=False)
    else:
        monkeypatch.setenv("NNBOOK_DEVICE", wanted)
    assert nnbook.device() == torch.device(device)


@pytest.mark.errors
@pytest.mark.parametrize(
    ("wanted", "gpus", "error", "match"),
    [
        ("cuda", 0, RuntimeError, "'cuda' was asked for and torch .* sees 0 CUDA devices; install"),
        ("cuda:0", 0, RuntimeError, "sees 0 CUDA"),
        ("cuda:2", 2, RuntimeError, "'cuda:2' was asked for and torch .* sees 2 CUDA devices"),
        ("gpu", 1, ValueError, "NNBOOK_DEVICE: 'gpu' is not a device; set it to auto, cpu, cuda"),
        ("cuda:", 1, ValueError, "is not a device"),
        ("cuda:-1", 1, ValueError, "is not a device"),
        ("cuda:01", 2, ValueError, "is not a device"),
        ("cpu:0", 1, ValueError, "is not a device"),
        ("CUDA", 1, ValueError, "is not a device"),
    ],
)
def test_a_device_that_is_not_there_is_an_error(wanted, gpus, error, match, monkeypatch) -> None:
    pretend(monkeypatch, gpus)
    monkeypatch.setenv("NNBOOK_DEVICE", wanted)
    with pytest.raises(error, match=match):
        nnbook.device()


@pytest.mark.parametrize(
    ("wanted", "profile"), [(None, "quick"), ("", "quick"), ("quick", "quick"), ("full", "full")]
)
def test_profile(wanted: str | None, profile: str, monkeypatch) -> None:
    monkeypatch.delenv("NNBOOK_PROFILE", raising=False)
    if wanted is not None:
        monkeypatch.setenv("NNBOOK_PROFILE", wanted)
    assert nnbook.profile() == profile


@pytest.mark.errors
def test_profile_of_another_name(monkeypatch) -> None:
    monkeypatch.setenv("NNBOOK_PROFILE", "fast")
    with pytest.raises(ValueError, match=r"profile='fast' is not known; use one of \['full', 'qui"):
        nnbook.profile()


def test_profile_data_and_figures_do_without_torch() -> None:
    code = """
import sys, nnbook
nnbook.profile()
from nnbook import data, plot
data.houses, plot.show, plot.decision_boundary, plot.confusion, plot.learning_curve
import nnbook.plot.areas, nnbook.plot.recolor, nnbook.data.fashion
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


# The rules of arguments.


@pytest.mark.errors
@pytest.mark.parametrize("ends", ["[]", "[)", "(]", "()"])
def test_ends_of_a_range(ends: str) -> None:
    outside = [0.9, 2.1, float("nan")]
    inside = [1.5]
    (inside if ends[0] == "[" else outside).append(1.0)
    (inside if ends[1] == "]" else outside).append(2.0)
    for number in inside:
        check_range("f", "x", number, 1.0, 2.0, ends=ends)
    for number in outside:
        message = f"f: x={number} lies outside {ends[0]}1, 2{ends[1]}; give a number inside."
        with pytest.raises(ValueError, match=re.escape(message)):
            check_range("f", "x", number, 1.0, 2.0, ends=ends)


@pytest.mark.errors
def test_rules_of_counts_choices_and_lengths() -> None:
    assert check_count("f", "n", 3) == 3
    assert check_count("f", "n", 0, least=0) == 0
    for got, error, match in [
        (0, ValueError, "f: n=0 is too small; give a whole number >= 1"),
        (2.0, TypeError, r"f: n=2\.0 is a float; give an int"),
        (True, TypeError, "f: n=True is a bool; give an int"),
        ("3", TypeError, "f: n='3' is a str; give an int"),
    ]:
        with pytest.raises(error, match=match):
            check_count("f", "n", got)
    check_choice("f", "mode", "a", ("a", "b"))
    with pytest.raises(ValueError, match=r"f: mode='c' is not known; use one of \['a', 'b'\]"):
        check_choice("f", "mode", "c", ("b", "a"))
    check_same_length("f", "x", [1], "y", "a")
    with pytest.raises(ValueError, match="f: x has 1 entries and y has 2; give both the same"):
        check_same_length("f", "x", [1], "y", [1, 2])
    check_not_empty("f", "x", [0])
    with pytest.raises(ValueError, match="f: x is empty; give at least one entry"):
        check_not_empty("f", "x", [])
