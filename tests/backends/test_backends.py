"""Every backend runs the same Model: the same draws to the bit, the same training to rounding, errors that help."""

import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import array_api_strict
import numpy as np
import pytest
from devices import CUDA, HERE, open_place
from fitting import with_steps
from optional import optional

from mlpcore import errors
from mlpcore.backends import NAMES, available_backends, get_backend
from mlpcore.backends.backend import Backend
from mlpcore.backends.transfer import library_of, like, to_backend, to_host
from mlpcore.layers import GELU, BatchNorm, Dropout, LayerNorm, Linear, ReLU, Residual, Sequential
from mlpcore.losses import SoftmaxCrossEntropy, SquaredError
from mlpcore.model import Model
from mlpcore.optimizers import SGD, Adam, AdamW
from mlpcore.random import Stream
from mlpcore.trees import named_leaves

PLACES = [*HERE, "array_api_strict device1"]
# No bias before BatchNorm: its gradient would be 0 but for rounding, which Adam blows up to steps of full length.
NET = Sequential(
    Linear(5, 8, bias=False),
    BatchNorm(8),
    GELU(),
    Dropout(0.3),
    Residual(Sequential(LayerNorm(8), Linear(8, 8), ReLU())),
    Linear(8, 3),
)
SMALL = Sequential(Linear(5, 8), Dropout(0.3), ReLU(), Linear(8, 3))  # where the time JAX takes to compile matters
X = Stream(1).normal((50, 5))  # 50 rows in batches of 16: three whole ones and one of 2
Y = np.argmax(X[:, :3] + 0.5 * Stream(2).normal((50, 3)), axis=1)
WEIGHTS = 0.5 + Stream(3).uniform((50,))


@pytest.fixture(params=[*PLACES, *CUDA])
def backend(request: pytest.FixtureRequest) -> Backend:
    return open_place(request.param)


def make(backend: Backend | str, dtype: str = "float64", net: Any = SMALL, **words: Any) -> Model:
    """A model that uses everything a step can do."""
    words = {"l2": 1e-2, "clip_norm": 1.0, "clip_value": 0.2, "ema": 0.9, "metrics": ["accuracy"], "seed": 7} | words
    optimizer = AdamW(3e-3, weight_decay=0.1)
    return Model(net, SoftmaxCrossEntropy(), optimizer, backend=backend, dtype=dtype, **words)


def fit(model: Model, epochs: int = 4) -> Any:
    held_out = (X[:20], Y[:20], WEIGHTS[:20])
    return model.fit(X, Y, epochs=epochs, batch_size=16, sample_weight=WEIGHTS, validation_data=held_out)


def host(tree: Any) -> dict[str, np.ndarray]:
    """The tree's leaves by name, copied to the host."""
    return {name: np.array(to_host(leaf)) for name, leaf in named_leaves(tree)}


def recording(backend: Backend, orders: list) -> Backend:
    """The backend, noting the rows of every step."""

    def compiled(step: Callable, *rest: Any) -> Callable:
        inner = backend.compile.steps(step, *rest)

        def run(state: Any, data: tuple, order: np.ndarray, draw: Callable[[int], Any]) -> Any:
            for i in range(order.shape[0]):
                orders.append(backend.to_numpy(backend.asarray(order[i])))
            return inner(state, data, order, draw)

        return run

    return with_steps(backend, compiled)


# --- the same training


@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-10), ("float32", 1e-5)])
def test_training_agrees_with_numpy(backend: Backend, dtype: str, rtol: float) -> None:
    expected, model = make("numpy", dtype, NET), make(backend, dtype, NET)
    curves, own = fit(expected), fit(model)
    for column in ("loss", "val_loss", "val_accuracy"):
        np.testing.assert_allclose(own[column], curves[column], rtol=rtol, err_msg=column)
    assert own["loss"][-1] < own["loss"][0]
    np.testing.assert_allclose(model.predict(X), expected.predict(X), rtol=10 * rtol, atol=rtol)
    got = host(model.params)
    for name, leaf in host(expected.params).items():
        assert got[name].dtype == dtype
        np.testing.assert_allclose(got[name], leaf, rtol=10 * rtol, atol=10 * rtol, err_msg=name)


