"""The trainer: holds the state of training and advances it epoch by epoch, in chunks of steps."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from mlpcore.backends.backend import Backend
from mlpcore.backends.calls import Calls, alone
from mlpcore.backends.compilation import Compilation
from mlpcore.backends.run import ChunkError, Draw, Run, StepNoise, finite_weights
from mlpcore.backends.transfer import to_backend
from mlpcore.distributed.communicator import Communicator
from mlpcore.errors import OutOfMemoryError
from mlpcore.memory import OutOfMemory, host_out_of_memory
from mlpcore.numerics import weights_of_rows
from mlpcore.random import Stream
from mlpcore.training.batches import batch_mean_weight, batch_weights, in_chunks, mean_loss
from mlpcore.training.interruption import Interruption
from mlpcore.training.memory import forget_frames, out_of_memory
from mlpcore.training.nonfinite import ChunkResult
from mlpcore.training.one_thread import OneThread
from mlpcore.training.parameters import fresh_state, named_state, predicting, with_snapshot
from mlpcore.training.position import EpochResult, Position
from mlpcore.training.ranks import RankRun
from mlpcore.training.recovery import RAISE, Recovery, copied
from mlpcore.training.rules import Rules
from mlpcore.training.scores import Scores
from mlpcore.training.step import make_step
from mlpcore.trees import Layout, leaves, tree_map
from mlpcore.typing import Array, Dataset, Layer, Loss, Noise, Optimizer, Params, State, Tree

CHUNK_WORK = 5e10  # multiplications in a chunk: about half a second on two cores


Progress = Position  # its name in pickles written before December 2026


class Trainer:
    """Holds the state of training on one backend; trains, scores and predicts with it.

    ``params`` are the host parameters before the first step. ``state`` is the `mlpcore.typing.State` after the last
    whole step; training continues from a state that is assigned. ``progress`` counts epochs and steps. ``layout`` says
    where the parameters lie in the flat vectors of the state. ``run`` runs a chunk of steps (see
    `mlpcore.backends.run`). Row orders and noise are functions of ``seed`` and ``progress``.

    With a ``communicator`` of several ranks these train together; all of them then call the same methods.
    """

    def __init__(
        self,
        net: Layer,
        loss: Loss,
        optimizer: Optimizer,
        params: Params,
        *,
        backend: Backend,
        dtype: str = "float32",
        seed: int = 0,
        rules: Rules = Rules(),  # noqa: B008  # immutable
        compilation: Compilation | None = None,
        communicator: Communicator = Communicator(),  # noqa: B008  # has no state
    ) -> None:
        self.communicator = communicator
        self.net, self.loss, self.rules = net, loss, rules
        self.backend, self.dtype, self.seed = backend, dtype, seed
        self.compilation = Compilation() if compilation is None else compilation
        self.layout, self.progress, self.one_thread = Layout(params), Position(), OneThread()
        self._without_noise: dict[int, Draw] = {}  # by the columns of x
        self._read: tuple[Any, ...] = ()  # a state, and its count and scale as they were read with those of others
        with backend.scope(dtype):
            self.state: State = fresh_state(params, self.layout, optimizer, backend, rules.ema is not None)
            step = make_step(net, loss, optimizer, self.layout, rules)
            self.run: Run = (
                backend.compile.steps(step, self.layout, self.compilation)
                if communicator.size == 1
                else RankRun(step, self.layout, backend, self.compilation, communicator)
            )
            self._lock = getattr(self.run, "lock", None)  # steps that make new arrays have none
            self.scores = Scores(net, loss, self.layout, backend, self.compilation)

    def reading(self) -> AbstractContextManager[Any]:
        """A context in which ``state`` is that after a whole step, also while another thread trains: the next waits."""
        return nullcontext() if self._lock is None else self._lock.reading()

    def vector(self, state: State) -> Array:
        """The flat vector for predictions: the average of the parameters if one is kept, else the parameters."""
        return state.params if self.rules.ema is None else state.average

    def score(self, x: Array, batch_size: int | None = None) -> Array:
        """The raw scores (n, outputs) of the rows x (n, columns) in inference, ``batch_size`` rows at a time."""
        return self._infer(self.scores.score, x, batch_size)

    def predict(self, x: Array, batch_size: int | None = None) -> Tree:
        """The link of the loss applied to the scores of the rows x (n, columns)."""
        return self._infer(self.scores.predict, x, batch_size)

    def _infer(self, function: Callable[..., Tree], x: Array, batch_size: int | None) -> Tree:
        with self.backend.scope(self.dtype), self.reading():
            state = self.state  # once, as a fit in another thread replaces it
            return function(self.vector(state), state.statistics, x, batch_size)

    def snapshot(self) -> dict[str, Array]:
        """A copy of the arrays that predictions depend on, by name: parameters, average and running statistics."""
        with self.backend.scope(self.dtype), self.reading():
            return dict(named_state(tree_map(lambda leaf: leaf + 0, predicting(self.state)), self.layout))

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Set parameters, average and running statistics to copies of those in a snapshot; nothing else changes.

        The arrays may be of any library. DataError for a snapshot of another network.
        """
        with self.backend.scope(self.dtype), self.one_thread.training("restore"):
            self.state = with_snapshot(
                self.state, snapshot, self.layout, lambda leaf: to_backend(leaf, self.backend, self.dtype) + 0
            )

    def count_and_scale(self) -> Sequence[np.ndarray]:
        """The number of updates and the factor of the learning rate, on the host."""
        read = self._read  # once, as a fit in another thread replaces it
        if read and read[0] is self.state:
            return read[1:]
        return self.backend.read(self.state.count, self.state.scale)

    def share(self) -> None:
        """Take state and progress of rank 0 over to all ranks."""
        if self.communicator.size == 1:
            return
        with self.backend.scope(self.dtype):
            first = self.communicator.rank == 0
            host = tree_map(self.backend.to_numpy, self.state) if first else None
            state, progress, kind = self.communicator.broadcast((host, self.progress, self.compilation.kind))
            if not first:
                self.state, self.progress = tree_map(self.backend.asarray, state), progress
                self.compilation.keep(kind, "rank 0")

    def own_state(self) -> None:
        """Copy the state to arrays of its own: views of arrays that members of a stack share would keep all alive."""
        with self.backend.scope(self.dtype):
            self.state = copied(self.state)
            self._read = ()

    def epoch(
        self,
        data: Dataset,
        weights: np.ndarray,
        order: Callable[[int], np.ndarray],
        batch_size: int,
        stop: Interruption | bool = False,
        recovery: Recovery = RAISE,
    ) -> EpochResult:
        """Train one pass over the rows of ``data`` in the order of the epoch; the last batch may be smaller.

        ``data`` is ``(x, target, weights)`` on the backend, the target as the loss prepares it; ``weights`` are the
        same weights on the host. ``order(epoch)`` returns the row numbers of the epoch, in order. The epoch ends early
        if ``stop`` is true after a chunk of steps. NonFiniteError for a non-finite loss or gradient; the state is then
        that before the failed step. ``recovery`` may skip such a step instead. ConfigurationError while another thread
        trains this model.
        """
        with self.one_thread.training("epoch"):
            return alone(self.epoch_calls(data, weights, order, batch_size, stop, recovery=recovery))

    def epoch_calls(
        self,
        data: Dataset,
        weights: np.ndarray,
        order: Callable[[int], np.ndarray],
        batch_size: int,
        stop: Interruption | bool = False,
        done: Sequence[float] = (),
        after_chunk: Callable[[list[float]], None] | None = None,
        every_steps: int | None = None,
        recovery: Recovery = RAISE,
    ) -> Calls[EpochResult]:
        """As `epoch`, with the calls of compiled code handed out, to be done beside those of other networks.

        ``done`` are the losses of the steps that the epoch has behind it. ``after_chunk`` is called with the losses so
        far after every chunk of steps but the last. Chunks end at multiples of ``every_steps``.
        """
        began = time.perf_counter()
        weights = weights_of_rows(weights)
        unweighted = bool(np.all(weights == 1))
        losses = list(done)
        rows_in_order = order(self.progress.epoch)
        resumed = rows = min(len(losses) * batch_size, rows_in_order.size)
        full = min(batch_size, rows_in_order.size)
        self.compilation.decide(rows_in_order.size, full, self.layout.size)
        mean_weight = 1.0 if unweighted else batch_mean_weight(weights[rows_in_order], full)
        # Only running statistics need the weight of a full batch, and only if some batches differ from it.
        needed = self.layout.statistics and not (unweighted and rows_in_order.size % full == 0)
        full_batch = np.asarray((full * mean_weight, (full - 1) * mean_weight), self.dtype) if needed else ()
        for chunk in self.chunks(rows_in_order[rows:], batch_size, every_steps):
            found = yield from recovery.chunk(self, data, chunk, full_batch)
            losses += found.tolist()
            rows += chunk.size
            if self.communicator.any(stop):
                break
            if after_chunk is not None and rows < rows_in_order.size:
                after_chunk(losses)
        whole = rows == rows_in_order.size
        self.progress.epoch += whole
        loss, skipped = mean_loss(losses, batch_weights(weights, rows_in_order[:rows], batch_size, unweighted))
        speed = (rows - resumed) / (time.perf_counter() - began)
        return EpochResult(loss, speed, whole, losses, rows_in_order, skipped)

    def chunks(self, order: np.ndarray, batch_size: int, every: int | None = None) -> Iterator[np.ndarray]:
        """The order in chunks of about half a second of steps, see `mlpcore.training.batches.in_chunks`."""
        work = CHUNK_WORK * self.backend.extras.relative_speed
        most = min(int(work / (3 * batch_size * max(self.layout.size, 1))), self.backend.extras.max_chunk_steps)
        return in_chunks(order, batch_size, max(1, most), lambda: every and every - self.progress.step % every)

    def advance(self, data: Dataset, chunk: np.ndarray, full_batch: Tree = ()) -> Calls[ChunkResult]:
        """Run the chunk (steps, batch) of row numbers.

        A failed step has left the state as it was, and so have those after it. An update that overflowed is only
        detected once it is done.
        """
        try:
            draw = self._draw(data.x.shape[1], chunk.shape[1], full_batch)
            read: Sequence[np.ndarray] = ()
            if (calls := getattr(self.run, "calls", None)) is not None:
                self.state, losses, *read = yield from calls(self.state, data, chunk, draw)
            else:
                self.state, losses = self.run(self.state, data, chunk, draw)
        except Exception as error:
            cause: BaseException = error
            if isinstance(error, ChunkError):
                self.state, cause = error.state, error.__cause__ or error
                self.progress.step += error.steps
            if (memory_error := self._memory_error(cause, chunk.shape[1], data.x.shape[1])) is not None:
                raise memory_error from cause
            raise cause from cause.__cause__
        self.progress.step += chunk.shape[0]
        read = read or self.backend.read(losses, self.state.skipped, finite_weights(self.state))
        host, failed, finite = read[0].astype(np.float64), bool(read[1].any()), bool(read[2])
        self._read = (self.state, *read[3:]) if len(read) > 3 else ()
        if failed:
            self.state = self.state._replace(skipped=self.state.skipped * 0)
        return ChunkResult(host, int(np.argmax(np.isnan(host))) if failed else None, finite)

    def _draw(self, columns: int, rows: int, full_batch: Tree) -> Draw:
        """The draws of the next steps; the same object for all chunks whose steps need no arrays."""
        if isinstance(full_batch, tuple) and columns in self._without_noise:
            return self._without_noise[columns]

        def noise(stream: Any, rows: Any) -> Noise:
            return self.net.noise(stream, (rows, columns), self.dtype)

        stream = Stream(self.seed, "noise", step=self.progress.step)
        if leaves(empty := (noise(stream, 1), full_batch)):
            return StepNoise(noise, stream, rows, full_batch)
        return self._without_noise.setdefault(columns, lambda i: empty)

    def _memory_error(self, error: BaseException, rows: int, columns: int) -> OutOfMemoryError | None:
        """The OutOfMemoryError for an error about too little memory, of device or host; None for other errors."""
        if self._lack_of_memory(error) is None:
            return None
        forget_frames(error)  # first, as the arrays they hold would count as used
        lack, itemsize = self._lack_of_memory(error), np.dtype(self.dtype).itemsize
        where = f"epoch {self.progress.epoch + 1}, after step {self.progress.step}"
        assert lack is not None
        return out_of_memory(lack, self.net, columns, self.layout.size, rows, itemsize, where)

    def _lack_of_memory(self, error: BaseException) -> OutOfMemory | None:
        return self.backend.extras.out_of_memory(error) or host_out_of_memory(error)
