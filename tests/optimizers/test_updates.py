"""Every optimizer: its first update by hand, entries without a gradient, weight decay, late updates in float32."""

import math

import numpy as np
import pytest
from members import UPDATES
from updates import draws, train

from mlpcore.optimizers import OPTIMIZERS, SGD, Adagrad, Adam, AdamW, Lion, NAdam, RAdam, RMSprop
from mlpcore.trees import named_leaves

every = pytest.mark.parametrize("name", UPDATES)
# What one update at rate 0.1 takes from the parameters, from a gradient g that is not 0.
MU = [0.9 * (1 - 0.5 * 0.96 ** (0.004 * t)) for t in (0, 1, 2)]
FIRST = (
    (SGD(0.1), lambda g: 0.1 * g),
    (SGD(0.1, momentum=0.9), lambda g: 0.1 * g),
    (SGD(0.1, momentum=0.9, nesterov=True), lambda g: 0.19 * g),
    (SGD(0.1, momentum=0.9, nesterov=True, rate_on="gradient"), lambda g: 0.19 * g),
    (Adam(0.1, eps=0.5), lambda g: 0.1 * g / (abs(g) + 0.5)),
    (Adam(0.1, eps=0.5, eps_on="uncorrected"), lambda g: 0.1 * g / (abs(g) + 0.5 / math.sqrt(0.001))),
    (AdamW(0.1, eps=0.5), lambda g: 0.1 * g / (abs(g) + 0.5)),
    (NAdam(0.1, eps=0.5), lambda g: 0.1 * (g + MU[2] * 0.1 * g / (1 - MU[1] * MU[2])) / (abs(g) + 0.5)),
    (RAdam(0.1), lambda g: 0.1 * g),
    (RMSprop(0.1, eps=0.5), lambda g: 0.1 * g / (0.1 * abs(g) + 0.5)),
    (RMSprop(0.1, eps=0.5, momentum=0.9), lambda g: 0.1 * g / (0.1 * abs(g) + 0.5)),
    (Adagrad(0.1, eps=0.5), lambda g: 0.1 * g / (abs(g) + 0.5)),
    (Adagrad(0.1, initial_accumulator=3.0, eps=0.5), lambda g: 0.1 * g / (math.sqrt(3 + g * g) + 0.5)),
    (Lion(0.1), lambda g: math.copysign(0.1, g)),
)


@pytest.mark.parametrize(("optimizer", "taken"), FIRST, ids=[repr(case) for case, _ in FIRST])
def test_the_first_update_by_hand(optimizer, taken):
    assert {type(case) for case, _ in FIRST} == set(OPTIMIZERS)
    gradient = [0.5, -2.0, 1.0]
    moved, _ = train(optimizer, np.ones(3), [np.array(gradient)], [0.1])
    np.testing.assert_allclose(moved, [1 - taken(g) for g in gradient], rtol=1e-14)


def test_without_momentum_there_is_no_velocity():
    assert SGD(0.1).init(np.zeros(3)) == ()
    assert RMSprop(0.1).init(np.zeros(3)).velocity == ()


@every
def test_where_no_gradient_ever_was_nothing_moves(name):
    optimizer = UPDATES[name]
    gradients = draws(21, 4)  # an odd number: not even Lion returns to where it was
    gradients[:, 2] = 0
    moved, state = train(optimizer, np.array([1.0, 2.0, 0.0, 4.0]), gradients, [0.1] * 21)
    assert moved[2] == 0 and np.all(moved[[0, 1, 3]] != [1, 2, 4])
    assert all(np.all(np.isfinite(leaf)) for _, leaf in named_leaves(tuple(state)))


def test_the_optimizers_leave_weight_decay_to_the_step():
    data = draws(5), draws(3, 5, seed=1), [0.1] * 3
    decaying, plain = SGD(0.1, weight_decay=0.5), SGD(0.1)
    assert np.array_equal(train(decaying, *data)[0], train(plain, *data)[0])
    assert AdamW().weight_decay == 0.01
    for kind in OPTIMIZERS[1:]:
        assert np.array_equal(train(kind(0.1, weight_decay=0.5), *data)[0], train(kind(0.1), *data)[0]), kind
    assert np.array_equal(train(AdamW(0.1), *data)[0], train(Adam(0.1), *data)[0])


@every
def test_late_updates_are_as_exact_in_float32(name):
    optimizer = UPDATES[name]
    params, gradients = draws(64), draws(10, 64, seed=1)

    def late(dtype: str) -> np.ndarray:
        start = params.astype(dtype)
        state = optimizer.init(start)
        if "count" in getattr(state, "_fields", ()):
            state = state._replace(count=np.asarray(1e6, dtype=dtype))
        for g in gradients.astype(dtype):
            start, state = optimizer.update(g, state, start, np.asarray(0.1, dtype=dtype))
        return start

    sure, tried = late("float64"), late("float32")
    # A thin mean of squares (its corrections are 1 by now) makes long steps: errors are relative to the longest.
    np.testing.assert_allclose(tried, sure, rtol=0, atol=20 * np.finfo("float32").eps * np.max(np.abs(sure)))