def test_a_second_fit_goes_on_with_the_same_bits(backend: Backend) -> None:
    whole, parts = make(backend, "float32"), make(backend, "float32")
    curve = fit(whole, epochs=5).loss
    assert fit(parts, epochs=2).loss + fit(parts, epochs=3).loss == curve
    got = host(parts.params)
    for name, leaf in host(whole.params).items():
        np.testing.assert_array_equal(got[name], leaf, err_msg=name)


def test_a_failed_step_leaves_the_weights_of_before(backend: Backend) -> None:
    model = Model(Sequential(Linear(5, 3)), SquaredError(), SGD(1e30), backend=backend)
    target = X[:, :3] + 1
    with pytest.raises(errors.NonFiniteError, match="step 2"):  # the first step leaps far away, the second is infinite
        model.fit(X, target, epochs=3, batch_size=16, shuffle=False)
    first = Model(Sequential(Linear(5, 3)), SquaredError(), SGD(1e30))
    first.fit(X[:16], target[:16], epochs=1, batch_size=16, shuffle=False)
    for name, leaf in host(model.params).items():
        np.testing.assert_allclose(leaf, host(first.params)[name], rtol=1e-5, err_msg=name)


def test_what_was_handed_out_or_in_outlives_a_fit(backend: Backend) -> None:
    """No backend may overwrite or free the user's arrays, or those of an earlier snapshot."""
    x, weights = X.astype("float32"), WEIGHTS.astype("float32")
    with backend.scope("float32"):
        own = backend.asarray(x)
    model = make(backend, "float32")
    params, snapshot = model.params, model.snapshot()
    before = host(params), host(snapshot)
    model.fit(own, Y, epochs=2, batch_size=16, sample_weight=weights)
    np.testing.assert_array_equal(x, X.astype("float32"))
    np.testing.assert_array_equal(backend.to_numpy(own), x)
    for tree, leaves in zip((params, snapshot), before, strict=True):
        for name, leaf in host(tree).items():
            np.testing.assert_array_equal(leaf, leaves[name], err_msg=name)
    model.restore(snapshot)
    for name, leaf in host(model.snapshot()).items():
        np.testing.assert_array_equal(leaf, before[1][name], err_msg=name)


# --- arrays in and out


