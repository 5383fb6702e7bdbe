"""Products with epilogues through cuBLASLt: what it is asked for, and its numbers against NumPy's."""

import gc
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cuda_host import product, read_bfloat16
from devices import open_place
from host_epilogues import fused_product

from mlpcore.backends.cupy.cublaslt import CublasLt
from mlpcore.backends.cupy.device import printed_device
from mlpcore.backends.cupy.product_description import describe
from mlpcore.compiler.cuda.device import ProductWithEpilogue
from mlpcore.random import Stream

ARRAYS = ("a", "b", "out", "bias", "saved", "sums")
ROWS, INNER, COLUMNS = 13, 10, 24
# What is fused, and the number of the epilogue in cublasLt.h.
EPILOGUES = {
    "RELU_AUX": (130, {"activation": "relu"}),
    "RELU_AUX_BIAS": (134, {"activation": "relu", "bias": True}),
    "GELU_AUX": (160, {"activation": "gelu"}),
    "GELU_AUX_BIAS": (164, {"activation": "gelu", "bias": True}),
    "DRELU": (136, {"activation": "relu", "gradient": True}),
    "DRELU_BGRAD": (152, {"activation": "relu", "gradient": True, "sums": True}),
    "DGELU": (192, {"activation": "gelu", "gradient": True}),
    "DGELU_BGRAD": (208, {"activation": "gelu", "gradient": True, "sums": True}),
    "BGRADA": (256, {"sums": True}),
}


def case(
    members: tuple[int, ...] = (),
    transposed: tuple[bool, bool] = (False, False),
    precision: str = "highest",
    activation: str = "",
    gradient: bool = False,
    bias: bool = False,
    sums: bool = False,
) -> ProductWithEpilogue:
    """A product of random arrays on the host."""
    stream = Stream(len(members) + 2 * transposed[0] + 4 * transposed[1])

    def matrix(rows: int, columns: int, transpose: bool) -> np.ndarray:
        values = stream.normal((*members, columns, rows) if transpose else (*members, rows, columns)).astype("float32")
        values = (values.view("uint32") >> 16).astype("uint16") if precision == "bfloat16" else values
        return values.mT if transpose else values

    a, b = matrix(ROWS, INNER, transposed[0]), matrix(INNER, COLUMNS, transposed[1])
    saved = None
    if activation == "gelu":
        saved = stream.normal((*members, ROWS, COLUMNS)).astype("float32")
    elif activation:
        saved = (stream.uniform((*members, ROWS, 16)) * 256).astype("uint8")
    vector = (*members, 1, COLUMNS)
    return ProductWithEpilogue(
        a, b, np.zeros((*members, ROWS, COLUMNS), "float32"), precision,
        stream.normal(vector).astype("float32") if bias else None, activation, gradient, saved,
        np.zeros(vector, "float32") if sums else None,
    )  # fmt: skip


def addressed(array: np.ndarray | None) -> Any:
    """An array as CuPy's looks: with a pointer in place of a buffer."""
    if array is None:
        return None
    words = {name: getattr(array, name) for name in ("shape", "strides", "itemsize", "ndim", "dtype")}
    return SimpleNamespace(data=SimpleNamespace(ptr=array.ctypes.data), **words)


def on_device(host: ProductWithEpilogue, cupy: Any) -> ProductWithEpilogue:
    """The product of the same arrays on the device."""
    arrays = {name: getattr(host, name) for name in ARRAYS}
    return host._replace(**{name: None if x is None else cupy.asarray(x) for name, x in arrays.items()})


def numbers(call: ProductWithEpilogue) -> dict[int, int]:
    """The attributes of a product by their numbers."""
    made = describe(call._replace(**{name: addressed(getattr(call, name)) for name in ARRAYS}))
    assert made is not None
    return {number: value.value for number, value in made.attributes}


@pytest.mark.parametrize("name", EPILOGUES)
def test_what_cublaslt_is_asked_for(name: str) -> None:
    number, words = EPILOGUES[name]
    found = numbers(case(**words))
    assert found[7] == number and (found[3], found[4]) == (0, 0)
    if words.get("activation") == "relu":
        assert found[12] == 128  # bits of a row
    if words.get("activation") == "gelu":
        assert found[12] == COLUMNS
    if words.get("bias") or words.get("sums"):
        assert found[8] % 4 == 0 and found[10] == 0
    stacked = numbers(case((3,), (True, False), **words))
    assert (stacked[3], stacked[4]) == (0, 1)  # the second factor of a column-major library is a
    assert stacked.get(13, 0) == {"relu": 128 * ROWS, "gelu": COLUMNS * ROWS, "": 0}[words.get("activation", "")]
    assert stacked.get(10, COLUMNS) == COLUMNS


def test_matrices_that_would_have_to_be_copied_are_refused() -> None:
    call = case()
    call = call._replace(a=np.zeros((ROWS, 2 * INNER), "float32")[:, ::2])
    assert describe(call._replace(**{name: addressed(getattr(call, name)) for name in ARRAYS})) is None


@pytest.mark.parametrize("library", [pytest.param("cupy", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("precision", ["highest", "tf32", "bfloat16"])
@pytest.mark.parametrize("members", [(), (1,), (3,)])
@pytest.mark.parametrize("name", EPILOGUES)
def test_the_numbers_of_each_epilogue(name: str, members: tuple[int, ...], precision: str, library: str) -> None:
    open_place(library)
    import cupy

    device = printed_device(cupy)
    for transposed in ((False, False), (True, False), (False, True), (True, True)):
        host = case(members, transposed, precision, **EPILOGUES[name][1])
        there = on_device(host, cupy)
        prepared = device.fused_product(there)
        assert prepared is not None
        prepared()
        if precision == "bfloat16" and host.sums is not None and not host.activation:
            a, b = (read_bfloat16(np.ascontiguousarray(x)) for x in (host.a, host.b))
            host = host._replace(a=a, b=b, precision="highest")  # so that the sums are of numbers
        fused_product(host, product)()
        least = {"highest": 1e-5, "tf32": 2e-2, "bfloat16": 1e-5}[precision]
        np.testing.assert_allclose(cupy.asnumpy(there.out), host.out, rtol=0, atol=least)
        if host.sums is not None:
            np.testing.assert_allclose(cupy.asnumpy(there.sums), host.sums, rtol=0, atol=ROWS * least)
        if host.saved is not None and not host.gradient:
            columns = slice(0, COLUMNS // 8) if host.activation == "relu" else slice(None)
            found, expected = cupy.asnumpy(there.saved)[..., columns], host.saved[..., columns]
            if host.activation == "gelu" or precision == "highest":
                np.testing.assert_allclose(found, expected, rtol=0, atol=least)


@pytest.mark.parametrize("library", [pytest.param("cupy", marks=pytest.mark.gpu)])
def test_descriptions_live_as_long_as_their_products(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    open_place(library)
    import cupy

    ended: list[int] = []
    destroy = CublasLt._destroy
    monkeypatch.setattr(CublasLt, "_destroy", lambda self, *words: (ended.append(1), destroy(self, *words))[0])
    device, host = printed_device(cupy), case(bias=True, activation="relu")
    prepared = device.fused_product(on_device(host, cupy))
    gc.collect()
    assert prepared is not None and not ended
    prepared()
    del prepared
    gc.collect()
    assert len(ended) == 1
