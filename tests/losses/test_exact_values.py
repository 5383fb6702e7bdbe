"""Every loss against decimal arithmetic, up to scores of 1e4."""

import itertools
from decimal import Decimal, localcontext

import numpy as np
import pytest
from exact_losses import (
    close,
    exact_absolute,
    exact_gaussian,
    exact_half_squared,
    exact_huber,
    exact_poisson,
    exact_quantile,
    exact_sigmoid,
    exact_softmax,
    exact_squared,
)

from mlpcore.losses import (
    LOSSES,
    AbsoluteError,
    GaussianNLL,
    HalfSquaredError,
    Huber,
    MembersLoss,
    PoissonNLL,
    Quantile,
    SigmoidCrossEntropy,
    SoftmaxCrossEntropy,
    SquaredError,
    StandardizedTarget,
)

REAL = [[0.0], [1.0], [-3.5], [1e4]]
SHARES = [[0.0], [1.0], [0.25], [1 - 2.0**-20]]
EXTREMES = [  # loss, columns of z, targets (float columns, or labels), exact values
    (HalfSquaredError(), 1, REAL, exact_half_squared),
    (SquaredError(), 1, REAL, exact_squared),
    (AbsoluteError(), 1, REAL, exact_absolute),
    (Huber(), 1, REAL, exact_huber),
    (Huber(0.5), 1, REAL, exact_huber),
    (Quantile((0.1, 0.9)), 2, REAL, exact_quantile),
    (PoissonNLL(), 1, [[0.0], [0.3], [1.0], [2.5], [1e4]], exact_poisson),
    (PoissonNLL("deviance"), 1, [[0.0], [0.3], [1.0], [2.5], [1e4]], exact_poisson),
    (GaussianNLL(), 2, [*REAL, [20.0], [-100.0]], exact_gaussian),
    (StandardizedTarget(HalfSquaredError(), (1.0,), (4.0,)), 1, REAL, exact_half_squared),
    (SigmoidCrossEntropy(), 1, SHARES, exact_sigmoid),
    (SigmoidCrossEntropy(), 2, [[0.0, 1.0], [1.0, 0.25]], exact_sigmoid),
    (SoftmaxCrossEntropy(), 2, [0, 1, [0.25, 0.75]], exact_softmax),
    (SoftmaxCrossEntropy(label_smoothing=0.125), 3, [0, 2, [0.0, 0.25, 0.75]], exact_softmax),
]
SCORES = (-10000, -1000, -100, -20, -1, 0, 1, 20, 100, 1000, 10000)  # whole numbers: their differences are exact


def test_every_loss_has_an_exact_table():
    assert {type(loss) for loss, *_ in EXTREMES} == set(LOSSES) - {MembersLoss}  # a mean of the others


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
