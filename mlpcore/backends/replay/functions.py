"""``jit`` for NumPy: a pure function of arrays is recorded when a shape comes back, and replayed from then on."""

import operator
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from mlpcore.backends.replay.calls import Call
from mlpcore.backends.replay.memory import Memory, aligned
from mlpcore.backends.replay.planning import needed
from mlpcore.backends.replay.recording import as_input
from mlpcore.backends.replay.workers import run as play
from mlpcore.trees import leaves, tree_map
from mlpcore.typing import Array, Tree

SHAPES = 8  # of x, whose programs are kept
REFUSED: Any = object()  # in the place of a program, for a function that cannot be recorded


class Recording:
    """The calls of a function for one shape of x; ``fixed`` are the very arrays that the calls read besides."""

    def __init__(self, function: Callable[..., Tree], fixed: tuple, x: Array) -> None:
        self.given, self.fixed = fixed, leaves(fixed)
        self.x = aligned(x.shape, x.dtype)
        inputs, given = tree_map(as_input, fixed), as_input(x)
        self.result = function(*inputs, given)
        results = leaves(self.result)
        places = dict(zip(leaves(inputs), self.fixed, strict=True))
        memory = Memory(needed(results), places | {given: self.x})
        memory.keep(results)
        memory.merge_parts()
        memory.overwrite_homes([])
        self.calls: list[Call] = memory.calls(memory.nodes)
        self.result = tree_map(memory.place, self.result)

    def __call__(self, x: Array) -> Tree:
        """The function's result for x, in arrays of its own."""
        np.copyto(self.x, x)
        play(self.calls)
        return tree_map(np.ndarray.copy, self.result)

    def reads(self, fixed: tuple) -> bool:
        """Whether these are the arrays that the calls read; most often they are in the very same trees."""
        if all(map(operator.is_, fixed, self.given)):
            return True
        return all(a is b for a, b in zip(leaves(fixed), self.fixed, strict=True))


def jit(function: Callable[..., Tree]) -> Callable[..., Tree]:
    """``function(*fixed, x)``, for calls in which x changes and the other arrays are mostly the same objects.

    A shape is recorded when it is seen for the second time: doing so costs as much as some calls. Where another thread
    is at work, or the function cannot be recorded, it is called as it is.
    """
    programs: dict[Any, Recording | None] = {}
    lock = threading.Lock()

    def call(*arguments: Any) -> Tree:
        *fixed, x = arguments
        if not lock.acquire(blocking=False):
            return function(*arguments)
        try:
            program = _program(function, programs, tuple(fixed), x)
            return function(*arguments) if program is None else program(x)
        finally:
            lock.release()

    return call


def _program(function: Callable, programs: dict[Any, Recording | None], fixed: tuple, x: Array) -> Recording | None:
    """The program for arrays like these; None where there is none, or not yet."""
    key = (x.shape, x.dtype)
    if key not in programs:
        if len(programs) >= SHAPES:
            programs.clear()
        programs[key] = None
        return None
    program = programs[key]
    if program is REFUSED:
        return None
    if program is None or not program.reads(fixed):
        try:
            programs[key] = program = Recording(function, fixed, x)
        except Exception:  # whatever is wrong with the function shows when it is called
            programs[key] = REFUSED
            return None
    return program
