"""Several ranks equal one process: the same parameters to rounding, and the same bits on all ranks."""

from typing import Any

import numpy as np
import pytest
from thread_ranks import checked, on_ranks

import mlpcore as mc
from mlpcore.distributed import Communicator

RNG = np.random.default_rng(0)
X = RNG.normal(size=(103, 7))
LABELS = (X @ RNG.normal(size=(7, 3))).argmax(axis=1)
AMOUNTS = X @ RNG.normal(size=(7, 2)) + 0.1 * RNG.normal(size=(103, 2))
WEIGHTS = RNG.integers(0, 3, size=103).astype(float)
WEIGHTS[:20] = 0
ENTRIES = RNG.integers(0, 3, size=(103, 2)).astype(float)


class Jitter(mc.Activation):
    """A layer of a user's own, whose noise only the host can draw."""

    def noise(self, stream: Any, shape: tuple[int, ...], dtype: str) -> Any:
        return 0.1 * stream.normal(shape).astype(dtype)

    def forward(self, params: Any, x: Any, training: Any = None) -> Any:
        return (x, None) if training is None else (x + training.noise, None)

    def backward(self, params: Any, cache: Any, dy: Any, *, need_dx: bool = True) -> Any:
        return (dy if need_dx else None), {}


def net(*layers: Any, outputs: int) -> Any:
    return mc.Sequential(mc.Linear(7, 16), mc.ReLU(), *layers, mc.Linear(16, outputs))


CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "weights": {"fit": {"sample_weight": WEIGHTS}},
    "class weights": {"fit": {"class_weight": "balanced"}},
    "entry weights": {"y": AMOUNTS, "loss": mc.SquaredError(), "outputs": 2, "fit": {"sample_weight": ENTRIES}},
    "unshuffled": {"fit": {"shuffle": False}},
    "dropout": {"layers": (mc.Dropout(0.4),)},
    "dropout that falls": {"layers": (mc.Dropout(mc.FlatCosine(0.5, 60)),)},
    "noise of the host": {"layers": (Jitter(),)},
    "layer norm": {"layers": (mc.LayerNorm(16),)},
    "l2": {"model": {"l2": 0.1}},
    "clipping": {"model": {"clip_norm": 0.1, "clip_value": 0.05}},
    "average": {"model": {"ema": 0.9}},
    "schedule": {"optimizer": mc.AdamW(mc.CosineDecay(0.02, 60), weight_decay=0.1)},
    "momentum": {"optimizer": mc.SGD(0.05, momentum=0.9)},
    "few rows": {"rows": 3},
    "ragged": {"rows": 101},
    "validation": {"validation": True},
    "early stopping": {"validation": True, "rule": lambda: mc.EarlyStopping(patience=1, min_delta=0.2)},
    "plateau": {"validation": True, "rule": lambda: mc.ReduceOnPlateau(patience=1, min_delta=0.5)},
}


def fitted(case: dict[str, Any], ranks: Communicator | None, **words: Any) -> tuple[mc.Model, mc.History]:
    outputs = case.get("outputs", 3)
    model = mc.Model(
        net(*case.get("layers", ()), outputs=outputs),
        case.get("loss", mc.SoftmaxCrossEntropy()),
        case.get("optimizer", mc.Adam(0.02)),
        dtype="float64",
        seed=5,
        distributed=ranks,
        **{"compile": False, **case.get("model", {}), **words},
    )
    count = case.get("rows", 103)
    x, y, arguments = X[:count], case.get("y", LABELS)[:count], dict(case.get("fit", {}))
    if case.get("validation"):
        arguments["validation_data"] = (X[::3], LABELS[::3], WEIGHTS[::3])
    if "rule" in case:
        arguments["callbacks"] = [case["rule"]()]
    return model, model.fit(x, y, epochs=5, batch_size=20, **arguments)


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
def test_ranks_of_another_library_equal_one_process(case: str) -> None:
    close(CASES[case], 2, backend="array_api_strict", compile="auto")


def test_a_step_adds_up_one_vector() -> None:
    def sums(ranks: Any) -> int:
        fitted(CASES["weights"], ranks)
        return ranks.sums

    assert checked(on_ranks(2, sums)) == [5 * 6] * 2  # epochs times batches
