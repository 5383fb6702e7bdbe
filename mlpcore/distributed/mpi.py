"""Ranks that are processes of an MPI job, through mpi4py."""

import atexit
import os
import sys
import time
import traceback
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from mlpcore.distributed.communicator import Communicator
from mlpcore.errors import RankError, import_extra
from mlpcore.typing import Array

ENDED = 1  # the tag of the message of a rank whose program has ended
PAUSE = 0.001  # seconds between two looks for it


class MPI(Communicator):
    """The ranks of an MPI communicator, by default of all processes of the job. Vectors are NumPy arrays.

    It communicates through a duplicate of ``comm``, so that no message meets one of the program's own. All ranks of
    ``comm`` must make it together. MissingDependency without mpi4py.
    """

    def __init__(self, comm: Any = None) -> None:
        self.mpi = import_extra("mpi4py.MPI", "mpi", "several processes train together through mpi4py, which")
        self.comm = (self.mpi.COMM_WORLD if comm is None else comm).Dup()
        self.rank, self.size = self.comm.Get_rank(), self.comm.Get_size()
        end_job_on_error(self.mpi)
        atexit.register(self.ended)
        local = self.comm.Split_type(self.mpi.COMM_TYPE_SHARED)
        self.local_rank, self.local_size = local.Get_rank(), local.Get_size()
        share_cores(local)
        local.Free()

    def allreduce_sum(self, flat: Array) -> Array:
        """The sum of a host vector, in its own memory where that can be written."""
        total = np.require(flat, requirements=["C", "W"])
        self.comm.Allreduce(self.mpi.IN_PLACE, total)
        return total

    def broadcast(self, value: Any) -> Any:
        """The value of rank 0, on every rank."""
        return self.comm.bcast(value)

    def gather(self, value: Any) -> list[Any]:
        """The values of all ranks in order, on every rank."""
        return self.comm.allgather(value)

    def barrier(self) -> None:
        """Wait until all ranks have come here. If the program of one has ended instead, end all processes."""
        arrived, before = self.comm.Ibarrier(), (self.rank - 1) % self.size
        while not arrived.Test():
            if self.comm.Iprobe(before, ENDED):
                self.abort(f"rank {self.rank} waits in fit, but the program of rank {before} has ended")
            time.sleep(PAUSE)

    def ended(self) -> None:
        """Tell the next rank that the program of this one has ended.

        One message from each is enough: if some ranks have ended and all others wait, one of these comes next to one
        that has ended.
        """
        if not self.mpi.Is_finalized():
            self.comm.isend(None, (self.rank + 1) % self.size, ENDED)

    def abort(self, message: str) -> None:
        """Write the message and the traceback of the current error to standard error, and end all processes."""
        if sys.exc_info()[0] is not None:
            traceback.print_exc()
        end_job(self.comm, f"mlpcore: {message}")


def share_cores(local: Any) -> None:
    """Divide cores among the ranks that may use the same ones: threads of compiled code, and of BLAS.

    ``MLPCORE_NUM_THREADS`` and, for BLAS, ``OPENBLAS_NUM_THREADS`` and the like overrule.
    """
    if not hasattr(os, "sched_getaffinity"):
        return
    from mlpcore.compiler import pool  # here, so that `import mlpcore` leaves the compiler out
    from mlpcore.compiler.blas_threads import thread_settings

    cores = os.sched_getaffinity(0)
    threads = max(1, pool.threads() // local.allgather(cores).count(cores))
    os.environ.setdefault("MLPCORE_NUM_THREADS", str(threads))
    if not any(f"{name}_NUM_THREADS" in os.environ for name in ("OMP", "OPENBLAS", "MKL", "BLIS")):
        for setting in thread_settings():
            setting.set(threads)


@cache
def end_job_on_error(mpi: Any) -> None:
    """Let an error that ends one process end all of them: the others would wait for it for ever."""
    before: Callable[..., Any] = sys.excepthook

    def hook(kind: Any, error: BaseException, trace: Any) -> None:
        if issubclass(kind, RankError):
            time.sleep(1)  # so that the rank with the cause comes first, and its traceback is seen
        before(kind, error, trace)
        rank = mpi.COMM_WORLD.Get_rank()
        end_job(mpi.COMM_WORLD, f"mlpcore: rank {rank} ended with {kind.__name__}; the job ends")

    sys.excepthook = hook


def end_job(comm: Any, message: str) -> None:
    """Write the message to standard error, and end all processes."""
    print(message, file=sys.stderr, flush=True)
    time.sleep(0.3)  # a launcher that hears of the end first may drop what it has not passed on yet
    comm.Abort(1)
