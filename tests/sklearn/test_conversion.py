"""Fitted models to scikit-learn and back: the same predictions, and the same training from there on; and to ONNX."""

import pickle
import warnings

import numpy as np
import pytest
from cases import pairwise
from optional import optional

sklearn = optional("sklearn")

from pairs import ACTIVATIONS, KINDS, OLD, SOLVERS, TARGETS, both_fitted, pair, rows  # noqa: E402
from scipy.sparse import csr_matrix, issparse  # noqa: E402
from sklearn.exceptions import NotFittedError  # noqa: E402
from sklearn.linear_model import LinearRegression  # noqa: E402
from sklearn.neural_network import MLPClassifier as TheirClassifier  # noqa: E402
from sklearn.neural_network import MLPRegressor as TheirRegressor  # noqa: E402

import mlpcore as mc  # noqa: E402
from mlpcore.errors import ConfigurationError, MlpcoreWarning  # noqa: E402
from mlpcore.sklearn import MLPClassifier, MLPRegressor, from_sklearn  # noqa: E402
from mlpcore.sklearn.constraints import ACTIVATIONS as OURS  # noqa: E402
from mlpcore.sklearn.constraints import REGRESSION_LOSSES  # noqa: E402

NAMES = ("n_iter_", "t_", "n_layers_", "n_outputs_", "n_features_in_", "out_activation_", "loss_")
OF_EPOCHS = ("loss_curve_", "best_loss_", "validation_scores_", "best_validation_score_")
LBFGS = {"solver": "lbfgs"}
WAYS = SOLVERS | {"lbfgs": LBFGS, "early stopping": {"early_stopping": True, "n_iter_no_change": 2}}
STOCHASTIC = list(SOLVERS)


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=sklearn.exceptions.ConvergenceWarning)
        yield


def assert_same_numbers(a, b):
    """Attribute by attribute, bit for bit."""
    for name in ("coefs_", "intercepts_"):
        for one, other in zip(getattr(a, name), getattr(b, name), strict=True):
            assert one is not other
            np.testing.assert_array_equal(one, other, err_msg=name)
            assert one.dtype == other.dtype
    for name in (*NAMES, *(OF_EPOCHS if hasattr(a, "loss_curve_") else ())):
        assert getattr(a, name) == getattr(b, name), name
    assert hasattr(a, "loss_curve_") == hasattr(b, "loss_curve_") == (a.solver != "lbfgs")
    assert hasattr(a, "classes_") == hasattr(b, "classes_")
    if hasattr(a, "classes_"):
        assert a.classes_ is not b.classes_
        np.testing.assert_array_equal(a.classes_, b.classes_)
        assert a.classes_.dtype == b.classes_.dtype


def assert_same_predictions(a, b, x=None, near=1e-12):
    x = rows(9) if x is None else x
    one, other = a.predict(x), b.predict(x)
    assert one.dtype == other.dtype and issparse(one) == issparse(other)
    if issparse(one):
        one, other = one.toarray(), other.toarray()
    if one.dtype.kind == "f":
        np.testing.assert_allclose(one, other, rtol=near, atol=near)
    else:
        np.testing.assert_array_equal(one, other)
    if hasattr(a, "predict_proba"):
        np.testing.assert_allclose(a.predict_proba(x), b.predict_proba(x), rtol=0, atol=near)


def go_on(estimator, kind, epochs=3):
    for _ in range(epochs):
        estimator.partial_fit(rows(4), TARGETS[kind])


def assert_close_numbers(a, b, near=1e-10):
    """After some further epochs: the rounding of sums in another order."""
    for name in ("coefs_", "intercepts_"):
        for one, other in zip(getattr(a, name), getattr(b, name), strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=near, err_msg=name)
    np.testing.assert_allclose(a.loss_curve_, b.loss_curve_, rtol=0, atol=near)
    assert (a.t_, a.n_iter_, a._no_improvement_count) == (b.t_, b.n_iter_, b._no_improvement_count)


