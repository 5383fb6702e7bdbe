"""From a recorded step to two lists of calls: what is always done, and what changes the state."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from mlpcore.backends.replay.calls import Call
from mlpcore.backends.replay.memory import Memory
from mlpcore.backends.replay.pairs import has_large_products
from mlpcore.backends.replay.recording import Guarded, Recorded, RecordingError
from mlpcore.backends.replay.workers import two_threads


class Program(NamedTuple):
    """``before`` is always run; ``after`` changes the state, and is run where ``ok`` holds. ``loss`` is then there."""

    before: list[Call]
    ok: np.ndarray
    after: list[Call]
    loss: np.ndarray
    alone: bool  # whether BLAS is to keep to one thread, because the calls use two


def plan(state: list[tuple[Any, Recorded, np.ndarray]], loss: Recorded, places: dict[Recorded, np.ndarray]) -> Program:
    """The program of a step.

    ``state`` lists, leaf by leaf, what the step returned, its input, and the array that holds the state from step to
    step; ``places`` are the arrays of the other inputs. The program reads and overwrites the state's arrays.
    """
    guards = [new for new, _, _ in state if isinstance(new, Guarded)]
    if not guards:
        raise RecordingError("a step without a condition")
    guard = guards[0]
    guarded = [(new.new, old, home) for new, old, home in state if isinstance(new, Guarded) and new.new is not old]
    free = [(new, old, home) for new, old, home in state if not isinstance(new, Guarded) and new is not old]
    nodes = needed([guard.ok, loss, *(new for new, _, _ in (*guarded, *free))])
    later = [node for node in nodes if guard.begin < node.order < guard.end]
    sooner = [node for node in nodes if not guard.begin < node.order < guard.end]
    threads = 2 if has_large_products(nodes) and two_threads() else 1
    memory = Memory([*sooner, *later], places | {old: home for _, old, home in state}, threads)
    memory.keep([guard.ok, loss, *(new for new, _, _ in (*guarded, *free))])  # read when the calls are done
    memory.merge_parts()
    memory.overwrite_homes([leaf for leaf in guarded if leaf[0] in set(later)])
    before = memory.calls(sooner) + memory.copies(free)
    after = memory.calls(later) + memory.copies(guarded)
    return Program(before, memory.place(guard.ok), after, memory.place(loss), alone=threads > 1)


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
