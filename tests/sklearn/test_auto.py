"""``backend="auto"`` of the estimators: which fits of host arrays are computed on a GPU, and which never are."""

import pickle
import warnings
from pathlib import Path
from typing import Any

import crossover
import numpy as np
import pytest
from crossover import choosing, document, write
from devices import gpu, open_place
from optional import optional

optional("sklearn")

from scipy.sparse import csr_array  # noqa: E402
from sklearn.base import clone  # noqa: E402
from sklearn.exceptions import ConvergenceWarning  # noqa: E402

import mlpcore as mc  # noqa: E402
from mlpcore.sklearn import MLPClassifier, MLPRegressor, StackedSearchCV  # noqa: E402
from mlpcore.sklearn import placement as placing  # noqa: E402
from mlpcore.tabular import TabularRegressor  # noqa: E402
from mlpcore.tabular import load as load_table  # noqa: E402

folder, card, no_card = crossover.folder, crossover.card, crossover.no_card  # fixtures
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
Y = RNG.integers(0, 3, 60)
FLOPS = 3 * 2 * (4 * 5 + 5 * 3)  # of a step, for each row
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def classifier(**words: Any) -> MLPClassifier:
    return MLPClassifier(**{"hidden_layer_sizes": 5, "max_iter": 3, "random_state": 0} | words)


def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the backends that choices open; what is chosen beside NumPy is array-api-strict in their place."""
    names: list[str] = []

    def open_other(choice: Any) -> Any:
        names.append(choice.backend)
        return mc.get_backend("numpy" if choice.backend == "numpy" else "array_api_strict")

    monkeypatch.setattr(placing.Choice, "open", open_other)
    return names


def test_the_default_is_numpy_in_silence_where_nothing_was_measured(folder: Path, card: dict[str, str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator = classifier().fit(X, Y)
    assert estimator.backend_choice_.backend == "numpy" and "nothing was measured" in estimator.backend_choice_.why
    assert not hasattr(classifier(backend="numpy").fit(X, Y), "backend_choice_")
    assert not hasattr(estimator.set_params(backend="numpy").fit(X, Y), "backend_choice_")


def test_the_measured_rule_is_asked_about_the_work_of_a_step(
    folder: Path, card: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = opened(monkeypatch)
    for words, rows in (({}, 60), ({"batch_size": 10}, 10), ({"batch_size": 7, "n_members": 2}, 7)):
        for limit, name in ((FLOPS * rows + 1, "numpy"), (FLOPS * rows - 1, "cupy")):
            write(folder, document(limit))
            assert classifier(**words).fit(X, Y).backend_choice_.backend == names[-1] == name


def test_a_fit_elsewhere_leaves_an_estimator_on_the_host(
    folder: Path, card: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, document(1.0))
    opened(monkeypatch)
    for words in ({}, {"n_members": 2}, {"normalization": "batch"}):
        here = classifier(backend="numpy", **words).fit(X, Y)
        estimator = classifier(**words).fit(X, Y)
        assert estimator.backend_choice_.backend == "cupy"
        networks = [estimator] if "n_members" not in words else estimator.estimators_
        for network in networks:
            assert {type(one) for one in (*network.coefs_, *network.intercepts_)} == {np.ndarray}
            assert network._predictor.backend.name == "numpy"
        probabilities = estimator.predict_proba(X)
        assert type(probabilities) is np.ndarray
        np.testing.assert_allclose(probabilities, here.predict_proba(X), rtol=1e-9)
        again = pickle.loads(pickle.dumps(estimator))
        np.testing.assert_array_equal(again.predict_proba(X), probabilities)


def test_a_continued_fit_keeps_the_choice(folder: Path, card: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    names = opened(monkeypatch)
    write(folder, document(FLOPS * 30))
    estimator = classifier().partial_fit(X, Y, classes=[0, 1, 2])
    estimator.partial_fit(X[:5], Y[:5])  # a step of few rows
    assert set(names) == {"cupy"}
    assert classifier().fit(X[:5], Y[:5]).backend_choice_.backend == "numpy"
    assert clone(estimator).fit(X, Y).backend_choice_.backend == "cupy"
    here = classifier(backend="numpy").partial_fit(X, Y, classes=[0, 1, 2]).partial_fit(X[:5], Y[:5])
    np.testing.assert_allclose(estimator.coefs_[0], here.coefs_[0], rtol=1e-9)


@pytest.mark.parametrize("case", ["lbfgs", "sparse", "device", "foreign"])
def test_what_never_leaves_numpy_or_its_library(case: str, folder: Path, card: dict[str, str]) -> None:
    write(folder, document(1.0))
    if case == "lbfgs":
        assert "SciPy" in classifier(solver="lbfgs").fit(X, Y).backend_choice_.why
    elif case == "sparse":
        assert "sparse" in classifier().fit(csr_array(X), Y).backend_choice_.why
    elif case == "device":
        assert not hasattr(classifier(device="cpu").fit(X, Y), "backend_choice_")
    else:
        strict = mc.get_backend("array_api_strict")
        estimator = classifier().fit(strict.asarray(X), Y)
        assert not hasattr(estimator, "backend_choice_") and strict.owns(estimator.coefs_[0])


def test_searches_use_threads_unless_auto_may_leave_the_host(folder: Path, card: dict[str, str]) -> None:
    def engine(**words: Any) -> str:
        return StackedSearchCV(MLPRegressor(**words), {"alpha": [0.1]})._engine(X)["backend"]

    assert engine() == "threading"
    write(folder, document(1.0))
    assert engine() == "sequential" and engine(backend="numpy") == "threading"
    card["card"] = "another"
    assert engine() == "threading"


def test_estimators_for_tables_say_what_was_chosen(folder: Path, no_card: None, tmp_path: Path) -> None:
    estimator = TabularRegressor("mlp", max_epochs=1, backend="auto", n_ensemble=2).fit(X, X[:, 0])
    assert {str(model.backend_choice) for model in estimator.members_} == {
        "numpy: no GPU can be used (there is none; buy one)"
    }
    estimator.save(tmp_path / "table")
    assert load_table(tmp_path / "table").backend_choice is None
    loaded = load_table(tmp_path / "table", backend="auto")
    assert loaded.backend_choice == estimator.members_[0].backend_choice
    np.testing.assert_array_equal(loaded.predict(X), estimator.predict(X))


@pytest.mark.parametrize("place", [gpu("cupy")])
def test_on_a_device(place: str, folder: Path) -> None:
    open_place(place)
    write(folder, document(1.0, setup=dict(choosing["setup"]())))
    for words in ({}, {"n_members": 2, "dropout": 0.1}, {"early_stopping": True, "dtype": "float32"}):
        estimator, named = classifier(**words).fit(X, Y), classifier(backend="cupy", **words).fit(X, Y)
        assert estimator.backend_choice_.backend == "cupy"
        assert type(estimator.predict_proba(X)) is np.ndarray
        tolerance = 1e-4 if "dtype" in words else 1e-9
        np.testing.assert_allclose(estimator.predict_proba(X), named.predict_proba(X), rtol=tolerance)
    continued = classifier().partial_fit(X, Y, classes=[0, 1, 2]).partial_fit(X, Y)
    whole = classifier(max_iter=2).fit(X, Y)
    np.testing.assert_array_equal(continued.coefs_[0], whole.coefs_[0])
    table = TabularRegressor("mlp", max_epochs=1, backend="auto", n_ensemble=2).fit(X, X[:, 0])
    assert {model.backend.name for model in table.members_} == {"cupy"}