class Table:
    """A stand-in for a data frame: nothing but ``__array__``."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(X, dtype=dtype)


GIVEN: dict[str, tuple[str, Callable[[], Any]]] = {
    "numpy": ("numpy", lambda: X),
    "list": ("numpy", lambda: X.tolist()),
    "table": ("numpy", Table),
    "torch": ("torch", lambda: open_place("torch").asarray(X)),
    "jax": ("jax", lambda: open_place("jax").asarray(X.astype("float32"))),
    "array_api_strict": ("array_api_strict", lambda: get_backend("array_api_strict").asarray(X)),
    "array_api_strict on device1": ("array_api_strict", lambda: get_backend("array_api_strict", "device1").asarray(X)),
}


@pytest.mark.parametrize("given", GIVEN)
def test_predictions_come_back_in_the_library_and_on_the_device_of_x(backend: Backend, given: str) -> None:
    library, build = GIVEN[given]
    x, model = build(), make(backend, "float64")
    if library == backend.name and getattr(x, "device", backend.device) != backend.device:
        with pytest.raises(errors.DataError, match="device"):
            model.predict(x)
        return
    model.fit(x, Y, epochs=1, batch_size=16)
    prediction = model.predict(x)
    assert library_of(prediction) == library
    if library in ("torch", "jax", "array_api_strict"):
        assert prediction.device == x.device
    values = to_host(prediction)
    assert values.dtype == "float64"
    # JAX arrays are float32 here, and so are the rows that the network sees.
    expected = make("numpy", "float64")
    expected.fit(X, Y, epochs=1, batch_size=16)
    np.testing.assert_allclose(values, expected.predict(X), rtol=1e-4 if given == "jax" else 1e-9)
    if library == "numpy":
        assert values.flags.writeable


ODD: dict[str, Callable[[], np.ndarray]] = {
    "reversed": lambda: X.copy()[::-1, ::-1],
    "Fortran order": lambda: np.array(X, order="F"),
    "every other row": lambda: X.copy()[::2],
    "big endian": lambda: X.astype(">f8"),
    "long double": lambda: X.astype(np.longdouble),
    "half": lambda: X.astype("float16"),
    "a field of packed records": lambda: np.zeros(4, dtype=[("a", "i1"), ("b", "f8")])["b"][:, None],
    "no rows": lambda: X[:0].copy(),
    "booleans": lambda: X > 0,
    "uint16": lambda: np.arange(6, dtype="uint16"),
    "uint64": lambda: np.arange(6, dtype="uint64"),
    "a scalar": lambda: np.asarray(3.5),
}


@pytest.mark.parametrize("writeable", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("odd", ODD)
def test_odd_host_arrays_arrive_whole_and_in_silence(backend: Backend, odd: str, dtype: str, writeable: bool) -> None:
    values = ODD[odd]()
    values.flags.writeable = writeable
    with warnings.catch_warnings(), backend.scope(dtype):
        warnings.simplefilter("error")
        moved = to_backend(values, backend, dtype)
        assert backend.owns(moved) and moved.dtype == backend.dtypes[dtype]
        np.testing.assert_array_equal(backend.to_numpy(moved), values.astype(dtype))
        kept = backend.to_numpy(to_backend(values, backend))
        np.testing.assert_allclose(kept, values.astype(kept.dtype))


def test_moving_there_and_back_keeps_bits_and_dtype(backend: Backend) -> None:
    for dtype in ("float32", "float64"):
        with backend.scope(dtype):
            moved = to_backend(X, backend, dtype)
            np.testing.assert_array_equal(to_host(moved), X.astype(dtype))
            assert like(moved, X, backend).dtype == dtype
            backend.extras.synchronize()


def test_a_masked_array_is_refused(backend: Backend) -> None:
    masked = np.ma.MaskedArray(X, mask=X > 1)
    with pytest.raises(errors.DataError, match="masked"):
        make(backend).fit(masked, Y)


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_sixteen_bit_floats_and_gradients_of_the_user_come_in(name: str) -> None:
    backend = open_place(name)
    expected = X[:4].astype("float32").view("uint32") & 0xFFFF0000  # bfloat16 is the upper half of a float32
    short = expected.view("float32")
    if name == "torch":
        torch = optional("torch")
        both = [torch.nn.Parameter(torch.asarray(short).to(kind)) for kind in (torch.bfloat16, torch.float32)]
    else:
        jnp = optional("jax.numpy")
        both = [jnp.asarray(short, dtype=kind) for kind in ("bfloat16", "float32")]
    for target in (backend, get_backend("numpy"), get_backend("array_api_strict")):
        for given in both:
            moved = to_backend(given, target, "float32")
            assert not getattr(moved, "requires_grad", False)
            np.testing.assert_array_equal(target.to_numpy(moved), short)


def test_torch_predictions_serve_in_the_users_own_gradients() -> None:
    backend = open_place("torch")
    torch = optional("torch")
    prediction = make(backend, "float32").predict(torch.asarray(X))
    scale = torch.ones(3, requires_grad=True)
    (prediction * scale).sum().backward()
    assert torch.allclose(scale.grad, prediction.sum(dim=0))


def test_the_wrong_device_is_named_with_the_way_out() -> None:
    there = get_backend("array_api_strict", "device1").asarray(X)
    with pytest.raises(errors.DataError, match=r"device1.*CPU_DEVICE.*x\.to_device"):
        make("array_api_strict").fit(there, Y)
    torch = optional("torch")
    with pytest.raises(errors.DataError, match=r"on meta, expected cpu.*x\.to\('cpu'\)"):
        make("torch").predict(torch.empty(3, 5, device="meta"))


# --- switches of the libraries that belong to their user


def test_no_global_switch_is_left_behind() -> None:
    flags = array_api_strict.get_array_api_strict_flags()
    with array_api_strict.ArrayAPIStrictFlags(api_version="2023.12"):
        fit(make("array_api_strict"), epochs=1)
        assert array_api_strict.get_array_api_strict_flags()["api_version"] == "2023.12"
    assert array_api_strict.get_array_api_strict_flags() == flags


def test_float64_on_jax_leaves_the_global_switch_alone() -> None:
    jax = optional("jax")
    model = make("jax", "float64")
    fit(model, epochs=1)
    assert not jax.config.jax_enable_x64
    assert jax.numpy.ones(2).dtype == "float32"
    given = jax.numpy.asarray(X)
    assert model.predict(given).dtype == "float64"
    # A float64 array made by one model is taken by a model of float32.
    net = Sequential(Linear(3, 1))
    assert make("jax", "float32", net).predict(model.predict(given)).dtype == "float32"


def test_float32_on_jax_with_the_global_switch_on() -> None:
    """In a process of its own, since the switch is the process's."""
    optional("jax")
    code = f"""
        import jax; jax.config.update("jax_enable_x64", True)
        import sys; sys.path += {sys.path!r}
        import numpy as np, runpy, types
        t = types.SimpleNamespace(**runpy.run_path({__file__!r}))
        model, expected = t.make("jax", "float32"), t.make("numpy", "float32")
        np.testing.assert_allclose(t.fit(model).loss, t.fit(expected).loss, rtol=1e-5)
        print(model.predict(jax.numpy.asarray(t.X)).dtype)
    """
    assert run_python(code).split()[-1] == "float32"


