"""Bad ground: constant columns, denormals and huge values give finite numbers, or an error that names the cause."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from optional import optional

import mlpcore as mc
from mlpcore.metrics import METRICS

ROWS = 24
BASE = np.random.default_rng(0).normal(size=(ROWS, 3))
Y = 2 * BASE[:, 0] - BASE[:, 2]
LABELS = (BASE[:, 0] > 0).astype("int64")
NORMAL = np.random.default_rng(1).normal(size=ROWS)
COLUMNS: dict[str, np.ndarray] = {
    "constant": np.ones(ROWS),
    "constant at 1e30": np.full(ROWS, 1e30),
    "constant at 1e300": np.full(ROWS, 1e300),
    "constant at a denormal": np.full(ROWS, 1e-310),
    "constant at a denormal of float32": np.full(ROWS, 1e-42),
    "denormal": NORMAL * 1e-310,
    "denormal in float32": NORMAL * 1e-42,
    "huge for float32": np.clip(NORMAL, -3, 3) * 1e38,
    "huge": NORMAL * 1e300,
    "at the end of the range": np.where(np.arange(ROWS) % 2, 1.7e308, -1.7e308),
    "of vanishing variance": NORMAL * 1e-170,
    "of infinite variance": NORMAL * 1e170,
    "one outlier": np.r_[np.zeros(ROWS - 1), 1e300],
    "far from zero": 1e8 + NORMAL * 1e-8,
}
WAYS = pytest.mark.parametrize(
    "way",
    [
        pytest.param({"compile": True}, id="compiled"),
        pytest.param({"compile": False}, id="eager", marks=pytest.mark.long),
        pytest.param({"backend": "array_api_strict"}, id="strict", marks=pytest.mark.long),
        pytest.param({"backend": "cupy"}, id="cupy", marks=pytest.mark.gpu),
    ],
)
NETS: dict[str, Callable[[int], Any]] = {
    "plain": lambda outputs: mc.Sequential(mc.Linear(3, 4), mc.ReLU(), mc.Linear(4, outputs)),
    "BatchNorm": lambda outputs: mc.Sequential(mc.BatchNorm(3), mc.Linear(3, outputs)),
    "LayerNorm": lambda outputs: mc.Sequential(mc.LayerNorm(3), mc.Linear(3, outputs)),
}
EVERY = ("r2", "mean_squared_error", "root_mean_squared_error", "mean_absolute_error")


def with_column(column: str) -> np.ndarray:
    x = BASE.copy()
    x[:, 1] = COLUMNS[column]
    return x


def model(way: dict[str, Any], net: Any, loss: Any, **words: Any) -> mc.Model:
    if "backend" in way:
        optional(way["backend"])
    return mc.Model(net, loss, mc.Adam(0.01), **(way | words))


def said_or(work: Callable[[], list[Any]], allowed: Callable[[np.ndarray], Any] = np.isfinite) -> bool:
    """Whether the work gave numbers, all ``allowed``; False after an error of the library that says what to do."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            numbers = work()
        except mc.MlpcoreError as error:
            assert any(word in str(error) for word in ("scale", "smaller", "divide", "unit", "positive weight")), error
            return False
    for values in numbers:
        assert np.all(allowed(np.asarray(values, dtype=np.float64))), values
    return True


def not_nan(values: np.ndarray) -> Any:
    return ~np.isnan(values)


def results(one: mc.Model, x: np.ndarray, y: np.ndarray, **words: Any) -> list[Any]:
    history = one.fit(x, y, epochs=2, batch_size=7, validation_data=(x[:5], y[:5]), **words)
    weights = one.backend.to_numpy
    numbers = [history[name] for name in history.columns] + list(one.evaluate(x, y).values())
    return [*numbers, weights(one.predict(x)), *map(weights, one.snapshot().values())]


