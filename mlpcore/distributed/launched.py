"""Finds out whether a launcher such as mpirun or srun has started this process as one of several."""

import os
import sys
from functools import cache
from typing import Any

from mlpcore.distributed.communicator import Communicator
from mlpcore.distributed.mpi import MPI
from mlpcore.errors import ConfigurationError

SINGLE = Communicator()
# Numbers of processes, as MPICH and Intel MPI, Open MPI and MVAPICH set them for each process.
SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
OWNER = "MLPCORE_RANK_PROCESS"  # the process of a rank, for the processes that it starts


def communicator(distributed: Any) -> Communicator:
    """The communicator for an argument ``distributed``: "auto", None for a single process, or a communicator.

    "auto" is MPI where a launcher has started several processes.
    """
    if distributed is None:
        return SINGLE
    if isinstance(distributed, Communicator):
        return distributed
    if distributed != "auto":
        raise ConfigurationError(
            f"Model: distributed is {distributed!r}, expected 'auto', None, or a communicator such as "
            "mlpcore.distributed.MPI()"
        )
    return _job() if launched() else SINGLE


def launched() -> bool:
    """Whether this process is one of several of an MPI job.

    A process that a rank itself has started, such as a worker of a pool, is none, though it inherits the environment.
    Slurm sets the number of tasks in programs without MPI too, therefore PMIx must have been set up besides.
    """
    if os.environ.get(OWNER, str(os.getpid())) != str(os.getpid()):
        return False
    mpi = sys.modules.get("mpi4py.MPI")
    if mpi is not None and mpi.Is_initialized() and not mpi.Is_finalized():
        return bool(mpi.COMM_WORLD.Get_size() > 1)
    sizes = [os.environ.get(name, "") for name in SIZES]
    if "PMIX_RANK" in os.environ:
        sizes.append(os.environ.get("SLURM_STEP_NUM_TASKS", ""))
    return any(size.isdigit() and int(size) > 1 for size in sizes)


@cache
def _job() -> MPI:
    """The communicator of all processes of the job, the same for all models."""
    job = MPI()
    os.environ[OWNER] = str(os.getpid())
    if job.size == 1:
        raise ConfigurationError(
            "Model: a launcher has started several processes, but mpi4py sees one: it belongs to another MPI than the "
            "launcher. Start them with that of mpi4py's MPI, or make the model with distributed=None"
        )
    return job
