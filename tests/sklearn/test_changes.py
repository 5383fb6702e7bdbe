"""Fitted estimators whose arguments change, or whose next fit fails: what goes on, begins anew, or is refused."""

from typing import Any

import numpy as np
import pytest
from devices import gpu, open_place
from optional import optional

sklearn = optional("sklearn")

from sklearn.metrics import log_loss  # noqa: E402
from sklearn.neural_network import MLPClassifier as TheirClassifier  # noqa: E402
from sklearn.utils import compute_sample_weight  # noqa: E402

from mlpcore.backends.transfer import to_host  # noqa: E402
from mlpcore.losses import PoissonNLL  # noqa: E402
from mlpcore.optimizers import Adam  # noqa: E402
from mlpcore.sklearn import MLPClassifier, MLPRegressor  # noqa: E402
from mlpcore.trees import leaves  # noqa: E402

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
LABELS = (X[:, 0] > -0.8).astype(int) + (X[:, 1] > 0.3)
Y = X[:, 0] + 0.3 * X[:, 1] ** 2
CLASSES = [0, 1, 2]

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def classifier(**words: Any) -> MLPClassifier:
    return MLPClassifier(**({"hidden_layer_sizes": (6,), "random_state": 0, "max_iter": 4, "batch_size": 16} | words))


def regressor(*loss: Any, **words: Any) -> MLPRegressor:
    return MLPRegressor(*loss, **({"hidden_layer_sizes": (6,), "random_state": 0, "max_iter": 4} | words))


def flat(estimator: Any) -> np.ndarray:
    return np.concatenate([to_host(part).reshape(-1) for part in (*estimator.coefs_, *estimator.intercepts_)])


class Fails:
    def on_epoch_end(self, report: Any) -> None:
        raise RuntimeError("no disk")


@pytest.mark.parametrize("backend", ["numpy", "torch", gpu("cupy")])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("once", [True, False])
def test_a_failed_fit_leaves_nothing_for_the_next_one(solver: str, once: bool, backend: str) -> None:
    open_place(backend)

    def trained(fails: bool) -> np.ndarray:
        model = classifier(solver=solver, warm_start=not once, backend=backend, dropout=0.2)
        for attempt in range(3):
            model.set_params(callbacks=[Fails()] if fails and attempt == 1 else ())
            if fails and attempt == 1:
                with pytest.raises(RuntimeError, match="no disk"):
                    model.partial_fit(X, LABELS) if once else model.fit(X, LABELS)
            elif attempt != 1:
                model.partial_fit(X, LABELS, classes=CLASSES) if once else model.fit(X, LABELS)
        return flat(model)

    np.testing.assert_array_equal(trained(True), trained(False))


def test_random_numbers_of_the_caller_are_not_put_back() -> None:
    random = np.random.RandomState(0)
    model = classifier(random_state=random).partial_fit(X, LABELS, classes=CLASSES)
    before = random.get_state()[2]
    with pytest.raises(RuntimeError):
        model.set_params(callbacks=[Fails()]).partial_fit(X, LABELS)
    assert random.get_state()[2] != before


@pytest.mark.parametrize("solver", ["adam", "sgd", "rmsprop"])
@pytest.mark.parametrize("once", [True, False])
def test_another_learning_rate_is_heeded(solver: str, once: bool) -> None:
    def moved(rate: float) -> float:
        model = classifier(solver=solver, warm_start=True, momentum=0.0, learning_rate_init=0.01).fit(X, LABELS)
        before = flat(model)
        model.set_params(learning_rate_init=rate)
        return float(np.abs(flat(model.partial_fit(X, LABELS) if once else model.fit(X, LABELS)) - before).max())

    assert moved(1e-9) < 1e-6 < 1e-4 < moved(0.01)


def test_the_adaptive_rate_goes_on_where_nothing_was_set() -> None:
    words = {"solver": "sgd", "learning_rate": "adaptive", "n_iter_no_change": 1, "tol": 10.0, "warm_start": True}
    model = classifier(**words, max_iter=6).fit(X, LABELS)
    low = model._optimizer.learning_rate
    assert low < 1e-4 and model.fit(X, LABELS)._optimizer.learning_rate < low
    model.set_params(learning_rate_init=0.5, max_iter=1).fit(X, LABELS)
    assert model._optimizer.learning_rate > low


