"""Ranks that are processes of an MPI job, through mpi4py."""

import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np

from mlpcore.compiler import pool
from mlpcore.compiler.blas_threads import thread_settings
from mlpcore.distributed.communicator import Communicator
from mlpcore.errors import import_extra
from mlpcore.typing import Array


class MPI(Communicator):
    """The ranks of an MPI communicator, by default of all processes of the job. Vectors are NumPy arrays.

    It communicates through a duplicate of ``comm``, so that no message meets one of the program's own. All ranks of
    ``comm`` must make it together. MissingDependency without mpi4py.
    """

    def __init__(self, comm: Any = None) -> None:
        self.mpi = import_extra("mpi4py.MPI", "mpi", "several processes train together through mpi4py, which")
        self.comm = (self.mpi.COMM_WORLD if comm is None else comm).Dup()
        self.rank, self.size = self.comm.Get_rank(), self.comm.Get_size()
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
        """Wait until all ranks have come here."""
        self.comm.Barrier()

    def abort(self, message: str) -> None:
        """Write the message and the traceback of the current error to standard error, and end all processes."""
        traceback.print_exc()
        print(f"mlpcore: {message}", file=sys.stderr, flush=True)
        self.comm.Abort(1)


def share_cores(local: Any) -> None:
    """Divide cores among the ranks that may use the same ones: threads of compiled code, and of BLAS.

    ``MLPCORE_NUM_THREADS`` and, for BLAS, ``OPENBLAS_NUM_THREADS`` and the like overrule.
    """
    if not hasattr(os, "sched_getaffinity"):
        return
    cores = os.sched_getaffinity(0)
    threads = max(1, pool.threads() // local.allgather(cores).count(cores))
    os.environ.setdefault("MLPCORE_NUM_THREADS", str(threads))
    if not any(f"{name}_NUM_THREADS" in os.environ for name in ("OMP", "OPENBLAS", "MKL", "BLIS")):
        for setting in thread_settings():
            setting.set(threads)


def end_job_on_error(job: MPI) -> None:
    """Let an error that ends one process end all of them: the others would wait for it for ever."""
    before: Callable[..., Any] = sys.excepthook

    def hook(kind: Any, error: BaseException, trace: Any) -> None:
        before(kind, error, trace)
        print(f"mlpcore: rank {job.rank} ended with {kind.__name__}; the job ends", file=sys.stderr, flush=True)
        job.comm.Abort(1)

    sys.excepthook = hook
