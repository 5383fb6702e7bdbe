"""The precisions of float32 products on CuPy."""

from contextlib import AbstractContextManager
from typing import Any

from mlpcore.backends.precision import Scope, switched


def precisions(cupy: Any, number: int) -> dict[str, Scope]:
    """The contexts of the precisions: "highest", and from compute capability 8.0 (Ampere) also "tf32" and "bfloat16".

    All set CuPy's own products to true float32, whatever CUPY_TF32 says, by a private switch that is global to the
    process: TF32 and bfloat16 are used in printed programs only.
    """
    core = cupy._core

    def exact() -> AbstractContextManager[None]:
        default = core._routines_linalg.COMPUTE_TYPE_DEFAULT
        return switched(lambda: core.get_compute_type("f4"), lambda value: core.set_compute_type("f4", value), default)

    ampere = not cupy.cuda.runtime.is_hip and int(cupy.cuda.Device(number).compute_capability) >= 80
    return dict.fromkeys(("highest", "tf32", "bfloat16") if ampere else ("highest",), exact)
