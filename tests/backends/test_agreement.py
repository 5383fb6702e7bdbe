"""One seed, many places: the same draws to the bit, the same losses to rounding, and the same run twice to the bit."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from devices import CUDA, PLACES, open_place
from fitting import LABELS, NET, X, Y, assert_same, classifier, make, state_of, with_steps

import mlpcore as mc
from mlpcore.backends.backend import Backend
from mlpcore.random import Stream
from mlpcore.trees import named_leaves, tree_map

EVERYWHERE = [*PLACES, *CUDA[1:]]
OTHERS = [place for place in EVERYWHERE if place != "numpy"]
TOLERANCE = {"float64": 1e-9, "float32": 1e-4}
WIDE = mc.Sequential(mc.Linear(64, 256), mc.GELU(), mc.Dropout(0.2), mc.Linear(256, 256), mc.ReLU(), mc.Linear(256, 10))


class Watch:
    """A backend that notes what each step was given and what it made of it, on the host."""

    def __init__(self, backend: Backend) -> None:
        self.losses: list[float] = []
        self.orders: list[np.ndarray] = []
        self.masks: list[tuple[str, np.ndarray]] = []

        def compiled(*step: Any) -> Callable:
            inner = backend.compile.steps(*step)

            def run(state: Any, data: tuple, order: np.ndarray, draw: Callable[[int], Any]) -> Any:
                for i in range(order.shape[0]):
                    self.orders.append(backend.to_numpy(backend.asarray(order[i])))
                    drawn = tree_map(lambda leaf: np.array(backend.to_numpy(backend.asarray(leaf))), draw(i))
                    self.masks.extend(named_leaves(drawn))
                state, losses = inner(state, data, order, draw)
                self.losses.extend(backend.to_numpy(losses).tolist())
                return state, losses

            return run

        self.backend = with_steps(backend, compiled)


def watched(place: str, dtype: str) -> tuple[Watch, dict[str, np.ndarray]]:
    """200 steps of everything a step can do, 40 epochs of five batches; and the weights before them."""
    watch = Watch(open_place(place))
    rules: dict[str, Any] = {"l2": 0.01, "clip_norm": 0.5, "clip_value": 0.2, "ema": 0.9, "seed": 3, "dtype": dtype}
    model = make(NET, optimizer=mc.AdamW(0.01, weight_decay=0.1), backend=watch.backend, **rules)
    first = {name: np.array(model.backend.to_numpy(leaf)) for name, leaf in named_leaves(model.params)}
    model.fit(X, Y, epochs=40, batch_size=5)
    return watch, first


@pytest.fixture(scope="module")
def on_numpy() -> dict[str, tuple[Watch, dict[str, np.ndarray]]]:
    return {dtype: watched("numpy", dtype) for dtype in TOLERANCE}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("place", OTHERS)
def test_a_run_of_200_steps_agrees_with_numpys(place: str, dtype: str, on_numpy: Any) -> None:
    expected, weights = on_numpy[dtype]
    got, own_weights = watched(place, dtype)
    assert_same(own_weights, weights)
    assert len(got.orders) == len(expected.orders) == 200
    for own, order in zip(got.orders, expected.orders, strict=True):
        np.testing.assert_array_equal(own, order)
    assert len(got.masks) == len(expected.masks) > 200
    for (own_name, own), (name, mask) in zip(got.masks, expected.masks, strict=True):
        assert own_name == name and own.dtype == mask.dtype
        np.testing.assert_array_equal(own, mask)
    assert len(got.losses) == 200 and got.losses[-1] < got.losses[0]
    np.testing.assert_allclose(got.losses, expected.losses, rtol=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("place", EVERYWHERE)
def test_the_same_run_twice_gives_the_same_bits(place: str, dtype: str) -> None:
    states, histories = [], []
    for _ in range(2):
        model = make(NET, backend=open_place(place), seed=5, ema=0.9, clip_norm=1.0, dtype=dtype)
        histories.append(model.fit(X, Y, epochs=4, batch_size=5).loss)
        states.append(state_of(model))
    assert histories[0] == histories[1]
    assert_same(states[0], states[1])


@pytest.mark.parametrize("rows", [64, 1000])
@pytest.mark.parametrize("place", ["numpy", "torch", "jax", *CUDA])
def test_the_same_run_of_wide_layers_twice_gives_the_same_bits(place: str, rows: int) -> None:
    """Long sums over the rows: where a library might split them among threads that end in any order."""
    x, labels = Stream(1).normal((1000, 64)), (Stream(2).bits(1000) % np.uint64(10)).astype("int64")
    for precision in open_place(place).compile.precisions:
        states = []
        for _ in range(2):
            model = mc.Model(WIDE, mc.SoftmaxCrossEntropy(), backend=open_place(place), precision=precision)
            model.fit(x, labels, epochs=2, batch_size=rows)
            states.append(state_of(model))
        assert_same(states[1], states[0])


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("place", OTHERS)
def test_a_model_saved_on_one_backend_loads_on_the_other(place: str, dtype: str, tmp_path: Any) -> None:
    """The numbers to the bit, what they predict to rounding, and training goes on in the same way."""
    backend = open_place(place)
    rtol = 1e-10 if dtype == "float64" else 1e-4
    for here, there in ((backend, "numpy"), (mc.get_backend("numpy"), backend)):
        model = classifier(backend=here, dtype=dtype)
        model.fit(X, LABELS, epochs=2, batch_size=5)
        model.save(tmp_path / "model")
        loaded = mc.load(tmp_path / "model", backend=there)
        kept, found = (
            {name: np.array(one.backend.to_numpy(leaf)) for name, leaf in named_leaves(one.params)}
            for one in (model, loaded)
        )
        assert_same(found, kept)
        np.testing.assert_allclose(loaded.predict(X), model.predict(X), rtol=rtol)
        again = mc.load(tmp_path / "model", backend=here)
        losses = [one.fit(X, LABELS, epochs=2, batch_size=5).loss for one in (loaded, again)]
        np.testing.assert_allclose(losses[0], losses[1], rtol=rtol)
