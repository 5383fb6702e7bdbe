"""Members: each member is the network of its own and the shared parameters; noise, gradients, loss, predictions."""

import numpy as np
import pytest
from single_layer import normal

from mlpcore.errors import ConfigurationError
from mlpcore.initializers import Signs
from mlpcore.layers import BatchNorm, Dropout, Linear, Members, Scale, Sequential, Tanh
from mlpcore.layers.shapes import parameter_shapes
from mlpcore.losses import MembersLoss, SoftmaxCrossEntropy, SquaredError
from mlpcore.random import Stream
from mlpcore.trees import named_leaves, tree_map
from mlpcore.typing import Training

LAYERS = (Scale(3, Signs()), Linear(3, 4), Tanh(), Dropout(0.5), Linear(4, 2))
NET = Members(*LAYERS, count=3, own=(0, 4))
ALONE = Sequential(*LAYERS)


def member(params, i):
    """The parameters of a member, as a network by itself has them."""
    return tuple(
        tree_map(lambda leaf: leaf[i], part) if layer in NET.own else part for layer, part in enumerate(params)
    )


def test_every_member_is_a_network_by_itself():
    x, params = normal(5, 3), NET.init(Stream(1), "float64")
    noise = NET.noise(Stream(2), x.shape, "float64")
    dy = 1 + normal(5, 6)
    y, cache = NET.forward(params, x, Training(noise, np.ones(5)))
    dx, grads = NET.backward(params, cache, dy)
    total = np.zeros_like(x)
    for i in range(3):
        own_noise = tree_map(lambda leaf, i=i: leaf[i], noise)
        alone, kept = ALONE.forward(member(params, i), x, Training(own_noise, np.ones(5)))
        np.testing.assert_allclose(y[:, 2 * i : 2 * i + 2], alone, rtol=1e-13)
        part, own_grads = ALONE.backward(member(params, i), kept, dy[:, 2 * i : 2 * i + 2])
        total += part
        for layer in NET.own:
            tree_map(
                lambda leaf, other, i=i: np.testing.assert_allclose(leaf[i], other, rtol=1e-13),
                grads[layer],
                own_grads[layer],
            )
    np.testing.assert_allclose(dx, total, rtol=1e-13)
    np.testing.assert_allclose(grads[1]["bias"].shape, (4,))


def test_members_begin_differently_and_drop_out_differently():
    params, noise = NET.init(Stream(1), "float64"), NET.noise(Stream(2), (5, 3), "float64")
    assert params[4]["weight"].shape == (3, 4, 2) and params[1]["weight"].shape == (3, 4)
    for leaf in (params[4]["weight"], noise[3]):
        assert not np.array_equal(leaf[0], leaf[1])
    assert noise[3].shape == (3, 5, 4)


def test_the_loss_is_the_mean_of_the_members_losses():
    loss, inner = MembersLoss(SoftmaxCrossEntropy(), 3), SoftmaxCrossEntropy()
    z, target, weights = normal(5, 6), np.asarray([0, 1, 1, 0, 1]), np.arange(5.0)
    value, dz = loss.value_and_grad(z, target, weights)
    parts = [inner.value_and_grad(z[:, 2 * i : 2 * i + 2], target, weights) for i in range(3)]
    np.testing.assert_allclose(value, np.mean([part[0] for part in parts]), rtol=1e-14)
    np.testing.assert_allclose(dz, np.concatenate([part[1] for part in parts], axis=1) / 3, rtol=1e-14)
    mean = np.mean([inner.predict(z[:, 2 * i : 2 * i + 2]) for i in range(3)], axis=0)
    np.testing.assert_allclose(loss.predict(z), mean, rtol=1e-14)
    assert loss.outputs(2) == 6 and not loss.entry_weights and MembersLoss(SquaredError(), 2).entry_weights


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_shapes_of_parameters_have_an_axis_for_the_members(count):
    shapes = parameter_shapes(Members(Linear(3, 2), Tanh(), Linear(2, 4), count=count), "float32")
    assert [leaf.shape for _, leaf in named_leaves(shapes)] == [(count, 3, 2), (count, 2), (2, 4), (4,)]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: Members(Linear(2, 2), count=0), "count is 0"),
        (lambda: Members(Linear(2, 2), count=2, own=()), r"own is \(\), expected a tuple of layer numbers below 1"),
        (lambda: Members(Linear(2, 2), count=2, own=(0, 1)), "expected a tuple of layer numbers below 1"),
        (lambda: Members(BatchNorm(2), count=2), "depends on other rows"),
        (
            lambda: Members(Tanh(), Linear(2, 2), count=2).init(Stream(0), "float32"),
            "the first layer has no parameters",
        ),
        (lambda: MembersLoss(Tanh(), 2), "is not a loss"),
        (lambda: MembersLoss(SquaredError(), 0), "count is 0"),
        (lambda: MembersLoss(SquaredError(), 2).prepare(np.ones(3), 3, "float64"), "gives 3 columns, expected 2"),
    ],
)
def test_what_is_refused(wrong, message):
    with pytest.raises(ConfigurationError, match=message):
        wrong()
