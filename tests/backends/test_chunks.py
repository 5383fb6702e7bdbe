"""A chunk of steps in parts: no step, row or draw is lost or done twice, and a failure tells the whole steps before."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlpcore.backends.chunks import draw_chunks, even_ranges, joined, numbered, split
from mlpcore.backends.run import ChunkError, StepNoise, collect
from mlpcore.random import Stream


@given(count=st.integers(0, 300), each=st.integers(0, 1000), most=st.integers(1, 5000))
def test_ranges_cover_all_evenly_within_the_limit(count: int, each: int, most: int) -> None:
    ranges = even_ranges(count, each, most)
    assert [i for start, stop in ranges for i in range(start, stop)] == list(range(count))
    lengths = [stop - start for start, stop in ranges]
    if count:
        assert max(lengths) * each <= max(most, each)
        assert len(set(lengths[:-1])) <= 1 and lengths[-1] <= lengths[0]
        fewest = -(-count // max(1, most // max(each, 1)))
        assert len(ranges) <= fewest, "more ranges than are needed"


def noise(stream: Any, rows: Any) -> np.ndarray:
    return stream.uniform((rows, 2))


@given(steps=st.integers(1, 20), at_once=st.integers(1, 20), plain=st.booleans())
def test_shorter_chunks_take_the_same_rows_and_draws(steps: int, at_once: int, plain: bool) -> None:
    table = np.arange(40)
    order = np.random.default_rng(steps).integers(0, 40, (steps, 3))
    whole = StepNoise(noise, Stream(1, step=7), 3, ())
    draw = (lambda i: whole(i)) if plain else whole
    rows, draws = [], []
    for chunk_order, chunk_draw in split(order, draw, 8, 8 * at_once):
        assert 1 <= len(chunk_order) <= at_once and isinstance(chunk_draw, StepNoise) is not plain
        rows += list(table[chunk_order.reshape(-1)][numbered(chunk_order)])
        draws += [chunk_draw(i)[0] for i in range(len(chunk_order))]
    np.testing.assert_array_equal(rows, table[order])
    np.testing.assert_array_equal(draws, [whole(i)[0] for i in range(steps)])


@given(steps=st.integers(1, 20), at_once=st.integers(1, 20))
def test_noise_is_sent_in_the_order_of_the_steps(steps: int, at_once: int) -> None:
    draw = StepNoise(noise, Stream(2), 3, ())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mlpcore.backends.chunks.NOISE_BYTES", 3 * 2 * 8 * at_once)
        pairs = list(draw_chunks(steps, draw, np.asarray))
    assert [i for numbers, _ in pairs for i in range(numbers.start, numbers.stop)] == list(range(steps))
    assert all(len(stack) == numbers.stop - numbers.start <= at_once for numbers, (stack, _) in pairs)
    np.testing.assert_array_equal(
        np.concatenate([stack for _, (stack, _) in pairs]), [draw(i)[0] for i in range(steps)]
    )


def test_without_noise_one_empty_tree_serves_all_steps() -> None:
    assert list(draw_chunks(9, lambda i: ((), ()), np.asarray)) == [(slice(0, 9), ((), ()))]


@given(lengths=st.lists(st.integers(1, 5), min_size=1, max_size=6), data=st.data())
def test_a_failure_tells_the_whole_steps_before_it(lengths: list[int], data: st.DataObject) -> None:
    """In a chunk of several, before it, within it, or when the losses are joined."""
    cause = MemoryError("too little")
    at = data.draw(st.integers(0, len(lengths)))
    within = data.draw(st.integers(0, lengths[at] - 1)) if at < len(lengths) else None
    known = data.draw(st.booleans())

    def progress(state: int) -> Iterator[tuple[int, np.ndarray, int]]:
        for i, steps in enumerate(lengths):
            if i == at and known:
                raise ChunkError(state + within, within) from cause
            if i == at:
                raise cause
            state += steps
            yield state, np.zeros(steps), steps

    def full(losses: list[np.ndarray]) -> np.ndarray:
        raise cause

    with pytest.raises(ChunkError) as caught:
        collect(100, progress(100), full)
    done = sum(lengths[:at]) + (within if known and within else 0)
    assert (caught.value.state, caught.value.steps) == (100 + done, done) and caught.value.__cause__ is cause


@given(lengths=st.lists(st.integers(1, 5), min_size=1, max_size=6))
def test_all_losses_are_joined(lengths: list[int]) -> None:
    ends = np.cumsum(lengths)
    parts = ((int(end), np.arange(end - steps, end), steps) for end, steps in zip(ends, lengths, strict=True))
    state, losses = collect(0, parts, joined(np.concatenate))
    assert state == ends[-1]
    np.testing.assert_array_equal(losses, np.arange(ends[-1]))
