"""What products are computed in: how near each precision comes to float64, and that nothing else changes."""

import importlib
import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from devices import gpu, open_place
from fitting import NET, X, Y, assert_same, make, state_of
from hypothesis import given
from hypothesis import strategies as st

import mlpcore as mc
from mlpcore.backends.backend import Backend
from mlpcore.backends.gemm import multiplied, operand
from mlpcore.backends.precision import Precision, switched
from mlpcore.errors import ConfigurationError
from mlpcore.layers.rounded import with_products
from mlpcore.random import Stream

# The unit roundoff of the factors. In 100 steps the parameters move away by 2 to 22 units, depending on the seed: a
# ReLU that opens a step earlier or later changes more than the rounding itself.
UNIT = {"highest": 2.0**-24, "tf32": 2.0**-11, "bfloat16": 2.0**-8}
CASES = [("torch", "highest"), ("torch", "bfloat16"), ("torch", "tf32"), ("jax", "highest"), ("jax", "bfloat16")]
DEVICES = [gpu(place, precision) for place in ("cupy", "torch cuda", "jax cuda") for precision in UNIT]


def nearest(x: np.ndarray, bits: int) -> np.ndarray:
    """float32 numbers rounded to so many bits after the leading one, ties to even."""
    lost = 23 - bits
    whole = x.astype("float32").view("uint32")
    half = np.uint32((1 << (lost - 1)) - 1) + ((whole >> np.uint32(lost)) & np.uint32(1))
    return ((whole + half) >> np.uint32(lost) << np.uint32(lost)).view("float32")


BITS = {"tf32": 10, "bfloat16": 7}


def open_precise(place: str, precision: str) -> Backend:
    """The backend; TF32, which no CPU has, with factors rounded by the test."""
    backend = open_place(place)
    if precision == "tf32" and place == "torch":
        torch = importlib.import_module("torch")
        emulated = Precision(None, lambda x: torch.from_numpy(nearest(x.numpy(), 10)), torch.matmul)
        return replace(backend, precisions=backend.precisions | {"tf32": emulated})
    if precision not in backend.precisions:
        pytest.skip(f"{backend.device} has no {precision}")
    return backend


# --- accuracy


@pytest.fixture(scope="module")
def digits() -> Any:
    datasets = pytest.importorskip("sklearn.datasets", reason="the extra `sklearn` is not installed")
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
    vector = trained("numpy", "float64", "highest", digits, 5, 20 * 64)._trainer.state.params
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
    away = np.linalg.norm(backend.to_numpy(model._trainer.state.params) - vector) / np.linalg.norm(vector)
    assert away < 32 * UNIT[precision]
    if precision != "highest":
        assert away > UNIT[precision] / 16, "nothing was rounded"
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
    slack = 4 * UNIT["tf32"] if precision == "tf32" and place != "torch" else 300 * UNIT["highest"]
    assert np.max(np.abs(got - exact) / size) < slack


# --- the rewrite


@pytest.mark.parametrize("place", ["array_api_strict", "torch", "jax"])
def test_products_that_round_nothing_change_nothing(place: str) -> None:
    backend = open_place(place)
    same = Precision(None, lambda x: x, lambda a, b: a @ b)
    whole = make(NET, backend=backend, dtype="float32")
    other = make(NET, backend=replace(backend, precisions={"highest": same}), dtype="float32")
    assert whole.fit(X, Y, epochs=2, batch_size=5).loss == other.fit(X, Y, epochs=2, batch_size=5).loss
    assert_same(state_of(other), state_of(whole))


def test_every_linear_layer_is_rewritten_and_no_other() -> None:
    net = mc.Sequential(mc.Linear(3, 5), mc.Residual(mc.Sequential(mc.LayerNorm(5), mc.Linear(5, 5))), mc.Linear(5, 2))
    seen: list[tuple[int, ...]] = []
    made = with_products(net, lambda x: x, lambda a, b: seen.append((*a.shape, *b.shape)) or a @ b)
    params, x = net.init(Stream(0), "float64"), X[:4]
    expected, cache = net.forward(params, x)
    y, made_cache = made.forward(params, x)
    np.testing.assert_array_equal(y, expected)
    assert seen == [(4, 3, 3, 5), (4, 5, 5, 5), (4, 5, 5, 2)]
    dx, _ = net.backward(params, cache, expected)
    made_dx, _ = made.backward(params, made_cache, expected)
    np.testing.assert_array_equal(made_dx, dx)
    assert len(seen) == 9, "each layer has three products"
    assert made.widths(3) == 2 and made.row_independent


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
    scope = Precision(lambda: switched(lambda: value[0], lambda new: value.__setitem__(0, new), "within"))
    assert scope.within(lambda x: (x, value[0]))(3) == (3, "within")
    assert value == ["before"]

    def fail() -> None:
        assert value == ["within"]
        raise ValueError

    with pytest.raises(ValueError):
        scope.within(fail)()
    assert value == ["before"]