# --- JAX's compiled chunk


def test_jax_compiles_once_for_every_shape() -> None:
    backend = open_place("jax")
    traces: list[int] = []

    def counting(step: Callable, *rest: Any) -> Callable:
        def propose(state: Any, batch: Any, **words: Any) -> Any:
            traces.append(batch.x.shape[0])
            return step.propose(state, batch, **words)

        return backend.compile.steps(SimpleNamespace(propose=propose), *rest)

    model = make(with_steps(backend, counting))
    fit(model, epochs=1)
    first = list(traces)
    assert set(first) == {16, 2}
    fit(model, epochs=3)
    assert traces == first, "a later epoch was traced anew"
    model.fit(X, Y, epochs=1, batch_size=10)
    assert set(traces[len(first) :]) == {10}


def test_jax_takes_much_noise_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = open_place("jax")
    whole = make(backend)
    curve = fit(whole).loss
    each = sum(leaf.nbytes for _, leaf in named_leaves(SMALL.noise(Stream(0), (16, 5), "float64")))
    monkeypatch.setattr("mlpcore.backends.chunks.NOISE_BYTES", 2 * each)
    chunks: list[tuple[int, ...]] = []
    orders: list[np.ndarray] = []
    scan = optional("jax").lax.scan
    monkeypatch.setattr("jax.lax.scan", lambda f, s, xs: chunks.append(xs[0].shape) or scan(f, s, xs))
    parts = make(recording(backend, orders))
    np.testing.assert_allclose(fit(parts).loss, curve, rtol=1e-12)
    assert chunks == [(2, 16), (1, 16), (1, 2)], "three whole batches in pieces of two steps, and the ragged one"


