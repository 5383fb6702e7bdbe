"""Targets: what each loss takes, how it encodes it, and what it says about everything else."""

import numpy as np
import pytest
from libraries import MAKERS, OPTIONAL
from optional import optional

from mlpcore.errors import ConfigurationError, DataError
from mlpcore.losses import (
    LOSSES,
    GaussianNLL,
    MembersLoss,
    PoissonNLL,
    Quantile,
    SigmoidCrossEntropy,
    SoftmaxCrossEntropy,
    SquaredError,
)

KINDS = [kind for kind in LOSSES if kind is not MembersLoss]  # it leaves targets to the loss in it


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_and_prepare_agree_on_the_columns(kind):
    loss = kind()
    for columns in (2, 3):
        target = np.full((4, columns), 1 / columns, dtype="float32")
        prepared = loss.prepare(target, loss.outputs(columns), np.dtype("float64"))
        assert prepared.shape == (4, columns)
        assert prepared.dtype == "float64"
    with pytest.raises(DataError, match="no rows"):
        loss.prepare(target[:0], loss.outputs(3), np.dtype("float64"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("target", "message"),
    [
        (np.full((3, 2, 1), 0.5), r"shape \(3, 2, 1\), expected \(n, "),
        (np.asarray(1.0), r"shape \(\), expected \(n, "),
        (np.full((3, 4), 0.25), r"shape \(3, 4\), expected \(n, 2\)"),
        (np.asarray([[0.5, 0.5], [0.5, np.nan]]), "NaN or infinity in column 1"),
        (np.asarray([[np.inf, 0.5], [0.5, np.nan]]), "NaN or infinity in column 0, 1"),
        (np.asarray([[0.5, 1e300]]), "too large for float32 in column 1"),
        (np.full((3, 2), 0.5 + 0j), "dtype complex128, expected real"),
        (np.full((3, 2), 0.5, dtype=object), "dtype object, expected real"),
        (np.asarray([["a", "b"]]), "dtype <U1, expected real"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_targets_that_no_loss_takes(kind, target, message):
    loss = kind()
    with pytest.raises(DataError, match=message) as caught:
        loss.prepare(target, loss.outputs(2), np.dtype("float32"))
    assert repr(loss) in str(caught.value)


@pytest.mark.parametrize(
    ("loss", "target", "outputs", "message"),
    [
        (SquaredError(), np.zeros(3), 2, r"shape \(3, 1\), expected \(n, 2\)"),
        (SquaredError(), np.zeros((3, 2)), 1, r"shape \(3, 2\), expected \(n, 1\) or \(n,\)"),
        (PoissonNLL(), [[1.0, -1.0], [0.0, 0.0]], 2, "negative numbers in column 1, expected counts"),
        (SigmoidCrossEntropy(), [[0, -1], [1, 0]], 2, r"outside \[0, 1\] in column 1, expected 0, 1 or"),
        (SigmoidCrossEntropy(), [0, 1, 2], 1, "SoftmaxCrossEntropy"),
        (SoftmaxCrossEntropy(), [0, 3, -1], 3, "labels from -1 to 3, expected 0 to 2 for 3 scores"),
        (SoftmaxCrossEntropy(), [0, 1], 1, "SigmoidCrossEntropy"),
        (SoftmaxCrossEntropy(), np.asarray([0, 2**32]), 3, "labels from 0 to 4294967296"),
        (SoftmaxCrossEntropy(), np.asarray([0, 2**63], dtype="uint64"), 3, "labels from 0 to 9223372036854775808"),
        (SoftmaxCrossEntropy(), [0.0, 1.0], 3, r"dtype float64, expected integer labels; y.astype\('int64'\)"),
        (SoftmaxCrossEntropy(), [[0.0], [1.0]], 3, r"expected integer labels; y.astype\('int64'\)"),
        (SoftmaxCrossEntropy(), [0.5, 1.0], 3, "expected integer labels; use a loss for real numbers"),
        (SoftmaxCrossEntropy(), [np.inf, 1.0], 3, "expected integer labels; use a loss for real numbers"),
        (SoftmaxCrossEntropy(), [0.5, np.nan], 3, r"a missing label in row 1 \(NaN\); drop the rows without a label"),
        (SoftmaxCrossEntropy(), [[0.0], [np.nan]], 3, r"a missing label in row 1 \(NaN\)"),
        (SigmoidCrossEntropy(), [1.0, np.nan], 1, r"a missing label in row 1 \(NaN\)"),
        (SigmoidCrossEntropy(), [[1.0], [np.nan]], 1, r"a missing label in row 1 \(NaN\)"),
        (SoftmaxCrossEntropy(), ["a", "b"], 3, "dtype <U1, expected integer labels"),
        (SoftmaxCrossEntropy(), [1j], 3, "dtype complex128, expected integer labels"),
        (SoftmaxCrossEntropy(), np.zeros(0, dtype=int), 3, "no rows"),
        (SoftmaxCrossEntropy(), [[0.5, 0.4]], 2, "do not sum to 1"),
        (SoftmaxCrossEntropy(), [[0.5, 0.5], [0.5, 0.4]], 2, "do not sum to 1"),
        (SoftmaxCrossEntropy(), [[1.5, -0.5]], 2, "negative numbers in column 1"),
    ],
)
def test_targets_that_do_not_fit(loss, target, outputs, message):
    with pytest.raises(DataError, match=message):
        loss.prepare(np.asarray(target), outputs, np.dtype("float64"))


@pytest.mark.parametrize("loss", [GaussianNLL(), Quantile((0.2, 0.8))])
def test_a_network_of_the_wrong_width(loss):
    with pytest.raises(ConfigurationError, match="gives 3 columns, expected 2 for every column of y"):
        loss.prepare(np.zeros((4, 1)), 3, np.dtype("float64"))


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])
@pytest.mark.parametrize("name", ["numpy", "array_api_strict", "torch", "jax"])
def test_labels_of_every_integer_kind_become_int32(name, dtype):
    if name in OPTIONAL:
        optional(name)
    xp = MAKERS[name]()
    labels = np.asarray([[0], [1], [1]]).astype(dtype)
    for target in (labels, labels[:, 0]):
        placed = xp.asarray(target)
        floating = xp.asarray(np.zeros(1, dtype="float32")).dtype
        prepared = xp.to_numpy(SoftmaxCrossEntropy().prepare(placed, 3, floating))
        assert prepared.dtype == "int32"
        np.testing.assert_array_equal(prepared, [0, 1, 1])
        with pytest.raises(DataError, match="labels from 0 to 1, expected 0 to 0"):
            SoftmaxCrossEntropy().prepare(placed, 1, floating)


def test_one_hot_rows_become_labels_and_probabilities_are_divided_by_their_sum():
    loss, dtype = SoftmaxCrossEntropy(), np.dtype("float64")
    for kind in ("bool", "int64", "float32"):
        np.testing.assert_array_equal(loss.prepare(np.eye(3, dtype=kind)[[2, 0]], 3, dtype), [2, 0])
    np.testing.assert_array_equal(loss.prepare(np.ones((2, 1)), 1, dtype), [0, 0])
    shares = np.asarray([[1 / 3, 1 / 3, 1 / 3], [0.5, 0.5, 0.0005]])
    np.testing.assert_allclose(np.sum(loss.prepare(shares, 3, dtype), axis=-1), 1, rtol=1e-15)


def test_flat_targets_booleans_and_integers_become_columns():
    dtype = np.dtype("float32")
    for target in (np.asarray([True, False]), np.asarray([1, 0]), np.asarray([[1], [0]], dtype="uint8")):
        for loss in (SigmoidCrossEntropy(), SquaredError(), PoissonNLL()):
            prepared = loss.prepare(target, 1, dtype)
            assert prepared.dtype == dtype
            np.testing.assert_array_equal(prepared, [[1.0], [0.0]])


def test_to_skip_missing_targets_is_advised_where_the_loss_can() -> None:
    for loss, target, advised in (
        (SoftmaxCrossEntropy(), [0.0, np.nan], False),
        (SigmoidCrossEntropy(), [1, np.nan], True),
    ):
        with pytest.raises(DataError, match="a missing label") as error:
            loss.prepare(np.asarray(target), loss.outputs(1), np.dtype("float64"))
        assert ("missing_targets='skip'" in str(error.value)) is advised
