"""The array that Array API code computes with while it is traced: shape and dtype, but no values."""

import math
from typing import Any

from mlpcore.compiler.graph import Node, Untraceable


def _operator(name: str) -> Any:
    """Two methods that call the binary function ``name`` of the namespace: ``self op other`` and ``other op self``."""
    return (
        lambda self, other: getattr(self.tracer, name)(self, other),
        lambda self, other: getattr(self.tracer, name)(other, self),
    )


def _unary(name: str) -> Any:
    """A method that calls the unary function ``name`` of the namespace."""
    return lambda self: getattr(self.tracer, name)(self)


class TracedArray:
    """The result of a node. Every operation adds a node to the graph; reading values raises `Untraceable`."""

    __array_ufunc__ = None  # a NumPy array on the left leaves the operation to this class

    def __init__(self, tracer: Any, node: Node) -> None:
        self.tracer, self.node = tracer, node

    shape = property(lambda self: self.node.shape)
    dtype = property(lambda self: self.node.dtype)
    ndim = property(lambda self: len(self.node.shape))
    size = property(lambda self: math.prod(self.node.shape))
    device = property(lambda self: "cpu")

    @property
    def mT(self) -> "TracedArray":  # noqa: N802  # the standard's name
        """The last two axes exchanged."""
        order = list(range(self.ndim))
        order[-2:] = order[:-3:-1]
        return self.tracer.permute_dims(self, tuple(order))

    @property
    def T(self) -> "TracedArray":  # noqa: N802  # the standard's name
        """The transpose of a matrix."""
        if self.ndim != 2:
            raise Untraceable(f"T of an array with {self.ndim} axes (the standard defines it for 2; use permute_dims)")
        return self.mT

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        return self.tracer

    def __getitem__(self, key: Any) -> "TracedArray":
        return self.tracer.getitem(self, key if isinstance(key, tuple) else (key,))

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise Untraceable("the values of an array, or assignment to its entries")

    __bool__ = __float__ = __int__ = __index__ = __len__ = __iter__ = __setitem__ = __array__ = __complex__ = _refuse

    __add__, __radd__ = _operator("add")
    __sub__, __rsub__ = _operator("subtract")
    __mul__, __rmul__ = _operator("multiply")
    __truediv__, __rtruediv__ = _operator("divide")
    __floordiv__, __rfloordiv__ = _operator("floor_divide")
    __mod__, __rmod__ = _operator("remainder")
    __pow__, __rpow__ = _operator("pow")
    __matmul__, __rmatmul__ = _operator("matmul")
    __and__, __rand__ = _operator("bitwise_and")
    __or__, __ror__ = _operator("bitwise_or")
    __xor__, __rxor__ = _operator("bitwise_xor")
    __lt__, __gt__ = _operator("less")
    __le__, __ge__ = _operator("less_equal")
    __eq__, __ne__ = _operator("equal")[0], _operator("not_equal")[0]
    __hash__ = object.__hash__
    __neg__, __pos__, __abs__ = _unary("negative"), _unary("positive"), _unary("abs")
    __invert__ = _unary("bitwise_invert")
