"""The metrics against scikit-learn's, and what they refuse."""

import numpy as np
import pytest
import sklearn.metrics as peers
from libraries import Library

from mlpcore.errors import ConfigurationError, DataError
from mlpcore.losses import GaussianNLL, Quantile, SoftmaxCrossEntropy
from mlpcore.metrics import METRICS, get_metric, takes_weights

ROWS = 40


def labels(rng):
    target = rng.integers(0, 3, size=ROWS).astype("int32")
    return target, SoftmaxCrossEntropy().predict(rng.normal(size=(ROWS, 4))), target  # class 3 never occurs


def binary(rng):
    target = rng.integers(0, 2, size=(ROWS, 1)).astype(float)
    return target, rng.uniform(size=(ROWS, 1)), target[:, 0]


def multilabel(rng):
    target = rng.integers(0, 2, size=(ROWS, 2)).astype(float)
    return target, rng.uniform(size=(ROWS, 2)), target


def reals(rng):
    target = rng.normal(size=(ROWS, 3)) * [1, 10, 100] + 1
    return target, target + rng.normal(size=(ROWS, 3)), target


def constant_column(rng):
    target, prediction, _ = reals(rng)
    target[:, 1] = 0.25
    return target, prediction, target


def constant_column_met(rng):
    target, prediction, _ = reals(rng)
    target[:, 1] = prediction[:, 1] = 0.25
    return target, prediction, target


def decided(prediction, target):
    """What the peers of the two accuracies want: labels, or a 0-1 pattern."""
    return np.argmax(prediction, axis=-1) if target.ndim == 1 else (prediction > 0.5).astype(float)


def as_given(prediction, target):
    return prediction


ORACLES = {  # name -> peer, what it takes, data
    "accuracy": (peers.accuracy_score, decided, (labels, binary, multilabel)),
    "balanced_accuracy": (peers.balanced_accuracy_score, decided, (labels, binary)),
    "mean_squared_error": (peers.mean_squared_error, as_given, (reals, binary)),
    "root_mean_squared_error": (peers.root_mean_squared_error, as_given, (reals, binary)),
    "mean_absolute_error": (peers.mean_absolute_error, as_given, (reals, binary)),
    "r2": (peers.r2_score, as_given, (reals, binary, constant_column, constant_column_met)),
}


def test_every_metric_has_its_peer():
    assert set(ORACLES) == set(METRICS)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("name", "draw"),
    [(name, draw) for name, (*_, draws) in ORACLES.items() for draw in draws],
    ids=lambda one: getattr(one, "__name__", one),
)
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_metrics_are_those_of_scikit_learn(name, draw, weighted):
    rng = np.random.default_rng(3)
    target, prediction, truth = draw(rng)
    weights = rng.integers(0, 4, size=ROWS).astype(float) if weighted else np.ones(ROWS)
    peer, shown, _ = ORACLES[name]
    expected = peer(truth, shown(prediction, target), sample_weight=weights)
    got = METRICS[name](target, prediction, weights)
    assert got.ndim == 0
    np.testing.assert_allclose(got, expected, rtol=1e-13)


@pytest.mark.parametrize("name", METRICS)
def test_metrics_on_every_library_and_for_stacks(xp: Library, name):
    rng = np.random.default_rng(4)
    for draw in ORACLES[name][2]:
        target, one, _ = draw(rng)
        two = np.stack([one, one[::-1]]).astype("float32")
        target = target if target.dtype == "int32" else target.astype("float32")
        weights = rng.uniform(size=ROWS).astype("float32")
        got = xp.to_numpy(METRICS[name](*xp.put((target, two, weights))))
        assert got.shape == (2,)
        assert got.dtype == "float32"
        for k in range(2):
            alone = METRICS[name](target, two[k], weights)
            # Libraries add up 40 rows in their own order.
            np.testing.assert_allclose(got[k], alone, rtol=40 * np.finfo("float32").eps, err_msg=draw.__name__)


@pytest.mark.parametrize("name", METRICS)
def test_a_row_of_weight_zero_takes_no_part(name):
    rng = np.random.default_rng(5)
    target, prediction, _ = binary(rng)
    weights = np.ones(ROWS)
    weights[0] = 0
    expected = METRICS[name](target[1:], prediction[1:], weights[1:])
    prediction[0] = np.inf
    with np.errstate(invalid="ignore"):  # 0 * inf, which is then left out
        np.testing.assert_allclose(METRICS[name](target, prediction, weights), expected, rtol=1e-14)


def entries(rng, shape):
    """Weights of entries, some 0, and the last column without any."""
    weights = rng.uniform(0.5, 2.0, size=shape) * (rng.uniform(size=shape) > 0.4)
    weights[:, -1] = 0
    return weights


WITH_ENTRIES = {  # metric -> of target, prediction and weights of entries, in plain NumPy
    "mean_squared_error": lambda t, p, w: np.average((t - p) ** 2, weights=w),
    "mean_absolute_error": lambda t, p, w: np.average(np.abs(t - p), weights=w),
    "root_mean_squared_error": lambda t, p, w: np.mean(
        [
            peers.root_mean_squared_error(t[w[:, j] > 0, j], p[w[:, j] > 0, j], sample_weight=w[w[:, j] > 0, j])
            for j in np.flatnonzero(w.any(axis=0))
        ]
    ),
    "r2": lambda t, p, w: np.mean(
        [
            peers.r2_score(t[w[:, j] > 0, j], p[w[:, j] > 0, j], sample_weight=w[w[:, j] > 0, j])
            for j in np.flatnonzero(w.any(axis=0))
        ]
    ),
    "accuracy": lambda t, p, w: np.average(
        [np.all((a > 0.5)[u > 0] == (b > 0.5)[u > 0]) for a, b, u in zip(t, p, w, strict=True)],
        weights=np.mean(w, axis=1),
    ),
}


