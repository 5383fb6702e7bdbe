"""Training on NumPy, as compiled C and as NumPy calls: what the eager step computes, to rounding, and the same bits
however a fit is cut into calls."""

import sys
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import members
import numpy as np
import pytest
from compiled import needs_compiler
from fitting import EAGER, assert_same, state_of

import mlpcore as mc
from mlpcore.backends import get_backend
from mlpcore.backends.calls import alone
from mlpcore.backends.compiled import chunk_calls, steps
from mlpcore.gradient_check import draw_targets
from mlpcore.namespace import namespace
from mlpcore.random import Stream
from mlpcore.trees import named_leaves
from mlpcore.typing import Dataset

ROWS, WIDTH = 29, 4
KINDS = [pytest.param(True, marks=needs_compiler, id="C"), pytest.param(False, id="NumPy calls")]
WAYS = pytest.mark.parametrize("way", KINDS)
NET = mc.Sequential(mc.Linear(WIDTH, 6), mc.Tanh(), mc.Linear(6, 2))
TARGET = Stream(4).normal((ROWS, 2))


def fit(net: Any, loss: Any, optimizer: Any, target: np.ndarray, epochs: int = 2, **words: Any) -> Any:
    """A model after some epochs of ragged batches with row weights, one of them zero, and its losses."""
    x = Stream(1, "x").normal((len(target), WIDTH))
    weights = 0.5 + Stream(1, "weights").uniform((len(target),))
    weights[3] = 0
    model = mc.Model(net, loss, optimizer, **{"dtype": "float64", **words})
    history = model.fit(x, target, epochs=epochs, batch_size=8, sample_weight=weights)
    return model, history.loss


def assert_like_eager(way: bool, *given: Any, bound: float = 1e-10, **words: Any) -> mc.Model:
    """Losses and the whole state are those of eager steps."""
    (model, losses), (other, expected) = fit(*given, compile=way, **words), fit(*given, backend=EAGER, **words)
    assert model.compiled.kind == ("C" if way else "NumPy calls"), model.compiled
    np.testing.assert_allclose(losses, expected, rtol=bound)
    for (name, got), (_, right) in zip(
        named_leaves(model.trainer.state), named_leaves(other.trainer.state), strict=True
    ):
        size = max(1.0, float(np.max(np.abs(right), initial=0)))
        np.testing.assert_allclose(got, right, rtol=0, atol=bound * size, err_msg=name)
        assert got.dtype == right.dtype and got.shape == right.shape
    return model


@pytest.mark.long  # each step is in tests/compiler/test_steps.py
@WAYS
@pytest.mark.parametrize("case", members.LAYERS)
def test_every_layer(case: str, way: bool) -> None:
    net = mc.Sequential(mc.Linear(WIDTH, WIDTH), members.LAYERS[case](WIDTH))
    assert_like_eager(way, net, mc.SquaredError(), mc.SGD(0.01), Stream(2).normal((ROWS, net.output_width(WIDTH))))


@pytest.mark.long  # each step is in tests/compiler/test_steps.py
@WAYS
@pytest.mark.parametrize("case", members.LOSSES)
def test_every_loss(case: str, way: bool) -> None:
    loss, kind = members.LOSSES[case]
    net = mc.Sequential(mc.Linear(WIDTH, loss.outputs(3)))
    assert_like_eager(way, net, loss, mc.SGD(0.01), draw_targets(Stream(3), ROWS, 3)[kind])


@pytest.mark.long  # each step is in tests/compiler/test_steps.py
@WAYS
@pytest.mark.parametrize("case", members.OPTIMIZERS)
def test_every_optimizer_with_all_rules(case: str, way: bool) -> None:
    optimizer = replace(members.OPTIMIZERS[case], weight_decay=0.1)
    words = {"l2": 0.1, "clip_norm": 0.5, "clip_value": 0.2, "ema": 0.9}
    assert_like_eager(way, NET, mc.HalfSquaredError(), optimizer, TARGET, bound=1e-7, **words)


class OddState(NamedTuple):
    """What `Odd` keeps."""

    old: Any
    rate: Any
    mixed: Any


@dataclass(frozen=True)
class Odd:
    """Reads its old state after the new one is made, and its rate after the vectors; joins in a constant."""

    learning_rate: float = 0.01
    weight_decay: float = 0.0

    def init(self, params: Any) -> OddState:
        return OddState(params * 0 + 1, params[..., 0] * 0, params * 0)

    def update(self, grads: Any, state: OddState, params: Any, rate: Any) -> tuple[Any, OddState]:
        xp = namespace(grads)
        new = state.old + grads
        moved = params - rate * new * state.old
        joined = xp.concat([moved[1:], xp.ones_like(moved[:1])])
        return moved, OddState(new, rate * 2 + state.rate, state.mixed * 0.5 + joined)


