"""Compositions against torch, against NumPy, and the texts of their errors."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tools import close, numeric_vjp, torch_vjp

from nnbook import scratch
from nnbook.nn import (
    MLP,
    Identity,
    Linear,
    Parallel,
    ReLU,
    Residual,
    Sequential,
    Skip,
    Tanh,
    combine,
    mlp_parameters,
)
from nnbook.scratch import bind, mm, mm_vjp, parallel, relu, relu_vjp, residual, sequential
from nnbook.scratch import tanh as np_tanh
from nnbook.scratch import tanh_vjp as np_tanh_vjp

tnn = torch.nn
TANH, RELU = (np_tanh, np_tanh_vjp), (relu, relu_vjp)


def affine(rng, n, m):
    W, b = rng.normal(size=(n, m)), rng.normal(size=n)
    return W, b, bind(mm, mm_vjp, W, b)


# --- NumPy: values and gradients against torch and against differences -------------------------


def case(name, rng):
    """A composition of R^3 in NumPy, the same in torch, and the length of its output."""
    (A, a, f), (B, b, g), (C, c, h) = affine(rng, 5, 3), affine(rng, 3, 5), affine(rng, 3, 3)
    A, a, B, b, C, c = (torch.tensor(t) for t in (A, a, B, b, C, c))
    lin = torch.nn.functional.linear
    both = sequential(f, TANH, g)

    def torch_both(x):
        return lin(torch.tanh(lin(x, A, a)), B, b)

    return {
        "chain": (both, torch_both, 3),
        "one": (sequential(f), lambda x: lin(x, A, a), 5),
        "none": (sequential(), lambda x: x * 1, 3),
        "sum": (parallel(both, h), lambda x: torch_both(x) + lin(x, C, c), 3),
        "mean": (
            parallel(both, h, TANH, combine="mean"),
            lambda x: (torch_both(x) + lin(x, C, c) + torch.tanh(x)) / 3,
            3,
        ),
        "concat": (
            parallel(f, h, combine="concat"),
            lambda x: torch.cat([lin(x, A, a), lin(x, C, c)], -1),
            8,
        ),
        "residual": (residual(both), lambda x: x + torch_both(x), 3),
        "projected": (residual(f, projection=f), lambda x: 2 * lin(x, A, a), 5),
        "nested": (
            sequential(residual(parallel(both, residual(h))), TANH, f),
            lambda x: lin(torch.tanh(2 * x + torch_both(x) + lin(x, C, c)), A, a),
            5,
        ),
    }[name]


CASES = ["chain", "one", "none", "sum", "mean", "concat", "residual", "projected", "nested"]


@pytest.mark.parametrize("batch", [(), (1,), (4, 2), (0,)])
@pytest.mark.parametrize("name", CASES)
def test_scratch_is_torch(name, batch, rng):
    (f, f_vjp), torch_f, width = case(name, rng)
    x, v = rng.normal(size=(*batch, 3)) * 2, rng.normal(size=(*batch, width)) * 3
    value, (grad,) = torch_vjp(torch_f, (x,), v)
    close(f(x), value)
    close(f_vjp(v, x), grad)


@pytest.mark.parametrize("name", CASES)
def test_scratch_gradients_are_differences(name, rng):
    (f, f_vjp), _, width = case(name, rng)
    x, v = rng.normal(size=(2, 3)), rng.normal(size=(2, width))
    close(f_vjp(v, x), numeric_vjp(f, (x,), v)[0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_scratch_keeps_float32(name, rng):
    W, b = (rng.normal(size=s).astype(np.float32) for s in ((3, 3), 3))
    f = bind(mm, mm_vjp, W, b)
    g, g_vjp = residual(parallel(sequential(f, TANH), f, combine="mean"))
    x, v = rng.normal(size=(2, 2, 3)).astype(np.float32)
    assert g(x).dtype == g_vjp(v, x).dtype == np.float32


def test_scratch_values_are_computed_once_each(rng):
    """The way back costs one value of each map, not one per map behind it."""
    calls = []
    f = (lambda x: calls.append(0) or 2 * x, lambda v, x: 2 * v)
    _, f_vjp = sequential(*[f] * 10)
    close(f_vjp(np.ones(2), np.ones(2)), np.full(2, 2.0**10))
    assert len(calls) <= 10


def test_bind_keeps_only_the_gradient_of_the_input(rng):
    W, b, (_, f_vjp) = affine(rng, 2, 3)
    v, x = rng.normal(size=2), rng.normal(size=3)
    close(f_vjp(v, x), v @ W)
    assert isinstance(f_vjp(v, x), np.ndarray)
    close(
        bind(relu, relu_vjp)[1](np.array([2.0, 3.0]), np.array([-1.0, 1.0])), np.array([0.0, 3.0])
    )
    assert bind(mm, mm_vjp, W, b)[0].__name__ == "mm"


# --- Sequential, operation by operation, beside torch's -----------------------------------------


def twins(n=3, names=None):
    """The same modules in our Sequential and in torch's."""
    modules = [tnn.Linear(i + 1, i + 2) for i in range(n)]
    if names:
        modules = [OrderedDict(zip(names, modules, strict=True))]
    return Sequential(*modules), tnn.Sequential(*modules)


