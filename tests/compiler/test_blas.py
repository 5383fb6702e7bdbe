"""Products for compiled code: whichever BLAS is found, and loops without one; and how BLAS is kept to one thread."""

import ctypes
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from compiled import needs_compiler
from processes import holds_in_child, needs_fork

from mlpcore.compiler import blas, blas_threads
from mlpcore.compiler.blas import Blas
from mlpcore.compiler.blas_threads import Threads, single_threaded
from mlpcore.compiler.build import build
from mlpcore.compiler.gemm import as_ilp64

pytestmark = needs_compiler
needs_scipy = pytest.mark.skipif(
    find_spec("scipy") is None, reason="scipy is not installed; the extra `sklearn` brings it"
)
WAYS: dict[str, Callable[[], Blas | None]] = {
    "numpy's": blas.numpy_blas,
    "scipy's by its capsules": blas.scipy_blas,
    "scipy's with 32-bit integers": lambda: blas.library_blas(blas.scipy_library(), False),
    "loops": blas.loop_blas,
}
SHAPES = [
    (1, 1, 1),
    (1, 5, 3),
    (4, 1, 7),
    (3, 4, 5),
    (65, 66, 67),
    (7, 130, 64),
    (2, 64, 129),
    (33, 3, 1),
    (5, 20, 300),
    (0, 3, 2),
]
ways = pytest.mark.parametrize(
    "way", [pytest.param(name, marks=[needs_scipy] if "scipy" in name else []) for name in WAYS]
)


@pytest.fixture(autouse=True)
def bound_again() -> Iterator[None]:
    """Functions with 32-bit integers stand behind one call for the whole process: the right ones again at the end."""
    yield
    blas.find.__wrapped__()


def gemm(way: str, dtype: str) -> Any:
    """The function as Python calls it; skipped where this machine's libraries have no such names."""
    found = WAYS[way]()
    if found is None:
        pytest.skip("the library has no BLAS under names that are known")
    whole, pointer = ctypes.c_int64, ctypes.c_void_p
    real = ctypes.c_float if dtype == "float32" else ctypes.c_double
    types = [ctypes.c_int] * 3 + [whole] * 3 + [real, pointer, whole, pointer, whole, real, pointer, whole]
    return ctypes.CFUNCTYPE(None, *types)(found.sgemm if dtype == "float32" else found.dgemm)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@ways
def test_products_of_all_orders_and_strides(way: str, dtype: str) -> None:
    """c = alpha a b + beta c; what lies between the rows stays, and with beta = 0 the old c is not read."""
    function, draws = gemm(way, dtype), np.random.default_rng(0)
    bound = 1e-5 if dtype == "float32" else 1e-13
    for (m, n, k), left, right, more in itertools.product(SHAPES, (111, 112), (111, 112), (0, 3)):
        a = draws.normal(size=(m, k) if left == 111 else (k, m)).astype(dtype)
        b = draws.normal(size=(k, n) if right == 111 else (n, k)).astype(dtype)
        wide_a, wide_b = (np.pad(x, ((0, 0), (0, more)), constant_values=np.nan) for x in (a, b))
        for alpha, beta in ((1.0, 0.0), (1.0, 1.0), (0.5, -2.0)):
            c = np.full((m, n + more), 7.0, dtype)
            c[:, :n] = np.nan if beta == 0 else draws.normal(size=(m, n))
            expected = alpha * ((a if left == 111 else a.T) @ (b if right == 111 else b.T))
            expected = expected + (beta * c[:, :n] if beta else 0)
            arguments = [m, n, k, alpha, wide_a.ctypes.data, max(1, wide_a.shape[1])]
            arguments += [wide_b.ctypes.data, max(1, wide_b.shape[1]), beta, c.ctypes.data, n + more]
            function(101, left, right, *arguments)
            np.testing.assert_allclose(c[:, :n], expected, rtol=bound, atol=bound * k)
            assert np.all(c[:, n:] == 7)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@ways
def test_what_is_not_finite_reaches_the_result_past_zeros(way: str, bad: float) -> None:
    function = gemm(way, "float64")
    a, b, c = np.array([[0.0, 1.0], [1.0, 1.0]]), np.array([[bad, 1.0], [2.0, 3.0]]), np.zeros((2, 2))
    function(101, 111, 111, 2, 2, 2, 1, a.ctypes.data, 2, b.ctypes.data, 2, 0, c.ctypes.data, 2)
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(c, a @ b)


@pytest.mark.parametrize("way", ["cblas", "fortran"])
def test_dimensions_that_32_bits_do_not_hold(way: str) -> None:
    """They are not cut: the function behind, which would get a 1 for 2^32 + 1, is not called."""
    wrong = build("void wrong(void) {}").wrong
    address = ctypes.cast(wrong, ctypes.c_void_p).value
    pair = as_ilp64(way, blas.Pair(address, address))
    whole, pointer = ctypes.c_int64, ctypes.c_void_p
    types = [ctypes.c_int] * 3 + [whole] * 3
    types += [ctypes.c_double, pointer, whole, pointer, whole, ctypes.c_double, pointer, whole]
    function = ctypes.CFUNCTYPE(None, *types)(pair.double)
    for changed in (0, 1, 2):
        a, b, c = np.array([2.0, 3.0]), np.array([5.0, 7.0]), np.zeros(1)
        steps = [2**32 + 2 if place == changed else least for place, least in enumerate((2, 1, 1))]
        function(
            101, 111, 111, 1, 1, 1, 1, a.ctypes.data, steps[0], b.ctypes.data, steps[1], 0, c.ctypes.data, steps[2]
        )
        assert c == [10.0]


