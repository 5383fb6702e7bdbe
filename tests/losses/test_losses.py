"""The losses: known values, exact values by decimal arithmetic up to scores of 1e4, stacks, predictions."""

import itertools
from decimal import Decimal, localcontext

import numpy as np
import pytest
from libraries import MAKERS

from mlpcore.errors import ConfigurationError
from mlpcore.losses import (
    LOSSES,
    AbsoluteError,
    GaussianNLL,
    HalfSquaredError,
    Huber,
    PoissonNLL,
    Quantile,
    SigmoidCrossEntropy,
    SoftmaxCrossEntropy,
    SquaredError,
)

ONE = Decimal(1)


# Exact values. Each function gives, for one row, the terms of the loss and for every score the terms of its gradient;
# rounding may cost a few units in the last place of the sum of the terms' sizes, nothing more.


def exact_half_squared(loss, z, t):
    return [(a - b) ** 2 / 2 for a, b in zip(z, t, strict=True)], [[a - b] for a, b in zip(z, t, strict=True)]


def exact_squared(loss, z, t):
    return [(a - b) ** 2 for a, b in zip(z, t, strict=True)], [[2 * (a - b)] for a, b in zip(z, t, strict=True)]


def exact_absolute(loss, z, t):
    return [abs(a - b) for a, b in zip(z, t, strict=True)], [[(a > b) - (a < b)] for a, b in zip(z, t, strict=True)]


def exact_huber(loss, z, t):
    delta = Decimal(loss.delta)
    errors = [a - b for a, b in zip(z, t, strict=True)]
    near = [abs(r) <= delta for r in errors]
    terms = [r * r / 2 if n else delta * (abs(r) - delta / 2) for r, n in zip(errors, near, strict=True)]
    return terms, [[max(-delta, min(delta, r))] for r in errors]


def exact_quantile(loss, z, t):
    levels = [Decimal(p) for p in loss.quantiles]
    pairs = [(z[j * len(levels) + i], t[j], p) for j in range(len(t)) for i, p in enumerate(levels)]
    terms = [max((1 - p) * (a - b), -p * (a - b)) for a, b, p in pairs]
    return terms, [[(a > b) * (1 - p), -(a < b) * p] for a, b, p in pairs]


def exact_poisson(loss, z, t):
    terms = [part for a, b in zip(z, t, strict=True) for part in (a.exp(), -b * a)]
    if loss.constant == "deviance":
        terms += [part for b in t if b for part in (b * b.ln(), -b)]
    return terms, [[a.exp(), -b] for a, b in zip(z, t, strict=True)]


def exact_gaussian(loss, z, t):
    c = len(t)
    triples = list(zip(z[:c], z[c:], t, strict=True))
    terms = [part for m, s, b in triples for part in (s / 2, (b - m) ** 2 * (-s).exp() / 2)]
    means = [[(m - b) * (-s).exp()] for m, s, b in triples]
    return terms, means + [[ONE / 2, -((b - m) ** 2) * (-s).exp() / 2] for m, s, b in triples]


def log1p(x):
    return (1 + x).ln() if x > Decimal("1e-20") else x - x * x / 2 + x**3 / 3


def exact_sigmoid(loss, z, t):
    yes, no = [ONE / (1 + (-a).exp()) for a in z], [ONE / (1 + a.exp()) for a in z]
    terms = [part for a, b in zip(z, t, strict=True) for part in (b * log1p((-a).exp()), (1 - b) * log1p(a.exp()))]
    return terms, [[(1 - b) * p, -b * q] for p, q, b in zip(yes, no, t, strict=True)]


def exact_softmax(loss, z, t):
    if len(t) < len(z):
        t = [ONE if i == t[0] else Decimal(0) for i in range(len(z))]
    s = Decimal(loss.label_smoothing)
    t = [(1 - s) * b + s / len(z) for b in t]
    total = sum(a.exp() for a in z)
    # ln p as -ln(1 + others / own) has all its digits for p next to 1 too.
    others = [sum(b.exp() for j, b in enumerate(z) if j != i) for i in range(len(z))]
    logs = [-log1p(rest / a.exp()) for a, rest in zip(z, others, strict=True)]
    # exp(log p) carries the rounding of the logarithm, |log p| units in its last place.
    sizes = [a.exp() / total * -log / 2 for a, log in zip(z, logs, strict=True)]
    grads = [[a.exp() / total, -b, size, -size] for a, b, size in zip(z, t, sizes, strict=True)]
    return [-b * log for b, log in zip(t, logs, strict=True)], grads