def same(ours, theirs):
    assert list(ours._modules.items()) == list(theirs._modules.items())
    assert isinstance(ours, Sequential)


OPERATIONS = {
    "slice": lambda s: s[1:],
    "slice to": lambda s: s[:-1],
    "step": lambda s: s[::2],
    "backwards": lambda s: s[::-1],
    "nothing": lambda s: s[5:],
    "append": lambda s: s.append(MARK),
    "append to a head": lambda s: s[:2].append(MARK),
    "extend": lambda s: s.extend([MARK, MARK]),
    "insert": lambda s: s.insert(1, MARK),
    "insert first": lambda s: s.insert(0, MARK),
    "insert last": lambda s: s.insert(3, MARK),
    "insert -1": lambda s: s.insert(-1, MARK),
    "insert -3": lambda s: s.insert(-3, MARK),
    "delete": lambda s: s.__delitem__(1) or s,
    "delete last": lambda s: s.__delitem__(-1) or s,
    "delete slice": lambda s: s.__delitem__(slice(0, 2)) or s,
    "delete step": lambda s: s.__delitem__(slice(None, None, 2)) or s,
    "assign": lambda s: s.__setitem__(1, MARK) or s,
    "assign last": lambda s: s.__setitem__(-1, MARK) or s,
    "pop": lambda s: (s.pop(0), s)[1],
    "add": lambda s: s + s,
    "times": lambda s: s * 2,
    "times left": lambda s: 3 * s,
}
MARK = tnn.Tanh()


@pytest.mark.parametrize("name", OPERATIONS)
def test_sequential_does_what_torch_does(name):
    ours, theirs = twins()
    same(OPERATIONS[name](ours), OPERATIONS[name](theirs))
    same(ours, theirs)  # what was changed in place, too


@pytest.mark.parametrize("name", ["slice", "delete", "assign", "append", "add", "times", "pop"])
def test_named_sequential_does_what_torch_does(name):
    ours, theirs = twins(names=["first", "second", "third"])
    same(OPERATIONS[name](ours), OPERATIONS[name](theirs))
    same(ours, theirs)


def test_sequential_in_place_operators():
    ours, theirs = twins()
    kept = ours
    ours += Sequential(MARK)
    theirs += tnn.Sequential(MARK)
    same(ours, theirs)
    ours *= 3
    theirs *= 3
    same(ours, theirs)
    assert kept is ours


def test_sequential_pop_returns_what_it_takes_out():
    ours, theirs = twins()
    last = ours[-1]
    assert ours.pop(-1) is last
    same(ours.pop(slice(0, 1)), theirs[:1])
    assert len(ours) == 1


def test_sequential_indexing_iteration_and_names():
    ours, theirs = twins(names=["a", "b", "c"])
    assert [ours[i] for i in (-3, -1, 0, 2)] == [theirs[i] for i in (-3, -1, 0, 2)]
    assert list(ours) == list(theirs)
    assert len(ours) == 3
    assert ours.b is theirs.b
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    assert repr(ours) == repr(theirs)
    assert "0" not in dir(twins()[0])
    assert "forward" in dir(ours)
    assert list(Sequential(MARK, MARK)) == [MARK, MARK]  # a shared module twice


def test_a_slice_of_a_subclass_keeps_its_class_unless_its_constructor_differs():
    class Named(Sequential):
        pass

    assert type(Named(MARK, MARK)[:1]) is Named
    assert type(MLP([2, 3, 1])[:2]) is Sequential


