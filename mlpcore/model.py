"""Model: a network with its parameters, which trains, predicts, evaluates and saves."""

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from mlpcore.arguments import check_arguments, named_metrics
from mlpcore.backends import device_of_rank, get_backend
from mlpcore.backends.backend import Backend
from mlpcore.backends.compilation import C, Compilation
from mlpcore.backends.transfer import like, to_backend, to_host
from mlpcore.configuration import check_choice, check_count, check_number, plain
from mlpcore.distributed import Communicator, communicator
from mlpcore.distributed.on_backend import on_backend
from mlpcore.errors import ConfigurationError, MlpcoreWarning, TrainingInterrupted
from mlpcore.files import save_model
from mlpcore.files.specification import Specification
from mlpcore.files.writing import Path
from mlpcore.layers.shapes import parameter_shapes
from mlpcore.memory import HostMemory
from mlpcore.metrics import METRICS, Metric
from mlpcore.optimizers import Adam
from mlpcore.random import Stream
from mlpcore.schedules.rate import rate_at
from mlpcore.summary import summary
from mlpcore.training.checkpoint_folder import CheckpointFolder
from mlpcore.training.division import check_ranks, divide
from mlpcore.training.epochs import train
from mlpcore.training.evaluation import evaluate, validation_rows
from mlpcore.training.explanations import input_gradient, integrated_gradients
from mlpcore.training.fits import check_fit, check_fit_callbacks, describe_data_weights, new_fit
from mlpcore.training.history import History
from mlpcore.training.ingest import ingest, ingest_rows, output_columns
from mlpcore.training.loop import Trainer
from mlpcore.training.missing import check_missing_targets
from mlpcore.training.parameters import matched
from mlpcore.training.pickling import copied, from_plain_data, to_plain_data
from mlpcore.training.placement import placed
from mlpcore.training.refusal import refuse_fit, refuse_model
from mlpcore.training.rules import Rules
from mlpcore.training.shards import Shards
from mlpcore.trees import Layout, tree_map
from mlpcore.typing import Array, Layer, Loss, Optimizer, Params, Tree

FIXED = (
    *("net", "loss", "optimizer", "backend", "dtype", "precision", "seed", "rules", "distributed"),
    *("layout", "trainer", "compiled"),
)


