"""The Array API namespace of CuPy."""

from types import ModuleType
from typing import Any

CONCATENATED = 8  # the most arrays that CuPy concatenates without sending a table of their addresses


def without_host_reads(cupy: Any, compat: ModuleType) -> ModuleType:
    """array-api-compat's namespace for CuPy, with ``clip``, ``sign`` and ``concat`` that do not stop the host.

    array-api-compat's ``clip`` and ``sign`` index by masks, and so wait for the device. CuPy's ``concatenate`` of more
    than 8 arrays sends a table of their addresses.
    """

    def clip(x: Any, /, min: Any = None, max: Any = None) -> Any:
        return cupy.clip(x, min, max)

    def sign(x: Any, /) -> Any:
        signs = cupy.sign(x)
        return signs if x.dtype.kind in "iu" else cupy.where(x == x, signs, x)  # CuPy's sign of NaN is 0

    def concat(arrays: Any, /, *, axis: int | None = 0) -> Any:
        parts = list(arrays)
        while len(parts) > CONCATENATED:
            parts = [compat.concat(parts[i : i + CONCATENATED], axis=axis) for i in range(0, len(parts), CONCATENATED)]
        return compat.concat(parts, axis=axis)

    module = ModuleType(compat.__name__)
    vars(module).update(vars(compat) | {"clip": clip, "sign": sign, "concat": concat})
    return module
