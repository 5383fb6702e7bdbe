"""NumPy's BLAS on one thread: during calls only, counted, and put back whatever happens."""

import multiprocessing
import threading
from collections.abc import Iterator

import pytest

from mlpcore.compiler import blas

FUNCTIONS = blas._thread_functions()
pytestmark = pytest.mark.skipif(FUNCTIONS is None, reason="NumPy is linked to a BLAS whose threads cannot be set")


def threads() -> int:
    assert FUNCTIONS is not None
    return FUNCTIONS[0]()


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    """BLAS with two threads, whatever the machine has."""
    assert FUNCTIONS is not None
    before = threads()
    FUNCTIONS[1](2)
    if threads() != 2:
        pytest.skip("this BLAS has one thread")
    yield
    assert threads() == 2
    FUNCTIONS[1](before)


def test_the_first_in_sets_and_the_last_out_restores() -> None:
    with blas.single_threaded():
        assert threads() == 1
        with blas.single_threaded():
            assert threads() == 1
        assert threads() == 1
    assert threads() == 2


def test_it_is_put_back_after_an_error() -> None:
    with pytest.raises(KeyError), blas.single_threaded():
        raise KeyError
    assert threads() == 2


def test_callers_in_several_threads_are_counted() -> None:
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with blas.single_threaded():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with blas.single_threaded():
        thread.start()
        assert inside.wait(10)
    assert threads() == 1, "the other is still in"
    leave.set()
    thread.join()
    assert threads() == 2


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system does not fork")
def test_a_forked_process_has_the_threads_that_were_before() -> None:
    def child(found: multiprocessing.Queue) -> None:
        with blas.single_threaded():
            inner = threads()
        found.put((inner, threads()))

    context = multiprocessing.get_context("fork")
    found = context.Queue()
    with blas.single_threaded():
        process = context.Process(target=child, args=(found,))
        process.start()
    assert found.get(timeout=20) == (1, 2)
    process.join()