@pytest.mark.errors
@pytest.mark.parametrize(
    ("act", "error"),
    [
        (lambda s: s[3], IndexError),
        (lambda s: s[-4], IndexError),
        (lambda s: s[1.0], TypeError),
        (lambda s: s.insert(4, MARK), IndexError),
        (lambda s: s.insert(-4, MARK), IndexError),
        (lambda s: s.insert(0, 3), AssertionError),
        (lambda s: s.append(3), TypeError),
        (lambda s: s + 3, ValueError),
        (lambda s: s.__iadd__(3), ValueError),
        (lambda s: s * 0, ValueError),
        (lambda s: s * 1.5, TypeError),
    ],
)
def test_sequential_raises_where_torch_raises(act, error):
    for whole in twins():
        with pytest.raises(error):
            act(whole)


@pytest.mark.errors
def test_sequential_never_replaces_a_module_silently():
    """torch's append on such a slice loses a module; ours says so, and names the way out."""
    ours, theirs = twins()
    tail = ours[1:]
    assert len(theirs[1:].append(MARK)) == 2
    with pytest.raises(ValueError, match=r"the name '2' is taken, the names are \['1', '2'\]"):
        tail.append(MARK)
    assert len(Sequential(*tail).append(MARK)) == 3
    assert len(ours.extend(ours)) == 6  # torch's goes over itself while it grows, and fails


@pytest.mark.errors
def test_sequential_insert_into_names():
    with pytest.raises(ValueError, match=r"Sequential.insert: .* \['a', 'b'\].*OrderedDict"):
        twins(2, ["a", "b"])[0].insert(0, MARK)


# --- values, gradients, state ------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bias", [True, False])
def test_mlp_is_torch(dtype, bias, rng):
    sizes = [3, 7, 5, 2]
    torch.manual_seed(3)
    ours = MLP(sizes, Tanh, bias=bias, dtype=dtype)
    torch.manual_seed(3)
    layers = [tnn.Linear(m, n, bias, dtype=dtype) for m, n in pairwise(sizes)]
    theirs = tnn.Sequential(layers[0], tnn.Tanh(), layers[1], tnn.Tanh(), layers[2])
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        close(p, q, 1e-6, 1e-7)  # the same initial values
    theirs.load_state_dict(ours.state_dict(), strict=True)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x, v = rng.normal(size=(4, 3)), torch.tensor(rng.normal(size=(4, 2))).to(dtype)
    values, grads = [], []
    for model in (ours, theirs):
        z = torch.tensor(x).to(dtype).requires_grad_()
        y = model(z)
        values.append(y)
        grads.append(torch.autograd.grad(y, [z, *model.parameters()], v))
    tol = {torch.float64: 1e-9, torch.float32: 1e-5, torch.bfloat16: 3e-2}[dtype]
    close(values[0], values[1], tol, tol)
    close(grads[0], grads[1], tol, tol)
    assert (
        ours.parameter_count == mlp_parameters(sizes, bias) == sum(map(torch.numel, grads[0][1:]))
    )
    assert values[0].dtype == dtype


def test_mlp_has_one_activation_less_than_affine_maps():
    kinds = [type(m) for m in MLP([2, 3, 4, 1])]
    assert kinds == [Linear, ReLU, Linear, ReLU, Linear]
    model = MLP([2, 3, 4, 1])
    assert model[1] is not model[3]
    assert model.sizes == (2, 3, 4, 1)
    assert [type(m) for m in MLP([2, 1])] == [Linear]


def module_case(name):
    """A composition in torch and in NumPy, with the same weights."""
    A, B, C = (Linear(m, n, dtype=torch.float64) for m, n in ((3, 5), (5, 3), (3, 3)))

    def pair(m):
        return bind(mm, mm_vjp, m.weight.detach().numpy(), m.bias.detach().numpy())

    chain, np_chain = (A, Tanh(), B), (pair(A), TANH, pair(B))
    return {
        "sequential": (Sequential(*chain), sequential(*np_chain)),
        "sum": (
            Parallel(Sequential(*chain), C, tail=Identity()),
            parallel(sequential(*np_chain), pair(C), scratch.identity),
        ),
        "mean": (
            Parallel(left=Sequential(*chain), right=C, combine="mean"),
            parallel(sequential(*np_chain), pair(C), combine="mean"),
        ),
        "concat": (
            Parallel(A, C, combine="concat"),
            parallel(pair(A), pair(C), combine="concat"),
        ),
        "residual": (Residual(Sequential(*chain)), residual(sequential(*np_chain))),
        "projection": (Residual(A, projection=Linear_like(A)), residual(pair(A), pair(A))),
        "skip": (Skip(*chain), residual(sequential(*np_chain))),
        "skip concat": (
            Skip(*chain, combine="concat"),
            parallel(scratch.identity, sequential(*np_chain), combine="concat"),
        ),
    }[name]


