"""The namespace of CuPy's arrays: the one that layers compute with and that kernels know in formulas must be one."""

from types import ModuleType
from typing import Any


def without_host_reads(cupy: Any, compat: ModuleType) -> ModuleType:
    """The standard's namespace for CuPy, its ``clip`` in one kernel: the wrapper's picks by masks, and so waits."""

    def clip(x: Any, /, min: Any = None, max: Any = None) -> Any:
        return cupy.clip(x, min, max)

    made = ModuleType(compat.__name__)
    vars(made).update(vars(compat) | {"clip": clip})
    return made
