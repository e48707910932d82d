"""Residual blocks against torch and differences, their Jacobians, and error texts."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from tools import close, numeric_vjp, torch_vjp

from nnbook import nn, scratch
from nnbook.scratch import identity

tnn = torch.nn
fun = torch.nn.functional
ACTIVATIONS = {
    "relu": ((scratch.relu, scratch.relu_vjp), torch.relu, nn.ReLU),
    "leaky": ((scratch.leaky_relu, scratch.leaky_relu_vjp), fun.leaky_relu, nn.LeakyReLU),
    "elu": ((scratch.elu, scratch.elu_vjp), fun.elu, nn.ELU),
    "sigmoid": ((scratch.sigmoid, scratch.sigmoid_vjp), torch.sigmoid, nn.Sigmoid),
    "tanh": ((scratch.tanh, scratch.tanh_vjp), torch.tanh, nn.Tanh),
    "silu": ((scratch.silu, scratch.silu_vjp), fun.silu, nn.SiLU),
    "gelu": ((scratch.gelu, scratch.gelu_vjp), fun.gelu, nn.GELU),
}
# axes in front, d, h: all different; widths 1, 2, 3; an empty batch
CASES = [((), 3, 5), ((4,), 5, 2), ((2, 4), 3, 1), ((6,), 1, 3), ((0,), 2, 3), ((7,), 3, 4)]


def arrays(rng, front, d, h, scale=1.0):
    """Return z, a cotangent, and W1, b1, W2, b2, of random numbers."""
    z, v = scale * rng.normal(size=(2, *front, d))
    shapes = ((d, h), (d,), (h, d), (h,))
    return z, v, [scale * rng.normal(size=shape) for shape in shapes]


def torch_block(activation, outer, c):
    def block(z, W1, b1, W2, b2):
        branch = fun.linear(activation(fun.linear(z, W2, b2)), W1, b1)
        return z + c * (activation(branch) if outer else branch)

    return block


# --- NumPy ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("outer", [True, False])
@pytest.mark.parametrize("c", [1.0, -0.3])
def test_values_and_gradients_are_torchs(name, outer, c, rng):
    pair, theirs, _ = ACTIVATIONS[name]
    last = None if outer else identity
    for front, d, h in CASES:
        for scale in (1.0, 30.0):
            z, v, parameters = arrays(rng, front, d, h, scale)
            want, grads = torch_vjp(torch_block(theirs, outer, c), (z, *parameters), v)
            options = {"activation": pair, "last": last, "scale": c}
            close(scratch.residual_block(z, *parameters, **options), want)
            close(scratch.residual_block_vjp(v, z, *parameters, **options), grads, rtol=1e-8)


@pytest.mark.parametrize("name", ["relu", "tanh", "gelu"])
@pytest.mark.parametrize("outer", [True, False])
def test_gradients_are_those_of_differences(name, outer, rng):
    z, v, parameters = arrays(rng, (2,), 3, 4)
    options = {"activation": ACTIVATIONS[name][0], "last": None if outer else identity}
    options["scale"] = 0.7

    def f(*inputs):
        return scratch.residual_block(*inputs, **options)

    got = scratch.residual_block_vjp(v, z, *parameters, **options)
    close(got, numeric_vjp(f, (z, *parameters), v), 1e-6, 1e-6)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("outer", [True, False])
def test_the_jacobian_is_torchs(name, outer, rng):
    pair, theirs, _ = ACTIVATIONS[name]
    z, _, parameters = arrays(rng, (2, 4), 3, 5)
    options = {"activation": pair, "last": None if outer else identity, "scale": 0.6}
    A = scratch.branch_jacobian(z, *parameters, **options)
    tensors = [torch.tensor(p) for p in parameters]
    f = torch_block(theirs, outer, 0.6)
    one = torch.func.jacrev(lambda x: f(x, *tensors))
    whole = torch.func.vmap(torch.func.vmap(one))(torch.tensor(z))
    close(A + np.eye(3), whole)


def test_the_last_activation_may_be_another(rng):
    z, v, parameters = arrays(rng, (4,), 3, 5)
    pair = ACTIVATIONS["tanh"][0]

    def theirs(z, W1, b1, W2, b2):
        return z + torch.tanh(fun.linear(torch.relu(fun.linear(z, W2, b2)), W1, b1))

    want, grads = torch_vjp(theirs, (z, *parameters), v)
    close(scratch.residual_block(z, *parameters, last=pair), want)
    close(scratch.residual_block_vjp(v, z, *parameters, last=pair), grads)


@pytest.mark.parametrize("blocks", [0, 1, 4])
def test_a_stack_is_torchs(blocks, rng):
    stack = [tuple(arrays(rng, (), 3, h)[2]) for h in range(2, 2 + blocks)]
    z, v = rng.normal(size=(2, 5, 3))
    flat = [p for block in stack for p in block]

    def theirs(z, *parameters):
        for at in range(0, len(parameters), 4):
            z = torch_block(torch.tanh, False, 0.5)(z, *parameters[at : at + 4])
        return z * 1

    options = {"activation": ACTIVATIONS["tanh"][0], "last": identity, "scale": 0.5}
    want, grads = torch_vjp(theirs, (z, *flat), v)
    close(scratch.residual_stack(z, stack, **options), want)
    at_z, at_blocks = scratch.residual_stack_vjp(v, z, stack, **options)
    close((at_z, *(g for block in at_blocks for g in block)), grads)


def test_the_jacobian_of_a_stack_has_the_last_block_on_the_left(rng):
    stack = [tuple(arrays(rng, (), 3, 4)[2]) for _ in range(3)]
    z, whole = rng.normal(size=3), np.eye(3)
    options = {"activation": ACTIVATIONS["tanh"][0]}
    at = z
    for block in stack:
        whole = (np.eye(3) + scratch.branch_jacobian(at, *block, **options)) @ whole
        at = scratch.residual_block(at, *block, **options)
    rows = np.stack([scratch.residual_stack_vjp(v, z, stack, **options)[0] for v in np.eye(3)])
    close(rows, whole)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_dtype_is_kept(dtype, rng):
    z, v, parameters = arrays(rng, (2,), 3, 4)
    z, v, parameters = z.astype(dtype), v.astype(dtype), [p.astype(dtype) for p in parameters]
    for c in (1.0, 1, 0.5):
        got = [scratch.residual_block(z, *parameters, scale=c)]
        got += scratch.residual_block_vjp(v, z, *parameters, scale=c)
        got += [scratch.branch_jacobian(z, *parameters, scale=c)]
        got += [scratch.residual_stack(z, [tuple(parameters)] * 2, scale=c)]
        assert {x.dtype for x in got} == {np.dtype(dtype)}


# --- torch: the module ----------------------------------------------------------------------------


class Theirs(tnn.Module):
    """The same block of torch's own modules, with the same names."""

    def __init__(self, d, h, n, activation, outer, c, projection):
        super().__init__()
        names = {"mm2": tnn.Linear(d, h), "inner": activation(), "mm1": tnn.Linear(h, n)}
        self.f = tnn.ModuleDict(names | ({"outer": activation()} if outer else {}))
        self.projection = projection
        self.c = c

    def forward(self, z):
        y = z
        for part in self.f.values():
            y = part(y)
        return (z if self.projection is None else self.projection(z)) + self.c * y


