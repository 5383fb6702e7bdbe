"""Model files, checkpoints and pickles of earlier days load, predict what they did, and go on where they stood.

``PYTHONPATH=tests/helpers python tests/files/test_old.py NAME`` writes ``golden/files-NAME.zip`` with the cases that no
archive has yet: those of new members. What was written stays. Pickles are no format of files, but those of fitted
models and estimators lie in people's folders.
"""

import json
import pickle
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import members
import numpy as np
import pytest
from optional import optional

import mlpcore as mc
from mlpcore.random import Stream

GOLDEN = Path(__file__).parents[1] / "golden"
ARCHIVES = {path.stem: path for path in sorted(GOLDEN.glob("files-*.zip"))}
X = Stream(7, "x").normal((24, 3))
Y = np.stack([X[:, 0] * X[:, 1], np.sin(X[:, 2])], axis=1)
POSITIVE = ("PoissonNLL",)  # losses whose targets are counts
LABELLED = ("SoftmaxCrossEntropy", "SigmoidCrossEntropy")
# Every layer once, in one network, with a Linear before those that change their number of columns.
NET = mc.Sequential(
    mc.Linear(3, 4),
    *(mc.BatchNorm(4), mc.LayerNorm(4), mc.RMSNorm(4)),
    *(mc.ReLU(), mc.LeakyReLU(0.2), mc.ELU(), mc.SELU(), mc.GELU(), mc.SiLU(), mc.Mish(), mc.Softplus(), mc.Sigmoid()),
    mc.Residual(mc.Sequential(mc.Tanh(), mc.Dropout(0.2), mc.Linear(4, 4), mc.Identity())),
    mc.Linear(4, 2),
)


def small(scores: int = 2) -> mc.Sequential:
    """A network with so many scores."""
    return mc.Sequential(mc.Linear(3, 4), mc.Tanh(), mc.Linear(4, scores))


def columns_of(loss: Any) -> int:
    """How many columns of a target the loss is tried on: one where that takes several scores."""
    loss = getattr(loss, "loss", loss)
    return 2 if loss.outputs(1) == 1 or type(loss).__name__ in LABELLED else 1


def target_of(loss: Any) -> np.ndarray:
    """A target that the loss takes."""
    loss = getattr(loss, "loss", loss)  # of a StandardizedTarget or MembersLoss
    name = type(loss).__name__
    if name in LABELLED:
        labels = (X[:, 0] > 0).astype(int)
        return labels if name == "SoftmaxCrossEntropy" else np.stack([labels, 1 - labels], axis=1)
    target = np.abs(Y).round() if name in POSITIVE else Y
    return target[:, : columns_of(loss)]


def models() -> dict[str, Callable[[], tuple[mc.Model, np.ndarray]]]:
    """Models by name, each with its target: all layers, losses and optimizers are in one of them."""
    words: dict[str, Any] = {"dtype": "float64", "seed": 2}
    made: dict[str, Callable] = {
        "all layers": lambda: (mc.Model(NET, mc.HalfSquaredError(), mc.Adam(0.01), ema=0.9, **words), Y)
    }
    for case, (loss, _) in members.LOSSES.items():
        made[f"loss {case}"] = lambda loss=loss: (
            mc.Model(small(loss.outputs(columns_of(loss))), loss, **words),
            target_of(loss),
        )
    for case, optimizer in members.OPTIMIZERS.items():
        made[f"optimizer {case}"] = lambda one=optimizer: (mc.Model(small(), mc.HalfSquaredError(), one, **words), Y)
    return made


def estimators() -> dict[str, Any]:
    """Estimators by name, that go on."""
    from mlpcore.sklearn import MLPClassifier, MLPRegressor

    words: dict[str, Any] = {"hidden_layer_sizes": (4,), "max_iter": 3, "random_state": 0, "warm_start": True}
    return {
        "classifier": MLPClassifier(**words),
        "classifier sgd": MLPClassifier(**words, solver="sgd", early_stopping=True, dropout=0.1),
        "classifier lbfgs": MLPClassifier(**words, solver="lbfgs"),
        "regressor": MLPRegressor(**words, solver="adamw"),
        "regressor poisson": MLPRegressor(**words, loss="poisson"),
        "regressor gaussian": MLPRegressor(**words, loss="gaussian"),
    }


def labels_for(name: str) -> np.ndarray:
    """The target of an estimator of that name."""
    return (X[:, 0] > 0).astype(int) if name.startswith("classifier") else np.abs(Y[:, 0])


def trained(model: mc.Model, target: np.ndarray, **words: Any) -> list[float]:
    """The losses of a fit."""
    return model.fit(X, target, batch_size=7, **words).loss


