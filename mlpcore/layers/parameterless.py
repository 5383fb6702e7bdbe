"""The base class of layers without parameters."""

from typing import Any

from mlpcore.random import Stream
from mlpcore.typing import Noise, Params


class Parameterless:
    """Abstract: a row-independent layer without parameters; by default any number of columns, as many in y as in x.

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
