"""Arguments for each primitive of `mlpcore.ops`, so that its faster body can be timed beside the reference body.

A primitive without a case here fails tests/test_bench.py.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from mlpcore import ops
from mlpcore.backends.backend import Backend
from mlpcore.namespace import namespace
from mlpcore.trees import named_leaves

SHAPES = ((256, 10), (4096, 10), (256, 128), (256, 1024), (4096, 1024))  # rows, columns
LARGE = (97_656, 1024)  # 10^8 numbers, on a GPU only: they fit no cache, so that what moves them shows


def primitives() -> dict[str, ops.Primitive]:
    """All primitives by name."""
    return {name: value for name, value in vars(ops).items() if isinstance(value, ops.Primitive)}


def _affine(rng: np.random.Generator, rows: int, width: int) -> tuple[tuple, Callable]:
    arrays = rng.normal(size=(rows, width)), rng.normal(size=(width, width)) / width, rng.normal(size=width)
    return arrays, lambda body, x, weight, bias: body(x, weight, bias)


def _sweep(rng: np.random.Generator, rows: int, width: int) -> tuple[tuple, Callable]:
    """Adam's formula on a flat vector; the averages settle, so that it may be repeated on what it made."""
    g, p, m = (rng.normal(size=rows * width) for _ in range(3))

    def formula(g: Any, p: Any, m: Any, v: Any) -> tuple[Any, Any, Any]:
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * (g * g)
        return p - 1e-3 * m / (namespace(v).sqrt(v) + 1e-8), m, v

    return (g, p, m, g * g), lambda body, g, *owned: body(g, owned, formula)


def _choose(rng: np.random.Generator, rows: int, width: int) -> tuple[tuple, Callable]:
    old, new = rng.normal(size=rows * width), rng.normal(size=rows * width)
    return (np.asarray(True), new, old), lambda body, ok, new, old: body(ok, lambda: (new,), (old,))


def _cellwise(rng: np.random.Generator, rows: int, width: int) -> tuple[tuple, Callable]:
    """SiLU with its cache: five operations of the standard."""

    def formula(x: Any) -> tuple[Any, Any]:
        gate = 0.5 + 0.5 * namespace(x).tanh(0.5 * x)
        return x * gate, gate

    return (rng.normal(size=(rows, width)),), lambda body, x: body(x, (), formula)


def _shrink(rng: np.random.Generator, rows: int, width: int) -> tuple[tuple, Callable]:
    """The factor is 1, so that it may be repeated on what it made."""
    half = rows * width // 2
    return (rng.normal(size=rows * width), np.asarray(1.0)), lambda body, p, factor: body(p, half, factor)


def _softmax_cross_entropy(rng: np.random.Generator, rows: int, width: int) -> tuple[tuple, Callable]:
    """Labels; as many classes as columns."""
    arrays = rng.normal(size=(rows, width)), rng.integers(0, width, rows).astype(np.int32), np.ones(rows)
    return arrays, lambda body, z, target, weights: body(z, target, weights, 0.0)


def _column_sum(rng: np.random.Generator, rows: int, width: int) -> tuple[tuple, Callable]:
    return (rng.normal(size=(rows, width)),), lambda body, x: body(x)


def _largest(rng: np.random.Generator, rows: int, width: int) -> tuple[tuple, Callable]:
    return (rng.normal(size=rows * width),), lambda body, x: body(x)


CASES: dict[str, Callable[[np.random.Generator, int, int], tuple[tuple, Callable]]] = {
    "affine": _affine,
    "sweep": _sweep,
    "choose": _choose,
    "cellwise": _cellwise,
    "shrink": _shrink,
    "softmax_cross_entropy": _softmax_cross_entropy,
    "column_sum": _column_sum,
    "largest": _largest,
}

# Other ways to do a primitive than the body that is taken, for array types: they are timed beside it.
WAYS: dict[str, dict[str, Callable]] = {
    "column_sum": {"product": lambda x: (namespace(x).ones((1, x.shape[-2]), dtype=x.dtype) @ x)[..., 0, :]},
}


def bodies(name: str, backend: Backend, shape: tuple[int, int], dtype: str) -> dict[str, Callable[[], Any]]:
    """``{"body": call, "kernel": call}`` on fresh arrays of the backend; no kernel where the backend has none.

    Other `WAYS` come after them by their names.

    A call comes back when the device is done. A body without a kernel is compiled where the library compiles.
    """
    primitive = primitives()[name]
    arrays, call = CASES[name](np.random.default_rng(0), *shape)

    def placed() -> list[Any]:
        with backend.scope(dtype):
            return [backend.asarray(a.astype(dtype) if a.dtype.kind == "f" else a) for a in arrays]

    kernel = primitive.kernels.get(type(placed()[0]))

    def body(*some: Any) -> Any:
        return call(primitive.body, *some)

    found = {"body": _synchronised(backend, backend.jit(body) if kernel is None else body, placed(), dtype)}
    if kernel is not None:
        found["kernel"] = _synchronised(backend, lambda *some: call(kernel, *some), placed(), dtype)
    for way, other in WAYS.get(name, {}).items():
        found[way] = _synchronised(backend, lambda *some, other=other: call(other, *some), placed(), dtype)
    return found


def _synchronised(backend: Backend, function: Callable, arrays: list[Any], dtype: str) -> Callable[[], Any]:
    def run() -> Any:
        with backend.scope(dtype):
            made = function(*arrays)
            for _, leaf in named_leaves(made):
                if hasattr(leaf, "block_until_ready"):  # JAX; what waits for all there is takes longer
                    leaf.block_until_ready()
                    break
            else:
                backend.synchronize()
            return made

    return run
