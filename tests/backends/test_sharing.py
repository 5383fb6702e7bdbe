"""Arrays of another library on the backend's own device are taken and given without a copy, all others by the host."""

import importlib
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from devices import gpu, open_place
from fitting import X, Y, make, with_extras
from optional import optional

import mlpcore as mc
from mlpcore.backends import transfer
from mlpcore.backends.backend import Backend
from mlpcore.backends.transfer import library_of, like, share, to_backend, to_host

HOST = (1, 0)  # the CPU as DLPack counts it


def sharing(name: str) -> Backend:
    """A backend on the CPU that shares memory there, as those of CUDA do on their device."""
    return with_extras(open_place(name), dlpack_device=HOST)


def address(x: Any) -> int:
    """Where the numbers of an array lie."""
    return x.data_ptr() if hasattr(x, "data_ptr") else x.unsafe_buffer_pointer()


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> dict[str, Backend]:
    made = {name: sharing(name) for name in ("torch", "jax")}
    monkeypatch.setattr(transfer, "get_backend", lambda name, device=None: made[name])
    return made


@pytest.mark.parametrize(("mine", "theirs"), [("torch", "jax"), ("jax", "torch")])
def test_an_array_on_the_same_device_is_taken_and_given_without_a_copy(
    mine: str, theirs: str, both: dict[str, Backend]
) -> None:
    backend = both[mine]
    with both[theirs].scope("float32"):
        given = both[theirs].asarray(X.astype("float32")) + 0  # in memory as aligned as the library has it
    moved = to_backend(given, backend, "float32")
    assert library_of(moved) == mine and address(moved) == address(given)
    back = like(moved, given, backend)
    assert library_of(back) == theirs and address(back) == address(given)
    np.testing.assert_array_equal(to_host(back), X.astype("float32"))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("mine", "theirs"), [("torch", "jax"), ("jax", "torch")])
def test_a_model_takes_and_gives_arrays_of_the_same_device(
    mine: str, theirs: str, dtype: str, both: dict[str, Backend]
) -> None:
    with both[theirs].scope(dtype):
        x, y = both[theirs].asarray(X.astype(dtype)), both[theirs].asarray(Y.astype(dtype))
    model, expected = (make(backend=one, dtype=dtype) for one in (both[mine], open_place(mine)))
    model.fit(x, y, epochs=1, batch_size=5)
    expected.fit(X.astype(dtype), Y.astype(dtype), epochs=1, batch_size=5)
    prediction = model.predict(x)
    assert library_of(prediction) == theirs and str(prediction.dtype).endswith(dtype)
    np.testing.assert_array_equal(to_host(prediction), expected.predict(X.astype(dtype)))
    np.testing.assert_array_equal(to_host(x), X.astype(dtype), err_msg="the user's array was written to")


class Foreign:
    """An array of a library that mlpcore has never heard of, which speaks DLPack and nothing else."""

    def __init__(self, values: np.ndarray, place: tuple[int, int] = HOST) -> None:
        self.values, self.place, self.shape = values, place, values.shape

    def __dlpack__(self, **words: Any) -> Any:
        return self.values.__dlpack__(**words)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.place

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError("it does not come to the host by itself")


def test_any_array_that_speaks_dlpack_is_taken_from_the_same_device() -> None:
    backend, expected = sharing("torch"), make(backend="torch")
    x, y = Foreign(X), Foreign(Y)
    assert address(to_backend(x, backend)) == X.ctypes.data
    model = make(backend=backend)
    model.fit(x, y, epochs=1, batch_size=5)
    expected.fit(X, Y, epochs=1, batch_size=5)
    prediction = model.predict(x)
    assert library_of(prediction) == "torch", "the backend's own array, since mlpcore cannot make one of theirs"
    np.testing.assert_array_equal(to_host(prediction), expected.predict(X))


def test_an_array_of_another_device_is_not_taken_without_a_copy() -> None:
    backend = sharing("torch")
    for place in ((2, 0), (1, 1)):
        other = Foreign(X, place)
        assert share(other, backend) is other
        with pytest.raises(mc.DataError):
            make(backend=backend).fit(other, Y)
    for value in (X.tolist(), None, SimpleNamespace(shape=(2,)), 3.5):
        assert share(value, backend) is value


def test_a_parameter_of_the_user_is_taken_without_its_tape() -> None:
    torch = optional("torch")
    given = torch.nn.Parameter(torch.asarray(X))
    moved = to_backend(given, sharing("jax") if importlib.util.find_spec("jax") else sharing("torch"), "float32")
    np.testing.assert_allclose(to_host(moved), X.astype("float32"))


# --- on a device

PAIRS = [gpu("cupy", "torch cuda"), gpu("cupy", "jax cuda"), gpu("torch cuda", "cupy"), gpu("torch cuda", "jax cuda")]


@pytest.mark.parametrize(("mine", "theirs"), [*PAIRS, gpu("jax cuda", "cupy")])
def test_arrays_of_one_cuda_device_are_shared(mine: str, theirs: str) -> None:
    backend, other = open_place(mine), open_place(theirs)
    with other.scope("float32"):
        given = other.asarray(X.astype("float32"))

    def place_of(x: Any) -> int:
        return x.data.ptr if hasattr(x, "data") and hasattr(x.data, "ptr") else address(x)

    with backend.scope("float32"):
        moved = to_backend(given, backend, "float32")
        assert backend.owns(moved) and place_of(moved) == place_of(given)
        back = like(moved, given, backend)
    assert other.owns(back) and place_of(back) == place_of(given)
    model = make(backend=backend, dtype="float32")
    model.fit(given, Y, epochs=1, batch_size=5)
    prediction = model.predict(given)
    assert other.owns(prediction)
    np.testing.assert_array_equal(to_host(prediction), model.predict(X.astype("float32")))


@pytest.mark.gpu
@pytest.mark.parametrize("rows", [10, 3_000_000])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_host_arrays_arrive_whole_through_pinned_memory(rows: int, dtype: str) -> None:
    """The larger one goes in pieces."""
    backend = open_place("cupy")
    x = np.arange(rows * 8, dtype="float64").reshape(rows, 8)
    with backend.scope(dtype):
        np.testing.assert_array_equal(backend.to_numpy(to_backend(x, backend, dtype)), x.astype(dtype))
