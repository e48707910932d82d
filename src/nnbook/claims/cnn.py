"""Claims of the topic cnn: what a convolutional network is, counts, shifts and pixels.

What was measured in training has a file of its own, which this one loads at its end.
"""

from __future__ import annotations

import numpy as np

from nnbook.claims import All, AtMost, Close, Equal, Outcome, claim, refutation
from nnbook.claims._conv2d_kernels import field, support
from nnbook.claims.domains import Array as Box
from nnbook.claims.domains import Choice, Domain, Matrix, Size, Vector
from nnbook.scratch import conv2d, mm, relu

Array = np.ndarray
LAST: dict[str, Domain] = {
    "m": Size(1, 4),
    "n": Size(1, 4),
    "x": Box(2, "m", "n"),
    "kernel": Box(3, 2, 3, 3),
    "bias": Box(3),
    "W": Box(2, 3, "m", "n"),
    "b": Box(2),
}


def head(x: Array, kernel: Array, bias: Array, W: Array, b: Array, active: bool) -> Array:
    """Return MM of the flattened convolution of x, with a ReLU between them or without."""
    y = conv2d(x, kernel, bias, padding=1)
    return mm((relu(y) if active else y).ravel(), W.reshape(len(W), -1), b)


@claim(
    "cnn-last",
    says=r"Without an activation between them the last convolution and the affine map after it "
    r"are one affine map: $\MM_{W,b}(\vect(\ConvTwo(x))) = A \vect(x) + c$ with $A = WQ$ and "
    r"$c = W\vect(\ConvTwo(0)) + b$.",
    proof=True,
    given=LAST,
)
def last(x: Array, kernel: Array, bias: Array, W: Array, b: Array) -> Outcome:
    units = np.eye(x.size).reshape(x.size, *x.shape)
    Q = conv2d(units, kernel, padding=1).reshape(x.size, -1).T
    flat = W.reshape(len(W), -1)
    c = flat @ np.broadcast_to(bias[:, None, None], W.shape[1:]).ravel() + b
    return Close(head(x, kernel, bias, W, b, False), (flat @ Q) @ x.ravel() + c)


@refutation(
    "cnn-last-active",
    says="With a ReLU between the last convolution and the affine map the two are an affine map, "
    r"too: $f(x) + f(-x) = 2 f(0)$.",
    given={"x": Box(1, 1, 1), "kernel": Box(1, 1, 3, 3), "W": Box(1, 1, 1, 1)},
    right="cnn-last",
)
def last_active(x: Array, kernel: Array, W: Array) -> Outcome:
    def f(x: Array) -> Array:
        return head(x, kernel, np.zeros(1), W, np.zeros(1), True)

    return Close(f(x) + f(-x), 2 * f(0 * x))


@claim(
    "cnn-count",
    says=r"A convolution from $(C, H, W)$ to $(C', H', W')$ with $k \times k$ kernels has fewer "
    r"weights than a matrix between these spaces if and only if $k^2 < H W H' W'$.",
    proof=True,
    given={
        "C": Size(1, 3),
        "out": Size(1, 3),
        "k": Size(1, 5),
        "h": Size(1, 3),
        "w": Size(1, 3),
        "p": Size(0, 2),
    },
    cases=60,
)
def count(C: int, out: int, k: int, h: int, w: int, p: int) -> Outcome:
    from nnbook import nn

    if k > min(h, w) + 2 * p:
        return Equal(0, 0)
    conv = nn.Conv2d(C, out, k, padding=p, bias=False)
    height, width = h + 2 * p - k + 1, w + 2 * p - k + 1
    dense = nn.Linear(C * h * w, out * height * width, bias=False)
    fewer = conv.weight.numel() < dense.weight.numel()
    return Equal(fewer, k * k < h * w * height * width)


@refutation(
    "cnn-count-source",
    says="A convolution has fewer weights than a fully connected layer between the same spaces.",
    given={"C": Size(1, 3), "out": Size(1, 3), "k": Choice((3, 5)), "m": Size(1, 4)},
    right="cnn-count",
)
def count_source(C: int, out: int, k: int, m: int) -> Outcome:
    dense = (C * m * m) * (out * m * m)  # padded so that the size stays m by m
    return AtMost(k * k * C * out, dense - 1, 0)


