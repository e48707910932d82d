"""Initial values that are fitted: orthogonal weights, and layers scaled on data one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from nnbook._check.learning import check_layers, check_varied
from nnbook._check.values import check_count, check_range

from .walkthrough import Activation, Layers, network_values

Array = np.ndarray


def orthogonal(
    rng: np.random.Generator, n: int, m: int, gain: float | int = 1.0, dtype: Any = np.float64
) -> Float[Array, "n m"]:
    r"""Draw W evenly from the matrices with orthonormal rows, or columns if n > m, times a gain.

    .. math:: W W^\top = g^2 I \quad (n \le m), \qquad W^\top W = g^2 I \quad (n \ge m)

    Args:
        rng: where the random numbers come from.
        n: number of outputs, the rows of W.
        m: number of inputs, the columns of W.
        gain: the factor g.
        dtype: the type of the result.

    Source:
        Saxe, McClelland and Ganguli (2014), "Exact solutions to the nonlinear dynamics of
        learning in deep linear neural networks", arXiv:1312.6120.

    Examples:
        >>> W = orthogonal(np.random.default_rng(0), 2, 3)
        >>> np.allclose(W @ W.T, np.eye(2))
        True
    """
    tall = (max(check_count("orthogonal", "n", n), m), min(n, check_count("orthogonal", "m", m)))
    Q, R = np.linalg.qr(rng.standard_normal(tall))
    Q = Q * np.sign(np.diag(R))  # without this the draw is not even
    return (gain * (Q if n >= m else Q.T)).astype(dtype)  # n m, eq. inz-frame


def lsuv(
    x: Float[Array, "B m"],
    layers: Layers,
    activation: Activation = "tanh",
    *,
    std: float | int = 1.0,
) -> Layers:
    r"""Scale the layers one after the other, until each gives the same spread on these data.

    .. math:: W_l \leftarrow \frac{s}{\operatorname{std}(W_l h_{l-1})} \, W_l

    The spread is that of all numbers of a layer before its activation, biases left out. It is
    measured with the layers before already scaled; since it is proportional to the weights, one
    division per layer is enough.

    Args:
        x: samples.
        layers: weights and bias of each affine map; they are left as they are.
        activation: of the hidden layers.
        std: the wanted spread s.

    Returns:
        New parameters: scaled weights, and the same biases.

    Raises:
        ValueError: if there is no layer, std is not positive, or a layer gives a constant.

    Source:
        Mishkin and Matas (2016), "All you need is a good init", arXiv:1511.06422.
    """
    check_layers("lsuv", len(layers))
    check_range("lsuv", "std", float(std), 0.0, ends="()")
    scaled: Layers = []
    for place, (W, b) in enumerate(layers):
        spread = network_values(x, [*scaled, (W, np.zeros_like(b))], activation)[-1].std()
        check_varied("lsuv", f"layer {place}", float(spread))
        scaled.append((W * (std / spread).astype(W.dtype), b))  # n m, eq. inz-scale
    return scaled
