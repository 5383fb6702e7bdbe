"""Calls of the library on CuPy that the emulated device lets run out of memory, and what is left of them."""

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from fitting import assert_same, state_of, with_extras

import mlpcore as mc
from mlpcore.backends.backend import Backend
from mlpcore.backends.calls import Calls, alone
from mlpcore.errors import MlpcoreError

State = dict[str, np.ndarray]
# Warnings in the place of an error: CuPy copies without pinned memory, steps are launched one by one. The last is that
# of an estimator's short fit.
ALLOWED = ("Using synchronous transfer", "steps are launched one by one, as they cannot be captured", "Stochastic Opt")


@dataclass(frozen=True)
class Case:
    """A call on an object, both made anew for every shortage; ``call`` returns plain numbers.

    ``make(backend)`` is the object, ``models`` the networks in it and ``states`` all that the call may change. After an
    error they stand where they stood before, or with ``steps`` at any whole step of the call.
    """

    make: Callable[[Backend], Any]
    call: Callable[[Any], Any]
    steps: bool = False
    models: Callable[[Any], list[mc.Model]] = lambda thing: thing if isinstance(thing, list) else [thing]
    states: Callable[[Any], list[State]] = lambda thing: [
        state_of(model) for model in (thing if isinstance(thing, list) else [thing])
    ]

    def result(self, thing: Any) -> tuple[Any, list[State]]:
        """What a call returns, and where it ends."""
        found = self.call(thing)
        return found, self.states(thing)

    def trails(self, backend: Backend) -> list[list[State]]:
        """Where each network may stand after an error: its states from the beginning to the end, step by step."""
        if not self.steps:
            return [[state] for state in self.states(self.make(backend))]
        thing = self.make(with_extras(backend, max_chunk_steps=1))
        trails = [[state] for state in self.states(thing)]
        for model, trail in zip(self.models(thing), trails, strict=True):
            model.trainer.run = Noting(model, model.trainer.run, trail)
        self.call(thing)
        return trails


@dataclass
class Noting:
    """A `Run` in chunks of a step, which notes the state after each."""

    model: mc.Model
    run: Any
    trail: list[State]

    def __call__(self, *arguments: Any) -> tuple[Any, Any]:
        """Run the steps."""
        return alone(self.calls(*arguments))

    def calls(self, *arguments: Any) -> Calls[tuple]:
        """The steps, their calls handed out."""
        state, *others = yield from self.run.calls(*arguments)
        before, self.model.trainer.state = self.model.trainer.state, state
        self.trail.append(state_of(self.model))
        self.model.trainer.state = before
        return state, *others


def same(one: Any, other: Any) -> bool:
    """Whether two results, arrays or plain values, have the same bits."""
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    return np.array_equal(one, other)


def position(states: list[State]) -> tuple:
    """The bits of states, by which they can be found."""
    return tuple((name, leaf.tobytes()) for state in states for name, leaf in state.items())


def assert_on(states: list[State], trails: list[list[State]]) -> None:
    """Each network stands at a state of its trail: that of as many steps as it has done."""
    for state, trail in zip(states, trails, strict=True):
        done = int(state["step"] - trail[0]["step"]) if len(trail) > 1 else 0
        assert_same(state, trail[done], but=("epoch", "step") if done else ())


def assert_one_clear_error(error: BaseException) -> None:
    """An OutOfMemoryError that says where and what to do, caused by the library's own error and by no other of ours."""
    assert type(error) is mc.OutOfMemoryError, repr(error)
    assert re.match(r"out of memory on cuda:\d", str(error)) and re.search(r"batch|free more", str(error)), error
    chain: list[BaseException] = [error]
    while (last := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(last)
    assert len(chain) > 1 and not any(isinstance(one, MlpcoreError) for one in chain[1:]), chain


def allocations(device: Any, call: Callable[[], Any]) -> int:
    """How many allocations a call makes when CuPy's pools are empty."""
    empty_pools()
    before = device.counts()["allocations"]
    call()
    return device.counts()["allocations"] - before


def empty_pools() -> None:
    """Give memory that CuPy keeps for later back to CUDA."""
    import cupy

    cupy.get_default_memory_pool().free_all_blocks()
    cupy.get_default_pinned_memory_pool().free_all_blocks()


def caught(device: Any, call: Callable[[], Any], first: int, number: int) -> tuple[Any, BaseException | None]:
    """The result of a call whose ``first``-th allocation fails, and ``number`` in all, or the error that it raises."""
    empty_pools()
    with warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("always")
        try:
            with device.failing_allocations(first, number):
                result, error = call(), None
        except Exception as raised:
            result, error = None, raised
    others = [str(one.message) for one in noted if not str(one.message).startswith(ALLOWED)]
    assert not others, others
    return result, error


def some(total: int, most: int) -> list[int]:
    """Numbers from 1 to ``total``: at most so many, evenly spread, with the first and the last."""
    return sorted({round(number) for number in np.linspace(1, total, min(most, total))})
