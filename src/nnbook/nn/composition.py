"""Compositions: modules one after the other, side by side, and around a skip."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeVar, overload

import torch
from torch import Tensor, nn

from nnbook._check.shapes import check_addable, check_joinable, check_takes
from nnbook._check.values import (
    check_choice,
    check_count,
    check_free,
    check_not_empty,
    check_numbered,
)

from .activations import ReLU
from .linear import Linear

COMBINE = ("sum", "mean", "concat")
S = TypeVar("S", bound="Sequential")  # not Self, which run-time type checks do not know


def combine(
    outputs: Mapping[str, Tensor], how: str = "sum", dim: int = -1, *, who: str = "combine"
) -> Tensor:
    r"""Make one tensor of the outputs of several branches.

    .. math:: \sum_i y_i, \qquad \frac1n \sum_i y_i, \qquad (y_1, \dots, y_n)

    Unlike ``+``, a sum does not broadcast: different shapes are an error, because a branch with
    one feature would be added to every feature of the others without a word.

    Args:
        outputs: the outputs by the name of the branch.
        how: ``"sum"``, ``"mean"`` or ``"concat"``.
        dim: the axis along which ``"concat"`` joins.
        who: the name that error messages begin with.

    Returns:
        A tensor of the common shape, or for ``"concat"`` with the lengths along ``dim`` added up.

    Raises:
        ValueError: if the shapes do not fit, or ``how`` is not known.

    Examples:
        >>> combine({"a": torch.ones(2), "b": torch.zeros(3)}, "concat")
        tensor([1., 1., 0., 0., 0.])
    """
    check_choice(who, "combine", how, COMBINE)
    shapes = {name: tuple(y.shape) for name, y in outputs.items()}
    if how == "concat":
        check_joinable(who, shapes, dim)
        return torch.cat(list(outputs.values()), dim)  # *s n_1+...+n_k, eq. cmp-eq-join
    check_addable(who, shapes)
    first, *rest = outputs.values()
    total = sum(rest, start=first)  # *s, eq. cmp-eq-join
    return total if how == "sum" else total / len(outputs)


def mlp_parameters(sizes: Sequence[int], bias: bool = True) -> int:
    r"""Count the parameters of an `MLP` without building it.

    .. math:: \sum_{l=1}^{L} (n_l\, n_{l-1} + n_l)

    Args:
        sizes: the widths :math:`n_0, n_1, \dots, n_L`.
        bias: whether the affine maps have a bias; without, the second term is left out.

    Returns:
        The number of entries of all weights and biases.

    Examples:
        >>> mlp_parameters([784, 256, 128, 10])
        235146
    """
    return sum(n * m + (n if bias else 0) for m, n in pairwise(sizes))  # eq. cmp-eq-count


class Identity(nn.Module):
    """Return the input: the neutral element of composition.

    Args:
        args: anything; nothing is used, so that Identity can stand in for any other module.
        kwargs: the same.

    Shape:
        Any, and the output is the input itself.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """Return the input."""
        return input


