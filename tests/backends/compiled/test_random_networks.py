"""Random networks, trained by compiled steps and by `Model.fit`, as C and as NumPy calls, against the eager step."""

import os
from collections.abc import Callable
from typing import Any

import networks
import numpy as np
import pytest
from compiled import FORCED, compiled_step, needs_compiler, network_step
from fitting import EAGER
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from networks import LOSSES, OPTIMIZERS, Training, trainings

import mlpcore as mc
from mlpcore.compiler.graph import N
from mlpcore.compiler.tiling import DEFAULT
from mlpcore.gradient_check import draw_targets
from mlpcore.random import Stream
from mlpcore.trees import leaves, tree_map
from mlpcore.typing import Batch

WIDTH = 5
BOUND = {"float32": 1e-4, "float64": 1e-10}  # of the largest entry of a leaf
# The parameters before the first step are moved by so much, to see what roundings become on the way.
SHAKE = {"float32": 1e-6, "float64": 1e-13}
WAYS = [
    pytest.param("C", marks=needs_compiler),
    pytest.param("C in tiles", marks=needs_compiler),
    "NumPy",
    "NumPy in tiles",
]
NETWORKS = trainings(WIDTH)
EXAMPLES = int(os.environ.get("MLPCORE_TEST_EXAMPLES", "8"))  # networks of each kind; .ci/run takes more
PHASES = (Phase.explicit, Phase.generate)  # making a failing case smaller would compile hundreds of networks


def batches(case: Training, sizes: list[int], seed: int) -> list[Batch]:
    """Batches of so many rows, some with a row of weight 0."""
    made = []
    for i, rows in enumerate(sizes):
        stream = Stream(seed, f"batch {i}")
        loss, kind = LOSSES[case.loss]
        outputs = loss.outputs(networks.OUTPUTS)
        target = loss.prepare(draw_targets(stream, rows, networks.OUTPUTS)[kind], outputs, np.dtype(case.dtype))
        weights = 0.5 + stream.child("weights").uniform((rows,))
        weights[2:3] = 0
        x = stream.child("x").normal((rows, WIDTH)).astype(case.dtype)
        noise = case.net.noise(Stream(seed, "noise", step=i), x.shape, case.dtype)
        made.append(Batch(x, target, weights.astype(case.dtype), noise))
    return made


def assert_near(found: list[Any], eager: Callable[[float], list[Any]], dtype: str) -> None:
    """Equal but for rounding: where it is not, the eager run itself must move as far if its parameters do a little.

    (A bias before a BatchNorm has the gradient 0 but for roundings, which Adam makes a step of full length.)
    """
    right = eager(0.0)
    bounds = [BOUND[dtype] * max(1.0, float(np.max(np.abs(leaf), initial=0))) for leaf in right]
    if any(not _within(got, want, bound) for got, want, bound in zip(found, right, bounds, strict=True)):
        moved = [eager(sign * SHAKE[dtype] * size) for sign in (-1, 1) for size in (1.0, 0.7, 0.4, 0.2)]
        spreads = [np.max([np.abs(run[i] - leaf) for run in moved], axis=0) for i, leaf in enumerate(right)]
        bounds = [bound + 4 * spread for bound, spread in zip(bounds, spreads, strict=True)]
    for got, want, bound in zip(found, right, bounds, strict=True):
        assert got.shape == want.shape and got.dtype == want.dtype
        assert _within(got, want, bound), f"{got} is not {want}"


def _within(got: np.ndarray, want: np.ndarray, bound: Any) -> bool:
    same = (got == want) | ((got != got) & (want != want))
    with np.errstate(invalid="ignore"):
        return bool(np.all(same | (np.abs(got - want) <= bound)))


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=EXAMPLES, phases=PHASES)
@given(case=NETWORKS, sizes=st.lists(st.integers(1, 40), min_size=1, max_size=3), seed=st.integers(0, 999))
def test_compiled_steps_are_the_eager_ones(way: str, case: Training, sizes: list[int], seed: int) -> None:
    loss, _ = LOSSES[case.loss]
    step, first = network_step(case.net, loss, OPTIMIZERS[case.optimizer], case.dtype, case.rules)
    given = batches(case, sizes, seed)
    held = tree_map(np.array, first)
    losses = []
    for batch in given:
        tiling = FORCED[seed % 2] if way == "C in tiles" else DEFAULT
        made = compiled_step(step, held, batch, "C" if way == "C in tiles" else way, N, tiling, 2)
        made.bound.call()
        losses.append(made.bound.output(made.loss).copy())

    def eager(by: float) -> list[Any]:
        moved = 1 + by * Stream(seed, "moved").normal(first.params.shape)
        state, found = first._replace(params=(first.params * moved).astype(case.dtype)), []
        with np.errstate(all="ignore"):
            for batch in given:
                state, value = step(state, batch)
                found.append(np.asarray(value))
        return [*found, *map(np.asarray, leaves(state))]

    assert_near([*losses, *leaves(held)], eager, case.dtype)


def trained(case: Training, data: tuple, words: dict[str, Any], by: float = 0.0, **way: Any) -> list[Any]:
    """Losses and state after a fit, or what it ended with; the first parameters moved by a little."""
    loss, rules = LOSSES[case.loss][0], case.rules._asdict()
    model = mc.Model(case.net, loss, OPTIMIZERS[case.optimizer], dtype=case.dtype, **rules, **way)
    model.params = tree_map(
        lambda leaf: leaf * (1 + by * Stream(0, "moved").normal(leaf.shape)).astype(case.dtype), model.params
    )
    x, target, weights = data
    with np.errstate(all="ignore"):
        history = model.fit(x, target, sample_weight=weights, **words)
    if "compile" in way:
        assert model.compiled.kind == ("C" if way["compile"] else "NumPy calls"), model.compiled
    return [np.array(history.loss), *map(np.asarray, leaves(model.trainer.state))]


@pytest.mark.parametrize(
    "way", [pytest.param(True, marks=needs_compiler, id="C"), pytest.param(False, id="NumPy calls")]
)
@settings(max_examples=EXAMPLES, phases=PHASES)
@given(case=NETWORKS, rows=st.integers(4, 60), batch=st.integers(1, 30), epochs=st.integers(1, 3))
def test_a_fit_is_the_eager_one(way: bool, case: Training, rows: int, batch: int, epochs: int) -> None:
    stream = Stream(rows, "fit")
    weights = 0.5 + stream.child("weights").uniform((rows,))
    weights[3] = 0
    target = draw_targets(stream, rows, networks.OUTPUTS)[LOSSES[case.loss][1]]
    data = (stream.child("x").normal((rows, WIDTH)), target, weights)
    words = {"batch_size": batch, "epochs": epochs}
    try:
        trained(case, data, words, backend=EAGER)
    except mc.NonFiniteError:
        with pytest.raises(mc.NonFiniteError):
            trained(case, data, words, compile=way)
        return
    assert_near(
        trained(case, data, words, compile=way), lambda by: trained(case, data, words, by, backend=EAGER), case.dtype
    )
