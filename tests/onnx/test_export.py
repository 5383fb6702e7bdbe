"""ONNX models: onnxruntime gives what the library gives, for every layer, every loss and every class of label."""

import sys

import numpy as np
import pytest
from devices import gpu, open_place
from members import LAYERS, LOSSES, TRAINED, layer_arrays
from optional import optional

import mlpcore as mc
from mlpcore import numerics
from mlpcore.errors import ConfigurationError, MissingDependency
from mlpcore.layers.activation import Activation
from mlpcore.namespace import namespace
from mlpcore.onnx import network_to_onnx, nodes, to_onnx
from mlpcore.random import Stream

onnx = optional("onnx")
ort = optional("onnxruntime")

# Both sides round each of a few dozen operations; sums of a few products go in another order.
NEAR = {"float32": 1e-5, "float64": 1e-12}


def answers(made, x):
    """What onnxruntime makes of x, by the name of the output; the checker has looked at shapes and dtypes too."""
    onnx.checker.check_model(made, full_check=True)
    assert made.ir_version == 8
    assert {(one.domain, one.version) for one in made.opset_import} == {("", 17)}
    options = ort.SessionOptions()
    options.log_severity_level = 3  # it warns of constants that nothing uses when it removes some
    session = ort.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    assert [one.name for one in session.get_inputs()] == ["X"]
    assert session.get_inputs()[0].shape == ["n", x.shape[1]]
    return dict(zip([one.name for one in session.get_outputs()], session.run(None, {"X": x}), strict=True))


def assert_near(got, expected):
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    near = NEAR[str(expected.dtype)]
    np.testing.assert_allclose(got, expected, rtol=near, atol=near)


def net_for(loss, columns=2):
    """A network on 4 columns with the number of scores that the loss takes for so many columns of its target."""
    return mc.Sequential(mc.Linear(4, 5), mc.Tanh(), mc.Linear(5, loss.outputs(columns)))


def model_for(loss, columns=2, **words):
    net = net_for(loss, columns)
    return mc.Model(net, loss, params=layer_arrays(net, 4, 1, words.get("dtype", "float32"))[0], **words)


def rows(n, dtype="float32", scale=1.0):
    return (scale * Stream(5, "x").normal((n, 4))).astype(dtype)


@pytest.mark.parametrize("dtype", NEAR)
@pytest.mark.parametrize("case", LAYERS)
def test_every_layer(case, dtype):
    layer = LAYERS[case](4)
    params, _, _, _ = layer_arrays(layer, 4, 1, dtype)
    made = network_to_onnx(layer, params, mc.SquaredError(), columns=4, dtype=dtype)
    for n, scale in ((1, 1.0), (7, 1.0), (3, 30.0), (0, 1.0)):
        x = rows(n, dtype, scale)
        assert_near(answers(made, x)["prediction"], layer.forward(params, x)[0])


EXTREME = [[1, 2, 3, np.nan], [np.inf, 1, 2, 3], [-np.inf, 1, 2, 3], [np.inf, -np.inf, 0, 1], [0, -0.0, 1e30, -1e30]]


@pytest.mark.parametrize("dtype", NEAR)
@pytest.mark.parametrize("case", LAYERS)
def test_no_numbers_and_infinities_in_every_layer(case, dtype):
    layer = LAYERS[case](4)
    params, _, _, _ = layer_arrays(layer, 4, 1, dtype)
    made = network_to_onnx(layer, params, mc.SquaredError(), columns=4, dtype=dtype)
    x = np.asarray(EXTREME, dtype)
    with np.errstate(all="ignore"):
        assert_near(answers(made, x)["prediction"], layer.forward(params, x)[0])


@pytest.mark.parametrize("dtype", NEAR)
@pytest.mark.parametrize("case", LOSSES)
def test_no_numbers_and_infinities_in_every_link(case, dtype):
    loss = LOSSES[case][0]
    z = Stream(3, "z").child("places").uniform((60, loss.outputs(2)))
    z = np.asarray([np.nan, np.inf, -np.inf, 1.0, -3.0, 0.5], dtype)[(6 * z).astype(int)]
    made = network_to_onnx(mc.Identity(), {}, loss, columns=z.shape[1], dtype=dtype)
    with np.errstate(all="ignore"):
        expected = loss.predict(z)
    found = list(answers(made, z).values())
    for got, right in zip(found, expected if isinstance(expected, tuple) else [expected], strict=True):
        assert_near(got, right)


