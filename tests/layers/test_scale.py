"""Scale, Parametric, NTKLinear, RobustClip and Rates: known numbers, and what is refused."""

import numpy as np
import pytest
from single_layer import normal, run

from mlpcore.errors import ConfigurationError
from mlpcore.layers import Linear, NTKLinear, Parametric, Rates, ReLU, RobustClip, Scale, Softmax, Tanh
from mlpcore.random import Stream


def test_scale_is_the_identity_at_first():
    x = normal(4, 3)
    np.testing.assert_array_equal(run(Scale(3), x)[0], x)
    y, dx, grads, _ = run(Scale(3, bias=True), x, scale=np.asarray([2.0, 0.0, -1.0]), bias=np.asarray([1.0, 5.0, 0.0]))
    np.testing.assert_array_equal(y, np.stack([2 * x[:, 0] + 1, np.full(4, 5.0), -x[:, 2]], axis=1))
    np.testing.assert_array_equal(dx, np.tile([2.0, 0.0, -1.0], (4, 1)))
    np.testing.assert_allclose(grads["scale"], np.sum(x, axis=0), rtol=1e-14)
    np.testing.assert_array_equal(grads["bias"], [4, 4, 4])


def test_a_parametric_relu_has_a_slope_of_one_minus_its_share():
    x = np.asarray([[-2.0, -2.0, -2.0], [3.0, 3.0, 3.0]])
    y, dx, grads, _ = run(Parametric(ReLU(), 3), x, share=np.asarray([1.0, 0.75, 0.0]))
    np.testing.assert_array_equal(y, [[0, -0.5, -2], [3, 3, 3]])
    np.testing.assert_array_equal(dx, [[0, 0.25, 1], [1, 1, 1]])
    np.testing.assert_array_equal(grads["share"], [2, 2, 2])


def test_an_ntk_linear_is_a_linear_with_smaller_weights():
    x, params = normal(5, 9), NTKLinear(9, 4).init(Stream(1), "float64")
    y, dx, grads, _ = run(NTKLinear(9, 4), x, **params)
    plain, plain_dx, plain_grads, _ = run(Linear(9, 4), x, weight=params["weight"] / 3, bias=params["bias"])
    np.testing.assert_allclose(y, plain, rtol=1e-13)
    np.testing.assert_allclose(dx, plain_dx, rtol=1e-13)
    np.testing.assert_allclose(grads["weight"], plain_grads["weight"] / 3, rtol=1e-13)
    assert abs(np.std(NTKLinear(300, 200).init(Stream(1), "float64")["weight"]) - 1) < 0.02


def test_robust_clip_of_known_columns():
    x = np.asarray([[0.0, 7.0, 0.0], [1.0, 7.0, 0.0], [2.0, 7.0, 0.0], [3.0, 7.0, 0.0], [4.0, 7.0, 5.0]])
    fitted = RobustClip.fit(x)
    assert fitted == RobustClip((2.0, 7.0, 0.0), (0.5, 0.0, 0.4))
    s = (x - [2, 7, 0]) * [0.5, 0, 0.4]
    np.testing.assert_allclose(fitted(x), s / np.sqrt(1 + (s / 3) ** 2), rtol=1e-14)
    assert fitted(x.astype("float32")).dtype == np.float32


@pytest.mark.parametrize("power", [-900, -7, 7, 900])
def test_robust_clip_does_not_depend_on_the_unit_of_a_column(power):
    x = np.concatenate([normal(9, 3), np.ones((9, 1)), np.eye(9, 1)], axis=1)
    unit = 2.0**power
    np.testing.assert_array_equal(RobustClip.fit(unit * x)(unit * x), RobustClip.fit(x)(x))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_robust_clip_far_out_is_its_limit(dtype):
    x = np.asarray([[1e30], [-1e30], [np.inf], [-np.inf], [np.nan]], dtype)
    np.testing.assert_allclose(RobustClip((0.0,), (1.0,))(x), [[3], [-3], [3], [-3], [np.nan]], rtol=1e-6)


def test_rates_compute_what_their_layer_computes():
    x, inner = normal(4, 3), Linear(3, 2)
    params = inner.init(Stream(1), "float64")
    rates = Rates(inner, 0.1)
    np.testing.assert_array_equal(rates.forward((params,), x)[0], inner.forward(params, x)[0])
    assert rates.output_width(3) == 2 and rates.with_children((Tanh(),)) == Rates(Tanh(), 0.1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: Parametric(Softmax(), 3), "expected an elementwise Activation"),
        (lambda: RobustClip((0.0,), (1.0, 2.0)), "center has 1 numbers, factor 2"),
        (lambda: RobustClip((0.0,), (-1.0,)), "factor is -1.0, expected a finite number of at least 0"),
        (lambda: RobustClip((), ()), "expected a tuple of a number a column"),
        (lambda: RobustClip.fit([[np.nan]]), "expected finite numbers"),
        (lambda: Rates(ReLU), "is not a layer"),
        (lambda: Rates(ReLU(), rate=-1.0), "rate is -1.0"),
        (lambda: Rates(ReLU(), decay=-1.0), "decay is -1.0"),
        (lambda: Rates(ReLU(), leaves="bias"), "expected a tuple of names"),
    ],
)
def test_what_is_refused(wrong, message):
    with pytest.raises(ConfigurationError, match=message):
        wrong()
