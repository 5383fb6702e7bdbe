"""`cupy.cuda.thrust` in NumPy, which is possible as memory of the emulated device is memory of the host."""

import ctypes

import numpy as np

available = True


def get_build_version() -> int:
    """The version of Thrust; there is none."""
    return 0


def _array(dtype: np.dtype, address: int, shape: tuple[int, ...]) -> np.ndarray:
    """Device memory as a NumPy array, after waiting for all work on it."""
    from cupy_backends.cuda.api import runtime

    runtime.deviceSynchronize()
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer((ctypes.c_char * size).from_address(address), dtype).reshape(shape)


def sort(dtype: np.dtype, data: int, keys: int, shape: tuple[int, ...]) -> None:
    """Sort the array at the address ``data`` along its last axis."""
    _array(dtype, data, shape).sort(axis=-1, kind="stable")


def argsort(dtype: np.dtype, indices: int, data: int, keys: int, shape: tuple[int, ...]) -> None:
    """Sort the array at the address ``data`` along its last axis, and write the order to the address ``indices``."""
    values = _array(dtype, data, shape)
    order = values.argsort(axis=-1, kind="stable")
    _array(np.dtype(np.intp), indices, shape)[...] = order
    values[...] = np.take_along_axis(values, order, -1)
