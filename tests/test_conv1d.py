"""Convolution along one axis: the NumPy forms, and nn.Conv1d against torch, option by option."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from tools import close, numeric_vjp, torch_vjp

from nnbook import nn, scratch
from nnbook.nn import _convolution

conv1d = torch.nn.functional.conv1d
# torch itself warns that it copies where "same" needs an odd number of zeros, and in forward mode
TORCH_WARNS = pytest.mark.filterwarnings("ignore:Using padding='same'", "ignore:.torch.jit.script")
STEPS = [
    {},
    {"stride": 2},
    {"padding": 3},
    {"dilation": 2},
    {"stride": 3, "padding": 2, "dilation": 2},
    {"stride": 2, "padding": 1, "dilation": 3},
]
# in, out, kernel and options of nn.Conv1d: every size differs, every option occurs
MODULES = [
    (1, 1, 1, {}),
    (2, 3, 4, {"bias": False}),
    (3, 2, 5, {"stride": 2, "padding": 2}),
    (4, 6, 3, {"groups": 2, "dilation": 2, "padding": 1}),
    (3, 6, 2, {"groups": 3, "stride": 3}),
    (2, 5, 4, {"padding": "same"}),
    (2, 5, 4, {"padding": "same", "dilation": 3, "padding_mode": "circular"}),
    (2, 3, 3, {"padding": "valid", "stride": (2,)}),
    (2, 3, (3,), {"padding": (2,), "padding_mode": "reflect"}),
    (2, 3, 5, {"padding": 4, "padding_mode": "replicate", "stride": 2}),
    (2, 3, 4, {"padding": 3, "padding_mode": "circular", "dilation": (2,)}),
    (2, 3, 4, {"padding": "same", "padding_mode": "reflect"}),
]


def pair(case, dtype=torch.float64):
    """Return our module and torch's with the same weights."""
    c, n, k, options = case
    ours, theirs = (m.Conv1d(c, n, k, **options, dtype=dtype) for m in (nn, torch.nn))
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return ours, theirs


def tensors(*shape, dtype=torch.float64, scale=1.0):
    x = (scale * torch.randn(*shape, dtype=torch.float64)).to(dtype)
    return x.requires_grad_(), x.detach().clone().requires_grad_()


# ---------------------------------------------------------------- NumPy


