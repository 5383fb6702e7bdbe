"""From a recorded step to two lists of calls: what is always done, and what changes the state."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from mlpcore.backends.replay.calls import Call
from mlpcore.backends.replay.memory import Memory
from mlpcore.backends.replay.pairs import has_large_products
from mlpcore.backends.replay.recording import Recorded, RecordingError
from mlpcore.backends.replay.workers import two_threads


class Program(NamedTuple):
    """``before`` is always run; ``after`` changes the state, and is run where ``ok`` holds. ``loss`` is then there."""

    before: list[Call]
    ok: np.ndarray
    after: list[Call]
    loss: np.ndarray
    alone: bool  # whether BLAS is to keep to one thread, because the calls use two


def plan(
    state: list[tuple[Recorded, Recorded, np.ndarray]],
    ok: Recorded,
    always: set[Recorded],
    loss: Recorded,
    places: dict,
) -> Program:
    """The program of a step.

    ``state`` lists, leaf by leaf, what the step proposes, its input, and the array that holds the state from step to
    step; those in ``always`` are taken whether ok or not. ``places`` are the arrays of the other inputs. The program
    reads and overwrites the state's arrays.
    """
    if ok.ndim:
        raise RecordingError("a stack of networks, each with a condition of its own")
    changed = [leaf for leaf in state if leaf[0] is not leaf[1]]
    guarded = [leaf for leaf in changed if leaf[0] not in always]
    free = [leaf for leaf in changed if leaf[0] in always]
    sooner = needed([ok, loss, *(new for new, _, _ in free)])
    later = [node for node in needed(new for new, _, _ in guarded) if node not in set(sooner)]
    nodes = [*sooner, *later]
    threads = 2 if has_large_products(nodes) and two_threads() else 1
    memory = Memory(nodes, places | {old: home for _, old, home in state}, threads)
    memory.keep([ok, loss, *(new for new, _, _ in changed)])  # read when the calls are done
    memory.merge_parts()
    memory.overwrite_homes([leaf for leaf in guarded if leaf[0] in set(later)])
    before = memory.calls(sooner) + memory.copies(free)
    after = memory.calls(later) + memory.copies(guarded)
    return Program(before, memory.place(ok), after, memory.place(loss), alone=threads > 1)


def needed(results: Iterable[Recorded]) -> list[Recorded]:
    """All nodes that the results depend on, in the order in which they were written down."""
    found: set[Recorded] = set()
    waiting = list(results)
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting += [part for part in node.inputs if isinstance(part, Recorded)]
    return sorted(found, key=lambda node: node.order)
