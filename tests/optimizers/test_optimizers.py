"""The optimizers: first steps by hand, the two eps, late updates, float32 against float64; see tests/laws."""

import math
from decimal import Decimal, getcontext
from typing import Any

import numpy as np
import pytest
from members import UPDATES

from mlpcore.errors import ConfigurationError
from mlpcore.optimizers import OPTIMIZERS, SGD, Adagrad, Adam, AdamW, Lion, NAdam, RAdam, RMSprop
from mlpcore.optimizers.adam import bias_correction
from mlpcore.optimizers.radam import sample_length
from mlpcore.trees import named_leaves

every = pytest.mark.parametrize("name", UPDATES)


def draws(*shape: int, dtype: str = "float64", seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def train(optimizer: Any, params: np.ndarray, gradients: np.ndarray, rates: Any) -> tuple[np.ndarray, Any]:
    """Parameters and state after one update for every gradient."""
    state = optimizer.init(params)
    for g, rate in zip(gradients, rates, strict=True):
        params, state = optimizer.update(g, state, params, np.asarray(rate, dtype=params.dtype))
    return params, state


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


def test_the_second_update_with_momentum_by_hand():
    gradients, rates = np.array([[2.0], [3.0]]), (0.1, 0.01)
    late, _ = train(SGD(0.1, momentum=0.5), np.zeros(1), gradients, rates)
    early, _ = train(SGD(0.1, momentum=0.5, rate_on="gradient"), np.zeros(1), gradients, rates)
    assert late[0] == pytest.approx(-0.1 * 2 - 0.01 * (0.5 * 2 + 3))
    assert early[0] == pytest.approx(-0.1 * 2 - (0.5 * 0.1 * 2 + 0.01 * 3))


@pytest.mark.parametrize("nesterov", [False, True])
def test_the_two_forms_of_momentum_are_one_while_the_rate_is_constant(nesterov):
    forms = [SGD(0.1, momentum=0.9, nesterov=nesterov, rate_on=form) for form in ("velocity", "gradient")]
    (one, _), (two, _) = (train(form, draws(5), draws(20, 5, seed=1), [0.1] * 20) for form in forms)
    np.testing.assert_allclose(one, two, rtol=0, atol=1e-14)


def test_eps_on_the_uncorrected_root_acts_32_times_as_strongly_at_first():
    gradient = [np.array([1e-3])]
    corrected, _ = train(Adam(eps=1e-3), np.zeros(1), gradient, [1.0])
    uncorrected, _ = train(Adam(eps=1e-3, eps_on="uncorrected"), np.zeros(1), gradient, [1.0])
    assert corrected[0] == pytest.approx(-1 / 2)
    assert uncorrected[0] == pytest.approx(-1 / (1 + math.sqrt(1000)))


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


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9, 0.999, 0.99999])
def test_bias_correction_is_exact_to_a_few_units_in_the_last_place(beta, dtype):
    getcontext().prec = 60
    for count in (1, 2, 7, 1000, 10**6):
        exact = 1 - Decimal(beta) ** count
        got = bias_correction(np.asarray(count, dtype=dtype), beta)
        assert got.dtype == dtype
        assert float(abs(Decimal(float(got)) / exact - 1)) < 3 * np.finfo(dtype).eps


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("beta", [0.0, 0.3, 0.5, 2 / 3, 0.8, 0.9, 0.99, 0.999, 0.9999, 0.999999])
def test_the_sample_length_of_radam_survives_float32(beta, dtype):
    getcontext().prec = 60
    counts = np.asarray([*range(1, 40), 100, 199, 200, 201, 1999, 2000, 10**4, 10**6], dtype=dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        got = sample_length(counts, beta)
    assert got.dtype == dtype
    for count, length in zip(counts, got, strict=True):
        power, t = Decimal(beta) ** int(count), int(count)
        exact = (1 + Decimal(beta)) / (1 - Decimal(beta)) - 2 * t * power / (1 - power)
        # Where the series hands over (t x = 0.2), the difference of 2/x and 1.8/x loses one digit: hence 20 units.
        assert float(abs(Decimal(float(length)) / exact - 1)) < 20 * np.finfo(dtype).eps, (t, exact)


@pytest.mark.parametrize("beta2", [0.0, 0.3, 1 / 3, 0.5, 0.6, 2 / 3, 0.7, 0.999])
def test_radam_has_no_nan_on_either_branch(beta2):
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        moved, _ = train(RAdam(beta2=beta2), draws(5), draws(12, 5, seed=1), [0.1] * 12)
    assert np.all(np.isfinite(moved))


def test_radam_rectifies_from_the_sixth_update_on():
    gradient, moved = [np.array([1e-3])], []
    for steps in range(1, 8):
        moved.append(train(RAdam(), np.zeros(1), gradient * steps, [1.0] * steps)[0][0])
    taken = -np.diff([0.0, *moved])
    np.testing.assert_allclose(taken[:5], 1e-3, rtol=1e-12)  # momentum alone, corrected
    rho, limit = 5.994166, 1999.0  # 1999 - 12 * 0.999^6 / (1 - 0.999^6)
    r = math.sqrt((rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho))
    assert taken[5] == pytest.approx(r, rel=1e-3) and taken[6] > taken[5]


WRONG = [
    (lambda kind: kind(0.0), "learning_rate"),
    (lambda kind: kind(-1), "learning_rate"),
    (lambda kind: kind("fast"), "learning_rate"),
    (lambda kind: kind(math.nan), "learning_rate"),
    (lambda kind: kind(0.1, weight_decay=-0.1), "weight_decay"),
    (lambda kind: kind(0.1, weight_decay=math.inf), "weight_decay"),
]


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize(("make", "field"), WRONG)
def test_wrong_rates_and_decays_are_refused(kind, make, field):
    with pytest.raises(ConfigurationError, match=f"{kind.__name__}: {field} is"):
        make(kind)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_wrong_words_of_each_kind_are_refused(kind):
    fields = kind.__dataclass_fields__
    wrong = {"beta1": 1.0, "beta2": 1.0, "alpha": 1.0, "eps": 0.0, "eps_on": "both", "rate_on": "both", "nesterov": 2}
    wrong |= {"momentum": 1.1, "momentum_decay": -1.0, "initial_accumulator": -1.0}
    assert set(fields) <= {*wrong, "learning_rate", "weight_decay"}
    for field in set(fields) & set(wrong):
        with pytest.raises(ConfigurationError, match=f"{kind.__name__}: {field} is"):
            kind(0.1, **{field: wrong[field]})


def test_nesterov_needs_momentum():
    with pytest.raises(ConfigurationError, match="momentum above 0"):
        SGD(0.1, nesterov=True)
    assert SGD(0.1, momentum=1.0, nesterov=True).momentum == 1.0
