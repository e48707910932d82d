"""RMSprop, Adagrad, Adam, AdamW, NAdam, RAdam: equal to torch.optim for every option."""

from __future__ import annotations

import copy
import itertools
import pickle

import pytest
import torch
from optimtools import assert_same, problem, run

from nnbook import optim


def every(**choices):
    """Return all combinations of options."""
    return [dict(zip(choices, c, strict=True)) for c in itertools.product(*choices.values())]


DECAY, SWITCH = (0, 0.07), (False, True)
CASES = {
    "RMSprop": every(
        momentum=(0, 0.9), centered=SWITCH, weight_decay=DECAY, alpha=(0.99, 0.5), maximize=SWITCH
    ),
    "Adagrad": every(
        lr_decay=(0, 0.1), initial_accumulator_value=(0, 0.3), weight_decay=DECAY, maximize=SWITCH
    ),
    "Adam": every(
        amsgrad=SWITCH, weight_decay=DECAY, betas=((0.9, 0.999), (0.5, 0.6)), maximize=SWITCH
    )
    + every(decoupled_weight_decay=(True,), weight_decay=DECAY, eps=(1e-8, 0.1)),
    "AdamW": every(amsgrad=SWITCH, weight_decay=(0, 0.01, 0.5), maximize=SWITCH, eps=(1e-8, 0.1)),
    "NAdam": every(
        decoupled_weight_decay=SWITCH,
        weight_decay=DECAY,
        momentum_decay=(0, 0.004, 0.5),
        maximize=SWITCH,
        eps=(1e-8, 0.1),
    ),
    "RAdam": every(
        decoupled_weight_decay=SWITCH,
        weight_decay=DECAY,
        betas=((0.9, 0.999), (0.9, 0.95)),
        maximize=SWITCH,
        eps=(1e-8, 0.1),
    ),
}
ALL = [(name, options) for name, several in CASES.items() for options in several]
RICH = {
    "RMSprop": {"momentum": 0.9, "centered": True},
    "Adagrad": {"lr_decay": 0.1},
    "Adam": {"amsgrad": True, "weight_decay": 0.1},
    "AdamW": {"weight_decay": 0.1},
    "NAdam": {"weight_decay": 0.1},
    "RAdam": {"weight_decay": 0.1},
}


def pair(name):
    """Return our class and torch's."""
    return getattr(optim, name), getattr(torch.optim, name)


@pytest.mark.parametrize(("name", "options"), ALL, ids=str)
def test_twelve_steps_are_those_of_torch(name, options):
    (ours, theirs), (mine, its) = (problem(), problem()), pair(name)
    options = {"lr": 0.03} | options
    assert_same(run(ours, mine(ours, **options)), run(theirs, its(theirs, **options)))


