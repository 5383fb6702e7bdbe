"""The first law: what a backward pass returns is a sum over independent rows, and a mean is a choice of weights."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from members import LAYERS, LOSSES, assert_close, layer_arrays, loss_arrays

from mlpcore.losses import HalfSquaredError, SoftmaxCrossEntropy
from mlpcore.training.gradients import value_and_grad
from mlpcore.trees import named_leaves, tree_map
from mlpcore.typing import Training

INDEPENDENT = [case for case, make in LAYERS.items() if make(4).row_independent]
MIXING = [case for case in LAYERS if case not in INDEPENDENT]
SEEDS = st.integers(0, 2**32 - 1)
DTYPES = ("float32", "float64")


@st.composite
def splits(draw):
    """A number of rows, and where to cut them: parts may be empty."""
    rows = draw(st.integers(0, 9))
    cuts = sorted(draw(st.lists(st.integers(0, rows), max_size=4)))
    edges = [0, *cuts, rows]
    return rows, list(pairwise(edges))


def added(parts):
    return tree_map(lambda *leaves: sum(leaves[1:], leaves[0]), *parts)


def joined(library, parts):
    return np.concatenate([library.get(part) for part in parts])


def rows_of(training, start, stop):
    noise = tree_map(lambda leaf: leaf[..., start:stop, :], training.noise)
    return Training(noise, training.row_weights[..., start:stop])


@pytest.mark.parametrize("case", INDEPENDENT)
@pytest.mark.parametrize("dtype", DTYPES)
@given(split=splits(), width=st.integers(1, 4), seed=SEEDS)
def test_layers(case, dtype, library, split, width, seed):
    rows, spans = split
    layer = LAYERS[case](width)
    params, x, training, dy = library.put(layer_arrays(layer, width, rows, dtype, seed))
    y, cache = layer.forward(params, x, training)
    dx, grads = layer.backward(params, cache, dy)
    parts = []
    for a, b in spans:
        y_part, cache = layer.forward(params, x[a:b], rows_of(training, a, b))
        parts.append((y_part, *layer.backward(params, cache, dy[a:b])))
    assert_close(joined(library, [part[0] for part in parts]), library.get(y))
    assert_close(joined(library, [part[1] for part in parts]), library.get(dx))
    assert_close(library.get(added([part[2] for part in parts])), library.get(grads))


@pytest.mark.parametrize("case", LAYERS)
@pytest.mark.parametrize("dtype", DTYPES)
@given(split=splits(), width=st.integers(1, 4), seed=SEEDS)
def test_inference_of_every_layer_goes_row_by_row(case, dtype, library, split, width, seed):
    rows, spans = split
    layer = LAYERS[case](width)
    params, x, *_ = library.put(layer_arrays(layer, width, rows, dtype, seed))
    parts = [layer.forward(params, x[a:b])[0] for a, b in spans]
    assert_close(joined(library, parts), library.get(layer.forward(params, x)[0]))


@pytest.mark.parametrize("case", MIXING)
def test_layers_that_break_the_law_say_so_with_reason(case):
    layer = LAYERS[case](4)
    params, x, training, _ = layer_arrays(layer, 4, 8, "float64")
    y, _ = layer.forward(params, x, training)
    first, _ = layer.forward(params, x[:4], rows_of(training, 0, 4))
    assert not np.allclose(first, y[:4])


@pytest.mark.parametrize("case", LOSSES)
@pytest.mark.parametrize("dtype", DTYPES)
@given(split=splits(), seed=SEEDS)
def test_losses(case, dtype, library, split, seed):
    rows, spans = split
    loss, _ = LOSSES[case]
    z, target, weights = library.put(loss_arrays(case, rows, dtype, seed))
    value, dz = loss.value_and_grad(z, target, weights)
    parts = [loss.value_and_grad(z[a:b], target[a:b], weights[a:b]) for a, b in spans]
    assert_close(library.get(added([part[0] for part in parts])), library.get(value))
    assert_close(joined(library, [part[1] for part in parts]), library.get(dz))


@pytest.mark.parametrize("case", LOSSES)
@pytest.mark.parametrize("dtype", DTYPES)
@given(seed=SEEDS, weight=st.floats(0, 8))
def test_the_weight_of_a_row_multiplies_its_loss_and_gradient(case, dtype, library, seed, weight):
    loss, _ = LOSSES[case]
    z, target, weights = library.put(loss_arrays(case, 1, dtype, seed))
    value, dz = loss.value_and_grad(z, target, 0 * weights + 1)
    weighted = loss.value_and_grad(z, target, 0 * weights + weight)
    assert_close(library.get(weighted), library.get((weight * value, weight * dz)))


@pytest.mark.parametrize("case", LOSSES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_row_of_weight_zero_takes_no_part_even_if_it_is_infinite(case, dtype, library):
    loss, _ = LOSSES[case]
    z, target, weights = loss_arrays(case, 4, dtype)
    wild = z.copy()
    wild[2] = np.inf
    assert weights[2] == 0
    with np.errstate(invalid="ignore", over="ignore"):
        value, dz = library.get(loss.value_and_grad(*library.put((wild, target, weights))))
    kept = [0, 1, 3]
    without = loss.value_and_grad(*library.put((z[kept], target[kept], weights[kept])))
    assert_close((value, dz[kept]), library.get(without))
    np.testing.assert_array_equal(dz[2], 0.0)


@pytest.mark.parametrize("case", LAYERS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_row_of_weight_two_is_the_row_twice_and_of_weight_zero_is_none(case, dtype, library):
    """For whole networks, through BatchNorm's weighted statistics too (all but the unbiased running variance)."""
    net = LAYERS[case](4)
    params, x, training, _ = layer_arrays(net, 4, 5, dtype, seed=3)
    target = np.linspace(-1, 1, 5 * net.output_width(4), dtype=dtype).reshape(5, -1)
    function = value_and_grad(net, HalfSquaredError())
    twice, weights = [0, 1, 1, 3, 4], np.asarray([1.0, 2.0, 0.0, 1.0, 1.0], dtype)
    weighted = function(*library.put((params, x, target, weights, training.noise)))
    rows = (x[twice], target[twice], np.ones(5, dtype), tree_map(lambda leaf: leaf[..., twice, :], training.noise))
    written_out = function(*library.put((params, *rows)))
    assert_close(library.get(weighted[:3]), library.get(written_out[:3]))


