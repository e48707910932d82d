"""Dense connections on vectors: every layer reads all earlier ones of its block; what they cost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from nnbook._check.shapes import check_last_axis
from nnbook._check.values import check_count, check_not_empty, check_range

Array = Float[np.ndarray, "..."]
Weights = Sequence[np.ndarray]


def dense_block(x: Array, weights: Weights) -> Array:
    r"""Let each layer read the input and all earlier outputs, one after the other in one vector.

    .. math:: x_l = \sigma(W_l [x_0, \dots, x_{l-1}])

    Sigma is the maximum with 0. Published dense layers normalize and cut off before the product:
    see `nnbook.nn.DenseLayer`.

    Args:
        x: rows of k0 features, the batch axes in front.
        weights: W_l of shape (k_l, k_0 + ... + k_{l-1}) for each layer.

    Returns:
        :math:`[x_0, \dots, x_L]`, of the dtype of x.

    Raises:
        ValueError: if a weight has another number of columns.

    Source:
        Huang, Liu, van der Maaten and Weinberger (2017), "Densely Connected Convolutional
        Networks", arXiv:1608.06993, equation 2.

    Examples:
        >>> weights = [np.array([[1.0, 1.0]]), np.array([[-1.0, 0.0, 2.0]])]
        >>> dense_block(np.array([1.0, 2.0]), weights)
        array([1., 2., 3., 5.])
    """
    for W in weights:
        check_last_axis("dense_block", "W", W.shape, x.shape[-1], "features before it")
        new = np.maximum(x @ W.T, 0)  # *batch k, eq. dn-eq-source
        x = np.concatenate([x, new], axis=-1)  # *batch c, eq. dn-eq-block
    return x


def dense_block_vjp(v: Array, x: Array, weights: Weights) -> tuple[Array, list[np.ndarray]]:
    r"""Return the gradients of :math:`\langle v, \mathrm{dense\_block}(x)\rangle`.

    Args:
        v: the gradient at the output, of shape ``(*batch, k0 + k1 + ...)``.
        x: the input.
        weights: as in `dense_block`.

    Returns:
        The gradient at x, and a list of those of the weights.

    Raises:
        ValueError: as `dense_block`, and if v has another number of features than the output.

    Examples:
        >>> dense_block_vjp(np.ones(3), np.array([1.0, 2.0]), [np.array([[1.0, 3.0]])])[0]
        array([2., 4.])
    """
    out = dense_block(x, weights)
    check_last_axis("dense_block_vjp", "v", v.shape, out.shape[-1], "features of the output")
    grads = []
    for W in reversed(weights):
        known = W.shape[1]
        before, new = out[..., :known], out[..., known : known + len(W)]
        v, at_new = v[..., :known], v[..., known:] * (new > 0)
        grads.append(at_new.reshape(-1, len(W)).T @ before.reshape(-1, known))
        v = v + at_new @ W  # *batch c, eq. dn-vjp
    return v, grads[::-1]


def dense_connections(layers: int) -> int:
    r"""Count the direct connections into the layers of a block: :math:`L(L+1)/2`.

    Layer l has one from the input and one from each of the l - 1 layers before it.

    >>> [dense_connections(layers) for layers in (1, 2, 5)]
    [1, 3, 15]
    """
    check_count("dense_connections", "layers", layers, 0)
    return layers * (layers + 1) // 2  # eq. dn-eq-connections


def dense_channels(inputs: int, growth: int, layers: int) -> int:
    """Count the channels after a block, :math:`k_0 + kL`; before layer l, with layers = l - 1.

    >>> dense_channels(16, 12, 4)
    64
    """
    for name, count in (("inputs", inputs), ("growth", growth)):
        check_count("dense_channels", name, count)
    check_count("dense_channels", "layers", layers, 0)
    return inputs + growth * layers  # eq. dn-channels


def dense_block_parameters(
    layers: int, inputs: int, growth: int, bottleneck: int | None = None
) -> int:
    """Count the parameters of `nnbook.nn.DenseBlock`, without building it.

    Args:
        layers: how many layers.
        inputs: channels of the input.
        growth: channels that each layer adds.
        bottleneck: None, or how many times ``growth`` channels the 1x1 convolution leaves.

    Returns:
        The number of weights, scales and shifts.

    Raises:
        ValueError: if a count is too small.

    Examples:
        >>> dense_block_parameters(2, 16, 12)
        4840
    """
    c = dense_channels(inputs, growth, layers)  # checks
    pairs = layers * (inputs + c - growth) // 2  # the sum of the channels that the layers read
    if bottleneck is None:
        return (2 + 9 * growth) * pairs  # eq. dn-eq-count
    inside = check_count("dense_block_parameters", "bottleneck", bottleneck) * growth
    return (2 + inside) * pairs + layers * inside * (2 + 9 * growth)  # eq. dn-eq-count-b


def densenet_parameters(
    layers: Sequence[int],
    growth: int = 12,
    inputs: int = 1,
    classes: int = 10,
    *,
    first: int = 16,
    bottleneck: int | None = None,
    compression: float = 1.0,
) -> int:
    """Count the parameters of `nnbook.nn.DenseNet`, without building it.

    Args:
        layers: layers of each block.
        growth: channels that each layer adds.
        inputs: channels of the pictures.
        classes: outputs of the last layer.
        first: channels after the first convolution.
        bottleneck: see `dense_block_parameters`.
        compression: share of the channels that a transition keeps.

    Returns:
        The number of parameters.

    Raises:
        ValueError: if a count is too small, there is no block, or compression is not in (0, 1].

    Examples:
        >>> densenet_parameters([12, 12, 12], inputs=3)
        1019722
    """
    check_not_empty("densenet_parameters", "layers", layers)
    check_range("densenet_parameters", "compression", compression, 0.0, 1.0, ends="(]")
    total, c = 9 * inputs * first, first
    for place, count in enumerate(layers):
        if place > 0:
            kept = int(c * compression)
            total, c = total + 2 * c + c * kept, kept
        total += dense_block_parameters(count, c, growth, bottleneck)
        c = dense_channels(c, growth, count)
    return total + 2 * c + c * classes + classes
