"""L-BFGS against scipy.optimize and known minima, on every library, with one look at the host for each evaluation."""

import math
from itertools import pairwise

import numpy as np
import pytest
from libraries import NUMPY
from optional import optional

import mlpcore as mc
from mlpcore.errors import DataError
from mlpcore.namespace import namespace
from mlpcore.random import Stream
from mlpcore.training import lbfgs
from mlpcore.training.callbacks import Stop
from mlpcore.training.gradients import value_and_grad
from mlpcore.training.lbfgs import minimize
from mlpcore.trees import Layout

EXACT = {"tolerance": 1e-7, "relative_decrease": 0.0}


class Counted:
    """A function that counts its calls, and looks whether it was given the same array twice."""

    def __init__(self, function):
        self.function, self.seen = function, []

    def __call__(self, x):
        assert not any(x is one for one in self.seen)
        self.seen.append(x)
        return self.function(x)


@pytest.fixture
def reads(monkeypatch, xp):
    """The shapes of the arrays that were brought to the host; on array-api-strict there is no other way."""
    seen = []

    def to_host(x):
        seen.append(x.shape)
        return np.asarray(xp.to_numpy(x))

    monkeypatch.setattr(lbfgs, "to_host", to_host)
    return seen


def rosenbrock(x):
    """The valley in any even number of dimensions, with its minimum 0 at (1, ..., 1)."""
    xp = namespace(x)
    a, b = x[::2], x[1::2]
    rise = b - a * a
    gradient = xp.stack([-400 * a * rise - 2 * (1 - a), 200 * rise], axis=-1)
    return xp.sum(100 * rise * rise + (1 - a) * (1 - a)), xp.reshape(gradient, (-1,))


def quadratic(n, dtype="float64"):
    """A positive definite matrix (n, n) and a vector (n,)."""
    factor = Stream(1, "matrix").normal((n, n))
    return (factor @ factor.T / n + np.eye(n)).astype(dtype), Stream(1, "vector").normal((n,)).astype(dtype)


def bowl(matrix, vector):
    def function(x):
        product = matrix @ x
        xp = namespace(x)
        return 0.5 * xp.vecdot(x, product) - xp.vecdot(vector, x), product - vector

    return function


def problem(net, loss, dtype, rows=40):
    """The mean loss with a penalty on the weights, as a function of the vector: start, arrays, what takes them."""
    columns = net.output_width(None)
    x = Stream(2, "x").normal((rows, 5)).astype(dtype)
    raw = Stream(2, "y").uniform((rows,))
    y = (columns * raw).astype("int64") if isinstance(loss, mc.SoftmaxCrossEntropy) else np.sin(3 * x[:, :columns])
    y = (y > 0) if isinstance(loss, mc.SigmoidCrossEntropy) else np.exp(y) if isinstance(loss, mc.PoissonNLL) else y
    params = net.init(Stream(3, "init"), dtype)
    layout = Layout(params)
    target, weights = loss.prepare(y, columns, np.dtype(dtype)), 0.5 + Stream(2, "w").uniform((rows,)).astype(dtype)
    gradients, noise = value_and_grad(net, loss), net.noise(Stream(4), (rows, 5), dtype)

    def objective(x, target, weights, mask):
        xp = namespace(x)

        def function(vector):
            value, weight, grads, _ = gradients(layout.view(vector), x, target, weights, noise)
            decayed = mask * vector
            return (value + 0.05 * xp.vecdot(decayed, vector)) / weight, (layout.flat(grads) + 0.1 * decayed) / weight

        return function

    mask = np.zeros(layout.size, dtype)
    mask[: layout.decayed] = 1
    return layout.flat(params), (x, target, weights, mask), objective


LOGISTIC = mc.Sequential(mc.Linear(5, 3))
MLP = mc.Sequential(mc.Linear(5, 6), mc.Tanh(), mc.Linear(6, 3))
PROBLEMS = {
    "softmax regression": (LOGISTIC, mc.SoftmaxCrossEntropy()),
    "logistic regression": (LOGISTIC, mc.SigmoidCrossEntropy()),
    "Poisson regression": (LOGISTIC, mc.PoissonNLL()),
    "MLP classes": (MLP, mc.SoftmaxCrossEntropy()),
    "MLP flags": (MLP, mc.SigmoidCrossEntropy()),
    "MLP counts": (MLP, mc.PoissonNLL()),
    "MLP numbers": (MLP, mc.HalfSquaredError()),
    "MLP of softplus": (mc.Sequential(mc.Linear(5, 4), mc.Softplus(), mc.Linear(4, 2)), mc.SquaredError()),
}


