"""StandardizedTarget: another loss in units of the target's deviation."""

import numpy as np
import pytest

import mlpcore as mc
from mlpcore.losses import StandardizedTarget

RANDOM = np.random.default_rng(0)
T = RANDOM.normal((3.0, -200.0), (0.5, 40.0), (12, 2))
MEAN, SCALE = (3.0, -200.0), (0.5, 40.0)
WEIGHTS = RANDOM.uniform(0.5, 2, 12)


@pytest.mark.parametrize(
    "loss",
    [mc.HalfSquaredError(), mc.SquaredError(), mc.AbsoluteError(), mc.Huber(0.3), mc.Quantile(), mc.GaussianNLL()],
)
def test_value_and_prediction(loss):
    """The value is that of the loss for ``(t - mean) / scale``; predictions move with the target."""
    standard, units = StandardizedTarget(loss, MEAN, SCALE), (T - MEAN) / SCALE
    outputs = loss.outputs(2)
    z = RANDOM.normal(size=(12, outputs))
    target = standard.prepare(T, outputs, np.float64)
    np.testing.assert_allclose(target, units, rtol=1e-13)
    for got, expected in zip(
        standard.value_and_grad(z, target, WEIGHTS), loss.value_and_grad(z, units, WEIGHTS), strict=True
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-10)
    got, plain = standard.predict(z), loss.predict(z)
    if isinstance(loss, mc.GaussianNLL):
        np.testing.assert_allclose(got[0], MEAN + SCALE * plain[0], rtol=1e-13)
        np.testing.assert_allclose(got[1], np.square(SCALE) * plain[1], rtol=1e-12)
        np.testing.assert_allclose(standard.deviation(z), SCALE * np.sqrt(plain[1]), rtol=1e-12)
    else:
        each = outputs // 2
        np.testing.assert_allclose(got, np.repeat(MEAN, each) + np.repeat(SCALE, each) * plain, rtol=1e-13)


def test_predictions_stay_within_limits():
    loss = StandardizedTarget(mc.Huber(), MEAN, SCALE, low=(2.5, -210.0), high=(3.5, -190.0))
    z = RANDOM.normal(0, 3, (12, 2))
    free = StandardizedTarget(mc.Huber(), MEAN, SCALE)
    np.testing.assert_array_equal(loss.predict(z), np.clip(free.predict(z), loss.low, loss.high))
    assert (loss.predict(z) == 3.5).any() and (loss.predict(z) == -210.0).any()
    assert np.isnan(loss.predict(np.full((1, 2), np.nan))).all()


def test_one_number_is_that_of_all_columns():
    one, two = (StandardizedTarget(mc.Huber(), (3.0,) * count, (2.0,) * count) for count in (1, 2))
    np.testing.assert_array_equal(one.prepare(T, 2, np.float32), two.prepare(T, 2, np.float32))
    np.testing.assert_array_equal(one.predict(T), two.predict(T))
    assert one.prepare(T[:, 0], 1, np.float32).shape == (12, 1)


def test_the_target_is_standardized_in_its_own_precision():
    """A target that float32 cannot resolve is one after that."""
    t = 1e9 + np.arange(4.0)
    prepared = StandardizedTarget(mc.SquaredError(), (1e9,), (1.0,)).prepare(t, 1, np.float32)
    assert prepared.dtype == np.float32 and prepared[:, 0].tolist() == [0.0, 1.0, 2.0, 3.0]
    assert StandardizedTarget(mc.SquaredError(), (1.0,), (2.0,)).prepare(np.arange(3), 1, np.float32)[2, 0] == 0.5


