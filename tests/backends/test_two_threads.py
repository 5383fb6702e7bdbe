"""Two fits at once in two threads on one device have the bits of each alone: rows on the device, streamed, captured.

What they share are the default stream, CuPy's pools, loaded kernels and, within a backend, the stream for copies. The
emulated device also looks for memory that two streams touch in no order (RACES), and copies as late as it may (LAZY).
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from threading import Barrier
from typing import Any

import numpy as np
import pytest
from devices import open_place
from fitting import EVERYTHING, FIT, NET, X, Y, assert_same, make, state_of, untimed, with_extras

import mlpcore as mc
from mlpcore.backends import streaming
from mlpcore.backends.backend import Backend

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def cupy() -> Backend:
    return open_place("cupy")


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows stream in pieces of two steps."""
    monkeypatch.setattr(streaming, "BUFFER_BYTES", 2 * 5 * 8 * (3 + 2 + 1))


def made(**words: Any) -> Callable[[Backend, int], mc.Model]:
    return lambda backend, seed: make(NET, backend=backend, **EVERYTHING | {"seed": seed} | words)


MODELS: dict[str, Callable[[Backend, int], mc.Model]] = {
    "fit": made(),
    "captured": made(compile=True),
    "eager": made(compile=False),
    "streamed": lambda backend, seed: made()(with_extras(backend, free_memory=lambda: 0), seed),
}


def work(model: mc.Model) -> tuple[Any, ...]:
    """Fit twice, and predict; the numbers and the state. It is read in this thread, on whose stream it is computed."""
    histories = [untimed(model.fit(X, Y, epochs=2, **FIT)) for _ in range(2)]
    return histories, model.evaluate(X, Y), model.predict(X), state_of(model)


def own_stream() -> AbstractContextManager[Any]:
    """A stream that does not wait for the default one."""
    import cupy

    return cupy.cuda.Stream(non_blocking=True)


@pytest.mark.parametrize("streams", ["default", "own"])
@pytest.mark.parametrize("one_backend", [True, False])
@pytest.mark.parametrize("names", [("fit", "fit"), ("captured", "captured"), ("streamed", "streamed"),
                                   ("captured", "streamed"), ("eager", "streamed")])  # fmt: skip
def test_two_fits_at_once(names: tuple[str, str], one_backend: bool, streams: str, cupy: Backend) -> None:
    expected = [work(MODELS[name](cupy, seed)) for seed, name in enumerate(names)]
    begin = Barrier(2)

    def fit(seed: int) -> tuple[Any, ...]:
        with own_stream() if streams == "own" else nullcontext():
            model = MODELS[names[seed]](cupy if one_backend else mc.get_backend("cupy"), seed)
            begin.wait()
            return work(model)

    with ThreadPoolExecutor(2) as threads:
        for found, right in zip(threads.map(fit, range(2)), expected, strict=True):
            assert found[:2] == right[:2]
            np.testing.assert_array_equal(found[2], right[2])
            assert_same(found[3], right[3])
