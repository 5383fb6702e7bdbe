"""Products with epilogues as NumPy computes them, for the device of tests/helpers/cuda_host.py."""

import math
from collections.abc import Callable

import numpy as np

from mlpcore.compiler.cuda.device import ProductWithEpilogue

ROOT, CUBIC = math.sqrt(2 / math.pi), 0.044715


def fused_product(call: ProductWithEpilogue, product: Callable[..., Callable[[], None]]) -> Callable[[], None]:
    """The product with its epilogue; ``product`` is that of a device, without one."""
    values = np.empty_like(call.out)
    plain = product(call.a, call.b, values, call.precision)

    def run() -> None:
        plain()
        if call.bias is not None:
            values[...] += call.bias
        if call.activation:
            values[...] = (gradient if call.gradient else activated)(values, call)
        call.out[...] = values
        if call.sums is not None:
            summed = values if call.activation else call.b
            call.sums[...] = summed.sum(axis=-2, keepdims=True)

    return run


def activated(z: np.ndarray, call: ProductWithEpilogue) -> np.ndarray:
    """The activation; what its derivative needs is written to ``saved``. As on a device, ReLU hides NaN."""
    if call.activation == "gelu":
        call.saved[...] = z
        return 0.5 * z * (1 + np.tanh(ROOT * (z + CUBIC * z**3)))
    bits = np.packbits(z > 0, axis=-1, bitorder="little")
    call.saved[..., : bits.shape[-1]] = bits
    return np.where(z > 0, z, 0)


def gradient(dy: np.ndarray, call: ProductWithEpilogue) -> np.ndarray:
    """dy times the derivative of the activation, by what was saved."""
    if call.activation == "relu":
        return np.where(np.unpackbits(call.saved, axis=-1, bitorder="little")[..., : dy.shape[-1]], dy, 0)
    z = call.saved
    t = np.tanh(ROOT * (z + CUBIC * z**3))
    return dy * (0.5 * (1 + t) + 0.5 * z * (1 - t * t) * ROOT * (1 + 3 * CUBIC * z * z))
