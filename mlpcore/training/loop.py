"""The training loop: epochs of chunks of steps, with every host read between the chunks."""

import contextlib
import math
import operator
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from mlpcore.backends.backend import Backend, ChunkError, Run, StepNoise
from mlpcore.backends.compilation import Compilation
from mlpcore.compiler.order import order as compiled_order
from mlpcore.errors import NonFiniteError, OutOfMemoryError
from mlpcore.execution.gradients import beside_full_batch
from mlpcore.random import Stream
from mlpcore.training.memory import forget_frames, out_of_memory
from mlpcore.trees import leaves
from mlpcore.typing import Layer, Noise, State

MANY_ROWS = 4096  # from which on drawing an order takes NumPy much longer than compiled code
CHUNK_WORK = 5e10  # multiplications in a chunk: about half a second on two cores between looks at the host


class EpochResult(NamedTuple):
    """The mean objective over the epoch's rows, and its speed; ``whole`` is False after an interruption.

    ``losses`` are the objectives of the steps, for those who average them otherwise.
    """

    loss: float
    rows_per_second: float
    whole: bool
    losses: list[float]


@dataclass
class Progress:
    """How far a model has come: whole epochs, and steps begun. Orders and noise are functions of these numbers."""

    epoch: int = 0
    step: int = 0


class Interruption:
    """True once Ctrl-C was pressed; inside the context the press is noted instead of raised."""

    def __init__(self) -> None:
        self.pressed = False

    def __bool__(self) -> bool:
        return self.pressed

    @contextlib.contextmanager
    def noted(self) -> Iterator["Interruption"]:
        """Note SIGINT in the main thread, where Python delivers it; other threads never see one.

        Where the program ignores it, or leaves it to the system, so it stays.
        """
        if threading.current_thread() is not threading.main_thread() or not callable(signal.getsignal(signal.SIGINT)):
            yield self
            return

        def note(*_: Any) -> None:
            self.pressed = True

        before = signal.signal(signal.SIGINT, note)
        try:
            yield self
        finally:
            signal.signal(signal.SIGINT, before)


def shuffled(seed: int, rows: int, compile: bool | str = "auto") -> Callable[[int], np.ndarray]:
    """The order of the rows in each epoch, drawn from the seed; while one is in use, a thread draws the next.

    Long ones are drawn in compiled code unless ``compile`` is False; the first is not, as it should not wait for that.
    """
    drawer, stream = ThreadPoolExecutor(1), Stream(seed, "order")
    drawn: dict[int, Future] = {}
    ahead = compiled_order if compile and rows >= MANY_ROWS else Stream.order

    def order(epoch: int) -> np.ndarray:
        now = drawn.pop(epoch, None)
        with contextlib.suppress(RuntimeError):  # the main thread has ended: the next order is drawn when asked for
            drawn[epoch + 1] = drawer.submit(ahead, replace(stream, step=epoch + 1), rows)
        return replace(stream, step=epoch).order(rows) if now is None else now.result()

    return order


def _mean_weight(weights: np.ndarray, batch_size: int) -> float:
    """The mean weight of rows in the order of their batches, those of batches left out that weigh nothing."""
    starts = np.arange(0, weights.size, batch_size)
    sums, rows = np.add.reduceat(weights, starts), np.diff(starts, append=weights.size)
    return float(np.sum(sums) / max(np.sum(rows[sums > 0]), 1))


