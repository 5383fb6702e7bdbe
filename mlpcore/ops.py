"""Primitives with faster bodies: the body here, in pure Array API, is the definition and runs for every library.

`mlpcore.kernels` registers faster bodies by array type; the first argument decides. A primitive enters this page only
with its first faster body, and a body only with its parity test and its benchmark.
"""

from collections.abc import Callable
from typing import Any

from array_api_compat import device as device_of

from mlpcore import numerics
from mlpcore.namespace import namespace
from mlpcore.trees import tree_map
from mlpcore.typing import Array, Tree


class Primitive:
    """A function dispatched on the exact type of its first argument; ``body`` runs where no faster one is known."""

    def __init__(self, body: Callable) -> None:
        self.body = body
        self.kernels: dict[type, Callable] = {}
        self.__doc__ = body.__doc__

    def __call__(self, first: Any, *rest: Any) -> Any:
        """The fastest body there is for ``first``."""
        return self.kernels.get(type(first), self.body)(first, *rest)

    def register(self, kind: type) -> Callable[[Callable], Callable]:
        """A decorator: the faster body for first arguments of type ``kind``."""
        return lambda kernel: self.kernels.setdefault(kind, kernel)


@Primitive
def affine(x: Array, weight: Array, bias: Array) -> Array:
    """``x @ weight + bias``: (..., n, in), (..., in, out), (..., out) -> (..., n, out)."""
    xp = namespace(x)
    return x @ weight + xp.expand_dims(bias, axis=-2)


@Primitive
def sweep(first: Array, owned: tuple[Array, ...], formula: Callable[..., tuple[Array, ...]]) -> tuple[Array, ...]:
    """``formula(first, *owned)``, elementwise over flat vectors (..., P); returns the new values of ``owned``.

    A faster body may go piece by piece and overwrite the ``owned`` vectors: the caller gives them up.
    """
    return formula(first, *owned)


@Primitive
def choose(ok: Array, new: Callable[[], Tree], old: Tree) -> Tree:
    """The tree ``new()`` where ``ok`` (...) holds, ``old`` elsewhere; leaves begin with the axes of ``ok``.

    A faster body may skip ``new`` where nothing is ok; ``new`` may overwrite the arrays of ``old``.
    """
    xp = namespace(ok)

    def pick(fresh: Array, kept: Array) -> Array:
        return xp.where(xp.reshape(ok, (*ok.shape, *[1] * (fresh.ndim - ok.ndim))), fresh, kept)

    return tree_map(pick, new(), old)


@Primitive
def cellwise(first: Array, others: tuple[Tree, ...], formula: Callable[..., Tree]) -> Tree:
    """``formula(first, *others)``, elementwise over arrays that broadcast together, alone or in trees; a tree.

    A faster body may make one kernel of the formula, which it then runs on symbols in the place of arrays.
    """
    return formula(first, *others)


@Primitive
def shrink(vector: Array, length: int, factor: Array) -> Array:
    """The vector (..., P) with its first ``length`` entries multiplied by ``factor`` (...).

    A faster body may overwrite the vector: the caller gives it up.
    """
    return namespace(vector).concat([factor[..., None] * vector[..., :length], vector[..., length:]], axis=-1)


@Primitive
def softmax(z: Array) -> Array:
    """``exp(z) / sum(exp(z))`` over the last axis (..., c)."""
    return numerics.softmax(z)


@Primitive
def softmax_cross_entropy(z: Array, target: Array, weights: Array, smoothing: float) -> tuple[Array, Array]:
    """``sum_i w_i loss_i`` (...) and ``w (softmax(z) - t)`` for ``loss = -sum_j t_j log softmax(z)_j``.

    z (..., n, c), weights (n,), and the target as class labels (n,) or probabilities (n, c), mixed with the uniform
    distribution: ``t = (1 - smoothing) target + smoothing / c``. A row of weight 0 takes no part.
    """
    if target.ndim == 1 and not smoothing:
        return numerics.label_cross_entropy(z, target, weights)
    xp = namespace(z)
    classes = z.shape[-1]
    if target.ndim == 1:
        labels = xp.arange(classes, dtype=target.dtype, device=device_of(z))
        target = xp.astype(xp.expand_dims(target, axis=-1) == labels, z.dtype)
    if smoothing:
        target = (1 - smoothing) * target + smoothing / classes
    logs = numerics.log_softmax(z)
    cells = target * logs
    if not smoothing:  # a finite score may be so far below the largest that its logarithm is infinite
        cells = xp.where((target == 0) & xp.isfinite(z), 0.0, cells)
    return numerics.weigh(weights, -xp.sum(cells, axis=-1), xp.exp(logs) - target)


@Primitive
def column_sum(x: Array) -> Array:
    """The sum of the rows: (..., n, c) -> (..., c)."""
    return namespace(x).sum(x, axis=-2)


@Primitive
def largest(x: Array, axis: int = -1) -> Array:
    """``max(|x|)`` over an axis, NaN where there is one: (..., P) -> (...)."""
    xp = namespace(x)
    return xp.max(xp.abs(x), axis=axis)


@Primitive
def erf(x: Array) -> Array:
    """The error function ``2 / sqrt(pi) * integral of exp(-t^2) over t from 0 to x``, in the dtype of x.

    ``erf(x) = sign(x) * (1 - exp(-a P(a) / Q(a)))`` with ``a = min(|x|, 6)``, from where on the result rounds to 1.
    All coefficients are positive, so nothing cancels: the error is a few units in the last place in float32 and in
    float64 (4 were found with NumPy, 5 with JAX), near zero too. Signed zeros and NaN stay, infinity gives 1 or -1.
    """
    xp = namespace(x)
    a = xp.minimum(xp.abs(x), 6.0)
    return xp.copysign(xp.expm1(-a * (_horner(_ERF_OVER, a) / _horner(_ERF_UNDER, a))), x)


# -log(erfc(a)) / a as a quotient of polynomials of degree 8 and 7, highest power first: fitted in 70 digits over [0, 6]
# by reweighted least squares, for the least relative error of erf (1.8e-18).
_ERF_OVER = (
    *(1.182476336364564e-04, 3.3662011796464337e-03, 3.4952354738597265e-02, 1.997859012248287e-01),
    *(7.201116622178843e-01, 1.713846390339875, 2.6693934986911434, 2.5228819221098897, 1.1283791670955126),
)
_ERF_UNDER = (
    *(1.1826867006466768e-04, 3.3637606792348007e-03, 3.439361162770874e-02, 1.8867039057497503e-01),
    *(6.323490400290834e-01, 1.3314774700524625, 1.6716563055640352, 1.0),
)


def _horner(coefficients: tuple[float, ...], x: Array) -> Array:
    value = coefficients[0] * x + coefficients[1]
    for coefficient in coefficients[2:]:
        value = value * x + coefficient
    return value