@pytest.mark.parametrize("n", [1, 2, 7])
def test_a_quadratic_takes_few_steps(n, xp, reads):
    """With a memory of n pairs and near-exact steps BFGS ends after about n iterations; 1e-7 is the wanted gradient."""
    matrix, vector = quadratic(n)
    with xp.scope("float64"):
        found = minimize(Counted(bowl(*xp.put((matrix, vector)))), xp.put(np.zeros(n)), **EXACT)
    assert found.converged
    assert found.iterations <= 3 * n + 1
    assert len(reads) == found.evaluations
    np.testing.assert_allclose(xp.get(found.x), np.linalg.solve(matrix, vector), rtol=0, atol=1e-6)


def test_rosenbrock(xp, reads):
    """The gradient ends below 1e-7; the smallest curvature there is 0.4, so x is right to 1e-6."""
    start = np.tile([-1.2, 1.0], 5)
    with xp.scope("float64"):
        counted = Counted(rosenbrock)
        found = minimize(counted, xp.put(start), **EXACT)
    assert found.converged and found.evaluations == len(counted.seen) == len(reads)
    assert found.iterations <= 100
    assert 0 <= found.value < 1e-12
    np.testing.assert_allclose(xp.get(found.x), 1.0, rtol=0, atol=1e-6)


@pytest.mark.parametrize("case", PROBLEMS)
def test_losses_on_every_library(case, xp, reads):
    """The same minimum as on NumPy in the first iterations, and one read for each evaluation, of eight numbers."""
    start, arrays, objective = problem(*PROBLEMS[case], "float64")
    limits = {"max_iterations": 12, "tolerance": 1e-9}
    with xp.scope("float64"):
        found = minimize(objective(*xp.put(arrays)), xp.put(start), **limits)
    assert reads == [(8,)] * found.evaluations
    expected = minimize_on_numpy(objective(*arrays), start, **limits)
    assert (found.iterations, found.evaluations) == (expected.iterations, expected.evaluations)
    # Each iteration multiplies the rounding of sums in another order; 1e-9 is far from what a step would change.
    np.testing.assert_allclose(xp.get(found.x), expected.x, rtol=0, atol=1e-9)


def minimize_on_numpy(function, start, **words):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lbfgs, "to_host", np.asarray)
        return minimize(function, start, **words)


@pytest.mark.parametrize("case", PROBLEMS)
def test_the_minimum_is_scipys(case):
    """Both stop at a gradient of 1e-8, where the curvature of the penalty bounds the value's error by 1e-12."""
    optimize = optional("scipy.optimize")
    start, arrays, objective = problem(*PROBLEMS[case], "float64")
    function = objective(*arrays)
    found = minimize(function, start, tolerance=1e-8, relative_decrease=0)
    options = {"gtol": 1e-8, "ftol": 0.0, "maxiter": 15_000}
    theirs = optimize.minimize(function, start, jac=True, method="L-BFGS-B", options=options)
    assert found.converged
    np.testing.assert_allclose(found.value, theirs.fun, rtol=0, atol=1e-10)
    # Not worse than SciPy by more than a few evaluations in all.
    assert found.evaluations <= 1.5 * theirs.nfev


def gain(function, x):
    """What the best step along the gradient g brings, to second order: ``(g.g)^2 / (2 g.Hg)``."""
    gradient, size = function(x)[1], 1e-4
    curved = (function(x + size * gradient)[1] - function(x - size * gradient)[1]) / (2 * size)
    return (gradient @ gradient) ** 2 / (2 * gradient @ curved)


@pytest.mark.parametrize("case", PROBLEMS)
def test_float32(case, xp, reads):
    """Rounding ends it: what the gradient's own direction could still gain is no more than the rounding of the value,
    a sum over 40 rows and up to 3 columns, whose errors add up to about the root of 120 units.

    In any one order of the sums, which is the library's own, the errors of two values may hide the last decrease and
    end it early: on NumPy 2 of 480 runs with their rows in another order ended at 1.4 times the bound. So where the
    bound is passed in the order that was given, two other orders have to keep it.

    There the value of the convex ones, whose minimum is the same on every way, is float64's to 2e-6.
    """
    start, arrays, objective = problem(*PROBLEMS[case], "float32")
    wide = [part.astype("float64") if part.dtype == np.float32 else part for part in arrays]
    expected = minimize_on_numpy(objective(*wide), start.astype("float64"), tolerance=1e-9, relative_decrease=0)

    def left(order):
        """The gain that is left with the rows in an order, in units of its bound."""
        rows = tuple(part[order] if part.shape[0] == 40 else part for part in arrays)
        with xp.scope("float32"):
            found = minimize(objective(*xp.put(rows)), xp.put(start), tolerance=1e-7)
            assert found.x.dtype == namespace(found.x).float32
            x = xp.get(found.x).astype("float64")
        assert found.converged, found.message
        if "regression" in case:
            assert found.value == pytest.approx(expected.value, rel=2e-6)
        return gain(objective(*wide), x) / (120**0.5 * np.finfo("float32").eps * max(found.value, 1.0))

    if left(np.arange(40)) > 1:
        assert max(left(np.random.default_rng(seed).permutation(40)) for seed in range(2)) <= 1


