"""Products through cuBLAS: the numbers that it is called with, on a column-major product by NumPy."""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from devices import open_place
from hypothesis import given
from hypothesis import strategies as st

from mlpcore.backends.cupy.cublas import Gemm, operand, prepared
from mlpcore.backends.cupy.device import printed_device
from mlpcore.random import Stream

KINDS = ["rows", "columns", "part of rows", "part of columns", "every other", "reversed"]


def column_major(product: Gemm) -> Callable[[], None]:
    """What a batched column-major product does with the memory it is pointed at."""
    rows, columns, inner = product.sizes

    def seen(memory: np.ndarray, shape: tuple[int, int], leading: int, stride: int, turned: int) -> np.ndarray:
        shape = shape[::-1] if turned else shape
        assert leading >= shape[0], "cuBLAS refuses a leading dimension below the number of rows"
        steps = tuple(memory.itemsize * step for step in (stride, 1, leading))
        made = np.lib.stride_tricks.as_strided(memory, (product.number, *shape), steps)
        return made.mT if turned else made

    def run() -> None:
        shapes, turned = ((rows, inner), (inner, columns), (rows, columns)), (*product.transposes, 0)
        given = zip(product.matrices, shapes, product.leading, product.strides, turned, strict=True)
        a, b, c = (seen(*one) for one in given)
        c[...] = a @ b

    return run


def laid(values: np.ndarray, kind: str) -> np.ndarray:
    """The matrices, laid out in one of six ways."""
    rows, columns = values.shape[-2:]
    wide = np.full((*values.shape[:-2], 2 * rows + 3, 2 * columns + 3), np.nan)
    turned = np.full((*values.shape[:-2], 2 * columns + 3, 2 * rows + 3), np.nan).mT
    made = {
        "rows": lambda: values.copy(order="C"),
        "columns": lambda: np.ascontiguousarray(values.mT).mT,
        "part of rows": lambda: wide[..., 1 : 1 + rows, 2 : 2 + columns],
        "part of columns": lambda: turned[..., 1 : 1 + rows, 2 : 2 + columns],
        "every other": lambda: wide[..., : 2 * rows : 2, : 2 * columns : 2],
        "reversed": lambda: wide[..., :rows, :columns][..., ::-1, :],
    }[kind]()
    made[...] = values
    return made


STACKS = [((), (), ()), ((3,), (3,), (3,)), ((3,), (), (3,)), ((), (2, 3), (2, 3)), ((2, 1), (3,), (2, 3)),
          ((2, 3), (2, 3), (2, 3)), ((2, 1), (1, 3), (2, 3)), ((1,), (1,), (1,))]  # fmt: skip


@given(
    sizes=st.tuples(*[st.integers(1, 6)] * 3),
    kinds=st.tuples(*[st.sampled_from(KINDS)] * 2),
    stacks=st.sampled_from(STACKS),
    seed=st.integers(0, 100),
)
def test_the_numbers_for_cublas_give_the_product(sizes: Any, kinds: Any, stacks: Any, seed: int) -> None:
    (m, k, n), (one, other, both) = sizes, stacks
    a, b = Stream(seed).normal((*one, m, k)), Stream(seed + 1).normal((*other, k, n))
    first, second, out = laid(a, kinds[0]), laid(b, kinds[1]), np.full((*both, m, n), np.nan)
    run = prepared(first, second, out, column_major)
    run()
    np.testing.assert_allclose(out, a @ b, rtol=1e-12, atol=1e-14)
    first *= 2  # a factor that had to be copied is copied again
    run()
    np.testing.assert_allclose(out, 2 * (a @ b), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("stacks", STACKS[:6])
def test_a_stack_is_one_batch_where_its_matrices_lie_evenly(stacks: Any) -> None:
    seen: list[Gemm] = []
    a, b, out = (np.ones((*stack, 4, 4)) for stack in stacks)
    prepared(a.mT, b, out, lambda product: seen.append(product) or column_major(product))()
    assert sum(one.number for one in seen) == max(1, out.size // 16)
    assert len(seen) == (2 if stacks[0] == (2, 1) else 1)


@pytest.mark.parametrize("lengths", [(2, 9), (9, 2)])
def test_stacks_that_lie_unevenly_are_few_batches(lengths: tuple[int, int]) -> None:
    """As those of many networks do: they are split along the shorter axis, whichever it is."""
    seen: list[Gemm] = []
    a, b = (np.ones((*lengths, 4, 4)) for _ in range(2))
    out = np.zeros((lengths[0], lengths[1] + 1, 4, 4))[:, : lengths[1]]
    prepared(a, b, out, lambda product: seen.append(product) or column_major(product))()
    assert len(seen) == 2
    np.testing.assert_array_equal(out, 4.0)


def test_a_factor_that_all_matrices_share_is_copied_in_order() -> None:
    a, b = Stream(1).normal((4, 3)), Stream(2).normal((5, 3, 2))
    first, out = np.broadcast_to(laid(a, "every other"), (5, 4, 3)), np.zeros((5, 4, 2))
    prepared(first, b, out, column_major)()
    np.testing.assert_allclose(out, a @ b, rtol=1e-12)


def test_what_lies_row_by_row_or_column_by_column_is_not_copied() -> None:
    for kind in KINDS[:4]:
        x = laid(np.ones((3, 4)), kind)
        assert operand(x.shape, x.strides, x.itemsize) is not None, kind
        assert operand(x.T.shape, x.T.strides, x.itemsize) is not None, kind
    for kind in KINDS[4:]:
        x = laid(np.ones((3, 4)), kind)
        assert operand(x.shape, x.strides, x.itemsize) is None, kind


@pytest.mark.gpu
@pytest.mark.parametrize("stacks", STACKS, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products_on_a_device_are_those_of_the_host(stacks: Any, dtype: str) -> None:
    backend = open_place("cupy")
    library, (one, other, both) = importlib.import_module("cupy"), stacks
    a, b = Stream(1).normal((*one, 7, 50)).astype(dtype), Stream(2).normal((*other, 50, 9)).astype(dtype)
    with backend.scope(dtype):
        first, out = backend.asarray(np.ascontiguousarray(a.mT)).mT, backend.asarray(np.zeros((*both, 7, 9), dtype))
        printed_device(library).product(first, backend.asarray(b), out, "highest")()
        found = backend.to_numpy(out)
    np.testing.assert_allclose(found, a @ b, rtol=0, atol=50 * np.finfo(dtype).eps * 50)
