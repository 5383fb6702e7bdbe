"""Model: a network with its parameters, trained, asked, and saved."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mlpcore.backends import get_backend
from mlpcore.backends.backend import Backend
from mlpcore.backends.transfer import like, to_backend
from mlpcore.configuration import check_choice, check_count, check_number
from mlpcore.errors import ConfigurationError, DataError, TrainingInterrupted
from mlpcore.layers import Sequential, Sigmoid, Softmax
from mlpcore.losses import SigmoidCrossEntropy, SoftmaxCrossEntropy
from mlpcore.metrics import get_metric
from mlpcore.optimizers import Adam
from mlpcore.random import Stream
from mlpcore.schedules import rate_at
from mlpcore.training.callbacks import Report, Stop
from mlpcore.training.data import as_rows, as_target, as_weights, class_weights
from mlpcore.training.history import History
from mlpcore.training.loop import Interruption, Trainer, shuffled
from mlpcore.training.step import Rules, make_step
from mlpcore.trees import Layout, named_leaves, tree_map
from mlpcore.typing import Array, Layer, Loss, Optimizer, Params, State, Tree

PREDICT_ROWS = 4096  # rows per forward pass outside training, where the caller does not say


class Model:
    """A network, its loss and its optimizer on one backend.

    ``net`` is a layer; ``loss`` tells what its raw scores mean. ``backend`` is "numpy", "cupy", "torch" or "jax",
    ``device`` one of its devices. ``dtype`` ("float32" or "float64") is what parameters are kept in, ``precision``
    what products are computed in. ``metrics`` are names (see `mlpcore.metrics`) or functions ``f(target, prediction)``,
    taken on validation data. ``seed`` decides initial weights, orders and masks, the same on every backend;
    ``params`` replaces the initial weights by a given tree. ``l2``, ``clip_value``, ``clip_norm`` and ``ema`` are those
    of `mlpcore.training.step.Rules`.

    >>> import mlpcore as mc
    >>> net = mc.Sequential(mc.Linear(64, 128), mc.ReLU(), mc.Linear(128, 10))
    >>> mc.Model(net, loss=mc.SoftmaxCrossEntropy(), optimizer=mc.Adam(1e-3), metrics=["accuracy"])
    Model(Sequential(Linear(64, 128), ReLU(), Linear(128, 10)), SoftmaxCrossEntropy(), backend='numpy')
    """

    def __init__(
        self,
        net: Layer,
        loss: Loss,
        optimizer: Optimizer = Adam(),  # noqa: B008  # frozen, so that one default serves all
        *,
        backend: str | Backend = "numpy",
        device: Any = None,
        dtype: str = "float32",
        precision: str = "highest",
        metrics: Sequence[str | Callable] = (),
        seed: int = 0,
        params: Params | None = None,
        l2: float = 0.0,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        ema: float | None = None,
    ) -> None:
        for role, value, kind in (("net", net, Layer), ("loss", loss, Loss), ("optimizer", optimizer, Optimizer)):
            if isinstance(value, type) or not isinstance(value, kind):
                raise ConfigurationError(
                    f"Model: {role} is {value!r}, expected {kind.__name__.lower()} like {_LIKE[role]}"
                )
        _check_ending(net, loss)
        check_choice("Model", ("float32", "float64"), dtype=dtype)
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 1 << 64:
            raise ConfigurationError(f"Model: seed is {seed!r}, expected a whole number from 0 to 2^64 - 1")
        check_number("Model", l2=l2, least=0)
        check_number(
            "Model",
            above=0,
            **{k: v for k, v in (("clip_norm", clip_norm), ("clip_value", clip_value)) if v is not None},
        )
        if ema is not None:
            check_number("Model", ema=ema, least=0, below=1)
        self.net, self.loss, self.optimizer, self.dtype, self.seed = net, loss, optimizer, dtype, seed
        self.backend = get_backend(backend, device)
        check_choice(f"Model on {self.backend.name}", self.backend.precisions, precision=precision)
        self.precision = precision
        self.metrics = dict(get_metric(metric) for metric in metrics)
        self.rules = Rules(l2, clip_norm, clip_value, ema)
        initial = net.init(Stream(seed, "init"), dtype)
        self.layout = Layout(initial)
        if not self.layout.slots:
            raise ConfigurationError(f"Model: {net!r} has no parameters to train")
        self._place(initial)
        if params is not None:
            self.params = params

    def __repr__(self) -> str:
        return f"Model({self.net!r}, {self.loss!r}, backend={self.backend.name!r})"

    def _place(self, tree: Params) -> None:
        """A fresh state on the backend, before the first step, with these (host) parameters."""
        with self.backend.scope(self.dtype):
            vector = self.backend.asarray(self.layout.flat(tree))
            xp = self.backend.xp
            count = xp.zeros_like(vector[..., 0], dtype=xp.int32)
            state = State(
                params=vector,
                statistics=tuple(self.backend.asarray(leaf) for leaf in self.layout.running(tree)),
                optimizer=self.optimizer.init(vector),
                average=() if self.rules.ema is None else vector + 0,
                count=count,
                scale=xp.ones_like(vector[..., 0]),
                skipped=count,
            )
            step = make_step(self.net, self.loss, self.optimizer, self.layout, self.rules)
            run = self.backend.compile(step)
            self._score = self.backend.jit(lambda vector, running, x: self._forward(vector, running, x))
            self._trainer = Trainer(self.backend, self.net, run, state, self.seed, self.dtype, self.layout.size)

    def _forward(self, vector: Array, statistics: tuple, x: Array) -> Array:
        return self.net.forward(self.layout.view(vector, statistics), x)[0]

    @property
    def params(self) -> Params:
        """The tree of parameters (and running statistics), to read; assigning a tree checks names and shapes.

        Where an average is kept, reading gives the average, and assigning sets both.
        """
        with self.backend.scope(self.dtype):
            return self.layout.view(self._vector, self._trainer.state.statistics)

    @params.setter
    def params(self, tree: Params) -> None:
        with self.backend.scope(self.dtype):
            given, own = dict(named_leaves(tree)), dict(named_leaves(self.params))
            for name in own.keys() | given.keys():
                shapes = [tuple(np.shape(leaves[name])) if name in leaves else None for leaves in (given, own)]
                if shapes[0] != shapes[1]:
                    raise DataError(f"params: {name} has shape {shapes[0]}, expected {shapes[1]}")
            leaves = {name: to_backend(leaf, self.backend, self.dtype) for name, leaf in given.items()}
            placed = tree_map(lambda name: leaves[name], self.layout.template)
            vector = self.layout.flat(placed)
            average = () if self.rules.ema is None else vector + 0
            self._trainer.state = self._trainer.state._replace(
                params=vector, average=average, statistics=self.layout.running(placed)
            )

    @property
    def _vector(self) -> Array:
        """What predicts: the average where one is kept, else the parameters."""
        state = self._trainer.state
        return state.params if self.rules.ema is None else state.average

    @property
    def rate_scale(self) -> float:
        """The factor on the learning rate, 1 at first; what plateau rules change between epochs."""
        return float(self.backend.to_numpy(self._trainer.state.scale))

    @rate_scale.setter
    def rate_scale(self, value: float) -> None:
        with self.backend.scope(self.dtype):
            state = self._trainer.state
            self._trainer.state = state._replace(scale=state.scale * 0 + value)

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        count = self.backend.to_numpy(self._trainer.state.count).astype(np.float64)
        return float(rate_at(self.optimizer.learning_rate, count)) * self.rate_scale

    def snapshot(self) -> tuple:
        """A copy of what predicts: parameters, average and running statistics."""
        with self.backend.scope(self.dtype):
            state = self._trainer.state
            return tree_map(lambda leaf: leaf + 0, (state.params, state.average, state.statistics))

    def restore(self, snapshot: tuple) -> None:
        """Put a snapshot's copy back; optimizer state and progress stay as they are."""
        params, average, statistics = snapshot
        state = self._trainer.state
        self._trainer.state = state._replace(params=params, average=average, statistics=statistics)

    def fit(
        self,
        x: Any,
        y: Any,
        *,
        epochs: int = 10,
        batch_size: int = 128,
        shuffle: bool = True,
        sample_weight: Any = None,
        class_weight: dict[int, float] | str | None = None,
        validation_data: tuple | None = None,
        callbacks: Sequence[Any] = (),
    ) -> History:
        """Train for ``epochs`` passes over the rows; a further call goes on where this one stopped.

        ``x`` is (n, columns) and ``y`` what the loss takes: NumPy, CuPy, torch or JAX arrays, lists or tables; integers
        become ``dtype``. ``validation_data`` is (x, y) or (x, y, sample_weight), looked at after each epoch. All is
        checked before anything changes (DataError). Ctrl-C ends training after the current chunk of steps with a
        TrainingInterrupted warning; a loss that stops being finite raises NonFiniteError. In both cases the model
        stands at its last whole step.
        """
        check_count("fit", epochs=epochs, batch_size=batch_size)
        with self.backend.scope(self.dtype):
            data, weights = self._data(x, y, sample_weight, class_weight)
            held_out = None
            if validation_data is not None:
                if not isinstance(validation_data, (tuple, list)) or len(validation_data) not in (2, 3):
                    raise DataError("validation_data is no pair (x, y) or triple (x, y, sample_weight)")
                held_out = self._data(*validation_data)[0]
            rows = data[0].shape[0]
            order = shuffled(self.seed, rows) if shuffle else (lambda epoch: np.arange(rows))
            return self._train(data, weights, held_out, epochs, min(batch_size, rows), order, callbacks)

    def _train(
        self,
        data: tuple,
        weights: np.ndarray,
        held_out: tuple | None,
        epochs: int,
        batch_size: int,
        order: Callable[[int], np.ndarray],
        callbacks: Sequence[Any],
    ) -> History:
        """The epochs of a fit, with validation, history and callbacks in between."""
        history, trainer = History(), self._trainer
        _call(callbacks, "on_fit_begin", self, epochs)
        try:
            with Interruption().noted() as interruption:
                for _ in range(epochs):
                    result = trainer.epoch(data, weights, order, batch_size, interruption)
                    if result.whole:
                        values = {"loss": result.loss, "learning_rate": self.learning_rate}
                        values["rows_per_second"] = result.rows_per_second
                        if held_out is not None:
                            values |= {f"val_{name}": value for name, value in self._evaluate(*held_out).items()}
                        history.rows.append(values)
                        report = Report(self, trainer.progress.epoch, epochs, values)
                        stops = [stop for stop in _call(callbacks, "on_epoch_end", report) if isinstance(stop, Stop)]
                        if stops:
                            history.stopped = stops[0].reason
                            break
                    if interruption:
                        raise KeyboardInterrupt
        except KeyboardInterrupt:
            history.stopped = "interrupted"
            warnings.warn(
                f"training was interrupted in epoch {trainer.progress.epoch + 1}; the model stands at its last whole "
                "step, and fit goes on from there",
                TrainingInterrupted,
                stacklevel=3,
            )
        finally:
            _call(callbacks, "on_fit_end", self)
        return history

    def _data(self, x: Any, y: Any, sample_weight: Any = None, class_weight: Any = None) -> tuple[tuple, np.ndarray]:
        """Checked ``(x, target, weights)`` on the backend, and the weights on the host."""
        x = as_rows("x", x, self.backend, self.dtype)
        outputs = self._outputs(x)
        target = as_target(y, x.shape[0], self.loss, outputs, self.backend, self.dtype)
        weights = as_weights(sample_weight, x.shape[0])
        if class_weight is not None:
            weights = class_weights(class_weight, self.backend.to_numpy(target), weights)
        return (x, target, self.backend.asarray(weights, dtype=self.backend.dtypes[self.dtype])), weights

    def _outputs(self, x: Array) -> int:
        """Columns of the scores for this x; a DataError where its columns are not those of the network."""
        try:
            return self.net.widths(x.shape[1]) or x.shape[1]
        except ConfigurationError as error:
            raise DataError(str(error)) from None

    def _scores(self, x: Array, batch_size: int | None = None) -> Array:
        """The network's raw scores, a block of rows at a time."""
        rows, state = batch_size or PREDICT_ROWS, self._trainer.state
        blocks = [
            self._score(self._vector, state.statistics, x[start : start + rows, :])
            for start in range(0, x.shape[0], rows)
        ]
        return blocks[0] if len(blocks) == 1 else self.backend.xp.concat(blocks, axis=-2)

    def predict(self, x: Any, batch_size: int | None = None) -> Tree:
        """What the loss's link makes of the scores: probabilities, means, quantiles. The same library as ``x``."""
        if batch_size is not None:
            check_count("predict", batch_size=batch_size)
        with self.backend.scope(self.dtype):
            rows = as_rows("x", x, self.backend, self.dtype)
            self._outputs(rows)
            prediction = self.loss.predict(self._scores(rows, batch_size))
            return tree_map(lambda leaf: like(leaf, x, self.backend), prediction)

    def evaluate(self, x: Any, y: Any, *, sample_weight: Any = None) -> dict[str, float]:
        """The mean loss over the rows (without penalty), and the model's metrics by name."""
        with self.backend.scope(self.dtype):
            return self._evaluate(*self._data(x, y, sample_weight)[0])

    def _evaluate(self, x: Array, target: Array, weights: Array) -> dict[str, float]:
        xp, scores = self.backend.xp, self._scores(x)
        values = {"loss": self.loss.value_and_grad(scores, target, weights)[0] / xp.sum(weights)}
        if self.metrics:
            prediction = self.loss.predict(scores)
            values |= {name: metric(target, prediction, weights) for name, metric in self.metrics.items()}
        return {name: float(self.backend.to_numpy(value)) for name, value in values.items()}


_LIKE = {"net": "Sequential(Linear(2, 3))", "loss": "SquaredError()", "optimizer": "Adam(1e-3)"}
_OWN_ENDING = {SoftmaxCrossEntropy: Softmax, SigmoidCrossEntropy: Sigmoid}


def _check_ending(net: Layer, loss: Loss) -> None:
    """A loss on raw scores must not be fed what its own link made of them."""
    last = net
    while isinstance(last, Sequential) and last.layers:
        last = last.layers[-1]
    if type(last) is _OWN_ENDING.get(type(loss)):
        raise ConfigurationError(
            f"Model: the network ends in {last!r}, but {loss!r} takes raw scores and applies its link itself; "
            f"leave the last layer out, predict gives what it would have given"
        )


def _call(callbacks: Sequence[Any], event: str, *args: Any) -> list[Any]:
    """Call the event's method of every callback that has one."""
    return [getattr(callback, event)(*args) for callback in callbacks if hasattr(callback, event)]
