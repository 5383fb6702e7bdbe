"""Values, gradients and predictions of the losses, worked out by hand."""

import numpy as np
import pytest

from mlpcore.losses import (
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