@pytest.mark.parametrize("front", [(), (3,), (2, 3), (0,)])
@pytest.mark.parametrize(("m", "k"), [(1, 1), (1, 3), (2, 5), (3, 3), (8, 5), (9, 1)])
def test_conv1d_s_and_its_vjp_agree_with_torch(front, m, k, rng):
    z, v, w = rng.normal(size=(*front, m)), rng.normal(size=(*front, m)), rng.normal(size=k)
    expected, grads = torch_vjp(
        lambda z, w: conv1d(z.reshape(-1, 1, m), w[None, None], padding=k // 2).reshape(z.shape),
        (z, w),
        v,
    )
    close(scratch.conv1d_s(z, w), expected)
    close(scratch.conv1d_s_loops(z, w), expected)
    close(scratch.conv1d_s_vjp(v, z, w), grads)
    close(z @ scratch.toeplitz(w, m).T, expected)


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_correlate1d_and_its_vjp_agree_with_torch(steps, k, rng):
    z, w = rng.normal(size=(5, 11)), rng.normal(size=k)
    out = scratch.output_size(11, k, **steps)
    v = rng.normal(size=(5, out))
    expected, grads = torch_vjp(
        lambda z, w: conv1d(z[:, None], w[None, None], **steps)[:, 0], (z, w), v
    )
    close(scratch.correlate1d(z, w, **steps), expected)
    close(scratch.correlate1d_vjp(v, z, w, **steps), grads, 1e-9, 1e-9)
    close(
        scratch.correlate1d_vjp(v, z, w, **steps),
        numeric_vjp(lambda z, w: scratch.correlate1d(z, w, **steps), (z, w), v),
        1e-6,
        1e-6,
    )
    close(scratch.correlate1d_transposed(v, w, 11, **steps), grads[0])
    padding = steps.get("padding", 0)
    Q = scratch.toeplitz(w, 11, **{**steps, "padding": padding})
    close(Q @ z[0], expected[0])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_numpy_forms_keep_the_dtype(dtype, rng):
    z, v, w = (rng.normal(size=n).astype(dtype) for n in (7, 7, 3))
    got = [scratch.conv1d_s(z, w), scratch.conv1d_s_loops(z, w), *scratch.conv1d_s_vjp(v, z, w)]
    got += [scratch.toeplitz(w, 7), scratch.correlate1d_transposed(v, w, 9)]
    assert {a.dtype for a in got} == {np.dtype(dtype)}
    assert not np.shares_memory(got[0], z)


def test_each_gradient_has_the_dtype_of_what_it_belongs_to(rng):
    z, v, w = rng.normal(size=7), rng.normal(size=7), rng.normal(size=3).astype(np.float32)
    assert [g.dtype for g in scratch.conv1d_s_vjp(v, z, w)] == [np.float64, np.float32]


def test_windows_are_a_view_that_nobody_can_write_to(rng):
    z = rng.normal(size=9)
    seen = scratch.windows(z, 3)
    assert np.shares_memory(seen, z)
    with pytest.raises(ValueError, match="read-only"):
        seen[0, 0] = 1.0


# ---------------------------------------------------------------- nn.Conv1d


@TORCH_WARNS
@pytest.mark.parametrize("case", MODULES)
@pytest.mark.parametrize("batch", [(4,), (), (0,), (1,)])
def test_values_and_gradients_are_those_of_torch(case, batch):
    ours, theirs = pair(case)
    x, other = tensors(*batch, case[0], 13, scale=3.0)
    y, want = ours(x), theirs(other)
    close(y, want)
    assert y.is_contiguous()
    v = torch.randn_like(want)
    got = torch.autograd.grad(y, [x, *ours.parameters()], v)
    close(got, torch.autograd.grad(want, [other, *theirs.parameters()], v))
    with nn.fused_convolution():
        close(ours(x), want)
        close(torch.autograd.grad(ours(x), [x, *ours.parameters()], v), got)


@pytest.mark.parametrize(
    ("dtype", "rtol"), [(torch.float32, 1e-5), (torch.bfloat16, 3e-2), (torch.float16, 3e-3)]
)
def test_low_precision_is_as_good_as_torch(dtype, rtol):
    ours, theirs = pair((3, 4, 5, {"padding": 2}), dtype)
    x, other = tensors(2, 3, 17, dtype=dtype)
    y, want = ours(x), theirs(other)
    assert y.dtype == dtype
    close(y, want, rtol, rtol)
    v = torch.randn_like(want)
    got = torch.autograd.grad(y, [x, *ours.parameters()], v)
    assert {g.dtype for g in got} == {dtype}
    wanted = torch.autograd.grad(want, [other, *theirs.parameters()], v)
    for one, two in zip(got, wanted, strict=True):
        close(one, two, rtol, rtol * max(1.0, float(two.abs().max())))


@pytest.mark.parametrize("case", [MODULES[i] for i in (1, 2, 3, 8)])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
@pytest.mark.parametrize("fused", [False, True])
def test_mixed_precision_gives_the_types_of_torch_forward_and_backward(case, kind, fused):
    ours, theirs = pair(case, kind)
    x, other = tensors(2, case[0], 13, dtype=kind)
    with torch.autocast("cpu", dtype=torch.bfloat16), nn.fused_convolution(fused):
        y, want = ours(x), theirs(other)
    assert y.dtype == want.dtype
    close(y, want, 2e-2, 2e-2)
    v = torch.randn_like(want)
    got = torch.autograd.grad(y, [x, *ours.parameters()], v)
    wanted = torch.autograd.grad(want, [other, *theirs.parameters()], v)
    assert [g.dtype for g in got] == [g.dtype for g in wanted] == [kind] * len(got)
    for one, two in zip(got, wanted, strict=True):
        close(one, two, 3e-2, 3e-2 * max(1.0, float(two.abs().max())))


@pytest.mark.parametrize("case", MODULES)
def test_the_printed_form_and_the_state_are_those_of_torch(case):
    ours, theirs = pair(case)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict(), strict=True)
    for name in ("stride", "padding", "dilation", "kernel_size", "groups", "padding_mode"):
        assert getattr(ours, name) == getattr(theirs, name)
    for name in ("transposed", "output_padding", "in_channels", "out_channels"):
        assert getattr(ours, name) == getattr(theirs, name)


