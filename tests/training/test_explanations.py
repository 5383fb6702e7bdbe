"""Input gradients and integrated gradients of a model: laws over all members, every backend, and wrong arguments."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from compiled import TILED, call
from devices import PLACES, open_place
from fitting import EAGER, LABELS, NET, PLAIN, ROWS, X, Y, assert_same, classifier, make, state_of, with_extras
from members import LAYERS, LOSSES, assert_close, layer_arrays
from optional import optional
from refusals import changed, refused
from runs import RUNS, trace

import mlpcore as mc
from mlpcore.backends import streaming
from mlpcore.backends.compilation import C
from mlpcore.backends.transfer import library_of
from mlpcore.compiler.build import find_compiler
from mlpcore.compiler.graph import N
from mlpcore.gradient_check import draw_targets
from mlpcore.layers.containers import children
from mlpcore.random import Stream
from mlpcore.training import explanations
from mlpcore.training.gradients import InputGradient
from mlpcore.trees import Layout

TOLERANCE = {"float64": 1e-9, "float32": 1e-4}
# The slope jumps, or its slope.
KINKED = (
    *("ReLU", "LeakyReLU", "LeakyReLU 0.3", "ELU", "ELU 0.7", "SELU"),
    *("Parametric", "PiecewiseLinearEmbedding", "nested"),
)
JUMPING = ("Embedding", "OneHot", "Concat")  # with layers of categories, whose derivative is 0 between the jumps


def around(layer: Any) -> mc.Model:
    """A trained model with the layer in its middle, three inputs and two scores."""
    model = make(mc.Sequential(mc.Linear(3, 4), layer, mc.Linear(layer.output_width(4), 2)), optimizer=mc.Adam(0.05))
    model.fit(X, Y, epochs=3, batch_size=8)
    return model


def scores(model: mc.Model, x: Any) -> np.ndarray:
    """The raw scores on the host, from the plain network."""
    return model.net.forward(model.params, np.asarray(x))[0]


def differences(model: mc.Model, x: np.ndarray, output: int, h: float = 1e-4) -> np.ndarray:
    """Central differences of a score, (n, columns), of fourth order."""

    def change(step: np.ndarray) -> np.ndarray:
        return (scores(model, x + step) - scores(model, x - step))[:, output]

    steps = h * np.eye(x.shape[1])
    return np.stack([(8 * change(step / 2) - change(step)) / (6 * h) for step in steps], axis=1)


# --- what they are


@pytest.mark.parametrize("case", LAYERS)
def test_gradients_through_every_layer_are_central_differences(case: str) -> None:
    """In inference: Dropout does nothing, BatchNorm has its running statistics."""
    model = around(LAYERS[case](4))
    for output in range(2):
        gradient = model.input_gradient(X, output)
        assert gradient.shape == X.shape and gradient.dtype == "float64"
        np.testing.assert_allclose(gradient, differences(model, X, output), rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("case", LOSSES)
def test_gradients_are_those_of_the_raw_scores_under_every_loss(case: str) -> None:
    loss, kind = LOSSES[case]
    model = make(mc.Sequential(mc.Linear(3, 8), mc.Tanh(), mc.Linear(8, loss.outputs(3))), loss, mc.Adam(0.02))
    model.fit(X, draw_targets(Stream(0), ROWS, 3)[kind], epochs=3, batch_size=8)
    for output in range(loss.outputs(3)):
        np.testing.assert_allclose(model.input_gradient(X, output), differences(model, X, output), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("case", [case for case in LAYERS if case not in JUMPING])
def test_integrated_gradients_are_complete(case: str) -> None:
    """The shares of a row sum to the difference of the scores: to rounding, or with kinks to a few times 1 / steps."""
    model = around(LAYERS[case](4))
    baseline = np.array([0.5, -1.0, 0.25])
    for output in range(2):
        shares = model.integrated_gradients(X, output, baseline=baseline, steps=1000)
        expected = scores(model, X)[:, output] - scores(model, baseline[None])[:, output]
        np.testing.assert_allclose(shares.sum(axis=1), expected, rtol=0, atol=4e-3 if case in KINKED else 1e-12)


def test_integrated_gradients_are_the_integral_along_the_path() -> None:
    """By another rule: the trapezoids of many plain input gradients."""
    model, a = around(mc.SiLU()), np.linspace(0, 1, 401)
    baseline = Stream(7).normal((3,))
    slopes = np.stack([model.input_gradient(baseline + share * (X - baseline), 1) for share in a])
    mean = (slopes.sum(axis=0) - (slopes[0] + slopes[-1]) / 2) / 400
    got = model.integrated_gradients(X, 1, baseline=baseline, steps=20)
    np.testing.assert_allclose(got, (X - baseline) * mean, rtol=1e-4, atol=1e-6)


def test_a_linear_network_by_hand() -> None:
    model = make(mc.Linear(3, 2))
    weight = model.params["weight"]
    np.testing.assert_allclose(model.input_gradient(X, 1), np.tile(weight[:, 1], (ROWS, 1)), rtol=1e-15)
    np.testing.assert_allclose(model.integrated_gradients(X, 1, steps=1), X * weight[:, 1], rtol=1e-13)
    origin = np.array([3.0, 2.0, 1.0])
    shares = model.integrated_gradients(X, 0, baseline=origin)
    np.testing.assert_allclose(shares, (X - origin) * weight[:, 0], rtol=1e-13)


def test_batch_norm_and_dropout_are_those_of_inference() -> None:
    """``gain / sqrt(running_var + eps)`` times the weights, for any rows beside the row; no chance is left."""
    model = make(mc.Sequential(mc.Dropout(0.5), mc.BatchNorm(3, eps=0.5), mc.Linear(3, 2)))
    model.fit(X, Y, epochs=3, batch_size=8)
    _, norm, linear = model.params
    expected = norm["gain"] / np.sqrt(norm["running_var"] + 0.5) * linear["weight"][:, 0]
    np.testing.assert_allclose(model.input_gradient(X, 0), np.tile(expected, (ROWS, 1)), rtol=1e-14)
    np.testing.assert_allclose(model.input_gradient(9 * X[:1], 0), expected[None], rtol=1e-14)


def test_the_rule_is_exact_for_polynomials_of_twice_its_degree() -> None:
    for steps in (1, 2, 5, 50, explanations.MAX_STEPS):
        nodes, weights = explanations._gauss_legendre(steps)
        assert nodes.shape == weights.shape == (steps,) and nodes.min() > 0 and nodes.max() < 1
        for power in {0, 1, steps, 2 * steps - 1}:
            assert weights @ nodes**power == pytest.approx(1 / (power + 1), rel=1e-11)


def test_more_steps_are_nearer_to_the_difference() -> None:
    model = around(mc.ReLU())
    expected = scores(model, X)[:, 0] - scores(model, 0 * X)[:, 0]
    errors = [np.abs(model.integrated_gradients(X, 0, steps=n).sum(axis=1) - expected).mean() for n in (4, 40, 400)]
    assert errors[2] < errors[1] / 4 < errors[0] / 16


# --- which score


def test_none_is_the_predicted_class_of_each_row() -> None:
    model = classifier()
    model.fit(X, LABELS, epochs=20)
    label = model.predict(X).argmax(axis=1)
    assert set(label) == {0, 1, 2}
    for ask in (model.input_gradient, model.integrated_gradients):
        of_class = np.stack([ask(X, output) for output in range(3)])
        np.testing.assert_allclose(ask(X), of_class[label, np.arange(ROWS)], rtol=1e-13)
        np.testing.assert_array_equal(ask(X, np.int64(2)), of_class[2])
        assert np.any(of_class[0] != of_class[1])


def test_none_is_the_class_of_the_row_along_the_whole_path() -> None:
    """Not that of the points, which begin in the class of the baseline."""
    model = classifier()
    model.fit(X, LABELS, epochs=20)
    label, baseline = model.predict(X).argmax(axis=1), X[np.argmin(LABELS)]
    difference = scores(model, X) - scores(model, baseline[None])
    shares = model.integrated_gradients(X, baseline=baseline)
    assert model.predict(baseline[None]).argmax() != label.max()
    np.testing.assert_allclose(shares.sum(axis=1), difference[np.arange(ROWS), label], atol=1e-12)


@pytest.mark.parametrize("loss", [mc.SigmoidCrossEntropy(), mc.HalfSquaredError(), mc.SoftmaxCrossEntropy()])
def test_none_is_the_only_score(loss: Any) -> None:
    model = make(mc.Sequential(mc.Linear(3, 4), mc.Tanh(), mc.Linear(4, 1)), loss)
    for ask in (model.input_gradient, model.integrated_gradients):
        np.testing.assert_array_equal(ask(X), ask(X, 0))


# --- where and how they are computed


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("place", PLACES)
def test_every_backend_agrees_with_numpy(place: str, dtype: str) -> None:
    backend = open_place(place)
    tree = make(NET, seed=5).params
    model, expected = make(NET, params=tree, dtype=dtype, backend=backend), make(NET, params=tree, backend=EAGER)
    with backend.scope(dtype):
        there = backend.asarray(X.astype(dtype))
    for ask, words in (("input_gradient", {}), ("integrated_gradients", {"baseline": X[0], "steps": 7})):
        wanted = getattr(expected, ask)(X, 1, **words)
        on_host, on_device = (getattr(model, ask)(x, 1, **words) for x in (X, there))
        assert type(on_host) is np.ndarray and on_host.dtype == dtype
        assert library_of(on_device) == library_of(there) and backend.owns(on_device)
        for got in (on_host, backend.to_numpy(on_device)):
            assert_close(got, wanted.astype(dtype))


@pytest.mark.skipif(find_compiler() is None, reason="no C compiler")
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_compiled_code_agrees_with_numpy_calls(dtype: str) -> None:
    tree = make(NET, seed=5).params
    models = [make(NET, params=tree, dtype=dtype, compile=compiled) for compiled in (True, False)]
    for model in models:
        model.fit(X, Y, epochs=1)
        model.params = tree
    assert models[0].compiled.kind == C != models[1].compiled.kind
    assert_close(*(model.input_gradient(X, 1) for model in models))
    assert_close(*(model.integrated_gradients(X, 1) for model in models))


@pytest.mark.parametrize("printer", TILED)
@pytest.mark.parametrize("case", ["nested", "nested with BatchNorm"])
def test_every_printed_program_gives_the_numbers_of_plain_code(case: str, printer: str) -> None:
    net = LAYERS[case](4)
    params, x, _, _ = layer_arrays(net, 4, 11, "float64")
    layout, rows = Layout(params), np.concatenate([x, np.arange(11.0)[:, None] % 3], axis=1)
    vector, statistics = layout.flat(params), layout.running(params)

    def function(xp: Any, rows: Any, vector: Any, *statistics: Any) -> list[Any]:
        return [InputGradient(net)(layout.view(vector, statistics), rows)]

    arrays = (rows, vector, *statistics)
    (got,) = call(function, arrays, [(N, 5), *(array.shape for array in arrays[1:])], 11, printer)
    assert_close(got, InputGradient(net)(params, rows))


@pytest.mark.parametrize("case", ["nested", "nested with BatchNorm"])
def test_a_compiled_gradient_is_computed_row_by_row(case: str) -> None:
    """In blocks of any size, therefore, and without the gradients of parameters, which are sums over the rows."""
    assert trace(case, *RUNS[f"input gradient of {case}"]("float32", None)).row_by_row


def test_the_weights_of_now_are_explained() -> None:
    """Those after further training, and the average where one is kept."""
    for ema in (None, 0.5):
        model = make(PLAIN, ema=ema)
        for _ in range(2):
            model.fit(X, Y, epochs=2)
            np.testing.assert_allclose(model.input_gradient(X, 0), differences(model, X, 0), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("size", [1, 5, ROWS - 1, 10**6])
def test_blocks_change_nothing_but_rounding(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Less than the steps of one path too, and a baseline that is cut like x."""
    model, words = around(mc.BatchNorm(4)), {"baseline": X[::-1], "steps": 7}
    gradient, shares = model.input_gradient(X, 1), model.integrated_gradients(X, 1, **words)
    assert_close(model.input_gradient(X, 1, batch_size=size), gradient, roundings=10)
    assert_close(model.integrated_gradients(X, 1, batch_size=size, **words), shares, roundings=20)
    monkeypatch.setattr(explanations, "BLOCK_ROWS", size)
    assert_close(model.input_gradient(X, 1), gradient, roundings=10)
    assert_close(model.integrated_gradients(X, 1, **words), shares, roundings=20)


