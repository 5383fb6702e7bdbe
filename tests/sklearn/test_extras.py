"""What the estimators can do beyond scikit-learn's: every argument after max_fun, and the methods that are new."""

import pickle
from typing import Any

import numpy as np
import pytest
from cases import pairwise
from optional import optional

sklearn = optional("sklearn")

from sklearn.base import clone  # noqa: E402
from sklearn.metrics import balanced_accuracy_score, log_loss  # noqa: E402

import mlpcore as mc  # noqa: E402
from mlpcore.sklearn import MLPClassifier, MLPRegressor  # noqa: E402
from mlpcore.sklearn.constraints import ACTIVATIONS, NORMALIZATIONS, REGRESSION_LOSSES, SCHEDULES, SOLVERS  # noqa: E402

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 4))
LABELS = np.argmax(X @ RNG.normal(size=(4, 3)), axis=1)
Y = X[:, 0] + 0.3 * X[:, 1] ** 2
OUTPUTS = np.stack([Y, -X[:, 2]], axis=1)
HELD = RNG.normal(size=(30, 4))

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def classifier(**words: Any) -> MLPClassifier:
    return MLPClassifier(**({"hidden_layer_sizes": (8, 6), "random_state": 0, "max_iter": 60} | words))


def regressor(**words: Any) -> MLPRegressor:
    return MLPRegressor(**({"hidden_layer_sizes": (8, 6), "random_state": 0, "max_iter": 60} | words))


def flat(estimator: Any) -> np.ndarray:
    return np.concatenate([np.asarray(part).reshape(-1) for part in (*estimator.coefs_, *estimator.intercepts_)])


# --- the network


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(activation: str) -> None:
    for solver in ("adam", "lbfgs"):
        model = classifier(activation=activation, solver=solver, learning_rate_init=0.02).fit(X, LABELS)
        assert model.score(X, LABELS) > 0.8
        hidden = ACTIVATIONS[activation].forward({}, X @ model.coefs_[0] + model.intercepts_[0])[0]
        np.testing.assert_allclose(model.transform(X, layer=0), hidden, rtol=1e-12, atol=1e-14)


def test_an_activation_for_every_layer() -> None:
    model = classifier(activation=["tanh", mc.LeakyReLU(0.2)]).fit(X, LABELS)
    first = np.tanh(X @ model.coefs_[0] + model.intercepts_[0])
    second = first @ model.coefs_[1] + model.intercepts_[1]
    np.testing.assert_allclose(model.transform(X), np.where(second > 0, second, 0.2 * second), rtol=1e-12)
    np.testing.assert_array_equal(model.transform(X, layer=-1), model.transform(X, layer=1))
    np.testing.assert_array_equal(model.transform(X, layer=-2), model.transform(X, layer=0))
    same = classifier(activation=["relu", "relu"]).fit(X, LABELS)
    np.testing.assert_array_equal(flat(same), flat(classifier().fit(X, LABELS)))
    with pytest.raises(ValueError, match="layer is 2, expected one of the 2 hidden layers"):
        model.transform(X, layer=2)
    with pytest.raises(ValueError, match="activation has 3 entries, expected 2"):
        classifier(activation=["tanh"] * 3).fit(X, LABELS)
    with pytest.raises(ValueError, match="activation is 'step', expected a layer such as"):
        classifier(activation=["tanh", "step"]).fit(X, LABELS)
    assert model.get_feature_names_out().tolist() == [f"mlpclassifier{i}" for i in range(6)]


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_normalization(normalization: str) -> None:
    model = classifier(normalization=normalization, learning_rate_init=0.02).fit(X, LABELS)
    plain = classifier(learning_rate_init=0.02).fit(X, LABELS)
    assert model.score(X, LABELS) > 0.85 and np.abs(flat(model) - flat(plain)).max() > 0.01
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict_proba(X), model.predict_proba(X))
    kinds = [type(layer).__name__ for layer in model.to_model().net.layers]
    assert kinds[1] == {"batch": "BatchNorm", "layer": "LayerNorm", "rms": "RMSNorm"}[normalization]
    again = clone(model)
    for _ in range(60):
        again.partial_fit(X, LABELS, classes=[0, 1, 2])
    np.testing.assert_allclose(again.predict_proba(X), model.predict_proba(X), rtol=1e-12)
    if normalization != "batch":
        assert classifier(normalization=normalization, solver="lbfgs").fit(X, LABELS).score(X, LABELS) > 0.9


