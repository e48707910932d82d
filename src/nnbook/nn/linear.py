"""The affine map on tensors, and the module that owns its weights."""

from __future__ import annotations

import math

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from nnbook._check.shapes import check_bias, check_last_axis
from nnbook._check.values import check_count


def affine(
    z: Shaped[Tensor, "*batch m"],
    weight: Shaped[Tensor, "n m"],
    bias: Shaped[Tensor, " n"] | None = None,
) -> Shaped[Tensor, "*batch n"]:
    r"""Do what `nnbook.scratch.mm` does, on tensors; autograd gives the vjp.

    .. math:: y = z W^\top + b

    ``torch.addmm(b, z, W.T)`` is the equation in one operation; it saves the pass over the
    output that a separate addition takes.

    Args:
        z: vectors of length m, with any axes in front.
        weight: W, shape (n, m).
        bias: b, shape (n,); None means zero.

    Returns:
        Vectors of length n, with the axes of z in front.

    Raises:
        ValueError: if z does not end in m entries, or the bias is not one number per row of W.
    """
    n, m = weight.shape
    check_last_axis("affine", "z", z.shape, m, "columns of W")
    check_bias("affine", None if bias is None else bias.shape, n)
    rows = z if z.ndim == 2 else z.reshape(math.prod(z.shape[:-1]), m)  # B m
    if bias is None:
        y = rows @ weight.T  # B n, eq. mm-batch
    else:
        y = torch.addmm(bias, rows, weight.T)  # B n, eq. mm-batch
    return y if z.ndim == 2 else y.reshape(*z.shape[:-1], n)


class Linear(nn.Module):
    r"""The matrix-multiplication module with its own weights, a drop-in for ``torch.nn.Linear``.

    .. math:: y = x W^\top + b

    Weights and biases start uniform on (-k, k) with k = 1/sqrt(in_features), so their variance
    is 1/(3 in_features). For the same seed the initial values are those of ``torch.nn.Linear``:
    the same float32 numbers, and in float64 equal up to rounding.

    Args:
        in_features: m, the length of the vectors that come in.
        out_features: n, the length of the vectors that go out.
        bias: False leaves b out.
        device: where the parameters live.
        dtype: the type of the parameters.

    Shape:
        - Input: ``(*, in_features)``, with any axes in front, or none.
        - Output: ``(*, out_features)``.

    Examples:
        >>> import torch
        >>> Linear(3, 2)(torch.zeros(5, 4, 3)).shape
        torch.Size([5, 4, 2])
    """

    __constants__ = ("in_features", "out_features")
    in_features: int
    out_features: int
    weight: Tensor

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.in_features = check_count("Linear", "in_features", in_features, least=0)
        self.out_features = check_count("Linear", "out_features", out_features, least=0)
        shape = (self.out_features, self.in_features)
        self.weight = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
        if bias:
            self.bias = nn.Parameter(torch.empty(self.out_features, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights, then the biases, from the uniform distribution on (-k, k)."""
        k = 1 / math.sqrt(max(self.in_features, 1))  # eq. mm-torch
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -k, k)
        if self.in_features == 0 and self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, input: Shaped[Tensor, "*batch m"]) -> Shaped[Tensor, "*batch n"]:  # noqa: A002
        """Return W x + b for each vector x along the last axis."""
        return affine(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Return the sizes, for the printed form."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )
