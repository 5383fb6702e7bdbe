"""Rows on their way to a device: all at once where they fit, else some at a time while earlier steps compute."""

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlpcore.backends.chunks import even_ranges, joined, numbered, split
from mlpcore.backends.copy_queues import CopyQueue
from mlpcore.backends.run import ChunkError, Data, Draw, Progress, Run, collect
from mlpcore.typing import Array, State

BUFFER_BYTES = 64 << 20  # of rows in one of the two buffers: about a millisecond of copying, and little memory
DATA_FRACTION = 0.6  # of the free memory of a device, for data that stay there; steps and state take the rest


def fits_on_device(size: int, free_memory: Callable[[], int | None]) -> bool:
    """Whether data of ``size`` bytes stay on a device with ``free_memory()`` bytes; None means that all fits.

    For small data the device is not asked, since it may take longer to answer than to predict a row.
    """
    return size <= BUFFER_BYTES or (free := free_memory()) is None or size <= DATA_FRACTION * free


@dataclass
class BufferPair:
    """Buffers at both ends for every array of the data.

    ``sent`` marks the last copy, ``used`` the last reader before it.
    """

    queue: CopyQueue
    source: list[np.ndarray] = field(default_factory=list)
    target: list[Array] = field(default_factory=list)
    placed: tuple[Array, ...] = ()  # the rows that were loaded last
    sent: Any = None
    used: Any = None

    def fit(self, data: Data, rows: int) -> None:
        """Make room for so many rows of the data, where there is none yet."""
        wanted = [(array.shape[1:], array.dtype) for array in data]
        if [(buffer.shape[1:], buffer.dtype) for buffer in self.source] == wanted and self.source[0].shape[0] >= rows:
            return
        self.wait()
        self.source = [self.queue.host((rows, *shape), dtype) for shape, dtype in wanted]
        self.target = [self.queue.device((rows, *shape), dtype) for shape, dtype in wanted]
        # What computes now may still read the memory that the new buffer was made of.
        self.used = self.queue.computed()

    def wait(self) -> None:
        """Until the host's buffers have been read."""
        if self.sent is not None:
            self.queue.host_waits(self.sent)

    def load(self, rows: int, gather: Callable[[int, np.ndarray], Any]) -> None:
        """Fill the host's buffers and send them, each as soon as its last reader has done.

        ``gather(i, buffer)`` fills that of the i-th array.
        """
        self.wait()
        for i, source in enumerate(self.source):
            gather(i, source[:rows])
        self.queue.copying_waits(self.used)
        both = zip(self.source, self.target, strict=True)
        try:
            self.placed = tuple(self.queue.send(source[:rows], target) for source, target in both)
        finally:  # an exception does not end the copies that were begun
            self.sent = self.queue.copied()


def streamed(run: Run, make_queue: Callable[[], CopyQueue], concat: Callable[[list[Array]], Array]) -> Run:
    """``run`` for data that may lie on the host: then the rows of some steps at a time go to the device.

    While these steps compute, the host gathers the rows of the next into pinned memory and the copy queue sends them.
    Each step sees the same rows as with data on the device, so that the result has the same bits.
    """
    pairs: list[BufferPair] = []

    def run_from_host(state: State, data: Data, order: np.ndarray, draw: Draw) -> tuple[State, Array]:
        if not all(isinstance(array, np.ndarray) for array in data):
            return run(state, data, order, draw)
        if not pairs:
            queue = make_queue()
            pairs.extend((BufferPair(queue), BufferPair(queue)))
        for pair in pairs:  # steps of a chunk that failed may still read its rows, with no mark of theirs
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
                pair.used = pair.queue.computed()
                yield state, losses, chunk_order.shape[0]

        try:
            return collect(state, progress(state), joined(concat))
        except ChunkError:
            for pair in pairs:  # the buffers may go with the model, so no copy may be on its way
                with suppress(Exception):  # of a broken device, which has said so
                    pair.wait()
            raise

    return run_from_host


def sent_whole(queue: CopyQueue, x: np.ndarray, dtype: Any) -> Array:
    """A copy of ``x`` on the device, through two small pinned buffers in turn, converted on the way."""
    target = queue.device(x.shape, dtype)
    queue.copying_waits(queue.computed())  # as for a new buffer of a pair
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
    finally:  # the buffers go when this ends, by an exception too, and what computes next finds all in place
        queue.host_waits(queue.copied())
    return target