def test_dropout() -> None:
    model = classifier(dropout=0.3).fit(X, LABELS)
    again = classifier(dropout=[0.3, 0.3]).fit(X, LABELS)
    other = classifier(dropout=[0.3, 0.0]).fit(X, LABELS)
    np.testing.assert_array_equal(flat(model), flat(again))
    assert np.abs(flat(model) - flat(other)).max() > 1e-3
    np.testing.assert_array_equal(model.predict_proba(X), model.predict_proba(X))
    with pytest.raises(ValueError, match="dropout has 1 entries, expected 2"):
        classifier(dropout=[0.3]).fit(X, LABELS)
    with pytest.raises(ValueError, match="'dropout' parameter"):
        classifier(dropout=1.0).fit(X, LABELS)


@pytest.mark.parametrize(
    ("name", "value"), [("dropout", 0.2), ("normalization", "batch"), ("weight_decay", 0.1), ("clip_norm", 1.0)]
)
def test_what_lbfgs_cannot_do_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"{name}={value!r} cannot be used with solver='lbfgs'"):
        classifier(solver="lbfgs", **{name: value}).fit(X, LABELS)


# --- the solver


@pytest.mark.parametrize("solver", SOLVERS)
def test_solvers(solver: str) -> None:
    rate = {"sgd": 0.1, "lion": 0.01, "adagrad": 0.1}.get(solver, 0.02)
    model = classifier(solver=solver, learning_rate_init=rate, max_iter=150).fit(X, LABELS)
    assert model.score(X, LABELS) > 0.85
    given = model.to_model().optimizer
    assert type(given).__name__.lower() == solver and given.learning_rate == rate
    if solver in ("adamw", "nadam", "radam"):
        other = classifier(solver=solver, learning_rate_init=rate, beta_1=0.5, beta_2=0.9, epsilon=1e-3)
        given = other.fit(X, LABELS).to_model().optimizer
        assert (given.beta1, given.beta2, given.eps) == (0.5, 0.9, 1e-3)


def test_an_optimizer_of_mlpcore() -> None:
    model = classifier(solver=mc.AdamW(0.02, weight_decay=0.3)).fit(X, LABELS)
    same = classifier(solver="adamw", learning_rate_init=0.02, weight_decay=0.3).fit(X, LABELS)
    np.testing.assert_array_equal(flat(model), flat(same))
    assert np.abs(flat(model)).sum() < np.abs(flat(classifier(learning_rate_init=0.02).fit(X, LABELS))).sum()


@pytest.mark.parametrize("rule", SCHEDULES)
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_schedules_end_with_the_fit(rule: str, solver: str) -> None:
    rates: list[float] = []

    class Note:
        def on_epoch_end(self, report: Any) -> None:
            rates.append(report.values["learning_rate"])

    words = {"n_iter_no_change": np.inf, "batch_size": 40, "callbacks": [Note()], "learning_rate_init": 0.03}
    model = classifier(solver=solver, learning_rate=rule, **words).fit(X, LABELS)
    assert len(rates) == model.n_iter_ == 60
    assert rates[-1] < 1e-4 < rates[20] <= 0.03 and model.score(X, LABELS) > 0.7
    with pytest.raises(ValueError, match="has 3 updates in this fit, expected 4 or more"):
        classifier(learning_rate="one_cycle", max_iter=3).fit(X, LABELS)


def test_a_schedule_of_mlpcore() -> None:
    model = classifier(learning_rate=mc.StepDecay(0.05, 20, 0.5)).fit(X, LABELS)
    other = classifier(learning_rate_init=0.05).fit(X, LABELS)
    assert model.loss_curve_[:20] == other.loss_curve_[:20] and model.loss_curve_[25] != other.loss_curve_[25]


def test_clipping() -> None:
    words = {"solver": "sgd", "momentum": 0.0, "max_iter": 1, "batch_size": 120, "learning_rate_init": 0.5}
    start = flat(regressor(**(words | {"learning_rate_init": 1e-300})).fit(X, 100 * Y))
    moved = flat(regressor(**words, clip_norm=0.01).fit(X, 100 * Y)) - start
    np.testing.assert_allclose(np.linalg.norm(moved), 0.5 * 0.01, rtol=1e-9)
    with pytest.raises(ValueError, match="'clip_norm' parameter"):
        regressor(clip_norm=0.0).fit(X, Y)


# --- losses