@pytest.mark.parametrize(("wide", "whole"), [(True, "int64_t"), (False, "int")])
def test_integers_behind_a_name_that_says_nothing_are_as_numpy_was_built(wide: bool, whole: str) -> None:
    text = "#include <stdint.h>\n"
    for letter, real in (("s", "float"), ("d", "double")):
        text += f"""
void cblas_{letter}gemm(int order, int ta, int tb, I m, I n, I k, {real} alpha, const {real} *a, I lda, const {real} *b,
    I ldb, {real} beta, {real} *c, I ldc) {{
  for (I i = 0; i < m; i++) for (I j = 0; j < n; j++) {{
    c[i * ldc + j] = 0;
    for (I p = 0; p < k; p++) c[i * ldc + j] += a[i * lda + p] * b[p * ldb + j];
  }}
}}""".replace("I ", f"{whole} ")
    library = build(text)
    found = blas.library_blas(library, wide)
    assert found is not None and found.name == "cblas_?gemm"
    own = ctypes.cast(library.cblas_sgemm, ctypes.c_void_p).value
    assert (found.sgemm == own) is wide


def test_a_library_that_multiplies_wrongly_is_not_taken() -> None:
    text = "void cblas_sgemm64_(void) {}\nvoid cblas_dgemm64_(void) {}\n"
    assert blas.library_blas(build(text), True) is None
    assert blas.library_blas(build("int other;"), True) is None


@needs_scipy
@pytest.mark.parametrize("change", [(b"int *", b"long *"), (b"_blas_s *", b"_blas_c *"), (b"void", b"int")])
def test_a_capsule_of_other_types_is_not_called(change: tuple[bytes, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    from scipy.linalg import cython_blas

    api, table = ctypes.pythonapi, cython_blas.__pyx_capi__
    name = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(("PyCapsule_GetName", api))(table["sgemm"])
    made = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
    other = name.replace(*change)
    assert other != name
    monkeypatch.setitem(table, "sgemm", made(("PyCapsule_New", api))(1, other, None))
    assert blas.scipy_blas() is None


def test_what_is_looked_for_in_which_order(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise ImportError

    order = []
    for function in ("numpy_blas", "scipy_blas", "loop_blas"):
        found = blas.find.__wrapped__()
        order.append(found and found.name)
        monkeypatch.setattr(blas, function, missing if function == "numpy_blas" else lambda: None)
    assert order[1:] == [blas.SCIPY if find_spec("scipy") else "loops", "loops"]
    assert order[0] not in order[1:] and blas.find.__wrapped__() is None


@pytest.fixture
def threads() -> Iterator[Callable[[], list[int]]]:
    """The numbers of threads, which are 3 at first."""
    settings = blas_threads.thread_settings()
    if not settings:
        pytest.skip("the threads of this BLAS cannot be set")
    before = [one.get() for one in settings]
    for one in settings:
        one.set(3)
    yield lambda: [one.get() for one in settings]
    for one, number in zip(settings, before, strict=True):
        one.set(number)


def test_one_thread_while_anybody_is_inside(threads: Callable[[], list[int]]) -> None:
    with single_threaded():
        assert set(threads()) == {1}
        with single_threaded():
            assert set(threads()) == {1}
        assert set(threads()) == {1}
    assert set(threads()) == {3}


def test_an_error_inside_leaves_as_well(threads: Callable[[], list[int]]) -> None:
    with pytest.raises(ZeroDivisionError), single_threaded(), single_threaded():
        raise ZeroDivisionError
    assert set(threads()) == {3}


@contextmanager
def another_thread_inside() -> Iterator[None]:
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with single_threaded():
            inside.set()
            leave.wait()

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait()
    try:
        yield
    finally:
        leave.set()
        thread.join()


def test_the_last_of_two_threads_restores(threads: Callable[[], list[int]]) -> None:
    with ExitStack() as other:
        with single_threaded():
            other.enter_context(another_thread_inside())
        assert set(threads()) == {1}
    assert set(threads()) == {3}


def test_many_threads_that_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a library that takes its time to be set."""
    number, seen = [3], set()

    def put(new: int) -> None:
        time.sleep(1e-3)
        number[0] = new

    def other() -> None:
        for _ in range(30):
            with single_threaded():
                seen.add(number[0])

    monkeypatch.setattr(blas_threads, "thread_settings", lambda: (Threads(lambda: number[0], put),))
    running = [threading.Thread(target=other) for _ in range(4)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert seen == {1} and number == [3]


@needs_fork
def test_a_child_has_only_the_calls_of_the_thread_that_forked(threads: Callable[[], list[int]]) -> None:
    def used_again() -> bool:
        with single_threaded():
            alone = set(threads()) == {1}
        return alone and set(threads()) == {3}

    def left() -> bool:
        stays = set(threads()) == {1}
        context.__exit__()
        return stays and set(threads()) == {3}

    with another_thread_inside():
        assert holds_in_child(lambda: set(threads()) == {3} and used_again())
        with (context := single_threaded()):
            assert holds_in_child(left)
            assert set(threads()) == {1}
        assert set(threads()) == {1}
    assert set(threads()) == {3} and used_again()
