"""A user's program. `mypy --strict` and `pyright` check it against the installed wheel, so that `py.typed` counts."""

import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import array_api_compat.numpy as xp
import numpy as np
from numpy.typing import NDArray

import mlpcore as mc
from mlpcore.backends.backend import Backend, Compilers
from mlpcore.backends.run import run_eagerly
from mlpcore.configuration import check_number, configuration
from mlpcore.files import read_extra
from mlpcore.losses.elementwise import ElementwiseLoss
from mlpcore.namespace import namespace
from mlpcore.sklearn import MLPClassifier, MLPRegressor, StackedSearchCV
from mlpcore.tabular import TabularClassifier, TabularRegressor, read_table
from mlpcore.tabular import load as load_table_model
from mlpcore.typing import Array, Layer, Loss, Optimizer, Schedule

Floats = NDArray[np.float64]


@configuration
class Softsign(mc.Activation):
    """A layer of one's own."""

    scale: float = 1.0

    def activate(self, x: Array) -> tuple[Array, Array]:
        """``x / (1 + |x|)``."""
        size = 1 + namespace(x).abs(x)
        return self.scale * x / size, size

    def gradient(self, cache: Array, dy: Array) -> Array:
        """``dy / (1 + |x|)^2``."""
        return self.scale * dy / (cache * cache)


@configuration
class Quartic(ElementwiseLoss):
    """A loss of one's own."""

    def pointwise(self, z: Array, t: Array) -> tuple[Array, Array]:
        """``(z - t)^4``."""
        error = z - t
        return error**4, 4 * error**3


class SignState(NamedTuple):
    """The state of the optimizer."""

    steps: Array


@configuration
class SignDescent:
    """An optimizer of one's own."""

    learning_rate: float | Schedule = 0.01
    weight_decay: float | Schedule = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.learning_rate, float):
            check_number(self, learning_rate=self.learning_rate, above=0)

    def init(self, params: Array) -> SignState:
        """Zeros."""
        return SignState(namespace(params).zeros_like(params))

    def update(self, grads: Array, state: SignState, params: Array, rate: Array) -> tuple[Array, SignState]:
        """``p -= rate * sign(g)``."""
        return params - rate[..., None] * namespace(grads).sign(grads), SignState(state.steps + 1)


class Printer:
    """A callback with one of the methods."""

    def on_epoch_end(self, report: mc.Report) -> mc.Stop | None:
        """Stop at a small loss."""
        return mc.Stop("small enough") if report.values["loss"] < 1e-3 else None


def host_array(x: Any, dtype: Any = None) -> NDArray[Any]:
    """The array on the host."""
    return np.asarray(x, dtype=dtype)


def is_host_array(x: Any) -> bool:
    """Whether x is one of NumPy's."""
    return isinstance(x, np.ndarray)


def backend() -> Backend:
    """A backend of one's own."""
    return Backend(
        name="mine",
        xp=xp,
        device="cpu",
        dtypes={"float32": np.dtype("float32"), "float64": np.dtype("float64")},
        asarray=host_array,
        to_numpy=np.asarray,
        owns=is_host_array,
        scope=lambda dtype: np.errstate(all="ignore"),
        compile=Compilers(run_eagerly(xp, host_array)),
    )


def parts() -> tuple[Layer, Loss, Optimizer]:
    """The three parts of a model, as the protocols say."""
    net = mc.Sequential(mc.Linear(2, 8), Softsign(), mc.Residual(mc.Linear(8, 8)), mc.Dropout(0.1), mc.Linear(8, 1))
    return net, Quartic(), SignDescent(mc.CosineDecay(0.01, 100))


def models(x: Floats, y: Floats, folder: Path) -> float:
    """Fit, predict, evaluate, save and load; one model and several."""
    net, loss, optimizer = parts()
    model = mc.Model(net, loss, optimizer, backend=backend(), metrics=["r2"], seed=1)
    callbacks = [mc.EarlyStopping(patience=3), Printer()]
    history: mc.History = model.fit(x, y, epochs=2, validation_data=(x, y), callbacks=callbacks)
    scores: dict[str, float] = model.evaluate(x, y)
    plain = mc.Model(mc.Sequential(mc.Linear(2, 3), mc.ReLU(), mc.Linear(3, 1)), mc.HalfSquaredError(), mc.AdamW(1e-3))
    plain.save(folder / "plain.safetensors", extra={"unit": "m"})
    loaded: mc.Model = mc.load(folder / "plain.safetensors", backend="numpy")
    unit: str = read_extra(folder / "plain.safetensors").values["unit"]
    stack = mc.Stack([mc.Model(loaded.net, loaded.loss, seed=seed) for seed in range(3)])
    losses: list[float] = stack.fit(x, y, epochs=2)[0].loss
    mean: Floats = mc.Ensemble(stack).predict(x)
    assert unit == "m" and loaded.learning_rate > 0
    return losses[-1] + float(mean.mean()) + scores["r2"] + history.val_loss[-1] + history["loss"][0]


def estimators(x: Floats, y: Floats, folder: Path) -> float:
    """scikit-learn's interface."""
    classes = (y > 0).astype(int)
    classifier: MLPClassifier = MLPClassifier((8,), max_iter=5, backend="numpy", dropout=0.1).fit(x, classes)
    regressor: MLPRegressor = MLPRegressor(hidden_layer_sizes=(8,), max_iter=5).fit(x, y)
    search = StackedSearchCV(MLPClassifier(max_iter=2), {"alpha": [1e-4, 1e-3]}, cv=2).fit(x, classes)
    probabilities: Floats = classifier.predict_proba(x)
    table = {"size": x[:, 0], "town": np.array(["Rome", "Oslo"] * (len(x) // 2))}
    tabular: TabularClassifier = TabularClassifier("mlp", max_epochs=2).fit(table, classes)
    tabular.save(folder / "table.safetensors")
    prices: Floats = TabularRegressor("mlp", max_epochs=2).fit(table, y).predict(table)
    labels: NDArray[Any] = load_table_model(folder / "table.safetensors").predict(table)
    best: dict[str, Any] = search.best_params_
    score: float = classifier.score(x, classes) + regressor.score(x, y) + search.score(x, classes)
    return score + float(probabilities.sum() + prices.sum()) + len(labels) + float(best["alpha"])


def columns_of(folder: Path) -> list[str]:
    """The names of the columns of a table in a file."""
    (folder / "flats.csv").write_text("size,town\n1.5,Rome\n2.5,Oslo\n")
    return list(read_table(str(folder / "flats.csv"), target=None).names)


if __name__ == "__main__":
    x = np.random.default_rng(0).normal(size=(60, 2))
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        print(models(x, x[:, 0], place), estimators(x, x[:, 0], place), columns_of(place))