class Sequential(nn.Module):
    r"""Apply modules one after the other.

    .. math:: f = f_n \circ \dots \circ f_1

    A drop-in for `torch.nn.Sequential`, with one difference. torch's replaces a module without a
    word where a new number is taken as a name already: ``Sequential(a, b, c)[1:]`` has the names
    1 and 2, and ``append`` would write 2. This one raises.

    Args:
        args: the modules in the order of their application, named 0, 1, ...; or one
            ``OrderedDict`` of modules by name.

    Shape:
        From what the first module takes to what the last one returns.

    Raises:
        ValueError: in ``forward``, if a module cannot take what the one before it returns.

    Examples:
        >>> f = Sequential(Linear(2, 5), ReLU(), Linear(5, 1))
        >>> f(torch.zeros(4, 2)).shape
        torch.Size([4, 1])
        >>> f[-2:]
        Sequential(
          (1): ReLU()
          (2): Linear(in_features=5, out_features=1, bias=True)
        )
    """

    _modules: dict[str, nn.Module]  # type: ignore[assignment]

    @overload
    def __init__(self, *args: nn.Module) -> None: ...
    @overload
    def __init__(self, arg: OrderedDict[str, nn.Module], /) -> None: ...
    def __init__(self, *args: Any) -> None:
        super().__init__()
        named = len(args) == 1 and isinstance(args[0], OrderedDict)
        for name, module in args[0].items() if named else enumerate(args):
            self.add_module(str(name), module)

    def forward(self, input: Any) -> Any:  # noqa: A002
        """Apply the modules in order."""
        value = input
        for name in self._modules:
            value = _call(self, name, value)  # eq. cmp-eq-seq
        return value

    @overload
    def __getitem__(self, index: int) -> nn.Module: ...
    @overload
    def __getitem__(self, index: slice) -> Sequential: ...
    def __getitem__(self, index: int | slice) -> nn.Module:
        if not isinstance(index, slice):
            return self._modules[self._key(index)]
        own = type(self).__init__ is not Sequential.__init__  # as an MLP's, which takes sizes
        kind = Sequential if own else type(self)
        return kind(OrderedDict(list(self._modules.items())[index]))

    def __setitem__(self, index: int, module: nn.Module) -> None:
        setattr(self, self._key(index), module)

    def __delitem__(self, index: int | slice) -> None:
        names = list(self._modules)
        gone = names[index] if isinstance(index, slice) else [self._key(index)]
        self._number(module for name, module in self._modules.items() if name not in gone)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[nn.Module]:
        return iter(self._modules.values())

    def __add__(self, other: Sequential) -> Sequential:
        return Sequential(*self, *_listed(other))

    def __iadd__(self: S, other: Sequential) -> S:
        return self.extend(_listed(other))

    def __mul__(self, times: int) -> Sequential:
        return Sequential(*list(self) * _times(self, times))

    __rmul__ = __mul__

    def __imul__(self: S, times: int) -> S:
        return self.extend(list(self) * (_times(self, times) - 1))

    def append(self: S, module: nn.Module) -> S:
        """Add a module at the end."""
        name = str(len(self))
        check_free(type(self).__name__, name, self._modules)
        self.add_module(name, module)
        return self

    def extend(self: S, sequential: Iterable[nn.Module]) -> S:
        """Add several modules at the end."""
        for module in list(sequential):
            self.append(module)
        return self

    def insert(self: S, index: int, module: nn.Module) -> S:
        """Put a module before position ``index`` and number the modules anew."""
        if not isinstance(module, nn.Module):
            raise AssertionError(f"module should be of type: {nn.Module}")  # as torch
        check_numbered(f"{type(self).__name__}.insert", self._modules)
        if not -len(self) <= index <= len(self):
            raise IndexError(f"Index out of range: {index}")
        modules = list(self)
        modules.insert(index, module)
        self._number(modules)
        return self

    def pop(self, key: int | slice) -> nn.Module:
        """Take out a module, or a slice of them, and return it."""
        taken = self[key]
        del self[key]
        return taken

    def _key(self, index: int) -> str:
        place = operator.index(index)
        if not -len(self) <= place < len(self):
            raise IndexError(f"index {place} is out of range")
        return list(self._modules)[place]

    def _number(self, modules: Iterable[nn.Module]) -> None:
        self._modules = {str(i): module for i, module in enumerate(modules)}