@pytest.mark.parametrize("name", WITH_ENTRIES)
def test_metrics_with_weights_of_entries(xp: Library, name):
    rng = np.random.default_rng(6)
    target, prediction, _ = (multilabel if name == "accuracy" else reals)(rng)
    weights = entries(rng, target.shape) if name != "accuracy" else rng.integers(0, 3, size=target.shape).astype(float)
    expected = WITH_ENTRIES[name](target, prediction, weights)
    wild = np.where(weights > 0, prediction, 1e9)
    with xp.scope("float64"):
        got = xp.to_numpy(METRICS[name](*xp.put((target, np.stack([prediction, wild]), weights))))
    np.testing.assert_allclose(got, [expected, expected], rtol=1e-12)


@pytest.mark.parametrize("name", METRICS)
def test_weights_of_entries_that_are_the_same_along_each_row_are_those_of_rows(name):
    rng = np.random.default_rng(7)
    for draw in ORACLES[name][2]:
        target, prediction, _ = draw(rng)
        weights = rng.integers(0, 3, size=ROWS).astype(float)
        if target.ndim == 2:
            same = np.repeat(weights[:, None], target.shape[1], axis=1)
            got = METRICS[name](target, prediction, same)
            np.testing.assert_allclose(got, METRICS[name](target, prediction, weights), rtol=1e-13)


def test_which_metrics_look_at_weights():
    assert all(takes_weights(metric) for metric in METRICS.values())
    assert takes_weights(get_metric(lambda target, prediction, weights: 0.0)[1])
    assert not takes_weights(get_metric(lambda target, prediction: 0.0)[1])


def test_r2_of_a_single_row_and_of_a_constant_that_its_mean_misses():
    r2 = METRICS["r2"]
    assert r2(np.ones((1, 1)), np.ones((1, 1)), np.ones(1)) == 1
    assert r2(np.ones((1, 1)), np.zeros((1, 1)), np.ones(1)) == 0
    target = np.full((10, 1), 0.1)
    weights = np.linspace(0.1, 0.7, 10)
    assert np.sum(target[:, 0] * weights) / np.sum(weights) != 0.1
    assert r2(target, target + 0.01, weights) == 0


def test_of_a_mean_with_its_variance_the_mean_counts():
    z = np.asarray([[1.0, 5.0], [4.0, 5.0]])
    prediction = GaussianNLL().predict(z)
    target, weights = np.asarray([[0.0], [2.0]]), np.ones(2)
    assert METRICS["mean_absolute_error"](target, prediction, weights) == 1.5
    assert METRICS["mean_squared_error"](target, prediction, weights) == 2.5


def test_predictions_that_do_not_match_the_target():
    prediction = Quantile().predict(np.zeros((4, 3)))
    with pytest.raises(
        DataError, match=r"r2: the target has shape \(4, 1\) and the prediction \(4, 3\), expected equal"
    ):
        METRICS["r2"](np.zeros((4, 1)), prediction, np.ones(4))
    with pytest.raises(DataError, match="mean_squared_error: the target has shape"):
        METRICS["mean_squared_error"](np.zeros(4, dtype="int32"), np.zeros((4, 3)), np.ones(4))
    with pytest.raises(DataError, match="accuracy: the target has shape"):
        METRICS["accuracy"](np.zeros((4, 1)), np.zeros((4, 3)), np.ones(4))
    with pytest.raises(DataError, match="balanced_accuracy: y has 2 columns, expected class labels"):
        METRICS["balanced_accuracy"](np.zeros((4, 2)), np.zeros((4, 2)), np.ones(4))


def test_metrics_by_name_or_function():
    def two(target, prediction):
        return "two", target, prediction

    def three(target, prediction, weights):
        return "three", target, prediction, weights

    def named(target, prediction, sample_weight=None):
        return "named", target, prediction, sample_weight

    def option(target, prediction, threshold=0.5):
        return "option", target, prediction, threshold

    class Own:
        def __call__(self, *arrays):
            return ("own", *arrays)

    assert get_metric("accuracy") == ("accuracy", METRICS["accuracy"])
    for function, expected in (
        (two, ("two", 1, 2)),
        (three, ("three", 1, 2, 3)),
        (named, ("named", 1, 2, 3)),
        (option, ("option", 1, 2, 0.5)),
        (Own(), ("own", 1, 2, 3)),
    ):
        name, metric = get_metric(function)
        assert name.lower() == expected[0]
        assert metric(1, 2, 3) == expected
    name, metric = get_metric(peers.max_error)  # scikit-learn's take two arrays, all else by name
    assert (name, metric(np.zeros(2), np.ones(2), np.ones(2))) == ("max_error", 1.0)


@pytest.mark.parametrize("wrong", ["acuracy", 3, None])
def test_unknown_metrics(wrong):
    with pytest.raises(ConfigurationError, match="is not known, expected a function or one of accuracy, balanced_acc"):
        get_metric(wrong)


def test_accuracy_of_one_hot_targets_is_that_of_labels():
    loss, rng = SoftmaxCrossEntropy(), np.random.default_rng(6)
    target, prediction, _ = labels(rng)
    one_hot = loss.prepare(np.eye(4)[target], 4, np.dtype("float64"))
    accuracy, weights = METRICS["accuracy"], np.ones(ROWS)
    assert accuracy(one_hot, prediction, weights) == accuracy(target, prediction, weights)


def test_a_function_whose_parameters_cannot_be_seen_is_called_with_the_weights() -> None:
    """Some functions written in C have no signature."""
    name, metric = get_metric(max)
    assert name == "max" and takes_weights(metric)
