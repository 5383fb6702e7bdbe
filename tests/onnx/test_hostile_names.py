"""ONNX models of tables whose names and labels are hostile: valid, with the right answers, or one clear error."""

import numpy as np
import pytest
from optional import optional

onnx, ort = optional("onnx"), optional("onnxruntime")
optional("sklearn")

import mlpcore as mc  # noqa: E402
from mlpcore.onnx import to_onnx  # noqa: E402
from mlpcore.random import Stream  # noqa: E402
from mlpcore.tabular import TabularClassifier  # noqa: E402
from mlpcore.tabular.recipes import PlainMLP  # noqa: E402

ROWS = 30
# Those that a column has in spite of what the exporter itself calls its values and nodes are the second line.
NAMES = ["a\nb", "'\"`;--", "*/ #include <a.h>", "../../x", "\u202e\N{SNOWMAN}\U0001f600", " ", "n" * 5000, "$(reboot)"]
NAMES += ["LabelEncoder", "LabelEncoder_2", "constant", "Concat", "0.weight", "1.bias", "Cast", "X", "to label", "n"]
NAMES += ["Identity", "Gather", "ArgMax", "classes", "prediction", "a\tb", "a\x1b[31m", "%s%n", "{0}", "\\", "label "]
LABELS = ["", " ", "a\nb", "*/", "\U0001f600", "x" * 3000, "'\""]
RECIPE = PlainMLP(hidden=(4,), epochs=1, batch_size=16)
pytestmark = pytest.mark.filterwarnings("ignore::mlpcore.errors.MlpcoreWarning")


def objects(entries: list) -> np.ndarray:
    column = np.empty(len(entries), dtype=object)
    column[:] = entries
    return column


def table(names: list[str]) -> dict[str, np.ndarray]:
    """Every other column has levels, with these names too."""
    levels = [*LABELS[1:], "plain"]
    return {
        name: Stream(i, "x").normal((ROWS,))
        if i % 2
        else objects([levels[(i + row) % len(levels)] for row in range(ROWS)])
        for i, name in enumerate(names)
    }


def run(model: object, frame: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The outputs of onnxruntime."""
    onnx.checker.check_model(model, full_check=True)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    given = {one.name: frame[one.name].reshape(-1, one.shape[1]) for one in session.get_inputs()}
    return dict(zip([one.name for one in session.get_outputs()], session.run(None, given), strict=True))


@pytest.mark.parametrize("order", [1, -1])
def test_columns_and_labels_of_any_name(order: int) -> None:
    frame = table(NAMES[::order])
    y = objects([LABELS[row % len(LABELS)] for row in range(ROWS)])
    fitted = TabularClassifier(RECIPE, random_state=0).fit(frame, y)
    made = fitted.to_onnx()
    assert [one.name for one in made.graph.input] == list(frame)
    outputs = run(made, frame)
    np.testing.assert_allclose(outputs["probabilities"], fitted.predict_proba(frame), rtol=1e-5, atol=1e-6)
    assert outputs["label"].tolist() == fitted.predict(frame).tolist()


@pytest.mark.parametrize("name", ["", "label", "probabilities", "\ud800", "a\0", "\0"])
def test_columns_that_no_input_can_be_called(name: str) -> None:
    """Runtimes in C take a name up to its first NUL."""
    frame = table([name, "b"])
    fitted = TabularClassifier(RECIPE, random_state=0).fit(frame, objects(["a", "b"] * (ROWS // 2)))
    with pytest.raises(mc.ConfigurationError, match="cannot have an input of its name"):
        fitted.to_onnx()


@pytest.mark.parametrize("label", ["a\0", "\0", "\0a", "\ud800"])
def test_labels_that_no_file_can_hold(label: str) -> None:
    frame = table(["a", "b"])
    fitted = TabularClassifier(RECIPE, random_state=0).fit(frame, objects([label, "b"] * (ROWS // 2)))
    if (
        label in fitted.classes_.tolist()
    ):  # scikit-learn's classes are an array of texts, which have lost NULs at the end
        with pytest.raises(mc.ConfigurationError, match=r"label .* cannot be in an ONNX file"):
            fitted.to_onnx()
    model = mc.Model(mc.Linear(2, 2), mc.SoftmaxCrossEntropy())
    with pytest.raises(mc.ConfigurationError, match=r"label .* cannot be in an ONNX file"):
        to_onnx(model, classes=[label, "b"])


@pytest.mark.parametrize("level", ["a\0", "\0", "\ud800"])
def test_levels_that_no_runtime_can_be_given(level: str) -> None:
    """The others have their numbers still."""
    frame = table(["a", "b"]) | {"a": objects([level, "plain"] * (ROWS // 2))}
    fitted = TabularClassifier(RECIPE, random_state=0).fit(frame, objects(["a", "b"] * (ROWS // 2)))
    seen, unseen = (frame | {"a": objects([entry] * ROWS)} for entry in ("plain", "never"))
    for given in (seen, unseen):
        outputs = run(fitted.to_onnx(), given)
        np.testing.assert_allclose(outputs["probabilities"], fitted.predict_proba(given), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["", "a\0", "\ud800", "X"])
def test_outputs_that_cannot_be_called_so(name: str) -> None:
    model = mc.Model(mc.Linear(2, 1), mc.HalfSquaredError())
    with pytest.raises(mc.ConfigurationError, match="name"):
        to_onnx(model, outputs=lambda prediction: {name: prediction})


@pytest.mark.parametrize("name", ["*/", "a\nb", "\U0001f600", "Gemm", "MatMul", "constant", "weight", "n" * 5000])
def test_outputs_of_any_other_name(name: str) -> None:
    model = mc.Model(mc.Linear(2, 1), mc.HalfSquaredError())
    x = Stream(1, "x").normal((3, 2)).astype("float32")
    made = to_onnx(model, outputs=lambda prediction: {name: prediction})
    np.testing.assert_allclose(run(made, {"X": x})[name], model.predict(x), rtol=1e-5)
