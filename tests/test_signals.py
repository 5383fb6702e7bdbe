"""Signals that wait: handlers run at the end of a context, in their order, and everything is as before.

Signals that pass: what a handler raises leaves the context, whatever is caught within, as an error of the handler.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import Any

import pytest

from mlpcore.signals import from_a_handler, handlers, signals_pass, signals_wait

came: list[int] = []


@pytest.fixture(autouse=True)
def own_handlers() -> Iterator[None]:
    """Handlers of SIGTERM, which notes that it came, and of SIGINT, which also raises an error."""

    def note(number: int, _: object) -> None:
        came.append(number)
        if number == signal.SIGINT:
            raise KeyboardInterrupt

    came.clear()
    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_they_wait_for_the_end_and_come_in_their_order() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), signals_wait():
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
            signal.raise_signal(number)
        assert came == []
    assert came == [signal.SIGTERM, signal.SIGTERM, signal.SIGINT]
    assert signal.getsignal(signal.SIGTERM) is before
    signal.raise_signal(signal.SIGTERM)
    assert len(came) == 4, "at once again"


def test_they_come_after_an_error_too() -> None:
    with pytest.raises(ValueError, match="mine"), signals_wait():
        signal.raise_signal(signal.SIGTERM)
        raise ValueError("mine")
    assert came == [signal.SIGTERM]
    with pytest.raises(KeyboardInterrupt) as raised, signals_wait():
        signal.raise_signal(signal.SIGINT)
        raise ValueError("mine")
    assert isinstance(raised.value.__context__, ValueError)


def test_within_another_they_wait_for_the_end_of_that() -> None:
    with signals_wait():
        with signals_wait():
            signal.raise_signal(signal.SIGTERM)
        assert came == []
    assert came == [signal.SIGTERM]


BOTH = pytest.mark.parametrize("context", [signals_wait, signals_pass])


@BOTH
@pytest.mark.parametrize("how", [signal.SIG_DFL, signal.SIG_IGN])
def test_the_systems_own_actions_stay(how: signal.Handlers, context: Callable[[], AbstractContextManager]) -> None:
    signal.signal(signal.SIGTERM, how)
    with context():
        assert signal.getsignal(signal.SIGTERM) is how
    assert signal.getsignal(signal.SIGTERM) is how


@BOTH
def test_nothing_changes_in_other_threads(context: Callable[[], AbstractContextManager]) -> None:
    """Python runs handlers in the main thread only, and lets no other thread set them."""
    entered: list[bool] = []

    def work() -> None:
        with context():
            entered.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert entered == [True]


class Late(Exception):
    """What a handler raises."""


def late(*_: Any) -> None:
    """A handler that raises an error with a cause of its own."""
    raise Late from KeyError("why")


class Handler:
    """An object, and its method, that handle signals."""

    def __call__(self, *_: Any) -> None:
        """As `late`."""
        raise Late

    method = __call__


def test_what_a_handler_raises_leaves_though_all_is_caught() -> None:
    signal.signal(signal.SIGTERM, late)
    after: list[int] = []
    with pytest.raises(Late) as raised, signals_pass():
        with suppress(Exception):
            signal.raise_signal(signal.SIGTERM)
        after.append(1)
    assert after == [] and isinstance(raised.value.__cause__, KeyError)
    assert signal.getsignal(signal.SIGTERM) is late


def test_it_leaves_contexts_within_contexts_and_after_they_have_waited() -> None:
    signal.signal(signal.SIGTERM, late)
    after: list[int] = []
    with pytest.raises(Late), signals_pass():
        with suppress(Exception), signals_pass(), suppress(Exception), signals_wait():
            signal.raise_signal(signal.SIGTERM)
            after.append(1)
        after.append(2)
    assert after == [1]


def test_other_errors_are_left_alone() -> None:
    """Those of the code within, Ctrl-C, and what comes afterwards."""
    with signals_pass(), suppress(ValueError):
        raise ValueError
    with pytest.raises(ValueError, match="mine"), signals_pass():
        raise ValueError("mine")
    with pytest.raises(KeyboardInterrupt), signals_pass(), suppress(Exception):
        signal.raise_signal(signal.SIGINT)
    with signals_pass():
        signal.raise_signal(signal.SIGTERM)
    assert came == [signal.SIGINT, signal.SIGTERM]


@pytest.mark.parametrize("handler", [late, Handler(), Handler().method, partial(late, "more"), partial(Handler())])
def test_errors_of_handlers_are_known(handler: Any) -> None:
    signal.signal(signal.SIGTERM, handler)
    with pytest.raises(Late) as raised:
        signal.raise_signal(signal.SIGTERM)
    assert from_a_handler(raised.value)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    assert not from_a_handler(raised.value), "of no handler now"
    assert not from_a_handler(ValueError())


@pytest.mark.parametrize("first", ["inner", "outer"])
def test_contexts_that_end_in_any_order(first: str) -> None:
    """The inner one ends when it is removed, as where its end is interrupted."""
    before = signal.getsignal(signal.SIGTERM)
    outer, inner = (handlers({signal.SIGTERM: function}) for function in (late, Handler()))
    outer.__enter__()
    outer_handler = signal.getsignal(signal.SIGTERM)
    inner.__enter__()
    if first == "inner":
        del inner
        assert signal.getsignal(signal.SIGTERM) is outer_handler
    outer.__exit__(None, None, None)
    inner = None
    assert signal.getsignal(signal.SIGTERM) is before


@BOTH
def test_what_a_handler_sets_stays(context: Callable[[], AbstractContextManager]) -> None:
    """As one that lets a second Ctrl-C end the program."""

    def once(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_IGN)

    signal.signal(signal.SIGTERM, once)
    with context():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN


def test_each_of_several_that_waited_is_handled() -> None:
    signal.signal(signal.SIGALRM, late)
    with pytest.raises(Late), signals_wait():
        signal.raise_signal(signal.SIGALRM)
        signal.raise_signal(signal.SIGTERM)
    assert came == [signal.SIGTERM]
