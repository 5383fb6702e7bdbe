"""Work that hands out its calls of compiled code: done one after the other, or those of several works side by side."""

import os
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar

Result = TypeVar("Result")
Call = Callable[[], None]
# A generator that yields calls. It goes on once a call is done; an error of the call is raised where it was yielded.
Calls = Generator[Call, None, Result]
# Does several calls; returns the error of each, None where it raised none.
Together = Callable[[Sequence[Call]], list[Exception | None]]
# Does several works; returns their results. An error that a work raises ends all of them.
SideBySide = Callable[[Sequence[Calls[Any]]], list[Any]]


def alone(work: Calls[Result]) -> Result:
    """The result of ``work``, whose calls are done one after the other."""
    try:
        call = next(work)
        while True:
            try:
                call()
            except BaseException as error:
                call = work.throw(error)
            else:
                call = work.send(None)
    except StopIteration as end:
        return end.value


def one_after_another(works: Sequence[Calls[Any]]) -> list[Any]:
    """`SideBySide` for a library whose compiled code cannot run side by side."""
    return [alone(work) for work in works]


def one_by_one(calls: Sequence[Call]) -> list[Exception | None]:
    """`Together` for calls that cannot run side by side."""
    errors: list[Exception | None] = []
    for call in calls:
        try:
            call()
            errors.append(None)
        except Exception as error:
            errors.append(error)
    return errors


def side_by_side(works: Sequence[Calls[Any]], together: Together, threaded: bool = True) -> list[Any]:
    """The results of several works, whose calls ``together`` does.

    With ``threaded``, a thread does them, and many works are halved: meanwhile this thread runs the Python code of the
    other half. Without, all calls are done at once in this thread. An error that a work raises ends all of them.
    """
    results: list[Any] = [None] * len(works)
    # Context variables, such as NumPy's handling of floating-point errors, are those of each work: it may be suspended
    # within a `with` block that sets them.
    contexts = [copy_context() for _ in works]

    def advance(number: int, action: Callable[..., Call], argument: Any) -> Call | None:
        """The next call of a work; None at its end."""
        try:
            return contexts[number].run(action, argument)
        except StopIteration as end:
            results[number] = end.value
            return None

    def following(number: int, error: Exception | None) -> Call | None:
        work = works[number]
        return advance(number, work.send, None) if error is None else advance(number, work.throw, error)

    halved = threaded and len(works) >= 4 * (os.cpu_count() or 1)  # each half should keep all cores busy
    parts = 2 if halved else 1
    try:
        with ThreadPoolExecutor(1) as thread:
            running: deque[tuple[list[int], Callable[[], list[Exception | None]]]] = deque()

            def submit(calls: dict[int, Call | None]) -> None:
                waiting = {number: call for number, call in calls.items() if call is not None}
                if waiting:
                    do = partial(together, [*waiting.values()])
                    running.append(([*waiting], thread.submit(do).result if threaded else do))

            for part in range(parts):
                submit({number: advance(number, next, works[number]) for number in range(part, len(works), parts)})
            while running:
                numbers, errors = running.popleft()
                submit({number: following(number, error) for number, error in zip(numbers, errors(), strict=True)})
    finally:
        for number, work in enumerate(works):
            contexts[number].run(work.close)
    return results