TORCHS = {"relu": tnn.ReLU, "tanh": tnn.Tanh, "gelu": tnn.GELU}


@pytest.mark.parametrize("name", TORCHS)
@pytest.mark.parametrize("outer", [True, False])
@pytest.mark.parametrize("projected", [True, False])
@pytest.mark.parametrize("c", [1.0, 0.25])
def test_the_module_is_the_one_of_torchs_modules(name, outer, projected, c, rng):
    n = 4 if projected else 3
    theirs = Theirs(3, 5, n, TORCHS[name], outer, c, tnn.Linear(3, 4) if projected else None)
    ours = nn.ResidualBlock(
        3, 5, ACTIVATIONS[name][2], outer, c,
        projection=nn.Linear(3, 4) if projected else None, out_features=n,
    )  # fmt: skip
    theirs, ours = theirs.double(), ours.double()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    v = torch.tensor(rng.normal(size=(2, 6, n)))
    z = torch.tensor(rng.normal(size=(2, 6, 3)), requires_grad=True)
    got, want = ours(z), theirs(z)
    close(got, want)
    close(
        torch.autograd.grad(got, [z, *ours.parameters()], v),
        torch.autograd.grad(want, [z, *theirs.parameters()], v),
    )


@pytest.mark.parametrize(("dtype", "tol"), [(torch.float32, 1e-5), (torch.bfloat16, 0.05)])
def test_other_dtypes_are_torchs(dtype, tol, rng):
    theirs = Theirs(6, 5, 6, tnn.ReLU, True, 0.5, None)
    ours = nn.ResidualBlock(6, 5, scale=0.5)
    ours.load_state_dict(theirs.state_dict())
    theirs, ours = theirs.to(dtype), ours.to(dtype)
    z, v = torch.tensor(rng.normal(size=(2, 8, 6))).to(dtype)
    z.requires_grad_()
    pairs = []
    for module in (ours, theirs):
        y = module(z)
        assert y.dtype == dtype
        pairs.append([y, *torch.autograd.grad(y, [z, *module.parameters()], v)])
    close(*pairs, tol, tol)


