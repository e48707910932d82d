"""The record: a tensor is an array that remembers which operation made it, and from what."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any, ClassVar

import numpy as np

from nnbook._check.learning import check_one_number, check_recorded
from nnbook._check.shapes import check_same_shape
from nnbook._check.values import check_real_numbers

Array = Any
"""A NumPy array, or a NumPy number where an array without axes is meant."""
Pull = Callable[[Array], Sequence[Array | None]]
"""Takes the gradient at the result of an operation to the gradients at its inputs."""

_born = count()


class Node:
    """One operation that was carried out.

    Attributes:
        name: of the operation.
        parents: for each input a node, a tensor that is a leaf, or None for a constant.
        pull: takes the gradient at the result to the gradients at the inputs, None for constants.
        shape: of the result.
        born: a number that grows from each node to the next.
    """

    __slots__ = ("__weakref__", "born", "name", "parents", "pull", "shape")

    def __init__(
        self, name: str, parents: tuple[Source | None, ...], pull: Pull, shape: tuple[int, ...]
    ) -> None:
        self.name, self.parents, self.pull, self.shape = name, parents, pull, shape
        self.born = next(_born)

    def __repr__(self) -> str:
        return f"Node({self.name}, shape={self.shape})"


class Tensor:
    """An array and the record of where it came from.

    The numbers of a tensor belong to it: they are copied, and cannot be changed in place, for an
    operation may need them again on the way back. New numbers come by assignment to ``data``.

    Args:
        data: numbers, or a nested list of them; what is not floating becomes float64.
        requires_grad: whether ``backward`` is to leave a gradient here.

    Attributes:
        grad: the sum of the gradients of every ``backward`` so far, or None; only in leaves, the
            tensors that no recorded operation made.

    Raises:
        TypeError: if the data are not real numbers.

    Examples:
        >>> x = Tensor([3.0, 1.0], requires_grad=True)
        >>> y = (x * x + x).sum()
        >>> y.backward()
        >>> y, x.grad
        (Tensor(14., from sum), array([7., 3.]))
    """

    __slots__ = ("__weakref__", "_data", "grad", "node", "requires_grad")
    __array_ufunc__: ClassVar[None] = None  # an array on the left leaves the operation to us

    _data: Any
    grad: Any
    node: Node | None

    def __init__(self, data: Any, requires_grad: bool = False) -> None:
        if isinstance(data, Tensor):
            data = data._data
        self._data = _own("Tensor", data)
        self.grad = None
        self.node = None
        self.requires_grad = requires_grad

    @property
    def data(self) -> Any:
        """The numbers, as an array that cannot be written to."""
        return self._data

    @data.setter
    def data(self, value: Any) -> None:
        new = _own("Tensor.data", value, self._data.dtype)
        check_same_shape("Tensor.data", "the new array", new.shape, self._data.shape)
        self._data = new

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes."""
        return tuple(self._data.shape)

    @property
    def dtype(self) -> Any:
        """The type of the numbers."""
        return self._data.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return int(self._data.ndim)

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return int(self._data.size)

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded operation made this tensor."""
        return self.node is None

    def backward(self, v: Any = None) -> None:
        """Add the gradient of <v, self> to ``grad`` of every leaf that was asked for one.

        The record stays as it is, and gradients on the way are kept by nobody: a second call adds
        the same numbers to the leaves again.

        Args:
            v: the gradient at this tensor, of its shape; None means 1, for a single number.

        Raises:
            ValueError: if v is None and there are several numbers, or v does not fit.
            RuntimeError: if nothing was recorded that leads here.
        """
        backward.backward(self, v)

    def detach(self) -> Tensor:
        """Return the same numbers without the record."""
        return constant(self._data)

    def item(self) -> float:
        """Return the only number as a float."""
        return float(self._data.item())

    def __repr__(self) -> str:
        inside = np.array2string(self._data, separator=", ", prefix="Tensor(")
        if self.node is not None:
            return f"Tensor({inside}, from {self.node.name})"
        return f"Tensor({inside}{', requires_grad=True' if self.requires_grad else ''})"

    def __len__(self) -> int:
        return len(self._data)

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        return bool(self._data)

    def __float__(self) -> float:
        return float(self._data)

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError(
            "Tensor: NumPy was asked to make an array of a tensor, which would lose the record; "
            "use the functions of nnbook.autograd, or the array in .data."
        )

    def __setitem__(self, index: Any, value: Any) -> None:
        raise TypeError(
            "Tensor: numbers cannot be changed in place, for the way back may need them; make a "
            "new tensor with `where` or `concatenate`, or assign to .data."
        )

    def __reduce__(self) -> Any:
        if self.node is not None:
            raise TypeError("Tensor: only leaves can be copied or pickled; use .detach() first.")
        return Tensor, (self._data, self.requires_grad)

    def __add__(self, other: Any) -> Tensor:
        return rules.add(self, other)

    def __radd__(self, other: Any) -> Tensor:
        return rules.add(other, self)

    def __sub__(self, other: Any) -> Tensor:
        return rules.subtract(self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return rules.subtract(other, self)

    def __mul__(self, other: Any) -> Tensor:
        return rules.multiply(self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return rules.multiply(other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return rules.divide(self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return rules.divide(other, self)

    def __pow__(self, other: Any) -> Tensor:
        return rules.power(self, other)

    def __rpow__(self, other: Any) -> Tensor:
        return rules.power(other, self)

    def __neg__(self) -> Tensor:
        return rules.negative(self)

    def __matmul__(self, other: Any) -> Tensor:
        return layers.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return layers.matmul(other, self)

    def __getitem__(self, index: Any) -> Tensor:
        return shaping.take(self, index)

    def sum(self, axis: shaping.Axis = None, keepdims: bool = False) -> Tensor:
        """Sum over axes."""
        return shaping.reduce_sum(self, axis, keepdims)

    def mean(self, axis: shaping.Axis = None, keepdims: bool = False) -> Tensor:
        """Average over axes."""
        return shaping.reduce_mean(self, axis, keepdims)

    def max(self, axis: shaping.Axis = None, keepdims: bool = False) -> Tensor:
        """Return the largest numbers over axes; equal ones share the gradient."""
        return shaping.reduce_max(self, axis, keepdims)

    def reshape(self, *shape: Any) -> Tensor:
        """Read the numbers in the same order with other axes."""
        return shaping.reshape(self, shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes: Any) -> Tensor:
        """Reorder the axes, given one by one or as a tuple; without arguments, reverse them."""
        if len(axes) == 1 and not isinstance(axes[0], int):
            return shaping.transpose(self, axes[0])
        return shaping.transpose(self, axes or None)

    @property
    def T(self) -> Tensor:
        """The tensor with its axes reversed."""
        return shaping.transpose(self)


Source = Node | Tensor
"""Where gradients go: a node, or a leaf."""


class _State(threading.local):
    """Whether operations are recorded, and who else wants to hear of them, in this thread."""

    recording = True
    listener: Callable[[str, Tensor, Sequence[Tensor]], None] | None = None


_mode = _State()


def source(x: Tensor) -> Source | None:
    """Return where a gradient at x goes: its node, x itself as a leaf, None for a constant."""
    return x.node or (x if x.requires_grad else None)


def record(name: str, data: Array, inputs: Sequence[Tensor], pull: Pull) -> Tensor:
    """Return the result of an operation, with a node if any input leads to a leaf."""
    out = constant(data)
    if _mode.recording:
        parents = tuple([source(x) for x in inputs])
        for parent in parents:
            if parent is not None:
                out.node = Node(name, parents, pull, out._data.shape)
                out.requires_grad = True
                break
    if _mode.listener is not None:
        _mode.listener(name, out, inputs)
    return out


def constant(data: Array) -> Tensor:
    """Wrap an array that nobody else writes to, without a copy."""
    if type(data) is not np.ndarray:
        data = np.asarray(data)
    data.flags.writeable = False
    x = Tensor.__new__(Tensor)
    x._data, x.grad, x.node, x.requires_grad = data, None, None, False
    return x


def as_tensor(x: Any, like: Any = None) -> Tensor:
    """Return x itself if it is a tensor; a Python number takes the dtype of ``like``."""
    if isinstance(x, Tensor):
        return x
    if isinstance(x, int | float) and isinstance(like, Tensor):
        return constant(np.array(x, like._data.dtype))
    return Tensor(x)


def _own(who: str, data: Any, dtype: Any = None) -> Any:
    """Return a copy that cannot be written to."""
    array = np.array(data, dtype)
    check_real_numbers(who, array.dtype, array.dtype.kind in "fiub")
    if array.dtype.kind != "f":
        array = array.astype(np.float64)
    array.flags.writeable = False
    return array


@contextmanager
def no_grad() -> Iterator[None]:
    """Carry out operations without a record, in this thread.

    Examples:
        >>> x = Tensor(2.0, requires_grad=True)
        >>> with no_grad():
        ...     y = x * x
        >>> y.requires_grad
        False
    """
    before, _mode.recording = _mode.recording, False
    try:
        yield
    finally:
        _mode.recording = before


@contextmanager
def enabled() -> Iterator[None]:
    """Record operations again, inside of `no_grad`."""
    before, _mode.recording = _mode.recording, True
    try:
        yield
    finally:
        _mode.recording = before


def cotangent(who: str, y: Tensor, v: Any) -> Any:
    """Return the gradient at y to start with, as an array of its shape.

    Raises:
        ValueError: if v is None and y has several numbers, or v does not fit.
        RuntimeError: if nothing was recorded that leads to y.
    """
    check_recorded(who, source(y) is not None)
    if v is None:
        check_one_number(who, y.shape)
        return np.ones(y.shape, y.dtype)
    array = np.asarray(v._data if isinstance(v, Tensor) else v, y.dtype)
    check_same_shape(who, "v", array.shape, y.shape)
    return array


from . import backward, layers, rules, shaping  # noqa: E402  # they need the classes above
