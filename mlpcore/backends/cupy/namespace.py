"""The Array API namespace of CuPy."""

from types import ModuleType
from typing import Any

CONCATENATED = 8  # arrays that CuPy joins without sending a table of their addresses


def without_host_reads(cupy: Any, compat: ModuleType) -> ModuleType:
    """The standard's namespace for CuPy, without the functions that wait for the device or send it something.

    The wrapper's ``clip`` and ``sign`` pick by masks, and so wait; CuPy's own ``concatenate`` of more than 8 arrays
    sends a table of their addresses.
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

    made = ModuleType(compat.__name__)
    vars(made).update(vars(compat) | {"clip": clip, "sign": sign, "concat": concat})
    return made