@pytest.mark.parametrize(
    "changed", [{"hidden_layer_sizes": (5,)}, {"hidden_layer_sizes": (6, 6)}, {"hidden_layer_sizes": ()}]
)
def test_another_network_cannot_go_on(changed: dict[str, Any]) -> None:
    model = classifier(warm_start=True).fit(X, LABELS).set_params(**changed)
    with pytest.raises(ValueError, match=r"but the fitted network, which .* continue, has \[4, 6, 3\]"):
        model.fit(X, LABELS)
    assert model.set_params(warm_start=False).fit(X, LABELS).transform is not None


def test_other_targets_cannot_go_on() -> None:
    model = regressor(warm_start=True).fit(X, Y)
    with pytest.raises(ValueError, match=r"need layers of \[4, 6, 2\] units"):
        model.fit(X, np.stack([Y, Y], axis=1))
    with pytest.raises(ValueError, match=r"need layers of \[4, 6, 2\] units"):
        model.set_params(loss="gaussian").fit(X, Y)


def test_what_is_predicted_follows_the_fit_and_not_what_was_set_since() -> None:
    model = regressor().fit(X, Y).set_params(loss="gaussian")
    with pytest.raises(ValueError, match=r"return_std=True needs loss='gaussian', the fit had HalfSquaredError"):
        model.predict(X, return_std=True)
    assert not hasattr(model.set_params(loss="quantile"), "predict_quantiles")
    levels = regressor("quantile").fit(X, Y).set_params(loss="squared_error").predict_quantiles(X)
    assert levels.shape == (60, 3)


@pytest.mark.parametrize("loss", ["poisson", PoissonNLL(constant="deviance"), PoissonNLL()])
def test_the_link_of_a_poisson_loss(loss: Any) -> None:
    assert regressor(loss).fit(X, np.abs(Y)).out_activation_ == "exp"


@pytest.mark.parametrize("sizes", [5.7, (5.7,), (4, 5.0)])
def test_widths_are_not_rounded(sizes: Any) -> None:
    with pytest.raises(ValueError, match="hidden_layer_sizes"):
        classifier(hidden_layer_sizes=sizes).fit(X, LABELS)


@pytest.mark.parametrize("layer", ["first", 0.5, None, 1, -2])
def test_layers_that_are_not_there(layer: Any) -> None:
    with pytest.raises(ValueError, match=r"expected one of the 1 hidden layers"):
        classifier().fit(X, LABELS).transform(X, layer=layer)


@pytest.mark.parametrize("several", [False, True])
def test_balanced_classes_and_validation_data(several: bool) -> None:
    target, held = (np.stack([LABELS > 0, LABELS > 1], axis=1).astype(int) if several else LABELS), slice(0, 20)
    model = classifier(class_weight="balanced").fit(X, target, validation_data=(X[held], target[held]))
    weights = compute_sample_weight("balanced", target)[held]  # of the classes as they are in the training rows
    if several:
        logs = model.predict_log_proba(X[held]) * target[held], np.log1p(-model.predict_proba(X[held]))
        expected = np.average(-(logs[0] + (1 - target[held]) * logs[1]).sum(axis=1), weights=weights)
    else:
        expected = log_loss(target[held], model.predict_proba(X[held]), sample_weight=weights, labels=CLASSES)
    assert model.validation_loss_curve_[-1] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf])
def test_weights_of_classes_that_are_none(weight: float) -> None:
    with pytest.raises(ValueError, match="expected a finite number of 0 or more"):
        classifier(class_weight={0: weight, 1: 1, 2: 1}).fit(X, LABELS)


def test_classes_without_weight() -> None:
    nothing = {0: 0, 1: 0, 2: 0}
    with pytest.raises(ValueError, match="leaves no row a weight above 0"):
        classifier(class_weight=nothing).fit(X, LABELS)
    model = classifier(class_weight={0: 0, 1: 1, 2: 1}).partial_fit(X, LABELS, classes=CLASSES)
    before = flat(model)
    none = LABELS == 0
    np.testing.assert_array_equal(flat(model.partial_fit(X[none], LABELS[none])), before)


@pytest.mark.parametrize("words", [{"weight_decay": 0.1}, {"learning_rate": "cosine"}])
def test_an_optimizer_of_mlpcore_has_its_own_rate_and_decay(words: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="set it in that optimizer"):
        classifier(solver=Adam(0.01), **words).fit(X, LABELS)


def test_what_lbfgs_would_leave_out() -> None:
    with pytest.raises(ValueError, match="validation_data cannot be used with solver='lbfgs'"):
        classifier(solver="lbfgs").fit(X, LABELS, validation_data=(X, LABELS))
    with pytest.raises(ValueError, match=r"callbacks=.* cannot be used with solver='lbfgs'"):
        classifier(solver="lbfgs", callbacks=[Fails()]).fit(X, LABELS)


