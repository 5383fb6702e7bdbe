"""Out of memory on the host at any allocation: one clear error, nothing lost, and the next call works."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import host_allocations
import numpy as np
import pytest
from compiled import needs_compiler
from fitting import EAGER, EVERYTHING, FIT, LABELS, NET, PLAIN, X, Y, make, untimed, with_extras
from optional import optional
from shortages import Case, caught, same, survive

import mlpcore as mc
from mlpcore.backends import get_backend
from mlpcore.backends.backend import Backend
from mlpcore.tabular import TableEncoder, read_table

pytestmark = [needs_compiler, pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")]
SAMPLE = 6  # allocations of a case that fail where not all do
OWN_ROWS = [np.arange(first, len(X)) for first in range(2)]  # of the members of a stack
STOPPING: dict[str, Any] = {"callbacks": [mc.EarlyStopping("val_loss", patience=1)]}


def model(**words: Any) -> Callable[[Backend], mc.Model]:
    return lambda backend: make(NET, backend=backend, **EVERYTHING | words)


def fit(model: mc.Model, **words: Any) -> Any:
    return untimed(model.fit(X, Y, epochs=2, **FIT | words))


def stack(backend: Backend) -> list[mc.Model]:
    return [make(PLAIN, backend=backend, compile=True, seed=seed) for seed in range(2)]


def stacked(models: list[mc.Model]) -> Any:
    """Of one kind in whole batches, of two in the last ones."""
    return [untimed(history) for history in mc.Stack(models).fit(X, Y, epochs=2, batch_size=10, rows=OWN_ROWS)]


def changed(model: mc.Model) -> Any:
    """Parameters that are set, a snapshot that is restored, and copies."""
    model.params = model.params
    model.restore(model.snapshot())
    return model.to(model.backend).predict(X)


def explained(model: mc.Model) -> Any:
    return [model.input_gradient(X, 1), model.integrated_gradients(X, 0, steps=3)]


@dataclass
class Saved:
    """A model, and the file that it is written to."""

    path: Path
    model: mc.Model

    def again(self) -> Any:
        """Another model is written in its place and read."""
        model(seed=4)(self.model.backend).save(self.path)
        return mc.load(self.path).predict(X)

    def contents(self) -> dict[str, np.ndarray]:
        """What is in the file, and the number of files in its folder."""
        found = np.frombuffer(self.path.read_bytes(), np.uint8)
        return {"file": found, "files": np.array(len(list(self.path.parent.iterdir())))}


def learned(estimator: Any) -> dict[str, np.ndarray]:
    """What a fit of an estimator changes."""
    arrays = {
        f"{kind}{i}": part for kind in ("coefs_", "intercepts_") for i, part in enumerate(getattr(estimator, kind))
    }
    arrays |= {name: getattr(estimator, name) for name in ("n_iter_", "t_", "loss_curve_") if hasattr(estimator, name)}
    return {name: np.array(array) for name, array in arrays.items()}


def fitted(solver: str) -> Callable[[Backend], Any]:
    """A function that makes an estimator which has been fitted once."""

    def make(backend: Backend) -> Any:
        optional("sklearn")
        from mlpcore.sklearn import MLPClassifier

        words: dict[str, Any] = {"batch_size": 7} if solver == "adam" else {}
        words |= {"max_iter": 2, "random_state": 0, "warm_start": True, "hidden_layer_sizes": (5,), "solver": solver}
        return MLPClassifier(**words, early_stopping=solver == "adam").fit(X, LABELS)

    return make


def estimator(solver: str, call: Callable[[Any], Any]) -> Case:
    return Case(
        fitted(solver),
        call,
        models=lambda _: [],
        states=lambda estimator: [learned(estimator)],
        ours=False,  # scikit-learn checks arguments and rows, too
    )


def trained(estimator: Any) -> None:
    estimator.fit(X, LABELS)


CASES = {
    "compiled": Case(model(compile=True), fit, steps=True),
    "float32": Case(model(compile=True, dtype="float32"), lambda model: fit(model, batch_size=11), steps=True),
    "NumPy calls": Case(model(compile=False), lambda model: fit(model, batch_size=11), steps=True),
    "stopping": Case(model(compile=True), lambda model: fit(model, **STOPPING), steps=True, restores=True),
    "eager": Case(
        lambda backend: make(PLAIN, backend=with_extras(EAGER, max_chunk_steps=backend.extras.max_chunk_steps)),
        lambda model: untimed(model.fit(X, Y, epochs=2, batch_size=11)),
        steps=True,
    ),
    "stack": Case(stack, stacked, steps=True),
    "predict": Case(model(compile=True), lambda model: model.predict(X)),
    "predict in blocks": Case(model(compile=False), lambda model: model.predict(X, batch_size=4)),
    "evaluate": Case(model(metrics=["r2"]), lambda model: model.evaluate(X, Y)),
    "changes": Case(model(), changed),
    "explanations": Case(model(), explained),
    "estimator": estimator("adam", trained),
    "L-BFGS": estimator("lbfgs", trained),
    "probabilities": estimator("adam", lambda estimator: estimator.predict_proba(X)),
}


@pytest.fixture(params=[pytest.param(SAMPLE, id="some"), pytest.param(sys.maxsize, id="every", marks=pytest.mark.long)])
def most(request: pytest.FixtureRequest) -> int:
    """How many allocations of a case fail, evenly spread."""
    return request.param


def check(case: Case, most: int) -> None:
    assert survive(case, get_backend("numpy"), host_allocations, "the host", 1, most)


@pytest.mark.parametrize("name", CASES)
def test_whatever_allocation_fails(name: str, most: int) -> None:
    check(CASES[name], most)


def test_a_file_is_the_old_one_or_the_new_one(tmp_path: Path, most: int) -> None:
    def saved(backend: Backend) -> Saved:
        thing = Saved(tmp_path / "model", model()(backend))
        thing.model.save(thing.path)
        return thing

    old = saved(get_backend("numpy"))
    before = old.contents()
    old.again()
    allowed = [before, old.contents()]
    check(Case(saved, Saved.again, models=lambda _: [], states=lambda _: []), most)
    assert any(same(old.contents(), contents) for contents in allowed)
    for number in range(1, 40):
        thing = saved(get_backend("numpy"))
        caught(host_allocations, thing.again, number, 1)
        assert any(same(thing.contents(), contents) for contents in allowed)


def test_a_checkpoint_is_written_or_not(tmp_path: Path, most: int) -> None:
    words = {"checkpoint": tmp_path / "checkpoint", "batch_size": 11}
    check(Case(model(compile=False), lambda model: fit(model, **words), steps=True), most)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_a_table_is_read_and_encoded_or_an_error(tmp_path: Path, most: int) -> None:
    path = tmp_path / "table.csv"
    rows = [f"{i / 7},{'abc'[i % 3]},{'' if i % 5 == 0 else i}" for i in range(300)]
    path.write_text("\n".join(["x,kind,y", *rows]))

    def encoded(path: Path) -> Any:
        table = read_table(str(path))
        columns = table.read_as({}).frame.collect()
        return TableEncoder().fit(columns).transform(columns)

    check(Case(lambda _: path, encoded, ours=False, models=lambda _: [], states=lambda _: []), most)
