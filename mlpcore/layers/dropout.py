"""Dropout: in training, sets entries to zero at random and scales the others up, which keeps the expectation."""

from typing import Any

from mlpcore.configuration import configuration
from mlpcore.layers.parameterless import Parameterless
from mlpcore.random import Stream
from mlpcore.schedules.rate import check_schedule
from mlpcore.typing import Array, Cache, Noise, Params, Schedule, Training


@configuration
class Dropout(Parameterless):
    """``y = x * noise`` in training, ``dx = dy * noise``; in inference ``y = x``. Any number of columns.

    ``noise`` has the shape of x. Each entry is ``1 / keep`` with probability ``keep``, else 0, so that its expectation
    is 1. The draws are 16-bit numbers: ``keep = round(65536 (1 - rate)) / 65536``, which is ``1 - rate`` to 1/131072. A
    rate so near 1 that nothing would be kept is a ConfigurationError. ``rate`` may be a schedule: a function of the
    number of steps done, with values from 0 to below 1.

    Source: Srivastava, Hinton, Krizhevsky, Sutskever & Salakhutdinov (2014), "Dropout: a simple way to prevent neural
    networks from overfitting", sec. 4; scaled in training, as at the end of sec. 10.
    """

    rate: float | Schedule = 0.5

    def __post_init__(self) -> None:
        check_schedule(self, "rate", least=0, below=1 - 2.0**-17)

    def noise(self, stream: Stream, shape: tuple[Any, ...], dtype: str) -> Noise:
        """The factors for x of ``shape`` (n, w), or (k, n, w) where network j of a stack draws as ``member`` j."""
        rate = self.rate(stream.count()) if callable(self.rate) else self.rate
        return stream.child("mask").factors(shape, 1 - rate, dtype)

    def forward(self, params: Params, x: Array, training: Training | None = None) -> tuple[Array, Cache]:
        """``x * noise``; x itself in inference."""
        if training is None:
            return x, None
        return x * training.noise, training.noise

    def backward(self, params: Params, cache: Cache, dy: Array, *, need_dx: bool = True) -> tuple[Array | None, Params]:
        """``dy * noise``: the same entries, scaled by the same factors."""
        if not need_dx:
            return None, {}
        return (dy if cache is None else dy * cache), {}
