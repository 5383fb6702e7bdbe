"""The contracts between the parts, on one page. A class follows a protocol by its methods; it need not inherit from it.

The words: ``n`` rows, ``...`` the leading axes of a stack of networks (none for a single one). ``x`` is ``(n, in)``
or carries the stack's axes, ``y`` is ``(..., n, out)``; the gradient of ``name`` is ``dname``.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

from mlpcore.random import Stream

Array = Any  # an array of any library that follows the Python Array API standard, 2024.12
Tree = Any  # an array, or a tuple or dict of trees
Params = Any  # dict[str, Array] for a leaf layer, tuple[Params, ...] for a container; {} for none
Noise = Any  # the random numbers of one forward pass, a tree of arrays; () for none
Cache = Any  # what a backward pass needs from its forward pass


class Training(NamedTuple):
    """What a layer knows of a training pass beside its parameters and x. In inference there is none.

    ``noise`` is what the layer's own ``noise`` drew for this pass, ``row_weights`` (n,) are the weights of the rows in
    the loss, or the means over the columns of its weights of entries (n, c). ``full_batch`` (2,) tells layers with
    running statistics how this batch compares with a full one of B rows of the mean weight m: it holds ``B m`` and
    ``(B - 1) m``, or is () where all batches are full and rows weigh alike.

    A container hands ``training.child(i)`` to its i-th child.
    """

    noise: Noise
    row_weights: Array
    full_batch: Tree = ()

    def child(self, i: int) -> "Training":
        """The same pass as child i of a container sees it: the noise is the child's."""
        return self._replace(noise=self.noise[i])


@runtime_checkable
class Layer(Protocol):
    """A frozen configuration with pure functions: hashable, comparable, printable.

    Two kinds of layers offer more. One with leaves named ``running_...`` has ``observe(params, cache)``, which returns
    their new values. One made of layers has ``children``, a tuple of them, and ``with_children(children)``, the same
    around others; its ``output_width`` and ``init`` ask the children for theirs. `mlpcore.Container` is a
    base for such layers.
    """

    @property
    def row_independent(self) -> bool:
        """False for a layer whose output row depends on other rows (BatchNorm)."""

    def output_width(self, n_in: int | None) -> int | None:
        """Columns given for ``n_in`` columns (None: any), or a ConfigurationError that names both."""

    def init(self, rng: Stream, dtype: str) -> Params:
        """Initial parameters as host NumPy arrays, drawn from ``rng``."""

    def noise(self, stream: Stream, shape: tuple[Any, ...], dtype: str) -> Noise:
        """The host draws of one forward pass over x of this shape; leaves carry the rows in axis -2."""

    def forward(self, params: Params, x: Array, training: Training | None = None) -> tuple[Array, Cache]:
        """``(y, cache)``. ``training=None`` means inference, and only that."""

    def backward(self, params: Params, cache: Cache, dy: Array, *, need_dx: bool = True) -> tuple[Array | None, Params]:
        """``(dx, dparams)``: sums over the rows; ``dparams`` mirrors the parameters, ``running_...`` left out."""


@runtime_checkable
class Loss(Protocol):
    """A loss on raw scores ``z`` that knows its link; a row's loss is the sum over its outputs.

    One whose loss is a sum over the columns of a target (n, c) may have the attribute ``entry_weights = True``. It then
    takes weights (n, c) too, one for each entry of the target, and y may have gaps: ``missing_targets="skip"``.
    """

    def outputs(self, target_columns: int) -> int:
        """Columns of ``z`` for that many target columns (for class labels: the number of classes)."""

    def prepare(self, target: Array, outputs: int, dtype: Any) -> Array:
        """Validate and encode the target once, before training, for scores of that many columns."""

    def value_and_grad(self, z: Array, target: Array, weights: Array) -> tuple[Array, Array]:
        """The weighted sum over rows ``sum_i weights_i * loss_i`` (shape ``...``) and its gradient ``dz``.

        With weights of entries, ``sum_ij weights_ij * loss_ij``.
        """

    def predict(self, z: Array) -> Tree:
        """The link: scores to probabilities, means, quantiles."""


class Initializer(Protocol):
    """A rule for initial weights."""

    def __call__(self, rng: Stream, shape: tuple[int, ...], fans: tuple[int, int]) -> Array:
        """A float64 host array of this shape, drawn from ``rng``; ``fans`` are the layer's (fan_in, fan_out)."""


Schedule = Callable[[Array], Array]  # the number of updates done so far (float array) -> learning rate


@runtime_checkable
class Optimizer(Protocol):
    """A published update rule on one flat vector ``(..., P)``; its docstring says which variant it is.

    ``weight_decay`` is decoupled: the step shrinks the leaves named ``weight`` by ``1 - rate * weight_decay`` first.
    One that takes squares of the gradient also has the attribute ``squares = True``: a step then fails where one is
    not finite.
    """

    @property
    def learning_rate(self) -> float | Schedule:
        """A number, or a function of the number of updates done."""

    @property
    def weight_decay(self) -> float:
        """How much the weights shrink, in units of the learning rate; 0 for not at all."""

    def init(self, params: Array) -> tuple[Tree, ...]:
        """The state before the first update, for parameters of this shape."""

    def update(self, grads: Array, state: Any, params: Array, rate: Array) -> tuple[Array, tuple[Tree, ...]]:
        """``(params, state)`` after one update; ``rate`` is ``(...)``. A pure function: nothing is overwritten."""


class Batch(NamedTuple):
    """The rows of one step, and what is drawn for it."""

    x: Array  # (n, in)
    target: Array  # as the loss prepares it
    weights: Array  # (n,) of rows, or (n, c) of the entries of the target
    noise: Noise = ()
    full_batch: Tree = ()  # see `Training`


class Dataset(NamedTuple):
    """Rows to train on or to measure: ``x`` (n, in), the target as the loss encodes it, and ``weights``: those of the
    rows (n,), or of the entries of the target (n, c)."""

    x: Array
    target: Array
    weights: Array


class State(NamedTuple):
    """Everything that changes from step to step: arrays and nested tuples only, so that any backend can carry it."""

    params: Array  # (..., P) the flat vector
    statistics: tuple[Array, ...]  # the leaves named running_..., in the order of the layout
    optimizer: tuple[Tree, ...]
    average: Tree  # (..., P) moving average of params, or () where none is kept
    count: Array  # (...) int32, updates done
    scale: Array  # (...) factor on the learning rate; the only thing callbacks change
    skipped: Array  # (...) int32, steps left out since the last look because something was not finite


class Step(Protocol):
    """A training step: two pure functions, of which the second guards the first."""

    def propose(
        self, state: State, batch: Batch, flat: Callable[[Params], Array] | None = None
    ) -> tuple[State, Array, Array]:
        """``(new state, whether the step is to be done (...), objective of the batch)``.

        ``flat`` makes one vector of the tree of gradients, in place of `mlpcore.trees.Layout.flat`.
        """

    def __call__(self, state: State, batch: Batch) -> tuple[State, Array]:
        """``(the new state where the step is to be done, else the old one; the objective of the batch)``."""