REAL = [[0.0], [1.0], [-3.5], [1e4]]
SHARES = [[0.0], [1.0], [0.25], [1 - 2.0**-20]]
EXTREMES = [  # loss, columns of z, targets (float columns, or labels), exact values
    (HalfSquaredError(), 1, REAL, exact_half_squared),
    (SquaredError(), 1, REAL, exact_squared),
    (AbsoluteError(), 1, REAL, exact_absolute),
    (Huber(), 1, REAL, exact_huber),
    (Huber(0.5), 1, REAL, exact_huber),
    (Quantile((0.1, 0.9)), 2, REAL, exact_quantile),
    (PoissonNLL(), 1, [[0.0], [1.0], [2.5], [1e4]], exact_poisson),
    (PoissonNLL("deviance"), 1, [[0.0], [1.0], [2.5], [1e4]], exact_poisson),
    (GaussianNLL(), 2, [*REAL, [20.0], [-100.0]], exact_gaussian),
    (SigmoidCrossEntropy(), 1, SHARES, exact_sigmoid),
    (SigmoidCrossEntropy(), 2, [[0.0, 1.0], [1.0, 0.25]], exact_sigmoid),
    (SoftmaxCrossEntropy(), 2, [0, 1, [0.25, 0.75]], exact_softmax),
    (SoftmaxCrossEntropy(label_smoothing=0.125), 3, [0, 2, [0.0, 0.25, 0.75]], exact_softmax),
]
SCORES = (-10000, -1000, -100, -20, -1, 0, 1, 20, 100, 1000, 10000)  # whole numbers: their differences are exact


def test_every_loss_has_an_exact_table():
    assert {type(loss) for loss, *_ in EXTREMES} == set(LOSSES)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("loss", "columns", "targets", "exact"), EXTREMES, ids=lambda v: getattr(v, "__name__", repr(v))[:40]
)
def test_value_and_gradient_are_exact_up_to_scores_of_1e4(loss, columns, targets, exact, dtype):
    info = np.finfo(dtype)
    one, none = np.ones(1, dtype), np.zeros(1, dtype)
    scores = SCORES if columns < 3 else SCORES[::2]
    for z, t in itertools.product(itertools.product(scores, repeat=columns), targets):
        raw = np.asarray([z], dtype=dtype)
        target = np.asarray([t]) if isinstance(t, int) else np.asarray([t], dtype=dtype)
        target = loss.prepare(target, columns, np.dtype(dtype))
        with np.errstate(all="ignore"):
            value, dz = loss.value_and_grad(raw, target, one)
            left_out, dz_left_out = loss.value_and_grad(raw, target, none)
        with localcontext(prec=60):
            terms, grads = exact(loss, [Decimal(a) for a in z], [Decimal(float(b)) for b in np.ravel(target)])
        assert value.dtype == dz.dtype == dtype
        close(value, terms, info, f"value of {z}, {t}")
        assert value > -np.inf, f"{z}, {t}: an overflow is +inf"
        for got, parts in zip(dz[0], grads, strict=True):
            close(got, parts, info, f"gradient at {z}, {t}")
        assert left_out == 0, f"{z}, {t}: a row of weight 0 takes no part"
        assert np.all(dz_left_out == 0), f"{z}, {t}: a row of weight 0 takes no part"


@pytest.mark.parametrize(("dtype", "target", "log_variance"), [("float32", 1e-30, -190), ("float64", 1e-300, -1500)])
def test_a_tiny_variance_around_a_tiny_error(dtype, target, log_variance):
    """The precision alone overflows, the error in standard deviations does not."""
    target = np.asarray([[target]], dtype=dtype)
    with np.errstate(over="ignore"):
        value, dz = GaussianNLL().value_and_grad(np.asarray([[0, log_variance]], dtype), target, np.ones(1, dtype))
        assert np.isinf(np.exp(-np.asarray(log_variance, dtype) / 2))
    with localcontext(prec=60):
        terms, grads = exact_gaussian(None, [Decimal(0), Decimal(log_variance)], [Decimal(float(target[0, 0]))])
    close(value, terms, np.finfo(dtype), "value")
    close(dz[0, 0], grads[0], np.finfo(dtype), "gradient of the mean")
    close(dz[0, 1], grads[1], np.finfo(dtype), "gradient of the log-variance")
    assert np.isfinite(value)