@pairwise(kind=KINDS, activation=ACTIVATIONS, way=WAYS)
def test_from_theirs_and_back(kind, activation, way):
    if OLD and (kind, way) == ("binary", "early stopping"):
        pytest.skip("scikit-learn 1.6 itself fails on labels of text with early stopping")
    theirs, _ = pair(kind, activation=activation, **WAYS[way])
    theirs.fit(rows(), TARGETS[kind])
    ours = from_sklearn(theirs)
    assert type(ours).__module__.startswith("mlpcore")
    assert {name: getattr(ours, name) for name in theirs.get_params()} == theirs.get_params()
    assert_same_numbers(theirs, ours)
    assert_same_predictions(theirs, ours)
    back = ours.to_sklearn()
    assert type(back) is type(theirs)
    assert back.get_params() == theirs.get_params()
    assert hasattr(back, "_optimizer") == hasattr(theirs, "_optimizer") == (way != "lbfgs")
    if way != "lbfgs":
        assert back._optimizer.learning_rate == theirs._optimizer.learning_rate
    assert_same_numbers(theirs, back)
    assert_same_predictions(theirs, back, near=0)


@pytest.mark.parametrize("way", STOCHASTIC)
@pytest.mark.parametrize("kind", KINDS)
def test_training_goes_on_as_theirs(kind, way):
    """Moments, velocities, rate and counts come along: with ``compat="sklearn"`` both take the same further steps."""
    theirs, _ = pair(kind, **WAYS[way])
    theirs.fit(rows(), TARGETS[kind])
    ours = from_sklearn(theirs).set_params(compat="sklearn")
    back = ours.to_sklearn()
    for one in (theirs, ours, back):
        go_on(one, kind)
    assert_close_numbers(theirs, back, near=0)
    assert_close_numbers(theirs, ours)
    again = ours.to_sklearn()
    for one in (theirs, again):
        go_on(one, kind)
    assert_close_numbers(theirs, again)


@pytest.mark.parametrize("way", ["adam", "sgd invscaling"])
def test_the_order_of_rows_goes_on(way):
    """By default our partial_fit goes on with the random numbers where theirs stand, with theirs it begins anew."""
    theirs, _ = pair("multiclass", **WAYS[way])
    theirs.fit(rows(), TARGETS["multiclass"])
    ours = from_sklearn(theirs)
    theirs.set_params(random_state=theirs._random_state)  # it goes on too
    ours.partial_fit(rows(4), TARGETS["multiclass"])
    theirs.partial_fit(rows(4), TARGETS["multiclass"])
    for one, other in zip(theirs.coefs_, ours.coefs_, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-10)


@pytest.mark.parametrize("way", ["adam", "sgd constant", "early stopping", "lbfgs"])
def test_a_warm_start_goes_on_as_theirs(way):
    theirs, _ = pair("multiclass", warm_start=True, max_iter=6, **WAYS[way])
    theirs.fit(rows(), TARGETS["multiclass"])
    ours = from_sklearn(theirs).set_params(compat="sklearn")
    back = ours.to_sklearn()
    for one in (theirs, ours, back):
        one.fit(rows(4), TARGETS["multiclass"])
    for one, other in zip(theirs.coefs_, back.coefs_, strict=True):
        np.testing.assert_array_equal(one, other)
    if way != "early stopping":  # where scikit-learn overwrites its best weights, and ours goes back to them
        for one, other in zip(theirs.coefs_, ours.coefs_, strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-7)


@pytest.mark.parametrize("way", STOCHASTIC)
@pytest.mark.parametrize("kind", KINDS)
def test_from_ours(kind, way):
    _, ours = both_fitted(kind, False, **WAYS[way])
    theirs = ours.to_sklearn()
    assert_same_numbers(ours, theirs)
    assert_same_predictions(ours, theirs)
    for one in (ours, theirs):
        go_on(one, kind)
    assert_close_numbers(ours, theirs)


