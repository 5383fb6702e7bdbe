"""An ensemble predicts the mean of its members, and says how far they differ."""

from typing import Any

import numpy as np
import pytest
from fitting import LABELS, ROWS, X, Y, classifier, make
from optional import optional

import mlpcore as mc
from mlpcore.files.tensors import read, write
from mlpcore.namespace import namespace

NET = mc.Sequential(mc.Linear(3, 6), mc.Tanh(), mc.Linear(6, 2))


def members(count: int = 5, **words: Any) -> list[mc.Model]:
    return [make(NET, seed=seed, **words) for seed in range(count)]


def test_the_prediction_is_the_mean() -> None:
    models = members()
    ensemble = mc.Ensemble(models)
    each = np.stack([model.predict(X) for model in models])
    np.testing.assert_allclose(ensemble.predict(X), each.mean(0), rtol=1e-13)
    np.testing.assert_allclose(ensemble.std(X), each.std(0), rtol=1e-12)
    np.testing.assert_allclose(ensemble.predict(X, batch_size=4), each.mean(0), rtol=1e-13)
    levels = (0.0, 0.1, 0.5, 0.77, 1.0)
    np.testing.assert_allclose(ensemble.quantiles(X, levels), np.quantile(each, levels, axis=0), rtol=1e-12, atol=1e-14)


def test_one_member_is_certain() -> None:
    model = make(NET)
    ensemble = mc.Ensemble([model])
    np.testing.assert_array_equal(ensemble.predict(X), model.predict(X))
    np.testing.assert_array_equal(ensemble.quantiles(X, [0.2]), model.predict(X)[None])
    assert not ensemble.std(X).any()


def test_probabilities_are_averaged_not_scores() -> None:
    models = [classifier(seed=seed) for seed in range(4)]
    each = np.stack([model.predict(X) for model in models])
    ensemble = mc.Ensemble(models)
    np.testing.assert_allclose(ensemble.predict(X), each.mean(0), rtol=1e-13)
    np.testing.assert_allclose(ensemble.predict(X).sum(1), 1, rtol=1e-12)
    votes = np.stack([np.bincount(row, minlength=3) / 4 for row in each.argmax(2).T])
    np.testing.assert_array_equal(ensemble.votes(X), votes)


def test_votes_of_columns() -> None:
    models = members(3, loss=mc.SigmoidCrossEntropy())
    each = np.stack([model.predict(X) for model in models])
    np.testing.assert_allclose(mc.Ensemble(models).votes(X), (each > 0.5).mean(0), rtol=1e-15)


def test_a_mixture_of_normal_distributions() -> None:
    """Mean and variance as of 200,000 draws from members chosen at random."""
    net = mc.Sequential(mc.Linear(3, 6), mc.Tanh(), mc.Linear(6, 4))
    models = [make(net, mc.GaussianNLL(), seed=seed) for seed in range(4)]
    ensemble = mc.Ensemble(models)
    mean, variance = ensemble.predict(X[:3])
    means, variances = map(np.stack, zip(*(model.predict(X[:3]) for model in models), strict=True))
    rng = np.random.default_rng(0)
    chosen = rng.integers(0, 4, 200_000)
    drawn = means[chosen] + np.sqrt(variances[chosen]) * rng.normal(size=(200_000, 3, 2))
    np.testing.assert_allclose(drawn.mean(0), mean, atol=0.02)
    np.testing.assert_allclose(drawn.var(0), variance, rtol=0.02)
    np.testing.assert_allclose(ensemble.std(X[:3]), np.sqrt(variance), rtol=1e-14)
    np.testing.assert_allclose(ensemble.quantiles(X[:3], [0.5])[0], np.median(means, axis=0), rtol=1e-12)


def test_members_of_any_architecture_with_one_kind_of_loss() -> None:
    deep = make(mc.Sequential(mc.Linear(3, 4), mc.ReLU(), mc.Linear(4, 4), mc.ReLU(), mc.Linear(4, 2)))
    ensemble = mc.Ensemble([make(NET), deep])
    np.testing.assert_allclose(ensemble.predict(X), (make(NET).predict(X) + deep.predict(X)) / 2, rtol=1e-12)
    assert len(ensemble) == 2 and ensemble[1] is deep and [*ensemble[1:]] == [deep]
    assert repr(ensemble) == "Ensemble(2 models, HalfSquaredError())"


@pytest.mark.parametrize("backend", ["array_api_strict", "torch", "jax", pytest.param("cupy", marks=pytest.mark.gpu)])
def test_on_every_backend(backend: str) -> None:
    """The arrays of the user's library, and the numbers of NumPy."""
    try:
        models = [classifier(seed=seed, backend=backend) for seed in range(3)]
    except mc.BackendUnavailable as error:
        pytest.skip(str(error))
    ensemble, other = mc.Ensemble(models), mc.Ensemble([classifier(seed=seed) for seed in range(3)])
    place = models[0].backend
    with place.scope("float64"):
        x = place.asarray(X)
        for method in ("predict", "std", "votes", "quantiles"):
            got = getattr(ensemble, method)(x)
            assert namespace(got) is namespace(x)
            np.testing.assert_allclose(place.to_numpy(got), getattr(other, method)(X), rtol=1e-9, atol=1e-12)