@pytest.mark.parametrize("dtype", NEAR)
@pytest.mark.parametrize("case", TRAINED)
def test_a_stack_of_networks_is_one_model(case, dtype):
    """Of parameters (3, ...): the members' outputs (3, n, columns) for the same rows."""
    layer = LAYERS[case](4)
    params, _, _, _ = layer_arrays(layer, 4, 1, dtype, members=3)
    made = network_to_onnx(layer, params, mc.SquaredError(), columns=4, dtype=dtype)
    (output,) = made.graph.output
    dims = [dim.dim_param or dim.dim_value for dim in output.type.tensor_type.shape.dim]
    assert dims == [3, "n", layer.output_width(4)]
    for n in (1, 7):
        x = rows(n, dtype)
        assert_near(answers(made, x)["prediction"], layer.forward(params, x)[0])


@pytest.mark.parametrize("dtype", NEAR)
@pytest.mark.parametrize("columns", [1, 3])
@pytest.mark.parametrize("case", LOSSES)
def test_every_loss(case, columns, dtype):
    model = model_for(LOSSES[case][0], columns, dtype=dtype)
    made = to_onnx(model)
    for n in (1, 7, 9):
        x = rows(n, dtype, 3.0)
        got, expected = answers(made, x), model.predict(x)
        if isinstance(expected, tuple):
            assert list(got) == ["mean", "variance"]
            for name, part in zip(got, expected, strict=True):
                assert_near(got[name], part)
        else:
            assert list(got) == ["prediction"]
            assert_near(got["prediction"], expected)


def test_scores_far_out_stay_finite():
    """The link does not overflow where the library's own does not."""
    for loss in (mc.SoftmaxCrossEntropy(), mc.SigmoidCrossEntropy()):
        params = ({"weight": np.eye(4, dtype="float32"), "bias": np.zeros(4, "float32")},)
        model = mc.Model(mc.Sequential(mc.Linear(4, 4)), loss, params=params)
        x = rows(5, scale=1e4)
        assert_near(answers(to_onnx(model), x)["prediction"], model.predict(x))


CLASSES = [[3, 1, 2], ["b", "a", "ü and more"], [False, True, True], [0.5, 1.5, -1.0], np.asarray([7, 8, 9], "int32")]


@pytest.mark.parametrize("members", [1, 4])
@pytest.mark.parametrize("classes", CLASSES, ids=str)
def test_labels_of_a_softmax(classes, members):
    """Of several members, those of their mean probabilities."""
    loss = mc.SoftmaxCrossEntropy()
    model = model_for(mc.MembersLoss(loss, members) if members > 1 else loss, 3)
    x = rows(20, scale=3.0)
    got, shares = answers(to_onnx(model, classes=classes), x), model.predict(x)
    assert list(got) == ["label", "probabilities"]
    assert_near(got["probabilities"], shares)
    expected = np.asarray(classes)[np.argmax(shares, axis=-1)]
    assert len(set(expected.tolist())) > 1
    assert got["label"].tolist() == expected.tolist()
    assert got["label"].dtype == (object if expected.dtype.kind == "U" else expected.dtype)


def with_scores(loss, scores):
    """A model that gives its input as scores, so many of them."""
    params = ({"weight": np.eye(4, dtype="float32")[:, :scores]},)
    return mc.Model(mc.Sequential(mc.Linear(4, scores, bias=False)), loss, params=params)


@pytest.mark.parametrize("classes", [[0, 1], ["no", "yes"]], ids=str)
def test_labels_of_one_sigmoid(classes):
    """Of the two probabilities the second is that of the model; at exactly 1/2 the label is the first."""
    model = with_scores(mc.SigmoidCrossEntropy(), 1)
    x = np.stack([np.asarray([-2.0, -1e-3, 0.0, 1e-3, 2.0], "float32")] * 4, axis=-1)
    got, yes = answers(to_onnx(model, classes=classes), x), model.predict(x)
    assert_near(got["probabilities"], np.concatenate([1 - yes, yes], axis=-1))
    assert got["label"].tolist() == [classes[i] for i in (0, 0, 0, 1, 1)]


@pytest.mark.parametrize("scores", [1, 3])
def test_labels_of_several_sigmoids(scores):
    model = with_scores(mc.SigmoidCrossEntropy(), scores)
    x = rows(8)
    x[0] = 0
    got = answers(to_onnx(model, classes=range(scores)), x)
    assert_near(got["probabilities"], model.predict(x))
    assert got["label"].dtype == np.int64
    np.testing.assert_array_equal(got["label"], x[:, :scores] > 0)


