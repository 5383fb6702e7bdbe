"""Pairs of lists of calls for two threads: products in halves, and pairs joined that need not wait for each other."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from mlpcore.backends.replay.calls import Call
from mlpcore.backends.replay.recording import Recorded
from mlpcore.backends.replay.workers import run_both

LARGE = 16e6  # multiplications of a product that makes a step worth two threads of our own
WORTH_HALVING = 1e6  # multiplications of a product that is halved in such a step


def has_large_products(nodes: list[Recorded]) -> bool:
    """Whether a step with these nodes is worth it."""
    return any(node.kind == "matmul" and multiplications(node) >= LARGE for node in nodes)


def multiplications(node: Recorded) -> float:
    """Of a product."""
    return float(node.size) * node.inputs[0].shape[-1]


def halves(call: Call) -> Call:
    """The product of two tables as two products, each of which makes half of the result's rows."""
    function, (a, b, out) = call
    if out.ndim != 2 or out.shape[0] < 2:
        return call
    half = out.shape[0] // 2
    return run_both, ([(function, (a[:half], b, out[:half]))], [(function, (a[half:], b, out[half:]))])


def joined(calls: list[Call]) -> list[Call]:
    """The calls with neighbouring pairs made one where no thread then reads or writes what the other writes."""
    made: list[Call] = []
    for function, args in calls:
        if function is run_both and made and made[-1][0] is run_both:
            before = made[-1][1]
            if not (_touch(args[0], before[1]) or _touch(args[1], before[0])):
                made[-1] = (run_both, (before[0] + args[0], before[1] + args[1]))
                continue
        made.append((function, args))
    return made


def _touch(calls: list[Call], others: list[Call]) -> bool:
    """Whether one of the lists writes what the other reads or writes."""
    reads, writes = list(_arrays(calls)), list(written(calls))
    other_reads, other_writes = list(_arrays(others)), list(written(others))
    clashes = [(writes, other_reads), (reads, other_writes), (writes, other_writes)]
    return any(np.may_share_memory(a, b) for some, more in clashes for a in some for b in more)


def written(calls: list[Call]) -> Iterator[np.ndarray]:
    """The arrays that calls write: a keyword of ufuncs, the last argument of products, the fourth of reductions, and
    the first of copies."""
    for function, args in calls:
        if isinstance(function, partial):
            yield function.keywords["out"]
        elif function is np.matmul:
            yield args[2]
        else:
            yield args[3 if len(args) == 5 else 0]


def _arrays(calls: list[Call]) -> Iterator[Any]:
    return (part for _, args in calls for part in args if isinstance(part, np.ndarray))
