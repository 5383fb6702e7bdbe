"""Ranks that are threads of this process: what several processes do, without an engine that starts them."""

import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from mlpcore.distributed import Communicator


class ThreadRank(Communicator):
    """One of ``size`` threads, which meet at a barrier. Values are pickled, as messages between processes are."""

    def __init__(self, rank: int, values: list[Any], meeting: threading.Barrier) -> None:
        self.rank = self.local_rank = rank
        self.size = self.local_size = len(values)
        self.values, self.meeting, self.aborted = values, meeting, ""
        self.sums = 0  # vectors that were added up

    def gather(self, value: Any) -> list[Any]:
        self.values[self.rank] = pickle.dumps(value)
        self.meeting.wait()
        values = [pickle.loads(sent) for sent in self.values]
        self.meeting.wait()
        return values

    def allreduce_sum(self, flat: Any) -> np.ndarray:
        self.sums += 1
        return np.sum(self.gather(np.array(flat)), axis=0, dtype=np.asarray(flat).dtype)

    def broadcast(self, value: Any) -> Any:
        return self.gather(value)[0]

    def abort(self, message: str) -> None:
        self.aborted = self.aborted or message  # a process would have ended with the first
        self.meeting.abort()


def on_ranks(size: int, work: Callable[[Communicator], Any]) -> list[Any]:
    """The results of ``work(communicator)`` on so many ranks; an error that one raises is its result."""
    meeting, values = threading.Barrier(size, timeout=60), [None] * size
    ranks = [ThreadRank(rank, values, meeting) for rank in range(size)]

    def result(rank: ThreadRank) -> Any:
        try:
            return work(rank)
        except BaseException as error:
            return error

    with ThreadPoolExecutor(size) as threads:
        return list(threads.map(result, ranks))


def checked(results: list[Any]) -> list[Any]:
    """The results, if none is an error."""
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results
