"""Topic densenet: parity with torch's own functions, channels, counts, memory, errors."""

import copy
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tools import close, numeric_vjp, torch_vjp

from nnbook import nn, scratch


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def dense(x, *weights):
    """The block on vectors by torch's functions: a list of parts, joined at the end."""
    parts = [x]
    for W in weights:
        parts.append(F.relu(torch.cat(parts, -1) @ W.T))
    return torch.cat(parts, -1)


@pytest.mark.parametrize("front", [(), (4,), (2, 3), (0,)], ids=str)
@pytest.mark.parametrize("sizes", [(3, 2, 4, 1), (1, 1), (2,)], ids=str)
def test_values_and_gradients(front, sizes, rng):
    x = rng.normal(size=(*front, sizes[0]))
    weights = [rng.normal(size=(k, sum(sizes[:i]))) for i, k in enumerate(sizes) if i]
    v = rng.normal(size=(*front, sum(sizes)))
    want, grads = torch_vjp(dense, (x, *weights), v)
    close(scratch.dense_block(x, weights), want)
    at_x, at_weights = scratch.dense_block_vjp(v, x, weights)
    close([at_x, *at_weights], list(grads))
    numeric = numeric_vjp(lambda x, *w: scratch.dense_block(x, w), (x, *weights), v)
    close([at_x, *at_weights], list(numeric), 1e-5, 1e-6)


def test_the_dtype_is_kept(rng):
    x, W = rng.normal(size=(2, 3)).astype(np.float32), rng.normal(size=(2, 3)).astype(np.float32)
    out = scratch.dense_block(x, [W])
    at_x, (at_W,) = scratch.dense_block_vjp(out, x, [W])
    assert {out.dtype, at_x.dtype, at_W.dtype} == {np.dtype(np.float32)}


# the modules


def bn(z, p, name, mode):
    mean, var = p[f"{name}.running_mean"].clone(), p[f"{name}.running_var"].clone()
    return F.batch_norm(z, mean, var, p[f"{name}.weight"], p[f"{name}.bias"], training=mode)


def layer(z, p, name, mode):
    """A dense layer by torch's functions, from a state dictionary."""
    z = F.relu(bn(z, p, f"{name}norm1", mode))
    if f"{name}norm2.weight" not in p:
        return F.conv2d(z, p[f"{name}conv1.weight"], padding=1)
    z = F.conv2d(z, p[f"{name}conv1.weight"])
    return F.conv2d(F.relu(bn(z, p, f"{name}norm2", mode)), p[f"{name}conv2.weight"], padding=1)


def block(x, p, layers, mode, name=""):
    parts = [x]
    for i in range(1, layers + 1):
        parts.append(layer(torch.cat(parts, 1), p, f"{name}denselayer{i}.", mode))
    return torch.cat(parts, 1)


def randomized(module, dtype=torch.float64):
    """Give every parameter and running statistic a value of its own."""
    module = module.to(dtype)
    with torch.no_grad():
        for name, t in [*module.named_parameters(), *module.named_buffers()]:
            if t.is_floating_point():
                t.copy_(torch.rand(t.shape) + 0.5 if "var" in name else 0.5 * torch.randn(t.shape))
    return module


