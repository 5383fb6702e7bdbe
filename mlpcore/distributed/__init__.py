"""Several processes that train one model together: what they send each other, and the engines that carry it."""

from mlpcore.distributed.communicator import Communicator
from mlpcore.distributed.launched import communicator
from mlpcore.distributed.mpi import MPI

__all__ = ["MPI", "Communicator", "communicator"]
