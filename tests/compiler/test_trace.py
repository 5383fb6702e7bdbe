"""The namespace of traced arrays beside the standard's: what it has, what it refuses, and what the refusal says."""

from typing import Any

import array_api_compat.numpy as host
import array_api_strict
import numpy as np
import pytest
from compiled import call, needs_compiler

from mlpcore.compiler.graph import N, RowsNeeded, Untraceable
from mlpcore.compiler.trace import Tracer

X = np.array([[-1.5, 0.25, 0.75], [0.5, 2.0, -0.5], [0.1, -0.2, 3.0], [1.0, 1.0, 1.0]])
Y = np.array([[0.5, -2.0, 1.0], [1.5, 0.25, -3.0], [0.7, 0.9, 1.1], [1.0, 2.0, 0.5]])
ONE_FLOAT = """
abs asinh atan ceil cos exp expm1 floor isfinite isinf isnan negative positive reciprocal round sign signbit sin sinh
square tan tanh trunc cosh
"""
TWO_FLOATS = """
add atan2 copysign divide equal floor_divide greater greater_equal hypot less less_equal logaddexp maximum minimum
multiply not_equal remainder subtract
"""
WITHIN_ONE = "acos asin atanh"  # |x| < 1
POSITIVE = "log log10 log1p log2 sqrt"
REDUCTIONS = "all any max mean min prod std sum var"

# name: a call; the functions that the compiler promises, with arrays on which they are defined
CALLS: dict[str, Any] = {
    **{name: lambda xp, x, y, name=name: getattr(xp, name)(x) for name in ONE_FLOAT.split()},
    **{name: lambda xp, x, y, name=name: getattr(xp, name)(x, y) for name in TWO_FLOATS.split()},
    **{name: lambda xp, x, y, name=name: getattr(xp, name)(xp.sin(x)) for name in WITHIN_ONE.split()},
    **{name: lambda xp, x, y, name=name: getattr(xp, name)(xp.abs(x)) for name in POSITIVE.split()},
    **{name: lambda xp, x, y, name=name: getattr(xp, name)(x, axis=-1) for name in REDUCTIONS.split()},
    "acosh": lambda xp, x, y: xp.acosh(xp.abs(x) + 1.0),
    "pow": lambda xp, x, y: xp.pow(xp.abs(x), y),
    "logical_and": lambda xp, x, y: xp.logical_and(x > 0, y > 0),
    "logical_or": lambda xp, x, y: xp.logical_or(x > 0, y > 0),
    "logical_xor": lambda xp, x, y: xp.logical_xor(x > 0, y > 0),
    "logical_not": lambda xp, x, y: xp.logical_not(x > 0),
    "bitwise_and": lambda xp, x, y: xp.bitwise_and(x > 0, y > 0),
    "bitwise_or": lambda xp, x, y: xp.bitwise_or(x > 0, y > 0),
    "bitwise_xor": lambda xp, x, y: xp.bitwise_xor(xp.astype(xp.round(x), xp.int32), xp.astype(y, xp.int32)),
    "bitwise_invert": lambda xp, x, y: xp.bitwise_invert(xp.astype(x, xp.int32)),
    "bitwise_left_shift": lambda xp, x, y: xp.bitwise_left_shift(xp.astype(xp.abs(x), xp.int32), 2),
    "bitwise_right_shift": lambda xp, x, y: xp.bitwise_right_shift(xp.astype(xp.abs(y), xp.int32), 1),
    "nextafter": lambda xp, x, y: (xp.nextafter(x, y) - x) * 1e9,  # itself it would hide in the tolerance
    "where": lambda xp, x, y: xp.where(x > y, x, y),
    "clip": lambda xp, x, y: xp.clip(x, -0.5, 1.0),
    "astype": lambda xp, x, y: xp.astype(x, xp.float32),
    "argmax": lambda xp, x, y: xp.argmax(x, axis=-1),
    "matmul": lambda xp, x, y: xp.matmul(x, y.mT[..., :3, :2]),
    "matrix_transpose": lambda xp, x, y: xp.matrix_transpose(x),
    "concat": lambda xp, x, y: xp.concat([x, y], axis=-1),
    "stack": lambda xp, x, y: xp.stack([x, y], axis=1),
    "unstack": lambda xp, x, y: xp.unstack(x, axis=1)[1],
    "reshape": lambda xp, x, y: xp.reshape(x, (-1,)),
    "expand_dims": lambda xp, x, y: xp.expand_dims(x, axis=1),
    "squeeze": lambda xp, x, y: xp.squeeze(x[:, 1:2], axis=1),
    "permute_dims": lambda xp, x, y: xp.permute_dims(x, (1, 0)),
    "moveaxis": lambda xp, x, y: xp.moveaxis(x, 0, 1),
    "flip": lambda xp, x, y: xp.flip(x, axis=-1),
    "broadcast_to": lambda xp, x, y: xp.broadcast_to(x, (2, *x.shape)),
    "broadcast_arrays": lambda xp, x, y: xp.broadcast_arrays(x, y[..., :1])[1],
    "take": lambda xp, x, y: xp.take(x, xp.asarray([2, 0]), axis=1),
    "arange": lambda xp, x, y: xp.arange(1, 10, 2),
    "asarray": lambda xp, x, y: xp.asarray([1.0, 2.0]),
    "zeros": lambda xp, x, y: xp.zeros((2, 3)),
    "ones": lambda xp, x, y: xp.ones((2, 3), dtype=xp.float32),
    "full": lambda xp, x, y: xp.full((2, 3), 1.5),
    "zeros_like": lambda xp, x, y: xp.zeros_like(x),
    "ones_like": lambda xp, x, y: xp.ones_like(x),
    "full_like": lambda xp, x, y: xp.full_like(x, 7),
}
SLICES = [np.s_[1], np.s_[-1], np.s_[::2], np.s_[..., 1], np.s_[:, None, ::-1], np.s_[1:3, :2], np.s_[()], np.s_[2, 0]]


