"""What products are computed in: how near each precision comes to float64, and that nothing else changes."""

import importlib
import threading
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import cuda_host
import numpy as np
import pytest
from compiled import call
from cuda_host import nearest, needed
from dense import Looking
from devices import gpu, open_place
from fitting import X, Y, make
from optional import optional

import mlpcore as mc
from mlpcore.backends.backend import Backend
from mlpcore.backends.compilation import Compilation
from mlpcore.backends.precision import switched, within
from mlpcore.errors import ConfigurationError
from mlpcore.namespace import namespace
from mlpcore.random import Stream

# The unit roundoff of the factors. In 100 steps the parameters move away by 2 to 22 units, depending on the seed: a
# ReLU that opens a step earlier or later changes more than the rounding itself.
UNIT = {"highest": 2.0**-24, "tf32": 2.0**-11, "bfloat16": 2.0**-8}
CASES = [("torch", "highest"), ("torch", "bfloat16"), ("jax", "highest"), ("jax", "bfloat16")]
CASES += [pytest.param("printed CUDA", precision, marks=needed) for precision in UNIT]
DEVICES = [gpu(place, precision) for place in ("cupy", "torch cuda", "jax cuda") for precision in UNIT]


BITS = {"tf32": 10, "bfloat16": 7}


def open_precise(place: str, precision: str) -> Backend:
    """The backend; "printed CUDA" is the one of printed programs, on a device of host memory."""
    if place == "printed CUDA":
        return cuda_host.backend()
    backend = open_place(place)
    if precision not in backend.compile.precisions:
        pytest.skip(f"{backend.device} has no {precision}")
    return backend


# --- accuracy


@pytest.fixture(scope="module")
def digits() -> Any:
    datasets = optional("sklearn.datasets")
    selection = importlib.import_module("sklearn.model_selection")
    x, y = datasets.load_digits(return_X_y=True)
    return selection.train_test_split(x / 16, y, test_size=0.2, stratify=y, random_state=0)


def trained(backend: Any, dtype: str, precision: str, digits: Any, epochs: int, rows: int) -> mc.Model:
    x, _, y, _ = digits
    net = mc.Sequential(mc.Linear(64, 128), mc.ReLU(), mc.Linear(128, 10))
    words: dict[str, Any] = {"backend": backend, "dtype": dtype, "precision": precision, "metrics": ["accuracy"]}
    model = mc.Model(net, mc.SoftmaxCrossEntropy(), mc.Adam(2e-3), **words)
    model.fit(x[:rows], y[:rows], epochs=epochs, batch_size=64)
    return model


@pytest.fixture(scope="module")
def in_float64(digits: Any) -> tuple[np.ndarray, float]:
    vector = trained("numpy", "float64", "highest", digits, 5, 20 * 64).trainer.state.params
    whole = trained("numpy", "float64", "highest", digits, 20, 10**6)
    return vector, whole.evaluate(digits[1], digits[3])["accuracy"]


@pytest.mark.parametrize(("place", "precision"), [*CASES, *DEVICES])
def test_a_run_stays_near_the_one_in_float64(
    place: str, precision: str, digits: Any, in_float64: tuple[np.ndarray, float]
) -> None:
    """After 100 steps within 32 units roundoff of the parameters' length; half a point of accuracy after 20 epochs."""
    backend = open_precise(place, precision)
    model = trained(backend, "float32", precision, digits, 5, 20 * 64)
    vector, accuracy = in_float64
    away = np.linalg.norm(backend.to_numpy(model.trainer.state.params) - vector) / np.linalg.norm(vector)
    assert away < 32 * UNIT[precision]
    if precision != "highest":
        assert away > UNIT[precision] / 16, "nothing was rounded"
    if place == "printed CUDA":  # 20 epochs would take long on a device of host memory
        return
    whole = trained(backend, "float32", precision, digits, 20, 10**6)
    assert abs(whole.evaluate(digits[1], digits[3])["accuracy"] - accuracy) <= 0.005


@pytest.mark.parametrize(("place", "precision"), [*CASES, *DEVICES])
def test_a_product_is_one_of_rounded_factors_with_sums_in_float32(place: str, precision: str) -> None:
    backend = open_precise(place, precision)
    layer = mc.Linear(300, 20, bias=False)
    model = mc.Model(layer, mc.SquaredError(), backend=backend, precision=precision)
    x = Stream(5).normal((40, 300)).astype("float32")
    weight = np.asarray(backend.to_numpy(model.params["weight"]))
    got = model.predict(x).astype("float64")
    if precision != "highest":
        plain = x.astype("float64") @ weight
        x, weight = nearest(x, BITS[precision]), nearest(weight, BITS[precision])
        assert np.max(np.abs(got - plain)) > 30 * UNIT["highest"], "nothing was rounded"
    exact, size = x.astype("float64") @ weight, np.abs(x).astype("float64") @ np.abs(weight)
    # Tensor cores may cut TF32's factors where others round them, which changes a product by two units at most.
    slack = 4 * UNIT["tf32"] if precision == "tf32" and place != "printed CUDA" else 300 * UNIT["highest"]
    assert np.max(np.abs(got - exact) / size) < slack


