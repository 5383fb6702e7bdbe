"""The order of an epoch's rows in compiled code: that of the stream, in every bit."""

from dataclasses import replace

import numpy as np
import pytest
from compiled import needs_compiler
from hypothesis import given
from hypothesis import strategies as st

from mlpcore.compiler import row_order as compiled
from mlpcore.random import Stream
from mlpcore.training import orders
from mlpcore.training.orders import shuffled

pytestmark = needs_compiler


@given(n=st.integers(0, 5000), seed=st.integers(0, 2**64 - 1), step=st.integers(0, 2**40))
def test_an_order_is_that_of_the_stream(n: int, seed: int, step: int) -> None:
    stream = replace(Stream(seed, "order", member=seed % 3), step=step)
    np.testing.assert_array_equal(compiled.row_order(stream, n), stream.order(n))


def test_a_long_order_is_that_of_the_stream() -> None:
    """So many that buckets hold several words each."""
    stream, n = Stream(5, "order"), 6_000_000
    np.testing.assert_array_equal(compiled.row_order(stream, n), stream.order(n))


def test_where_leading_bits_agree_the_whole_words_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    n, few_bits = 3000, (1 << 54) - 1  # of 2^10 words that differ in the others, 3000 take some twice
    function = compiled._function()
    assert function is not None
    answers = []

    def with_few_bits(*arguments: int) -> int:
        answers.append(function(*arguments[:3], few_bits, *arguments[4:]))
        return answers[-1]

    monkeypatch.setattr(compiled, "_function", lambda: with_few_bits)
    np.testing.assert_array_equal(compiled.row_order(Stream(1), n), Stream(1).order(n))
    assert answers == [0]


@pytest.mark.parametrize("compile", ["auto", False])
def test_an_epoch_takes_the_same_order_however_it_is_drawn(
    compile: bool | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orders, "MANY_ROWS", 100)
    calls = []
    monkeypatch.setattr(orders, "compiled_order", lambda *given: calls.append(1) or compiled.row_order(*given))
    order = shuffled(3, 1000, compile)
    for epoch in range(4):
        np.testing.assert_array_equal(order(epoch), replace(Stream(3, "order"), step=epoch).order(1000))
    assert bool(calls) is bool(compile)
