"""A namespace over NumPy that counts operations and refuses every look at the host: no float(), bool(), item().

It offers the functions and operators of the Array API standard, 2024.12, that need no host value, and nothing else.
"""

import operator
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import numpy as np

_FUNCTIONS = """
abs acos acosh add all any arange argmax argmin argsort asin asinh asarray astype atan atan2 atanh bitwise_and
bitwise_invert bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor broadcast_arrays broadcast_to ceil clip
concat copysign cos cosh count_nonzero cumulative_prod cumulative_sum diff divide empty empty_like equal exp
expand_dims expm1 eye flip floor floor_divide full full_like greater greater_equal hypot imag isfinite isinf isnan
less less_equal linspace log log10 log1p log2 logaddexp logical_and logical_not logical_or logical_xor matmul
matrix_transpose max maximum mean meshgrid min minimum moveaxis multiply negative nextafter not_equal ones ones_like
permute_dims positive pow prod real reciprocal remainder repeat reshape roll round searchsorted sign signbit sin
sinh sort sqrt square squeeze stack std subtract sum take take_along_axis tan tanh tensordot tile tril triu trunc
unstack var vecdot where zeros zeros_like
"""
_CONSTANTS = """
bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64 complex64 complex128 e inf nan newaxis pi
"""
FUNCTIONS, CONSTANTS = frozenset(_FUNCTIONS.split()), frozenset(_CONSTANTS.split())
ABOUT_DTYPES = ("can_cast", "finfo", "iinfo", "isdtype", "result_type")


class HostReadError(AssertionError):
    """The code under test asked for a value on the host."""


class Seen:
    """What happened while watching: operations by name, and the dtypes of all arrays that were made."""

    def __init__(self) -> None:
        self.operations: Counter[str] = Counter()
        self.dtypes: set[str] = set()


_watchers: list[Seen] = []


@contextmanager
def watching() -> Iterator[Seen]:
    """``with watching() as seen:`` counts the operations of the block."""
    seen = Seen()
    _watchers.append(seen)
    try:
        yield seen
    finally:
        _watchers.remove(seen)


def host(x: "SpyArray") -> np.ndarray:
    """The values, for the test itself."""
    return x._values


def _run(name: str, function: Any, *args: Any, **kwargs: Any) -> Any:
    for seen in _watchers:
        seen.operations[name] += 1
    return _wrap(function(*_unwrap(args), **{key: _unwrap(value) for key, value in kwargs.items()}))


def _unwrap(value: Any) -> Any:
    if isinstance(value, SpyArray):
        return value._values
    if isinstance(value, (tuple, list)):
        return type(value)(map(_unwrap, value))
    if isinstance(value, (np.ndarray, np.generic)) and not isinstance(value, float):
        raise TypeError(f"a spy array met the host value {value!r}; move it to the device first")
    return value


def _wrap(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        return SpyArray(np.asarray(value))
    return tuple(map(_wrap, value)) if isinstance(value, (tuple, list)) else value


class SpyArray:
    """An array that can be computed with, but not looked at."""

    __array_ufunc__ = None
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, values: np.ndarray) -> None:
        self._values = values
        for seen in _watchers:
            seen.dtypes.add(str(values.dtype))

    shape = property(lambda self: self._values.shape)
    ndim = property(lambda self: self._values.ndim)
    nbytes = property(lambda self: self._values.nbytes)
    size = property(lambda self: self._values.size)
    dtype = property(lambda self: self._values.dtype)
    device = property(lambda self: "cpu")
    mT = property(lambda self: _run("matrix_transpose", np.matrix_transpose, self))  # noqa: N815  # standard's name
    T = property(lambda self: _run("matrix_transpose", np.matrix_transpose, self))

    def __array_namespace__(self, api_version: str | None = None) -> "SpyNamespace":
        return NAMESPACE

    def to_device(self, device: Any, /, *, stream: Any = None) -> "SpyArray":
        return self

    def __getitem__(self, key: Any) -> "SpyArray":
        return _run("getitem", lambda values, at: values[at], self, key)

    def __repr__(self) -> str:
        return f"SpyArray(shape={self.shape}, dtype={self.dtype})"


def _operators() -> None:
    names = {"add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "floordiv": "floor_divide"}
    names |= {"mod": "remainder", "pow": "pow", "matmul": "matmul", "lshift": "bitwise_left_shift"}
    names |= {"rshift": "bitwise_right_shift", "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor"}
    for word, name in names.items():
        function = getattr(np, name)
        setattr(SpyArray, f"__{word}__", lambda a, b, n=name, f=function: _run(n, f, a, b))
        setattr(SpyArray, f"__r{word}__", lambda a, b, n=name, f=function: _run(n, f, b, a))
    comparisons = {"eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal"}
    for word, name in (comparisons | {"gt": "greater", "ge": "greater_equal"}).items():
        function = getattr(operator, word)
        setattr(SpyArray, f"__{word}__", lambda a, b, n=name, f=function: _run(n, f, a, b))
    for word, name in {"neg": "negative", "pos": "positive", "abs": "abs", "invert": "bitwise_invert"}.items():
        function = getattr(np, name)
        setattr(SpyArray, f"__{word}__", lambda a, n=name, f=function: _run(n, f, a))


def _refusals() -> None:
    def refuse(name: str) -> Any:
        def refused(self: SpyArray, *args: Any, **kwargs: Any) -> NoReturn:
            raise HostReadError(f"{name} of {self!r}: a step must not read values on the host")

        return refused

    words = "__bool__ __float__ __int__ __index__ __complex__ __len__ __iter__ __contains__ __array__ __setitem__"
    for name in [*words.split(), "item", "tolist", "__dlpack__", "__dlpack_device__"]:
        setattr(SpyArray, name, refuse(name))


_operators()
_refusals()


class SpyNamespace:
    """The functions of the standard, counted; anything else is an AttributeError."""

    __name__ = "spy"  # as a module has; array_api_compat asks for it

    def __getattr__(self, name: str) -> Any:
        if name in CONSTANTS:
            return getattr(np, name)
        if name in ABOUT_DTYPES:
            return lambda *args: getattr(np, name)(*_unwrap(args))
        if name not in FUNCTIONS:
            raise AttributeError(f"the standard has no function {name}")
        function = getattr(np, name)
        return lambda *args, **kwargs: _run(name, function, *args, **kwargs)

    def asarray(self, values: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None) -> SpyArray:
        """Host values (or a spy array) on the device; the one door in."""
        for seen in _watchers:
            seen.operations["asarray"] += 1
        if isinstance(values, SpyArray):
            values = values._values
        return SpyArray(np.array(values, dtype=dtype))


NAMESPACE = SpyNamespace()