@WAYS
def test_an_optimizer_unlike_ours(way: bool) -> None:
    assert_like_eager(way, NET, mc.SquaredError(), Odd(), TARGET, epochs=3)


class Users(type(mc.Tanh())):
    """A layer as a user may write it."""

    def gradient(self, cache: Any, dy: Any) -> Any:
        return dy


class Peeking(Users):
    def activate(self, x: Any) -> tuple[Any, Any]:
        return x * (1.0 if float(x[0, 0]) > 1e9 else 2.0), None


class ByMethod(Users):
    def activate(self, x: Any) -> tuple[Any, Any]:
        return x.copy(), None


class ByName(Users):
    def activate(self, x: Any) -> tuple[Any, Any]:
        return np.tanh(x), None


@WAYS
@pytest.mark.parametrize("layer", [Peeking(), ByMethod(), ByName()], ids=lambda one: type(one).__name__)
def test_what_cannot_be_traced_runs_eagerly_and_says_why(layer: Any, way: bool) -> None:
    given = (mc.Sequential(mc.Linear(WIDTH, 2), layer), mc.SquaredError(), mc.SGD(0.01), TARGET)
    (model, losses), (_, expected) = fit(*given, compile=way), fit(*given, backend=EAGER)
    assert losses == expected
    assert model.compiled.kind == "eager" and "cannot be traced" in str(model.compiled)


class Counting(Users):
    """Computes with the number of rows."""

    def activate(self, x: Any) -> tuple[Any, Any]:
        return x * (1.0 + x.shape[0]), x.shape[0]

    def gradient(self, cache: Any, dy: Any) -> Any:
        return dy * (1.0 + cache)


@WAYS
def test_a_layer_that_computes_with_the_number_of_rows_is_traced_for_every_number(way: bool) -> None:
    net = mc.Sequential(mc.Linear(WIDTH, 2), Counting())
    assert_like_eager(way, net, mc.SquaredError(), mc.SGD(1e-4), TARGET)


@WAYS
@pytest.mark.parametrize("rows", [1, 8, 17])
def test_last_batches_of_one_row_with_noise(rows: int, way: bool) -> None:
    net = mc.Sequential(mc.Linear(WIDTH, 3), mc.BatchNorm(3), mc.Dropout(0.3), mc.Linear(3, 2))
    assert_like_eager(way, net, mc.SquaredError(), mc.SGD(0.01), TARGET[:rows] if rows > 3 else TARGET[:9])


class Uniform(Users):
    """A layer whose noise is neither factors nor ones."""

    def noise(self, stream: Any, shape: Any, dtype: str) -> Any:
        return stream.child("uniform").uniform(shape).astype(dtype)

    def forward(self, params: Any, x: Any, training: Any = None) -> tuple[Any, Any]:
        return (x, None) if training is None else (x * training.noise, training.noise)

    def backward(self, params: Any, cache: Any, dy: Any, *, need_dx: bool = True) -> tuple[Any, Any]:
        return dy if cache is None else dy * cache, {}


@WAYS
def test_noise_of_another_kind_is_drawn_on_the_host(way: bool) -> None:
    net = mc.Sequential(mc.Linear(WIDTH, 3), Uniform(), mc.Dropout(0.3), mc.Linear(3, 2))
    assert_like_eager(way, net, mc.SquaredError(), mc.SGD(0.01), TARGET)


class OfItsOwn(Uniform):
    """Noise that is not made from the stream: another array in every step, of which no graph may keep the first."""

    def noise(self, stream: Any, shape: Any, dtype: str) -> Any:
        self.count.append(1)
        return np.full((int(shape[0]), int(shape[1])), 1.0 / len(self.count), dtype)


@WAYS
@pytest.mark.parametrize("rows", [29, 24])
def test_noise_that_is_no_operation_is_drawn_anew_for_every_step(rows: int, way: bool) -> None:
    layer = OfItsOwn()
    object.__setattr__(layer, "count", [])
    net = mc.Sequential(mc.Linear(WIDTH, 2), layer)
    # With such a rate the weights stay: two epochs are alike only if their noise is.
    model, losses = fit(net, mc.SquaredError(), mc.SGD(1e-300), TARGET[:rows], compile=way)
    assert model.compiled.kind == ("C" if way else "NumPy calls")
    assert abs(losses[0] - losses[1]) > 1e-6


