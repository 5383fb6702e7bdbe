"""NVIDIA's compiler takes every printed kernel: of steps and predictions of all members, and of random graphs."""

import re
from functools import cache

import nvrtc
import pytest
from printing import CASES, programs

DTYPES = ("float32", "float64")


@cache
def texts(dtype: str) -> list[str]:
    """All that is printed for the members."""
    made = [programs(case, dtype) for case in CASES.values()]
    return nvrtc.distinct(one.source for steps, predictions in made for one in (*steps, *predictions))


@pytest.mark.parametrize("architecture", nvrtc.ARCHITECTURES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_kernels_of_all_members_compile(dtype: str, architecture: str) -> None:
    nvrtc.compiler()
    for text in texts(dtype):
        assert nvrtc.machine_code(text, architecture).startswith(b"\x7fELF")


@pytest.mark.parametrize("architecture", nvrtc.ARCHITECTURES)
def test_random_graphs_compile(architecture: str) -> None:
    nvrtc.compiler()
    for first in range(0, 100, nvrtc.GRAPHS):
        nvrtc.machine_code(nvrtc.random_source(first, first + nvrtc.GRAPHS), architecture)


def test_what_is_wrong_is_seen() -> None:
    module, text = nvrtc.compiler(), texts("float32")[0]
    for wrong in (re.sub(r"v(\d+) = ", r"w\1 = ", text, count=1), text.replace("const I n = rows;", "", 1)):
        with pytest.raises(module.CompileException, match="is undefined"):
            nvrtc.machine_code(wrong, "90")
