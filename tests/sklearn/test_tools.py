"""scikit-learn's tools on the estimators: pipelines, searches, ensembles, clones, processes; and under dispatch."""

import copy
import os
import pickle
from typing import Any

import numpy as np
import pytest
from devices import gpu, open_place
from optional import optional

sklearn = optional("sklearn")

import joblib  # noqa: E402
from sklearn import config_context  # noqa: E402
from sklearn.base import clone  # noqa: E402
from sklearn.calibration import CalibratedClassifierCV  # noqa: E402
from sklearn.datasets import load_iris  # noqa: E402
from sklearn.ensemble import BaggingClassifier, BaggingRegressor, StackingClassifier, VotingClassifier  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.model_selection import GridSearchCV, cross_val_score  # noqa: E402
from sklearn.pipeline import Pipeline, make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

import mlpcore as mc  # noqa: E402
from mlpcore.sklearn import MLPClassifier, MLPRegressor  # noqa: E402

X, LABELS = load_iris(return_X_y=True)
Y = X[:, 3]
FAST: dict[str, Any] = {"hidden_layer_sizes": 8, "random_state": 0, "max_iter": 60, "learning_rate_init": 0.03}
BACKENDS = ["numpy", "torch", gpu("cupy")]

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def classifier(**words: Any) -> MLPClassifier:
    return MLPClassifier(**(FAST | words))


@pytest.mark.parametrize("backend", BACKENDS)
def test_tools(backend: str) -> None:
    open_place(backend)
    one, words = classifier(backend=backend), {"random_state": 0}
    pipeline = make_pipeline(StandardScaler(), one).fit(X, LABELS)
    assert pipeline.score(X, LABELS) > 0.9
    assert make_pipeline(StandardScaler(), one, LogisticRegression()).fit(X, LABELS).score(X, LABELS) > 0.9
    assert cross_val_score(pipeline, X, LABELS, cv=3).mean() > 0.9
    search = GridSearchCV(one, {"alpha": [1e-4, 1.0], "dropout": [0.0, 0.1]}, cv=2).fit(X, LABELS)
    assert search.best_score_ > 0.85
    others = [("a", one), ("b", LogisticRegression(max_iter=1000))]
    for ensemble in (
        BaggingClassifier(one, n_estimators=2, **words),
        CalibratedClassifierCV(one, cv=2),
        VotingClassifier(others, voting="soft"),
        StackingClassifier(others, cv=2),
    ):
        assert ensemble.fit(X, LABELS).score(X, LABELS) > 0.85
    assert BaggingRegressor(MLPRegressor(**FAST, backend=backend), n_estimators=2, **words).fit(X, Y).score(X, Y) > 0.8


def test_clones_copies_and_processes() -> None:
    cloudpickle = optional("cloudpickle")
    copies = {
        "pickle": lambda model: pickle.loads(pickle.dumps(model)),
        "cloudpickle": lambda model: pickle.loads(cloudpickle.dumps(model)),
        "deepcopy": __import__("copy").deepcopy,
        "process": lambda model: joblib.Parallel(n_jobs=2)(joblib.delayed(copy.copy)(model) for _ in range(2))[1],
    }
    activation, optimizer = [mc.GELU("tanh")], mc.AdamW(mc.CosineDecay(0.03, 100))
    for model in (classifier(), classifier(activation=activation, solver=optimizer, warm_start=True, dropout=0.1)):
        fresh = clone(model)
        assert fresh.get_params() == model.get_params()
        model.fit(X, LABELS)
        for name, copied in copies.items():
            made = copied(model)
            np.testing.assert_array_equal(made.predict_proba(X), model.predict_proba(X), err_msg=name)
            assert made.get_params() == model.get_params(), name
            further = model if name == "process" else copied(model)  # the last one may move on itself
            np.testing.assert_array_equal(
                made.partial_fit(X, LABELS).coefs_[0], further.partial_fit(X, LABELS).coefs_[0], err_msg=name
            )
    models = [classifier(random_state=seed) for seed in range(2)]
    fits = joblib.Parallel(n_jobs=2)(joblib.delayed(MLPClassifier.fit)(model, X, LABELS) for model in models)
    assert [fitted.loss_ for fitted in fits] == [model.fit(X, LABELS).loss_ for model in models]


@pytest.mark.parametrize("backend", ["array_api_strict", *BACKENDS])
def test_a_model_of_mlpcore_is_copied_and_pickled(backend: str) -> None:
    open_place(backend)
    net = mc.Sequential(mc.Linear(4, 8), mc.BatchNorm(8), mc.ReLU(), mc.Dropout(0.2), mc.Linear(8, 3))
    model = mc.Model(net, mc.SoftmaxCrossEntropy(), backend=backend, ema=0.9, metrics=["accuracy", _zero])
    model.fit(X, LABELS, epochs=2)
    copies = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    model.fit(X, LABELS, epochs=2)
    for made in copies:
        made.fit(X, LABELS, epochs=2)
        assert made.backend.name == backend
        np.testing.assert_array_equal(made.predict(X), model.predict(X))
        assert made.evaluate(X, LABELS) == model.evaluate(X, LABELS)


def _zero(target: Any, prediction: Any) -> float:
    return 0.0