@pytest.mark.parametrize(
    ("loss", "scores", "classes", "said"),
    [
        (mc.SquaredError(), 2, [0, 1], "predicts no classes; leave it out"),
        (mc.SoftmaxCrossEntropy(), 3, [0, 1], r"classes is \[0, 1\], expected 3 of them for 3 scores"),
        (mc.SoftmaxCrossEntropy(), 1, [0, 1], "expected 1 of them for 1 scores"),
        (mc.SigmoidCrossEntropy(), 1, [0, 1, 2], "expected 1 of them or 2 for 1 scores"),
        (mc.SigmoidCrossEntropy(), 3, [[0, 1, 2]], "expected 3 of them for 3 scores"),
    ],
)
def test_classes_that_do_not_fit(loss, scores, classes, said):
    with pytest.raises(ConfigurationError, match=said):
        to_onnx(with_scores(loss, scores), classes=classes)


def test_parameters_keep_their_names_and_are_stored_once():
    model = model_for(mc.SquaredError())
    made = to_onnx(model)
    held = {one.name: onnx.numpy_helper.to_array(one) for one in made.graph.initializer}
    assert set(held) == {"0.weight", "0.bias", "2.weight", "2.bias"}
    np.testing.assert_array_equal(held["0.weight"], model.params[0]["weight"])
    np.testing.assert_array_equal(held["0.bias"], model.params[0]["bias"][None, :])
    assert [node.op_type for node in made.graph.node] == ["MatMul", "Add", "Tanh", "MatMul", "Add", "Identity"]
    assert made.producer_name == "mlpcore"
    model = mc.Model(mc.Sequential(mc.LayerNorm(4), mc.Linear(4, 2)), mc.SquaredError())
    held = {one.name for one in to_onnx(model).graph.initializer}
    assert {"0.gain", "0.bias", "1.weight", "1.bias"} < held


def test_nothing_is_stored_that_nothing_reads():
    net = mc.Sequential(mc.Linear(4, 4), mc.ReLU(), mc.LayerNorm(4), mc.ELU(), mc.GELU())
    made = to_onnx(mc.Model(net, mc.SoftmaxCrossEntropy()))
    read = {name for node in made.graph.node for name in node.input}
    written = [name for node in made.graph.node for name in node.output]
    assert {one.name for one in made.graph.initializer} <= read
    assert {*written} - read == {"prediction"} and len(set(written)) == len(written)


def test_equal_parameters_keep_their_own_names():
    net = mc.Sequential(mc.Linear(4, 4), mc.Linear(4, 4))
    half = {"weight": np.eye(4, dtype="float32"), "bias": np.zeros(4, "float32")}
    made = to_onnx(mc.Model(net, mc.SquaredError(), params=(half, half)))
    assert {one.name for one in made.graph.initializer} == {"0.weight", "0.bias", "1.weight", "1.bias"}


def test_a_layer_used_twice_is_stored_once():
    layer = mc.Sequential(mc.RMSNorm(4), mc.GELU(), mc.GELU())
    params, _, _, _ = layer_arrays(layer, 4, 1, "float32")
    made = network_to_onnx(layer, params, mc.SquaredError(), columns=4, dtype="float32")
    numbers = [onnx.numpy_helper.to_array(one) for one in made.graph.initializer]
    scalars = [number.item() for number in numbers if number.ndim == 0]
    assert len(scalars) == len(set(scalars))


def test_the_average_is_what_is_exported():
    model = mc.Model(mc.Sequential(mc.Linear(4, 2)), mc.SquaredError(), ema=0.9)
    model.fit(rows(30), rows(30)[:, :2], epochs=3, batch_size=10)
    x = rows(5)
    assert_near(answers(to_onnx(model), x)["prediction"], model.predict(x))


def test_running_statistics_are_those_after_training():
    model = mc.Model(mc.Sequential(mc.Linear(4, 3), mc.BatchNorm(3), mc.Dropout(), mc.Linear(3, 2)), mc.SquaredError())
    model.fit(rows(30), rows(30)[:, :2], epochs=3, batch_size=10)
    x = rows(5)
    assert_near(answers(to_onnx(model), x)["prediction"], model.predict(x))


@pytest.mark.parametrize("backend", ["array_api_strict", "torch", "jax", gpu("cupy")])
def test_from_every_backend(backend):
    open_place(backend)
    model = model_for(mc.SoftmaxCrossEntropy(), dtype="float64", backend=backend)
    x = rows(5, "float64")
    assert_near(answers(to_onnx(model), x)["prediction"], model.predict(x))