class Trainer:
    """A state that moves on: holds the compiled step, the state after the last whole step, and the progress."""

    def __init__(
        self,
        backend: Backend,
        net: Layer,
        run: Run,
        state: State,
        seed: int,
        dtype: str,
        size: int,
        compilation: Compilation,
    ) -> None:
        self.backend, self.net, self.run, self.state = backend, net, run, state
        self.seed, self.dtype, self.size, self.compilation = seed, dtype, size, compilation
        self.progress = Progress()

    def epoch(
        self, data: tuple, weights: np.ndarray, order: Callable[[int], np.ndarray], batch_size: int, stop: Interruption
    ) -> EpochResult:
        """One pass over the rows of ``data`` that the epoch's order names, the last batch being as small as it must.

        A non-finite loss or gradient is a NonFiniteError; the state stands at the last whole step before it.
        """
        began, rows = time.perf_counter(), 0
        unweighted = bool(np.all(weights == 1))
        losses: list[float] = []
        batch_weights: list[float] = []
        rows_in_order = order(self.progress.epoch)
        full = min(batch_size, rows_in_order.size)
        self.compilation.decide(rows_in_order.size, full, self.size)
        each = 1.0 if unweighted else _mean_weight(weights[rows_in_order], full)
        even = unweighted and rows_in_order.size % full == 0
        for chunk in self._chunks(rows_in_order, batch_size):
            # What a full batch weighs, and how much of it tells of a variance; unsaid where every batch is such a one.
            usual = None if even else (full * each, (full - 1) * each)
            losses += self._advance(data, chunk, usual).tolist()
            counts = [float(chunk.shape[1])] * chunk.shape[0]
            batch_weights += counts if unweighted else weights[chunk].sum(axis=1).tolist()
            rows += chunk.size
            if stop:
                break
        whole = rows == rows_in_order.size
        self.progress.epoch += whole
        # One sum over the steps, so that the cuts between chunks leave no trace in it.
        weight, total = math.fsum(batch_weights), math.fsum(map(operator.mul, losses, batch_weights))
        return EpochResult(total / weight if weight else 0.0, rows / (time.perf_counter() - began), whole, losses)

    def _chunks(self, order: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
        """The order cut into chunks (steps, batch), of one length where that is possible, and the ragged last batch."""
        steps = order.size // batch_size
        work = CHUNK_WORK * self.backend.pace
        most = max(1, min(int(work / (3 * batch_size * max(self.size, 1))), self.backend.most_steps))
        length = -(-steps // -(-steps // most)) if steps else 1
        batches = order[: steps * batch_size].reshape(steps, batch_size)
        for start in range(0, steps, length):
            yield batches[start : start + length]
        if order.size % batch_size:
            yield order[None, steps * batch_size :]

    def _advance(self, data: tuple, chunk: np.ndarray, full_batch: tuple[float, float] | None = None) -> np.ndarray:
        """Run the chunk; the losses of its steps, as float64 on the host. ``full_batch`` is what BatchNorm asks for.

        A failed step has left the state whole, but an update that overflows is only seen here, when it is made.
        """
        first, stream = self.progress.step, Stream(self.seed, "noise")

        def noise(stream: Any, rows: Any, full: Any) -> Noise:
            made = self.net.noise(stream, (rows, data[0].shape[1]), self.dtype)
            return made if full is None else beside_full_batch(made, full)

        full = None if full_batch is None else np.asarray([full_batch], self.dtype)
        stream = replace(stream, step=first)
        draw: Callable[[int], Noise] = StepNoise(noise, stream, chunk.shape[1], full)
        if not leaves(still := noise(stream, 1, full)):  # nothing is random: the empty tree serves every step

            def draw(i: int) -> Any:
                return still

        try:
            self.state, losses = self.run(self.state, data, chunk, draw)
        except Exception as error:
            cause: BaseException = error
            if isinstance(error, ChunkError):
                self.state, cause = error.state, error.__cause__ or error
                self.progress.step += error.steps
            if (known := self._explained(cause, chunk.shape[1], data[0].shape[1])) is not None:
                raise known from cause
            raise cause from cause.__cause__
        self.progress.step += chunk.shape[0]
        xp = self.backend.xp
        read = self.backend.read(losses, self.state.skipped, xp.all(xp.isfinite(self.state.params)))
        host, failed, finite = read[0].astype(np.float64), bool(read[1].any()), bool(read[2])
        if failed:
            self.state = self.state._replace(skipped=self.state.skipped * 0)
        epoch = self.progress.epoch + 1
        if not finite:
            raise NonFiniteError(
                f"the weights became infinite in epoch {epoch}, at step {self.progress.step} or shortly before: an "
                f"update was larger than {self.dtype} can hold. Make the model anew, or restore a snapshot, and take "
                "a smaller learning rate"
            )
        if failed:
            step = first + int(np.argmax(~np.isfinite(host))) + 1
            raise NonFiniteError(
                f"the loss or its gradient became infinite or NaN in epoch {epoch}, step {step}; the model keeps the "
                "weights from before that step. Try a smaller learning rate, clip_norm=1.0, or columns scaled to "
                "similar size (mc.Standardize). Squares count too: those that optimizers such as Adam take of the "
                "gradient, and BatchNorm's variances"
            )
        return host

    def _explained(self, error: BaseException, rows: int, columns: int) -> OutOfMemoryError | None:
        """The error to raise for one that tells of too little memory, None for any other."""
        if self.backend.shortage(error) is None:
            return None
        forget_frames(error)  # first, since what they hold would count as used
        shortage, itemsize = self.backend.shortage(error), np.dtype(self.dtype).itemsize
        where = f"epoch {self.progress.epoch + 1}, after step {self.progress.step}"
        assert shortage is not None
        return out_of_memory(shortage, self.net, columns, self.size, rows, itemsize, where)
