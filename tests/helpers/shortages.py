"""Calls of the library that run out of memory on purpose, and what is left of them.

Allocations fail on the emulated device (`cuda_on_cpu`) or on the host (`host_allocations`), which have the same two
functions here.
"""

import copy
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from fitting import assert_same, state_of, with_extras

import mlpcore as mc
from mlpcore.backends.backend import Backend
from mlpcore.backends.calls import Calls, alone
from mlpcore.errors import MlpcoreError

State = dict[str, np.ndarray]
# Warnings in the place of an error: CuPy copies without pinned memory, steps are launched one by one. The last two
# are those of an estimator's short fit.
ALLOWED = ("Using synchronous transfer", "steps are launched one by one, as they cannot be captured")
ALLOWED += ("Stochastic Opt", "lbfgs failed")


@dataclass(frozen=True)
class Case:
    """A call on an object, both made anew for every shortage; ``call`` returns plain numbers.

    ``make(backend)`` is the object, ``models`` the networks in it and ``states`` all that the call may change. After an
    error they stand where they stood before, or with ``steps`` at any whole step of the call, whose weights may be
    those of the best epoch with ``restores``. ``ours``: the error is an `OutOfMemoryError`, not only a MemoryError.
    """

    make: Callable[[Backend], Any]
    call: Callable[[Any], Any]
    steps: bool = False
    ours: bool = True
    restores: bool = False
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
        if hasattr(self.run, "calls"):
            state, *others = yield from self.run.calls(*arguments)
        else:
            state, *others = self.run(*arguments)
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


def assert_on(states: list[State], trails: list[list[State]], restores: bool) -> None:
    """Each network stands at a state of its trail: that of as many steps as it has done.

    ``restores``: its weights may be those of an earlier step, which `mlpcore.EarlyStopping` has put back.
    """
    for state, trail in zip(states, trails, strict=True):
        done = int(state["step"] - trail[0]["step"]) if len(trail) > 1 else 0
        reached = trail[done]
        if restores and (best := [old for old in trail if same(weights(old), weights(state))]):
            reached = reached | weights(best[0])
        assert_same(state, reached, but=("epoch", "step") if done else ())


def weights(state: State) -> State:
    """What predictions depend on: parameters, running statistics and average, as `mlpcore.typing.State` orders them."""
    return {name: leaf for name, leaf in state.items() if name.split(".")[0] in ("0", "1", "3")}


def assert_one_clear_error(error: BaseException, place: str) -> None:
    """An OutOfMemoryError that says where and what to do, caused by the library's own error and by no other of ours.

    ``place`` is a pattern of the place's name.
    """
    assert type(error) is mc.OutOfMemoryError, repr(error)
    assert re.match(f"out of memory on {place}", str(error)) and re.search(r"batch|free more", str(error)), error
    chain: list[BaseException] = [error]
    while (last := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(last)
    assert len(chain) > 1 and not any(isinstance(one, MlpcoreError) for one in chain[1:]), chain


def allocations(device: Any, call: Callable[[], Any]) -> int:
    """How many allocations a call makes on ``device`` when CuPy's pools are empty."""
    before = device.counts()["allocations"]
    with empty_pools(), device.failing_allocations(0, 0):
        call()
    return device.counts()["allocations"] - before


@contextmanager
def empty_pools() -> Iterator[None]:
    """A context that begins with empty pools of CuPy. A pool that is emptied still has what is free beside arrays."""
    cupy = sys.modules.get("cupy")
    before = cupy and cupy.cuda.get_allocator()
    if cupy is None or not isinstance(getattr(before, "__self__", None), cupy.cuda.MemoryPool):
        yield
        return
    cupy.get_default_pinned_memory_pool().free_all_blocks()
    try:
        cupy.cuda.set_allocator(cupy.cuda.MemoryPool().malloc)
        yield
    finally:
        cupy.cuda.set_allocator(before)


def caught(device: Any, call: Callable[[], Any], first: int, number: int) -> tuple[Any, BaseException | None]:
    """The result of a call whose ``first``-th allocation fails, and ``number`` in all, or the error that it raises."""
    with empty_pools(), warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("always")
        try:
            with device.failing_allocations(first, number):
                result, error = call(), None
        except Exception as raised:
            result, error = None, raised
    others = [str(one.message) for one in noted if not str(one.message).startswith(ALLOWED)]
    assert not others, others
    return result, error


def survive(case: Case, backend: Backend, device: Any, place: str, in_a_row: int, most: int) -> int:
    """Let allocations of a case fail on ``device``, whose ``place`` errors name: each in turn, but ``most`` of them.

    Returns how many of these were an error. ``in_a_row`` fail each time.
    """
    expected, trails = case.result(case.make(backend)), case.trails(backend)
    later = {position([trail[0] for trail in trails]): expected}  # what a call does from where it begins
    warm, failures = case.make(backend), 0
    total = allocations(device, lambda: case.call(warm))
    for first in some(-(-total // in_a_row), most):
        thing = case.make(backend)
        result, error = caught(device, lambda thing=thing: case.call(thing), (first - 1) * in_a_row + 1, in_a_row)
        states = case.states(thing)
        if error is None:
            assert same((result, states), expected), f"{first} of {total}"
            continue
        failures += 1
        if case.ours:
            assert_one_clear_error(error, place)
        else:
            assert isinstance(error, MemoryError), repr(error)
        assert_on(states, trails, case.restores)
        if (begin := position(states)) not in later:
            later[begin] = case.result(copy.deepcopy(thing))
        assert same(case.result(thing), later[begin]), f"{first} of {total}"
    return failures


def some(total: int, most: int) -> list[int]:
    """Numbers from 1 to ``total``: at most so many, evenly spread, with the first and the last."""
    return sorted({round(number) for number in np.linspace(1, total, min(most, total))})
