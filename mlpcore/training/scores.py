"""The network in inference: raw scores, predictions, and derivatives of a score by x, a block of rows at a time."""

from collections.abc import Callable
from dataclasses import dataclass

from mlpcore.backends.backend import Backend
from mlpcore.backends.compilation import Compilation
from mlpcore.training.gradients import InputGradient
from mlpcore.trees import Layout, tree_map
from mlpcore.typing import Array, Layer, Loss, Tree

Statistics = tuple[Array, ...]  # of `mlpcore.typing.State`
BLOCK_ROWS = 4096  # the default number of rows in a forward pass


@dataclass(frozen=True)
class _Score:
    net: Layer
    layout: Layout

    def __call__(self, vector: Array, statistics: Statistics, x: Array) -> Array:
        return self.net.forward(self.layout.view(vector, statistics), x)[0]


@dataclass(frozen=True)
class _Prediction:
    score: _Score
    loss: Loss

    def __call__(self, vector: Array, statistics: Statistics, x: Array) -> Tree:
        return self.loss.predict(self.score(vector, statistics, x))


@dataclass(frozen=True)
class _InputGradient:
    gradient: InputGradient
    layout: Layout

    def __call__(self, vector: Array, statistics: Statistics, rows: Array) -> Array:
        return self.gradient(self.layout.view(vector, statistics), rows)


class Scores:
    """Compiled functions of the flat vector, the running statistics and rows x (n, columns).

    The rows of ``input_gradient`` have one column more, see `mlpcore.training.gradients.InputGradient`.
    """

    def __init__(self, net: Layer, loss: Loss, layout: Layout, backend: Backend, compilation: Compilation) -> None:
        self.backend, score = backend, _Score(net, layout)
        self.score, self.predict, self.input_gradient = (
            self._in_blocks(backend.compile.function(function, compilation))
            for function in (score, _Prediction(score, loss), _InputGradient(InputGradient(net), layout))
        )

    def _in_blocks(self, function: Callable[[Array, Statistics, Array], Tree]) -> Callable[..., Tree]:
        """``in_blocks(vector, statistics, x, rows)``, which calls the function for ``rows`` rows at a time."""

        def in_blocks(vector: Array, statistics: Statistics, x: Array, rows: int | None = None) -> Tree:
            rows, count = rows or BLOCK_ROWS, x.shape[0]
            if count <= rows:
                return function(vector, statistics, self.on_backend(x))
            blocks = [
                function(vector, statistics, self.on_backend(x[start : min(start + rows, count), :]))
                for start in range(0, count, rows)
            ]
            return tree_map(lambda *parts: self.backend.xp.concat(parts, axis=-2), *blocks)

        return in_blocks

    def on_backend(self, x: Array) -> Array:
        """The array on the backend; data that do not fit on its device are copied block by block."""
        return x if self.backend.owns(x) else self.backend.asarray(x)
