"""scikit-learn's partial dependence and permutation importance on the estimators: its own estimators' numbers."""

from typing import Any

import numpy as np
import pytest
from devices import gpu, open_place
from optional import optional

sklearn = optional("sklearn")

from sklearn.datasets import load_iris  # noqa: E402
from sklearn.inspection import PartialDependenceDisplay, partial_dependence, permutation_importance  # noqa: E402
from sklearn.neural_network import MLPClassifier as TheirClassifier  # noqa: E402
from sklearn.neural_network import MLPRegressor as TheirRegressor  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

from mlpcore.sklearn import MLPClassifier, MLPRegressor  # noqa: E402

X, LABELS = load_iris(return_X_y=True)
NAMES = load_iris().feature_names
WORDS: dict[str, Any] = {"hidden_layer_sizes": 8, "random_state": 0, "max_iter": 30, "learning_rate_init": 0.03}
TARGETS: dict[str, Any] = {
    "two classes": (MLPClassifier, (LABELS > 0).astype(int), 1),
    "two names": (MLPClassifier, np.array(["no", "yes"])[(LABELS > 1).astype(int)], 1),
    "three classes": (MLPClassifier, LABELS, 3),
    "three names": (MLPClassifier, np.array(["a", "b", "c"])[LABELS], 3),
    "two labels": (MLPClassifier, np.stack([LABELS > 0, LABELS > 1], axis=1).astype(int), None),
    "a number": (MLPRegressor, X[:, 3], 1),
    "two numbers": (MLPRegressor, X[:, 2:], 2),
}
KINDS = (MLPClassifier, TheirClassifier)
THEIRS = {MLPClassifier: TheirClassifier, MLPRegressor: TheirRegressor}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def table(form: str) -> Any:
    return optional("pandas").DataFrame(X, columns=NAMES) if form == "data frame" else X


@pytest.mark.parametrize("form", ["array", "data frame"])
@pytest.mark.parametrize("target", TARGETS)
def test_partial_dependence(target: str, form: str) -> None:
    """Of one column by number or name, and of two together."""
    kind, y, outputs = TARGETS[target]
    x = table(form)
    ours, theirs = kind(**WORDS).fit(x, y), THEIRS[kind](**WORDS).fit(x, y)
    sepal, petal = (NAMES[0], NAMES[2]) if form == "data frame" else (0, 2)
    for features in ([0], [petal], (sepal, petal)):
        got, expected = (partial_dependence(model, x, features, grid_resolution=5) for model in (ours, theirs))
        assert outputs in (None, got["average"].shape[0]) and got["average"].shape[1:] == (5,) * len(features)
        np.testing.assert_allclose(got["average"], expected["average"], rtol=1e-8)
        assert np.ptp(got["average"]) > 1e-4


@pytest.mark.parametrize("form", ["array", "data frame"])
@pytest.mark.parametrize("target", TARGETS)
def test_permutation_importance(target: str, form: str) -> None:
    kind, y, _ = TARGETS[target]
    x = table(form)
    got, expected = (
        permutation_importance(model(**WORDS).fit(x, y), x, y, n_repeats=3, random_state=0).importances
        for model in (kind, THEIRS[kind])
    )
    assert got.shape == (4, 3) and np.max(got) > 0.05
    np.testing.assert_allclose(got, expected, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("backend", ["torch", gpu("cupy")])
@pytest.mark.parametrize("target", ["three classes", "two numbers"])
def test_networks_on_another_backend(target: str, backend: str) -> None:
    open_place(backend)
    kind, y, outputs = TARGETS[target]
    x = table("data frame")
    here, there = (kind(**WORDS, backend=name).fit(x, y) for name in ("numpy", backend))
    curves = [partial_dependence(model, x, [NAMES[2]], grid_resolution=5)["average"] for model in (here, there)]
    assert curves[0].shape == (outputs, 5)
    np.testing.assert_allclose(curves[1], curves[0], rtol=1e-6)
    importances = [permutation_importance(m, x, y, n_repeats=2, random_state=0).importances for m in (here, there)]
    np.testing.assert_allclose(importances[1], importances[0], rtol=1e-6, atol=1e-9)


def test_pipelines_and_plots() -> None:
    """A column of whole numbers among others, a scaler before the network, curves of single rows, and the plot."""
    matplotlib = optional("matplotlib")
    matplotlib.use("Agg")
    x = table("data frame").assign(size=np.arange(150) % 4)
    pipeline, theirs = (make_pipeline(StandardScaler(), kind(**WORDS)).fit(x, LABELS) for kind in KINDS)
    curves, words = [], {"kind": "both", "grid_resolution": 5}
    for model in (pipeline, theirs):
        curves.append(partial_dependence(model, x.astype(float), [NAMES[2]], **words))
    assert curves[0]["individual"].shape == (3, 150, 5)
    for kind in ("individual", "average"):
        np.testing.assert_allclose(curves[0][kind], curves[1][kind], rtol=1e-8)
    shown = PartialDependenceDisplay.from_estimator(pipeline, x, [NAMES[2]], target=1, grid_resolution=5)
    assert len(shown.axes_[0, 0].lines) > 0
    matplotlib.pyplot.close("all")
    scored = {"n_repeats": 3, "random_state": 0, "scoring": "neg_log_loss"}
    got, expected = (permutation_importance(model, x, LABELS, **scored).importances for model in (pipeline, theirs))
    np.testing.assert_allclose(got, expected, rtol=1e-8, atol=1e-12)


def test_the_network_of_a_fitted_estimator_is_explained_by_its_model() -> None:
    """Shares that sum to the differences of the scores of the estimator."""
    for target in ("three classes", "two numbers"):
        kind, y, outputs = TARGETS[target]
        estimator = kind(**WORDS, activation="tanh").fit(X, y)
        model = estimator.to_model()
        links = {MLPClassifier: "predict_log_proba", MLPRegressor: "predict"}
        ends = [getattr(estimator, links[kind])(rows) for rows in (X, 0 * X)]
        shares = np.stack([model.integrated_gradients(X, i).sum(axis=1) for i in range(outputs)], axis=1)
        differences = ends[0] - ends[1]
        if kind is MLPClassifier:  # whose scores are logarithms of probabilities but for a number for each row
            shares, differences = (part - part[:, :1] for part in (shares, differences))
        np.testing.assert_allclose(shares, differences, atol=1e-9)