def test_no_pass_has_more_rows_than_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    model, seen = make(PLAIN), []
    inner = model.trainer.scores.input_gradient

    def counting(vector: Any, statistics: Any, rows: Any, count: int) -> Any:
        seen.append(rows.shape[0])
        return inner(vector, statistics, rows, count)

    monkeypatch.setattr(model.trainer.scores, "input_gradient", counting)
    for steps in (3, 8, 30):
        seen.clear()
        model.integrated_gradients(X, 0, steps=steps, batch_size=8)
        assert max(seen) <= 8 and sum(seen) == steps * ROWS
    seen.clear()
    model.input_gradient(X, 0, batch_size=8)
    assert seen == [8, 8, 6]


@pytest.mark.parametrize("place", ["array_api_strict", "torch"])
def test_rows_that_do_not_fit_on_the_device_are_explained_in_blocks(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They stay on the host, and so does the result, which is as large."""
    backend, most = open_place(place), 0

    def noting(function: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*args: Any, **words: Any) -> Any:
            nonlocal most
            result = function(*args, **words)
            most = max(most, result.shape[0] if result.ndim >= 2 else 0)
            return result

        return noted

    monkeypatch.setattr(backend.xp, "concat", noting(backend.xp.concat))
    monkeypatch.setattr(streaming, "BUFFER_BYTES", 0)
    tree = make(PLAIN, seed=5).params
    small = with_extras(replace(backend, asarray=noting(backend.asarray)), free_memory=lambda: 0)
    model, expected = make(PLAIN, params=tree, backend=small), make(PLAIN, params=tree)
    for words in ({}, {"baseline": X[::-1], "steps": 3}):
        ask = "integrated_gradients" if words else "input_gradient"
        most = 0
        got = getattr(model, ask)(X, 1, batch_size=6, **words)
        assert type(got) is np.ndarray and 0 < most <= 6
        assert_close(got, getattr(expected, ask)(X, 1, **words))


def test_nothing_of_the_users_is_written_to_and_nothing_changes() -> None:
    """The arrays are read-only, and the results are the caller's own."""
    x, baseline = X.copy(), X[::-1].copy()
    x.flags.writeable = baseline.flags.writeable = False
    for backend in ("numpy", EAGER):
        model = make(ema=0.5, backend=backend)
        model.fit(X, Y, epochs=1)
        before = state_of(model)
        for ask in (
            lambda m=model: m.input_gradient(x, 0),
            lambda m=model: m.integrated_gradients(x, 0, baseline=baseline),
        ):
            first = ask()
            kept = first.copy()
            first[...] = 0
            np.testing.assert_array_equal(ask(), kept)
        assert_same(state_of(model), before)
    np.testing.assert_array_equal(x, X)


def test_every_form_of_rows_and_baselines() -> None:
    pandas = optional("pandas")
    model, frame = make(PLAIN), pandas.DataFrame(X, columns=["a", "b", "c"])
    mean = X.mean(axis=0)
    gradient, shares = model.input_gradient(X, 0), model.integrated_gradients(X, 0, baseline=mean)
    for x in (frame, X.tolist(), np.asfortranarray(X)):
        assert type(model.input_gradient(x, 0)) is np.ndarray
        np.testing.assert_array_equal(model.input_gradient(x, 0), gradient)
    for baseline in (mean, mean.tolist(), frame.mean(), np.tile(mean, (ROWS, 1)), [mean.tolist()] * ROWS):
        assert_close(model.integrated_gradients(frame, 0, baseline=baseline), shares)
    np.testing.assert_array_equal(
        model.integrated_gradients(X, 0), model.integrated_gradients(X, 0, baseline=np.zeros(3, "int8"))
    )
    assert_close(model.integrated_gradients(X, 0, baseline=frame), 0 * X)
    assert_close(model.input_gradient(X[:1], 0), gradient[:1], roundings=10)


# --- what cannot work

CONFIG = mc.ConfigurationError
ASKS: dict[str, Callable[..., Any]] = {
    "input_gradient": lambda model, x, **words: model.input_gradient(x, **words),
    "integrated_gradients": lambda model, x, **words: model.integrated_gradients(x, **words),
}


@pytest.mark.parametrize("ask", ASKS)
@pytest.mark.parametrize("output", [-1, 2, 1.0, True, "1", [0], np.array([0, 1]), np.int64(2), np.True_])
def test_scores_that_the_network_does_not_have(ask: str, output: Any) -> None:
    model = make(PLAIN)
    said = rf"^{ask}: output is .*, expected the number of a score, 0 to 1$"
    refused(model, lambda: ASKS[ask](model, X, output=output), CONFIG, said)
    other = classifier()
    refused(other, lambda: ASKS[ask](other, X, output=3), CONFIG, "score, 0 to 2 or None for the predicted class$")


@pytest.mark.parametrize("ask", ASKS)
def test_a_network_without_classes_predicts_none(ask: str) -> None:
    for loss in (mc.HalfSquaredError(), mc.SigmoidCrossEntropy(), mc.GaussianNLL()):
        model = make(PLAIN, loss)
        said = rf"^{ask}: output is None, expected the number of a score, 0 to 1; only networks of classes predict one$"
        refused(model, lambda m=model, s=said: ASKS[ask](m, X), CONFIG, said)


@pytest.mark.parametrize("ask", ASKS)
def test_rows_that_cannot_be_explained(ask: str) -> None:
    cases = {
        r"^x has shape \(0, 3\), expected at least one row and one column$": X[:0],
        r"^Linear\(3, 4\): x has 2 columns, expected 3$": X[:, :2],
        r"^x has shape \(3,\), expected \(rows, columns\); reshape": X[0],
        "^x has NaN or infinity in column 1;": changed(X, (4, 1), float("nan")),
        "^x has dtype <U32, expected real numbers": X.astype(str),
    }
    for said, x in cases.items():
        model = make(PLAIN)
        refused(model, lambda m=model, x=x: ASKS[ask](m, x, output=0), mc.DataError, said)


@pytest.mark.parametrize("ask", ASKS)
@pytest.mark.parametrize("batch_size", [0, -1, 2.5, True, "4"])
def test_batches_that_cannot_be(ask: str, batch_size: Any) -> None:
    model = make(PLAIN)
    said = f"^{ask}: batch_size is {batch_size!r}, expected a whole number of 1 or more$"
    refused(model, lambda: ASKS[ask](model, X, output=0, batch_size=batch_size), CONFIG, said)


@pytest.mark.parametrize("steps", [0, -1, 2.5, True, "4", None, 1001])
def test_steps_that_cannot_be(steps: Any) -> None:
    model = make(PLAIN)
    said = f"^integrated_gradients: steps is {steps!r}, expected a whole number of 1 (or more|to 1000)$"
    refused(model, lambda: model.integrated_gradients(X, 0, steps=steps), CONFIG, said)


def test_baselines_that_cannot_be() -> None:
    shapes = r"expected \(3,\) like a row of x, or \(22, 3\) like x$"
    cases = {
        rf"^integrated_gradients: baseline has shape \(2,\), {shapes}": [0.0, 0.0],
        rf"^integrated_gradients: baseline has shape \(1, 3\), {shapes}": X[:1],
        rf"^integrated_gradients: baseline has shape \(3, 22\), {shapes}": X.T,
        rf"^integrated_gradients: baseline has shape \(\), {shapes}": 0.0,
        "^baseline has NaN or infinity in column 2;": np.array([0.0, 0.0, np.nan]),
        "^baseline has NaN or infinity in column 0;": changed(X, (4, 0), float("inf")),
        "^baseline has dtype <U1, expected real numbers": np.array(["a", "b", "c"]),
    }
    for said, baseline in cases.items():
        model = make(PLAIN)
        refused(model, lambda m=model, b=baseline: m.integrated_gradients(X, 0, baseline=b), mc.DataError, said)


def test_the_layers_of_the_law_have_a_kink_or_a_jump_where_it_says_so() -> None:
    """So that no smooth layer gets the wide tolerance, or is left out."""
    kinks = (mc.ReLU, mc.LeakyReLU, mc.ELU, mc.SELU, mc.Parametric, mc.PiecewiseLinearEmbedding)

    def has(layer: Any, kinds: tuple[type, ...]) -> bool:
        return isinstance(layer, kinds) or any(has(child, kinds) for child in children(layer))

    assert [case for case in LAYERS if has(LAYERS[case](4), kinks)] == list(KINKED)
    assert [case for case in LAYERS if has(LAYERS[case](4), (mc.OneHot, mc.Embedding))] == list(JUMPING)


def test_columns_of_categories_have_no_share() -> None:
    model = around(mc.Embedding((2, 3, 2, 1), 2))
    np.testing.assert_array_equal(model.input_gradient(X, 0), np.zeros_like(X))
    np.testing.assert_array_equal(model.integrated_gradients(X, 0), np.zeros_like(X))