def close(got, terms, info, where):
    """``got`` is the sum of the exact terms to 16 units in the last place, or infinite where that is too large."""
    total, size = sum(terms), sum(map(abs, terms))
    if abs(total) > Decimal(float(info.max)):
        assert got == (np.inf if total > 0 else -np.inf), where
        return
    assert np.isfinite(got), f"{where}: {got}, exactly {total:.17g}"
    allowed = 16 * Decimal(float(info.eps)) * size + Decimal(float(info.tiny))
    assert abs(Decimal(float(got)) - total) <= allowed, f"{where}: {got}, exactly {total:.17g}"


KNOWN = [  # loss, z, target, weights, value, dz
    (HalfSquaredError(), [[1.0, 2.0], [3.0, 0.0]], [[0.0, 2.0], [1.0, 1.0]], [1, 2], 5.5, [[1, 0], [4, -2]]),
    (SquaredError(), [[1.0, 2.0], [3.0, 0.0]], [[0.0, 2.0], [1.0, 1.0]], [1, 2], 11, [[2, 0], [8, -4]]),
    (AbsoluteError(), [[1.0, 2.0], [3.0, 0.0]], [[0.0, 2.0], [1.0, 1.0]], [1, 2], 7, [[1, 0], [2, -2]]),
    (Huber(2.0), [[1.0], [5.0], [-6.0]], [[0.0], [0.0], [0.0]], [1, 1, 3], 0.5 + 8 + 30, [[1], [2], [-6]]),
    (
        Quantile((0.25, 0.75)),  # target column by target column
        [[1.0, 2.0, 10.0, 20.0]],
        [[2.0, 14.0]],
        [2],
        2 * (0.25 + 0 + 1 + 1.5),
        [[-0.5, 0, -0.5, 0.5]],
    ),
    (PoissonNLL(), [[0.0], [0.0]], [[3.0], [0.0]], [1, 2], 3, [[-2], [2]]),
    (GaussianNLL(), [[1.0, 5.0, 0.0, 0.0]], [[3.0, 5.0]], [1], 2, [[-2, 0, -1.5, 0.5]]),
    (SigmoidCrossEntropy(), [[0.0, 0.0]], [[1.0, 0.5]], [2], 4 * np.log(2), [[-1, 0]]),
    (SoftmaxCrossEntropy(), [[0.0, 0.0], [0.0, 0.0]], [1, 0], [2, 0], 2 * np.log(2), [[1, -1], [0, 0]]),
    (SoftmaxCrossEntropy(label_smoothing=0.5), [[0.0, 0.0]], [1], [1], np.log(2), [[0.25, -0.25]]),
]


@pytest.mark.parametrize(("loss", "z", "target", "weights", "value", "dz"), KNOWN, ids=lambda v: repr(v)[:30])
def test_known_values(loss, z, target, weights, value, dz):
    z, weights = np.asarray(z), np.asarray(weights, dtype=float)
    prepared = loss.prepare(np.asarray(target), z.shape[1], z.dtype)
    got, grad = loss.value_and_grad(z, prepared, weights)
    np.testing.assert_allclose(got, value, rtol=1e-15)
    np.testing.assert_allclose(grad, dz, rtol=1e-15)