def test_training_a_stack_makes_a_better_ensemble_than_its_members() -> None:
    stack = mc.Stack(members(8))
    stack.fit(X, Y, epochs=60, batch_size=8)
    ensemble = mc.Ensemble(stack)
    errors = [np.mean((model.predict(X) - Y) ** 2) for model in stack]
    assert np.mean((ensemble.predict(X) - Y) ** 2) < np.mean(errors)


def test_what_is_no_ensemble() -> None:
    model = make(NET)
    for models, said in [
        ([], "there is no model"),
        ([model, NET], "member 1 is of type Sequential, expected mlpcore.Model"),
        ([model, classifier()], "member 1 has the loss SoftmaxCrossEntropy.* and member 0 HalfSquaredError"),
    ]:
        with pytest.raises(mc.ConfigurationError, match=said):
            mc.Ensemble(models)
    narrow = mc.Ensemble([model, make(mc.Sequential(mc.Linear(3, 1)))])
    with pytest.raises(mc.ConfigurationError, match=r"1 has shape \(22, 1\), expected that of member 0, \(22, 2\)"):
        narrow.predict(X)
    with pytest.raises(mc.ConfigurationError, match=r"votes: HalfSquaredError\(\) has no classes"):
        mc.Ensemble([model]).votes(X)
    for levels in ([], [1.5], [np.nan], ["a"]):
        with pytest.raises(mc.ConfigurationError, match="quantiles: levels is"):
            mc.Ensemble([model]).quantiles(X, levels)


def test_files(tmp_path: Any) -> None:
    models = [classifier(seed=seed, ema=0.9, metrics=["accuracy"]) for seed in range(3)]
    mc.Stack(models).fit(X, LABELS, epochs=2)
    path = tmp_path / "ensemble.safetensors"
    mc.Ensemble(models).save(path)
    loaded = mc.Ensemble.load(path)
    np.testing.assert_array_equal(loaded.predict(X), mc.Ensemble(models).predict(X))
    assert [model.specification for model in loaded] == [model.specification for model in models]
    about, tensors = read(path, "ensemble")
    assert sorted(tensors)[0] == "0.0.bias" and len(about["members"]) == 3
    for members, names, said in [
        (about["members"][:2], tensors, r"the tensor 2\.\S+ belongs to no member, expected those of 2"),
        (about["members"], {"x": np.zeros(1)}, "the tensor x belongs to no member, expected those of 3"),
        ([], {}, "there is no list of members"),
        ({"0": 1}, tensors, "there is no list of members"),
        ([*about["members"][:2], 3], tensors, "there is no list of members"),
        (about["members"], {n: t for n, t in tensors.items() if n != "1.2.weight"}, "member 1: the tensor 2.weight"),
    ]:
        write(path, "ensemble", {"members": members}, names)
        with pytest.raises(mc.ModelFileError, match=said):
            mc.Ensemble.load(path)


def test_rows_are_those_of_the_members() -> None:
    assert mc.Ensemble(members(2)).predict(X.tolist()).shape == (ROWS, 2)
    with pytest.raises(mc.DataError, match="columns"):
        mc.Ensemble(members(2)).predict(X[:, :2])


@pytest.mark.parametrize("kind", ["values", "pairs", "classes"])
def test_onnx(kind: str, tmp_path: Any) -> None:
    onnx = optional("onnx")
    from onnx_models import run

    models = {
        "values": members(3),
        "pairs": [make(mc.Sequential(mc.Linear(3, 4)), mc.GaussianNLL(), seed=seed) for seed in range(3)],
        "classes": [classifier(seed=seed) for seed in range(3)],
    }[kind]
    ensemble = mc.Ensemble(models)
    ensemble.to_onnx(tmp_path / "ensemble.onnx", classes=["a", "b", "c"] if kind == "classes" else None)
    got = run(onnx.load(tmp_path / "ensemble.onnx"), {"X": X})
    expected = ensemble.predict(X)
    if kind == "classes":
        np.testing.assert_allclose(got["probabilities"], expected, rtol=1e-12)
        assert got["label"].tolist() == np.array(["a", "b", "c"])[expected.argmax(1)].tolist()
    elif kind == "pairs":
        np.testing.assert_allclose(got["mean"], expected[0], rtol=1e-12)
        np.testing.assert_allclose(got["variance"], expected[1], rtol=1e-12)
    else:
        np.testing.assert_allclose(got["prediction"], expected, rtol=1e-12)