@needs_compiler
def test_factors_are_drawn_by_the_compiled_step() -> None:
    net = mc.Sequential(mc.Linear(WIDTH, 3), mc.BatchNorm(3), mc.Dropout(0.3), mc.Linear(3, 2))
    model, _ = fit(net, mc.SquaredError(), mc.SGD(0.01), TARGET, compile=True)
    assert "factors_double(" in model.compiled.source.split("phase0(", 1)[1]


@WAYS
def test_what_is_put_into_the_state_between_fits_is_taken_over(way: bool) -> None:
    x, y = Stream(7).normal((ROWS, WIDTH)), Stream(8).normal((ROWS, 1))
    given = (mc.Sequential(mc.Linear(WIDTH, 1)), mc.SquaredError(), mc.SGD(0.01, momentum=0.9))
    models = [mc.Model(*given, compile=way), mc.Model(*given, backend=EAGER)]
    for model in models:
        model.fit(x, y, epochs=2, batch_size=8)
        before = model.snapshot()
        model.fit(x, y, epochs=1, batch_size=8)
        model.restore(before)
        model.rate_scale = 0.5
        model.fit(x, y, epochs=1, batch_size=8)
        model.params = tuple({name: leaf * 2 for name, leaf in part.items()} for part in model.params)
        model.fit(x, y, epochs=1, batch_size=5)
    np.testing.assert_allclose(models[0].predict(x), models[1].predict(x), rtol=1e-5, atol=1e-6)


@WAYS
@pytest.mark.parametrize("rate", [1e3, 1e30])
def test_a_failed_step_changes_nothing(rate: float, way: bool) -> None:
    net = mc.Sequential(mc.Linear(WIDTH, 6), mc.BatchNorm(6), mc.Linear(6, 2))
    found = []
    for words in ({"compile": way}, {"backend": EAGER}):
        model = mc.Model(net, mc.PoissonNLL(), mc.SGD(rate, momentum=0.5), dtype="float64", ema=0.5, **words)
        with pytest.raises(mc.NonFiniteError) as error:
            model.fit(Stream(1).normal((ROWS, WIDTH)), np.ones((ROWS, 2)), batch_size=8)
        found.append((str(error.value), model.trainer.progress, state_of(model)))
    assert found[0][:2] == found[1][:2]
    for name, right in found[1][2].items():
        assert np.isfinite(right).all()
        bound = 1e-6 * max(1.0, float(np.max(np.abs(right), initial=0)))
        np.testing.assert_allclose(found[0][2][name], right, rtol=0, atol=bound, err_msg=name)


@WAYS
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_four_and_six_epochs_are_ten(dtype: str, way: bool) -> None:
    net = mc.Sequential(mc.Linear(WIDTH, 6), mc.BatchNorm(6), mc.GELU(), mc.Dropout(0.2), mc.Linear(6, 2))
    words: dict[str, Any] = {"dtype": dtype, "compile": way, "ema": 0.9}
    x = Stream(5).normal((ROWS, WIDTH))
    one, other = mc.Model(net, mc.SquaredError(), **words), mc.Model(net, mc.SquaredError(), **words)
    one.fit(x, TARGET, epochs=10, batch_size=8)
    other.fit(x, TARGET, epochs=4, batch_size=8)
    other.fit(x, TARGET, epochs=6, batch_size=8)
    assert_same(state_of(one), state_of(other))


