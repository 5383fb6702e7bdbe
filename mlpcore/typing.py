"""The protocols of layers, losses, optimizers and steps. A class that has the methods of one need not inherit from it.

Notation: ``n`` rows, ``...`` the leading axes of a stack of networks (none for a single network). ``x`` is ``(n, in)``
(shared by a stack) or ``(..., n, in)``, and ``y`` is ``(..., n, out)``. The gradient with respect to ``name`` is
``dname``.
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
    """What the forward pass of a layer gets in training besides parameters and x; in inference it gets None.

    ``noise`` is the result of the layer's method ``noise`` for this pass, ``row_weights`` (n,) are the weights of the
    rows in the loss, or the means over the columns of its weights of entries (n, c). Layers with running statistics
    compare the batch with a full one: for B rows in a full batch and the mean row weight m, ``full_batch`` (2,) holds
    ``B m`` and ``(B - 1) m``. It is () if all batches are full and all rows have equal weights.

    A container hands ``training.child(i)`` to its i-th child.
    """

    noise: Noise
    row_weights: Array
    full_batch: Tree = ()

    def child(self, i: int) -> "Training":
        """The argument for child i of a container: the same, with the noise of this child."""
        return self._replace(noise=self.noise[i])


@runtime_checkable
class Layer(Protocol):
    """A frozen configuration with pure functions: hashable, comparable, printable.

    Two kinds of layers have further methods. A layer with leaves named ``running_...`` (running statistics) has
    ``observe(params, cache)``, which returns their new values. A layer made of layers has ``children``, a tuple of
    them, and ``with_children(children)``, the same layer with other children; its ``output_width`` and ``init`` call
    those of the children. `mlpcore.Container` is a base class for such layers.

    A layer may have ``leaf_factors(leaf, rate, decay)``. It returns the factors of the learning rate and of the weight
    decay for its leaves of this name, and those of its children, from the factors that they have without it.
    """

    @property
    def row_independent(self) -> bool:
        """False for a layer whose output row depends on other rows (BatchNorm)."""

    def output_width(self, n_in: int | None) -> int | None:
        """The number of output columns for ``n_in`` input columns; None stands for an unknown number.

        ConfigurationError if the layer does not take ``n_in`` columns; it names the number it takes.
        """

    def init(self, rng: Stream, dtype: str) -> Params:
        """Initial parameters as host NumPy arrays, drawn from ``rng``."""

    def noise(self, stream: Stream, shape: tuple[Any, ...], dtype: str) -> Noise:
        """Random host arrays for one training pass over x of this shape; their axis -2 is the rows."""

    def forward(self, params: Params, x: Array, training: Training | None = None) -> tuple[Array, Cache]:
        """``(y, cache)``; inference exactly if ``training`` is None."""

    def backward(self, params: Params, cache: Cache, dy: Array, *, need_dx: bool = True) -> tuple[Array | None, Params]:
        """``(dx, dparams)``; ``dparams``, sums over the rows, is a tree like the parameters without ``running_...``.

        ``cache`` is that of a training pass, or of one in inference, for derivatives of a trained network.
        """


@runtime_checkable
class Loss(Protocol):
    """A loss of raw scores ``z`` (..., n, outputs), with its link; a row's loss is the sum over its outputs.

    A loss that is a sum over the columns of a target (n, c) may have the attribute ``entry_weights = True``. It then
    accepts weights (n, c) too, one for each entry of the target, and y may have gaps (``missing_targets="skip"``).
    """

    def outputs(self, target_columns: int) -> int:
        """The number of columns of ``z`` for so many target columns (for class labels: for so many classes)."""

    def prepare(self, target: Array, outputs: int, dtype: Any) -> Array:
        """The target, checked and encoded for scores of ``outputs`` columns; called once, before training."""

    def value_and_grad(self, z: Array, target: Array, weights: Array) -> tuple[Array, Array]:
        """The weighted sum over rows ``sum_i weights_i * loss_i`` (shape ``...``) and its gradient ``dz``.

        With weights of entries, ``sum_ij weights_ij * loss_ij``.
        """

    def predict(self, z: Array) -> Tree:
        """The link: from scores to probabilities, means or quantiles."""


class Initializer(Protocol):
    """A rule for initial weights."""

    def __call__(self, rng: Stream, shape: tuple[int, ...], fans: tuple[int, int]) -> Array:
        """A float64 host array of this shape, drawn from ``rng``; ``fans`` are the layer's (fan_in, fan_out)."""


Schedule = Callable[[Array], Array]  # the number of updates done so far (float array) -> learning rate, or decay


@runtime_checkable
class Optimizer(Protocol):
    """A published update rule on one flat vector ``(..., P)``; its docstring says which variant it is.

    ``weight_decay`` is decoupled: before the update the step multiplies the leaves named ``weight`` by
    ``1 - rate * weight_decay``, and other leaves too where `mlpcore.layers.Rates` says so. An optimizer that squares
    the gradient also has the attribute ``squares = True``: then a step whose squares are not finite fails.
    """

    @property
    def learning_rate(self) -> float | Schedule:
        """A number, or a function of the number of updates done."""

    @property
    def weight_decay(self) -> float | Schedule:
        """The coefficient of decoupled weight decay, 0 for none, or a function of the number of updates done."""

    def init(self, params: Array) -> tuple[Tree, ...]:
        """The state before the first update, for parameters of this shape."""

    def update(self, grads: Array, state: Any, params: Array, rate: Array) -> tuple[Array, tuple[Tree, ...]]:
        """``(params, state)`` after one update; ``rate`` is ``(...)``. A pure function: nothing is overwritten."""


def missing_members(value: object, protocol: type) -> list[str]:
    """The methods and properties of a protocol that an object does not have."""
    return [name for name in vars(protocol) if not name.startswith("_") and not hasattr(value, name)]


def follows(value: object, protocol: type) -> bool:
    """Whether an object that is no class has all methods and properties of a protocol.

    Unlike isinstance, which since Python 3.12 ignores attributes that come from ``__getattr__``.
    """
    return not isinstance(value, type) and not missing_members(value, protocol)


class Batch(NamedTuple):
    """The rows of one step, and its noise."""

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
    """Everything that changes from step to step: arrays in nested tuples only, as every backend handles them."""

    params: Array  # (..., P) the flat vector
    statistics: tuple[Array, ...]  # the leaves named running_..., in the order of the layout
    optimizer: tuple[Tree, ...]
    average: Tree  # (..., P) moving average of params, or () where none is kept
    count: Array  # (...) int32, updates done
    scale: Array  # (...) factor on the learning rate; ReduceOnPlateau changes it
    skipped: Array  # (...) int32, steps that failed (a number was not finite) since the host last reset it


class Step(Protocol):
    """A training step as two pure functions: `propose`, and a call that keeps the old state where the step failed."""

    def propose(
        self, state: State, batch: Batch, flat: Callable[[Params], Array] | None = None
    ) -> tuple[State, Array, Array]:
        """``(new state, ok, objective)``; ``ok`` (...) says whether the new state replaces the old one.

        ``flat`` makes one vector of the tree of gradients, in place of `mlpcore.trees.Layout.flat`.
        """

    def __call__(self, state: State, batch: Batch) -> tuple[State, Array]:
        """``(state, objective)``: the new state where ``ok``, else the old one, and the objective of the batch."""
