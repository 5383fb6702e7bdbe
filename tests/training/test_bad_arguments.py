"""Arguments that cannot work: of fit, of a model and of its parts; the error names them and what is expected."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fitting import LABELS, PLAIN, X, Y, classifier, make
from refusals import INF, KINDS, NAN, refused

import mlpcore as mc
from mlpcore.trees import named_leaves, tree_map

# --- the call of fit

CONFIG = mc.ConfigurationError
WHOLE = "expected a whole number of 1 or more$"
ARGUMENTS: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "no epochs": ({"epochs": 0}, CONFIG, f"^fit: epochs is 0, {WHOLE}"),
    "negative epochs": ({"epochs": -3}, CONFIG, f"^fit: epochs is -3, {WHOLE}"),
    "epochs as a float": ({"epochs": 3.0}, CONFIG, f"^fit: epochs is 3.0, {WHOLE}"),
    "epochs as a text": ({"epochs": "3"}, CONFIG, f"^fit: epochs is '3', {WHOLE}"),
    "epochs as yes": ({"epochs": True}, CONFIG, f"^fit: epochs is True, {WHOLE}"),
    "epochs as NumPy's yes": ({"epochs": np.True_}, CONFIG, f"^fit: epochs is np.True_, {WHOLE}"),
    "epochs as NumPy's float": ({"epochs": np.float64(3)}, CONFIG, r"^fit: epochs is np.float64\(3.0\)"),
    "several epochs": ({"epochs": np.array([3])}, CONFIG, r"^fit: epochs is array\(\[3\]\)"),
    "no batch": ({"batch_size": 0}, CONFIG, f"^fit: batch_size is 0, {WHOLE}"),
    "NumPy's no batch": ({"batch_size": np.int64(0)}, CONFIG, rf"^fit: batch_size is np.int64\(0\), {WHOLE}"),
    "half a batch": ({"batch_size": 0.5}, CONFIG, f"^fit: batch_size is 0.5, {WHOLE}"),
    "None for a batch": ({"batch_size": None}, CONFIG, f"^fit: batch_size is None, {WHOLE}"),
    "a word for steps that are not finite": (
        {"on_nonfinite": "ignore"},
        CONFIG,
        "^fit: on_nonfinite is 'ignore', expected one of 'raise', 'skip', 'restore'$",
    ),
    "a word for shuffle": ({"shuffle": "no"}, CONFIG, "^fit: shuffle is 'no', expected one of True, False, 'blocks'$"),
    "a number for shuffle": ({"shuffle": 1}, CONFIG, "^fit: shuffle is 1, expected one of True, False, 'blocks'$"),
    "validation by share": (
        {"validation_data": 0.2},
        mc.DataError,
        r"^validation_data is of type float, expected a pair \(x, y\) or",
    ),
    "validation by x alone": (
        {"validation_data": X},
        mc.DataError,
        "^validation_data is of type ndarray, expected a pair",
    ),
    "validation of one": ({"validation_data": (X,)}, mc.DataError, "^validation_data is a tuple of 1, expected a pair"),
    "validation of four": (
        {"validation_data": [X] * 4},
        mc.DataError,
        "^validation_data is a list of 4, expected a pair",
    ),
}


@pytest.mark.parametrize("case", ARGUMENTS)
def test_arguments_of_fit_that_cannot_work(case: str) -> None:
    words, error, said = ARGUMENTS[case]
    model = make(PLAIN)
    refused(model, lambda: model.fit(X, Y, **words), error, said)


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, True, "4"])
def test_batches_of_predict(batch_size: Any) -> None:
    model = make(PLAIN)
    refused(model, lambda: model.predict(X, batch_size=batch_size), CONFIG, f"^predict: batch_size is .*, {WHOLE}")


def test_metrics_that_do_not_fit_the_target_are_found_before_training() -> None:
    model = classifier(metrics=["r2"])
    said = r"^validation_data: r2: the target has shape \(1,\) and the prediction \(1, 3\), expected equal shapes"
    refused(model, lambda: model.fit(X, LABELS, validation_data=(X, LABELS)), mc.DataError, said)
    refused(model, lambda: model.evaluate(X, LABELS), mc.DataError, "^r2: the target has shape")
    assert len(model.fit(X, LABELS, epochs=1)) == 1, "nobody asks for metrics here"


@pytest.mark.parametrize("gave", [np.ones(3), None, "good", np.array([]), 1j])
def test_what_a_metric_gives_must_be_a_number(gave: Any) -> None:
    def strange(target: Any, prediction: Any) -> Any:
        return gave

    model = make(PLAIN, metrics=[strange])
    refused(
        model, lambda: model.evaluate(X, Y), CONFIG, "^metrics: strange gave .* of shape .*, expected one real number"
    )


# --- what a model is made of


def other_accuracy(target: Any, prediction: Any) -> float:
    return 0.0


other_accuracy.__name__ = "accuracy"


def loss(target: Any, prediction: Any) -> float:
    return 0.0


GOOD: dict[str, Any] = {"net": PLAIN, "loss": mc.SquaredError(), "optimizer": mc.Adam()}
LIKE_A_LAYER = r"expected a layer like Sequential\(Linear\(2, 3\), ReLU\(\)\)$"
MODELS: dict[str, tuple[dict[str, Any], str]] = {
    "a list of layers": (
        {"net": [mc.Linear(3, 2), mc.ReLU()]},
        rf"^Model: net is \[Linear\(3, 2\), ReLU\(\)\], {LIKE_A_LAYER}",
    ),
    "a class of layers": ({"net": mc.ReLU}, f"^Model: net is <class '.*ReLU'>, {LIKE_A_LAYER}"),
    "widths": ({"net": (3, 2)}, rf"^Model: net is \(3, 2\), {LIKE_A_LAYER}"),
    "no network": ({"net": None}, "^Model: net is None"),
    "nothing to train": (
        {"net": mc.Sequential(mc.ReLU())},
        r"^Model: Sequential\(ReLU\(\)\) has no parameters to train, expected a layer such as Linear in it$",
    ),
    "a class of losses": (
        {"loss": mc.SquaredError},
        r"^Model: loss is <class .*SquaredError'>, expected a loss like Squ.*\(\)$",
    ),
    "a loss by name": ({"loss": "mse"}, r"^Model: loss is 'mse', expected a loss like SquaredError\(\)$"),
    "an optimizer for a loss": ({"loss": mc.Adam()}, r"^Model: loss is Adam\(\), expected a loss"),
    "a class of optimizers": (
        {"optimizer": mc.Adam},
        r"^Model: optimizer is <class .*Adam'>, expected an optimizer like Adam",
    ),
    "an optimizer by name": (
        {"optimizer": "adam"},
        r"^Model: optimizer is 'adam', expected an optimizer like Adam\(1e-3\)$",
    ),
    "a rate for an optimizer": ({"optimizer": 0.1}, "^Model: optimizer is 0.1, expected an optimizer"),
    "a layer for an optimizer": ({"optimizer": mc.ReLU()}, r"^Model: optimizer is ReLU\(\)"),
    "Softmax twice": (
        {"net": mc.Sequential(mc.Linear(3, 2), mc.Softmax()), "loss": mc.SoftmaxCrossEntropy()},
        r"^Model: the network ends in Softmax\(\), but SoftmaxCrossEntropy\(\) takes raw scores and applies its link "
        "itself; leave the last layer out, predict still applies Softmax$",
    ),
    "Sigmoid twice, nested": (
        {
            "net": mc.Sequential(mc.Linear(3, 2), mc.Sequential(mc.ReLU(), mc.Sequential(mc.Sigmoid()))),
            "loss": mc.SigmoidCrossEntropy(),
        },
        r"^Model: the network ends in Sigmoid\(\), but SigmoidCrossEntropy",
    ),
    "an odd number for means and variances": (
        {"net": mc.Linear(3, 3), "loss": mc.GaussianNLL()},
        r"^Model: the network gives 3 columns, but GaussianNLL\(\) takes 2 for one column of y, 4 for two; change",
    ),
    "quantiles": (
        {"net": mc.Linear(3, 4), "loss": mc.Quantile()},
        r"gives 4 columns, but Quantile\(\) takes 3 for one",
    ),
    "float16": ({"dtype": "float16"}, "^Model: dtype is 'float16', expected one of 'float32', 'float64'$"),
    "a type of NumPy": ({"dtype": np.float32}, "^Model: dtype is <class 'numpy.float32'>, expected one of 'float32'"),
    "a dtype of NumPy": (
        {"dtype": np.dtype("float32")},
        r"^Model: dtype is dtype\('float32'\), expected one of 'float32'",
    ),
    "no precision": ({"precision": "low"}, "^Model on numpy: precision is 'low', expected one of 'highest'$"),
    "a negative seed": ({"seed": -1}, r"^Model: seed is -1, expected a whole number from 0 to 2\^64 - 1$"),
    "a long seed": ({"seed": 1 << 64}, "^Model: seed is 18446744073709551616, expected"),
    "a seed of None": ({"seed": None}, "^Model: seed is None"),
    "a float as seed": ({"seed": 1.0}, "^Model: seed is 1.0"),
    "yes as seed": ({"seed": np.True_}, "^Model: seed is True"),
    "a negative penalty": ({"l2": -0.1}, "^Model: l2 is -0.1, expected a finite number of at least 0$"),
    "an infinite penalty": ({"l2": INF}, "^Model: l2 is inf, expected a finite number"),
    "yes as penalty": ({"l2": True}, "^Model: l2 is True"),
    "None as penalty": ({"l2": None}, "^Model: l2 is None, expected a finite number"),
    "clipping to nothing": ({"clip_norm": 0.0}, "^Model: clip_norm is 0.0, expected a finite number above 0$"),
    "clipping below nothing": ({"clip_value": -1}, "^Model: clip_value is -1, expected a finite number above 0$"),
    "clipping by NaN": ({"clip_value": NAN}, "^Model: clip_value is nan"),
    "an average that never moves": (
        {"ema": 1.0},
        "^Model: ema is 1.0, expected a finite number of at least 0 and below 1$",
    ),
    "a negative average": ({"ema": -0.5}, "^Model: ema is -0.5"),
    "an unknown metric": (
        {"metrics": ["acc"]},
        "^metrics: 'acc' is not known, expected a function or one of accuracy, bal",
    ),
    "a metric without a list": (
        {"metrics": "accuracy"},
        r"^Model: metrics is 'accuracy', expected a list such as \['accuracy'\]$",
    ),
    "a function without a list": (
        {"metrics": other_accuracy},
        "^Model: metrics is <function .*>, expected a list such as",
    ),
    "no metrics": ({"metrics": None}, "^Model: metrics is None, expected a list"),
    "a metric twice": (
        {"metrics": ["r2", "r2"]},
        "^Model: metrics has a second 'r2', expected names that differ from each",
    ),
    "two lambdas": (
        {"metrics": [lambda t, p: 0.0, lambda t, p: 1.0]},
        "^Model: metrics has a second '<lambda>', .*; write functions with def, each under a name of its own$",
    ),
    "a function under a known name": (
        {"metrics": ["accuracy", other_accuracy]},
        "^Model: metrics has a second 'accuracy'",
    ),
    "a metric called loss": (
        {"metrics": [loss]},
        "^Model: metrics has 'loss', expected names that differ from each other and",
    ),
}


@pytest.mark.parametrize("case", MODELS)
def test_models_that_cannot_be_made(case: str) -> None:
    words, said = MODELS[case]
    with pytest.raises(mc.ConfigurationError, match=said):
        mc.Model(**(GOOD | words))


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        (
            {"backend": "tensorflow"},
            CONFIG,
            "^backend is 'tensorflow', expected one of 'numpy', 'cupy', 'torch', 'jax'",
        ),
        ({"backend": None}, CONFIG, "^backend is None, expected one of"),
        (
            {"device": "cuda"},
            mc.BackendUnavailable,
            "^backend 'numpy': there is no device 'cuda', expected 'cpu' or None$",
        ),
    ],
)
def test_backends_that_are_not_there(words: dict, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        mc.Model(**GOOD, **words)


NETS: dict[str, tuple[Callable[[], Any], str]] = {
    "neighbours": (
        lambda: mc.Sequential(mc.Linear(3, 4), mc.ReLU(), mc.Linear(5, 2)),
        r"^Sequential: layer 0 Linear\(3, 4\) gives 4 columns, which layer 2 does not take: Linear\(5, 2\): x has "
        "4 columns, expected 5$",
    ),
    "inside": (
        lambda: mc.Sequential(mc.Linear(3, 4), mc.Residual(mc.Sequential(mc.Linear(4, 6), mc.LayerNorm(4)))),
        r"^Sequential: layer 0 Linear\(4, 6\) gives 6 columns, which layer 1 does not take: LayerNorm\(4\): x has 6",
    ),
    "a way round": (
        lambda: mc.Residual(mc.Linear(3, 4)),
        r"^Linear\(3, 4\): x has 4 columns, expected 3$",
    ),
    "a sum of other columns": (
        lambda: mc.Sequential(mc.Linear(3, 4), mc.Residual(mc.Concat(mc.Identity(), mc.Tanh()))),
        r"^Sequential: .* does not take: Residual\(.*\): the inner layer makes 8 columns of 4, expected 4$",
    ),
    "a list": (
        lambda: mc.Sequential([mc.Linear(3, 4)]),
        r"^Sequential: \[Linear\(3, 4\)\] is not a layer; write Sequential\(",
    ),
    "a class": (lambda: mc.Sequential(mc.Linear(3, 4), mc.ReLU), "^Sequential: <class '.*ReLU'> is not a layer"),
    "no columns": (lambda: mc.Linear(0, 3), f"^Linear: in_features is 0, {WHOLE}"),
    "half a column": (lambda: mc.Linear(3, 2.5), f"^Linear: out_features is 2.5, {WHOLE}"),
    "yes columns": (lambda: mc.Linear(3, True), f"^Linear: out_features is True, {WHOLE}"),
    "NumPy's no columns": (lambda: mc.Linear(np.int64(0), 3), f"^Linear: in_features is 0, {WHOLE}"),
    "dropping all": (
        lambda: mc.Dropout(1.0),
        "^Dropout: rate is 1.0, expected a finite number of at least 0 and below",
    ),
    "a rate of nothing": (lambda: mc.Adam(0), "^Adam: learning_rate is 0, expected a finite number above 0$"),
    "a negative rate": (lambda: mc.SGD(-0.1), "^SGD: learning_rate is -0.1, expected a finite number above 0$"),
    "a rate of NaN": (
        lambda: mc.Adam(np.float32("nan")),
        "^Adam: learning_rate is nan, expected a finite number above 0$",
    ),
    "an infinite rate": (lambda: mc.Adam(INF), "^Adam: learning_rate is inf"),
    "a rate beyond all floats": (
        lambda: mc.Adam(10**400),
        "^Adam: learning_rate is 10*, expected a finite number above 0$",
    ),
    "a rate as a text": (lambda: mc.Adam("0.1"), "^Adam: learning_rate is '0.1', expected a number or a schedule$"),
    "a class of schedules": (
        lambda: mc.SGD(mc.StepDecay),
        "^SGD: learning_rate is <class .*StepDecay'>, expected a number or",
    ),
    "several rates": (
        lambda: mc.SGD(np.array([0.1, 0.2])),
        r"^SGD: learning_rate is array\(\[0.1, 0.2\]\), expected a number",
    ),
    "negative decay": (
        lambda: mc.AdamW(weight_decay=-1.0),
        "^AdamW: weight_decay is -1.0, expected a finite number of at",
    ),
    "a word": (lambda: mc.Adam(eps_on="both"), "^Adam: eps_on is 'both', expected one of 'corrected', 'uncorrected'$"),
    "an array for a word": (lambda: mc.Adam(eps_on=np.array(["a", "b"])), "^Adam: eps_on is array"),
    "one for yes": (lambda: mc.SGD(0.1, momentum=0.5, nesterov=1), "^SGD: nesterov is 1, expected one of False, True$"),
}


@pytest.mark.parametrize("case", NETS)
def test_parts_that_cannot_be_made(case: str) -> None:
    build, said = NETS[case]
    with pytest.raises(mc.ConfigurationError, match=said):
        build()


def test_numbers_of_numpy_become_pythons_own_in_every_configuration() -> None:
    """So that they print, compare and are saved like any other."""
    pairs = [
        (mc.Linear(np.int64(2), np.int32(3), bias=np.False_), mc.Linear(2, 3, bias=False)),
        (mc.Adam(np.float64(0.25), beta1=np.float32(0.5)), mc.Adam(0.25, beta1=0.5)),
        (mc.Dropout(np.float64(0.5)), mc.Dropout(0.5)),
        (mc.StepDecay(np.float32(0.5), np.int8(4), np.float64(0.5)), mc.StepDecay(0.5, 4, 0.5)),
        (mc.Quantile((np.float64(0.25), np.float32(0.5))), mc.Quantile((0.25, 0.5))),
        (mc.Huber(np.float64(2.0)), mc.Huber(2.0)),
        (mc.Adam(np.array(0.25)), mc.Adam(0.25)),
    ]
    for got, expected in pairs:
        assert got == expected and hash(got) == hash(expected) and repr(got) == repr(expected)
        for name, value in vars(expected).items():
            assert type(getattr(got, name)) is type(value), name


# --- parameters


def replaced(tree: Any, name: str, change: Callable[[np.ndarray], Any]) -> Any:
    names = iter([leaf for leaf, _ in named_leaves(tree)])
    return tree_map(lambda leaf: change(leaf) if next(names) == name else leaf, tree)


BN = mc.Sequential(mc.Linear(3, 4), mc.BatchNorm(4), mc.Linear(4, 2))
TREES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "another shape": (
        lambda tree: replaced(tree, "0.weight", np.transpose),
        r"^params: 0.weight has shape \(4, 3\), expected \(3, 4\)$",
    ),
    "NaN": (
        lambda tree: replaced(tree, "2.bias", lambda leaf: leaf * NAN),
        "^params: 2.bias has NaN or infinity as float32, expected finite numbers$",
    ),
    "infinity in the statistics": (
        lambda tree: replaced(tree, "1.running_var", lambda leaf: leaf / 0),
        "^params: 1.running_var has NaN or infinity",
    ),
    "too large": (
        lambda tree: replaced(tree, "2.weight", lambda leaf: np.full(leaf.shape, 1e300)),
        "^params: 2.weight has NaN or infinity as float32",
    ),
    "complex": (
        lambda tree: replaced(tree, "2.bias", lambda leaf: leaf + 1j),
        f"^params: 2.bias has dtype complex64, {KINDS}",
    ),
    "texts": (
        lambda tree: replaced(tree, "2.bias", lambda leaf: ["a", "b"]),
        f"^params: 2.bias has dtype <U1, {KINDS}",
    ),
    "ragged": (
        lambda tree: replaced(tree, "2.weight", lambda leaf: [[1.0], [1.0, 2.0]]),
        "^params: 2.weight is no rectangular array",
    ),
    "masked": (lambda tree: replaced(tree, "2.bias", np.ma.MaskedArray), "^params: 2.bias is a masked array"),
    "a leaf too few": (
        lambda tree: (*tree[:2], {"weight": tree[2]["weight"]}),
        r"^params: 2.bias is missing, expected shape \(2,\); a layer's parameters are a dict, a container's a tuple",
    ),
    "no statistics": (
        lambda tree: (tree[0], {name: tree[1][name] for name in ("gain", "bias")}, tree[2]),
        r"^params: 1.running_mean is missing, expected shape \(4,\)",
    ),
    "a leaf too many": (
        lambda tree: (*tree, {"bias": np.ones(2)}),
        "^params: 3.bias is not in the network, expected 0.weight, ",
    ),
    "a list for a tuple": (list, "^params: 0.bias is missing"),
    "a vector": (lambda tree: np.ones(100), "^params: 0.bias is missing"),
}


@pytest.mark.parametrize("case", TREES)
def test_parameters_that_do_not_fit(case: str) -> None:
    """Given to the constructor, and to a model that then stays as it is."""
    change, said = TREES[case]
    model = make(BN, dtype="float32", ema=0.5)
    model.fit(X, Y, epochs=1)
    with np.errstate(all="ignore"):
        tree = change(model.params)
    refused(model, lambda: setattr(model, "params", tree), mc.DataError, said)
    with pytest.raises(mc.DataError, match=said):
        make(BN, dtype="float32", params=tree)


@pytest.mark.parametrize("scale", [0.0, -1.0, NAN, INF, True, "1", None])
def test_scales_of_the_rate_that_cannot_work(scale: Any) -> None:
    model = make(PLAIN)
    said = "^Model: rate_scale is .*, expected a finite number above 0$"
    refused(model, lambda: setattr(model, "rate_scale", scale), mc.ConfigurationError, said)
