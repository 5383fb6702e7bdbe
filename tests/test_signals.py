"""Signals that wait: handlers run at the end of a context, in their order, and everything is as before."""

import signal
import threading
from collections.abc import Iterator

import pytest

from mlpcore.signals import signals_wait

came: list[int] = []


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Handlers of SIGTERM, which notes that it came, and of SIGINT, which also raises an error."""

    def note(number: int, _: object) -> None:
        came.append(number)
        if number == signal.SIGINT:
            raise KeyboardInterrupt

    came.clear()
    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
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


@pytest.mark.parametrize("how", [signal.SIG_DFL, signal.SIG_IGN])
def test_the_systems_own_actions_stay(how: signal.Handlers) -> None:
    signal.signal(signal.SIGTERM, how)
    with signals_wait():
        assert signal.getsignal(signal.SIGTERM) is how
    assert signal.getsignal(signal.SIGTERM) is how


def test_other_threads_need_not_wait() -> None:
    """Python runs handlers in the main thread only, and lets no other thread set them."""
    entered: list[bool] = []

    def work() -> None:
        with signals_wait():
            entered.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert entered == [True]
