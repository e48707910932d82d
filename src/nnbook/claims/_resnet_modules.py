"""Claims of the topic resnet about the modules: shapes, counts, branches that start at 0."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from nnbook.claims import All, Close, Equal, Holds, Outcome, claim, measured, refutation
from nnbook.claims.domains import Choice, Domain, Size
from nnbook.scratch import block_parameters, ordered_block, resnet_parameters
from nnbook.scratch.resnet import ORDERS

if TYPE_CHECKING:
    from nnbook import nn

SHAPES: dict[str, Domain] = {"p": Size(1, 4), "q": Size(1, 4), "s": Size(1, 3)}
SHAPES |= {"H": Size(1, 7), "W": Size(1, 7)}


@claim(
    "rn-shapes",
    says=r"For pictures of $p$ channels and $H \times W$ positions, the branch with $q$ channels "
    r"and stride $s$ has $q$ channels and $\lceil H/s \rceil \times \lceil W/s \rceil$ positions, "
    "and so have both shortcuts. Without one, $x$ has the same shape exactly if $p = q$, "
    r"and $s = 1$ or $H = W = 1$.",
    proof=True,
    given=SHAPES,
    cases=60,
)
def shapes(p: int, q: int, s: int, H: int, W: int) -> Outcome:
    import torch

    from nnbook import nn

    x = torch.zeros(2, p, H, W)
    with torch.random.fork_rng(devices=[]):
        branch = nn.conv3x3(q, q)(nn.conv3x3(p, q, s)(x)).shape
        projected = nn.conv1x1(p, q, s)(x).shape
        padded = nn.PadShortcut(p, max(p, q), s)(x).shape
    want = (2, q, -(-H // s), -(-W // s))
    same = p == q and (s == 1 or H == W == 1)
    return All(
        Equal(tuple(branch), want),
        Equal(tuple(projected), want),
        Equal(tuple(padded), (2, max(p, q), *want[2:])),
        Equal(tuple(branch) == tuple(x.shape), same),
    )


@refutation(
    "rn-add-source",
    says=r"If $x + F(x)$ can be computed without an error, then $x$ and $F(x)$ have one shape.",
    given=SHAPES,
    right="rn-shapes",
)
def add_source(p: int, q: int, s: int, H: int, W: int) -> Outcome:
    x, F = np.zeros((2, p, H, W)), np.zeros((2, q, -(-H // s), -(-W // s)))
    try:
        total = x + F
    except ValueError:
        return Holds(True)
    return Holds(
        x.shape == F.shape, f"{x.shape} and {F.shape} were added, which gave {total.shape}"
    )


@claim(
    "rn-count",
    says=r"A block of the original order from $p$ to $q$ channels has $9pq + 9q^2 + 4q$ "
    r"parameters, and $pq + 2q$ more with a projection; `block_parameters` and "
    "`resnet_parameters` count every order as the modules do.",
    proof=True,
    given={
        **SHAPES,
        "n": Size(1, 2),
        "order": Choice(tuple(ORDERS)),
        "shortcut": Choice(("A", "B")),
        "skip": Choice((True, False)),
    },
    cases=40,
)
def count(p: int, q: int, s: int, n: int, order: str, shortcut: str, skip: bool) -> Outcome:
    import torch

    from nnbook import nn

    q = max(p, q)  # shortcut A adds channels only
    with torch.random.fork_rng(devices=[]):
        block = nn.OrderedBlock(p, q, s, order=order, shortcut=shortcut, skip=skip)
        net = nn.ResNet(n, (p, q), 2, 3, order, shortcut=shortcut, skip=skip)
    sizes = [sum(w.numel() for w in m.parameters()) for m in (block, net)]
    by_hand = 9 * p * q + 9 * q * q + 4 * q + (p * q + 2 * q if p != q or s > 1 else 0)
    return All(
        Equal(sizes[0], block_parameters(p, q, order, stride=s, shortcut=shortcut, skip=skip)),
        Equal(sizes[1], resnet_parameters(n, (p, q), 2, 3, order, shortcut=shortcut, skip=skip)),
        Equal(block_parameters(p, q, stride=s), by_hand),
    )


def random_block(order: str, channels: int, seed: int) -> nn.OrderedBlock:
    """Return a block with random scales, in float64."""
    import torch

    from nnbook import nn

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        kinds = {"original": nn.PostActBlock, "full pre-activation": nn.PreActBlock}
        if order in kinds:
            block: nn.OrderedBlock = kinds[order](channels, channels)
        else:
            block = nn.OrderedBlock(channels, channels, order=order)
        for name, weight in block.named_parameters():
            if name.endswith("weight") and name.startswith("bn"):
                torch.nn.init.uniform_(weight, 0.5, 2)
    return block.double()


def silenced(order: str, channels: int, seed: int) -> nn.OrderedBlock:
    """Return a block whose last normalization in the branch multiplies by 0."""
    import torch

    block = random_block(order, channels, seed)
    last = getattr(block, f"bn{ORDERS[order][0].count('bn')}")
    torch.nn.init.zeros_(last.weight)
    return block


@claim(
    "rn-zero",
    says=r"With the identity as shortcut and $\gamma = \beta = 0$ in the last $\BN$ of the branch "
    r"the block is $\relu$ in the original order, $\relu \circ \BN$ with $\BN$ after addition, and "
    "the identity in the other four, in train and in eval mode.",
    proof=True,
    given={"order": Choice(tuple(ORDERS)), "c": Size(1, 4), "seed": Size(0, 999)},
    cases=60,
)
def zero(order: str, c: int, seed: int) -> Outcome:
    import torch

    block = silenced(order, c, seed)
    x = torch.tensor(np.random.default_rng(seed).normal(size=(3, c, 4, 5)))
    found: list[Outcome] = []
    with torch.no_grad():
        for training in (True, False):
            y, want = block.train(training)(x), x
            if order == "bn after addition":
                norm = block.bn2
                mean, var = (None, None) if training else (norm.running_mean, norm.running_var)
                want = torch.nn.functional.batch_norm(
                    x, mean, var, norm.weight, norm.bias, training
                )
            if ORDERS[order][1]:
                want = want.clamp(min=0)
            found.append(Close(y.numpy(), want.numpy(), 1e-12))
    return All(*found)


def gradients(block: nn.OrderedBlock, seed: int) -> dict[str, float]:
    """Return the largest entry of the gradient of each parameter, for a random loss."""
    import torch

    rng = np.random.default_rng(seed)
    x, v = (torch.tensor(a) for a in rng.normal(size=(2, 4, block.inputs, 4, 5)))
    block(x).backward(v)
    grads = {name: p.grad for name, p in block.named_parameters()}
    return {name: 0.0 if g is None else float(g.abs().max()) for name, g in grads.items()}


STUCK = ("bn after addition", "relu before addition", "full pre-activation")
LEARNS = tuple(order for order in ORDERS if order != "relu before addition")


@claim(
    "rn-dead",
    says=r"Where $\relu$ follows the last $\BN$ of the branch (with $\relu'(0) = 0$), "
    r"$\gamma = \beta = 0$ there makes the gradients of all parameters of the branch 0, so that "
    "they never change. What "
    "`zero_branches` sets to 0 instead gets a gradient, in the five orders that it takes.",
    proof=True,
    given={
        "order": Choice(STUCK),
        "other": Choice(LEARNS),
        "c": Size(1, 4),
        "seed": Size(0, 999),
    },
    cases=60,
)
def dead(order: str, other: str, c: int, seed: int) -> Outcome:
    from nnbook import nn

    never = gradients(silenced(order, c, seed), seed)
    if order == "bn after addition":  # the second one is not in the branch
        never = {name: size for name, size in never.items() if not name.startswith("bn2")}
    block = random_block(other, c, seed)
    nn.zero_branches(block)
    end = "bn2.weight" if ORDERS[other][0][-1] == "bn" else "conv2.weight"
    learns = gradients(block, seed)[end]
    return All(
        Equal(max(never.values()), 0.0), Holds(learns > 0, f"largest gradient {learns} of {end}")
    )


def growth(seed: int, blocks: int = 16, rows: int = 64, width: int = 64) -> list[float]:
    """Return the mean square of the features after each full pre-activation block."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, width))
    sizes = [float((x**2).mean())]
    for _ in range(blocks):
        W, U = rng.normal(size=(2, width, width)) * np.sqrt(2 / width)
        x = ordered_block(x, W, U, "full pre-activation", eps=0.0)
        sizes.append(float((x**2).mean()))
    return sizes


