"""Topic resnet: parity with torch's own functions, orders, shapes, counts, errors."""

import copy
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tools import close, numeric_vjp, torch_vjp

from nnbook import nn, scratch
from nnbook.scratch.resnet import ENDS, ORDERS

PRE = "full pre-activation"


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


# the NumPy form


def vectors(order, x, W, U, eps=1e-5):
    """The block by torch's functions, written from the paper's figure and not from ORDERS."""

    def bn(z):
        return F.batch_norm(z, None, None, training=True, eps=eps)

    branch = {
        "original": lambda: bn(F.relu(bn(x @ W.T)) @ U.T),
        "bn after addition": lambda: F.relu(bn(x @ W.T)) @ U.T,
        "relu before addition": lambda: F.relu(bn(F.relu(bn(x @ W.T)) @ U.T)),
        "relu-only pre-activation": lambda: bn(F.relu(bn(F.relu(x) @ W.T)) @ U.T),
        PRE: lambda: F.relu(bn(F.relu(bn(x)) @ W.T)) @ U.T,
        "normalized last": lambda: bn(F.relu(bn(F.relu(x @ W.T)) @ U.T)),
    }[order]()
    y = x + branch
    if order == "original":
        return F.relu(y)
    return F.relu(bn(y)) if order == "bn after addition" else y


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("n", "c", "h"), [(5, 3, 4), (2, 1, 2), (7, 4, 1)])
def test_values_and_gradients(order, n, c, h, rng):
    x, W, U = 3 * rng.normal(size=(n, c)) + 1, rng.normal(size=(h, c)), rng.normal(size=(c, h))
    v = rng.normal(size=x.shape)
    want, grads = torch_vjp(lambda x, W, U: vectors(order, x, W, U, 0.01), (x, W, U), v)
    close(scratch.ordered_block(x, W, U, order, eps=0.01), want)
    got = scratch.ordered_block_vjp(v, x, W, U, order, eps=0.01)
    close(got, grads, 1e-7, 1e-8)
    close(
        got,
        numeric_vjp(lambda *a: scratch.ordered_block(*a, order, eps=0.01), (x, W, U), v),
        1e-5,
        1e-6,
    )


def test_the_dtype_is_kept(rng):
    x, W, U = (rng.normal(size=s).astype(np.float32) for s in ((4, 3), (2, 3), (3, 2)))
    for order in ORDERS:
        assert scratch.ordered_block(x, W, U, order).dtype == np.float32
        grads = scratch.ordered_block_vjp(x, x, W, U, order)
        assert {g.dtype for g in grads} == {np.dtype(np.float32)}


# the modules


def picture_block(order, x, p, stride, kind, skip, mode):
    """The block on pictures by torch's functions, from a state dictionary."""
    count = {"bn": 0, "conv": 0}

    def bn(z, name=None):
        if name is None:
            count["bn"] += 1
            name = f"bn{count['bn']}"
        mean, var = p[f"{name}.running_mean"].clone(), p[f"{name}.running_var"].clone()
        return F.batch_norm(z, mean, var, p[f"{name}.weight"], p[f"{name}.bias"], training=mode)

    def conv(z):
        count["conv"] += 1
        s = stride if count["conv"] == 1 else 1
        return F.conv2d(z, p[f"conv{count['conv']}.weight"], stride=s, padding=1)

    seen = x
    if order == "original":
        out = bn(conv(F.relu(bn(conv(x)))))
    elif order == "bn after addition":
        out = conv(F.relu(bn(conv(x))))
    elif order == "relu before addition":
        out = F.relu(bn(conv(F.relu(bn(conv(x))))))
    elif order == "relu-only pre-activation":
        seen = F.relu(x)
        out = bn(conv(F.relu(bn(conv(seen)))))
    elif order == PRE:
        seen = F.relu(bn(x))
        out = conv(F.relu(bn(conv(seen))))
    else:
        out = bn(F.relu(conv(bn(F.relu(conv(x))))))
    if skip:
        if "downsample.0.weight" in p:
            short = F.conv2d(seen, p["downsample.0.weight"], stride=stride)
            out = out + (bn(short, "downsample.1") if "downsample.1.weight" in p else short)
        elif out.shape != x.shape:
            assert kind == "A"
            picked = x[:, :, ::stride, ::stride]
            zeros = picked.new_zeros(len(x), out.shape[1] - x.shape[1], *picked.shape[2:])
            out = out + torch.cat([picked, zeros], 1)
        else:
            out = out + x
    if order == "original":
        return F.relu(out)
    return F.relu(bn(out)) if order == "bn after addition" else out