def test_the_limits_are_never_exceeded():
    start = np.tile([-1.2, 1.0], 5)
    for limit in range(1, 35):
        counted = Counted(rosenbrock)
        found = minimize(counted, start, max_evaluations=limit, **EXACT)
        assert len(counted.seen) == found.evaluations == limit
        assert not found.converged and "evaluations" in found.message
        assert found.value == rosenbrock(found.x)[0] <= rosenbrock(start)[0]
        found = minimize(rosenbrock, start, max_iterations=limit, **EXACT)
        assert found.iterations == limit
        assert not found.converged and "iterations" in found.message


def test_values_never_rise_and_a_callback_sees_every_iteration():
    seen = []
    found = minimize(rosenbrock, np.tile([-1.2, 1.0], 5), callback=seen.append, **EXACT)
    assert [one.iterations for one in seen] == list(range(1, found.iterations + 1))
    values = [one.value for one in seen]
    assert all(later <= sooner for sooner, later in pairwise(values))
    assert seen[-1].value == found.value and not any(one.converged for one in seen)


def test_a_callback_ends_it():
    def callback(minimum):
        return Stop("enough") if minimum.iterations == 3 else None

    found = minimize(rosenbrock, np.asarray([-1.2, 1.0]), callback=callback)
    assert (found.iterations, found.message, found.converged) == (3, "enough", False)


def test_the_rules_of_stopping():
    start = np.asarray([-1.2, 1.0])
    by_gradient = minimize(rosenbrock, start, tolerance=1e-3, relative_decrease=0)
    assert by_gradient.converged and np.max(np.abs(rosenbrock(by_gradient.x)[1])) <= 1e-3
    seen = [1.0]
    by_decrease = minimize(
        rosenbrock, start, tolerance=0, relative_decrease=1e-2, callback=lambda m: seen.append(m.value)
    )
    assert by_decrease.converged and seen[-2] - seen[-1] <= 1e-2  # values below 1 count as 1
    assert all(sooner - later > 1e-2 for sooner, later in pairwise(seen[1:-1]))
    small = minimize(lambda x: tuple(1e-4 * part for part in rosenbrock(x)), start, tolerance=0, relative_decrease=1e-2)
    assert small.converged and small.iterations == 1
    at_once = minimize(rosenbrock, np.ones(2))
    assert (at_once.iterations, at_once.evaluations, at_once.converged) == (0, 1, True)


def test_a_decrease_of_one_unit_in_the_last_place_is_the_end():
    """In float32 the default limit, 2.2e-9, is below what can be seen: the rounding unit takes its place."""
    calls = []

    def function(x):
        calls.append(x)
        falling, flatter = 0.75 - 2.0**-24 * len(calls), 1e-6 * 0.5 ** len(calls)
        return np.asarray(falling, "float32"), np.full(1, flatter, "float32")

    found = minimize(function, np.zeros(1, "float32"), tolerance=0)
    assert (found.converged, found.iterations, found.evaluations) == (True, 1, 2)


def hole(x):
    """A bowl round 1 that is no number from 2 on, and infinite from 50 on; the first step lands in it."""
    value, gradient = np.sum((x - 1) ** 2), 2 * (x - 1)
    if np.any(x >= 50):
        return np.asarray(math.inf), gradient
    return (np.asarray(math.nan), gradient) if np.any(x >= 2) else (value, gradient)


def pit(x):
    """``sum exp(x) - 3 x``, whose gradient alone becomes NaN where x exceeds 3."""
    return np.sum(np.exp(x) - 3 * x), np.where(x > 3, math.nan, np.exp(x) - 3)


@pytest.mark.parametrize(("function", "start", "minimum"), [(hole, 0.9, 1.0), (hole, -80.0, 1.0), (pit, -4, np.log(3))])
def test_regions_without_numbers_shorten_the_step(function, start, minimum):
    visited = []

    def watched(x):
        visited.append(x)
        # Steeper by far than it is curved: the first steps are too long.
        value, gradient = function(x)
        return value, gradient

    found = minimize(watched, np.full(2, start) - [0.0, 0.1], **EXACT)
    assert found.converged
    np.testing.assert_allclose(found.x, minimum, rtol=0, atol=1e-7)


def test_a_gradient_too_large_to_be_measured_shortens_the_step():
    """Its two entries cancel in the slope, and its value is fine, but its length overflows."""

    def function(x):
        value, gradient = np.sum((x - 1) ** 2), 2 * (x - 1)
        return value, (gradient if x[0] < 0 else np.asarray([1.7e308, -1.7e308]))

    seen = []
    with np.errstate(over="ignore"):
        minimize(function, np.full(2, -0.1), callback=seen.append, max_iterations=3)
    assert seen and all(one.x[0] < 0 for one in seen)