def test_jax_refuses_labels_that_its_32_bits_would_wrap() -> None:
    backend = open_place("jax")
    labels = np.where(Y == 0, 2**32, Y)
    with pytest.raises(errors.DataError, match="do not fit int32"):
        make(backend, "float32").fit(X, labels)
    with pytest.raises(errors.DataError, match="labels from 1 to 4294967296"):
        make(backend, "float64").fit(X, labels)


def test_jax_on_a_second_device() -> None:
    """With two CPU devices, which JAX only makes when it starts."""
    optional("jax")
    code = f"""
        import os; os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
        import sys; sys.path += {sys.path!r}
        import jax, numpy as np, runpy, types
        t = types.SimpleNamespace(**runpy.run_path({__file__!r}))
        first, second = jax.devices()
        assert t.get_backend("jax", second).asarray(t.X).devices() == {{second}}
        model, expected = t.make("jax", device="cpu:1"), t.make("numpy")
        np.testing.assert_allclose(t.fit(model).loss, t.fit(expected).loss, rtol=1e-10)
        on_second = jax.device_put(jax.numpy.asarray(t.X), second)
        assert model.predict(on_second).devices() == {{second}}
        assert {{leaf.device for _, leaf in t.named_leaves(model.params)}} == {{second}}
        assert t.make("numpy").predict(on_second).devices() == {{second}}
        shared = jax.device_put(t.X, jax.NamedSharding(jax.make_mesh((2,), ("rows",)), jax.P("rows")))
        assert t.make("numpy").predict(shared).shape == (50, 3)
        for wrong in (jax.device_put(on_second, first), shared):
            try:
                model.predict(wrong)
            except t.errors.DataError as error:
                print(error)
    """
    said = run_python(code).strip().splitlines()
    assert len(said) == 2 and "cpu:0, expected" in said[0] and "jax.device_put" in said[0], said


# --- what is not there

LIBRARIES = ("cupy", "torch", "jax", "array_api_strict")  # the backend of each name needs the library of that name


def run_python(code: str) -> str:
    """What a fresh interpreter prints."""
    import textwrap

    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_missing_library_says_how_to_install_it(name: str) -> None:
    said = run_python(f"""
        import sys
        sys.modules[{name!r}] = None  # what is None here cannot be imported
        import mlpcore.backends
        from mlpcore.backends import available_backends, get_backend
        from mlpcore.errors import BackendUnavailable
        try:
            get_backend({name!r})
        except BackendUnavailable as error:
            print(error)
            print(type(error.__cause__).__name__)
        mlpcore.backends.NAMES = ({name!r},)  # to load none of the others
        print(available_backends()[{name!r}])
    """).splitlines()
    assert len(said) == 3
    assert said[0].startswith(f"backend {name!r}: {name} is not installed; pip install ")
    assert said[1] == "ModuleNotFoundError"
    assert said[0].endswith(said[2])
    if name == "cupy":
        assert all(f"{extra}]" in said[0] for extra in ("cuda12", "cuda13", "rocm"))


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_broken_library_is_told_from_a_missing_one(name: str, tmp_path: Path) -> None:
    (tmp_path / f"{name}.py").write_text(
        'raise OSError("libsomething.so.13: cannot open shared object file\\nat line 2")'
    )
    said = run_python(f"""
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        import mlpcore.backends
        mlpcore.backends.NAMES = ({name!r},)  # to load none of the others
        print(mlpcore.backends.available_backends()[{name!r}])
    """).splitlines()
    assert len(said) == 1
    assert said[0].startswith(f"{name} cannot be imported: libsomething.so.13: cannot open shared object file; pip ")


def test_every_backend_is_listed_on_one_line() -> None:
    found = available_backends()
    assert tuple(found) == NAMES
    assert found["numpy"] == f"ready (NumPy {np.__version__})"
    assert found["array_api_strict"].startswith("ready (array-api-strict 2.")
    for name, line in found.items():
        assert "\n" not in line and len(line) < 400, name
        if line.startswith("ready"):
            get_backend(name)
        else:
            with pytest.raises(errors.BackendUnavailable):
                get_backend(name)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(
        errors.ConfigurationError, match="'tensorflow', expected one of 'numpy', 'cupy', 'torch', 'jax'"
    ):
        get_backend("tensorflow")


