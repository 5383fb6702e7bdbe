"""Ranks whose vectors are arrays of a backend: added up from device to device where that is possible."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mlpcore.backends.backend import Backend, Sums
from mlpcore.distributed.communicator import Communicator
from mlpcore.typing import Array


class OnBackend(Communicator):
    """The ranks of ``job`` with vectors on a backend; everything else goes through ``job``.

    If every rank has a device of its own and the backend connects them (CuPy by NCCL), sums go from device to device,
    and the host does not wait. Else they are copied to the host, which waits until the device has computed them.
    """

    def __init__(self, job: Communicator, backend: Backend) -> None:
        self.job, self.rank, self.size = job, job.rank, job.size
        self.local_rank, self.local_size = job.local_rank, job.local_size
        self.backend, self.connected = backend, False
        self.sums: Sums | None = None

    def connect(self) -> Sums | None:
        """The sums from device to device, None where they go through the host; all ranks call it together."""
        from socket import gethostname  # here, as one process alone never asks

        job, connect = self.job, self.backend.extras.connect()
        devices = job.gather((gethostname(), str(self.backend.device), connect is not None))
        apart = len(set(devices)) == len(devices) and all(connected for *_, connected in devices)
        return connect(job.on_first, job.size, job.rank) if connect is not None and apart else None

    def allreduce_sum(self, flat: Array) -> Array:
        """The sum of a vector of the backend."""
        if not self.connected:
            # Not before the first sum: a model that one rank makes alone, to predict, waits for nobody.
            self.sums, self.connected = self.connect(), True
        if self.sums is not None:
            return self.sums(flat)
        return self.backend.asarray(self.job.allreduce_sum(self.backend.to_numpy(flat)))

    def broadcast(self, value: Any) -> Any:
        """The value of rank 0, on every rank."""
        return self.job.broadcast(value)

    def gather(self, value: Any) -> list[Any]:
        """The values of all ranks in order, on every rank."""
        return self.job.gather(value)

    def barrier(self) -> None:
        """Wait until all ranks have come here."""
        self.job.barrier()

    @contextmanager
    def one_fit(self) -> Iterator[None]:
        """As `Communicator.one_fit`, for all models of the job."""
        with self.job.one_fit():
            yield

    def abort(self, message: str) -> None:
        """End all processes, also those that wait for a sum on their device."""
        if self.sums is not None:
            self.sums.abort()
        self.job.abort(message)


def on_backend(job: Communicator, backend: Backend) -> Communicator:
    """The communicator for vectors of a backend."""
    return job if job.size == 1 or backend.name == "numpy" else OnBackend(job, backend)