@WAYS
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("column", COLUMNS)
def test_a_fit_is_finite_or_says_why(column: str, net: str, dtype: str, way: dict[str, Any]) -> None:
    """Raw, an infinite loss on held-out rows is a number of the history; standardized all is finite."""
    x = with_column(column)
    one = model(way, NETS[net](1), mc.SquaredError(), dtype=dtype, metrics=["r2"])
    said_or(lambda: results(one, x, Y), not_nan)
    assert all(np.all(np.isfinite(one.backend.to_numpy(leaf))) for leaf in one.snapshot().values())
    scaled = mc.Standardize.fit(x)(x)
    one = model(way, NETS[net](2), mc.SoftmaxCrossEntropy(), dtype=dtype, metrics=["accuracy", "balanced_accuracy"])
    assert said_or(lambda: results(one, scaled, LABELS))


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_standardized_columns_are_numbers_in_every_dtype(column: str, dtype: str) -> None:
    """Also where mean or scale are no numbers of the smaller dtype: the deviations of what it can hold are."""
    scaler = mc.Standardize.fit(with_column(column))
    with np.errstate(over="ignore"):
        x = with_column(column).astype(dtype)
    x = np.clip(x, np.finfo(dtype).min, np.finfo(dtype).max)
    with np.errstate(over="ignore"):
        y, expected = scaler(x), ((x.astype("float64") - scaler.mean) / scaler.scale).astype(dtype)
    assert y.dtype == dtype and not np.any(np.isnan(y))
    np.testing.assert_allclose(y, expected, rtol=1e-5 if dtype == "float32" else 1e-12, atol=1e-5)


@WAYS
@pytest.mark.parametrize("loss", [mc.SquaredError(), mc.AbsoluteError()])
@pytest.mark.parametrize("column", COLUMNS)
def test_targets(column: str, loss: Any, way: dict[str, Any]) -> None:
    """A metric of squares may be infinite where they are; it is never NaN."""
    y = COLUMNS[column]
    for dtype in ("float32", "float64"):
        one = model(way, mc.Linear(3, 1), loss, dtype=dtype, metrics=EVERY)
        said_or(lambda one=one: results(one, BASE, y), not_nan)
        scaler = mc.Standardize.fit(y[:, None])
        own = mc.StandardizedTarget(loss, tuple(scaler.mean), tuple(scaler.scale))
        one = model(way, mc.Linear(3, 1), own, dtype=dtype, metrics=["r2"])
        said_or(lambda one=one: results(one, BASE, y), not_nan)


@pytest.mark.parametrize("name", ["mean", "scale", "low", "high"])
def test_a_unit_that_the_dtype_cannot_hold_is_refused(name: str) -> None:
    words = {"mean": (0.0,), "scale": (1.0,), "low": (-1.0,), "high": (1.0,)}
    words[name] = (-1e300,) if name == "low" else (1e300,)
    loss = mc.StandardizedTarget(mc.SquaredError(), **words)
    said = rf"^StandardizedTarget: {name} has the number 1e\+300, larger than the model's dtype can hold"
    with pytest.raises(mc.ConfigurationError, match=said):
        mc.Model(mc.Linear(3, 1), loss).fit(BASE, Y)
    assert np.all(np.isfinite(mc.Model(mc.Linear(3, 1), loss, dtype="float64").predict(BASE)))


WEIGHTS = {
    "denormal": np.full(ROWS, 1e-310),
    "denormal in float32": np.full(ROWS, 1e-42),
    "huge for float32": np.full(ROWS, 1e38),
    "huge": np.full(ROWS, 1e300),
    "too huge": np.full(ROWS, 1.7e308),
    "one": np.r_[1.0, np.zeros(ROWS - 1)],
    "of every size": np.geomspace(1e-300, 1e300, ROWS),
}


@WAYS
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", WEIGHTS)
def test_weights(name: str, dtype: str, way: dict[str, Any]) -> None:
    one = model(way, NETS["BatchNorm"](1), mc.SquaredError(), dtype=dtype, metrics=EVERY)
    weights = WEIGHTS[name]
    said_or(lambda: results(one, BASE, Y, sample_weight=weights), not_nan)