def test_training_does_not_depend_on_the_units(tmp_path):
    """Predictions for a target in other units are those in these units; files keep the numbers."""
    x = RANDOM.normal(size=(64, 3))
    y = np.stack([np.sin(x[:, 0]), x[:, 1] * x[:, 2]], axis=1)
    net = mc.Sequential(mc.Linear(3, 8), mc.Tanh(), mc.Linear(8, 2))
    models = []
    for mean, scale in (((0.0, 0.0), (1.0, 1.0)), ((1e4, -7.0), (4096.0, 0.25))):
        model = mc.Model(net, StandardizedTarget(mc.SquaredError(), mean, scale), mc.Adam(0.01), dtype="float64")
        model.fit(x, np.asarray(mean) + np.asarray(scale) * y, epochs=5, batch_size=16)
        models.append(model)
    np.testing.assert_allclose(models[1].predict(x), [1e4, -7.0] + models[0].predict(x) * [4096.0, 0.25], rtol=1e-9)
    models[1].save(tmp_path / "m.safetensors")
    loaded = mc.load(tmp_path / "m.safetensors")
    assert loaded.loss == models[1].loss
    np.testing.assert_array_equal(loaded.predict(x), models[1].predict(x))


@pytest.mark.parametrize(
    "loss, mean, scale, said",
    [
        (
            mc.PoissonNLL(),
            (0.0,),
            (1.0,),
            "loss is PoissonNLL.*, expected one whose predictions are values",
        ),
        (mc.SoftmaxCrossEntropy(), (0.0,), (1.0,), "such as HalfSquaredError"),
        (mc.SquaredError(), 0.0, (1.0,), r"mean is 0.0, expected a tuple of numbers"),
        (mc.SquaredError(), (), (), r"mean is \(\), expected a tuple of numbers"),
        (
            mc.SquaredError(),
            (0.0, 1.0),
            (1.0,),
            r"scale is \(1.0,\), expected as many numbers above 0 as mean has",
        ),
        (mc.SquaredError(), (0.0,), (0.0,), "expected as many numbers above 0"),
        (mc.SquaredError(), (float("nan"),), (1.0,), "mean"),
        (mc.SquaredError(), ("a",), (1.0,), "mean"),
    ],
)
def test_wrong_configurations(loss, mean, scale, said):
    with pytest.raises(mc.ConfigurationError, match=said):
        StandardizedTarget(loss, mean, scale)


@pytest.mark.parametrize(
    "loss, low, high",
    [
        (mc.SquaredError(), (0.0,), ()),
        (mc.SquaredError(), (0.0, 1.0), (2.0, 3.0)),
        (mc.SquaredError(), (1.0,), (0.0,)),
        (mc.GaussianNLL(), (0.0,), (1.0,)),
        (mc.Quantile(), (0.0,), (1.0,)),
    ],
)
def test_wrong_limits(loss, low, high):
    with pytest.raises(mc.ConfigurationError, match=r"low and high are .* expected as many numbers as mean has"):
        StandardizedTarget(loss, (0.0,), (1.0,), low, high)


def test_wrong_targets():
    loss = StandardizedTarget(mc.SquaredError(), MEAN, SCALE)
    with pytest.raises(mc.DataError, match=r"y has shape \(12, 1\), expected \(n, 2\)"):
        loss.prepare(T[:, :1], 2, np.float64)
    with pytest.raises(mc.DataError, match="NaN or infinity in column 1"):
        loss.prepare(np.where(T[3, 1] == T, np.nan, T), 2, np.float64)
    with pytest.raises(mc.ConfigurationError, match="scores are of 3 target columns, expected 2"):
        loss.prepare(T, 3, np.float64)


def test_numbers_of_any_kind_become_floats():
    loss = StandardizedTarget(mc.SquaredError(), (np.float32(1),), (np.int64(2),), (0,), (1,))
    assert loss == StandardizedTarget(mc.SquaredError(), (1.0,), (2.0,), (0.0,), (1.0,))
    assert repr(loss) == "StandardizedTarget(loss=SquaredError(), mean=(1.0,), scale=(2.0,), low=(0.0,), high=(1.0,))"


def test_entries_have_weights_exactly_where_the_inner_loss_has_them():
    for inner, expected in ((mc.SquaredError(), True), (mc.GaussianNLL(), True), (Bare(), False)):
        assert StandardizedTarget(inner).entry_weights is expected
        assert mc.MembersLoss(inner, 2).entry_weights is expected


class Bare(mc.SquaredError):
    """A loss that says nothing of weights of entries."""

    @property
    def entry_weights(self):
        raise AttributeError