def test_a_solver_set_after_the_fit_begins_anew():
    theirs, _ = pair("binary")
    theirs.fit(rows(), TARGETS["binary"]).set_params(solver="sgd")
    ours = from_sklearn(theirs).set_params(compat="sklearn")
    assert not hasattr(ours, "_optimizer")
    go_on(ours, "binary")
    back = ours.set_params(solver="adam").to_sklearn()
    assert not hasattr(back, "_optimizer")
    go_on(back, "binary")
    assert_same_numbers(from_sklearn(back), back)


def test_nothing_is_shared():
    theirs, _ = pair("binary")
    theirs.set_params(random_state=np.random.RandomState(1)).fit(rows(), TARGETS["binary"])
    ours = from_sklearn(theirs).set_params(compat="sklearn")
    back, before = ours.to_sklearn(), [coef.copy() for coef in theirs.coefs_]
    go_on(ours, "binary")
    go_on(back, "binary")
    for one, other in zip(theirs.coefs_, before, strict=True):
        np.testing.assert_array_equal(one, other)
    go_on(theirs, "binary")
    assert_close_numbers(theirs, ours)
    assert_close_numbers(theirs, back, near=0)


def test_random_numbers_of_nobody_stay_numpys():
    theirs, _ = pair("binary")
    theirs.set_params(random_state=None).fit(rows(), TARGETS["binary"])
    ours = from_sklearn(theirs)
    assert ours._optimizer.draws.random is np.random.mtrand._rand
    assert ours.to_sklearn()._random_state is np.random.mtrand._rand


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_dtype_stays(dtype):
    x = rows().astype(dtype)
    theirs = TheirClassifier(5, max_iter=4, random_state=0).fit(x, TARGETS["multiclass"])
    ours = from_sklearn(theirs)
    assert_same_numbers(theirs, ours)
    assert_same_predictions(theirs, ours, x, near=1e-6 if dtype == "float32" else 1e-12)
    assert ours.predict_proba(x).dtype == dtype
    ours.set_params(compat="sklearn").partial_fit(x, TARGETS["multiclass"])
    assert ours.coefs_[0].dtype == ours._optimizer.model.params[0]["weight"].dtype == dtype