class MLP(Sequential):
    r"""Multi-layer perceptron: affine maps with an activation between every two.

    .. math:: \operatorname{MLP} = \operatorname{MM}_L \circ \sigma \circ \operatorname{MM}_{L-1}
        \circ \dots \circ \sigma \circ \operatorname{MM}_1

    L affine maps and L-1 activations: the output is affine. It is a `Sequential` with the names
    0, 1, ..., so its state_dict is that of the same modules in `torch.nn.Sequential`.

    Args:
        sizes: the widths :math:`n_0, \dots, n_L`, input and output included.
        activation: called without arguments for each activation, such as ``ReLU``.
        bias: whether the affine maps have a bias.
        device: where the parameters lie.
        dtype: their type.

    Attributes:
        sizes: the widths, as a tuple.

    Shape:
        ``(*, n_0)`` to ``(*, n_L)``.

    Examples:
        >>> MLP([784, 256, 128, 10]).parameter_count
        235146
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: Callable[[], nn.Module] = ReLU,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_not_empty("MLP", "sizes[1:]", sizes[1:])
        widths = tuple(check_count("MLP", f"sizes[{i}]", n) for i, n in enumerate(sizes))
        modules: list[nn.Module] = []
        for m, n in pairwise(widths):
            modules += [Linear(m, n, bias, device, dtype), activation()]  # eq. cmp-eq-mlp
        super().__init__(*modules[:-1])
        self.sizes = widths

    @property
    def parameter_count(self) -> int:
        """The number of entries of all weights and biases; see `mlp_parameters`."""
        return sum(p.numel() for p in self.parameters())


class Parallel(nn.Module):
    r"""Give the same input to several branches and combine what they return.

    .. math:: f(x) = \operatorname{combine}(f_1(x), \dots, f_n(x))

    Args:
        branches: modules, named 0, 1, ...
        combine: ``"sum"`` and ``"mean"`` want outputs of one shape, ``"concat"`` joins them.
        dim: the axis along which ``"concat"`` joins.
        named: modules by name, after the others.

    Shape:
        That of the branches; for ``"concat"`` the lengths along ``dim`` are added up.

    Raises:
        ValueError: if there is no branch; in ``forward``, if the shapes cannot be combined.

    Examples:
        >>> f = Parallel(wide=Linear(3, 4), narrow=Linear(3, 1), combine="concat")
        >>> f(torch.zeros(2, 3)).shape
        torch.Size([2, 5])
    """

    def __init__(
        self, *branches: nn.Module, combine: str = "sum", dim: int = -1, **named: nn.Module
    ) -> None:
        super().__init__()
        check_choice("Parallel", "combine", combine, COMBINE)
        check_not_empty("Parallel", "branches", (*branches, *named))
        self.combine, self.dim = combine, dim
        for name, module in {**{str(i): b for i, b in enumerate(branches)}, **named}.items():
            self.add_module(name, module)

    def forward(self, input: Any) -> Tensor:  # noqa: A002
        """Apply every branch to the input and combine the outputs."""
        outputs = {name: _call(self, name, input) for name in self._modules}
        return combine(outputs, self.combine, self.dim, who="Parallel")  # eq. cmp-eq-par

    def extra_repr(self) -> str:
        """Return how the outputs are combined."""
        return f"combine={self.combine!r}" + (f", dim={self.dim}" * (self.combine == "concat"))


class Residual(nn.Module):
    r"""Add the input to what a module makes of it.

    .. math:: x + f(x), \qquad \text{or with a projection } P \qquad P(x) + f(x)

    Args:
        f: a module that keeps the shape.
        projection: a module that brings the input to the shape of f(x), where f changes it.

    Shape:
        That of the input; with a projection, that of f(x).

    Raises:
        ValueError: in ``forward``, if the two summands have different shapes.

    Source:
        He, Zhang, Ren and Sun (2016), "Deep Residual Learning for Image Recognition",
        arXiv:1512.03385.
    """

    def __init__(self, f: nn.Module, projection: nn.Module | None = None) -> None:
        super().__init__()
        self.f, self.projection = f, projection

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """Add input and f(input)."""
        change = _call(self, "f", input)
        kept, name = (input, "x") if self.projection is None else (self.projection(input), "P(x)")
        do = "give f the output shape of its input, or give a projection"
        check_addable("Residual", {name: tuple(kept.shape), "f(x)": tuple(change.shape)}, do)
        return kept + change  # *s, eq. cmp-eq-res


class Skip(nn.Module):
    r"""Lead the input around several modules, to their end.

    .. math:: x + (f_n \circ \dots \circ f_1)(x), \qquad \text{or joined} \qquad
        (x, (f_n \circ \dots \circ f_1)(x))

    With a sum it is ``Residual(Sequential(*modules))`` under another name.

    Args:
        modules: what the skip leads around, in the order of application.
        combine: ``"sum"``, ``"mean"`` or ``"concat"``; the input comes first.
        dim: the axis along which ``"concat"`` joins.

    Shape:
        That of the input for a sum; for ``"concat"`` the lengths along ``dim`` are added up.

    Raises:
        ValueError: in ``forward``, if the shapes cannot be combined.
    """

    def __init__(self, *modules: nn.Module, combine: str = "sum", dim: int = -1) -> None:
        super().__init__()
        check_choice("Skip", "combine", combine, COMBINE)
        self.body, self.combine, self.dim = Sequential(*modules), combine, dim

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """Combine the input and the output of the modules."""
        outputs = {"x": input, "f(x)": self.body(input)}
        return combine(outputs, self.combine, self.dim, who="Skip")  # eq. cmp-eq-skip

    extra_repr = Parallel.extra_repr


def _listed(other: object) -> list[nn.Module]:
    if not isinstance(other, Sequential | nn.Sequential):
        raise ValueError(
            f"Sequential: {type(other).__name__} cannot be joined to it by +; use a Sequential."
        )
    return list(other)


def _times(whole: Sequential, times: object) -> int:
    if not isinstance(times, int):
        raise TypeError(
            f"{type(whole).__name__}: got {times!r} as the factor of *; give a whole number (int)."
        )
    return check_count(type(whole).__name__, "the factor of *", times)


def _call(whole: nn.Module, name: str, x: Any) -> Any:
    """Call one module of a composition; if it fails, say which one, and on what."""
    module = whole._modules[name]
    assert module is not None
    try:
        return module(x)
    except Exception as error:
        who = f"{type(whole).__name__}: module {name!r} ({type(module).__name__})"
        before, shape = _before(whole, name), tuple(getattr(x, "shape", ()))
        if isinstance(x, Tensor) and (wanted := _wanted(module)):
            check_takes(who, shape, wanted, before)
        error.add_note(f"{who} failed on a {type(x).__name__} of shape {shape} from {before}")
        raise


def _before(whole: nn.Module, name: str) -> str:
    names = list(whole._modules)
    if not isinstance(whole, Sequential) or name == names[0]:
        return "the input"
    last = names[names.index(name) - 1]
    return f"module {last!r} ({type(whole._modules[last]).__name__})"


def _wanted(module: nn.Module) -> tuple[int, ...]:
    """Return the lengths of the last axes that a module insists on, if it says so."""
    features, shape = (getattr(module, a, None) for a in ("in_features", "normalized_shape"))
    return (features,) if isinstance(features, int) else tuple(shape or ())
