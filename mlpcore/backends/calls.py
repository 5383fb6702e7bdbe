"""Work that hands out its calls of compiled code: done one after the other, or those of several works side by side."""

from collections.abc import Callable, Generator, Sequence
from contextvars import copy_context
from typing import Any, TypeVar

Result = TypeVar("Result")
Call = Callable[[], None]
# A generator that yields calls. It goes on once a call is done; an error of the call is raised where it was yielded.
Calls = Generator[Call, None, Result]
# Does several calls; returns the error of each, None where it raised none.
Together = Callable[[Sequence[Call]], list[Exception | None]]


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


def side_by_side(works: Sequence[Calls[Any]], together: Together) -> list[Any]:
    """The results of several works, whose calls ``together`` does.

    An error that a work raises ends all of them. Each has context variables of its own (NumPy's handling of
    floating-point errors is one), as works begin and end within each other's contexts.
    """
    results: list[Any] = [None] * len(works)
    contexts = [copy_context() for _ in works]
    waiting: dict[int, Call] = {}

    def advance(number: int, action: Callable[..., Call], *arguments: Any) -> None:
        try:
            waiting[number] = contexts[number].run(action, *arguments)
        except StopIteration as end:
            waiting.pop(number, None)
            results[number] = end.value

    try:
        for number, work in enumerate(works):
            advance(number, next, work)
        while waiting:
            numbers, calls = list(waiting), list(waiting.values())
            for number, error in zip(numbers, together(calls), strict=True):
                if error is None:
                    advance(number, works[number].send, None)
                else:
                    advance(number, works[number].throw, error)
    finally:
        for number, work in enumerate(works):
            contexts[number].run(work.close)
    return results