# --- every product, whoever asks for it


@dataclass(frozen=True)
class Squares:
    """A layer of a user's: the products ``x @ w`` and ``x.T @ x`` of it, ``y = x @ w / (1 + |x.T @ x|_1)``."""

    width: int

    row_independent = False

    def output_width(self, n_in: int | None) -> int:
        return self.width

    def init(self, rng: Stream, dtype: str) -> dict:
        return {"weight": rng.normal((self.width, self.width)).astype(dtype)}

    def noise(self, stream: Stream, shape: tuple, dtype: str) -> Any:
        return ()

    def forward(self, params: dict, x: Any, training: Any = None) -> tuple[Any, Any]:
        xp = namespace(x)
        size = 1 + xp.sum(xp.abs(x.mT @ x), axis=(-2, -1), keepdims=True)
        return xp.matmul(x, params["weight"]) / size, (x, size)

    def backward(self, params: dict, cache: Any, dy: Any, *, need_dx: bool = True) -> tuple[Any, dict]:
        x, size = cache  # the size is taken as constant: no test looks at this gradient's truth
        return dy / size @ params["weight"].mT, {"weight": x.mT @ (dy / size)}


ALL = [*CASES, *DEVICES]


@pytest.mark.parametrize(("place", "precision"), ALL)
@pytest.mark.parametrize("stack", [(), (3,), (2, 2)], ids=str)
def test_products_of_a_users_layer_and_of_stacks_are_of_that_precision(
    place: str, precision: str, stack: tuple[int, ...]
) -> None:
    """Forward and backward: with one wide product in highest precision, the error would be 2^-24 alone."""
    backend, layer = open_precise(place, precision), Squares(200)
    draw = Stream(1)
    x, dy = (draw.child(name).normal((*stack, 30, 200)).astype("float32") for name in ("x", "dy"))
    weight = draw.normal((*stack, 200, 200)).astype("float32")

    def both(weight: Any, x: Any, dy: Any) -> tuple:
        y, cache = layer.forward({"weight": weight}, x)
        return y, *layer.backward({"weight": weight}, cache, dy)

    def rounded(x: np.ndarray) -> np.ndarray:
        return (nearest(x, BITS[precision]) if precision in BITS else x).astype("float64")

    def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return rounded(a) @ rounded(b)

    with backend.scope("float32"):
        run = backend.compile.function(both, Compilation(precision=precision), (1, 2) if not stack else (-1,))
        y, dx, grads = run(*map(backend.asarray, (weight, x, dy)))
        found = [np.asarray(backend.to_numpy(one), "float64") for one in (y, dx, grads["weight"])]
    size = (1 + np.sum(np.abs(product(np.swapaxes(x, -1, -2), x)), axis=(-2, -1), keepdims=True)).astype("float32")
    expected = [
        product(x, weight) / size,
        product(dy / size, np.swapaxes(weight, -1, -2)),
        product(np.swapaxes(x, -1, -2), dy / size),
    ]
    # A last digit of dy / size may be another one, so that a factor lies on the other side of a rounding.
    near = 4 * UNIT["tf32"] if precision == "tf32" else 0.02 * UNIT["bfloat16"]
    for one, other in zip(found, expected, strict=True):
        assert np.linalg.norm(one - other) < near * np.linalg.norm(other)
    if precision != "highest":
        plain = x.astype("float64") @ weight / size
        assert np.linalg.norm(found[0] - plain) > UNIT[precision] / 4 * np.linalg.norm(plain), "nothing was rounded"


@pytest.mark.parametrize("place", ["printed CUDA", gpu("cupy")])
@needed
def test_what_cannot_be_traced_is_refused_in_another_precision(place: str) -> None:
    """Eager products would be of float32, silently."""
    model = make(mc.Sequential(Looking(), mc.Linear(3, 2)), backend=open_precise(place, "tf32"), dtype="float32",
                 precision="tf32")  # fmt: skip
    for use in (lambda: model.fit(X, Y), lambda: model.predict(X)):
        with pytest.raises(
            ConfigurationError, match=r"precision='tf32' is for code that can be traced, and this cannot \(.*any"
        ):
            use()
    with pytest.raises(ConfigurationError, match="precision is 'bfloat16', which is for compiled steps"):
        make(backend=open_precise(place, "bfloat16"), dtype="float32", precision="bfloat16", compile=False)


@needed
def test_factors_are_rounded_once_for_all_products_that_take_them() -> None:
    """x and the weights forward and backward, as they lie or transposed, and dy for two products."""
    for precision, count in (("highest", 0), ("tf32", 0), ("bfloat16", 2 + 2 + 2)):
        backend = open_precise("printed CUDA", precision)
        net = mc.Sequential(mc.Linear(3, 5), mc.Tanh(), mc.Linear(5, 2))
        model = make(net, backend=backend, dtype="float32", precision=precision)
        model.fit(X, Y, epochs=1)
        assert model.compiled.source.count("= bfloat16_bits(") == count, model.compiled.source


