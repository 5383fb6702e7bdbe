"""What layers without parameters share: they take any number of columns, give as many, and mix no rows."""

from typing import Any

from mlpcore.random import Stream
from mlpcore.typing import Noise, Params


class Parameterless:
    """Abstract: a layer without parameters and noise whose output has the shape of its input.

    A member defines ``forward`` and ``backward`` (see `mlpcore.typing.Layer`); one that draws defines ``noise`` too.
    """

    row_independent = True

    def output_width(self, n_in: int | None) -> int | None:
        """As many columns as go in."""
        return n_in

    def init(self, rng: Stream, dtype: str) -> Params:
        """No parameters."""
        return {}

    def noise(self, stream: Stream, shape: tuple[Any, ...], dtype: str) -> Noise:
        """None is needed."""
        return ()
