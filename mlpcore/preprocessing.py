"""Standardize: scales columns to mean 0 and standard deviation 1."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, Self

import numpy as np
from array_api_compat import device as device_of

from mlpcore.backends import get_backend
from mlpcore.backends.transfer import library_of, to_host
from mlpcore.errors import ConfigurationError, DataError
from mlpcore.namespace import namespace
from mlpcore.training.ingest import ingest_rows
from mlpcore.training.reading import read_array
from mlpcore.typing import Array


class Standardize:
    """Subtract a mean from every column and divide by a scale: ``y = (x - mean) / scale``. Immutable.

    `Standardize.fit` computes both from data; they may also be given: ``Standardize([0.0], [255.0])`` scales bytes to
    [0, 1]. x is (n, columns) of any library, and so is the result, in the same dtype; integers and lists become the
    library's default floating dtype. `inverse` returns float64, as numbers far from zero need its precision. ``mean``
    and ``scale`` are float64 arrays on the host.

    >>> import mlpcore as mc
    >>> scaler = mc.Standardize.fit([[1.0, 5.0], [3.0, 5.0]])
    >>> scaler([[1.0, 5.0], [4.0, 6.0]])
    array([[-1.,  0.],
           [ 2.,  1.]])
    >>> scaler.inverse([[-1.0, 0.0]])
    array([[1., 5.]])
    """

    __slots__ = ("mean", "scale")

    mean: np.ndarray
    scale: np.ndarray

    def __init__(self, mean: Any, scale: Any) -> None:
        for name, values in (("mean", mean), ("scale", scale)):
            vector = np.array(to_host(read_array(f"Standardize: {name}", values)[0]), dtype=np.float64)
            if vector.ndim != 1 or not vector.size or not np.all(np.isfinite(vector)):
                raise ConfigurationError(
                    f"Standardize: {name} has shape {vector.shape}, expected finite numbers, one for each column"
                )
            vector.flags.writeable = False
            object.__setattr__(self, name, vector)
        if self.mean.shape != self.scale.shape:
            raise ConfigurationError(
                f"Standardize: mean has {self.mean.size} numbers and scale {self.scale.size}, expected equally many"
            )
        if not np.all(self.scale > 0):
            raise ConfigurationError("Standardize: scale has zero or negative numbers, expected positive ones")

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"Standardize is immutable, so {name} cannot be set; make a new one")

    def __repr__(self) -> str:
        return f"Standardize({self.mean.size} columns)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Standardize):
            return NotImplemented
        return np.array_equal(self.mean, other.mean) and np.array_equal(self.scale, other.scale)

    def __hash__(self) -> int:
        return hash((self.mean.tobytes(), self.scale.tobytes()))

    def __reduce__(self) -> tuple:
        return Standardize, (np.array(self.mean), np.array(self.scale))

    @classmethod
    def fit(cls, x: Any) -> Self:
        """The scaling by the mean and standard deviation (with divisor n) of every column of x (n, columns).

        A constant column gets scale 1, so that it is only centred. Computed in float64 on the host, from deviations and
        after scaling by a power of two, so that it is accurate with large offsets and large numbers. DataError for NaN
        and infinity, with the names of the columns.
        """
        x = ingest_rows("x", x, get_backend("numpy"), "float64")
        _, power = np.frexp(np.abs(x).max(axis=0))
        rows = np.ldexp(x, -power)  # exact, and within [-1, 1]
        mean = rows.mean(axis=0)
        mean = mean + (rows - mean).mean(axis=0)  # exact for equal rows, so that their deviation is zero
        deviation = np.sqrt(np.square(rows - mean).mean(axis=0))
        scale = np.ldexp(deviation, power)
        return cls(np.ldexp(mean, power), np.where(scale < np.finfo(np.float64).tiny, 1.0, scale))

    def __call__(self, x: Any) -> Array:
        """``(x - mean) / scale``; DataError where x has another number of columns."""
        x, xp = self._checked(x)
        if not xp.isdtype(x.dtype, "real floating"):
            default_float = xp.__array_namespace_info__().default_dtypes(device=device_of(x))["real floating"]
            # In float64, as large integers would be rounded to the same number in a smaller float.
            return self._in_float64(x, lambda x, mean, scale: xp.astype((x - mean) / scale, default_float))
        if not self._fits(xp.finfo(x.dtype)):
            dtype = x.dtype
            return self._in_float64(x, lambda x, mean, scale: xp.astype((x - mean) / scale, dtype))
        # For a column like 1e8 +- 1, the error of the mean in a smaller dtype exceeds the standard deviation.
        rounded = self.mean.astype(_host_dtype(xp, x)).astype(np.float64)
        mean, mean_error, scale = (_as_array(x, vector) for vector in (self.mean, self.mean - rounded, self.scale))
        return (x - mean - mean_error) / scale

    def inverse(self, y: Any) -> Array:
        """``y * scale + mean`` in float64, in the units of the data."""
        return self._in_float64(self._checked(y)[0], lambda y, mean, scale: y * scale + mean)

    def _fits(self, dtype: Any) -> bool:
        """Whether mean and scale are normal numbers of a smaller float; a scale of 0 or infinity would give NaN."""
        least, most = float(dtype.smallest_normal), float(dtype.max)
        return bool(np.all((self.scale >= least) & (self.scale <= most) & (np.abs(self.mean) <= most)))

    def _checked(self, x: Any) -> tuple[Array, Any]:
        """x as an array of the right shape, and its namespace."""
        x, _ = read_array("Standardize: x", x)
        if x.ndim != 2 or x.shape[1] != self.mean.size:
            raise DataError(f"{self!r}: x has shape {tuple(x.shape)}, expected (rows, {self.mean.size})")
        return x, namespace(x)

    def _in_float64(self, x: Array, function: Callable[[Array, Array, Array], Array]) -> Array:
        """``function(x, mean, scale)`` with all three in float64."""
        xp = namespace(x)
        has_float64 = "float64" in xp.__array_namespace_info__().dtypes(device=device_of(x), kind="real floating")
        # JAX has float64 only where it is enabled; the scope of its backend does that.
        with nullcontext() if has_float64 else get_backend(library_of(x) or "numpy").scope("float64"):
            x = xp.astype(x, xp.float64)
            return function(x, _as_array(x, self.mean), _as_array(x, self.scale))


def _as_array(x: Array, vector: np.ndarray) -> Array:
    """A host vector as an array in the dtype and on the device of x."""
    return namespace(x).asarray(vector.tolist(), dtype=x.dtype, device=device_of(x))


def _host_dtype(xp: Any, x: Array) -> Any:
    """The NumPy dtype with as many bits as that of x; float32 for dtypes that NumPy lacks, such as bfloat16."""
    bits = xp.finfo(x.dtype).bits
    return np.dtype(f"float{bits}") if bits in (32, 64) else np.dtype("float32")
