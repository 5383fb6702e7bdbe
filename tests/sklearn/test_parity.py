"""The same integer seed gives scikit-learn's numbers: every activation, solver, kind of target, with weights or not."""

import warnings
from typing import Any

import numpy as np
import pytest
from cases import pairwise
from optional import optional

sklearn = optional("sklearn")

from pairs import ACTIVATIONS, KINDS, OLD, SOLVERS, TARGETS, both_fitted, pair, rows  # noqa: E402

from mlpcore.model import Model  # noqa: E402
from mlpcore.sklearn.fullbatch import objective  # noqa: E402
from mlpcore.sklearn.problem import DeviceAndDtype, on_backend  # noqa: E402
from mlpcore.sklearn.translation import reported  # noqa: E402

TOLERANCE = 1e-8  # of full fits in float64; rounding grows over some hundred steps, from 1e-16 on
WEIGHTED = [False, pytest.param(True, marks=pytest.mark.skipif(OLD, reason="scikit-learn before 1.7 has no weights"))]
VARIANTS = {"plain": {}, "early stopping": {"early_stopping": True, "n_iter_no_change": 4}}


def assert_same(theirs: Any, ours: Any, tolerance: float = TOLERANCE) -> None:
    for name in ("coefs_", "intercepts_"):
        for a, b in zip(getattr(theirs, name), getattr(ours, name), strict=True):
            np.testing.assert_allclose(b, a, rtol=0, atol=tolerance, err_msg=name)
    for name in ("n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(ours, name) == getattr(theirs, name), name
    for name in ("loss_curve_", "validation_scores_", "best_validation_score_", "best_loss_", "loss_"):
        a, b = getattr(theirs, name, None), getattr(ours, name, None)
        assert (a is None) == (b is None), name
        if a is not None:
            np.testing.assert_allclose(b, a, rtol=0, atol=tolerance, err_msg=name)
    predicted = theirs.predict(rows())
    if predicted.dtype.kind == "f":
        np.testing.assert_allclose(ours.predict(rows()), predicted, rtol=0, atol=10 * tolerance)
    else:
        np.testing.assert_array_equal(ours.predict(rows()), predicted)
        np.testing.assert_allclose(ours.predict_proba(rows()), theirs.predict_proba(rows()), rtol=0, atol=tolerance)
        np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    assert predicted.dtype == ours.predict(rows()).dtype


@pairwise(kind=KINDS, activation=ACTIVATIONS, solver=SOLVERS, variant=VARIANTS, weighted=WEIGHTED)
def test_a_full_fit(kind: str, activation: str, solver: str, variant: str, weighted: bool) -> None:
    theirs, ours = both_fitted(kind, weighted, activation=activation, **(SOLVERS[solver] | VARIANTS[variant]))
    assert_same(theirs, ours)


@pairwise(kind=KINDS, activation=ACTIVATIONS, weighted=WEIGHTED)
def test_lbfgs(kind: str, activation: str, weighted: bool) -> None:
    words = {"solver": "lbfgs", "activation": activation}
    assert_same(*both_fitted(kind, weighted, **words, max_iter=12), tolerance=1e-6)


@pairwise(kind=KINDS, network=[("relu", (), 0.1), ("tanh", 4, 20), ("logistic", 4, 20)], weighted=WEIGHTED)
def test_the_end_of_lbfgs(kind: str, network: tuple[str, Any, float], weighted: bool) -> None:
    # Long runs are chaotic; what both must find is the one minimum there is, without hidden layers or under a penalty.
    activation, sizes, alpha = network
    words = {"hidden_layer_sizes": sizes, "alpha": alpha, "max_iter": 5000, "tol": 1e-9, "max_fun": 10**6}
    theirs, ours = both_fitted(kind, weighted, solver="lbfgs", activation=activation, **words)
    np.testing.assert_allclose(ours.loss_, theirs.loss_, rtol=0, atol=1e-6)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_loss_and_gradient_at_given_points(kind: str, activation: str) -> None:
    theirs, ours = both_fitted(kind, False, solver="lbfgs", activation=activation, max_iter=1)
    model = ours.to_model()
    problem = ours._problem(rows(), TARGETS[kind], None, once=True, first=False)
    place = DeviceAndDtype(model.backend, "float64", ("numpy", "cpu"))
    words = vars(model.specification) | {"loss": reported(model.loss, "sklearn")}
    model = Model(**words, params=model.params)
    function = objective(model.trainer, on_backend(problem, place))
    encoded = (
        theirs._label_binarizer.transform(TARGETS[kind]) if hasattr(theirs, "_label_binarizer") else problem.target
    )
    shapes = [weight.shape for weight in theirs.coefs_]
    size = sum(weight.size for weight in (*theirs.coefs_, *theirs.intercepts_))
    for seed in range(5):
        point = np.random.default_rng(seed).normal(size=size)
        blank = [None] * len(shapes)
        grads = [np.empty(shape) for shape in shapes], [np.empty(shape[1]) for shape in shapes]
        data = [rows(), encoded] if OLD else [rows(), encoded, None]
        wanted = theirs._loss_grad_lbfgs(point, *data, [rows(), *blank], list(blank), *grads)
        vector = np.zeros(model.layout.size)
        inside = np.concatenate([np.arange(slot.start, slot.stop) for slot in model.layout.slots.values()])
        vector[inside] = point
        value, gradient = function(vector)
        np.testing.assert_allclose(value, wanted[0], rtol=1e-10)
        np.testing.assert_allclose(gradient[inside], wanted[1], rtol=1e-10, atol=1e-10)
        assert not np.delete(gradient, inside).any()


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel", "regression"])
def test_the_defaults_give_the_same_numbers_where_nothing_is_mended(kind: str) -> None:
    theirs, ours = pair(kind, learning_rate_init=0.01)
    ours.set_params(compat=None)
    for one in (theirs, ours):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            one.fit(rows(), TARGETS[kind])
    assert_same(theirs, ours)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_partial_fits_and_warm_starts(kind: str) -> None:
    extra = {"classes": np.unique(TARGETS[kind])} if kind != "regression" else {}
    for solver in ("adam", "sgd invscaling"):
        theirs, ours = pair(kind, **SOLVERS[solver])
        for one in (theirs, ours):
            for _ in range(4):
                one.partial_fit(rows(), TARGETS[kind], **extra)
        assert_same(theirs, ours)
        theirs, ours = pair(kind, **(SOLVERS[solver] | {"warm_start": True, "max_iter": 3}))
        for one in (theirs, ours):
            for _ in range(3):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    one.fit(rows(), TARGETS[kind])
        assert_same(theirs, ours)