@pytest.mark.parametrize("printer", [pytest.param("C", marks=needs_compiler), "NumPy"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_function_is_that_of_the_standard(dtype: str, printer: str) -> None:
    """All of them in one program, which is compiled once."""
    arrays = [X.astype(dtype), Y.astype(dtype)]
    results = call(
        lambda xp, x, y: [function(xp, x, y) for function in CALLS.values()], arrays, [X.shape, Y.shape], 0, printer
    )
    for found, (name, function) in zip(results, CALLS.items(), strict=True):
        expected = np.asarray(function(host, *arrays))
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype), name
        eps = np.finfo(dtype).eps
        np.testing.assert_allclose(found, expected, rtol=8 * eps, atol=eps, err_msg=name)


@pytest.mark.parametrize("printer", [pytest.param("C", marks=needs_compiler), "NumPy"])
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64", "uint64"])
def test_shifts_by_as_many_bits_as_there_are_and_more(dtype: str, printer: str) -> None:
    x, by = np.meshgrid([1, 77, 127, -1, -100, -128], [0, 1, 7, 8, 31, 33, 64, 70])
    x, by = x.astype(dtype), by.astype(dtype)  # the negative ones become the largest of unsigned types
    for function in ("bitwise_left_shift", "bitwise_right_shift"):
        (found,) = call(lambda xp, x, y, f=function: [getattr(xp, f)(x, y)], [x, by], [x.shape, by.shape], 0, printer)
        np.testing.assert_array_equal(found, getattr(np, function)(x, by))


@pytest.mark.parametrize("key", SLICES, ids=repr)
def test_slices_are_those_of_numpy(key: Any) -> None:
    (found,) = call(lambda xp, x: [x[key]], [X], [X.shape], 0, "NumPy")
    np.testing.assert_array_equal(found, X[key])


# Functions of the standard that need no value on the host, and that nothing here asks for.
LACKING = {
    "argmin",
    "argsort",
    "broadcast_shapes",
    "can_cast",
    "count_nonzero",
    "cumulative_prod",
    "cumulative_sum",
    "diff",
    "meshgrid",
    "repeat",
    "roll",
    "take_along_axis",
    "tensordot",
    "tile",
    "tril",
    "triu",
    "vecdot",
}
COMPLEX = {"conj", "real", "imag"}
BY_VALUE = {
    "from_dlpack",
    "isin",
    "nonzero",
    "searchsorted",
    "unique_all",
    "unique_counts",
    "unique_inverse",
    "unique_values",
}


def test_what_the_standard_has_is_there_or_refused_by_name() -> None:
    names = {name for name in array_api_strict.__all__ if callable(getattr(array_api_strict, name))}
    about = {name for name in names if "strict" in name.lower() or name.startswith("_") or name == "Device"}
    refused = set()
    for name in names - about:
        try:
            getattr(Tracer(), name)
        except Untraceable as error:
            assert str(error) == f"the function {name}"
            refused.add(name)
    assert refused == LACKING | COMPLEX | BY_VALUE


LOOKS = {
    "bool": bool,
    "float": float,
    "int": int,
    "complex": complex,
    "index": lambda x: [0, 1][x],
    "numpy": np.asarray,
    "len": len,
    "iteration": list,
    "membership": lambda x: 1.0 in x,
    "if": lambda x: 1 if x > 0 else 0,
    "write": lambda x: x.__setitem__(0, 1.0),
}


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("shape", [(), (3,), (N,)], ids=str)
def test_a_look_at_numbers_is_refused(look: str, shape: tuple) -> None:
    with pytest.raises(Untraceable, match="the values of an array"):
        LOOKS[look](Tracer().input(shape, "float64"))


@pytest.mark.parametrize("name", ["item", "tolist", "copy", "__dlpack__", "sum"])
def test_a_method_that_the_standard_lacks_or_that_needs_the_numbers_is_not_there(name: str) -> None:
    with pytest.raises(AttributeError, match=name):
        getattr(Tracer().input((), "float64"), name)


@pytest.mark.parametrize("name", ["einsum", "interp", "nan_to_num", "linalg"])
def test_a_function_that_the_standard_lacks_is_refused_by_name(name: str) -> None:
    with pytest.raises(Untraceable, match=f"the function {name}"):
        getattr(Tracer(), name)


@pytest.mark.parametrize("dtype", ["float16", np.dtype("float32").newbyteorder(), np.dtype("float64").newbyteorder()])
def test_floats_of_another_width_or_byte_order_are_refused(dtype):
    tracer = Tracer()
    x = tracer.input((3,), np.dtype(dtype))
    with pytest.raises(Untraceable, match="add of"):
        tracer.add(x, x)


KINDS = ("bool", "signed integer", "unsigned integer", "integral", "real floating", "complex floating", "numeric")


def test_questions_about_dtypes_are_answered_as_by_numpy() -> None:
    """Layers that ask them are traced too."""
    tracer = Tracer()
    dtypes = [np.dtype(name) for name in ("bool", "int8", "uint16", "int64", "float32", "float64")]
    for dtype in dtypes:
        x = tracer.input((N, 3), dtype)
        for kind in (*KINDS, ("bool", "integral"), dtype, np.dtype("float64")):
            assert tracer.isdtype(dtype, kind) == np.isdtype(dtype, kind), (dtype, kind)
        if dtype.kind == "f":
            assert tracer.finfo(x).eps == tracer.finfo(dtype).eps == np.finfo(dtype).eps
        if dtype.kind in "iu":
            assert tracer.iinfo(x).max == tracer.iinfo(dtype).max == np.iinfo(dtype).max
        for other in dtypes:
            if np.isdtype(dtype, ("integral", "bool")) != np.isdtype(other, ("integral", "bool")) or (
                "b" in {dtype.kind, other.kind} and dtype != other
            ):
                with pytest.raises(Untraceable, match="result_type of arrays of"):  # which the standard leaves open
                    tracer.result_type(x, other)
                continue
            assert tracer.result_type(x, other) == tracer.result_type(other, dtype) == np.result_type(dtype, other)
    assert tracer.result_type(tracer.input((3,), "float32"), 2.5) == np.float32


def test_one_length_of_a_new_shape_can_be_left_open() -> None:
    tracer = Tracer()
    x = tracer.input((N, 3, 4), "float64")
    shapes: list[tuple[tuple[Any, ...], tuple[Any, ...]]] = [
        ((N, -1), (N, 12)),
        ((-1, 12), (N, 12)),
        ((3, -1, 4), (3, N, 4)),
        ((-1, N, 3), (4, N, 3)),
        ((N, 3, 4, -1), (N, 3, 4, 1)),
    ]
    for shape, right in shapes:
        assert tracer.reshape(x, shape).shape == right
    for depends in ((-1,), (-1, 3), (N, 5), (12, 4)):
        with pytest.raises(RowsNeeded):
            tracer.reshape(x, depends)


def test_shapes_that_do_not_fit_are_those_that_numpy_refuses() -> None:
    """With the shapes in the message, so that an error of a layer says what is wrong before it runs."""
    tracer = Tracer()
    x, y = tracer.input((4, 3), "float64"), tracer.input((2, 5), "float64")
    with pytest.raises(ValueError, match=r"shape \(4, 3\) cannot have the shape \(5, 2\)"):
        tracer.reshape(x, (5, 2))
    with pytest.raises(ValueError, match=r"shape \(4, 3\) does not broadcast to \(4, 1\)"):
        tracer.broadcast_to(x, (4, 1))
    with pytest.raises(ValueError, match=r"a product of the shapes \(4, 3\) and \(2, 5\)"):
        tracer.matmul(x, y)
    with pytest.raises(ValueError, match="a product with an array without axes"):
        tracer.matmul(x, tracer.asarray(1.0))
    with pytest.raises(Untraceable, match="a product of matrices of int64"):
        tracer.matmul(tracer.input((2, 2), "int64"), tracer.input((2, 2), "int64"))
    with pytest.raises(Untraceable, match="take without an axis"):
        tracer.take(x, tracer.asarray([0]))
    with pytest.raises(Untraceable, match="an array of <U1"):
        tracer.asarray(["a"])
    with pytest.raises(Untraceable, match="maximum of numbers without an array"):
        tracer.maximum(1.0, 2.0)
