"""A split vector does what the vector does, or refuses; JAX runs chunks with it, and again where that fails."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from fitting import EVERYTHING, NET, PLAIN, ROWS, X, Y, assert_same, make, state_of, with_steps
from members import OPTIMIZERS
from optional import optional

import mlpcore as mc
from mlpcore.backends import chunks
from mlpcore.backends.backend import Backend
from mlpcore.backends.jax import split_vector
from mlpcore.backends.jax.split_vector import SplitVector
from mlpcore.namespace import namespace
from mlpcore.random import Stream
from mlpcore.trees import Layout, named_leaves, tree_map

LAYOUT = Layout(PLAIN.init(Stream(0), "float64"))
LEAVES = np.concatenate([np.arange(slot.start, slot.stop) for slot in LAYOUT.slots.values()])  # all but the padding


def vector(name: str, stack: tuple[int, ...] = ()) -> np.ndarray:
    """Normal numbers, zero in the padding."""
    tree = tree_map(lambda leaf: Stream(1, name).normal((*stack, *leaf.shape)), PLAIN.init(Stream(0), "float64"))
    return LAYOUT.flat(tree)


def whole(result: Any) -> np.ndarray:
    """The entries of the leaves, in the order of the vector."""
    return np.concatenate(result.parts, axis=-1) if isinstance(result, SplitVector) else np.asarray(result)


def entries(result: Any) -> np.ndarray:
    """The same of a vector; whatever is none stays as it is."""
    result = np.asarray(result)
    return result[..., LEAVES] if result.shape[-1:] == (LAYOUT.size,) else result


FORMULAS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "operators": lambda xp, a, b: (2 * a - b / 3) * a + (-b) ** 2 - 1.0,
    "comparisons": lambda xp, a, b: (a > 0) & ~(b <= a),
    "functions": lambda xp, a, b: xp.sqrt(xp.abs(a)) + xp.sign(b) + xp.maximum(a, 0.5) + xp.expm1(b),
    "where": lambda xp, a, b: xp.where(xp.isfinite(a), a, b),
    "clip": lambda xp, a, b: xp.clip(a, -0.5, 0.5),
    "astype": lambda xp, a, b: xp.astype(a > b, a.dtype),
    "like": lambda xp, a, b: xp.zeros_like(a) + xp.ones_like(b),
    "sum": lambda xp, a, b: xp.sum(a * b, axis=-1),
    "sum, the axis kept": lambda xp, a, b: a / xp.sum(b * b, axis=-1, keepdims=True),
    "extremes": lambda xp, a, b: xp.max(a, axis=-1) - xp.min(b, axis=-1),
    "all and any": lambda xp, a, b: xp.all(a > 0, axis=-1) | xp.any(b > 1, axis=-1),
    "prefix": lambda xp, a, b: xp.concat([2 * a[..., : LAYOUT.decayed], b[..., LAYOUT.decayed :]], axis=-1),
}


@pytest.mark.parametrize("stack", [(), (3,)], ids=["alone", "stacked"])
@pytest.mark.parametrize("name", FORMULAS)
def test_split_vectors_do_what_the_vector_does(name: str, stack: tuple[int, ...]) -> None:
    formula, (a, b) = FORMULAS[name], (vector("a", stack), vector("b", stack))
    expected = formula(namespace(a), a, b)
    parts = [split_vector.split(LAYOUT, v) for v in (a, b)]
    got = formula(namespace(parts[0]), *parts)
    assert isinstance(got, SplitVector) == (np.shape(expected)[-1:] == (LAYOUT.size,))
    if "sum" in name:  # of parts, and then of their sums
        np.testing.assert_allclose(whole(got), entries(expected), rtol=1e-12)
    else:
        np.testing.assert_array_equal(whole(got), entries(expected))


def test_leaves_are_parts() -> None:
    v = vector("v")
    tree = LAYOUT.view(split_vector.split(LAYOUT, v))
    assert_same({"flat": LAYOUT.flat(tree)}, {"flat": v})
    assert_same({"flat": whole(split_vector.flat(LAYOUT, tree))}, {"flat": v[LEAVES]})
    assert split_vector.split(LAYOUT, v).shape == (LEAVES.size,)


REFUSED: dict[str, Callable[[Any, Any], Any]] = {
    "a slice within a leaf": lambda xp, v: v[..., :3],
    "an index": lambda xp, v: v[..., 0],
    "a mean": lambda xp, v: xp.mean(v, axis=-1),
    "a sum over all axes": lambda xp, v: xp.sum(v),
    "a cumulative sum": lambda xp, v: xp.cumulative_sum(v, axis=-1),
    "a whole vector": lambda xp, v: v + vector("v"),
    "another part of the vector": lambda xp, v: v + v[..., : LAYOUT.decayed],
    "a new shape": lambda xp, v: xp.reshape(v, (-1,)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_split_vectors_cannot_do_is_refused(name: str) -> None:
    v = split_vector.split(LAYOUT, vector("v"))
    with pytest.raises((TypeError, AttributeError)):
        REFUSED[name](namespace(v), v)


# --- JAX's chunks


class Noted:
    """A step that tells which of its functions is called."""

    def __init__(self, step: Any, note: Callable[[str], None]) -> None:
        self.step, self.note = step, note

    def propose(self, *arguments: Any, **words: Any) -> Any:
        self.note("optimistic")
        return self.step.propose(*arguments, **words)

    def __call__(self, *arguments: Any) -> Any:
        self.note("guarded")
        return self.step(*arguments)


def watched() -> tuple[Backend, list[str]]:
    """JAX, and which form of the step it traced for each chunk that it has compiled."""
    optional("jax")
    traced: list[str] = []
    backend = mc.get_backend("jax")

    def compiled(step: Callable, *rest: Any) -> Callable:
        return backend.compile.steps(Noted(step, traced.append), *rest)

    return with_steps(backend, compiled), traced


def assert_close(got: mc.Model, expected: mc.Model) -> None:
    """The same state, to the rounding of sums in float64."""
    one, other = state_of(got), state_of(expected)
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=1e-9, atol=1e-11, err_msg=name)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_of_all_optimizers_run_without_the_check(name: str) -> None:
    backend, traced = watched()
    models = [make(NET, optimizer=OPTIMIZERS[name], **EVERYTHING, backend=one) for one in (backend, "numpy")]
    for model in models:
        for _ in range(3):
            model.fit(X[:20], Y[:20], epochs=1, batch_size=10)  # one shape, since each is compiled
    assert set(traced) == {"optimistic"}
    assert_close(*models)


def test_a_chunk_with_a_step_that_is_not_to_be_done_runs_again_with_the_check() -> None:
    backend, traced = watched()
    weights = np.where(np.arange(ROWS) < 5, 0.0, 1.0)  # the first batch weighs nothing
    models = [make(PLAIN, backend=one) for one in (backend, "numpy")]
    for given in (None, weights, None):
        for model in models:
            model.fit(X, Y, epochs=2, batch_size=5, shuffle=False, sample_weight=given)
    assert set(traced) == {"optimistic", "guarded"}
    assert int(state_of(models[0])["4"]) == 3 * 2 * 5 - 2
    assert_close(*models)


def test_a_failed_step_keeps_the_state_before_it() -> None:
    backend, traced = watched()
    model = make(PLAIN, backend=backend)
    model.fit(X, Y, epochs=1, batch_size=5)
    before = state_of(model)
    with pytest.raises(mc.NonFiniteError):
        model.fit(X, Y * 1e200, epochs=1, batch_size=5)
    assert_same(state_of(model), before, but=("step",))
    assert "guarded" in traced
    model.fit(X, Y, epochs=1, batch_size=5)


def test_a_state_that_somebody_holds_is_left_alone() -> None:
    """As another thread does that predicts, copies or saves while the model is trained."""
    backend, _ = watched()
    model = make(NET, **EVERYTHING, backend=backend)
    for _ in range(3):
        model.fit(X[:20], Y[:20], epochs=2, batch_size=10)
        held, before = model.trainer.state, state_of(model)
        model.fit(X[:20], Y[:20], epochs=3, batch_size=10)
        for name, leaf in named_leaves(held):
            np.testing.assert_array_equal(backend.to_numpy(leaf), before[name])


def test_a_failure_within_a_long_chunk_leaves_whole_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    backend, _ = watched()
    model = make(NET, **EVERYTHING, backend=backend)
    model.fit(X[:20], Y[:20], epochs=2, batch_size=2)
    monkeypatch.setattr(chunks, "NOISE_BYTES", 2 * 2 * (5 + 1) * 8)  # masks and row weights of two steps
    run, begun = model.trainer.run, model.trainer.progress.step

    def failing(state: Any, data: Any, order: np.ndarray, draw: Any) -> Any:
        def drawn(i: int) -> Any:
            if i == 7:
                raise OSError("no entropy")
            return draw(i)

        return run(state, data, order, drawn)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="no entropy"):
        patch.setattr(model.trainer, "run", failing)
        model.fit(X[:20], Y[:20], epochs=1, batch_size=2)
    state = state_of(model)
    assert model.trainer.progress.step == int(state["4"]) == begun + 6
    model.fit(X[:20], Y[:20], epochs=1, batch_size=2)


class Odd(NamedTuple):
    """Gradient descent on what no split vector can do."""

    learning_rate: float = 0.1
    weight_decay: float = 0.0

    def init(self, params: Any) -> tuple:
        """Nothing is remembered."""
        return ()

    def update(self, grads: Any, state: tuple, params: Any, rate: Any) -> tuple:
        """Each entry moves by its gradient and that of its neighbours before it."""
        return params - rate * namespace(grads).cumulative_sum(grads, axis=-1), state


def test_an_optimizer_that_needs_the_whole_vector_runs_with_the_check() -> None:
    backend, traced = watched()
    models = [make(PLAIN, optimizer=Odd(), backend=one) for one in (backend, "numpy")]
    for model in models:
        model.fit(X, Y, epochs=2, batch_size=5)
    assert traced[-1] == "guarded"
    assert_close(*models)
