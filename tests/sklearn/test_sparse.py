"""Sparse rows in chunks of steps: each step sees the dense rows and the noise that it sees without."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed; the extra `sklearn` brings it")

import scipy.sparse as sp

from mlpcore.backends import get_backend
from mlpcore.backends.run import ChunkError
from mlpcore.sklearn import sparse

X = np.arange(60.0).reshape(20, 3) * (np.arange(60).reshape(20, 3) % 4 == 0)
DATA = (sp.csr_array(X), np.arange(20), np.linspace(1, 2, 20))
ORDER = np.random.default_rng(0).integers(0, 20, (7, 4))


@pytest.fixture(autouse=True)
def two_steps_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparse, "BLOCK_BYTES", 2 * 4 * 3 * 8 + 1)


def test_steps_take_the_rows_and_the_noise_that_are_theirs() -> None:
    seen: list[Any] = []

    def run(state: int, data: tuple, order: np.ndarray, draw: Any) -> tuple[int, np.ndarray]:
        seen.extend([*(array[rows] for array in data), draw(i)] for i, rows in enumerate(order))
        return state + len(order), np.arange(state, state + len(order))

    state, losses = sparse.densified(run, get_backend("numpy"))(0, DATA, ORDER, lambda i: 10 + i)
    assert state == 7
    np.testing.assert_array_equal(losses, np.arange(7))
    for i, (x, target, weights, noise) in enumerate(seen):
        np.testing.assert_array_equal(x, X[ORDER[i]])
        np.testing.assert_array_equal(target, DATA[1][ORDER[i]])
        np.testing.assert_array_equal(weights, DATA[2][ORDER[i]])
        assert noise == 10 + i
    assert len(seen) == 7


@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize("at", [0, 2, 6])
def test_a_failure_tells_the_whole_steps_before_it(at: int, within: bool) -> None:
    cause = MemoryError("too little")

    def run(state: int, data: tuple, order: np.ndarray, draw: Any) -> tuple[int, np.ndarray]:
        if state == at and within:
            raise ChunkError(state, 0) from cause
        if state == at:
            raise cause
        return state + len(order), np.zeros(len(order))

    with pytest.raises(ChunkError) as caught:
        sparse.densified(run, get_backend("numpy"))(0, DATA, ORDER, lambda i: ())
    assert (caught.value.state, caught.value.steps) == (at, at) and caught.value.__cause__ is cause