@pytest.mark.parametrize(
    "y",
    [
        np.repeat(["only"], 90),
        np.where(TARGETS["binary"] == "yes", 3.0, -1.0),
        TARGETS["binary"] == "yes",
        np.asarray(["c", "a", "bb"], dtype=object)[TARGETS["multiclass"] // 2],
        csr_matrix(TARGETS["multilabel"]),
    ],
    ids=["one class", "floats", "booleans", "objects", "sparse labels"],
)
def test_labels_of_every_kind(y):
    theirs = TheirClassifier(4, max_iter=3, random_state=0).fit(rows(), y)
    ours = from_sklearn(theirs)
    assert_same_predictions(theirs, ours)
    assert_same_predictions(theirs, ours.to_sklearn())
    for one in (theirs, ours.set_params(compat="sklearn"), back := ours.to_sklearn()):
        one.partial_fit(rows(4), y)
    assert_close_numbers(theirs, ours)
    assert_close_numbers(theirs, back)


def test_a_partial_fit_with_classes_to_come():
    theirs = TheirClassifier(4, random_state=0).partial_fit(rows()[:40], [0, 1] * 20, classes=[0, 1, 5])
    ours = from_sklearn(theirs).set_params(compat="sklearn")
    for one in (theirs, ours):
        one.partial_fit(rows()[:40], [5, 1] * 20)
    assert_close_numbers(theirs, ours)
    assert_same_predictions(theirs, ours)


def test_feature_names_come_along():
    pandas = optional("pandas")
    x = pandas.DataFrame(rows(), columns=list("abcdef"))
    ours = from_sklearn(TheirRegressor(hidden_layer_sizes=3, max_iter=2).fit(x, TARGETS["regression"]))
    assert ours.feature_names_in_.tolist() == ours.to_sklearn().feature_names_in_.tolist() == list("abcdef")


def test_converted_ones_pickle():
    theirs, _ = pair("multiclass")
    ours = pickle.loads(pickle.dumps(from_sklearn(theirs.fit(rows(), TARGETS["multiclass"]))))
    assert_same_predictions(theirs, ours)
    for one in (theirs, ours.set_params(compat="sklearn")):
        go_on(one, "multiclass")
    assert_close_numbers(theirs, ours)


@pytest.mark.parametrize("library", ["array_api_strict", "torch", "jax"])
def test_from_a_device(library):
    optional(library)
    ours = MLPClassifier(5, max_iter=3, random_state=0, backend=library, warm_start=True)
    ours.fit(rows(), TARGETS["multiclass"])
    theirs = ours.to_sklearn()
    assert all(type(coef) is np.ndarray for coef in theirs.coefs_)
    assert_same_predictions(ours, theirs)
    theirs.partial_fit(rows(4), TARGETS["multiclass"])
    ours.set_params(compat="sklearn").partial_fit(rows(4), TARGETS["multiclass"])
    assert_close_numbers(theirs, ours)


def test_layers_of_mlpcore_are_known_by_their_words():
    ours = MLPRegressor(hidden_layer_sizes=(4, 3), activation=[mc.Tanh(), "tanh"], max_iter=3, random_state=0)
    theirs = ours.fit(rows(), TARGETS["regression"]).to_sklearn()
    assert theirs.activation == "tanh"
    assert_same_predictions(ours, theirs)
    flat = MLPRegressor(hidden_layer_sizes=(), activation="gelu", max_iter=3).fit(rows(), TARGETS["regression"])
    assert flat.to_sklearn().activation == "relu"
    assert_same_predictions(flat, flat.to_sklearn())


REFUSED = {
    "gelu": (
        {"activation": "gelu"},
        r"activation is GELU\(.*\), expected one of 'identity', 'logistic', 'tanh', 'relu'",
    ),
    "two": ({"activation": ["relu", "tanh"]}, r"activation is ReLU\(\), Tanh\(\), .* for all hidden layers"),
    "batch": ({"normalization": "batch"}, r"has normalization, BatchNorm\(4\), which scikit-learn does not have"),
    "huber": ({"loss": "huber"}, "loss is 'huber', expected one of 'squared_error'"),
    "own": ({"loss": mc.Quantile()}, r"loss is Quantile\(\), expected one of 'squared_error'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_scikit_learn_cannot_hold(case):
    arguments, said = REFUSED[case]
    ours = MLPRegressor(hidden_layer_sizes=(4, 3), max_iter=2, **arguments).fit(rows(), TARGETS["regression"])
    with pytest.raises(ConfigurationError, match=said):
        ours.to_sklearn()


LOST = [
    ({"solver": "adamw"}, "no solver='adamw'"),
    ({"solver": "rmsprop"}, "no solver='rmsprop'"),
    ({"learning_rate": "cosine"}, "no learning_rate='cosine'"),
    ({"class_weight": "balanced"}, "no class_weight='balanced'"),
    ({"dropout": 0.2}, "no dropout=0.2"),
    ({"dropout": [0.2, 0.0]}, r"no dropout=\[0.2, 0.0\]"),
    ({"weight_decay": 0.1, "clip_norm": 1.0}, "no weight_decay=0.1, clip_norm=1.0"),
]


@pytest.mark.parametrize(("arguments", "said"), LOST)
def test_what_concerns_training_only_is_told(arguments, said):
    ours = MLPClassifier((4, 3), max_iter=3, random_state=0, warm_start=True, **arguments)
    ours.fit(rows(), TARGETS["multiclass"])
    with pytest.warns(MlpcoreWarning, match=f"{said}; the predictions are the same") as caught:
        theirs = ours.to_sklearn()
    assert caught[0].filename == __file__
    assert_same_predictions(ours, theirs)
    theirs.partial_fit(rows(), TARGETS["multiclass"])  # its arguments are such as scikit-learn takes


def test_what_is_no_fitted_estimator():
    with pytest.raises(ConfigurationError, match="got LinearRegression, expected scikit-learn's MLPClassifier or"):
        from_sklearn(LinearRegression())
    for one in (TheirClassifier(), TheirRegressor()):
        with pytest.raises(NotFittedError):
            from_sklearn(one)
    for one in (MLPClassifier(), MLPRegressor()):
        with pytest.raises(NotFittedError):
            one.to_sklearn()
        with pytest.raises(NotFittedError):
            one.to_onnx()


# ---- ONNX

CLOSE = {"float32": 1e-5, "float64": 1e-10}


def answers(made, x):
    onnx = optional("onnx")
    ort = optional("onnxruntime")
    onnx.checker.check_model(made, full_check=True)
    session = ort.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    return dict(zip([one.name for one in session.get_outputs()], session.run(None, {"X": x}), strict=True))


def assert_answers(estimator, x):
    """What onnxruntime says is what the estimator says."""
    near, got = CLOSE[str(x.dtype)], answers(estimator.to_onnx(), x)
    if not hasattr(estimator, "classes_"):
        expected = estimator.predict(x).reshape(len(x), -1)
        assert got["variable"].dtype == x.dtype
        np.testing.assert_allclose(got["variable"], expected, rtol=near, atol=near)
        return got
    assert list(got) == ["label", "probabilities"]
    np.testing.assert_allclose(got["probabilities"], estimator.predict_proba(x), rtol=0, atol=near)
    label = estimator.predict(x)
    label = label.toarray() if issparse(label) else label
    assert got["label"].shape == label.shape and got["label"].tolist() == label.tolist()
    return got


@pairwise(kind=KINDS, activation=OURS, dtype=CLOSE)
def test_onnx(kind, activation, dtype):
    _, ours = pair(kind, activation=activation, max_iter=3)
    x = rows().astype(dtype)
    assert_answers(ours.fit(x, TARGETS[kind]), x)


@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize("loss", REGRESSION_LOSSES)
def test_onnx_of_every_loss(loss, columns):
    y = np.abs(TARGETS["outputs"][:, 0 if columns == 1 else slice(columns)])
    ours = MLPRegressor(loss, 5, max_iter=3, random_state=0).fit(rows(), y)
    got = assert_answers(ours, rows(3))
    if loss == "quantile":
        expected = ours.predict_quantiles(rows(3)).reshape(len(rows(3)), -1)
        np.testing.assert_allclose(got["quantiles"], expected, rtol=0, atol=1e-10)
    if loss == "gaussian":
        deviation = ours.predict(rows(3), return_std=True)[1].reshape(len(rows(3)), -1)
        np.testing.assert_allclose(got["variance"], deviation**2, rtol=1e-10)
    assert set(got) == {"variable", *{"quantile": ["quantiles"], "gaussian": ["variance"]}.get(loss, [])}


@pytest.mark.parametrize("normalization", ["batch", "layer", "rms"])
def test_onnx_with_normalization_and_dropout(normalization):
    ours = MLPClassifier((5, 4), max_iter=3, normalization=normalization, dropout=0.2, random_state=0)
    assert_answers(ours.fit(rows(), TARGETS["multiclass"]), rows(3))


@pytest.mark.parametrize("y", [np.repeat(["only"], 90), csr_matrix(TARGETS["multilabel"])], ids=["one class", "sparse"])
def test_onnx_of_other_labels(y):
    assert_answers(MLPClassifier(4, max_iter=3, random_state=0).fit(rows(), y), rows(3))


def test_onnx_of_one_from_scikit_learn(tmp_path):
    theirs, _ = pair("multiclass")
    ours = from_sklearn(theirs.fit(rows(), TARGETS["multiclass"]))
    assert_answers(ours, rows(3))
    path = tmp_path / "model.onnx"
    assert ours.to_onnx(path).SerializeToString() == path.read_bytes()