@WAYS
@pytest.mark.parametrize("class_weight", [{0: 0.0}, {0: 1e-310, 1: 1.0}, {1: 1e38}, "balanced"])
def test_class_weights(class_weight: Any, way: dict[str, Any]) -> None:
    """Batches of 7 rows hold both classes or, after the sort, one of them."""
    one = model(way, NETS["BatchNorm"](2), mc.SoftmaxCrossEntropy(), metrics=["accuracy", "balanced_accuracy"])
    order = np.argsort(LABELS)
    said_or(lambda: results(one, BASE[order], LABELS[order], class_weight=class_weight, shuffle=False))


@WAYS
@pytest.mark.parametrize("net", NETS)
def test_one_row_and_one_class(net: str, way: dict[str, Any]) -> None:
    one = model(way, NETS[net](1), mc.SquaredError(), metrics=EVERY)
    assert said_or(lambda: results(one, BASE[:1], Y[:1]))
    one = model(way, NETS[net](2), mc.SoftmaxCrossEntropy(), metrics=["accuracy", "balanced_accuracy"])
    assert said_or(lambda: results(one, BASE, np.zeros(ROWS, "int64")))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1e-320, 1e-45, 1e-38, 1.0, 1e37, 1e300, 1e307])
@pytest.mark.parametrize("target", [np.ones(ROWS), np.clip(Y, -2, 2)], ids=["constant", "varied"])
def test_metrics_of_half_the_target(target: np.ndarray, size: float, dtype: str) -> None:
    if size > float(np.finfo(dtype).max):
        return
    t = (target * size).astype(dtype)[:, None]
    for name in ("r2", "root_mean_squared_error", "mean_absolute_error"):
        assert np.isfinite(METRICS[name](t, t / 2, np.ones(ROWS, dtype))), name


@pytest.mark.parametrize("scale", [1e200, 1e308])
def test_the_mean_of_huge_losses_is_finite(scale: float) -> None:
    """Their sum is not."""
    y = np.full(ROWS, scale)
    one = mc.Model(mc.Linear(3, 1), mc.AbsoluteError(), mc.SGD(1e-3), dtype="float64")
    # A batch adds up its rows before it divides, so that one row is a batch.
    history = one.fit(BASE, y, epochs=2, batch_size=1)
    np.testing.assert_allclose(history.loss, scale, rtol=1e-12)


@pytest.mark.parametrize("compile", [True, False])
def test_an_infinite_average_of_finite_weights_is_found(compile: bool) -> None:
    """Predictions come from the average."""
    one = mc.Model(mc.Linear(3, 1), mc.AbsoluteError(), mc.SGD(1e-3), ema=0.5, compile=compile)
    state = one.trainer.state
    one.trainer.state = state._replace(count=state.count + 9, average=np.full_like(state.average, 3e38))
    one.trainer.state.params[...] = -3e38
    one.rate_scale = 1e-37
    with np.errstate(all="ignore"), pytest.raises(mc.NonFiniteError, match="the weights became infinite"):
        one.fit(np.zeros((4, 3)), np.full((4, 1), -3e38), epochs=1, batch_size=4)


@pytest.mark.parametrize("weight", [1e-310, 1.7e308])
def test_estimators_say_that_weights_are_at_fault(weight: float) -> None:
    """And not that the rows are too large."""
    optional("sklearn")
    import mlpcore.sklearn as estimators

    for estimator, y in ((estimators.MLPClassifier(), LABELS), (estimators.MLPRegressor(solver="lbfgs"), Y)):
        with pytest.raises(ValueError, match=r"^sample_weight adds up to .*; multiply the weights by a common number"):
            estimator.fit(BASE, y, sample_weight=np.full(ROWS, weight))