@pytest.mark.parametrize("name", CASES)
def test_the_defaults_are_those_of_torch(name):
    (ours, theirs), (mine, its) = (problem(), problem()), pair(name)
    a, b = mine(ours), its(theirs)
    assert a.defaults == b.defaults
    assert_same(run(ours, a), run(theirs, b))
    first, second = a.state_dict(), b.state_dict()
    assert first["param_groups"] == second["param_groups"]
    for i, state in second["state"].items():
        assert first["state"][i].keys() == state.keys()
        for key, value in state.items():
            torch.testing.assert_close(first["state"][i][key], value, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_the_state_of_one_is_loaded_into_the_other(name, back):
    first, second = pair(name)[:: -1 if back else 1]
    ours, theirs = problem(), problem()
    a, b = (first(p, lr=0.03, **RICH[name]) for p in (ours, theirs))
    run(ours, a, 5), run(theirs, b, 5)
    other = second(theirs, lr=9.0)
    other.load_state_dict(copy.deepcopy(b.state_dict()))
    # torch loads the product that NAdam keeps in float32 as float64, so that it rounds differently
    rtol = 1e-9 if name == "NAdam" else 1e-12
    assert_same(run(ours, a, 7, 5), run(theirs, other, 7, 5), rtol)


@pytest.mark.parametrize("name", CASES)
def test_float32_and_bfloat16(name):
    for dtype, rtol in ((torch.float32, 1e-4), (torch.bfloat16, 0.1)):
        (ours, theirs), (mine, its) = (problem(dtype=dtype), problem(dtype=dtype)), pair(name)
        a, b = mine(ours, lr=0.01, **RICH[name]), its(theirs, lr=0.01, **RICH[name])
        assert_same(run(ours, a, 6), run(theirs, b, 6), rtol)
        assert all(p.dtype == dtype for p in ours)
        assert all(v.dtype == dtype for v in a.state[ours[0]].values() if v.dim())


@pytest.mark.parametrize("name", CASES)
def test_pickling_groups_and_a_group_that_comes_later(name):
    (ours, theirs), (mine, its) = (problem(), problem()), pair(name)
    paths = []
    for params, kind in ((ours, mine), (theirs, its)):
        optimizer = kind([{"params": params[:2], "lr": 0.1, "weight_decay": 0.3}], lr=0.01)
        path = run(params, optimizer, 3)
        optimizer.add_param_group({"params": params[2:], "eps": 0.01})
        params, optimizer = pickle.loads(pickle.dumps((params, optimizer)))
        paths.append(path + run(params, optimizer, 5, 3))
    assert_same(*paths)


@pytest.mark.parametrize("name", CASES)
def test_a_gradient_of_zero_and_huge_and_tiny_ones(name):
    for scale in (0.0, 1e-20, 1e20):
        (ours, theirs), (mine, its) = (problem(), problem()), pair(name)
        assert_same(
            run(ours, mine(ours, lr=0.01), scale=scale),
            run(theirs, its(theirs, lr=0.01), scale=scale),
            1e-11,
        )


def test_radam_divides_only_when_it_may():
    p = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    radam, moves = optim.RAdam([p], lr=1.0), []
    for _ in range(7):
        before = p.item()
        p.grad = torch.full((1,), 100.0, dtype=torch.float64)
        radam.step()
        moves.append(before - p.item())
    assert moves[:5] == pytest.approx([100.0] * 5)  # rho is at most 5 up to the fifth step
    assert max(moves[5:]) < 1


def test_adamw_stays_decoupled_whatever_is_loaded():
    params = problem()
    state = torch.optim.Adam(params, weight_decay=0.1).state_dict()
    adamw = optim.AdamW(params)
    adamw.load_state_dict(state)
    assert adamw.param_groups[0]["decoupled_weight_decay"] is True


def test_a_step_makes_no_new_memory_after_the_first():
    from torch.utils._python_dispatch import TorchDispatchMode

    class Sizes(TorchDispatchMode):
        def __init__(self):
            super().__init__()
            self.made = []

        def __torch_dispatch__(self, op, types, args=(), kwargs=None):
            out = op(*args, **(kwargs or {}))
            known = {a.untyped_storage().data_ptr() for a in args if isinstance(a, torch.Tensor)}
            known |= {
                a.untyped_storage().data_ptr()
                for a in (kwargs or {}).values()
                if isinstance(a, torch.Tensor)
            }
            if isinstance(out, torch.Tensor) and out.untyped_storage().data_ptr() not in known:
                self.made.append((str(op), out.numel()))
            return out

    params = problem()
    for make in (
        lambda: optim.AdamW(params),
        lambda: optim.Adam(params, amsgrad=True, weight_decay=0.1, maximize=True),
        lambda: optim.NAdam(params, weight_decay=0.1),
        lambda: optim.RAdam(params),
        lambda: optim.RMSprop(params, centered=True, momentum=0.9),
        lambda: optim.Adagrad(params),
        lambda: optim.SGD(params, momentum=0.9, nesterov=True, weight_decay=0.1),
    ):
        optimizer = make()
        run(params, optimizer, 2)
        with Sizes() as sizes:
            optimizer.step()
        assert [s for s in sizes.made if s[1] > 1] == []


@pytest.mark.errors
@pytest.mark.parametrize(
    ("name", "options", "error", "text"),
    [
        ("Adam", {"betas": (1.0, 0.9)}, ValueError, r"Adam: betas=1.0 lies outside \[0, 1\)"),
        ("AdamW", {"betas": (0.9, -0.1)}, ValueError, "AdamW: betas=-0.1 lies outside"),
        ("NAdam", {"eps": -1.0}, ValueError, "NAdam: eps=-1.0 lies outside"),
        ("NAdam", {"momentum_decay": -1.0}, ValueError, "NAdam: momentum_decay=-1.0"),
        ("RAdam", {"lr": float("nan")}, ValueError, "RAdam: lr=nan lies outside"),
        ("RMSprop", {"alpha": -0.5}, ValueError, "RMSprop: alpha=-0.5"),
        ("RMSprop", {"momentum": -0.5}, ValueError, "RMSprop: momentum=-0.5"),
        ("Adagrad", {"lr_decay": -0.5}, ValueError, "Adagrad: lr_decay=-0.5"),
        ("Adagrad", {"initial_accumulator_value": -1.0}, ValueError, "Adagrad: initial_acc"),
        ("Adagrad", {"weight_decay": -1.0}, ValueError, "Adagrad: weight_decay=-1.0"),
        ("Adam", {"fused": True}, NotImplementedError, "Adam: fused=True is not taught"),
        ("AdamW", {"capturable": True}, NotImplementedError, "AdamW: capturable=True is not"),
        ("RAdam", {"foreach": True}, NotImplementedError, "RAdam: foreach=True is not taught"),
        ("NAdam", {"differentiable": True}, NotImplementedError, "NAdam: differentiable=True"),
    ],
)
def test_what_is_refused(name, options, error, text):
    with pytest.raises(error, match=text):
        getattr(optim, name)(problem(), **options)