def test_the_module_is_the_numpy_form(rng):
    block = nn.ResidualBlock(3, 5, nn.Tanh, scale=0.3, dtype=torch.float64)
    named = dict(block.named_parameters())
    names = ("f.mm1.weight", "f.mm1.bias", "f.mm2.weight", "f.mm2.bias")
    parameters = [named[n].detach().numpy() for n in names]
    z = rng.normal(size=(4, 3))
    want = scratch.residual_block(
        z, *parameters, activation=ACTIVATIONS["tanh"][0], scale=0.3
    )  # the shapes 3 x 5 and 5 x 3 tell W1 and W2 apart
    close(block(torch.tensor(z)), want)


@pytest.mark.parametrize("activation", [nn.Tanh, nn.GELU])
def test_second_derivatives_and_torch_func(activation, rng):
    block = nn.ResidualBlock(3, 4, activation, scale=0.5, dtype=torch.float64)
    z = torch.tensor(rng.normal(size=(2, 3)), requires_grad=True)
    assert torch.autograd.gradcheck(block, z)
    assert torch.autograd.gradgradcheck(block, z)
    parameters = dict(block.named_parameters())

    def call(parameters, x):
        return torch.func.functional_call(block, parameters, (x,))

    one = torch.func.jacrev(call, argnums=1)(parameters, z[0])
    rows = [torch.autograd.grad(block(z[0]), z, v)[0][0] for v in torch.eye(3).double()]
    close(one, torch.stack(rows))
    close(torch.func.vmap(call, (None, 0))(parameters, z), block(z))
    inputs = [z, *parameters.values()]
    assert torch.autograd.gradcheck(
        lambda x, *p: call(dict(zip(parameters, p, strict=True)), x), inputs
    )


def test_a_block_can_be_copied_and_pickled(rng):
    block = nn.ResidualBlock(3, 4, scale=0.5, projection=nn.Linear(3, 2), out_features=2)
    z = torch.tensor(rng.normal(size=(5, 3)), dtype=torch.float32)
    for other in (copy.deepcopy(block), pickle.loads(pickle.dumps(block))):
        close(other(z), block(z))
        other.f.mm1.weight.data += 1
        assert not torch.equal(other(z), block(z))


def test_what_the_printed_form_says():
    text = repr(nn.ResidualBlock(3, 4, nn.Tanh, scale=0.5))
    assert "(mm2): Linear(in_features=3, out_features=4, bias=True)" in text
    assert "(outer): Tanh()" in text
    assert "(scale): Scale(0.5)" in text
    plain = nn.ResidualBlock(3, outer=False)
    assert list(plain.f._modules) == ["mm2", "inner", "mm1"]
    assert plain.f.mm2.weight.shape == (3, 3)


@pytest.mark.parametrize("activation", [nn.Tanh, nn.GELU, nn.SiLU, nn.ELU, nn.ReLU, nn.Sigmoid])
def test_zero_init_is_the_identity_bit_for_bit(activation, rng):
    outer = activation not in (nn.ReLU, nn.Sigmoid)
    block = nn.ResidualBlock(3, 5, activation, outer, scale=0.7, zero_init=True)
    z = torch.tensor(rng.normal(size=(4, 3)), dtype=torch.float32, requires_grad=True)
    v = torch.tensor(rng.normal(size=(4, 3)), dtype=torch.float32)
    y = block(z)
    assert torch.equal(y, z)
    assert torch.equal(torch.autograd.grad(y, z, v, retain_graph=True)[0], v)
    at_W1, at_W2 = torch.autograd.grad(y, [block.f.mm1.weight, block.f.mm2.weight], v)
    assert at_W1.abs().max() > 0
    assert at_W2.abs().max() == 0
    assert block.f.mm2.weight.abs().max() > 0


def test_zero_init_asks_the_activation_also_without_gradients_and_on_another_device():
    with torch.no_grad(), torch.device("meta"):
        block = nn.ResidualBlock(3, 4, nn.Tanh, zero_init=True)
    assert {p.device.type for p in block.parameters()} == {"meta"}