def Linear_like(module):
    """A second module with the same weights."""
    twin = Linear(module.in_features, module.out_features, dtype=torch.float64)
    twin.load_state_dict(module.state_dict())
    return twin


@pytest.mark.parametrize("batch", [(2,), (), (4, 1), (0,)])
@pytest.mark.parametrize(
    "name",
    ["sequential", "sum", "mean", "concat", "residual", "projection", "skip", "skip concat"],
)
def test_modules_are_their_numpy_twins(name, batch, rng):
    module, (f, f_vjp) = module_case(name)
    x = rng.normal(size=(*batch, 3)) * 2
    v = rng.normal(size=f(x).shape) * 3
    value, (grad,) = torch_vjp(module, (x,), v)
    close(value, f(x))
    close(grad, f_vjp(v, x))


def test_state_dict_names():
    model = Sequential(
        Parallel(Linear(2, 2), wide=Linear(2, 2)), Residual(Linear(2, 2)), Skip(Linear(2, 2))
    )
    names = {n.rpartition(".")[0] for n in model.state_dict()}
    assert names == {"0.0", "0.wide", "1.f", "2.body.0"}
    assert all(p.requires_grad for p in model.parameters())


def test_concat_along_another_axis(rng):
    x = torch.tensor(rng.normal(size=(2, 3, 4)))
    close(Parallel(Identity(), Tanh(), combine="concat", dim=1)(x), torch.cat([x, x.tanh()], 1))
    close(Skip(Tanh(), combine="concat", dim=0)(x), torch.cat([x, x.tanh()], 0))
    close(combine({"a": x, "b": x[:1]}, "concat", 0), torch.cat([x, x[:1]], 0))


def test_identity_takes_any_arguments(rng):
    x = torch.tensor(rng.normal(size=(2, 3)))
    assert Identity(54, unused=0.1)(x) is x
    assert repr(Identity(3)) == repr(tnn.Identity(3))


def test_extra_repr_says_how_branches_are_combined():
    assert "combine='concat', dim=1" in repr(Parallel(Identity(), combine="concat", dim=1))
    assert "combine='sum'" in repr(Skip(Identity()))
    assert "dim" not in repr(Skip(Identity()))


def test_every_parameter_of_a_composition_learns(rng):
    torch.manual_seed(1)
    model = Sequential(
        MLP([3, 8, 4], Tanh), Parallel(Linear(4, 4), Residual(Linear(4, 4))), Skip(Linear(4, 4))
    )
    before = [p.clone() for p in model.parameters()]
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    y = model(torch.randn(5, 3))
    y.backward(torch.randn(5, 4))
    optimizer.step()
    assert all((p != q).any() for p, q in zip(before, model.parameters(), strict=True))


@given(st.lists(st.integers(1, 9), min_size=2, max_size=5), st.booleans())
def test_parameter_count(sizes, bias):
    assert mlp_parameters(sizes, bias) == sum(p.numel() for p in MLP(sizes, bias=bias).parameters())


# --- texts of errors ---------------------------------------------------------------------------


@pytest.mark.errors
@pytest.mark.parametrize("linear", [Linear, tnn.Linear])
def test_a_map_that_cannot_take_its_input_is_named(linear):
    model = Sequential(linear(2, 5), ReLU(), linear(3, 1))
    text = r"module '2' \(Linear\) .* \(4, 5\) from module '1' \(ReLU\), it wants \(\*, 3\)"
    with pytest.raises(ValueError, match=text):
        model(torch.zeros(4, 2))
    with pytest.raises(ValueError, match=r"module '0' .* \(4, 3\) from the input.*\(\*, 2\)"):
        model(torch.zeros(4, 3))


@pytest.mark.errors
def test_a_map_that_cannot_take_its_input_is_named_in_numpy(rng):
    (_, _, f), (_, _, g) = affine(rng, 5, 2), affine(rng, 1, 3)
    text = r"sequential: map 2 of 0 to 2 \(mm\) cannot take shape \(4, 5\) from map 1: .*3"
    with pytest.raises(ValueError, match=text):
        sequential(f, RELU, g)[0](np.zeros((4, 2)))
    with pytest.raises(ValueError, match=text):
        sequential(f, RELU, g)[1](np.zeros((4, 1)), np.zeros((4, 2)))
    with pytest.raises(ValueError, match=r"map 0 .* \(7,\) from the input"):
        sequential(f)[0](np.zeros(7))