def randomized(module, dtype=torch.float64):
    """Give every parameter and running statistic a value of its own."""
    module = module.to(dtype)
    with torch.no_grad():
        for name, t in [*module.named_parameters(), *module.named_buffers()]:
            if t.is_floating_point():
                t.copy_(torch.rand(t.shape) + 0.5 if "var" in name else 0.5 * torch.randn(t.shape))
    return module


def block_of(order, *args, **options):
    written = {"original": nn.PostActBlock, PRE: nn.PreActBlock}
    if order in written:
        return written[order](*args, **options)
    return nn.OrderedBlock(*args, order=order, **options)


CASES = [(3, 3, 1, "B", True), (2, 5, 1, "B", True), (2, 4, 2, "A", True), (3, 3, 2, "B", True)]
CASES += [(2, 4, 3, "B", False), (4, 4, 1, "identity", True)]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("p", "q", "stride", "kind", "skip"), CASES)
@pytest.mark.parametrize("mode", [True, False], ids=["train", "eval"])
def test_blocks_agree_with_torch(order, p, q, stride, kind, skip, mode):
    block = randomized(block_of(order, p, q, stride, shortcut=kind, skip=skip)).train(mode)
    x = (2 * torch.randn(3, p, 6, 7, dtype=torch.float64) + 0.5).requires_grad_()
    state = {k: v.detach().clone() for k, v in block.state_dict().items()}
    leaves = {
        k: v.requires_grad_() for k, v in state.items() if k in dict(block.named_parameters())
    }
    want = picture_block(order, x, state, stride, kind, skip, mode)
    got = block(x)
    v = torch.randn(want.shape, dtype=torch.float64)
    close(got, want)
    close(
        torch.autograd.grad(got, [x, *dict(block.named_parameters()).values()], v),
        torch.autograd.grad(want, [x, *(leaves[k] for k, _ in block.named_parameters())], v),
        1e-7,
        1e-8,
    )


@pytest.mark.parametrize("order", ["original", PRE])
@pytest.mark.parametrize(("p", "q", "stride", "kind", "skip"), CASES)
def test_the_written_out_blocks_are_those_that_take_steps(order, p, q, stride, kind, skip):
    written = randomized(block_of(order, p, q, stride, shortcut=kind, skip=skip))
    steps = nn.OrderedBlock(p, q, stride, order=order, shortcut=kind, skip=skip).double()
    steps.load_state_dict(written.state_dict(), strict=True)
    x = torch.randn(3, p, 5, 4, dtype=torch.float64)
    assert torch.equal(written(x), steps(x))
    for key, value in written.state_dict().items():
        assert torch.equal(value, steps.state_dict()[key])


@pytest.mark.parametrize(("dtype", "tol"), [(torch.float32, 1e-4), (torch.bfloat16, 0.15)])
@pytest.mark.parametrize("order", ORDERS)
def test_lower_precision(order, dtype, tol):
    block = block_of(order, 3, 4, 2)
    x = torch.randn(4, 3, 6, 7)
    want = copy.deepcopy(block).double()(x.double())
    got = block.to(dtype)(x.to(dtype))
    assert got.dtype == dtype
    close(got.double(), want, tol, tol)


