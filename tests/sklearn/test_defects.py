"""What scikit-learn's MLPs do wrong, shown on theirs, and right on ours; lettered as in docs/estimators.md."""

import pickle
from typing import Any

import numpy as np
import pytest
from optional import optional

sklearn = optional("sklearn")

from sklearn.ensemble import BaggingClassifier  # noqa: E402
from sklearn.neural_network import MLPClassifier as TheirClassifier  # noqa: E402
from sklearn.neural_network import MLPRegressor as TheirRegressor  # noqa: E402
from sklearn.utils.fixes import parse_version  # noqa: E402

from mlpcore.sklearn import MLPClassifier, MLPRegressor  # noqa: E402
from mlpcore.sklearn.draws import Draws  # noqa: E402

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
LABELS = np.repeat([0, 1, 2], [50, 7, 3])
Y = X[:, 0] ** 2 + X[:, 1]
COMPAT = {"compat": "sklearn"}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
needs_weights = pytest.mark.skipif(
    parse_version(sklearn.__version__) < parse_version("1.7"), reason="their sample_weight is new in 1.7"
)


def flat(estimator: Any) -> np.ndarray:
    return np.concatenate([part.reshape(-1) for part in (*estimator.coefs_, *estimator.intercepts_)])


def seen_rows(estimator: Any, monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """The rows held out by a fit, as our own splitter gives them to it."""
    found: list[np.ndarray] = []
    held_out = Draws.held_out

    def noted(self: Draws, *arguments: Any, **options: Any) -> Any:
        parts = held_out(self, *arguments, **options)
        found.append(parts[1])
        return parts

    monkeypatch.setattr(Draws, "held_out", noted)
    estimator.fit(X, LABELS)
    return found


def test_a_early_stopping_holds_out_every_class(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = {"theirs": 0, "ours": 0}
    words = {"early_stopping": True, "max_iter": 1, "validation_fraction": 0.2}
    for seed in range(12):
        (compat,) = seen_rows(MLPClassifier(random_state=seed, **words, **COMPAT), monkeypatch)
        (ours,) = seen_rows(MLPClassifier(random_state=seed, **words), monkeypatch)
        missing["theirs"] += len(np.unique(LABELS[compat])) < 3
        missing["ours"] += len(np.unique(LABELS[ours])) < 3
        assert np.bincount(LABELS[ours]).tolist() == [10, 1, 1]
    assert missing["theirs"] > 2 and missing["ours"] == 0


def test_a_a_class_of_one_row_is_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.repeat([0, 1, 2, 3], [30, 28, 1, 1])
    model = MLPClassifier(early_stopping=True, max_iter=2, random_state=0).fit(X, labels)
    assert model.classes_.tolist() == [0, 1, 2, 3]


@needs_weights
def test_b_a_batch_without_weight_is_left_out() -> None:
    weights = np.where(np.arange(60) < 8, 0.0, 1.0)
    words = {"batch_size": 4, "shuffle": False, "max_iter": 3, "random_state": 0, "alpha": 0.5}
    with pytest.raises(ZeroDivisionError):
        TheirClassifier(**words).fit(X, LABELS, sample_weight=weights)
    ours = MLPClassifier(**words).fit(X, LABELS, sample_weight=weights)
    fewer = MLPClassifier(**words).fit(X[8:], LABELS[8:])
    np.testing.assert_allclose(flat(ours), flat(fewer), rtol=1e-12)
    np.testing.assert_allclose(ours.loss_curve_, fewer.loss_curve_, rtol=1e-12)


@needs_weights
def test_b_bagging_works() -> None:
    words = {"n_estimators": 3, "random_state": 0}
    with pytest.raises(ZeroDivisionError):
        BaggingClassifier(TheirClassifier(batch_size=4, max_iter=5), **words).fit(X, LABELS)
    assert BaggingClassifier(MLPClassifier(batch_size=4, max_iter=5), **words).fit(X, LABELS).score(X, LABELS) > 0.5


def orders(estimator: Any, monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The orders of three partial fits."""
    found: list[list[int]] = []
    order = Draws.order

    def noted(self: Draws, rows: int) -> np.ndarray:
        found.append(order(self, rows).tolist())
        return np.array(found[-1])

    monkeypatch.setattr(Draws, "order", noted)
    for _ in range(3):
        estimator.partial_fit(X, Y)
    return found


def test_c_partial_fits_differ_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    _, second, third = orders(MLPRegressor(random_state=0, **COMPAT), monkeypatch)
    assert second == third
    assert len({tuple(order) for order in orders(MLPRegressor(random_state=0), monkeypatch)}) == 3
    # Theirs: the same rows first after the same number of calls, whatever came between.
    theirs = TheirRegressor(random_state=0, batch_size=7, solver="sgd", momentum=0.0)
    compat = MLPRegressor(random_state=0, batch_size=7, solver="sgd", momentum=0.0, **COMPAT)
    for _ in range(3):
        np.testing.assert_allclose(flat(compat.partial_fit(X, Y)), flat(theirs.partial_fit(X, Y)), atol=1e-12)


@pytest.mark.parametrize("words", [{}, {"solver": "sgd", "learning_rate": "invscaling"}, {"dropout": 0.2}])
def test_c_as_many_partial_fits_are_a_fit(words: dict[str, Any]) -> None:
    whole = MLPRegressor(random_state=0, max_iter=4, batch_size=9, **words).fit(X, Y)
    parts = MLPRegressor(random_state=0, batch_size=9, **words)
    for _ in range(4):
        parts.partial_fit(X, Y)
    np.testing.assert_array_equal(flat(parts), flat(whole))
    assert parts.loss_curve_ == whole.loss_curve_


@pytest.mark.parametrize("words", [{}, {"solver": "sgd", "learning_rate": "invscaling"}])
def test_d_two_and_two_epochs_are_four(words: dict[str, Any]) -> None:
    def fitted(kind: Any, epochs: int, times: int, **more: Any) -> Any:
        made = kind(random_state=0, warm_start=True, max_iter=epochs, batch_size=9, **words, **more)
        for _ in range(times):
            made.fit(X, Y)
        return made

    assert np.abs(flat(fitted(TheirRegressor, 2, 2)) - flat(fitted(TheirRegressor, 4, 1))).max() > 1e-5
    np.testing.assert_array_equal(flat(fitted(MLPRegressor, 2, 2)), flat(fitted(MLPRegressor, 4, 1)))
    assert np.abs(flat(fitted(MLPRegressor, 2, 2, **COMPAT)) - flat(fitted(TheirRegressor, 2, 2))).max() < 1e-12


@pytest.mark.parametrize("labels", [(X[:, 0] > 0).astype(int), LABELS, (X[:, :3] > 0).astype(int)])
def test_e_logarithms_of_probabilities_are_finite(labels: np.ndarray) -> None:
    far = 1e6 * X
    theirs = TheirClassifier(random_state=0, max_iter=2).fit(X, labels)
    ours = MLPClassifier(random_state=0, max_iter=2).fit(X, labels)
    with np.errstate(divide="ignore"):
        assert np.isneginf(theirs.predict_log_proba(far)).any()
    logs = ours.predict_log_proba(far)
    assert np.isfinite(logs).all() and (logs <= 0).all() and logs.min() < -1e3
    np.testing.assert_allclose(ours.predict_log_proba(X), np.log(ours.predict_proba(X)), rtol=1e-9)


def test_f_a_regressor_without_epochs_has_no_partial_fit() -> None:
    assert hasattr(TheirRegressor(solver="lbfgs"), "partial_fit")
    for ours in (MLPRegressor, MLPClassifier):
        assert not hasattr(ours(solver="lbfgs"), "partial_fit") and hasattr(ours(), "partial_fit")
        with pytest.raises(AttributeError):
            ours(solver="lbfgs").partial_fit(X, Y)


def test_h_a_pickle_is_little_more_than_the_parameters() -> None:
    words = {"random_state": 0, "max_iter": 30}
    theirs, ours = TheirClassifier(**words).fit(X, LABELS), MLPClassifier(**words).fit(X, LABELS)
    parameters = flat(ours).nbytes
    assert len(pickle.dumps(theirs)) > 3 * parameters
    assert len(pickle.dumps(ours)) < parameters + 4000
    # What goes on keeps what it needs.
    going_on = pickle.loads(pickle.dumps(MLPClassifier(**words, warm_start=True).fit(X, LABELS)))
    once = MLPClassifier(**words, warm_start=True).fit(X, LABELS)
    np.testing.assert_array_equal(flat(going_on.fit(X, LABELS)), flat(once.fit(X, LABELS)))


def numerical_gradient(loss: Any, point: float) -> float:
    return (loss(point + 1e-5) - loss(point - 1e-5)) / 2e-5


def test_j_with_several_outputs_the_gradient_is_that_of_the_reported_loss() -> None:
    targets = RNG.normal(size=(60, 3))
    words = {"solver": "sgd", "momentum": 0.0, "learning_rate_init": 1.0, "max_iter": 1, "batch_size": 60, "alpha": 0.0}

    def measured(kind: Any, **more: Any) -> float:
        """The step of one bias by the derivative of the loss reported for it."""
        made = kind(random_state=0, warm_start=True, **words, **more)
        made.fit(X, targets)
        start = [part.copy() for part in made.coefs_], [part.copy() for part in made.intercepts_]

        def loss(bias: float) -> float:
            made.coefs_, made.intercepts_ = ([part.copy() for part in parts] for parts in start)
            made.intercepts_[-1][0] = bias
            made.fit(X, targets)
            return float(made.loss_)

        bias = start[1][-1][0]
        loss(bias)
        return (bias - made.intercepts_[-1][0]) / numerical_gradient(loss, bias)

    assert measured(TheirRegressor) == pytest.approx(3, rel=1e-6)
    assert measured(MLPRegressor, **COMPAT) == pytest.approx(3, rel=1e-6)
    assert measured(MLPRegressor) == pytest.approx(1, rel=1e-6)


@pytest.mark.parametrize("labels", [(X[:, 0] > 0).astype(int), LABELS, (X[:, :3] > 0).astype(int)])
def test_k_the_loss_of_a_sure_and_wrong_answer_is_told(labels: np.ndarray) -> None:
    words = {"random_state": 0, "max_iter": 1, "alpha": 0.0, "batch_size": 60, "solver": "sgd"}
    theirs = TheirClassifier(**words).fit(1e3 * X, labels)
    compat = MLPClassifier(**words, **COMPAT).fit(1e3 * X, labels)
    ours = MLPClassifier(**words).fit(1e3 * X, labels)
    columns = labels.shape[1] if labels.ndim == 2 else 1
    assert theirs.loss_ < 36.1 * columns and compat.loss_ == pytest.approx(theirs.loss_, rel=1e-9)
    start = MLPClassifier(**(words | {"learning_rate_init": 1e-300})).fit(1e3 * X, labels)
    hidden = np.maximum(1e3 * X @ start.coefs_[0] + start.intercepts_[0], 0)
    z = hidden @ start.coefs_[1] + start.intercepts_[1]
    if labels is LABELS:
        true = np.logaddexp.reduce(z, axis=1) - z[np.arange(60), labels]
    else:
        true = np.sum(np.logaddexp(0, z) - labels.reshape(z.shape) * z, axis=1)
    assert ours.loss_ == pytest.approx(true.mean(), rel=1e-9) and ours.loss_ > 2 * theirs.loss_