@refutation(
    "cnn-shift-source",
    says="A convolutional network, convolution, ReLU, flatten and an affine map, gives the same "
    "output when the picture is shifted by one pixel and nothing leaves it.",
    given={"x": Box(1, 2, 2), "kernel": Box(1, 1, 3, 3), "W": Box(1, 1, 4, 4)},
    right="cnn-shift-dense",
)
def shift_source(x: Array, kernel: Array, W: Array) -> Outcome:
    outputs = []
    for right in (1, 2):
        picture = np.zeros((1, 4, 4))
        picture[:, 1:3, right - 1 : right + 1] = x
        outputs.append(head(picture, kernel, np.zeros(1), W, np.zeros(1), True))
    return Close(outputs[0], outputs[1])


@claim(
    "cnn-shift-dense",
    says=r"Let $F$ commute with cyclic shifts $T$, and let $f(x) = \MM_{W,b}(\vect(F(x)))$. If the "
    r"rows of $W$ are constant over the places of each channel, then $f(Tx) = f(x)$ for every "
    r"shift. If $F(x)$ can be any array, this is the only case.",
    proof=True,
    given={
        "m": Size(1, 4),
        "n": Size(1, 4),
        "W": Box(2, 3, "m", "n"),
        "x": Box(1, "m", "n"),
        "kernel": Box(3, 1, 3, 3),
        "row": Matrix(2, 3),
        "down": Size(0, 3),
        "right": Size(0, 3),
    },
)
def shift_dense(W: Array, x: Array, kernel: Array, row: Array, down: int, right: int) -> Outcome:
    def F(x: Array) -> Array:
        return relu(conv2d(np.pad(x, [(0, 0), (1, 1), (1, 1)], mode="wrap"), kernel))

    flat = np.broadcast_to(row[:, :, None, None], W.shape).reshape(2, -1)
    moved = F(np.roll(x, (down, right), axis=(1, 2)))
    return All(
        Close(flat @ moved.ravel(), flat @ F(x).ravel()),
        # the converse: what the worst shift changes is what is not constant in a row of W
        Close(change(W), np.ptp(W, axis=(2, 3))),
    )


def change(W: Array) -> Array:
    """Return the most that a cyclic shift of a unit array changes in W vec(y), F the identity.

    One number for each row and channel. Where it is 0 the row is constant over the places.
    """
    worst = np.zeros(W.shape[:2])
    for channel, i, j in np.ndindex(W.shape[1:]):
        y = np.zeros(W.shape[1:])
        y[channel, i, j] = 1
        for shift in np.ndindex(W.shape[2:]):
            moved = np.roll(y, shift, axis=(1, 2))
            gap = np.abs(np.tensordot(W, moved - y, 3))
            worst[:, channel] = np.maximum(worst[:, channel], gap)
    return worst


@claim(
    "cnn-permute",
    says=r"An MLP does not know which pixels are neighbours: for every permutation matrix $P$ the "
    r"network with $W_1 P^\top$ in place of $W_1$ gives for $Px$ what the old one gives for $x$, "
    "and after a step of gradient descent with these pictures still does.",
    proof=True,
    given={
        "m": Size(1, 6),
        "x": Vector("m"),
        "W1": Matrix(4, "m"),
        "W2": Matrix(2, 4),
        "seed": Size(0, 1000),
    },
)
def permute(x: Array, W1: Array, W2: Array, seed: int) -> Outcome:
    order = np.random.default_rng(seed).permutation(len(x))

    def forward(x: Array, W1: Array) -> Array:
        return W2 @ relu(W1 @ x)

    def step(x: Array, W1: Array) -> Array:  # on half the square of the output
        hidden = W1 @ x
        return W1 - 0.01 * np.outer((W2.T @ forward(x, W1)) * (hidden > 0), x)

    # rounding could flip a ReLU near 0: compare only where none is near
    if np.any(np.abs(W1 @ x) < 1e-6):
        return Close(forward(x[order], W1[:, order]), forward(x, W1))
    return All(
        Close(forward(x[order], W1[:, order]), forward(x, W1)),
        Close(step(x[order], W1[:, order]), step(x, W1)[:, order]),
    )


# kernel, stride and dilation of the layers of LeNet: convolution, pooling, convolution, pooling
LENET = [(5, 1, 1), (2, 2, 1), (5, 1, 1), (2, 2, 1)]


@claim(
    "cnn-field",
    says=r"In LeNet, $5 \times 5$ convolutions and $2 \times 2$ pooling by turns, the entries of "
    "the four layers see squares of $5$, $6$, $14$ and $16$ pixels side.",
)
def fields() -> Outcome:
    sides = [field(LENET[: n + 1]) for n in range(4)]
    seen = [support(LENET[: n + 1]) for n in range(4)]
    return All(Equal(sides, [5, 6, 14, 16]), Equal(seen, [(side, side) for side in sides]))


from nnbook.claims import _cnn_trained  # noqa: E402

__all__ = ["_cnn_trained"]