class Basic(torch.nn.Module):
    """The shape of torchvision's BasicBlock, from its public description."""

    def __init__(self, p, q, stride):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(p, q, 3, stride, 1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(q)
        self.relu = torch.nn.ReLU(inplace=True)
        self.conv2 = torch.nn.Conv2d(q, q, 3, 1, 1, bias=False)
        self.bn2 = torch.nn.BatchNorm2d(q)
        self.downsample = torch.nn.Sequential(
            torch.nn.Conv2d(p, q, 1, stride, bias=False), torch.nn.BatchNorm2d(q)
        )

    def forward(self, x):
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(out + self.downsample(x))


def test_state_dictionaries_fit_the_basic_block_both_ways():
    theirs, ours = randomized(Basic(3, 5, 2)), nn.PostActBlock(3, 5, 2).double()
    assert list(theirs.state_dict()) == list(ours.state_dict())
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(4, 3, 6, 7, dtype=torch.float64)
    close(ours(x), theirs(x))
    close(list(ours.state_dict().values()), list(theirs.state_dict().values()))
    theirs.load_state_dict(randomized(ours).state_dict(), strict=True)
    close(ours.eval()(x), theirs.eval()(x))


@pytest.mark.parametrize("order", ORDERS)
def test_first_and_second_derivatives(order):
    block = randomized(block_of(order, 1, 2, 2))
    x = torch.randn(3, 1, 3, 3, dtype=torch.float64, requires_grad=True)
    parameters = tuple(block.parameters())
    assert torch.autograd.gradcheck(lambda x, *_: block(x), (x, *parameters))
    assert torch.autograd.gradgradcheck(block, (x,))


@pytest.mark.parametrize("kind", [nn.PostActBlock, nn.PreActBlock])
def test_gradients_of_each_sample_by_torch_func(kind):
    block = randomized(kind(2, 3, 2)).eval()
    x, v = torch.randn(4, 2, 4, 5, dtype=torch.float64), torch.randn(4, 3, 2, 3).double()

    def loss(parameters, one, cotangent):
        out = torch.func.functional_call(block, parameters, (one[None],))
        return (out[0] * cotangent).sum()

    parameters = {k: p.detach() for k, p in block.named_parameters()}
    got = torch.func.vmap(torch.func.grad(loss), (None, 0, 0))(parameters, x, v)
    for i in range(4):
        want = torch.autograd.grad(block(x[i : i + 1]), list(block.parameters()), v[i : i + 1])
        close([got[k][i] for k in parameters], list(want))


def test_a_block_can_be_copied_and_pickled():
    block = randomized(nn.PreActBlock(2, 3, 2)).eval()
    x = torch.randn(2, 2, 4, 4, dtype=torch.float64)
    for other in (copy.deepcopy(block), pickle.loads(pickle.dumps(block))):
        assert torch.equal(other(x), block(x))


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (1, 2)])
def test_small_pictures(size):
    for order in ORDERS:
        block = block_of(order, 2, 3, 2)
        assert block(torch.randn(5, 2, *size)).shape == (5, 3, -(-size[0] // 2), -(-size[1] // 2))
    assert nn.PostActBlock(2, 3).eval()(torch.zeros(0, 2, 4, 4)).shape == (0, 3, 4, 4)


# the network


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("skip", [True, False])
def test_the_network_is_its_parts_in_a_row(order, skip):
    net = nn.ResNet(2, (3, 5), 2, 4, order, skip=skip).double()
    x = torch.randn(6, 2, 8, 6, dtype=torch.float64)
    first, last = ENDS.get(order, (("bn", "relu"), ()))
    twin = copy.deepcopy(net)
    out = F.conv2d(x, twin.conv1.weight, padding=1)

    def walk(z, steps, modules):
        for step, module in zip(steps, modules, strict=True):
            z = F.relu(z) if step == "relu" else module(z)
        return z

    out = walk(out, first, twin.first)
    assert len(twin.blocks) == 4
    for i, block in enumerate(twin.blocks):
        assert type(block) is {"original": nn.PostActBlock, PRE: nn.PreActBlock}.get(
            order, nn.OrderedBlock
        )
        assert block.conv1.stride == ((2, 2) if i == 2 else (1, 1))
        assert block.conv2.stride == (1, 1)
        out = block(out)
    assert out.shape == (6, 5, 4, 3)
    out = walk(out, last, twin.last).mean((2, 3))
    close(net(x), F.linear(out, twin.fc.weight, twin.fc.bias))


def test_ends_of_each_order():
    """Every block of the network reads something normalized once and, in the end, activated."""
    for order, (branch, after) in ORDERS.items():
        first, last = ENDS.get(order, (("bn", "relu"), ()))
        starts = branch[: branch.index("conv")]
        assert first + starts == ("bn", "relu")
        assert ("relu" in last) == (order in (PRE, "relu-only pre-activation")), after


@pytest.mark.parametrize(("blocks", "depth"), [(1, 8), (3, 20), (9, 56)])
def test_depth(blocks, depth):
    net = nn.ResNet(blocks, (1, 1, 1), skip=False)
    layers = [m for m in net.modules() if isinstance(m, torch.nn.Conv2d | nn.Linear)]
    assert net.depth == len(layers) == depth


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", ["A", "B"])
@pytest.mark.parametrize("skip", [True, False])
def test_counts_are_those_of_the_modules(order, kind, skip):
    for p, q, stride in ((2, 5, 1), (3, 3, 2), (4, 4, 1)):
        block = nn.OrderedBlock(p, q, stride, order=order, shortcut=kind, skip=skip)
        want = scratch.block_parameters(p, q, order, stride=stride, shortcut=kind, skip=skip)
        assert sum(w.numel() for w in block.parameters()) == want
    for widths in ((2, 3, 5), (3, 3)):  # the second one: a projection for the stride alone
        net = nn.ResNet(2, widths, 3, 7, order, shortcut=kind, skip=skip)
        want = scratch.resnet_parameters(2, widths, 3, 7, order, shortcut=kind, skip=skip)
        assert sum(w.numel() for w in net.parameters()) == want


def test_initial_weights_are_hes():
    net = nn.ResNet(1, (32, 64))
    w = net.blocks[1].conv2.weight
    assert abs(float(w.detach().std()) / (2 / (9 * 64)) ** 0.5 - 1) < 0.05
    assert not net.blocks[0].bn1.bias.any()
    assert (net.blocks[0].bn1.weight == 1).all()


@pytest.mark.parametrize("order", [o for o in ORDERS if o != "relu before addition"])
def test_zero_init_makes_every_branch_zero_and_leaves_it_able_to_learn(order):
    net = nn.ResNet(1, (2, 3), order=order, zero_init_residual=True)
    x = torch.randn(4, 2, 6, 6)
    block = net.blocks[0]
    want = {
        "original": F.relu(x),
        "bn after addition": F.relu(F.batch_norm(x, None, None, training=True)),
    }
    close(block(x), want.get(order, x), 1e-5, 1e-6)
    end = block.bn2 if ORDERS[order][0][-1] == "bn" else block.conv2
    assert not end.weight.any()
    block(x).backward(torch.randn(x.shape))
    assert end.weight.grad.abs().max() > 1e-4


def test_every_parameter_learns():
    for order in ORDERS:
        net = nn.ResNet(1, (3, 4), order=order)
        before = {k: p.detach().clone() for k, p in net.named_parameters()}
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        for _ in range(2):
            optimizer.zero_grad()
            F.cross_entropy(net(torch.randn(8, 1, 8, 8)), torch.arange(8)).backward()
            optimizer.step()
        assert [k for k, p in net.named_parameters() if torch.equal(p, before[k])] == []


# what is refused

X = np.ones((2, 3))
REFUSED = [
    (lambda: scratch.ordered_block(X, X, X.T, "v3"), "order='v3' is not known; use one of"),
    (
        lambda: scratch.ordered_block(X, X, X),
        r"ordered_block: W2 has shape \(2, 3\) where \(3, 2\)",
    ),
    (lambda: scratch.ordered_block(X, X.T, X), r"W1 has shape \(3, 2\) where \(3, 3\)"),
    (lambda: scratch.ordered_block_vjp(X[:1], X, X, X.T), r"v has shape \(1, 3\) where \(2, 3\)"),
    (lambda: scratch.block_parameters(0, 1), "block_parameters: inputs=0 is too small"),
    (lambda: scratch.resnet_parameters(1, ()), "resnet_parameters: widths is empty"),
    (lambda: nn.OrderedBlock(2, 2, order="v2"), "OrderedBlock: order='v2' is not known"),
    (lambda: nn.PostActBlock(2, 3, shortcut="C"), "PostActBlock: shortcut='C' is not known"),
    (
        lambda: nn.PreActBlock(2, 3, shortcut="identity"),
        r"PreActBlock: got x of shape \(2, 2, 2\), F\(x\) of shape \(3, 2, 2\).*use shortcut='A'",
    ),
    (lambda: nn.PostActBlock(2, 2, 2, shortcut="identity"), "to be added their shapes must"),
    (lambda: nn.PostActBlock(3, 2, shortcut="A"), "PadShortcut: outputs=2 is too small"),
    (lambda: nn.PostActBlock(2, 2)(torch.ones(1, 1, 4, 4)), r"\(n, 2, h, w\) is wanted"),
    (lambda: nn.PreActBlock(2, 2)(torch.ones(2, 4, 4)), r"input has shape \(2, 4, 4\)"),
    (lambda: nn.ResNet(0), "ResNet: blocks=0 is too small"),
    (lambda: nn.ResNet(1, ()), "ResNet: widths is empty"),
    (
        lambda: nn.ResNet(1, order="relu before addition", zero_init_residual=True),
        "zero_branches: last step of 'relu before addition'='relu' is not known",
    ),
]


@pytest.mark.errors
@pytest.mark.parametrize(("call", "text"), REFUSED, ids=[text for _, text in REFUSED])
def test_what_does_not_fit_is_refused(call, text):
    with pytest.raises(ValueError, match=text):
        call()