def test_highest_is_true_float32_whatever_the_user_has_told_torch() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
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
    module = pytest.importorskip("cupy", reason="CuPy is not installed; the extra `cuda13` brings it, no GPU needed")
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
    from mlpcore.backends.cupy import precisions

    read = cupy._core.get_compute_type
    found = precisions(cupy, 0)
    assert list(found) == ["highest", "tf32", *(["bfloat16"] if importlib.util.find_spec("ml_dtypes") else [])]
    names = {
        value: name for name, value in vars(cupy._core._routines_linalg).items() if name.startswith("COMPUTE_TYPE_")
    }
    before = read("f4")
    assert names[found["highest"].within(read)("f4")] == "COMPUTE_TYPE_DEFAULT"
    assert names[found["tf32"].within(read)("f4")] == "COMPUTE_TYPE_TF32"
    assert read("f4") == before
    cupy._core.set_compute_type("f4", 7)  # as CUPY_TF32=1 does
    assert names[found["highest"].within(read)("f4")] == "COMPUTE_TYPE_DEFAULT", "highest is true float32"
    assert names[read("f4")] == "COMPUTE_TYPE_TF32"
    cupy.made_up.compute_capability = "75"
    assert list(precisions(cupy, 0)) == ["highest"]


def test_the_switch_is_the_process_s_as_the_docs_say(cupy: Any) -> None:
    cupy._core.set_compute_type("f4", 2)
    seen: list[int] = []
    thread = threading.Thread(target=lambda: seen.append(cupy._core.get_compute_type("f4")))
    thread.start()
    thread.join()
    assert seen == [2]


# --- cuBLAS's view of a matrix


def column_major(
    one: int, two: int, rows: int, columns: int, inner: int, a: Any, lda: int, b: Any, ldb: int, c: Any, ldc: int
) -> None:
    """What a column-major product does with the memory it is pointed at."""

    def seen(memory: np.ndarray, shape: tuple[int, int], leading: int) -> np.ndarray:
        assert leading >= shape[0], "cuBLAS refuses a leading dimension below the number of rows"
        step = memory.itemsize
        return np.lib.stride_tricks.as_strided(memory, shape, (step, leading * step))

    first = seen(a, (inner, rows), lda).T if one else seen(a, (rows, inner), lda)
    second = seen(b, (columns, inner), ldb).T if two else seen(b, (inner, columns), ldb)
    seen(c, (rows, columns), ldc)[...] = first @ second


KINDS = ["rows", "columns", "part of rows", "part of columns", "every other", "reversed"]


def laid(values: np.ndarray, kind: str) -> np.ndarray:
    """The matrix, laid out in one of six ways."""
    rows, columns = values.shape
    wide = np.full((2 * rows + 3, 2 * columns + 3), np.nan)
    made = {
        "rows": lambda: values.copy(order="C"),
        "columns": lambda: values.copy(order="F"),
        "part of rows": lambda: wide[1 : 1 + rows, 2 : 2 + columns],
        "part of columns": lambda: np.asfortranarray(wide)[1 : 1 + rows, 2 : 2 + columns],
        "every other": lambda: wide[: 2 * rows : 2, : 2 * columns : 2],
        "reversed": lambda: wide[:rows, :columns][::-1],
    }[kind]()
    made[...] = values
    return made


@given(
    sizes=st.tuples(*[st.integers(1, 6)] * 3),
    kinds=st.tuples(*[st.sampled_from(KINDS)] * 2),
    seed=st.integers(0, 100),
)
def test_the_numbers_for_cublas_give_the_product(sizes: Any, kinds: Any, seed: int) -> None:
    m, k, n = sizes
    a, b = Stream(seed).normal((m, k)), Stream(seed + 1).normal((k, n))
    out = np.full((m, n), np.nan)
    assert multiplied(laid(a, kinds[0]), laid(b, kinds[1]), out, column_major) is out
    np.testing.assert_allclose(out, a @ b, rtol=1e-12, atol=1e-14)


def test_what_lies_row_by_row_or_column_by_column_is_not_copied() -> None:
    for kind in KINDS[:4]:
        x = laid(np.ones((3, 4)), kind)
        assert operand(x.shape, x.strides, x.itemsize) is not None, kind
        assert operand(x.T.shape, x.T.strides, x.itemsize) is not None, kind
    for kind in KINDS[4:]:
        x = laid(np.ones((3, 4)), kind)
        assert operand(x.shape, x.strides, x.itemsize) is None, kind


@pytest.mark.gpu
def test_a_product_of_bfloat16_on_cupy_rounds_its_factors_alone() -> None:
    backend = open_place("cupy")
    found = open_precise("cupy", "bfloat16").precisions["bfloat16"]
    a, b = Stream(1).normal((50, 300)).astype("float32"), Stream(2).normal((300, 40)).astype("float32")
    assert found.rounded is not None and found.product is not None
    for swap in (False, True):
        with backend.scope("float32"):
            first, second = (backend.asarray(one) for one in (a, b))
            if swap:
                first, second = backend.asarray(np.ascontiguousarray(a.T)).T, backend.asarray(np.asfortranarray(b))
            rounded = found.rounded(first)
            np.testing.assert_array_equal(backend.to_numpy(rounded.astype("float32")), nearest(a, 7))
            got = backend.to_numpy(found.product(rounded, found.rounded(second)))
        assert got.dtype == "float32"
        exact = nearest(a, 7).astype("float64") @ nearest(b, 7)
        size = np.abs(a).astype("float64") @ np.abs(b)
        assert np.max(np.abs(got - exact) / size) < 300 * UNIT["highest"]
