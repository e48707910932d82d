"""Claims of the topic modules: when a module is a function, and what it can be joined to.

What no layer can do, and what one layer means without the others, is in a file of its own, which
this one loads at its end.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ._core import claim, exact, refutation
from ._modules_tools import Array, Table, relu
from ._outcomes import All, Close, Equal, Holds, Outcome
from .domains import Matrix, Scalar, Size, Vector

# ---------------------------------------------------------------- state and randomness


@claim(
    "mod-mates",
    says=r"Let $c(X)_i = x_i - \frac1n \sum_j x_j$ centre a batch of $n$ samples. If one sample "
    r"$x_j$ moves by $\delta$, the output for every **other** sample $i \ne j$ moves by "
    r"$-\delta / n$.",
    proof=True,
    given={"n": Size(2, 6), "X": Matrix("n", "m"), "delta": Vector("m")},
)
def mates(X: Array, delta: Array) -> Outcome:
    moved = X.copy()
    moved[-1] += delta
    change = (moved - moved.mean(axis=0)) - (X - X.mean(axis=0))
    return Close(change[:-1], np.tile(-delta / len(X), (len(X) - 1, 1)))


@exact("mod-mates")
def mates_exact() -> list[tuple[str, Any]]:
    import sympy as sp

    x, d = sp.symbols("x:4", real=True), sp.Symbol("d", real=True)
    found = []
    for n in (2, 3, 4):
        before = x[0] - sum(x[:n]) / n
        after = x[0] - (sum(x[:n]) + d) / n
        found.append((f"n = {n}", after - before + d / n))
    return found


@refutation(
    "mod-batchnorm",
    says="A module is a function of its input: what batch normalization gives for a sample while "
    "it trains is determined by that sample and the parameters.",
    given={"x": Scalar(), "mate": Scalar(), "other": Scalar()},
    right="mod-eval",
)
def batchnorm(x: float, mate: float, other: float) -> Outcome:
    import torch

    layer = torch.nn.BatchNorm1d(1, dtype=torch.float64)
    first = layer(torch.tensor([[x], [mate]], dtype=torch.float64))[0].item()
    second = layer(torch.tensor([[x], [other]], dtype=torch.float64))[0].item()
    return Close(first, second, tol=1e-6)


@refutation(
    "mod-dropout",
    says="A module is a function of its input: what dropout gives while it trains is determined "
    "by its input.",
    given={"x": Scalar(nonzero=True), "seed": Size(0, 50), "other": Size(0, 50)},
    right="mod-eval",
)
def dropout(x: float, seed: int, other: int) -> Outcome:
    import torch

    values = []
    with torch.random.fork_rng(devices=[]):
        for s in (seed, other):
            torch.manual_seed(s)
            values.append(torch.nn.Dropout(0.5)(torch.tensor([x], dtype=torch.float64)).item())
    return Equal(values[0], values[1])


@claim(
    "mod-eval",
    says="In evaluation mode batch normalization treats each sample as if it were alone, two "
    "calls agree, and dropout is the identity: both are functions of the sample again.",
    given={"n": Size(2, 6), "X": Matrix("n", "c"), "seen": Matrix("n", "c")},
)
def in_eval(X: Array, seen: Array) -> Outcome:
    import torch

    x = torch.tensor(X)
    norm = torch.nn.BatchNorm1d(X.shape[1], dtype=torch.float64)
    norm(torch.tensor(seen))  # training mode: the buffers leave their initial values
    norm.eval()
    alone = torch.cat([norm(row[None]) for row in x]).detach().numpy()
    dropped = torch.nn.Dropout(0.5).eval()(x)
    return All(
        Close(norm(x).detach().numpy(), alone),
        Equal(norm(x).detach().numpy(), norm(x).detach().numpy()),
        Equal(dropped.numpy(), X),
    )


@claim(
    "mod-state",
    says=r"One forward pass of batch normalization in training mode, without any optimizer, "
    r"changes its buffers: with $\alpha = 0.1$ the running mean becomes $(1-\alpha)$ times the old "
    r"one plus $\alpha$ times the mean of the batch, and the running variance $(1-\alpha)$ times "
    r"the old one plus $\alpha\,\frac{n}{n-1}$ times the variance of the batch; the parameters "
    r"stay.",
    given={"n": Size(2, 6), "seen": Matrix("n", "c"), "X": Matrix("n", "c")},
)
def state(seen: Array, X: Array) -> Outcome:
    import torch

    norm = torch.nn.BatchNorm1d(X.shape[1], dtype=torch.float64)
    before = [p.detach().clone() for p in norm.parameters()]
    norm(torch.tensor(seen))  # so that the old values are not the initial ones
    assert norm.running_mean is not None
    assert norm.running_var is not None
    mean, variance = norm.running_mean.numpy().copy(), norm.running_var.numpy().copy()
    norm(torch.tensor(X))
    same = all(torch.equal(p, q) for p, q in zip(norm.parameters(), before, strict=True))
    return All(
        Close(norm.running_mean.numpy(), 0.9 * mean + 0.1 * X.mean(axis=0)),
        Close(norm.running_var.numpy(), 0.9 * variance + 0.1 * X.var(axis=0, ddof=1)),
        Holds(same, "a parameter changed"),
    )


# ---------------------------------------------------------------- interfaces


def _joined(W1: Array, W2: Array, x: Array) -> Array | None:
    """Return W2 (W1 x), or None where the library refuses the pair."""
    from nnbook.scratch import mm

    try:
        return mm(mm(x, W1), W2)
    except ValueError:
        return None


@claim(
    "mod-compose",
    says=r"Two linear maps $z \mapsto W_1 z$ with $W_1 \in \R^{n \times m}$ and $z \mapsto W_2 z$ "
    r"with $W_2 \in \R^{k \times p}$ can be chained if and only if $p = n$; then the chain maps "
    r"$\R^m$ to $\R^k$. In every other case the library raises an error.",
    proof=True,
    given={"W1": Matrix("n", "m"), "W2": Matrix("k", "p"), "x": Vector("m")},
)
def compose(W1: Array, W2: Array, x: Array) -> Outcome:
    y = _joined(W1, W2, x)
    if W2.shape[1] != W1.shape[0]:
        return Holds(y is None, f"no error for {W1.shape} before {W2.shape}")
    return Close(y, W2 @ (W1 @ x))


@refutation(
    "mod-snap",
    says="Modules are bricks that fit on each other: any two of them can be chained.",
    given={"W1": Matrix("n", "m"), "W2": Matrix("k", "p"), "x": Vector("m")},
    right="mod-compose",
)
def snap(W1: Array, W2: Array, x: Array) -> Outcome:
    n, p = W1.shape[0], W2.shape[1]
    return Holds(
        _joined(W1, W2, x) is not None, f"the first gives {n} numbers, the second takes {p}"
    )


@refutation(
    "mod-remove",
    says="A module that keeps the shape can be taken out of a chain, and the function stays.",
    given={"n": Size(1, 3), "m": Size(1, 3), "W": Matrix("n", "m"), "x": Vector("m")},
)
def remove(W: Array, x: Array) -> Outcome:
    return Close(W @ relu(x), W @ x)


@claim(
    "mod-chain",
    says=r"Let $f$ take vectors to vectors of the same length. The residual sum $x + f(x)$ can be "
    r"computed from $f(x)$ alone, as $g(f(x))$ with some map $g$, if and only if $f$ is injective.",
    proof=True,
    given={"m": Size(1, 6), "f": Table("m")},
    cases=200,
    also=[{"f": np.array([2, 0, 1])}, {"f": np.array([0, 0])}],
)
def chain(f: Array) -> Outcome:
    seen: dict[int, int] = {}
    exists = all(seen.setdefault(int(y), x + int(y)) == x + int(y) for x, y in enumerate(f))
    return Equal(exists, len(set(f.tolist())) == len(f))


# ---------------------------------------------------------------- the class


@claim(
    "mod-drop-in",
    says="A network of `nnbook.nn` and the same network of `torch.nn` have the same names and "
    "shapes in their state; each loads the other's, and then they give the same output.",
    given={"m": Size(1, 5), "h": Size(1, 5), "k": Size(1, 5), "X": Matrix("n", "m")},
)
def drop_in(m: int, h: int, k: int, X: Array) -> Outcome:
    import torch

    from nnbook import nn

    def build(library: Any) -> Any:
        layers = [library.Linear(m, h), library.ReLU(), library.Linear(h, k)]
        return library.Sequential(*layers).double()

    ours, theirs, back = build(nn), build(torch.nn), build(nn)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    back.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.tensor(X)
    outputs = [model(x).detach().numpy() for model in (ours, theirs, back)]
    return All(Close(outputs[0], outputs[1]), Close(outputs[2], outputs[1]))


from . import _modules_limits  # noqa: E402, F401  the rest of the claims of this topic
