"""Several ranks equal one process: the same parameters to rounding, and the same bits on all ranks."""

from typing import Any

import numpy as np
import pytest
from optional import optional
from rank_fits import CASES, X, fitted
from thread_ranks import checked, on_ranks

import mlpcore as mc


def numbers(history: mc.History) -> np.ndarray:
    """The history without speeds, which differ from run to run."""
    return np.array([[value for name, value in row.items() if name != "rows_per_second"] for row in history.rows])


def close(case: dict[str, Any], size: int, **words: Any) -> None:
    model, history = fitted(case, None, **words)
    found = checked(on_ranks(size, lambda ranks: fitted(case, ranks, **words)))
    first = np.asarray(found[0][0].trainer.state.params)
    for other, other_history in found:
        np.testing.assert_array_equal(np.asarray(other.trainer.state.params), first)
        assert other_history.rows == found[0][1].rows and other_history.stopped == history.stopped
        np.testing.assert_allclose(numbers(other_history), numbers(history), rtol=1e-11)
        np.testing.assert_allclose(other.predict(X), model.predict(X), rtol=0, atol=1e-12)
    np.testing.assert_allclose(first, np.asarray(model.trainer.state.params), rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize("case", CASES)
def test_ranks_equal_one_process(case: str, size: int) -> None:
    close(CASES[case], size)


@pytest.mark.parametrize("case", ["weights", "dropout", "noise of the host", "average", "few rows"])
def test_compiled_ranks_equal_one_process(case: str) -> None:
    close(CASES[case], 3, compile=True)


@pytest.mark.parametrize("case", ["weights", "dropout", "average"])
@pytest.mark.parametrize("library", ["array_api_strict", "torch", "jax"])
def test_ranks_of_another_library_equal_one_process(library: str, case: str) -> None:
    optional(library)
    close(CASES[case], 2, backend=library, compile="auto")


def test_a_step_adds_up_one_vector() -> None:
    def sums(ranks: Any) -> int:
        fitted(CASES["weights"], ranks)
        return ranks.sums

    assert checked(on_ranks(2, sums)) == [5 * 6] * 2  # epochs times batches
