"""Claims of the topic densenet about the modules: layers, counts, memory, a measurement."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from nnbook.claims import All, AtMost, Close, Equal, Holds, Outcome, claim, measured, refutation
from nnbook.claims._resnet_trained import late, pictures
from nnbook.claims.domains import Choice, Domain, Size
from nnbook.scratch import dense_block_parameters, densenet_parameters, resnet_parameters

if TYPE_CHECKING:
    import torch

    from nnbook import nn

DRAWN: dict[str, Domain] = {"c": Size(1, 4), "k": Size(1, 3), "seed": Size(0, 999)}


def layer_and_input(c: int, k: int, seed: int) -> tuple[nn.DenseLayer, torch.Tensor]:
    """Return a dense layer in float64, and pictures for it."""
    import torch

    from nnbook import nn

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.DenseLayer(c, k).double(), torch.randn(2, c, 3, 4, dtype=torch.float64)


@claim(
    "dn-layer",
    says=r"The published layer normalizes, cuts off and convolves, in this order: "
    r"$H(z) = K \relu(\BN(z))$, with nothing after the convolution.",
    given=DRAWN,
    cases=40,
)
def published(c: int, k: int, seed: int) -> Outcome:
    import torch
    import torch.nn.functional as F

    layer, z = layer_and_input(c, k, seed)
    normalized = F.batch_norm(z, None, None, training=True)
    want = F.conv2d(F.relu(normalized), layer.conv1.weight, padding=1)
    with torch.no_grad():
        return Close(layer(z).numpy(), want.numpy())


@refutation(
    "dn-layer-source",
    says=r"The layer of a DenseNet is $\sigma(\mathrm{Conv}(z))$ with $\sigma = \relu$, so that "
    "what it adds is never negative.",
    given=DRAWN,
    right="dn-layer",
    cases=200,
)
def layer_source(c: int, k: int, seed: int) -> Outcome:
    import torch

    layer, z = layer_and_input(c, k, seed)
    with torch.no_grad():
        least = float(layer(z).min())
    return Holds(least >= 0, f"the smallest number that it adds is {least:.6g}")


@claim(
    "dn-quadratic",
    says=r"Without a bottleneck a dense block has $(2 + 9k)\big(k_0 L + k \tfrac{L(L-1)}{2}\big)$ "
    r"parameters: each further layer has $(2 + 9k)k$ more than the one before it.",
    proof=True,
    given={"L": Size(1, 12), "c": Size(1, 30), "k": Size(1, 30)},
)
def quadratic(L: int, c: int, k: int) -> Outcome:
    layer = [
        dense_block_parameters(n, c, k) - (dense_block_parameters(n - 1, c, k) if n > 1 else 0)
        for n in (L, L + 1)
    ]
    return All(
        Equal(2 * dense_block_parameters(L, c, k), (2 + 9 * k) * (2 * c * L + k * L * (L - 1))),
        Equal(layer[1] - layer[0], (2 + 9 * k) * k),
    )


@refutation(
    "dn-fewer-source",
    says="A DenseNet with three blocks has fewer parameters than a ResNet 16-32-64 of the same "
    "number of 3x3 convolutions.",
    given={"n": Size(1, 6), "k": Choice((4, 8, 12, 24))},
    right="dn-quadratic",
)
def fewer_source(n: int, k: int) -> Outcome:
    dense, res = densenet_parameters([2 * n] * 3, k), resnet_parameters(n)
    return Holds(dense < res, f"DenseNet {dense:,}, ResNet {res:,}")


@claim(
    "dn-count",
    says=r"`dense_block_parameters` and `densenet_parameters` count what the modules have, with "
    r"and without bottleneck and compression; layer $l$ reads $k_0 + k(l-1)$ channels and the "
    r"block ends with $k_0 + kL$.",
    given={
        "c": Size(1, 5),
        "k": Size(1, 4),
        "L": Size(1, 4),
        "b": Choice((None, 1, 4)),
        "compression": Choice((1.0, 0.5)),
    },
    cases=40,
)
def count(c: int, k: int, L: int, b: int | None, compression: float) -> Outcome:
    import torch

    from nnbook import nn

    options = {"first": c + 1, "bottleneck": b, "compression": compression}
    with torch.random.fork_rng(devices=[]):
        block = nn.DenseBlock(L, c, k, b)
        net = nn.DenseNet([L, 1], k, 2, 3, **options)  # type: ignore[arg-type]
    got = [sum(w.numel() for w in m.parameters()) for m in (block, net)]
    counted = densenet_parameters([L, 1], k, 2, 3, **options)  # type: ignore[arg-type]
    return All(
        Equal(got, [dense_block_parameters(L, c, k, b), counted]),
        Equal([layer.inputs for layer in block.values()], [c + k * i for i in range(L)]),
        Equal(block.channels, c + k * L),
    )


def kept(layers: int, inputs: int, growth: int, shape: tuple[int, ...], efficient: bool) -> float:
    """Return how many numbers a block keeps for its backward pass, besides its parameters."""
    import torch

    from nnbook import nn

    block = nn.DenseBlock(layers, inputs, growth, memory_efficient=efficient)
    own = {p.untyped_storage().data_ptr() for p in block.parameters()}
    seen: dict[int, int] = {}

    def pack(t: torch.Tensor) -> torch.Tensor:
        storage = t.untyped_storage()
        if storage.data_ptr() not in own:
            seen[storage.data_ptr()] = storage.nbytes() // t.element_size()
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        out = block(torch.zeros(shape[0], inputs, *shape[1:], requires_grad=True))
    del out
    return sum(seen.values())


@claim(
    "dn-memory",
    says=r"For its backward pass, a block without bottleneck keeps two numbers for each number "
    r"that a layer reads: per position of a picture "
    r"$2\big(k_0 L + k\tfrac{L(L-1)}{2}\big)$, besides a few numbers per channel. If the joined "
    r"tensors are computed again instead, it is $k_0 + k(L-1)$.",
    given={"L": Size(1, 8), "c": Size(1, 6), "k": Size(1, 4)},
    cases=16,
)
def memory(L: int, c: int, k: int) -> Outcome:
    shape, read = (4, 9, 8), c * L + k * L * (L - 1) // 2
    positions = int(np.prod(shape))
    plain, again = (kept(L, c, k, shape, efficient) for efficient in (False, True))
    return All(
        AtMost(abs(plain - 2 * read * positions), 6 * read, 0.0),
        Equal(again, (c + k * (L - 1)) * positions),
    )


MODELS = ("dense", "residual")


def model(kind: str, seed: int) -> nn.DenseNet | nn.ResNet:
    """Return a DenseNet, or a ResNet with nearly as many parameters."""
    import torch

    from nnbook import nn

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if kind == "dense":
            return nn.DenseNet([4, 4, 4], growth=6, first=8, compression=0.5)
        return nn.ResNet(2, (5, 10, 20))


@cache
def trained(kind: str, seed: int, steps: int = 45) -> tuple[float, ...]:
    """Train on batches of 50 pictures with momentum; return the loss of each batch."""
    import torch

    (x, y), _ = pictures()
    net = model(kind, seed)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    rng, losses = np.random.default_rng(seed), []
    for _ in range(steps):
        rows = rng.integers(0, len(y), size=50)
        loss = torch.nn.functional.cross_entropy(
            net(torch.from_numpy(x[rows])), torch.from_numpy(y[rows])
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return tuple(losses)


@measured(
    "dn-fashion",
    says="Fashion-MNIST, pictures of 14 by 14, 45 steps: training loss of a DenseNet less that of "
    "a ResNet with nearly as many parameters, in the mean of the last ten steps. At this size and "
    "length of training neither is far ahead.",
    band=(-0.35, 0.35),
    unit="difference of losses",
)
def fashion(seed: int) -> float:
    return late(trained("dense", seed)) - late(trained("residual", seed))
