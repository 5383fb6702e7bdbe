"""How far two results of a random graph may lie apart: what rounding alone can change is not compared."""

import zlib
from collections.abc import Collection, Sequence
from typing import Any

import array_api_compat.numpy as host
import numpy as np
from graphs import RandomGraph, expected

TOLERANCE = {"float32": 2e-4, "float64": 1e-9}  # of the largest entry, by the least precise type on the way
# Far more than the roundings of a function or of a sum in another order, far less than the tolerance.
SHAKE = {"float32": 2e-6, "float64": 1e-12}
EXACT = {
    "add",
    "subtract",
    "multiply",
    "divide",
    "square",
    "sqrt",
    "reciprocal",
    "negative",
    "positive",
    "abs",
    "copysign",
    "nextafter",
}
EXACT |= {"floor", "ceil", "trunc", "round", "where", "clip", "astype", "asarray", "full", "zeros", "ones", "arange"}
EXACT |= {
    "full_like",
    "zeros_like",
    "ones_like",
    "take",
    "concat",
    "stack",
    "reshape",
    "expand_dims",
    "squeeze",
    "flip",
}
EXACT |= {"permute_dims", "matrix_transpose", "moveaxis", "broadcast_to", "broadcast_arrays", "unstack"}
EQUALITIES = ("equal", "not_equal")
SHAKES = 8


class Noting:
    """NumPy that notes, in order, the pairs of arrays whose entries it compares for equality."""

    def __init__(self) -> None:
        self.compared: list[tuple] = []

    def __getattr__(self, name: str) -> Any:
        def noted(*given: Any) -> Any:
            self.compared.append(given)
            return getattr(host, name)(*given)

        return noted if name in EQUALITIES else getattr(host, name)


class Shaken:
    """NumPy with other roundings: the results of inexact functions and of sums are moved a little.

    Zeros that come of a sum or of a choice between zeros may have either sign, and so may what is no number. Two
    numbers that differ by no more than the tolerance may be equal if other roundings moved one of them: ``compared``
    are all that NumPy itself compared (`Noting`).
    """

    def __init__(self, seed: int, sign: float, compared: Sequence[tuple], exact: Collection[str] = EXACT) -> None:
        self._draws, self._sign, self._compared = np.random.default_rng(seed), sign, iter(compared)
        self._exact = exact

    def __getattr__(self, name: str) -> Any:
        function = getattr(host, name)
        if name in self._exact or not callable(function) or isinstance(function, type):
            return function

        def shaken(*given: Any, **words: Any) -> Any:
            result = function(*given, **words)
            if name in EQUALITIES:
                moved = np.logical_or(*(np.not_equal(*pair) for pair in zip(given, next(self._compared), strict=True)))
                either = moved & self._nearly_equal(*given)
                return result ^ (either & (self._draws.uniform(size=result.shape) < 0.5))
            if getattr(result, "dtype", np.dtype(int)).kind != "f":
                return result
            arrays = [np.asarray(one) for one in given if hasattr(one, "dtype")]
            reach = 0.0
            if name in ("sum", "mean", "var", "std", "matmul"):  # roundings are those of the terms
                largest = [np.max(np.abs(one[np.isfinite(one)]), initial=0.0).astype(float) for one in arrays]
                reach = float(np.prod(largest)) * max(one.size for one in arrays)
                reach = reach**2 if name == "var" else reach
            moved = self._sign * self._draws.uniform(0.5, 1.0, result.shape) * self._draws.choice((-1, 1), result.shape)
            least = 4 * float(np.finfo(result.dtype).smallest_subnormal) * (result != 0)
            by = moved * (SHAKE[str(result.dtype)] * (np.abs(result.astype(float)) + reach) + least)
            other = np.where(np.isfinite(result), result + by, result).astype(result.dtype)
            other = np.where(np.isnan(other), np.copysign(other, moved), other)
            return np.where(other == 0, np.copysign(other, moved), other).astype(result.dtype)[()]

        return shaken

    @staticmethod
    def _nearly_equal(x: Any, y: Any) -> np.ndarray:
        """Which entries differ, but by no more than the tolerance."""
        x, y = np.broadcast_arrays(x, y)
        if "f" not in (x.dtype.kind, y.dtype.kind):
            return np.zeros(x.shape, bool)
        small = TOLERANCE["float32" if np.float32 in (x.dtype, y.dtype) else "float64"]
        return (x != y) & (np.abs(x - y) <= small * (np.abs(x) + np.abs(y)))


def differences(found: list[np.ndarray], graph: RandomGraph, exact: Collection[str] = EXACT) -> tuple[list[str], int]:
    """What is not as NumPy has it, one line for each result, and how many entries were left out of the comparison."""
    right, tolerance = expected(graph), TOLERANCE["float32" if graph.single else "float64"]
    lines = _wrong(found, right, [np.zeros(one.shape, bool) for one in right], tolerance)
    if not lines:
        return [], 0
    loose, calm = [np.zeros(one.shape, bool) for one in right], Noting()
    expected(graph, calm)
    for i in range(SHAKES):
        for sign in (-1.0, 1.0):
            moved = expected(graph, Shaken(zlib.crc32(f"{graph.seed} {i}".encode()), sign, calm.compared, exact))
            loose = [mask | _apart(one, other, tolerance) for mask, one, other in zip(loose, moved, right, strict=True)]
    return _wrong(found, right, loose, tolerance), sum(int(mask.sum()) for mask in loose)


def _wrong(found: list[np.ndarray], right: list[np.ndarray], loose: list[np.ndarray], tolerance: float) -> list[str]:
    lines = []
    for number, (got, want, mask) in enumerate(zip(found, right, loose, strict=True)):
        if got.shape != want.shape or got.dtype != want.dtype:
            lines.append(f"result {number}: {got.dtype} {got.shape}, expected {want.dtype} {want.shape}")
            continue
        wrong = _apart(got, want, tolerance) & ~mask
        if wrong.any():
            at = tuple(int(i) for i in np.argwhere(wrong)[0])
            lines.append(f"result {number}, {want.dtype} {want.shape}, entry {at}: {got[at]!r}, expected {want[at]!r}")
    return lines


def _apart(one: np.ndarray, other: np.ndarray, tolerance: float) -> np.ndarray:
    """Which entries differ by more than rounding."""
    if one.dtype.kind != "f":
        return one != other
    finite = np.isfinite(other)
    largest = np.max(np.abs(other[finite]), initial=1.0)
    with np.errstate(all="ignore"):
        close = np.abs(one.astype(float) - other) <= tolerance * largest
    return ~np.where(finite & np.isfinite(one), close, (one == other) | ((one != one) & (other != other)))