def test_a_file(tmp_path):
    model, x = model_for(mc.PoissonNLL()), rows(5)
    path = tmp_path / "model.onnx"
    path.write_text("older")
    made = to_onnx(model, path)
    assert path.read_bytes() == made.SerializeToString()
    assert list(tmp_path.iterdir()) == [path]
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert_near(session.run(["prediction"], {"X": x})[0], model.predict(x))
    with pytest.raises(mc.ModelFileError, match="is a directory"):
        to_onnx(model, tmp_path)


class Own(Activation):
    """A layer of one's own, written with the functions of the standard."""

    def __init__(self, function):
        self.activate = lambda x: (function(namespace(x), x), ())


def _quotient(xp, x, axis):
    powers = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
    return powers / xp.sum(powers, axis=axis, keepdims=True)


LINEAR = {"weight": np.arange(8.0).reshape(4, 2), "bias": np.asarray([1.0, 2.0])}
INDEX = {
    "columns": lambda x: x[:, 1:3],
    "from the end": lambda x: x[..., -2:],
    "up to": lambda x: x[:, :-1],
    "every other": lambda x: x[..., ::2],
    "backwards": lambda x: x[..., ::-1],
    "backwards from the third to the second": lambda x: x[..., 2:0:-1],
    "one": lambda x: x[:, 1][:, None],
    "the last": lambda x: x[..., -1:] + x[..., -1, None],
    "an axis in between": lambda x: x[:, None, :][:, 0, :],
    "all": lambda x: x[...],
}
FUNCTIONS = {
    **{
        name: lambda xp, x, name=name: getattr(xp, name)(x)
        for name in ("abs", "floor", "ceil", "exp", "sin", "cos", "sign", "tanh")
    },
    **{
        name: lambda xp, x, name=name: getattr(xp, name)(x * x + 1)
        for name in ("log", "sqrt", "log1p", "square", "expm1")
    },
    **{name: lambda xp, x, name=name: getattr(xp, name)(x, x[:, :1]) for name in ("maximum", "minimum", "copysign")},
    **{
        f"{name}, all columns": lambda xp, x, name=name: getattr(xp, name)(x, axis=(-1,), keepdims=True) + 0 * x
        for name in ("sum", "mean", "max", "min")
    },
    "pow": lambda xp, x: xp.abs(x) ** 1.5 + 2**x,
    "reversed": lambda xp, x: (1 - x) / (2 + x * x) + 3 * x - (-x) @ np.eye(4, dtype=x.dtype) + 1 / (3 + x),
    "a floor of its own": lambda xp, x: xp.maximum(x, 0.5) + xp.maximum(x, 0) + xp.maximum(0.0, x),
    "choice": lambda xp, x: xp.where((x > 0) & (x < 1) | (x <= -1) & ~(x >= -2), x, 0.5 * x),
    "equal": lambda xp, x: xp.where((x == x[:, :1]) | (x != x), 1.0, x),
    "not a number": lambda xp, x: xp.where(xp.isnan(0 * (x / (0 * x))), -1.0, x),
    "transposed": lambda xp, x: xp.matrix_transpose(xp.reshape(x, (-1, 2, 2)))[..., 0] + x[..., None].mT[:, 0, :2],
    "affine on stacks": lambda xp, x: mc.Linear(4, 2).forward(
        {k: v.astype(x.dtype) for k, v in LINEAR.items()}, x[:, None, :]
    )[0][:, 0, :],
    "joined": lambda xp, x: xp.concat([x, xp.zeros((1, 4), dtype=x.dtype) + x], axis=1),
    "stacked": lambda xp, x: xp.sum(xp.stack([x, 2 * x, x * x], axis=1), axis=1),
    "stacked at the end": lambda xp, x: xp.stack([x, 2 * x], axis=-1)[..., 1],
    "squeezed": lambda xp, x: xp.squeeze(xp.expand_dims(x, axis=1), axis=1),
    "reshaped": lambda xp, x: xp.reshape(xp.sort(xp.reshape(x, (x.shape[0], 2, 2)), axis=-1), (x.shape[0], 4)),
    "sorted down": lambda xp, x: xp.sort(x, axis=-1, descending=True),
    "taken": lambda xp, x: xp.take(x, np.asarray([2, 0]), axis=1),
    "cast": lambda xp, x: xp.astype(xp.astype(x > 0, "int64") + 1, x.dtype),
    "filled": lambda xp, x: xp.where(x > 0, x, xp.full_like(x, 0.5)),
    "largest": lambda xp, x: xp.astype(xp.argmax(x, axis=-1, keepdims=True), x.dtype) + x,
    "no softmax": lambda xp, x: _quotient(xp, xp.reshape(x, (-1, 2, 2)), -2)[:, 0, :],
    "a softmax over the other axis": lambda xp, x: _quotient(xp, xp.reshape(x, (-1, 2, 2)), -1)[:, 0, :],
    "no mean": lambda xp, x: xp.sum(x, axis=-1, keepdims=True) / 3 + x,
    "a mean of two axes": lambda xp, x: xp.mean(xp.reshape(x, (-1, 2, 2)), axis=(1, 2)) + x[:, 0],
    "repeated": lambda xp, x: (
        xp.broadcast_to(x[:, None, :], (x.shape[0], 3, 4)) + xp.broadcast_to(x[:, :1], x.shape)[:, None]
    ),
    "repeated alone": lambda xp, x: abs(xp.broadcast_to(x[:, :1], x.shape)),
    "softmax of the library": lambda xp, x: numerics.softmax(x),
    **{f"index: {name}": lambda xp, x, cut=cut: cut(x) for name, cut in INDEX.items()},
}