@pytest.mark.parametrize(
    ("name", "device", "said"),
    [
        ("numpy", "cuda", "expected 'cpu'"),
        ("array_api_strict", "device9", "device9.*expected 'CPU_DEVICE' or 'device1'"),
        ("torch", "gpu", "'gpu' cannot be used: .*expected 'cpu'"),
        ("torch", "meta", "meta"),
        ("torch", 2.5, "2.5 cannot be used"),
        ("jax", "npu", "'npu' cannot be used: .*expected one of 'cpu:0'"),
        ("jax", "cpu:99", "'cpu:99' cannot be used: the platform has"),
    ],
)
def test_an_unknown_device_is_refused_with_the_known_ones(name: str, device: Any, said: str) -> None:
    open_place(name)
    with pytest.raises(errors.BackendUnavailable, match=said):
        get_backend(name, device)


# --- CuPy where it cannot run


@pytest.fixture
def cupy_without_device() -> Any:
    cupy = optional("cupy")
    if cupy.cuda.is_available():
        pytest.skip("this machine has a GPU")
    return cupy


def test_cupy_without_a_device_names_wheel_cause_and_remedy(cupy_without_device: Any) -> None:
    with pytest.raises(
        errors.BackendUnavailable, match=r"can be used: there is no driver \(cudaError.*nvidia-smi"
    ) as caught:
        make("cupy")
    assert f"{cupy_without_device.__version__} is installed" in str(caught.value)
    assert "backend='numpy'" in str(caught.value)
    assert available_backends()["cupy"].startswith("cupy-")


def test_cupy_with_two_wheels_says_so(cupy_without_device: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Wheel:
        def __init__(self, name: str) -> None:
            self.metadata, self.version = {"Name": name}, "14.2.0"

    monkeypatch.setattr(
        "mlpcore.backends.cupy.opening.distributions", lambda: [Wheel("cupy-cuda12x"), Wheel("cupy-cuda13x")]
    )
    with pytest.raises(errors.BackendUnavailable, match=r"cuda12x 14.2.0 and cupy-cuda13x 14.2.0 is.*all but one"):
        get_backend("cupy")


def test_cupy_checks_the_number_of_a_device(cupy_without_device: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The count is made up; that no product can be computed is real."""
    monkeypatch.setattr(cupy_without_device.cuda.runtime, "getDeviceCount", lambda: 2)
    for wrong in (5, "cuda:2", "gpu", "cuda:x"):
        with pytest.raises(errors.BackendUnavailable, match=f"no device {wrong!r}; expected one of 'cuda:0', 'cuda:1'"):
            get_backend("cupy", wrong)
    for known in (1, "cuda:1"):
        with pytest.raises(errors.BackendUnavailable, match=r"a first product on cuda:1 failed.*\[ctk\]"):
            get_backend("cupy", known)


def test_an_adam_of_defaults_learns_on_every_backend(backend: Backend) -> None:
    net = Sequential(Linear(5, 16), ReLU(), Linear(16, 3))
    model = Model(net, SoftmaxCrossEntropy(), Adam(1e-2), backend=backend, metrics=["accuracy"])
    model.fit(X, Y, epochs=30, batch_size=16)
    assert model.evaluate(X, Y)["accuracy"] > 0.8


def test_a_backend_that_was_made_keeps_its_device() -> None:
    backend = get_backend("numpy")
    assert get_backend(backend) is get_backend(backend, backend.device) is backend
    with pytest.raises(
        errors.ConfigurationError, match="device is 'cuda:1', but the backend that was passed is on 'cpu'"
    ):
        get_backend(backend, "cuda:1")
