"""Calls of bound steps: the chunk of one network, or those of several networks side by side."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any

from mlpcore.backends.calls import Call, Calls, one_by_one, side_by_side
from mlpcore.backends.compiled.bound import blas_threads
from mlpcore.backends.state_lock import StateLock, writing_all
from mlpcore.compiler import pool
from mlpcore.compiler.blas_threads import single_threaded
from mlpcore.compiler.chunk import Steps
from mlpcore.compiler.numpy_calls import NumpyCalls
from mlpcore.compiler.program import BoundProgram

SECONDS = 0.05  # compiled code returns after the first step that ends later than this, so that Python handles signals


@dataclass(frozen=True)
class ChunkCall:
    """A call that runs steps of a chunk, as many as there is time for; ``steps.done`` counts them."""

    bound: BoundProgram | NumpyCalls
    steps: Steps
    largest_product: int
    lock: StateLock  # of the state that the steps overwrite

    def __call__(self) -> None:
        """Run the steps."""
        with self.lock.writing(), blas_threads(self.bound, self.largest_product):
            self.bound.run_steps(self.steps, monotonic() + SECONDS)


@contextmanager
def one_thread() -> Iterator[None]:
    """A context in which each call of compiled code uses the calling thread only."""
    with pool.unused(), single_threaded():
        yield


def train_together(works: Sequence[Calls[Any]]) -> list[Any]:
    """`Compilers.side_by_side` of NumPy."""
    return side_by_side(works, run_together)


def run_together(calls: Sequence[Call]) -> list[Exception | None]:
    """Do the calls. Chunks in C run side by side, each on one thread, where there is one for every thread.

    Chunks that are fewer run one after the other, each with its tiles on all threads. The results are the same.
    """
    chunks = {
        i: (call.bound, call.steps, call.lock)
        for i, call in enumerate(calls)
        if isinstance(call, ChunkCall) and isinstance(call.bound, BoundProgram)
    }
    if len(chunks) < pool.threads() or pool.address() is None:
        return one_by_one(calls)
    with ExitStack() as jobs, single_threaded(), writing_all(lock for *_, lock in chunks.values()):
        table = [jobs.enter_context(bound.job(steps)) for bound, steps, _ in chunks.values()]
        pool.run_jobs(table, monotonic() + SECONDS)
    others = iter(one_by_one([call for i, call in enumerate(calls) if i not in chunks]))
    return [None if i in chunks else next(others) for i in range(len(calls))]