@pytest.mark.parametrize("bottleneck", [None, 1, 4])
@pytest.mark.parametrize("mode", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("efficient", [True, False])
def test_a_block_agrees_with_torch(bottleneck, mode, efficient):
    ours = randomized(nn.DenseBlock(3, 4, 2, bottleneck, efficient)).train(mode)
    x = (2 * torch.randn(3, 4, 5, 6, dtype=torch.float64) + 1).requires_grad_()
    state = {k: t.detach().clone() for k, t in ours.state_dict().items()}
    names = [k for k, _ in ours.named_parameters()]
    leaves = [state[k].requires_grad_() for k in names]
    want, got = block(x, state, 3, mode), ours(x)
    close(got, want)
    v = torch.randn(want.shape, dtype=torch.float64)
    close(
        torch.autograd.grad(got, [x, *ours.parameters()], v),
        torch.autograd.grad(want, [x, *leaves], v),
        1e-7,
        1e-8,
    )


@pytest.mark.parametrize("bottleneck", [None, 2])
def test_computing_again_moves_the_running_statistics_once(bottleneck):
    plain = randomized(nn.DenseBlock(3, 4, 2, bottleneck))
    again = copy.deepcopy(plain)
    again.memory_efficient = True
    x, v = torch.randn(3, 4, 5, 6, dtype=torch.float64), torch.randn(3, 10, 5, 6).double()
    for one in (plain, again):
        one(x).backward(v)
    for key, value in plain.state_dict().items():
        assert torch.equal(again.state_dict()[key], value), key
    close([p.grad for p in again.parameters()], [p.grad for p in plain.parameters()])


def test_the_names_of_a_bottleneck_layer_are_torchvisions():
    names = [k for k, _ in nn.DenseLayer(5, 2, 4).named_parameters()]
    want = ["norm1.weight", "norm1.bias", "conv1.weight"]
    assert names == [*want, "norm2.weight", "norm2.bias", "conv2.weight"]
    assert list(nn.DenseBlock(2, 3, 2)) == ["denselayer1", "denselayer2"]
    shapes = [tuple(p.shape) for p in nn.DenseLayer(5, 2, 4).parameters() if p.dim() == 4]
    assert shapes == [(8, 5, 1, 1), (2, 8, 3, 3)]


@pytest.mark.parametrize("mode", [True, False])
def test_a_transition_agrees_with_torch(mode):
    ours = randomized(nn.Transition(4, 3)).train(mode)
    x = torch.randn(3, 4, 5, 6, dtype=torch.float64)
    p = {k: t.clone() for k, t in ours.state_dict().items()}
    want = F.avg_pool2d(F.conv2d(F.relu(bn(x, p, "norm", mode)), p["conv.weight"]), 2)
    close(ours(x), want)
    assert want.shape == (3, 3, 2, 3)


@pytest.mark.parametrize("bottleneck", [None, 2])
@pytest.mark.parametrize("compression", [1.0, 0.5])
def test_the_network_is_its_parts_in_a_row(bottleneck, compression):
    net = nn.DenseNet(
        [2, 1], 3, 2, 4, first=5, bottleneck=bottleneck, compression=compression
    ).double()
    x = torch.randn(6, 2, 8, 6, dtype=torch.float64)
    p = {k: t.clone() for k, t in net.state_dict().items()}
    out = F.conv2d(x, p["conv0.weight"], padding=1)
    out = block(out, p, 2, True, "blocks.0.")
    out = F.conv2d(F.relu(bn(out, p, "blocks.1.norm", True)), p["blocks.1.conv.weight"])
    assert out.shape[1] == int(11 * compression)
    out = block(F.avg_pool2d(out, 2), p, 1, True, "blocks.2.")
    out = F.relu(bn(out, p, "norm", True)).mean((2, 3))
    close(net(x), F.linear(out, p["classifier.weight"], p["classifier.bias"]))


@pytest.mark.parametrize("bottleneck", [None, 1, 4])
@pytest.mark.parametrize("compression", [1.0, 0.5])
def test_counts_are_those_of_the_modules(bottleneck, compression):
    for layers, c, k in ((1, 3, 2), (4, 5, 3)):
        one = nn.DenseBlock(layers, c, k, bottleneck)
        counted = scratch.dense_block_parameters(layers, c, k, bottleneck)
        assert sum(p.numel() for p in one.parameters()) == counted
        assert one.channels == scratch.dense_channels(c, k, layers)
    options = {"first": 7, "bottleneck": bottleneck, "compression": compression}
    net = nn.DenseNet([2, 3, 1], 4, 3, 6, **options)
    counted = scratch.densenet_parameters([2, 3, 1], 4, 3, 6, **options)
    assert sum(p.numel() for p in net.parameters()) == counted


def test_published_counts():
    """The paper's table: DenseNet (40, k = 12) 1.0 M, DenseNet-BC (100, k = 12) 0.8 M."""
    assert scratch.densenet_parameters([12] * 3, 12, 3) == 1_019_722
    bc = {"first": 24, "bottleneck": 4, "compression": 0.5}
    assert round(scratch.densenet_parameters([16] * 3, 12, 3, **bc) / 1e6, 1) == 0.8


@pytest.mark.parametrize(("dtype", "tol"), [(torch.float32, 1e-4), (torch.bfloat16, 0.15)])
@pytest.mark.parametrize("bottleneck", [None, 2])
def test_lower_precision(dtype, tol, bottleneck):
    one, x = nn.DenseBlock(2, 3, 2, bottleneck), torch.randn(4, 3, 6, 7)
    want = copy.deepcopy(one).double()(x.double())
    got = one.to(dtype)(x.to(dtype))
    assert got.dtype == dtype
    close(got.double(), want, tol, tol)


@pytest.mark.parametrize("bottleneck", [None, 2])
def test_first_and_second_derivatives(bottleneck):
    one = randomized(nn.DenseBlock(2, 1, 1, bottleneck))
    x = torch.randn(3, 1, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, *_: one(x), (x, *one.parameters()))
    assert torch.autograd.gradgradcheck(one, (x,))


def test_a_block_can_be_copied_and_pickled_and_takes_no_samples():
    one = randomized(nn.DenseBlock(2, 3, 2)).eval()
    x = torch.randn(2, 3, 4, 4, dtype=torch.float64)
    for other in (copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert torch.equal(other(x), one(x))
    assert one(x[:0]).shape == (0, 7, 4, 4)


def test_every_parameter_learns():
    net = nn.DenseNet([2, 2], 3, first=4, bottleneck=2, memory_efficient=True)
    before = {k: p.detach().clone() for k, p in net.named_parameters()}
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    F.cross_entropy(net(torch.randn(8, 1, 8, 8)), torch.arange(8)).backward()
    optimizer.step()
    assert [k for k, p in net.named_parameters() if torch.equal(p, before[k])] == []


def test_initial_weights_are_hes():
    w = nn.DenseNet([1], 32, first=32).blocks[0]["denselayer1"].conv1.weight
    assert abs(float(w.detach().std()) / (2 / (9 * 32)) ** 0.5 - 1) < 0.05


# what is refused

REFUSED = [
    (lambda: scratch.dense_block(np.ones(3), [np.ones((2, 4))]), "W of shape .2, 4. must end in"),
    (lambda: scratch.dense_block_vjp(np.ones(3), np.ones(2), [np.ones((2, 2))]), "v of shape"),
    (lambda: scratch.dense_connections(-1), "dense_connections: layers=-1 is too small"),
    (lambda: scratch.dense_channels(1, 0, 1), "dense_channels: growth=0 is too small"),
    (lambda: scratch.dense_block_parameters(1, 1, 1, 0), "bottleneck=0 is too small"),
    (lambda: scratch.densenet_parameters([]), "densenet_parameters: layers is empty"),
    (lambda: scratch.densenet_parameters([1], compression=0.0), "compression=0.0 lies outside"),
    (lambda: nn.DenseLayer(0, 1), "DenseLayer: inputs=0 is too small"),
    (lambda: nn.DenseLayer(1, 1, 0), "DenseLayer: bottleneck=0 is too small"),
    (lambda: nn.DenseLayer(2, 1)(torch.ones(1, 3, 4, 4)), r"DenseLayer: input has shape"),
    (lambda: nn.DenseBlock(0, 1, 1), "DenseBlock: layers=0 is too small"),
    (lambda: nn.Transition(1, 0), "Transition: outputs=0 is too small"),
    (lambda: nn.DenseNet([]), "DenseNet: layers is empty"),
    (lambda: nn.DenseNet([1], compression=1.5), r"compression=1.5 lies outside \(0, 1\]"),
]


@pytest.mark.errors
@pytest.mark.parametrize(("call", "text"), REFUSED, ids=[text for _, text in REFUSED])
def test_what_does_not_fit_is_refused(call, text):
    with pytest.raises(ValueError, match=text):
        call()
