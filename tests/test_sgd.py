"""SGD: equal to torch.optim.SGD for every option, state and groups included; then its laws."""

from __future__ import annotations

import copy
import itertools
import pickle

import pytest
import torch
from optimtools import assert_same, gradients, problem, run

from nnbook import optim
from nnbook.training import fit

OPTIONS = [
    {"momentum": mu, "dampening": tau, "weight_decay": decay, "nesterov": ahead, "maximize": up}
    for mu, tau, decay, ahead, up in itertools.product(
        (0, 0.9), (0, 0.3), (0, 0.07), (False, True), (False, True)
    )
    if not ahead or (mu and not tau)
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_twelve_steps_are_those_of_torch(options):
    ours, theirs = problem(), problem()
    lr = -0.03 if options["maximize"] else 0.03
    options = options | {"lr": abs(lr)}
    assert_same(
        run(ours, optim.SGD(ours, **options)), run(theirs, torch.optim.SGD(theirs, **options))
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("nesterov", [False, True])
def test_other_dtypes(dtype, nesterov):
    ours, theirs = problem(dtype=dtype), problem(dtype=dtype)
    options = {"lr": 0.03, "momentum": 0.9, "weight_decay": 0.1, "nesterov": nesterov}
    a = run(ours, optim.SGD(ours, **options))
    b = run(theirs, torch.optim.SGD(theirs, **options))
    assert_same(a, b, 1e-6 if dtype == torch.float32 else 2e-2)
    assert all(p.dtype == dtype for p in ours)


def test_groups_have_their_own_options():
    def groups(params):
        return [
            {"params": params[:2], "lr": 0.1, "weight_decay": 0.2},
            {"params": params[2:], "momentum": 0.5, "nesterov": True},
        ]

    ours, theirs = problem(), problem()
    assert_same(
        run(ours, optim.SGD(groups(ours), lr=0.01)),
        run(theirs, torch.optim.SGD(groups(theirs), lr=0.01)),
    )


@pytest.mark.parametrize("kinds", [(optim.SGD, torch.optim.SGD), (torch.optim.SGD, optim.SGD)])
def test_the_state_of_one_is_loaded_into_the_other(kinds):
    first, second = kinds
    ours, theirs = problem(), problem()
    options = {"lr": 0.03, "momentum": 0.9, "nesterov": True}
    a, b = first(ours, **options), first(theirs, **options)
    run(ours, a, 5), run(theirs, b, 5)
    other = second(theirs, lr=7.0)
    other.load_state_dict(copy.deepcopy(b.state_dict()))
    assert_same(run(ours, a, 7, 5), run(theirs, other, 7, 5))
    assert a.state_dict()["param_groups"][0].keys() == other.state_dict()["param_groups"][0].keys()


def test_it_survives_pickling_and_copying():
    params = problem()
    sgd = optim.SGD(params, lr=0.03, momentum=0.9, weight_decay=0.1)
    run(params, sgd, 3)
    for twin in (pickle.loads(pickle.dumps((params, sgd))), copy.deepcopy((params, sgd))):
        again = copy.deepcopy((params, sgd))
        assert_same(run(*again, 3, 3), run(*twin, 3, 3))


def test_a_tensor_as_learning_rate_and_a_closure():
    ours, theirs = problem(), problem()
    a = optim.SGD(ours, lr=torch.tensor(0.05, dtype=torch.float64))
    b = torch.optim.SGD(theirs, lr=0.05)
    calls = []

    def closure():
        assert torch.is_grad_enabled()
        gradients(ours, 0)
        calls.append(1)
        return 3.5

    assert a.step(closure) == 3.5
    assert calls == [1]
    run(theirs, b, 1)
    assert_same([ours], [theirs], 1e-7)


def test_a_parameter_that_is_not_contiguous():
    ours, theirs = (torch.nn.Parameter(torch.arange(12.0).reshape(3, 4).T) for _ in range(2))
    a = optim.SGD([ours], lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1)
    b = torch.optim.SGD([theirs], lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1)
    for _ in range(3):
        ours.grad, theirs.grad = (torch.arange(12.0).reshape(4, 3) for _ in range(2))
        a.step()
        b.step()
    torch.testing.assert_close(ours, theirs)


def test_the_gradient_is_left_as_it_was():
    params = problem()
    sgd = optim.SGD(params, lr=0.1, momentum=0.9, weight_decay=0.3, nesterov=True, maximize=True)
    for step in range(3):
        gradients(params, step)
        before = [None if p.grad is None else p.grad.clone() for p in params]
        sgd.step()
        for p, g in zip(params, before, strict=True):
            assert g is None or torch.equal(p.grad, g)


def test_it_trains_in_the_loop_of_the_book_without_new_memory_for_parameters():
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 1)
    where = model.weight.data_ptr()
    x = torch.randn(64, 3)
    fit(
        model,
        (x, x.sum(1, keepdim=True)),
        loss=torch.nn.MSELoss(),
        optimizer=optim.SGD(model.parameters(), lr=0.05, momentum=0.9),
        epochs=30,
        batch_size=16,
        seed=0,
    )
    torch.testing.assert_close(model.weight, torch.ones(1, 3), rtol=0, atol=1e-3)
    assert model.weight.data_ptr() == where


@pytest.mark.errors
@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"lr": -1.0}, ValueError, r"SGD: lr=-1.0 lies outside \[0, inf\)"),
        ({"momentum": -0.1}, ValueError, "SGD: momentum=-0.1 lies outside"),
        ({"weight_decay": -0.1}, ValueError, "SGD: weight_decay=-0.1 lies outside"),
        ({"nesterov": True}, ValueError, "SGD: nesterov=True with momentum=0 and dampening=0"),
        (
            {"nesterov": True, "momentum": 0.9, "dampening": 0.1},
            ValueError,
            "SGD: nesterov=True with momentum=0.9 and dampening=0.1",
        ),
        ({"foreach": True}, NotImplementedError, "SGD: foreach=True is not taught"),
        ({"fused": True}, NotImplementedError, "SGD: fused=True is not taught"),
        ({"differentiable": True}, NotImplementedError, "SGD: differentiable=True is not"),
    ],
)
def test_what_is_refused(options, error, text):
    with pytest.raises(error, match=text):
        optim.SGD(problem(), **options)


def test_the_plain_loop_may_be_asked_for():
    optim.SGD(problem(), foreach=False, fused=False)


@pytest.mark.errors
def test_sparse_gradients_and_complex_parameters_are_refused():
    table = torch.nn.Embedding(4, 3, sparse=True)
    (table(torch.tensor([1, 2])) * torch.randn(2, 3)).sum().neg().backward()
    with pytest.raises(NotImplementedError, match=r"SGD: the parameter of shape \(4, 3\) has a sp"):
        optim.SGD(table.parameters()).step()
    z = torch.nn.Parameter(torch.zeros(2, dtype=torch.complex64))
    z.grad = torch.ones(2, dtype=torch.complex64)
    with pytest.raises(NotImplementedError, match=r"Adam: the parameter of shape \(2,\) has compl"):
        optim.Adam([z]).step()