@pytest.mark.parametrize("name", ["numpy", "array_api_strict"])
def test_a_stack_gives_one_value_for_each_member_and_no_rows_give_zero(name):
    xp = MAKERS[name]()
    rng = np.random.default_rng(0)
    for loss, columns, targets, _ in EXTREMES:
        numbers = [t for t in targets if not isinstance(t, int)]
        target = np.asarray([numbers[0], numbers[-1], numbers[0]], dtype="float32")
        target = np.asarray(loss.prepare(target, columns, np.dtype("float32")))
        z = rng.normal(size=(2, 3, columns)).astype("float32")
        weights = np.asarray([0.5, 0.0, 2.0], dtype="float32")
        value, dz = map(xp.to_numpy, loss.value_and_grad(*xp.put((z, target, weights))))
        assert value.shape == (2,)
        assert dz.shape == z.shape
        for k in range(2):
            alone, dalone = map(xp.to_numpy, loss.value_and_grad(*xp.put((z[k], target, weights))))
            np.testing.assert_allclose(value[k], alone, rtol=1e-6)
            np.testing.assert_allclose(dz[k], dalone, rtol=1e-6)
        value, dz = map(xp.to_numpy, loss.value_and_grad(*xp.put((z[:, :0], target[:0], weights[:0]))))
        np.testing.assert_array_equal(value, np.zeros(2))
        assert dz.shape == (2, 0, columns)
        shapes = [leaf.shape for leaf in tuple_of(xp.get(loss.predict(xp.put(z))))]
        assert shapes == ([(2, 3, 1)] * 2 if isinstance(loss, GaussianNLL) else [z.shape])


def tuple_of(prediction):
    return prediction if isinstance(prediction, tuple) else (prediction,)


@pytest.mark.parametrize(
    ("loss", "z", "expected"),
    [
        (HalfSquaredError(), [[1.0, -2.0]], [[1.0, -2.0]]),
        (Quantile((0.1, 0.5)), [[3.0, 1.0, 5.0, 6.0]], [[1.0, 3.0, 5.0, 6.0]]),
        (PoissonNLL(), [[0.0, 2.0]], [[1.0, np.exp(2.0)]]),
        (GaussianNLL(), [[1.0, 2.0, 0.0, np.log(4.0)]], ([[1.0, 2.0]], [[1.0, 4.0]])),
        (SigmoidCrossEntropy(), [[0.0, -40.0, 1e4, -1e4]], [[0.5, np.exp(-40.0), 1.0, 0.0]]),
        (SoftmaxCrossEntropy(), [[0.0, np.log(3.0)], [1e4, -1e4]], [[0.25, 0.75], [1.0, 0.0]]),
    ],
)
def test_predictions(loss, z, expected):
    got = tuple_of(loss.predict(np.asarray(z)))
    for leaf, wanted in zip(got, tuple_of(expected), strict=True):
        np.testing.assert_allclose(leaf, wanted, rtol=1e-15)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Huber(0.0), "Huber: delta is 0.0, expected a finite number above 0"),
        (lambda: Quantile(()), "expected a tuple of levels"),
        (lambda: Quantile(0.5), "expected a tuple of levels"),
        (lambda: Quantile((0.0, 0.5)), "quantiles is 0.0, expected a finite number above 0 and below 1"),
        (lambda: Quantile((0.5, 1.0)), "above 0 and below 1"),
        (lambda: Quantile((0.5, 0.5)), "levels that increase"),
        (lambda: Quantile((0.9, 0.1)), "levels that increase"),
        (lambda: SoftmaxCrossEntropy(1.0), "label_smoothing is 1.0"),
        (lambda: SoftmaxCrossEntropy(-0.1), "label_smoothing is -0.1"),
    ],
)
def test_configurations_that_cannot_work(make, message):
    with pytest.raises(ConfigurationError, match=message):
        make()


def test_quantiles_given_as_a_list_are_hashable():
    assert hash(Quantile([0.25, 0.5])) == hash(Quantile((0.25, 0.5)))
    assert repr(Quantile([np.float64(0.25)])) == "Quantile(quantiles=(0.25,))"


@pytest.mark.parametrize("rows", [1, 20])
def test_a_sure_and_right_label_keeps_its_digits(rows: int) -> None:
    z = np.tile(np.asarray([0.0, 50.0, 0.0]), (rows, 1))
    value, dz = SoftmaxCrossEntropy().value_and_grad(z, np.ones(rows, "int32"), np.ones(rows))
    tiny = np.exp(-50.0)
    np.testing.assert_allclose(value, 2 * rows * tiny, rtol=1e-14)
    np.testing.assert_allclose(dz, np.tile([tiny, -2 * tiny, tiny], (rows, 1)), rtol=1e-14)