def test_every_parameter_changes_in_two_steps_from_zero(rng):
    torch.manual_seed(0)
    model = nn.ResidualMLP(4, 3, 6, 3, hidden=5, outer=False, zero_init=True)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = torch.randn(20, 4), torch.randint(0, 3, (20,))
    for _ in range(2):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    assert all(not torch.equal(p, before[n]) for n, p in model.named_parameters())


# --- the network ----------------------------------------------------------------------------------


@pytest.mark.parametrize("blocks", [0, 1, 3])
@pytest.mark.parametrize("skip", [True, False])
def test_the_network_is_its_parts_in_a_chain(blocks, skip, rng):
    torch.manual_seed(0)
    model = nn.ResidualMLP(4, 2, 5, blocks, hidden=3, activation=nn.Tanh, scale=0.5, skip=skip)
    x = torch.randn(6, 4)
    z = torch.nn.functional.linear(x, model.enter.weight, model.enter.bias)
    for block in model.blocks:
        f = block.f if skip else block
        change = 0.5 * torch.tanh(f.mm1(torch.tanh(f.mm2(z))))
        z = z + change if skip else change
    close(model(x), model.leave(z), 1e-6, 1e-6)
    wanted = (4 * 5 + 5) + blocks * (5 * 3 + 3 + 3 * 5 + 5) + (5 * 2 + 2)
    assert sum(p.numel() for p in model.parameters()) == wanted
    assert len({p.data_ptr() for p in model.parameters()}) == 4 + 4 * blocks


def test_the_options_reach_every_block():
    model = nn.ResidualMLP(4, 2, 5, 2, 3, nn.GELU, False, 0.5, True, dtype=torch.float64)
    for block in model.blocks:
        assert isinstance(block, nn.ResidualBlock)
        assert list(block.f._modules) == ["mm2", "inner", "mm1", "scale"]
        assert isinstance(block.f.inner, nn.GELU)
        assert block.f.mm1.weight.abs().max() == 0
        assert block.f.mm2.weight.shape == (3, 5)
    assert {p.dtype for p in model.parameters()} == {torch.float64}
    assert all(
        p.device.type == "meta" for p in nn.ResidualMLP(4, 2, 5, 1, device="meta").parameters()
    )


block, network = nn.ResidualBlock, nn.ResidualMLP

# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.errors
@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: block(3, out_features=4), r"ResidualBlock: .*length 4 .*length 3.*out_features=3"),
        (lambda: block(0), r"ResidualBlock: features=0 is too small"),
        (lambda: block(3, 0), r"ResidualBlock: hidden=0 is too small"),
        (lambda: block(3, zero_init=True), r"with ReLU .* stay zero for ever.*outer=False"),
        (lambda: block(3, 2, nn.Sigmoid, zero_init=True), r"with Sigmoid .* starts at 0\.5 and"),
        (lambda: network(3, 2, 4, -1), r"ResidualMLP: blocks=-1 is too small"),
        (lambda: network(3, 2, 4, 1, outer=False, zero_init=True, skip=False), "for every input"),
        (lambda: network(3, 2, 4, 2)(torch.zeros(5, 4)), r"'enter' \(Linear\).*wants \(\*, 3\)"),
    ],
)
def test_an_error_says_what_to_do(make, match):
    with pytest.raises(ValueError, match=match):
        make()


@pytest.mark.errors
def test_a_projection_of_the_wrong_length_is_named():
    block = nn.ResidualBlock(3, projection=nn.Linear(3, 5), out_features=4)
    with pytest.raises(ValueError, match=r"P\(x\) of shape \(2, 5\), f\(x\) of shape \(2, 4\)"):
        block(torch.zeros(2, 3))


@pytest.mark.errors
@pytest.mark.parametrize("length", [1, 4])
def test_a_branch_of_another_length_is_not_broadcast(length, rng):
    W1, W2 = rng.normal(size=(length, 5)), rng.normal(size=(5, 3))
    z, parameters = rng.normal(size=3), (W1, np.zeros(length), W2, np.zeros(5))
    with pytest.raises(ValueError, match=rf"residual_block: .*length {length} .*length 3"):
        scratch.residual_block(z, *parameters)
    with pytest.raises(ValueError, match=rf"residual_block_vjp: .*length {length} .*length 3"):
        scratch.residual_block_vjp(z, z, *parameters)
    with pytest.raises(ValueError, match=rf"branch_jacobian: .*length {length} .*length 3"):
        scratch.branch_jacobian(z, *parameters)