def test_representation() -> None:
    page = classifier(backend="torch")._repr_html_()
    assert "MLPClassifier" in page and "backend" in page
    assert repr(MLPClassifier(backend="cupy")) == "MLPClassifier(backend='cupy')"


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_validation_rows_go_through_a_pipeline(kind: type) -> None:
    """By scikit-learn's own mechanism, which transforms what is named; targets and weights it passes on as they are."""
    words = FAST | {"early_stopping": True, "max_iter": 10}
    wild, y = X * [1e3, 1.0, 1e-3, 1.0] + 50, LABELS if kind is MLPClassifier else Y
    scaler, weights = StandardScaler().fit(wild[::2]), np.linspace(0.5, 2, 75)
    scaled, held = scaler.transform(wild[::2]), scaler.transform(wild[1::2])
    direct = kind(**words).fit(scaled, y[::2], validation_data=(held, y[1::2], weights))
    apart = kind(**words).fit(scaled, y[::2], X_val=held, y_val=y[1::2], sample_weight_val=weights)
    with config_context(enable_metadata_routing=True):
        last = kind(**words).set_fit_request(X_val=True, y_val=True, sample_weight_val=True)
        steps = Pipeline([("scale", StandardScaler()), ("net", last)], transform_input=["X_val"])
        through = steps.fit(wild[::2], y[::2], X_val=wild[1::2], y_val=y[1::2], sample_weight_val=weights)[-1]
    for model in (apart, through):
        np.testing.assert_array_equal(model.coefs_[0], direct.coefs_[0])
        assert model.validation_scores_ == direct.validation_scores_
        assert model.validation_loss_curve_ == direct.validation_loss_curve_


def test_validation_rows_are_passed_in_one_way() -> None:
    for words, said in (
        ({"X_val": X}, "y_val is missing, expected both X_val and y_val"),
        ({"y_val": LABELS}, "X_val is missing, expected both X_val and y_val"),
        ({"sample_weight_val": LABELS}, "X_val is missing"),
        ({"X_val": X, "y_val": LABELS, "validation_data": (X, LABELS)}, "two ways to pass the same rows"),
        ({"X_val": X[:, :2], "y_val": LABELS}, "X has 2 features"),
    ):
        with pytest.raises(ValueError, match=said):
            classifier().fit(X, LABELS, **words)


@pytest.mark.parametrize("output", ["pandas", "polars", "default"])
@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_the_columns_of_a_hidden_layer_have_names(kind: type, output: str) -> None:
    """As many as the layer has, whichever was asked; its frame is that of scikit-learn's `set_output`."""
    if output != "default":
        optional(output)
    sizes = (7, 2, 5)
    model = kind(**(FAST | {"hidden_layer_sizes": sizes, "max_iter": 2})).fit(X, LABELS)
    plain = [model.transform(X, layer=layer) for layer in range(3)]
    model.set_output(transform=output)
    for layer in (-3, -2, -1, 0, 1, np.int64(2)):
        made, width = model.transform(X, layer=layer), sizes[layer]
        np.testing.assert_array_equal(np.asarray(made), plain[layer])
        if output != "default":
            assert type(made).__module__.startswith(output)
            assert list(made.columns) == [f"{kind.__name__.lower()}{i}" for i in range(width)]
    last = model.transform(X)
    if output != "default":
        assert list(last.columns) == model.get_feature_names_out().tolist()
        with config_context(transform_output=output):
            again = kind(**(FAST | {"hidden_layer_sizes": sizes, "max_iter": 2}))
            assert list(again.fit_transform(X, LABELS).columns) == list(last.columns)
            assert again.transform(X, layer=0).shape == (150, 7)
        steps = make_pipeline(StandardScaler(), model).set_output(transform=output)
        assert list(steps.fit(X, LABELS).transform(X).columns) == steps.get_feature_names_out().tolist()
    if output == "pandas":
        frame = optional("pandas").DataFrame(X, index=range(100, 250))
        assert model.fit(frame.to_numpy(), LABELS).transform(frame, layer=1).index.tolist() == list(range(100, 250))
    else:
        bare = kind(**(FAST | {"hidden_layer_sizes": ()})).fit(X, LABELS).set_output(transform=output)
        for act in (lambda: bare.transform(X), bare.get_feature_names_out):
            with pytest.raises(ValueError, match="layer is -1, expected one of the 0 hidden layers"):
                act()


# --- under array API dispatch, which SCIPY_ARRAY_API=1 allows before the first import; see test_suites.py


def makers() -> list[str]:
    return ["array_api_strict", "torch"]


def put(library: str, x: np.ndarray) -> Any:
    module = optional(library)
    return module.asarray(x)


needs_dispatch = pytest.mark.skipif(
    os.environ.get("SCIPY_ARRAY_API") != "1", reason="dispatch needs SCIPY_ARRAY_API=1 before the first import"
)


@needs_dispatch
@pytest.mark.parametrize("library", makers())
def test_dispatch(library: str) -> None:
    x, labels, y = put(library, X), put(library, LABELS), put(library, Y)
    with config_context(array_api_dispatch=True):
        model = classifier().fit(x, labels)
        host = classifier().fit(X, LABELS)
        assert type(model.predict(x)) is type(x) and type(model.classes_) is type(x)
        assert model.score(x, labels) == pytest.approx(host.score(X, LABELS))
        weights = put(library, np.linspace(0.5, 2, 150))
        assert 0.8 < classifier().fit(x, labels, sample_weight=weights).score(x, labels, sample_weight=weights) <= 1
        assert MLPRegressor(**FAST).fit(x, y).score(x, y) > 0.8
        scaled = make_pipeline(StandardScaler(), classifier()).fit(x, labels)
        assert type(scaled.predict_proba(x)) is type(x) and scaled.score(x, labels) > 0.9
        with pytest.raises(ValueError, match="must use the same namespace"):
            model.predict(X)
        if library == "torch":  # array-api-strict refuses the NumPy indices of the splitter
            assert cross_val_score(scaled, x, labels, cv=3).mean() > 0.85
        early = classifier(early_stopping=True, scoring="accuracy").fit(x, labels)
        assert len(early.validation_scores_) == early.n_iter_