def test_a_scorer_may_be_plain_and_ask_for_what_is_known() -> None:
    asked: list[tuple] = []

    def plain(estimator: Any, x: Any, y: Any) -> float:
        asked.append((estimator.predict_quantiles(x).shape[1], estimator.n_outputs_, estimator.n_layers_))
        return estimator.score(x, y)

    regressor("quantile", early_stopping=True, scoring=plain).fit(X, Y, sample_weight=np.ones(60))
    assert asked == [(3, 1, 3)] * 4


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_their_warm_start_with_early_stopping_overwrites_its_best(solver: str) -> None:
    # A rate that spoils a good fit: nothing in the second one is as good as the best of the first.
    words = {"hidden_layer_sizes": (6,), "random_state": 0, "solver": solver, "early_stopping": True, "max_iter": 30}
    theirs, ours, mended = (
        kind(**words, warm_start=True, learning_rate_init=0.05, **more)
        for kind, more in ((TheirClassifier, {}), (MLPClassifier, {"compat": "sklearn"}), (MLPClassifier, {}))
    )
    for one in (theirs, ours, mended):
        one.fit(X, LABELS)
        before = flat(one)
        one.set_params(learning_rate_init=0.9, max_iter=3).fit(X, LABELS)
    assert len(theirs.validation_scores_) == len(ours.validation_scores_) and not np.array_equal(before, flat(theirs))
    np.testing.assert_allclose(flat(ours), flat(theirs), rtol=0, atol=1e-8)
    np.testing.assert_array_equal(flat(mended), before)


@pytest.mark.parametrize("fitted", ["relu", "tanh", "identity"])
def test_to_sklearn_has_the_activation_of_the_fit(fitted: str) -> None:
    model = classifier(activation=fitted).fit(X, LABELS).set_params(activation="logistic", normalization="batch")
    theirs = model.to_sklearn()
    assert theirs.activation == fitted
    np.testing.assert_allclose(theirs.predict_proba(X), model.predict_proba(X), rtol=0, atol=1e-12)


@pytest.mark.parametrize("first", [True, False])
def test_a_part_without_weight(first: bool) -> None:
    # Half of the rows are held out; of two weights above 0 some seed leaves none to either part.
    weights, said = np.zeros(60), set()
    weights[[0, 1]] = 1.0
    for seed in range(20):
        model = classifier(early_stopping=True, validation_fraction=0.5, random_state=seed)
        try:
            model.fit(X, LABELS, sample_weight=weights)
        except ValueError as error:
            said.add(str(error))
    part = "held out for early stopping" if first else "left to train on"
    assert any(message.startswith(f"all 30 rows {part} have weight 0") for message in said)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_their_partial_fit_keeps_its_first_rate(solver: str) -> None:
    words = {"hidden_layer_sizes": (6,), "random_state": 0, "solver": solver, "batch_size": 16}
    theirs, ours = TheirClassifier(**words), MLPClassifier(**words, compat="sklearn")
    for one in (theirs, ours):
        one.partial_fit(X, LABELS, classes=CLASSES)
        one.set_params(learning_rate_init=0.3).partial_fit(X, LABELS)
    np.testing.assert_allclose(flat(ours), flat(theirs), rtol=0, atol=1e-10)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_another_dtype_goes_on_from_where_the_first_stood(solver: str) -> None:
    """Weights, moments and count of a fit in float32: what follows is near a fit that was in float64 all along."""
    changed, whole = (classifier(solver=solver, warm_start=True, dtype=dtype) for dtype in ("float32", "float64"))
    changed.fit(X, LABELS).set_params(dtype="float64").fit(X, LABELS)
    whole.fit(X, LABELS).fit(X, LABELS)
    for one, other in zip(changed.coefs_, whole.coefs_, strict=True):
        assert one.dtype == np.float64
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert changed.predict_proba(X).dtype == np.float64
    states = [one._optimizer.model.trainer.state for one in (changed, whole)]
    assert [leaf.dtype for leaf in leaves(states[0])] == [leaf.dtype for leaf in leaves(states[1])]


@pytest.mark.parametrize("early_stopping", [True, False])
def test_an_unknown_name_of_a_score_is_found_before_training(early_stopping: bool) -> None:
    estimator = classifier(scoring="acuracy", early_stopping=early_stopping, max_iter=10**6)
    with pytest.raises(ValueError, match="'acuracy' is not a valid scoring value"):
        estimator.fit(X, LABELS)