@measured(
    "rn-growth",
    says=r"With He's initial weights each full pre-activation block adds 1 to the expected mean "
    "square of the features. The number is what one of 16 blocks adds on average, for one draw of "
    "the weights.",
    band=(0.8, 1.2),
    seeds=range(8),
    unit="added per block",
)
def added(seed: int) -> float:
    sizes = growth(seed)
    return (sizes[-1] - sizes[0]) / (len(sizes) - 1)


@claim(
    "rn-variance",
    says=r"Let $W$ and $-W$ have one distribution, and let the entries of $U$ be uncorrelated, "
    r"independent of $W$, of mean 0 and variance $2/h$. Then one full pre-activation block on "
    r"vectors with $\varepsilon = 0$ adds exactly 1 to the expected mean square of the features, "
    "provided that no feature is constant where it is normalized. The expectation is taken over "
    r"all $U_{jk} = s_j t_k \sqrt{2/h}$ with $s_j, t_k = \pm 1$.",
    proof=True,
    given={"n": Size(3, 6), "c": Size(1, 3), "h": Size(1, 3), "seed": Size(0, 999)},
)
def variance(n: int, c: int, h: int, seed: int) -> Outcome:
    rng = np.random.default_rng(seed)
    x, W = rng.normal(size=(n, c)), rng.normal(size=(h, c))
    squares = [
        (ordered_block(x, V, scale * np.outer(s, t), "full pre-activation", eps=0.0) ** 2).mean()
        for scale in [np.sqrt(2 / h)]
        for V in (W, -W)
        for s in product((1.0, -1.0), repeat=c)
        for t in product((1.0, -1.0), repeat=h)
    ]
    return Close(np.mean(squares), (x**2).mean() + 1)