@WAYS
def test_steps_between_looks_at_the_clock_leave_no_trace(way: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = fit(NET, mc.SquaredError(), mc.Adam(), TARGET, compile=way)
    monkeypatch.setattr(chunk_calls, "SECONDS", 0.0)
    monkeypatch.setattr(steps, "NOISE_BYTES", 1)
    other, _ = fit(NET, mc.SquaredError(), mc.Adam(), TARGET, compile=way)
    assert_same(state_of(one), state_of(other))


class RaisedAt:
    """Raises an error at the n-th line that Python runs within the code of a chunk, and never again."""

    FILES = ("backends/run.py", "backends/compiled/steps.py", "compiler/program.py", "compiler/numpy_calls/calls.py")

    def __init__(self, line: int) -> None:
        self.left = line

    def __call__(self, frame: Any, event: str, argument: Any) -> Any:
        name = frame.f_code.co_filename
        if event == "call":
            # Not in `Program.source`: an error raised where its `with` ends would keep it from releasing the lock.
            ours = name.endswith(self.FILES) and frame.f_code.co_name != "source"
            return self if name == "<NumPy calls>" or ours else None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                raise MemoryError("no room for a number")
        return self


@WAYS
def test_an_error_at_any_line_of_a_chunk_leaves_a_whole_step(way: bool) -> None:
    """Within an update too, of which a part may be written by then."""
    order, target = np.arange(24).reshape(4, 6), np.arange(24) % 3
    data = Dataset(Stream(0, "x").normal((24, 5)).astype("float32"), target, np.ones(24, "float32"))

    def model() -> mc.Model:
        net = mc.Sequential(mc.Linear(5, 4), mc.ReLU(), mc.Dropout(0.2), mc.Linear(4, 3))
        return mc.Model(net, mc.SoftmaxCrossEntropy(), mc.Adam(0.1), ema=0.9, compile=way)

    def after(steps: int) -> dict[str, np.ndarray]:
        whole = model()
        for chunk in order[:steps]:
            alone(whole.trainer.advance(data, chunk[None]))
        return state_of(whole)

    expected = [after(steps) for steps in range(5)]
    seen = set()
    for line in range(1, 2000, 3 if way else 29):
        broken, raised = model(), RaisedAt(line)
        before = sys.gettrace()
        try:
            sys.settrace(raised)
            with np.errstate():  # an error raised where an inner `with` ends keeps it from putting its own back
                alone(broken.trainer.advance(data, order))
        except MemoryError:
            pass
        finally:
            sys.settrace(before)
        if raised.left > 0:
            break
        steps = broken.trainer.progress.step
        seen.add(steps)
        assert_same(state_of(broken), expected[steps])
    assert raised.left > 0 and seen >= {0, 4 if way else 2}


@WAYS
@pytest.mark.parametrize("form", ["columns first", "every second", "backwards", "read-only", "one row"])
def test_rows_that_lie_otherwise(form: str, way: bool) -> None:
    x = Stream(6).normal((ROWS, WIDTH))
    wide = np.zeros((2 * ROWS, WIDTH))
    wide[::2] = x
    readable = x.copy()
    readable.flags.writeable = False
    row = np.broadcast_to(x[:1], x.shape)
    same = {"columns first": np.asfortranarray(x), "every second": wide[::2], "read-only": readable, "one row": row}
    other = same.get(form, x[::-1].copy()[::-1])
    packed = np.ascontiguousarray(other)
    models = [mc.Model(NET, mc.SquaredError(), compile=way, dtype="float64") for _ in range(2)]
    for model, rows in zip(models, (other, packed), strict=True):
        model.fit(rows, TARGET, epochs=2, batch_size=8)
    assert_same(*map(state_of, models))


@WAYS
def test_few_row_counts_are_kept(way: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "ROW_COUNTS", 2)
    x, y = Stream(7).normal((64, WIDTH)), Stream(8).normal((64, 1))
    given = (mc.Sequential(mc.Linear(WIDTH, 1)), mc.SquaredError(), mc.SGD(0.01))
    model, other = mc.Model(*given, compile=way), mc.Model(*given, backend=EAGER)
    for rows in (20, 21, 20, 22, 20):
        for one in (model, other):
            one.fit(x[:rows], y[:rows], batch_size=rows, epochs=1)
    np.testing.assert_allclose(model.predict(x), other.predict(x), rtol=1e-5, atol=1e-6)


@needs_compiler
def test_a_model_says_how_it_runs_and_keeps_the_printed_text() -> None:
    model = mc.Model(NET, mc.SquaredError())
    assert not model.compiled.kind and "nothing has been trained" in str(model.compiled)
    model.fit(np.ones((ROWS, WIDTH)), TARGET, epochs=1, batch_size=ROWS)
    assert model.compiled.kind == "NumPy calls" and "too short to pay" in str(model.compiled)


@needs_compiler
def test_the_printed_text_names_the_layers() -> None:
    model, _ = fit(NET, mc.SquaredError(), mc.Adam(), TARGET, compile=True)
    assert "Linear.forward" in model.compiled.source and "Tanh" in model.compiled.source
    assert "adam_update" in model.compiled.source


def test_other_backends_run_as_they_do() -> None:
    backend = get_backend("array_api_strict")
    model = mc.Model(NET, mc.SquaredError(), backend=backend)
    assert model.compiled.kind == "eager"
    with pytest.raises(mc.ConfigurationError, match="compile=True"):
        mc.Model(NET, mc.SquaredError(), backend=backend, compile=True)
    with pytest.raises(mc.ConfigurationError, match="compile"):
        mc.Model(NET, mc.SquaredError(), compile="always")
