"""The precisions of products on CuPy."""

from contextlib import AbstractContextManager
from typing import Any

from mlpcore.backends.precision import Scope, switched


def precisions(cupy: Any, number: int) -> dict[str, Scope]:
    """True float32 whatever CUPY_TF32 says; TF32 and bfloat16 from Ampere on (capability 8.0), in printed programs.

    CuPy's own products are of true float32 in all of them. Its switch is private to it and belongs to the process.
    """
    core = cupy._core

    def exact() -> AbstractContextManager[None]:
        default = core._routines_linalg.COMPUTE_TYPE_DEFAULT
        return switched(lambda: core.get_compute_type("f4"), lambda value: core.set_compute_type("f4", value), default)

    ampere = not cupy.cuda.runtime.is_hip and int(cupy.cuda.Device(number).compute_capability) >= 80
    return dict.fromkeys(("highest", "tf32", "bfloat16") if ampere else ("highest",), exact)