@pairwise(loss=REGRESSION_LOSSES, outputs=[1, 2], solver=["adam", "lbfgs"])
def test_losses(loss: str, outputs: int, solver: str) -> None:
    y = Y if outputs == 1 else OUTPUTS
    target = np.exp(y) if loss == "poisson" else y
    model = regressor(loss=loss, solver=solver, learning_rate_init=0.02, max_iter=200).fit(X, target)
    assert model.predict(X).shape == y.shape and model.score(X, target) > 0.7
    assert model.n_outputs_ == outputs
    assert model.out_activation_ == ("exp" if loss == "poisson" else "identity")


def test_what_a_robust_loss_is_good_for() -> None:
    spoilt = np.where(np.arange(120) % 10 == 0, 300.0, Y)
    words = {"solver": "lbfgs", "max_iter": 500, "alpha": 0.1}
    errors = {
        loss: np.median(np.abs(regressor(loss=loss, **words).fit(X, spoilt).predict(X) - Y))
        for loss in ("squared_error", "huber")
    }
    assert errors["huber"] < 0.2 * errors["squared_error"]
    assert regressor(loss=mc.Huber(0.5)).fit(X, Y).to_model().loss == mc.Huber(0.5)


@pytest.mark.parametrize("y", [Y, OUTPUTS], ids=["one", "two"])
def test_quantiles(y: np.ndarray) -> None:
    noisy = y + np.random.default_rng(1).normal(size=y.shape)
    model = regressor(loss="quantile", learning_rate_init=0.02, max_iter=300).fit(X, noisy)
    quantiles = model.predict_quantiles(X)
    assert quantiles.shape == (*y.shape, 3) and np.all(np.diff(quantiles, axis=-1) >= 0)
    np.testing.assert_array_equal(model.predict(X), quantiles[..., 1])
    share = np.mean((noisy > quantiles[..., 0]) & (noisy < quantiles[..., 2]))
    assert 0.6 < share < 0.95
    pair = regressor(loss=mc.Quantile((0.2, 0.6)), max_iter=5).fit(X, noisy)
    np.testing.assert_array_equal(pair.predict(X), pair.predict_quantiles(X)[..., 1])
    assert not hasattr(regressor(), "predict_quantiles")


def test_a_gaussian_knows_how_sure_it_is() -> None:
    noise = np.where(X[:, 0] > 0, 2.0, 0.1)
    noisy = Y + noise * np.random.default_rng(1).normal(size=120)
    model = regressor(loss="gaussian", learning_rate_init=0.02, max_iter=300).fit(X, noisy)
    mean, deviation = model.predict(X, return_std=True)
    np.testing.assert_array_equal(mean, model.predict(X))
    assert np.median(deviation[noise > 1]) > 2 * np.median(deviation[noise < 1])
    with pytest.raises(ValueError, match="return_std=True needs loss='gaussian'"):
        regressor().fit(X, Y).predict(X, return_std=True)


# --- weights of classes