@pytest.mark.parametrize("case", MODULES[:5])
def test_the_initial_values_are_those_of_torch(case):
    c, n, k, options = case
    made = []
    for module in (nn, torch.nn):
        torch.manual_seed(7)
        made.append(module.Conv1d(c, n, k, **options))
    for one, two in zip(*(list(m.parameters()) for m in made), strict=True):
        close(one, two, 1e-6, 1e-7)
        assert float(one.detach().abs().max()) > 0


def functional_form(x, w, b):
    groups = x.shape[-2] // w.shape[1]
    return _convolution.convolve("conv", x, w, b, (2,), (2,), groups, ((1, 3),))


def example(groups=2):
    ours = nn.Conv1d(4, 6, 3, groups=groups, dtype=torch.float64)
    x = torch.randn(2, 4, 7, dtype=torch.float64, requires_grad=True)
    return x, ours.weight, ours.bias


@TORCH_WARNS
@pytest.mark.parametrize("groups", [1, 2])
def test_gradcheck_of_first_and_second_order_and_forward_mode(groups):
    args = example(groups)
    assert torch.autograd.gradcheck(
        functional_form, args, check_forward_ad=True, check_batched_grad=True
    )
    assert torch.autograd.gradgradcheck(functional_form, args)


@TORCH_WARNS
@pytest.mark.parametrize("groups", [1, 2])
def test_torch_func_works_on_it(groups):
    x, w, b = (t.detach() for t in example(groups))
    xs, ws = torch.randn(3, *x.shape, dtype=x.dtype), torch.randn(3, *w.shape, dtype=x.dtype)
    vmap, grad = torch.func.vmap, torch.func.grad
    close(
        vmap(lambda x: functional_form(x, w, b))(xs),
        torch.stack([functional_form(x, w, b) for x in xs]),
    )

    bs = torch.randn(3, *b.shape, dtype=x.dtype)
    close(
        vmap(lambda b: functional_form(x, w, b))(bs),
        torch.stack([functional_form(x, w, b) for b in bs]),
    )

    def loss(w, x):
        return functional_form(x, w, b).square().sum()

    close(vmap(grad(loss), (0, None))(ws, x), torch.stack([grad(loss)(w, x) for w in ws]))
    close(vmap(grad(loss), (None, 0))(w, xs), torch.stack([grad(loss)(w, x) for x in xs]))


def test_only_the_gradients_that_are_wanted_are_computed(monkeypatch):
    def refuse(*args):
        raise AssertionError("nobody asked for the gradient at the input")

    monkeypatch.setattr(_convolution, "spread", refuse)
    ours = nn.Conv1d(2, 3, 3)
    ours.weight.requires_grad_(False)
    x = torch.randn(2, 2, 8)
    y = ours(x)
    y.backward(torch.randn_like(y))
    assert ours.weight.grad is None
    assert x.grad is None
    assert ours.bias.grad is not None


def test_what_is_kept_for_the_backward_pass_is_the_input_and_the_weights():
    kept = []
    ours = nn.Conv1d(3, 4, 9)
    x = torch.randn(2, 3, 50, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: kept.append(t.numel()) or t, lambda t: t
    ):
        ours(x)
    assert sum(kept) <= x.numel() + ours.weight.numel()


def test_every_parameter_learns_and_copies_are_independent():
    ours = nn.Conv1d(2, 3, 3)
    before = {n: p.detach().clone() for n, p in ours.named_parameters()}
    other = copy.deepcopy(ours)
    again = pickle.loads(pickle.dumps(ours))
    y = ours(torch.randn(4, 2, 9))
    y.backward(torch.randn_like(y))
    torch.optim.SGD(ours.parameters(), lr=0.1).step()
    for name, p in ours.named_parameters():
        assert not torch.equal(p, before[name])
        assert torch.equal(other.get_parameter(name), before[name])
        assert torch.equal(again.get_parameter(name), before[name])


def test_inputs_that_are_views_give_the_same():
    ours, theirs = pair((3, 4, 3, {"padding": 1}))
    x = torch.randn(9, 3, 5, dtype=torch.float64).permute(2, 1, 0)[::2]
    close(ours(x), theirs(x))