@pytest.mark.parametrize("dtype", NEAR)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_that_is_exported(name, dtype):
    layer, x = Own(FUNCTIONS[name]), rows(6, dtype)
    made = network_to_onnx(layer, {}, mc.SquaredError(), columns=4, dtype=dtype)
    with np.errstate(all="ignore"):
        expected = layer.forward({}, x)[0]
    assert_near(answers(made, x)["prediction"], expected)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (
            lambda xp, x: xp.cumulative_sum(x, axis=-1),
            "uses the function cumulative_sum, which an ONNX graph cannot",
        ),
        (lambda xp, x: x if float(x[:, 0]) > 0 else -x, "uses the values of an array"),
        (lambda xp, x: x if xp.sum(x) > 0 else -x, "uses the values of an array"),
        (lambda xp, x: x[:, np.asarray([0, 1])], "uses an index that is neither a number nor a slice"),
        (lambda xp, x: x - x[0, :], "uses the number of rows"),
        (lambda xp, x: x / x.shape[0], "uses the number of rows"),
        (lambda xp, x: x @ np.ones((3, 2)), r"does not work on x of shape \(n, 4\): a product of the shapes"),
        (lambda xp, x: x[x > 0], "uses an index that is neither a number nor a slice"),
        (lambda xp, x: xp.nextafter(x, -x), r"<lambda> uses nextafter of float32, for which ONNX has no operator"),
        (lambda xp, x: xp.astype(xp.astype(x, "int64") ** 2, x.dtype), "uses pow of int64, for which ONNX has no"),
        (lambda xp, x: xp.astype(abs(xp.astype(x, "uint64")), x.dtype), "uses abs of uint64, for which ONNX has no"),
        (lambda xp, x: xp.astype(xp.astype(x, "int64") & 1, x.dtype), "uses bitwise_and of int64, for which ONNX"),
    ],
)
def test_what_cannot_be_exported(function, said):
    with pytest.raises(ConfigurationError, match=said):
        network_to_onnx(Own(function), {}, mc.SquaredError(), columns=4, dtype="float32")


def test_columns_are_found_behind_layers_that_take_any_number():
    net = mc.Sequential(mc.ReLU(), mc.Residual(mc.Tanh()), mc.Linear(4, 3), mc.Linear(3, 2))
    model, x = mc.Model(net, mc.SquaredError()), rows(3)
    assert_near(answers(to_onnx(model), x)["prediction"], model.predict(x))


class Anything(Activation):
    """It has a parameter, and takes any number of columns but those of its shape."""

    def init(self, rng, dtype):
        return {"gain": np.ones(1, dtype)}

    def output_width(self, n_in):
        if n_in == 1:
            raise ConfigurationError("not one")
        return n_in


def test_columns_that_nothing_tells():
    with pytest.raises(ConfigurationError, match=r"the number of input columns of .* is not known"):
        to_onnx(mc.Model(Anything(), mc.SquaredError()))


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingDependency, match=r"cannot be imported .*pip install 'mlpcore\[onnx\]'"):
        to_onnx(model_for(mc.SquaredError()))


def test_a_model_too_large_for_the_format(monkeypatch):
    monkeypatch.setattr(nodes, "LARGEST", 100)
    with pytest.raises(ConfigurationError, match="hold 148 bytes, expected less than 2 GiB"):
        to_onnx(model_for(mc.SquaredError()))