@pytest.mark.parametrize("case", LAYERS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_that_all_weigh_nothing_change_nothing(case, dtype, library):
    net = LAYERS[case](4)
    params, x, training, _ = layer_arrays(net, 4, 5, dtype)
    function = value_and_grad(net, HalfSquaredError())
    nothing = np.ones((5, net.output_width(4)), dtype), np.zeros(5, dtype)
    value, weight, grads, observed = library.get(function(*library.put((params, x, *nothing, training.noise))))
    assert value == weight == 0
    tree_map(lambda leaf: np.testing.assert_array_equal(leaf, 0.0), grads)
    kept = dict(named_leaves(params))
    for name, leaf in named_leaves(observed):
        np.testing.assert_array_equal(leaf, kept[name])


@pytest.mark.parametrize("case", INDEPENDENT)
@pytest.mark.parametrize("dtype", DTYPES)
@given(split=splits(), seed=SEEDS)
def test_value_weight_and_gradients_of_a_network_are_sums_over_rows(case, dtype, library, split, seed):
    rows, spans = split
    net = LAYERS[case](3)
    params, x, training, _ = layer_arrays(net, 3, rows, dtype, seed)
    target, weights = np.arange(rows) % net.output_width(3), np.linspace(0, 2, rows, dtype=dtype)
    function = value_and_grad(net, SoftmaxCrossEntropy())
    whole = library.get(function(*library.put((params, x, target, weights, training.noise))))
    parts = []
    for a, b in spans:
        noise = rows_of(training, a, b).noise
        parts.append(library.get(function(*library.put((params, x[a:b], target[a:b], weights[a:b], noise)))))
    assert_close(added([part[:3] for part in parts]), whole[:3])
