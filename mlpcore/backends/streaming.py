"""Moves rows to a device: all at once if they fit, else those of a few steps while the steps before compute."""

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlpcore.backends.calls import Calls
from mlpcore.backends.chunks import even_ranges, joined, numbered, split
from mlpcore.backends.copy_queues import CopyQueue
from mlpcore.backends.run import ChunkError, Data, Draw, Progress, Run, collect
from mlpcore.typing import Array, State

BUFFER_BYTES = 64 << 20  # of rows in one of the two buffers: about a millisecond of copying, and little memory
DATA_FRACTION = 0.6  # of the free device memory, for data that stay there; the rest is for steps and state


def fits_on_device(size: int, free_memory: Callable[[], int | None]) -> bool:
    """Whether data of ``size`` bytes may stay on a device with ``free_memory()`` free bytes, None for no limit.

    For small data ``free_memory`` is not called, as it may take longer than the prediction of a row.
    """
    return size <= BUFFER_BYTES or (free := free_memory()) is None or size <= DATA_FRACTION * free


@dataclass
class BufferPair:
    """A buffer on the host and one on the device for every array of the data.

    ``sent`` is a mark after the last copy into the device buffers, ``used`` one after the last work that reads them.
    """

    queue: CopyQueue
    source: list[np.ndarray] = field(default_factory=list)
    target: list[Array] = field(default_factory=list)
    placed: tuple[Array, ...] = ()  # the rows that were loaded last
    sent: Any = None
    used: Any = None

    def fit(self, data: Data, rows: int) -> None:
        """Allocate buffers for ``rows`` rows of the data, unless those there are fit."""
        wanted = [(array.shape[1:], array.dtype) for array in data]
        if [(buffer.shape[1:], buffer.dtype) for buffer in self.source] == wanted and self.source[0].shape[0] >= rows:
            return
        self.wait()
        source = [self.queue.host((rows, *shape), dtype) for shape, dtype in wanted]
        target = [self.queue.device((rows, *shape), dtype) for shape, dtype in wanted]
        self.source, self.target = source, target  # both or none: either may find no memory
        # The memory of a new buffer may have been freed while work in the compute queue still reads it.
        self.used = self.queue.computed()

    def wait(self) -> None:
        """Wait until the host buffers have been copied, so that they can be filled again."""
        if self.sent is not None:
            self.queue.host_waits(self.sent)

    def load(self, rows: int, gather: Callable[[int, np.ndarray], Any]) -> None:
        """Fill the host buffers with ``rows`` rows, and send them when the device buffers are no longer read.

        ``gather(i, buffer)`` fills the host buffer of the i-th array.
        """
        self.wait()
        for i, source in enumerate(self.source):
            gather(i, source[:rows])
        self.queue.copying_waits(self.used)
        both = zip(self.source, self.target, strict=True)
        try:
            self.placed = tuple(self.queue.send(source[:rows], target) for source, target in both)
        finally:  # copies that were begun go on after an exception
            self.sent = self.queue.copied()


def streamed(run: Run, make_queue: Callable[[], CopyQueue], concat: Callable[[list[Array]], Array]) -> Run:
    """``run`` for data that may lie on the host; then the rows of a few steps at a time are sent to the device.

    While these steps compute, the host gathers the rows of the next steps in pinned memory, and the copy queue sends
    them. Each step gets the same rows as with data on the device, so the results have the same bits.
    """
    return StreamedRun(run, _run_from_host(run, make_queue, concat))


@dataclass(frozen=True)
class StreamedRun:
    """A `Run` that runs chunks by ``run``, or by ``from_host`` if their data lie on the host."""

    run: Run
    from_host: Run

    def __call__(self, state: State, data: Data, order: np.ndarray, draw: Draw) -> tuple[State, Array]:
        """Run the chunk."""
        return (self.from_host if _on_host(data) else self.run)(state, data, order, draw)

    def calls(self, state: State, data: Data, order: np.ndarray, draw: Draw) -> Calls[tuple[Any, ...]]:
        """The same, with the calls of compiled code handed out, if ``run`` has some and the data are on the device."""
        if _on_host(data) or not hasattr(self.run, "calls"):
            return self(state, data, order, draw)
        return (yield from self.run.calls(state, data, order, draw))


def _on_host(data: Data) -> bool:
    return all(isinstance(array, np.ndarray) for array in data)


def _run_from_host(run: Run, make_queue: Callable[[], CopyQueue], concat: Callable[[list[Array]], Array]) -> Run:
    pairs: list[BufferPair] = []

    def run_from_host(state: State, data: Data, order: np.ndarray, draw: Draw) -> tuple[State, Array]:
        if not pairs:
            queue = make_queue()
            pairs.extend((BufferPair(queue), BufferPair(queue)))
        for pair in pairs:  # steps of a chunk that failed may still read the buffers, and left no mark
            pair.used = pair.queue.computed()
        chunks = split(order, draw, order.shape[1] * sum(array[:1].nbytes for array in data), BUFFER_BYTES)
        longest = max(chunk_order.size for chunk_order, _ in chunks)

        def load(k: int) -> None:
            rows, pair = chunks[k][0].reshape(-1), pairs[k % 2]
            pair.fit(data, longest)
            pair.load(rows.size, lambda i, buffer: np.take(data[i], rows, 0, buffer, "clip"))

        def progress(state: State) -> Progress:
            load(0)
            for k, (chunk_order, chunk_draw) in enumerate(chunks):
                if k + 1 < len(chunks):
                    load(k + 1)
                pair = pairs[k % 2]
                pair.queue.computing_waits(pair.sent)
                state, losses = run(state, pair.placed, numbered(chunk_order), chunk_draw)
                # First, as the steps are done and their state is written, even if there is no memory for a mark.
                yield state, losses, chunk_order.shape[0]
                pair.used = pair.queue.computed()

        try:
            return collect(state, progress(state), joined(concat))
        except ChunkError:
            for pair in pairs:  # the buffers may be freed with the model, so wait for all copies
                with suppress(Exception):  # of a broken device, whose error is raised below
                    pair.wait()
            raise

    return run_from_host


def sent_whole(queue: CopyQueue, x: np.ndarray, dtype: Any) -> Array:
    """A copy of ``x`` on the device, through two small pinned buffers in turn, converted on the way."""
    target = queue.device(x.shape, dtype)
    queue.copying_waits(queue.computed())  # see `BufferPair.fit`
    row_bytes = math.prod(x.shape[1:]) * np.dtype(dtype).itemsize
    ranges = even_ranges(x.shape[0], row_bytes, BUFFER_BYTES)
    longest = max(stop - start for start, stop in ranges)
    buffers = [queue.host((longest, *x.shape[1:]), dtype) for _ in range(min(2, len(ranges)))]
    marks: list[Any] = []
    try:
        for k, (start, stop) in enumerate(ranges):
            if k >= 2:
                queue.host_waits(marks[k - 2])
            buffer = buffers[k % 2][: stop - start]
            np.copyto(buffer, x[start:stop], casting="unsafe")
            queue.send(buffer, target[start:stop, ...])
            marks.append(queue.copied())
    finally:  # wait for all copies: the buffers are freed here, also by an exception, and later work reads the target
        queue.host_waits(queue.copied())
    return target