def test_a_wall_is_met_and_left():
    """Along the first direction the value falls until there are no more numbers: the search goes on from there."""

    def function(x):
        if x[0] >= 1.5:
            return np.asarray(math.nan), np.full(2, math.nan)
        return x[1] ** 2 - x[0] + 5 * max(x[0] - 1, 0) ** 2, np.stack([-1 + 10 * max(x[0] - 1, 0), 2 * x[1]])

    found = minimize(function, np.asarray([0.0, 1e-3]), **EXACT)
    assert found.converged
    np.testing.assert_allclose(found.x, [1.1, 0.0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_start_that_is_not_finite(bad):
    found = minimize(lambda x: (np.asarray(bad), x), np.ones(3))
    assert (found.evaluations, found.iterations, found.converged) == (1, 0, False)
    assert "start" in found.message
    found = minimize(lambda x: (np.asarray(1.0), bad * x), np.ones(3))
    assert not found.converged and "start" in found.message


def test_a_direction_that_leads_up_clears_the_memory(monkeypatch):
    """The recursion is made to fail once; it then sees no pairs, and the minimum is found all the same."""
    honest, calls = lbfgs._direction, []

    def faulty(gradient, pairs):
        calls.append(len(pairs))
        return gradient if len(calls) == 4 else honest(gradient, pairs)

    monkeypatch.setattr(lbfgs, "_direction", faulty)
    found = minimize(rosenbrock, np.asarray([-1.2, 1.0]), **EXACT)
    assert calls[:5] == [0, 1, 2, 3, 0]
    assert found.converged
    np.testing.assert_allclose(found.x, 1.0, rtol=0, atol=1e-6)


def test_a_gradient_that_is_wrong_ends_in_words():
    found = minimize(lambda x: (np.sum(x * x), -x), np.ones(3))
    assert found.message == "along the gradient the value falls by no more than its rounding"
    assert (found.iterations, found.value) == (0, 3.0)
    assert found.evaluations <= 21


def test_what_falls_for_ever_ends_in_words():
    """A plane: the search goes as far as 20 trials take it, and from there values no longer differ by the next step."""
    found = minimize(lambda x: (-np.sum(x), -np.ones(2)), np.zeros(2))
    assert found.iterations == 1
    assert found.value < -1e18
    assert found.message == "along the gradient the value falls by no more than its rounding"


def test_no_number_beside_the_start_ends_in_words():
    found = minimize(lambda x: (np.asarray(math.nan if np.any(x != 1) else 0.0), np.ones(2)), np.ones(2))
    assert (found.converged, found.message) == (False, "no lower value was found along the gradient")
    assert (found.evaluations, found.value) == (21, 0.0)


def test_the_memory_is_bounded(monkeypatch):
    honest, sizes = lbfgs._direction, []
    monkeypatch.setattr(lbfgs, "_direction", lambda g, pairs: (sizes.append(len(pairs)), honest(g, pairs))[1])
    minimize(rosenbrock, np.tile([-1.2, 1.0], 5), memory=3, **EXACT)
    assert max(sizes) == 3


def test_arrays_of_the_caller_stay_as_they_are():
    start = NUMPY.put(np.asarray([-1.2, 1.0]))  # read-only
    kept = []

    def function(x):
        value, gradient = rosenbrock(x)
        kept.append((x, x.copy(), gradient, gradient.copy()))
        gradient.flags.writeable = False
        return value, gradient

    found = minimize(function, start)
    assert found.x is not start
    for x, x_then, gradient, gradient_then in kept:
        np.testing.assert_array_equal(x, x_then)
        np.testing.assert_array_equal(gradient, gradient_then)
    at_once = minimize(lambda x: (np.asarray(0.0), 0 * x), start)
    assert at_once.x is not start and at_once.x.flags.writeable


@pytest.mark.parametrize(
    ("x", "words", "said"),
    [
        (np.ones((2, 2)), {}, "x has shape \\(2, 2\\)"),
        (np.ones(2, dtype="int64"), {}, "dtype int64, expected a vector of floats"),
        (np.ones(2), {"memory": 0}, "memory is 0"),
        (np.ones(2), {"max_iterations": 0}, "max_iterations is 0"),
        (np.ones(2), {"max_evaluations": 1.5}, "max_evaluations is 1.5"),
        (np.ones(2), {"tolerance": -1.0}, "tolerance is -1.0"),
        (np.ones(2), {"relative_decrease": math.nan}, "relative_decrease is nan"),
    ],
)
def test_bad_arguments(x, words, said):
    with pytest.raises(ValueError, match=said) as caught:
        minimize(rosenbrock, x, **words)
    assert isinstance(caught.value, DataError | mc.ConfigurationError)
