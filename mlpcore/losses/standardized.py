"""Training on standardized targets: the loss sees deviations from the mean, predictions are in the target's units."""

from typing import Any

from mlpcore.configuration import check_number, configuration
from mlpcore.errors import ConfigurationError
from mlpcore.losses.regression import HalfSquaredError
from mlpcore.losses.targets import real_columns, target_columns
from mlpcore.namespace import namespace
from mlpcore.numerics import vector_like
from mlpcore.typing import Array, Loss, Tree


@configuration
class StandardizedTarget:
    """A loss of ``u_j = (t_j - mean_j) / scale_j`` for the target columns t: ``loss = loss(z, u)``, ``dz`` likewise.

    Scores z estimate u, so a network need not learn the size of t, and rates, penalties and ``Huber(delta)`` mean the
    same for prices as for ages. Predictions are in the units of t: ``mean + scale z`` for a loss whose scores are
    values of the target, and for a `GaussianNLL` the mean ``mean + scale m`` and the variance ``scale^2 exp(s)``.

    ``loss`` is a `HalfSquaredError`, `SquaredError`, `AbsoluteError`, `Huber`, `Quantile`, `GaussianNLL`, or a loss
    with a method ``in_units`` as theirs. ``mean`` and ``scale`` have a number for each column of the target (n, c),
    or one for all. A target (n,) is one column. The value of the loss is that in units of ``scale``. With ``low`` and
    ``high``, of as many numbers, predictions stay within this range, for example that of the training rows; () for
    none. Only losses with one score for each target column take them.

    >>> import numpy as np, mlpcore as mc
    >>> loss = mc.StandardizedTarget(mc.SquaredError(), mean=(200.0,), scale=(50.0,))
    >>> loss.prepare(np.asarray([[150.0], [300.0]]), 1, np.float64).tolist(), loss.predict(np.asarray([[2.0]])).tolist()
    ([[-1.0], [2.0]], [[300.0]])
    """

    loss: Loss = HalfSquaredError()
    mean: tuple[float, ...] = (0.0,)
    scale: tuple[float, ...] = (1.0,)
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not hasattr(self.loss, "in_units"):
            raise ConfigurationError(
                f"StandardizedTarget: loss is {self.loss!r}, expected one whose predictions are values of the target, "
                "such as HalfSquaredError, Huber, Quantile or GaussianNLL"
            )
        for name in ("mean", "scale", "low", "high"):
            values = getattr(self, name)
            if not isinstance(values, (tuple, list)) or (not values and name in ("mean", "scale")):
                raise ConfigurationError(f"StandardizedTarget: {name} is {values!r}, expected a tuple of numbers")
            for value in values:
                check_number(self, **{name: value})
            object.__setattr__(self, name, tuple(float(value) for value in values))
        count = len(self.mean)
        if len(self.scale) != count or min(self.scale) <= 0:
            raise ConfigurationError(
                f"StandardizedTarget: scale is {self.scale!r}, expected as many numbers above 0 as mean has ({count})"
            )
        limits = self.low, self.high
        if limits != ((), ()) and (
            {*map(len, limits)} != {count} or any(a > b for a, b in zip(*limits, strict=True)) or self.outputs(1) != 1
        ):
            raise ConfigurationError(
                f"StandardizedTarget: low and high are {self.low!r} and {self.high!r}, expected as many numbers as "
                f"mean has ({count}), low below high, and a loss with one score for each target column"
            )

    @property
    def entry_weights(self) -> bool:
        """Whether the loss accepts weights of entries."""
        return bool(getattr(self.loss, "entry_weights", False))

    def outputs(self, target_columns: int) -> int:
        """As many as the loss has."""
        return self.loss.outputs(target_columns)

    def prepare(self, target: Array, outputs: int, dtype: Any) -> Array:
        """``u`` (n, c) of ``dtype``, computed in the precision of the target; DataError unless it is finite."""
        columns = target_columns(self, outputs, self.loss.outputs(1))
        if len(self.mean) not in (1, columns):
            raise ConfigurationError(
                f"{self!r}: the network's scores are of {columns} target columns, expected {len(self.mean)}"
            )
        xp = namespace(target)
        most = float(xp.finfo(xp.asarray(0, dtype=dtype).dtype).max)
        for name in ("mean", "scale", "low", "high"):
            if (largest := max(map(abs, getattr(self, name)), default=0.0)) > most:
                raise ConfigurationError(
                    f"StandardizedTarget: {name} has the number {largest!r}, larger than the model's dtype can hold "
                    f"({most!r}), so that predictions would be infinite or NaN; divide the target by a unit, or make "
                    "the model with dtype='float64'"
                )
        precision = target.dtype if xp.isdtype(target.dtype, "real floating") else dtype
        target = real_columns(self, target, columns, precision)
        return real_columns(
            self, (target - vector_like(target, self.mean)) / vector_like(target, self.scale), columns, dtype
        )

    def value_and_grad(self, z: Array, target: Array, weights: Array) -> tuple[Array, Array]:
        """Those of the loss."""
        return self.loss.value_and_grad(z, target, weights)

    def predict(self, z: Array) -> Tree:
        """The prediction of the loss in the units of the target, within ``low`` and ``high``."""
        prediction = self.loss.predict(self._in_units(z))
        if not self.low:
            return prediction
        xp = namespace(z)
        return xp.minimum(xp.maximum(prediction, vector_like(z, self.low)), vector_like(z, self.high))

    def deviation(self, z: Array) -> Array:
        """The standard deviation of a `GaussianNLL` in the units of the target."""
        return self.loss.deviation(self._in_units(z))  # type: ignore[attr-defined]

    def _in_units(self, z: Array) -> Array:
        """Scores of t, for scores z of u."""
        return self.loss.in_units(z, vector_like(z, self.mean), vector_like(z, self.scale))  # type: ignore[attr-defined]


def original(loss: Loss) -> Loss:
    """The loss in a `StandardizedTarget`; any other loss itself."""
    return loss.loss if isinstance(loss, StandardizedTarget) else loss