@pytest.mark.errors
def test_other_failures_keep_their_type_and_say_where():
    class Picky(tnn.Module):
        def forward(self, x):
            raise KeyError("no")

    model = Sequential(Identity(), Residual(Parallel(a=Identity(), b=Picky())))
    with pytest.raises(KeyError) as caught:
        model(torch.zeros(4, 2))
    notes = caught.value.__notes__
    assert (
        "Parallel: module 'b' (Picky) failed on a Tensor of shape (4, 2) from the input" in notes[0]
    )
    assert "Residual: module 'f' (Parallel)" in notes[1]
    assert "Sequential: module '1' (Residual)" in notes[2]
    assert "from module '0' (Identity)" in notes[2]


@pytest.mark.errors
def test_a_linear_that_fails_for_another_reason_is_not_blamed_for_its_width():
    with pytest.raises(RuntimeError) as caught:
        Sequential(tnn.Linear(2, 5))(torch.zeros(4, 2, dtype=torch.float64))
    assert "module '0' (Linear) failed" in caught.value.__notes__[0]


@pytest.mark.errors
@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: Residual(Linear(5, 3))(torch.zeros(4, 5)),
            r"Residual: got x of shape \(4, 5\), f\(x\) of shape \(4, 3\).*projection",
        ),
        (
            lambda: Residual(Linear(5, 1))(torch.zeros(4, 5)),
            r"Residual: got x of shape \(4, 5\), f\(x\) of shape \(4, 1\)",
        ),
        (
            lambda: Residual(Linear(5, 3), projection=Linear(5, 2))(torch.zeros(4, 5)),
            r"Residual: got P\(x\) of shape \(4, 2\), f\(x\) of shape \(4, 3\)",
        ),
        (
            lambda: Skip(Linear(5, 3), ReLU())(torch.zeros(4, 5)),
            r"Skip: got x of shape \(4, 5\), f\(x\) of shape \(4, 3\).*'concat'",
        ),
        (
            lambda: Parallel(a=Linear(5, 3), b=Linear(5, 1))(torch.zeros(4, 5)),
            r"Parallel: got a of shape \(4, 3\), b of shape \(4, 1\); to be added",
        ),
        (
            lambda: Parallel(a=Linear(5, 3), b=Linear(5, 1), combine="concat", dim=0)(
                torch.zeros(4, 5)
            ),
            r"Parallel: got a of .* to be joined along axis 0 .* agree in all others",
        ),
        (
            lambda: Parallel(Identity(), combine="concat", dim=2)(torch.zeros(4, 5)),
            r"Parallel: .* along axis 2 they must have that axis",
        ),
        (
            lambda: Parallel(Identity(), combine="product"),
            r"Parallel: combine='product' .* \['concat', 'mean', 'sum'\]",
        ),
        (lambda: Skip(combine="max"), r"Skip: combine='max'"),
        (lambda: Parallel(), r"Parallel: branches is empty"),
        (lambda: MLP([3]), r"MLP: sizes\[1:\] is empty"),
        (lambda: MLP([3, 0, 1]), r"MLP: sizes\[1\]=0 is too small"),
        (lambda: MLP([3, 2.5, 1]), r"MLP: sizes\[1\]=2.5 is a float"),
        (lambda: Sequential(MARK) * 2.0, r"Sequential: got 2.0 as the factor"),
        (lambda: Sequential(MARK).__add__([MARK]), r"Sequential: list cannot be joined"),
        (lambda: parallel(), r"parallel: maps is empty"),
        (lambda: parallel(TANH, combine="max"), r"parallel: combine='max'"),
        (
            lambda: parallel(TANH, (lambda x: x[..., :1], None))[0](np.zeros((4, 5))),
            r"parallel: got branch 0 of shape \(4, 5\), branch 1 of shape \(4, 1\)",
        ),
        (
            lambda: residual((lambda x: x[..., :1], None))[0](np.zeros((4, 5))),
            r"residual: got x of shape \(4, 5\), f\(x\) of shape \(4, 1\)",
        ),
        (
            lambda: parallel(TANH, (lambda x: x[:1], None), combine="concat")[0](np.zeros((4, 5))),
            r"parallel: .* joined along axis -1",
        ),
    ],
)
def test_texts(make, text):
    with pytest.raises((ValueError, TypeError), match=text):
        make()