class Model:
    """A network, its loss and its optimizer on one backend.

    ``net`` is a layer. ``loss`` is computed from its raw scores, and the link of the loss gives the predictions.
    ``backend`` is "numpy", "cupy", "torch" or "jax", ``device`` one of its devices. With "auto" it is the library of
    ``params``, if they are on a device; else CuPy, if a GPU can be used and should be faster for a training step of 128
    rows, by what ``mlpcore crossover`` has measured on this machine or else by an estimate (`MlpcoreWarning`), and
    NumPy in all other cases. ``backend_choice`` then says what was chosen and why; it is None for a named backend, and
    files and pickles hold only what was chosen. ``dtype`` ("float32" or "float64") is that of the parameters,
    ``precision`` that of matrix products: "highest" (as ``dtype``), or for float32, if the device supports it, "tf32"
    or "bfloat16" (factors rounded to this format, sums in float32). ``metrics`` are names (see `mlpcore.metrics`) or
    functions ``f(target, prediction)``, computed on validation data and by `evaluate`. ``seed`` determines initial
    weights, row orders and dropout masks, the same on every backend; ``params`` is a tree that replaces the initial
    weights. ``l2``, ``clip_value``, ``clip_norm`` and ``ema`` are the fields of `mlpcore.training.rules.Rules`.

    ``distributed`` says which processes train the model together: with "auto" all that an MPI launcher has started
    (mpirun, srun), None for this one alone, or a `mlpcore.distributed.Communicator`, such as ``MPI(comm)``. All of them
    make the same model and call `fit` alike, see `docs/distributed.md`; ``rank`` is the number of this one.

    ``compile`` is for NumPy: "auto" compiles training and predictions as C if there is a C compiler and an epoch is
    long enough for it to pay, which is decided at the first fit and kept; True always compiles (BackendUnavailable if
    that is impossible), False never. On CuPy any value but False compiles CUDA kernels; True also captures steps as
    CUDA graphs, and lets products compute biases, activations and their derivatives: results agree to rounding.
    "one kernel" captures steps in which one kernel does all work by rows of a narrow network (ConfigurationError where
    that cannot be, see `docs/backends.md`). Both were tried on an emulated device, on no card yet. ``compiled`` says
    what runs and why, ``compiled.source`` is the generated source text. With and without compilation the results agree
    to rounding; it makes no difference to them into how many calls of `fit` the epochs are divided. ``trainer`` is the
    `mlpcore.training.loop.Trainer` behind the model. These attributes cannot be set afterwards (AttributeError).

    >>> import mlpcore as mc
    >>> net = mc.Sequential(mc.Linear(64, 128), mc.ReLU(), mc.Linear(128, 10))
    >>> mc.Model(net, loss=mc.SoftmaxCrossEntropy(), optimizer=mc.Adam(1e-3), metrics=["accuracy"])
    Model(Sequential(Linear(64, 128), ReLU(), Linear(128, 10)), SoftmaxCrossEntropy(), backend='numpy')
    """

    net: Layer
    loss: Loss
    optimizer: Optimizer
    backend: Backend
    dtype: str
    precision: str
    seed: int
    metrics: dict[str, Metric]
    rules: Rules
    distributed: str | Communicator | None
    layout: Layout
    trainer: Trainer
    compiled: Compilation

    def __init__(
        self,
        net: Layer,
        loss: Loss,
        optimizer: Optimizer = Adam(),  # noqa: B008  # frozen, so sharing the default is safe
        *,
        backend: str | Backend = "numpy",
        device: Any = None,
        dtype: str = "float32",
        precision: str = "highest",
        metrics: Sequence[str | Callable[..., Any]] = (),
        seed: int = 0,
        params: Params | None = None,
        l2: float = 0.0,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        ema: float | None = None,
        compile: bool | str = "auto",
        distributed: str | Communicator | None = "auto",
    ) -> None:
        rules = Rules(*map(plain, (l2, clip_norm, clip_value, ema)))
        seed = plain(seed)
        check_arguments(net, loss, optimizer, dtype, seed, rules)
        self.net, self.loss, self.optimizer, self.dtype, self.seed = net, loss, optimizer, dtype, seed
        self.distributed, ranks = distributed, communicator(distributed)
        backend, device, self.backend_choice = placed(backend, device, net, dtype, params)
        if device is None and ranks.size > 1:
            device = device_of_rank(backend, ranks.local_rank)
        self.backend = get_backend(backend, device)
        check_choice(f"Model on {self.backend.name}", self.backend.compile.precisions, precision=precision)
        if precision != "highest" and dtype != "float32":
            raise ConfigurationError(
                f"Model: precision is {precision!r}, which is for dtype='float32', got {dtype!r}; leave one of them out"
            )
        self.precision = precision
        check_choice(f"Model on {self.backend.name}", self.backend.compile.choices, compile=compile)
        self.compiled = Compilation(compile, precision=precision)
        self.metrics = named_metrics(metrics)
        self.rules = rules
        self._columns = -1  # of the last x of predict that was checked against the network
        # With given parameters nothing is drawn, as that would slow down the loading of large files.
        refuse_model(net, optimizer, rules.ema is not None, self.backend, dtype)
        with HostMemory():
            initial = net.init(Stream(seed, "init"), dtype) if params is None else parameter_shapes(net, dtype)
        self.layout = Layout(initial)
        if not self.layout.slots:
            raise ConfigurationError(
                f"Model: {net!r} has no parameters to train, expected a layer such as Linear in it"
            )
        if params is not None:
            with self.backend.scope(dtype):
                initial = matched(params, initial, self.layout, lambda leaf: np.array(to_host(leaf), dtype=dtype))
        self.trainer = Trainer(
            net,
            loss,
            optimizer,
            initial,
            backend=self.backend,
            dtype=dtype,
            seed=seed,
            rules=rules,
            compilation=self.compiled,
            communicator=on_backend(ranks, self.backend),
        )

    def __setattr__(self, name: str, value: Any) -> None:
        if name in FIXED and name in vars(self):
            raise AttributeError(
                f"Model.{name} cannot be set, as the training step was built with it; make another model, "
                f"mc.Model(net, loss, optimizer, params=model.params)"
            )
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        return f"Model({self.net!r}, {self.loss!r}, backend={self.backend.name!r})"

    @property
    def rank(self) -> int:
        """The number of this process among those that train the model together; 0 where it is the only one."""
        return self.trainer.communicator.rank

    @property
    def params(self) -> Params:
        """A copy of the tree of parameters (and running statistics); assigning a tree checks names and shapes.

        With ``ema``, reading gives the average of the parameters, and assigning sets parameters and average.
        """
        with self.backend.scope(self.dtype), self.trainer.reading():
            state = self.trainer.state
            running = tuple(leaf + 0 for leaf in state.statistics)
            return self.layout.view(self.trainer.vector(state) + 0, running)

    @params.setter
    def params(self, tree: Params) -> None:
        with self.backend.scope(self.dtype), self.trainer.one_thread.training("Model.params"):
            # + 0 copies: running statistics are kept as they are passed, not copied into the vector.
            placed = matched(
                tree, self.params, self.layout, lambda leaf: to_backend(leaf, self.backend, self.dtype) + 0
            )
            vector = self.layout.flat(placed)
            average = () if self.rules.ema is None else vector + 0
            self.trainer.state = self.trainer.state._replace(
                params=vector, average=average, statistics=self.layout.running(placed)
            )

    @property
    def rate_scale(self) -> float:
        """The factor on the learning rate, initially 1; `ReduceOnPlateau` changes it between epochs."""
        return float(self.backend.to_numpy(self.trainer.state.scale))

    @rate_scale.setter
    def rate_scale(self, value: float) -> None:
        check_number("Model", rate_scale=value, above=0)
        with self.backend.scope(self.dtype), self.trainer.one_thread.training("Model.rate_scale"):
            state = self.trainer.state
            self.trainer.state = state._replace(scale=state.scale * 0 + plain(value))

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        count, scale = self.trainer.count_and_scale()
        return float(rate_at(self.optimizer.learning_rate, count.astype(np.float64))) * float(scale)

    def snapshot(self) -> dict[str, Array]:
        """A copy of the arrays that predictions depend on, by name: parameters, average and running statistics."""
        return self.trainer.snapshot()

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Set parameters, average and running statistics to copies of those in a snapshot; nothing else changes.

        The arrays may be of any library. DataError for a snapshot of another network.
        """
        self.trainer.restore(snapshot)

    def fit(
        self,
        x: Any,
        y: Any,
        *,
        epochs: int = 10,
        batch_size: int = 128,
        shuffle: bool | str = True,
        sample_weight: Any = None,
        class_weight: dict[int, float] | str | None = None,
        missing_targets: str = "error",
        validation_data: tuple[Any, ...] | None = None,
        callbacks: Sequence[Any] = (),
        checkpoint: Path | CheckpointFolder | None = None,
        resume: Path | None = None,
        shard: str = "auto",
        on_nonfinite: str = "raise",
    ) -> History:
        """Train for ``epochs`` passes over the rows; a further call continues where this one stopped.

        ``x`` is (n, columns) and ``y`` a target that the loss accepts: NumPy, CuPy, torch or JAX arrays, lists or data
        frames; integers become ``dtype``. ``sample_weight`` are weights of rows (n,), or of the entries of y (n, c) for
        every loss with a term for each column of y, which is all but SoftmaxCrossEntropy. With
        ``missing_targets="skip"`` an entry of y that is NaN has weight 0; with "error" it is a DataError. The mean over
        entries is ``sum(w * f) / (sum(w) / c)``, so that weights which are equal along each row are row weights.
        ``class_weight`` maps classes (integers, or the 0 and 1 of one column) to weights, 1 for those left out, or is
        "balanced". ``validation_data`` is (x, y) or (x, y, sample_weight), evaluated after each epoch;
        ``missing_targets`` applies to its y too. All arguments are checked before the model changes (DataError). Ctrl-C
        ends training after the current chunk of steps with a TrainingInterrupted warning; a loss or gradient that is
        not finite raises NonFiniteError. In both cases the model stands at its last whole step.

        ``on_nonfinite`` is what happens where the loss of a batch, its gradient or the updated weights are not finite:
        "raise"; "skip", which leaves out the batch as if its rows weighed 0 (column ``skipped`` of the history); or
        "restore", which goes back to the beginning of the epoch, halves the learning rate and trains the epoch again
        (column ``restored``), at most 5 times in a fit. A MlpcoreWarning after the fit tells how often. NonFiniteError
        if all batches of an epoch were skipped, or going back 5 times has not helped. See `docs/checkpoints.md`.

        ``checkpoint`` is the path of a file to which the whole state of training is written after every epoch, or a
        `mlpcore.CheckpointFolder`, which keeps several, and may write within epochs. ``resume`` is the path of such a
        file, or a folder, of which the latest whole one is taken: the fit that wrote it continues, and
        ``history.resumed_from`` names the file. Make the same call on the same model,
        on any backend; on the same backend the result is bit-equal to that of a fit that was not interrupted.
        ``epochs`` includes those in the file, so that the same call can be repeated. A missing file is a
        FileNotFoundError, unless both paths are the same: then the fit starts from the beginning. Callbacks with
        ``state`` and ``restore`` continue with the state in the file, which includes the best weights; other callbacks
        start anew and need not be those of the earlier call. ModelFileError names a difference in model, rows, batch
        size, shuffling, weights, or callbacks with a state. With ``resume`` a fit that a callback has stopped stays
        stopped; a further fit without ``resume`` continues training.

        ``shuffle="blocks"`` is for rows in a memory-mapped file: whole blocks of 1024 rows are read, in random order,
        and the rows of 64 blocks are mixed. Where several ranks train together, each computes a part of every batch of
        ``batch_size`` rows. With ``shard="auto"`` all ranks pass the same rows; with "given" each passes rows, weights
        and validation rows of its own, of which one at least has a positive weight. Callbacks and checkpoints,
        with their paths, are rank 0's, and all ranks return the same history. RankError where the calls of ranks
        differ, or another rank failed; ConfigurationError for a network whose rows depend on each other (BatchNorm),
        and in a callback of another fit of the same ranks.
        """
        ranks = self.trainer.communicator
        one_thread = self.trainer.one_thread.training("fit")
        with self.backend.scope(self.dtype), one_thread, ranks.one_fit(), ranks.or_abort("in fit"):
            ranks.barrier()
            with ranks.agree():
                arguments = check_fit(epochs, batch_size, shuffle, on_nonfinite, (True, False, "blocks"))
                callbacks = check_fit_callbacks(self, callbacks, validation_data is not None)
                validated = self.metrics if validation_data is not None else {}
                check_missing_targets("fit", missing_targets, self.loss, validated)
                check_ranks(self.trainer, shard, class_weight)
                checked = Shards(ranks) if shard == "auto" else None
                data, weights = ingest(self.trainer, x, y, sample_weight, class_weight, missing_targets, checked)
                held_out = None
                if validation_data is not None:
                    named = {name: self.metrics[name] for name in self.specification.metrics}
                    held_out = validation_rows(self.trainer, named, validation_data, missing_targets)
                refuse_fit([self.trainer.state], data, min(arguments.batch_size, data.x.shape[0]), self.backend)
            weights, order = divide(self, data, weights, arguments, held_out, shard)
            about_weights = partial(describe_data_weights, self, data, weights, sample_weight, class_weight)
            fit = new_fit(self, data, weights, order, arguments, held_out, callbacks, checkpoint, resume, about_weights)
            interrupted = train(*fit)
        if interrupted and ranks.rank == 0:
            warnings.warn(
                f"training was interrupted in epoch {self.trainer.progress.epoch + 1}; the model stands at its "
                "last whole step, and fit goes on from there",
                TrainingInterrupted,
                stacklevel=2,
            )
        if (report := fit.plan.recovery.report()) is not None and ranks.rank == 0:
            warnings.warn(f"fit: {report}", MlpcoreWarning, stacklevel=2)
        return fit.history

    def predict(self, x: Any, batch_size: int | None = None) -> Tree:
        """The link of the loss applied to the scores of x (n, columns): probabilities, means or quantiles.

        The result is an array (n, c) of the same library as ``x``, or a tuple of such. ``batch_size`` rows are computed
        at a time, by default 4096.
        """
        if batch_size is not None:
            check_count("predict", batch_size=batch_size)
        with self.backend.scope(self.dtype):
            rows = ingest_rows("x", x, self.backend, self.dtype)
            if rows.shape[1] != self._columns:
                output_columns(self.net, rows)
                self._columns = rows.shape[1]
            prediction = self.trainer.predict(rows, batch_size)
            return tree_map(lambda leaf: like(leaf, x, self.backend), prediction)

    def evaluate(
        self, x: Any, y: Any, *, sample_weight: Any = None, missing_targets: str = "error"
    ) -> dict[str, float]:
        """The mean loss over the rows (without penalty), and the model's metrics by name.

        Weights and ``missing_targets`` are as those of `fit`.
        """
        check_missing_targets("evaluate", missing_targets, self.loss, self.metrics)
        with self.backend.scope(self.dtype):
            data, _ = ingest(self.trainer, x, y, sample_weight, missing_targets=missing_targets)
            return evaluate(self.trainer, self.metrics, *data)

    def input_gradient(self, x: Any, output: int | None = None, *, batch_size: int | None = None) -> Array:
        """The derivatives (n, columns) of one score of every row by each of its inputs. The same library as ``x``.

        Entry (i, k) is ``d z_i[output] / d x_ik``, where z (n, outputs) are the raw scores, before the link of the
        loss. ``output`` is the number of a score, from 0. None means the only score, or with `SoftmaxCrossEntropy` the
        predicted class of each row, which has its largest score. The unit of an entry is that of the score per unit of
        column k of ``x``, as ``x`` is given here: a derivative with respect to a standardized column is one per
        standard deviation.

        The network is in inference: Dropout is the identity and BatchNorm has constant statistics. The derivatives are
        those of the layers' own backward passes; at a kink, such as ReLU's at 0, they are what the layer says there.
        ``batch_size`` is the number of rows in one pass. Errors: ConfigurationError for an ``output`` that the network
        does not have, or None where no class is predicted; DataError for rows that `predict` refuses.

        Source: Simonyan, Vedaldi & Zisserman (2014), "Deep inside convolutional networks: visualising image
        classification models and saliency maps", sec. 3.
        """
        return input_gradient(self.trainer, x, output, batch_size)

    def integrated_gradients(
        self, x: Any, output: int | None = None, *, baseline: Any = None, steps: int = 50, batch_size: int | None = None
    ) -> Array:
        """The share (n, columns) of every input in the score's difference to that of a baseline. As `input_gradient`.

        With the row x, its baseline b and the score z of number ``output``::

            share_k = (x_k - b_k) * integral from 0 to 1 of  (d z / d x_k)(b + a (x - b))  da
            sum_k share_k = z(x) - z(b)

        The shares have the unit of the score. ``output`` is as in `input_gradient`; None means the class predicted for
        x, along the whole path. ``baseline`` is a row (columns,), an array like ``x``, or None for zeros; it should be
        an input without information, such as the mean of each column or a black image.

        The integral is computed by Gauss-Legendre quadrature with ``steps`` nodes, 1 to 1000, so that the second
        equation holds up to the error of that rule and rounding. With smooth activations the error is that of rounding.
        With kinks, such as ReLU's, it falls as 1 / steps. Where a path passes near a row that a LayerNorm finds almost
        constant, more steps are needed: compare the two sides. Columns of categories (`OneHot`, `Embedding`) have no
        derivatives, so that their shares are 0 and missing in the sum. ``batch_size`` is the number of points on paths
        in one pass. Errors: as `input_gradient`, and DataError for a baseline of another shape.

        Source: Sundararajan, Taly & Yan (2017), "Axiomatic attribution for deep networks", eq. 1 and prop. 1.
        """
        return integrated_gradients(self.trainer, x, output, baseline, steps, batch_size)

    @property
    def specification(self) -> Specification:
        """The configuration that a model file holds besides the tensors. Metrics that are functions are left out."""
        named = tuple(name for name, metric in self.metrics.items() if METRICS.get(name) is metric)
        return Specification(
            *(self.net, self.loss, self.optimizer, self.dtype, self.precision, self.seed, named), **self.rules._asdict()
        )

    def summary(self) -> str:
        """The layers with their output columns, parameters and FLOPs as a table, see `mlpcore.summary`."""
        title = f"Model on {self.backend.name}: {self.loss!r}, {self.optimizer!r}"
        chosen = f"\nbackend='auto' chose {self.backend_choice}." if self.backend_choice else ""
        return summary(self.net, self.dtype, title) + chosen

    def save(
        self, path: Path, *, extra_tensors: Mapping[str, Any] | None = None, extra: Mapping[str, Any] | None = None
    ) -> None:
        """Write the model as a safetensors file, completely or not at all (of several ranks, rank 0); `load` reads it.

        It holds parameters (with ``ema`` their average), running statistics and configuration, but no optimizer state;
        a checkpoint of `fit` has that. ConfigurationError if a layer, loss or other part is not mlpcore's own; metrics
        that are functions are left out with a warning. ``extra_tensors`` (arrays by name) and ``extra`` (JSON values
        by name) are stored in the file too, for `mlpcore.files.read_extra`.
        """
        if self.rank:
            return
        specification = self.specification
        if left_out := [name for name in self.metrics if name not in specification.metrics]:
            warnings.warn(
                f"{path} is saved without {', '.join(left_out)}: a file holds metrics by name, not functions",
                MlpcoreWarning,
                stacklevel=2,
            )
        with self.backend.scope(self.dtype):
            params = tree_map(self.backend.to_numpy, self.params)
        save_model(
            path,
            specification,
            params,
            extra_tensors=extra_tensors,
            extra=extra,
            compiled=C if self.compiled.kind == C else "",
        )

    def to(self, backend: str | Backend, device: Any = None) -> "Model":
        """A copy of the model on another backend or device, including its ranks and the state of training."""
        backend, device, choice = placed(backend, device, self.net, self.dtype)
        model = copied(self, get_backend(backend, device), "auto")
        model.backend_choice = choice
        return model

    def __copy__(self) -> "Model":
        """A copy on the same backend object, including its ranks and the state of training; no array is shared."""
        return copied(self, self.backend, self.compiled.asked)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Model":
        """As `__copy__`."""
        return copy.copy(self)

    def __getstate__(self) -> dict[str, Any]:
        """The state for pickle between processes. For files use `save`, as unpickling a file can run code."""
        return to_plain_data(self)

    def __setstate__(self, data: dict[str, Any]) -> None:
        """The pickled model with its state of training; on NumPy where its backend is not available."""
        vars(self).clear()  # as attributes that are set already cannot be set again
        from_plain_data(self, data)