@needed
def test_bits_of_bfloat16_are_the_nearest() -> None:
    """For every upper half: the number itself, the middle of it and the next, and the numbers beside the middle."""
    types = optional("ml_dtypes")
    upper = np.arange(2**16, dtype=np.uint32) << 16
    x = np.concatenate([upper | lower for lower in (0, 2**15 - 1, 2**15, 2**15 + 1)]).view(np.float32)
    (bits,) = call(lambda xp, x: [xp._entrywise("bfloat16_bits", [x.node], "uint16")], [x], [x.shape], 1, "CUDA")
    nan = np.isnan(x)
    assert np.all(np.isnan(bits[nan].view(types.bfloat16)))
    np.testing.assert_array_equal(bits[~nan], x[~nan].astype(types.bfloat16).view(np.uint16))


# --- choosing


def test_a_precision_that_a_backend_lacks_is_refused_with_those_it_has() -> None:
    for place in ("numpy", "array_api_strict"):
        with pytest.raises(ConfigurationError, match="precision is 'bfloat16', expected one of 'highest'"):
            make(backend=place, dtype="float32", precision="bfloat16")
    with pytest.raises(ConfigurationError, match="'tf32', expected one of 'highest', 'bfloat16'"):
        make(backend=open_place("torch"), dtype="float32", precision="tf32")


@pytest.mark.parametrize("place", ["torch", "jax"])
def test_a_coarser_precision_is_for_float32(place: str) -> None:
    with pytest.raises(ConfigurationError, match="'bfloat16', which is for dtype='float32', got 'float64'"):
        make(backend=open_place(place), dtype="float64", precision="bfloat16")


def test_the_precision_is_kept_in_files_and_copies(tmp_path: Any) -> None:
    model = make(backend=open_place("torch"), dtype="float32", precision="bfloat16")
    model.save(tmp_path / "m")
    assert mc.load(tmp_path / "m", backend=open_place("jax")).precision == "bfloat16"
    assert mc.load(tmp_path / "m", backend="numpy").precision == "highest", "where there is no other"
    assert model.to(open_place("jax")).precision == "bfloat16"


# --- switches of the libraries


def test_a_switch_is_set_and_put_back() -> None:
    value = ["before"]

    def scope() -> Any:
        return switched(lambda: value[0], lambda new: value.__setitem__(0, new), "within")

    assert within(scope, lambda x: (x, value[0]))(3) == (3, "within")
    assert value == ["before"]

    def fail() -> None:
        assert value == ["within"]
        raise ValueError

    with pytest.raises(ValueError):
        within(scope, fail)()
    assert value == ["before"]


def test_highest_is_true_float32_whatever_the_user_has_told_torch() -> None:
    torch = optional("torch")
    net = mc.Sequential(mc.Linear(3, 64), mc.Tanh(), mc.Linear(64, 2))
    expected = make(net, backend="torch", dtype="float32")
    losses = expected.fit(X, Y, epochs=2).loss
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        model = make(net, backend="torch", dtype="float32")
        assert model.fit(X, Y, epochs=2).loss == losses
        np.testing.assert_array_equal(model.predict(X), expected.predict(X))
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The library with a device of capability 9.0, which is made up; its switch is the real one but for TF32.

    CuPy asks the device whether it has TF32, so that value is noted by the test.
    """
    module = optional("cupy")
    device = SimpleNamespace(compute_capability="90")
    monkeypatch.setattr(module.cuda, "Device", lambda number: device)
    core, asked = module._core, {}
    read, write = core.get_compute_type, core.set_compute_type

    def set_type(dtype: str, kind: int) -> None:
        asked.pop(dtype, None)
        if kind == 7:
            asked[dtype] = kind
        else:
            write(dtype, kind)

    monkeypatch.setattr(core, "set_compute_type", set_type)
    monkeypatch.setattr(core, "get_compute_type", lambda dtype: asked.get(dtype) or read(dtype))
    module.made_up = device
    yield module
    del module.made_up
    write("f4", 0)


def test_cupys_switch_is_set_for_a_run_and_put_back(cupy: Any) -> None:
    from mlpcore.backends.cupy.precision import precisions

    read = cupy._core.get_compute_type
    scopes = precisions(cupy, 0)
    assert list(scopes) == ["highest", "tf32", "bfloat16"]
    names = {
        value: name for name, value in vars(cupy._core._routines_linalg).items() if name.startswith("COMPUTE_TYPE_")
    }
    before = read("f4")
    cupy._core.set_compute_type("f4", 7)  # as CUPY_TF32=1 does
    for scope in scopes.values():
        assert names[within(scope, read)("f4")] == "COMPUTE_TYPE_DEFAULT", "CuPy's own products are true float32"
    assert names[read("f4")] == "COMPUTE_TYPE_TF32"
    cupy._core.set_compute_type("f4", before)
    cupy.made_up.compute_capability = "75"
    assert list(precisions(cupy, 0)) == ["highest"]


def test_the_switch_is_the_process_s_as_the_docs_say(cupy: Any) -> None:
    cupy._core.set_compute_type("f4", 2)
    seen: list[int] = []
    thread = threading.Thread(target=lambda: seen.append(cupy._core.get_compute_type("f4")))
    thread.start()
    thread.join()
    assert seen == [2]
