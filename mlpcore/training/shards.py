"""Which rows of a batch a rank computes, and the order of rows that are divided among ranks beforehand."""

from collections.abc import Sequence

import numpy as np

from mlpcore.distributed.communicator import Communicator
from mlpcore.training.orders import Order


class Shards:
    """For ranks that all have all rows: every batch is cut into parts of about equal size, in its order.

    ``given`` says whether the ranks have rows of their own instead.
    """

    given = False

    def __init__(self, communicator: Communicator) -> None:
        self.rank, self.size = communicator.rank, communicator.size

    def __call__(self, numbers: np.ndarray) -> tuple[np.ndarray, int]:
        """The row numbers of this rank, of those of a batch, and the place in the batch of the first of them."""
        first, stop = self.range(numbers.size)
        return numbers[first:stop], first

    def range(self, rows: int) -> tuple[int, int]:
        """The places of this rank's part among so many rows: from the first to below the second."""
        return rows * self.rank // self.size, rows * (self.rank + 1) // self.size


class GivenShards(Shards):
    """For ranks with rows of their own: of the numbers of all rows, those from ``start`` to below ``stop``."""

    given = True

    def __init__(self, start: int, stop: int) -> None:
        self.start, self.stop = start, stop

    def __call__(self, numbers: np.ndarray) -> tuple[np.ndarray, int]:
        """As `Shards`, for a batch in which the rows of each rank stand together; the numbers count from 0 again."""
        own = (numbers >= self.start) & (numbers < self.stop)
        return numbers[own] - self.start, int(np.argmax(own))


def order_of_ranks(orders: Sequence[Order], rows: Sequence[int], batch_size: int) -> Order:
    """The order of an epoch for ranks with so many ``rows`` of their own, each in its order of ``orders``.

    Numbers go on from rank to rank. Every batch has of every rank about the same share of its rows, one rank after the
    other.
    """
    starts = np.concatenate([[0], np.cumsum(rows)])
    # Row i of n is at place (i + 1/2) / n of its rank's epoch: sorted, the ranks' rows are evenly mixed.
    places = np.concatenate([(np.arange(count) + 0.5) / max(count, 1) for count in rows])
    owners = np.repeat(np.arange(len(rows)), rows)[np.argsort(places, kind="stable")]
    for start in range(0, owners.size, batch_size):
        owners[start : start + batch_size].sort()
    own = [np.flatnonzero(owners == rank) for rank in range(len(rows))]

    def order(epoch: int) -> np.ndarray:
        numbers = np.empty(owners.size, np.int64)
        for rank, places_of_rank in enumerate(own):
            numbers[places_of_rank] = starts[rank] + orders[rank](epoch)
        return numbers

    return order
