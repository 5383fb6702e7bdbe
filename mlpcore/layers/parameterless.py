"""The base class of layers without parameters, whose output has the shape of x, for any number of columns."""

from typing import Any

from mlpcore.random import Stream
from mlpcore.typing import Noise, Params


class Parameterless:
    """Abstract: a row-independent layer without parameters whose output has the shape of its input.

    A subclass defines ``forward`` and ``backward`` (see `mlpcore.typing.Layer`), and ``noise`` if it draws.
    """

    row_independent = True

    def output_width(self, n_in: int | None) -> int | None:
        """The same number of columns as the input has."""
        return n_in

    def init(self, rng: Stream, dtype: str) -> Params:
        """No parameters."""
        return {}

    def noise(self, stream: Stream, shape: tuple[Any, ...], dtype: str) -> Noise:
        """Empty, (): the layer draws nothing."""
        return ()