def test_class_weight() -> None:
    rare = np.where(X[:, 0] > 1.2, "rare", "often")
    counts = {name: (rare == name).sum() for name in ("rare", "often")}
    balanced = {name: 120 / (2 * count) for name, count in counts.items()}
    words = {"max_iter": 15, "learning_rate_init": 0.01}
    plain = classifier(**words).fit(X, rare)
    by_word = classifier(class_weight="balanced", **words).fit(X, rare)
    by_dict = classifier(class_weight=balanced, **words).fit(X, rare)
    by_row = classifier(**words).fit(X, rare, sample_weight=[balanced[name] for name in rare])
    np.testing.assert_allclose(flat(by_word), flat(by_row), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(flat(by_dict), flat(by_row), rtol=1e-9, atol=1e-12)
    assert (by_word.predict(X) == "rare").sum() > (plain.predict(X) == "rare").sum()
    both = classifier(class_weight=balanced, **words).fit(X, rare, sample_weight=np.full(120, 2.0))
    np.testing.assert_allclose(both.loss_curve_[0], by_row.loss_curve_[0], rtol=1e-3)
    with pytest.raises(ValueError, match="needs all rows at once"):
        classifier(class_weight="balanced").partial_fit(X, rare, classes=["often", "rare"])
    parts = classifier(class_weight=balanced, **words)
    for _ in range(15):
        parts.partial_fit(X, rare, classes=["often", "rare"])
    np.testing.assert_allclose(flat(parts), flat(by_row), rtol=1e-9, atol=1e-12)


# --- what is watched


def test_validation_data() -> None:
    target = np.argmax(HELD[:, :3], axis=1)
    model = classifier(max_iter=12).fit(X, LABELS, validation_data=(HELD, target))
    same = classifier(max_iter=12).fit(X, LABELS)
    np.testing.assert_array_equal(flat(model), flat(same))
    assert len(model.validation_loss_curve_) == 12 and same.validation_loss_curve_ is None
    expected = log_loss(target, model.predict_proba(HELD), labels=[0, 1, 2])
    assert model.validation_loss_curve_[-1] == pytest.approx(expected, rel=1e-9)
    weighted = classifier(max_iter=12).fit(X, LABELS, validation_data=(HELD, target, np.arange(30)))
    expected = log_loss(target, model.predict_proba(HELD), labels=[0, 1, 2], sample_weight=np.arange(30))
    assert weighted.validation_loss_curve_[-1] == pytest.approx(expected, rel=1e-9)
    with pytest.raises(ValueError, match="validation_data is of type ndarray, expected a pair"):
        classifier().fit(X, LABELS, validation_data=HELD)
    with pytest.raises(ValueError, match="has classes not in"):
        classifier().fit(X, LABELS, validation_data=(HELD, target + 3))
    with pytest.raises(ValueError, match="X has 3 features"):
        classifier().fit(X, LABELS, validation_data=(HELD[:, :3], target))


def test_early_stopping_watches_given_data() -> None:
    words = {"early_stopping": True, "max_iter": 40, "n_iter_no_change": 5}
    target = HELD[:, 0] + 0.3 * HELD[:, 1] ** 2
    model = regressor(**words, learning_rate_init=0.02).fit(X, Y, validation_data=(HELD, target))
    assert model.score(HELD, target) == pytest.approx(model.best_validation_score_, rel=1e-12)
    assert len(model.validation_scores_) == len(model.validation_loss_curve_) == model.n_iter_


@pytest.mark.parametrize(
    ("scoring", "score"),
    [
        ("loss", lambda model, x, y: -log_loss(y, model.predict_proba(x))),
        ("balanced_accuracy", lambda model, x, y: balanced_accuracy_score(y, model.predict(x))),
        (lambda model, x, y: -float(np.abs(model.coefs_[0]).sum()), lambda model, x, y: -np.abs(model.coefs_[0]).sum()),
        (None, lambda model, x, y: model.score(x, y)),
    ],
)
def test_the_score_that_is_watched(scoring: Any, score: Any) -> None:
    model = classifier(early_stopping=True, scoring=scoring, max_iter=20, learning_rate_init=0.01)
    model.fit(X, LABELS, validation_data=(X[:40], LABELS[:40]))
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert score(model, X[:40], LABELS[:40]) == pytest.approx(model.best_validation_score_, rel=1e-9)
    own = classifier(early_stopping=True, scoring=scoring, max_iter=20).fit(X, LABELS)
    assert len(own.validation_scores_) == own.n_iter_


# --- callbacks, progress, interruption


def test_callbacks() -> None:
    seen: list[Any] = []

    class Third:
        def on_fit_begin(self, model: Any, epochs: int) -> None:
            seen.append(("begin", epochs))

        def on_epoch_end(self, report: Any) -> Any:
            seen.append((report.epoch, report.epochs, report.values["loss"]))
            return mc.training.callbacks.Stop("third") if report.epoch == 3 else None

        def on_fit_end(self, model: Any) -> None:
            seen.append(type(model))

    model = classifier(callbacks=[Third()]).fit(X, LABELS)
    losses = [(i + 1, 60, loss) for i, loss in enumerate(model.loss_curve_)]
    assert seen == [("begin", 60), *losses, mc.Model] and model.n_iter_ == 3
    stopped = classifier(callbacks=[mc.EarlyStopping("val_loss", patience=2)], learning_rate_init=0.3)
    stopped.fit(X, LABELS, validation_data=(HELD, LABELS[:30]))
    best = min(stopped.validation_loss_curve_)
    assert stopped.n_iter_ < 60
    assert log_loss(LABELS[:30], stopped.predict_proba(HELD)) == pytest.approx(best, rel=1e-9)
    lowered = classifier(callbacks=[mc.ReduceOnPlateau("loss", factor=0.1, patience=1, min_delta=10.0)])
    assert lowered.fit(X, LABELS).loss_curve_ != classifier().fit(X, LABELS).loss_curve_
    with pytest.raises(ValueError, match="monitor is 'val_loss'"):
        classifier(callbacks=[mc.EarlyStopping()]).fit(X, LABELS)


class Halve:
    """Halves the rate of the model after every epoch, and notes it."""

    def __init__(self) -> None:
        self.scales: list[float] = []

    def on_epoch_end(self, report: Any) -> None:
        report.model.rate_scale *= 0.5
        self.scales.append(report.model.rate_scale)


@pytest.mark.parametrize(
    "words",
    [
        {},
        {"solver": "sgd", "learning_rate": "invscaling"},
        {"solver": "sgd", "learning_rate": "adaptive", "tol": 10.0, "n_iter_no_change": 1},
    ],
)
def test_what_a_callback_makes_of_the_rate_stays(words: dict) -> None:
    """Beside what the estimator's own rule makes of it, and for the next fit that goes on."""
    own: list[float] = []

    class Look:
        def on_epoch_end(self, report: Any) -> None:
            own.append(report.model.rate_scale)

    words = {"max_iter": 6, "learning_rate_init": 0.1} | words
    classifier(callbacks=[Look()], **words).fit(X, LABELS)
    whole = Halve()
    model = classifier(callbacks=[whole], **words).fit(X, LABELS)
    assert whole.scales == pytest.approx([scale / 2 ** (i + 1) for i, scale in enumerate(own)], rel=1e-5)
    for once in (True, False):
        again = Halve()
        parts = classifier(callbacks=[again], warm_start=True, **(words | {"max_iter": 2}))
        for _ in range(6 if once else 3):
            parts.partial_fit(X, LABELS, classes=[0, 1, 2]) if once else parts.fit(X, LABELS)
            parts = pickle.loads(pickle.dumps(parts))
            again = parts.callbacks[0]
        assert again.scales == whole.scales
        assert log_loss(LABELS, parts.predict_proba(X)) == log_loss(LABELS, model.predict_proba(X))


def test_progress(capsys: pytest.CaptureFixture) -> None:
    classifier(progress=True, max_iter=2).fit(X, LABELS)
    printed = capsys.readouterr()
    assert printed.out == "" and "epoch 2/2  loss" in printed.err
    classifier(verbose=True, max_iter=2).fit(X, LABELS)
    assert capsys.readouterr().out.startswith("Iteration 1, loss = ")
    classifier(verbose=True, max_iter=2, solver="lbfgs").fit(X, LABELS)
    assert capsys.readouterr().out.startswith("Iteration 1, loss = ")


class Press:
    """Ctrl-C after an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_epoch_end(self, report: Any) -> None:
        if report.epoch == self.epoch:
            raise KeyboardInterrupt


def test_ctrl_c_keeps_the_model() -> None:
    with pytest.warns(UserWarning, match=r"Training interrupted by user\."):
        model = classifier(callbacks=[Press(5)]).fit(X, LABELS)
    np.testing.assert_array_equal(flat(model), flat(classifier(max_iter=5).fit(X, LABELS)))
    assert model.n_iter_ == len(model.loss_curve_) == 5
    with pytest.warns(UserWarning, match="interrupted"):
        stopped = classifier(callbacks=[Press(5)], early_stopping=True).fit(X, LABELS)
    assert stopped.best_validation_score_ == max(stopped.validation_scores_)


def test_ctrl_c_in_lbfgs_keeps_the_last_iterate(monkeypatch: pytest.MonkeyPatch) -> None:
    import builtins

    def press(text: str) -> None:
        if text.startswith("Iteration 4"):
            raise KeyboardInterrupt

    monkeypatch.setattr(builtins, "print", press)
    with pytest.warns(UserWarning, match=r"Training interrupted by user\."):
        model = classifier(solver="lbfgs", verbose=True).fit(X, LABELS)
    monkeypatch.undo()
    expected = classifier(solver="lbfgs", max_iter=4).fit(X, LABELS)
    np.testing.assert_allclose(flat(model), flat(expected), rtol=1e-9, atol=1e-12)
    assert model.n_iter_ == 4


# --- failures


def test_a_failed_fit_leaves_no_trace() -> None:
    huge = np.full((10, 4), 1e300) * RNG.normal(size=(10, 4))
    fresh = regressor()
    with pytest.raises(ValueError, match="Solver produced non-finite parameter weights"):
        fresh.fit(huge, Y[:10])
    assert vars(fresh) == vars(regressor())
    fitted = regressor(max_iter=3).fit(X, Y)
    before, kept = dict(vars(fitted)), fitted.predict(X)
    for bad in (
        lambda: fitted.fit(huge, Y[:10]),
        lambda: fitted.partial_fit(huge, Y[:10]),
        lambda: fitted.fit(X, Y[:3]),
    ):
        with pytest.raises(ValueError):
            bad()
        assert vars(fitted).keys() == before.keys() and all(vars(fitted)[name] is before[name] for name in before)
    np.testing.assert_array_equal(fitted.predict(X), kept)
    fresh = classifier()
    with pytest.raises(ValueError):
        fresh.partial_fit(X, np.full(120, 7), classes=[0, 1])
    assert not hasattr(fresh, "classes_")


def test_divergence_under_early_stopping_goes_back_to_the_best() -> None:
    model = regressor(solver="sgd", activation="identity", learning_rate_init=10.0, early_stopping=True)
    with pytest.warns(sklearn.exceptions.ConvergenceWarning, match="diverged"):
        model.fit(X, Y)
    assert np.isfinite(flat(model)).all() and np.isnan(model.validation_scores_[-1])
    assert len(model.loss_curve_) == model.n_iter_ < 60


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"backend": "numpi"}, "'backend' parameter"),
        ({"dtype": "float16"}, "'dtype' parameter"),
        ({"normalization": "group"}, "'normalization' parameter"),
        ({"weight_decay": -1.0}, "'weight_decay' parameter"),
        ({"scoring": 3}, "'scoring' parameter"),
        ({"callbacks": None}, "'callbacks' parameter"),
        ({"callbacks": [3]}, "the callback 3 is never called"),
        ({"progress": "yes"}, "'progress' parameter"),
        ({"compat": "torch"}, "'compat' parameter"),
        ({"class_weight": "fair"}, "'class_weight' parameter"),
        ({"solver": "newton"}, "'solver' parameter"),
        ({"learning_rate": "slow"}, "'learning_rate' parameter"),
        ({"activation": "step"}, "'activation' parameter"),
        ({"device": "cuda:9", "backend": "numpy"}, "there is no device"),
    ],
)
def test_bad_arguments(words: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, RuntimeError), match=message):
        classifier(**words).fit(X, LABELS)


def test_negative_weights_are_refused() -> None:
    with pytest.raises(ValueError, match="Negative values in data passed to `sample_weight`"):
        classifier().fit(X, LABELS, sample_weight=np.linspace(-1, 1, 120))
    with pytest.raises(ValueError, match="at least one non-zero"):
        classifier().fit(X, LABELS, sample_weight=np.zeros(120))


# --- models


def test_to_model(tmp_path: Any) -> None:
    for fitted in (classifier(max_iter=5).fit(X, LABELS), regressor(loss="gaussian", max_iter=5).fit(X, Y)):
        model = fitted.to_model()
        model.save(tmp_path / "model.safetensors")
        prediction = mc.load(tmp_path / "model.safetensors").predict(X)
        if isinstance(fitted, MLPClassifier):
            np.testing.assert_allclose(prediction, fitted.predict_proba(X), rtol=1e-12)
        else:
            np.testing.assert_allclose(prediction[0][:, 0], fitted.predict(X), rtol=1e-12)
    compat = classifier(compat="sklearn", max_iter=2).fit(X, LABELS)
    assert compat.to_model().loss == mc.SoftmaxCrossEntropy()


def test_coefs_may_be_changed_by_hand() -> None:
    model = regressor(max_iter=3).fit(X, Y)
    for _ in range(3):
        model.predict(X)
    model.coefs_[-1][...] = 0.0
    model.intercepts_[-1] = np.array([2.5])
    np.testing.assert_array_equal(model.predict(X), np.full(120, 2.5))
    model.set_params(learning_rate_init=1e-300).partial_fit(X, Y)
    np.testing.assert_array_equal(model.predict(X), np.full(120, 2.5))


def test_dtype() -> None:
    for x in (X, X.astype("float32")):
        for dtype in ("float32", "float64", None):
            model = classifier(dtype=dtype, max_iter=3).fit(x, LABELS)
            wanted = dtype or x.dtype.name
            assert {part.dtype.name for part in (*model.coefs_, *model.intercepts_)} == {wanted}
            assert model.predict_proba(x).dtype == wanted == model.transform(x).dtype
            told = model.__sklearn_tags__().transformer_tags.preserves_dtype
            assert (wanted in told) == (dtype is None)
            model.partial_fit(X, LABELS)
            assert model.coefs_[0].dtype == wanted
    single = classifier(solver="lbfgs", max_iter=20).fit(X.astype("float32"), LABELS)
    assert single.coefs_[0].dtype == np.float32 and single.score(X, LABELS) > 0.9