def test_the_switch_is_off_again_after_the_block_and_nests():
    switch = _convolution._fused
    assert not switch.get()
    with nn.fused_convolution():
        assert switch.get()
        with nn.fused_convolution(False):
            assert not switch.get()
        assert switch.get()
    assert not switch.get()
    with pytest.raises(RuntimeError, match="inside"), nn.fused_convolution():
        raise RuntimeError("inside")
    assert not switch.get()


def test_two_axes_work_as_well():
    x, other = tensors(2, 4, 6, 9)
    w, b = torch.randn(6, 2, 3, 2, dtype=torch.float64, requires_grad=True), None
    y = _convolution.convolve("conv", x, w, b, (2, 1), (1, 3), 2, ((1, 1), (0, 2)))
    padded = torch.nn.functional.pad(other, (0, 2, 1, 1))
    want = torch.nn.functional.conv2d(padded, w, b, (2, 1), 0, (1, 3), 2)
    close(y, want)
    v = torch.randn_like(want)
    close(torch.autograd.grad(y, [x, w], v), torch.autograd.grad(want, [other, w], v))


# ---------------------------------------------------------------- errors


@pytest.mark.errors
@pytest.mark.parametrize(
    ("make", "kind", "text"),
    [
        (lambda: nn.Conv1d(6, 4, 3, groups=4), ValueError, r"in_channels=6 .* \[1, 2, 3, 6\]"),
        (lambda: nn.Conv1d(4, 6, 3, groups=4), ValueError, r"out_channels=6 .* \[1, 2, 3, 6\]"),
        (lambda: nn.Conv1d(2, 3, 0), ValueError, "kernel_size=0 is too small"),
        (lambda: nn.Conv1d(2, 3, 2.5), TypeError, "kernel_size=2.5 is a float"),
        (lambda: nn.Conv1d(2, 3, (3, 3)), ValueError, "kernel_size has 2 entries and the axes"),
        (lambda: nn.Conv1d(2, 3, 3, padding=-1), ValueError, "padding=-1 is too small"),
        (lambda: nn.Conv1d(2, 3, 3, stride=0), ValueError, "stride=0 is too small"),
        (lambda: nn.Conv1d(2, 3, 3, padding="full"), ValueError, r"use one of \['same', 'valid'\]"),
        (
            lambda: nn.Conv1d(2, 3, 3, 2, "same"),
            ValueError,
            r"only for stride 1, got stride=\(2,\)",
        ),
        (lambda: nn.Conv1d(2, 3, 3, padding_mode="wrap"), ValueError, "padding_mode='wrap'"),
        (lambda: nn.Conv1d(2, 3, 3)(torch.zeros(4, 5, 9)), ValueError, r"\(B, 2, L\) or \(2, L\)"),
        (lambda: nn.Conv1d(2, 3, 3)(torch.zeros(9)), ValueError, r"shape \(9,\) must be"),
        (lambda: nn.Conv1d(2, 3, 9)(torch.zeros(2, 8)), ValueError, r"spans \(9,\) .* \(8,\)"),
        (lambda: nn.Conv1d(2, 3, 3)(torch.zeros(2, 8).int()), TypeError, "holds torch.int32"),
        (
            lambda: nn.Conv1d(1, 1, 3, padding=4, padding_mode="reflect")(torch.zeros(1, 4)),
            ValueError,
            "at most 3 entries at each end of an axis of 4, got 4",
        ),
        (
            lambda: nn.Conv1d(1, 1, 3, padding=5, padding_mode="circular")(torch.zeros(1, 4)),
            ValueError,
            "at most 4 entries",
        ),
        (lambda: scratch.conv1d_s(np.ones(3), np.ones(2)), ValueError, "give 1 or 3 weights"),
        (
            lambda: scratch.conv1d_s(np.ones(3), np.ones((1, 3))),
            ValueError,
            r"shape \(1, 3\) where",
        ),
        (lambda: scratch.correlate1d(np.ones(3), np.ones(4)), ValueError, "spans"),
        (lambda: scratch.output_size(5, 3, stride=0), ValueError, "stride=0"),
        (lambda: scratch.output_size(5, 3, padding=-1), ValueError, "padding=-1"),
        (
            lambda: scratch.correlate1d_vjp(np.ones(5), np.ones(5), np.ones(2)),
            ValueError,
            "v of shape .* positions",
        ),
    ],
)
def test_errors_say_what_to_do(make, kind, text):
    with pytest.raises(kind, match=text):
        make()