def probabilities(estimator: Any) -> np.ndarray:
    """What an estimator predicts, as numbers."""
    return estimator.predict_proba(X) if hasattr(estimator, "predict_proba") else estimator.predict(X)


def predictions(model: mc.Model) -> list:
    """What a model predicts, as lists."""
    found = model.predict(X)
    return [part.tolist() for part in (found if isinstance(found, tuple) else (found,))]


def write(path: Path) -> None:
    """The archive of today, of the cases that no other has."""
    expected: dict[str, Any] = {}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, tempfile.TemporaryDirectory() as folder:
        for name, make in models().items():
            if any(name == found for _, found in MODELS):
                continue
            model, target = make()
            trained(model, target, epochs=2, checkpoint=Path(folder) / "checkpoint")
            model.save(Path(folder) / "model")
            archive.write(Path(folder) / "checkpoint", f"{name}.checkpoint")
            archive.write(Path(folder) / "model", f"{name}.model")
            archive.writestr(f"{name}.pickle", pickle.dumps(model))
            expected[name] = {"predictions": predictions(model), "losses": trained(model, target, epochs=2)}
        for name, estimator in estimators().items():
            if any(name == found for _, found in ESTIMATORS):
                continue
            estimator.fit(X, labels_for(name))
            archive.writestr(f"{name}.pickle", pickle.dumps(estimator))
            before = probabilities(estimator).tolist()
            expected[name] = {
                "predictions": before,
                "after": probabilities(estimator.fit(X, labels_for(name))).tolist(),
            }
        archive.writestr("expected.json", json.dumps(expected))


def read(archive: Path, name: str) -> bytes:
    """A file of an archive."""
    with zipfile.ZipFile(archive) as opened:
        return opened.read(name)


def expected_of(archive: Path, name: str) -> dict[str, Any]:
    """What was noted of it."""
    return json.loads(read(archive, "expected.json"))[name]


NAMES = [(day, name) for day, path in ARCHIVES.items() for name in json.loads(read(path, "expected.json"))]
MODELS = [(day, name) for day, name in NAMES if name in models()]
ESTIMATORS = [(day, name) for day, name in NAMES if (day, name) not in MODELS]


@pytest.mark.parametrize("day, name", MODELS)
def test_a_model_file_predicts_what_it_did(day: str, name: str, tmp_path: Path) -> None:
    archive = ARCHIVES[day]
    (tmp_path / "model").write_bytes(read(archive, f"{name}.model"))
    found = predictions(mc.load(tmp_path / "model"))
    for one, other in zip(found, expected_of(archive, name)["predictions"], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("day, name", MODELS)
def test_a_checkpoint_goes_on_where_it_stood(day: str, name: str, tmp_path: Path) -> None:
    archive = ARCHIVES[day]
    (tmp_path / "checkpoint").write_bytes(read(archive, f"{name}.checkpoint"))
    model, target = models()[name]()
    losses = trained(model, target, epochs=4, resume=tmp_path / "checkpoint")
    np.testing.assert_allclose(losses[2:], expected_of(archive, name)["losses"], rtol=1e-9)


@pytest.mark.parametrize("day, name", MODELS)
def test_a_pickled_model_goes_on_where_it_stood(day: str, name: str) -> None:
    archive = ARCHIVES[day]
    model, (_, target) = pickle.loads(read(archive, f"{name}.pickle")), models()[name]()
    np.testing.assert_allclose(trained(model, target, epochs=2), expected_of(archive, name)["losses"], rtol=1e-9)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.InconsistentVersionWarning")
@pytest.mark.parametrize("day, name", ESTIMATORS)
def test_a_pickled_estimator_predicts_what_it_did_and_goes_on(day: str, name: str) -> None:
    archive = ARCHIVES[day]
    optional("sklearn")
    estimator, expected = pickle.loads(read(archive, f"{name}.pickle")), expected_of(archive, name)
    np.testing.assert_allclose(probabilities(estimator), expected["predictions"], rtol=1e-9)
    np.testing.assert_allclose(probabilities(estimator.fit(X, labels_for(name))), expected["after"], rtol=1e-6)


@pytest.mark.parametrize(
    ("module", "name", "now"),
    [("losses.likelihood", "Poisson", mc.PoissonNLL), ("layers.saturating", "Softmax", mc.Softmax)],
)
def test_a_pickle_finds_what_was_moved_or_renamed(module: str, name: str, now: type) -> None:
    assert pickle.loads(f"cmlpcore.{module}\n{name}\n.".encode()) is now


def test_there_is_an_archive() -> None:
    assert MODELS and ESTIMATORS


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write(GOLDEN / f"files-{sys.argv[1]}.zip")
