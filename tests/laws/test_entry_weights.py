"""Losses with a term for each column of the target take a weight for each entry, and one of weight 0 is not there."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from members import ENTRIES, LAYERS, LOSSES, assert_close, entry_arrays, layer_arrays, loss_arrays
from runs import trace

from mlpcore.errors import DataError, GradientCheckError
from mlpcore.gradient_check import check_gradients
from mlpcore.losses import GaussianNLL, HalfSquaredError, MembersLoss, SoftmaxCrossEntropy
from mlpcore.losses.standardized import original
from mlpcore.numerics import apply_weights
from mlpcore.random import Stream
from mlpcore.training.gradients import value_and_grad
from mlpcore.trees import tree_map

SEEDS = st.integers(0, 2**32 - 1)
DTYPES = ("float32", "float64")


def scores_of(loss, target_column, columns):
    """The numbers of the scores that belong to a column of the target."""
    names = np.arange(loss.outputs(columns))
    if isinstance(original(loss), (GaussianNLL, MembersLoss)):
        return names[names % columns == target_column]
    return names[names // (names.size // columns) == target_column]


def test_only_a_loss_of_whole_rows_takes_none():
    whole = [loss for case, (loss, _) in LOSSES.items() if case not in ENTRIES]
    assert {type(getattr(loss, "loss", loss)) for loss in whole} == {SoftmaxCrossEntropy}


@pytest.mark.parametrize("case", ENTRIES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("stack", [None, 2])
def test_weights_that_are_the_same_along_a_row_are_the_weights_of_rows(case, dtype, stack, xp):
    loss, (z, target, weights) = LOSSES[case][0], loss_arrays(case, 7, dtype)
    z = z if stack is None else np.stack([z, -z])
    entries = np.repeat(weights[:, None], target.shape[1], axis=1)
    with xp.scope(dtype):
        of_rows = xp.get(loss.value_and_grad(*xp.put((z, target, weights))))
        of_entries = xp.get(loss.value_and_grad(*xp.put((z, target, entries))))
    assert_close(of_entries, of_rows)


@pytest.mark.parametrize("case", ENTRIES)
def test_every_column_is_a_loss_of_its_own_on_the_rows_that_have_a_weight(case, xp):
    """Column by column, without the entries of weight 0: no formula with a mask in it."""
    loss, (z, target, weights) = LOSSES[case][0], entry_arrays(case, 9, "float64", seed=4)
    with xp.scope("float64"):
        value, dz = xp.get(loss.value_and_grad(*xp.put((z, target, weights))))
    expected, slopes = 0.0, np.zeros_like(z)
    for column in range(target.shape[1]):
        there, scores = np.flatnonzero(weights[:, column]), scores_of(loss, column, target.shape[1])
        assert 0 < there.size < 9
        at = np.ix_(there, scores)
        alone = loss.value_and_grad(z[at], target[there, column][:, None], weights[there, column])
        expected, slopes[at] = expected + alone[0], alone[1]
    assert_close((value, dz), (expected, slopes))


@pytest.mark.parametrize("case", ENTRIES)
@given(seed=SEEDS, columns=st.integers(1, 4))
def test_gradients_against_differences(case, library, seed, columns):
    loss, (z, target, _) = LOSSES[case][0], entry_arrays(case, 6, "float64", seed, columns)
    assert set(check_gradients(loss, x=library.put(z), target=library.put(target), seed=seed)) == {"z"}


def test_the_check_finds_a_loss_that_leaves_its_weights_out_of_the_gradient():
    class Faulty(HalfSquaredError):
        def value_and_grad(self, z, target, weights):
            value, dz = super().value_and_grad(z, target, weights)
            return (value, z - target) if weights.ndim == 2 else (value, dz)

    with pytest.raises(GradientCheckError, match="target of reals and weights of its entries"):
        check_gradients(Faulty())


@pytest.mark.parametrize("case", ENTRIES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_an_entry_of_weight_zero_takes_no_part_even_if_it_is_infinite(case, dtype, library):
    loss, (z, target, weights) = LOSSES[case][0], entry_arrays(case, 6, dtype, seed=1)
    row, column = np.argwhere(weights == 0)[0]
    wild, at = z.copy(), scores_of(loss, column, target.shape[1])
    wild[row, at] = np.inf
    with np.errstate(invalid="ignore", over="ignore"):
        got = library.get(loss.value_and_grad(*library.put((wild, target, weights))))
    assert_close(got, library.get(loss.value_and_grad(*library.put((z, target, weights)))))
    np.testing.assert_array_equal(got[1][row, at], 0.0)


@pytest.mark.parametrize("case", ENTRIES)
@given(seed=SEEDS, cut=st.integers(0, 6))
def test_parts_add_up(case, library, seed, cut):
    loss, arrays = LOSSES[case][0], library.put(entry_arrays(case, 6, "float64", seed))
    value, dz = library.get(loss.value_and_grad(*arrays))
    parts = [library.get(loss.value_and_grad(*(array[at] for array in arrays))) for at in (slice(cut), slice(cut, 6))]
    assert_close((value, dz), (parts[0][0] + parts[1][0], np.concatenate([part[1] for part in parts])))


@pytest.mark.parametrize("case", ENTRIES)
@pytest.mark.parametrize("stack", [None, 2])
def test_a_loss_can_be_traced(case, stack):
    z, target, weights = entry_arrays(case, 11, "float32")
    trace(case, LOSSES[case][0].value_and_grad, (z if stack is None else np.stack([z, -z]), target, weights))


@pytest.mark.parametrize("case", LAYERS)
def test_layers_see_the_means_over_the_columns(case, library):
    """The gradient of a whole network: layers with the means as row weights, and the loss with those of entries."""
    net, dtype = LAYERS[case](4), "float64"
    params, x, training, _ = layer_arrays(net, 4, 7, dtype, seed=5)
    target = Stream(0, "target").normal((7, net.output_width(4)))
    weights = 3 * Stream(1, "weights").uniform(target.shape) * (Stream(2, "there").uniform(target.shape) > 0.3)
    function = value_and_grad(net, HalfSquaredError())
    value, weight, grads, _ = library.get(function(*library.put((params, x, target, weights, training.noise))))
    z, cache = net.forward(params, x, training._replace(row_weights=np.mean(weights, axis=1)))
    expected = np.sum(weights * (z - target) ** 2 / 2), np.sum(weights) / target.shape[1]
    assert_close((value, weight), expected)
    assert_close(grads, net.backward(params, cache, weights * (z - target))[1])
    same = np.repeat(weights[:, :1], target.shape[1], axis=1)
    of_entries = function(*library.put((params, x, target, same, training.noise)))
    of_rows = function(*library.put((params, x, target, weights[:, 0], training.noise)))
    tree_map(lambda a, b: assert_close(library.get(a), library.get(b)), of_entries, of_rows)


def test_losses_of_rows_with_weights_of_entries():
    with pytest.raises(
        DataError, match=r"weights have shape \(3, 3\) and the losses \(3,\), expected one loss for each"
    ):
        apply_weights(np.ones((3, 3)), np.ones(3), np.ones((3, 3)))
