"""Files of every kind to be mutated, and what a program does with each: the readers of `mutated_files`."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import mlpcore as mc
from mlpcore.files import read_extra
from mlpcore.files.tensors import kind_of
from mlpcore.random import Stream

Reader = Callable[[Path], Any]
ROWS = 24
X = Stream(7, "x").normal((ROWS, 3))
Y = np.stack([X[:, 0] * X[:, 1], np.sin(X[:, 2])], axis=1)
LABELS = (X[:, 0] > 0).astype(int)
TABLE = {"size": X[:, 0], "town": np.array(["Rome", "Oslo", "Bern"] * 8), "day": np.datetime64("2020-01-01") + LABELS}
NET = mc.Sequential(
    mc.Linear(3, 4),
    *(mc.BatchNorm(4), mc.LayerNorm(4), mc.RMSNorm(4), mc.LeakyReLU(0.2), mc.ELU(), mc.GELU(), mc.Dropout(0.2)),
    mc.Residual(mc.Sequential(mc.Tanh(), mc.Linear(4, 4), mc.Identity())),
    mc.Linear(4, 2),
)
SMALL = mc.Sequential(mc.Linear(3, 4, bias=False), mc.ReLU(), mc.Linear(4, 2))


def model_files(folder: Path) -> list[tuple[Path, Reader]]:
    """Model files in the folder, each with a reader: loads it and predicts."""
    rate = mc.Cosine(0.1, 9) if hasattr(mc, "Cosine") else 0.1
    made = {
        "layers": mc.Model(NET, mc.HalfSquaredError(), mc.Adam(0.01), ema=0.9, metrics=["r2"], dtype="float64"),
        "classes": mc.Model(SMALL, mc.SoftmaxCrossEntropy(label_smoothing=0.1), mc.SGD(rate), clip_norm=1.0, l2=0.1),
        "pairs": mc.Model(mc.Linear(3, 2), mc.StandardizedTarget(mc.Quantile((0.1, 0.9)), (0.0,), (1.0,)), mc.Lion()),
    }
    readers: list[tuple[Path, Reader]] = []
    for name, model in made.items():
        extra = {"names": ["a", "b"], "depth": {"of": [1, 2.5, None]}}
        model.save(folder / name, extra=extra, extra_tensors={"scale": np.ones(3)})
        readers.append((folder / name, _read_model))
    members = [mc.Model(SMALL, mc.SoftmaxCrossEntropy(), seed=seed) for seed in range(2)]
    mc.Ensemble(members).save(folder / "ensemble")
    mc.Stack(members).save(folder / "stack")
    return [*readers, (folder / "ensemble", _read_several), (folder / "stack", _read_several), *_table_files(folder)]


def _table_files(folder: Path) -> list[tuple[Path, Reader]]:
    """Files of models for tables, where there is scikit-learn."""
    from mlpcore.tabular import TabularClassifier, TabularRegressor
    from mlpcore.tabular.recipes import PlainMLP

    recipe = PlainMLP(hidden=(4,), epochs=1, batch_size=8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        TabularClassifier(recipe, random_state=0).fit(TABLE, LABELS).save(folder / "table of classes")
        TabularRegressor(recipe, random_state=0).fit(TABLE, Y[:, 0]).save(folder / "table of amounts")
    return [(folder / f"table of {what}", _read_table) for what in ("classes", "amounts")]


def _predict(model: Any) -> None:
    columns = {leaf.shape[-1] for leaf in mc.trees.leaves(model.params)} | {3}
    for width in sorted(columns):
        try:
            model.predict(np.ones((2, width), model.dtype))
            return
        except (mc.DataError, mc.ConfigurationError):
            continue
    raise AssertionError(f"{model!r} was loaded and takes no rows")


def _read_model(path: Path) -> None:
    read_extra(path)
    _predict(mc.load(path))


def _read_several(path: Path) -> None:
    kind = mc.Stack if kind_of(path) == "stack" else mc.Ensemble
    for model in kind.load(path).models:
        _predict(model)


def _read_table(path: Path) -> None:
    from mlpcore.tabular import load

    model = load(path)
    try:
        model.predict(TABLE)
    except mc.DataError:  # the file names other columns
        return


class Remembering:
    """A callback whose state has every kind of value."""

    def __init__(self) -> None:
        self.kept: Any = {"seen": [1, 2.5, None], ("a", 1): np.arange(3.0), "inf": float("inf"), "n": np.float32(1)}

    def on_epoch_end(self, report: Any) -> None:
        """Nothing."""

    def state(self) -> Any:
        """The state."""
        return self.kept

    def restore(self, state: Any) -> None:
        """Take whatever comes."""
        self.kept = state


def checkpoint_files(folder: Path) -> list[tuple[Path, Reader]]:
    """Checkpoints after two epochs, each with a reader: makes the same fit, which goes on to the third."""
    cases: dict[str, Callable[[], tuple[mc.Model, list, dict]]] = {
        "rules": lambda: (
            mc.Model(NET, mc.HalfSquaredError(), mc.Adam(0.01), ema=0.9, compile=False),
            [mc.EarlyStopping(patience=5), mc.ReduceOnPlateau(patience=1)],
            {"validation_data": (X, Y)},
        ),
        "own callback": lambda: (
            mc.Model(SMALL, mc.HalfSquaredError(), mc.SGD(0.01, momentum=0.9), compile=False),
            [Remembering()],
            {},
        ),
        "weights": lambda: (
            mc.Model(SMALL, mc.SquaredError(), mc.RMSprop(0.01), dtype="float64", compile=False),
            [],
            {"sample_weight": np.arange(1.0, ROWS + 1)},
        ),
    }
    readers: list[tuple[Path, Reader]] = []
    for name, make in cases.items():
        model, callbacks, words = make()
        model.fit(X, Y, epochs=2, batch_size=12, callbacks=callbacks, checkpoint=folder / name, **words)

        def resume(path: Path, make: Any = make) -> None:
            model, callbacks, words = make()
            history = model.fit(X, Y, epochs=3, batch_size=12, callbacks=callbacks, resume=path, **words)
            assert len(history.rows) <= 1000 and np.asarray(model.predict(X)).shape == Y.shape

        readers.append((folder / name, resume))
    return readers
