"""Compositions of differentiable maps, and the chain rule for each.

A map is a pair of functions ``(f, f_vjp)``: ``f(x)`` is its value, ``f_vjp(v, x)`` the gradient of
the scalar ⟨v, f(x)⟩ with respect to x. A composition of maps is such a pair again, so
compositions nest.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from nnbook._check.shapes import check_addable, check_joinable
from nnbook._check.values import check_choice, check_not_empty

Array = np.ndarray
Map = tuple[Callable[[Array], Array], Callable[[Array, Array], Array]]
"""A function of one array, and its vector-Jacobian product ``f_vjp(v, x)``."""

identity: Map = (lambda x: x, lambda v, x: v)
"""The map that returns its input: the neutral element of composition."""


def bind(f: Callable[..., Array], f_vjp: Callable[..., Any], *parameters: Any) -> Map:
    """Fix the parameters of a function, which leaves a map of its first argument.

    Args:
        f: ``f(x, *parameters)``.
        f_vjp: ``f_vjp(v, x, *parameters)``; where it returns several gradients, the first one is
            that of x.
        parameters: what to fix, such as weights and biases.

    Returns:
        The pair ``(f, f_vjp)`` of functions of x alone.

    Examples:
        >>> from nnbook.scratch import mm, mm_vjp
        >>> f, f_vjp = bind(mm, mm_vjp, np.array([[2.0, 3.0]]), np.array([1.0]))
        >>> f(np.array([1.0, 1.0])), f_vjp(np.array([1.0]), np.array([1.0, 1.0]))
        (array([6.]), array([2., 3.]))
    """

    def vjp(v: Array, x: Array) -> Array:
        gradients = f_vjp(v, x, *parameters)
        return gradients[0] if isinstance(gradients, tuple) else gradients

    vjp.__name__ = getattr(f_vjp, "__name__", "vjp")

    def bound(x: Array) -> Array:
        return f(x, *parameters)

    bound.__name__ = getattr(f, "__name__", "map")
    return bound, vjp


def sequential(*maps: Map) -> Map:
    r"""Compose maps: the first one given is applied first.

    .. math:: f = f_n \circ \dots \circ f_1, \qquad
        \bar x = J_1^\top J_2^\top \cdots J_n^\top v

    Args:
        maps: pairs ``(f, f_vjp)``; none gives the identity.

    Returns:
        The pair of the composition. Its ``f_vjp`` computes every intermediate value once and
        keeps it until the way back.

    Raises:
        ValueError: when it is applied, if a map cannot take what the one before it returns.

    Examples:
        >>> square = (lambda x: x**2, lambda v, x: 2 * x * v)
        >>> f, f_vjp = sequential(square, square)
        >>> f(np.array([3.0])), f_vjp(np.array([1.0]), np.array([3.0]))
        (array([81.]), array([108.]))
    """

    def values(x: Array) -> list[Array]:
        seen = [x]
        for place, (f, _) in enumerate(maps):
            seen.append(_call(f, seen[-1], place, len(maps)))  # eq. cmp-eq-seq
        return seen

    def vjp(v: Array, x: Array) -> Array:
        inputs = values(x)[:-1] if maps else []
        for (_, f_vjp), z in zip(reversed(maps), reversed(inputs), strict=True):
            v = f_vjp(v, z)  # eq. cmp-eq-vjp
        return v

    return lambda x: values(x)[-1], vjp


def parallel(*maps: Map, combine: str = "sum") -> Map:
    r"""Give the same input to several maps and combine what they return.

    .. math:: f(x) = \operatorname{combine}(f_1(x), \dots, f_n(x))

    Args:
        maps: pairs ``(f, f_vjp)``, at least one.
        combine: ``"sum"`` and ``"mean"`` of arrays of one shape, or ``"concat"`` along the last
            axis.

    Returns:
        The pair of the composition. The gradients of the branches are added up, because the
        input reaches the output by every branch.

    Raises:
        ValueError: if there is no map, or, when it is applied, the shapes do not fit.
    """
    check_choice("parallel", "combine", combine, ("sum", "mean", "concat"))
    check_not_empty("parallel", "maps", maps)
    n = len(maps)

    def outputs(x: Array) -> list[Array]:
        ys = [f(x) for f, _ in maps]
        shapes = {f"branch {i}": y.shape for i, y in enumerate(ys)}
        if combine == "concat":
            check_joinable("parallel", shapes, -1)
        else:
            check_addable("parallel", shapes)
        return ys

    def value(x: Array) -> Array:
        ys = outputs(x)
        if combine == "concat":
            return np.concatenate(ys, axis=-1)  # *s n_1+...+n_k, eq. cmp-eq-join
        total = reduce(np.add, ys)  # *s, eq. cmp-eq-join
        return total if combine == "sum" else total / n

    def vjp(v: Array, x: Array) -> Array:
        if combine == "concat":
            ends = np.cumsum([y.shape[-1] for y in outputs(x)])[:-1]
            parts = np.split(v, ends, axis=-1)
        else:
            parts = [v if combine == "sum" else v / n] * n
        back = [f_vjp(part, x) for (_, f_vjp), part in zip(maps, parts, strict=True)]
        return reduce(np.add, back)  # eq. cmp-eq-par

    return value, vjp


def residual(f: Map, projection: Map = identity) -> Map:
    r"""Add the input to what a map makes of it.

    .. math:: x + f(x), \qquad \bar x = v + J_f^\top v

    Args:
        f: a pair ``(f, f_vjp)`` that keeps the shape.
        projection: a map that brings x to the shape of f(x), where f changes it.

    Returns:
        The pair of the composition.

    Raises:
        ValueError: when it is applied, if the two summands have different shapes.
    """

    def value(x: Array) -> Array:
        kept, change = projection[0](x), f[0](x)
        do = "give f the output shape of its input, or give a projection"
        check_addable("residual", {"x": kept.shape, "f(x)": change.shape}, do)
        return kept + change  # *s, eq. cmp-eq-res

    def vjp(v: Array, x: Array) -> Array:
        return projection[1](v, x) + f[1](v, x)  # *s, eq. cmp-eq-res

    return value, vjp


def _call(f: Callable[[Array], Array], x: Array, place: int, maps: int) -> Array:
    try:
        return f(x)
    except ValueError as error:
        before = "the input" if place == 0 else f"map {place - 1}"
        name = getattr(f, "__name__", "map")
        raise ValueError(
            f"sequential: map {place} of 0 to {maps - 1} ({name}) cannot take shape {x.shape} from "
            f"{before}: {error}"
        ) from error
