"""NVIDIA's compiler takes every printed kernel: of steps and predictions of all members, and of random graphs."""

import re
from functools import cache

import nvrtc
import pytest
from cuda_host import KERNEL
from printing import CASES, dtypes, programs

from mlpcore.backends.compilation import ONE_KERNEL

DTYPES = ("float32", "float64")
ROW_TILES = (  # one kernel for all work by rows
    *("workload tiny", "workload digits", "workload tabular", "layer Dropout", "layer LayerNorm", "layer nested"),
    *("loss GaussianNLL", "tf32", "bfloat16"),
)
MOST_SPILLED = 96  # bytes of a thread; plain networks have none


@cache
def texts(dtype: str) -> list[str]:
    """All that is printed for the members."""
    made = [programs(case, dtype) for case in CASES.values() if dtype in dtypes(case)]
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


@pytest.mark.parametrize("architecture", nvrtc.ARCHITECTURES)
def test_kernels_over_tiles_of_rows_compile(architecture: str) -> None:
    """With nearly all variables in registers, and products of rounded factors by tensor cores."""
    nvrtc.compiler()
    for name in ROW_TILES:
        (printed, *_), _ = programs(CASES[name], "float32", ONE_KERNEL)
        code = nvrtc.machine_code(printed.source, architecture, "ptx").decode()
        products = re.findall(r"mma\.sync\.aligned\.m16n8k\d+\.row\.col\.f32\.(\w+)", code)
        assert set(products) == {{"tf32": "tf32", "bfloat16": "bf16"}.get(name, "")} - {""}
        spilled = nvrtc.spilled(printed.source, architecture, "row_tiles")
        assert spilled <= MOST_SPILLED, (name, spilled)


@pytest.mark.parametrize("dtype", DTYPES)
def test_entries_side_by_side_are_read_and_written_at_once(dtype: str) -> None:
    """As often as the text says so, in every kernel: the compiler may take such accesses apart, and did for some forms
    of an address."""
    nvrtc.compiler()
    seen = 0
    for text in texts(dtype):
        code = nvrtc.machine_code(text, "80", "ptx").decode()
        bodies = {body.partition("(")[0]: body for body in code.split(".visible .entry ")[1:]}
        for kernel in KERNEL.finditer(text):
            for asked, done in (
                ("read_entries<", r"ld\.global\.(nc\.)?v[24]"),
                ("write_entries<", r"st\.global\.v[24]"),
            ):
                count = kernel[3].count(asked)
                assert len(re.findall(done, bodies[kernel[1]])) >= count, kernel[0]
                seen += count
    assert seen > 500


def test_what_is_wrong_is_seen() -> None:
    module, text = nvrtc.compiler(), texts("float32")[0]
    for wrong in (re.sub(r"v(\d+) = ", r"w\1 = ", text, count=1), text.replace("const I n = rows;", "", 1)):
        with pytest.raises(module.CompileException, match="is undefined"):
            nvrtc.machine_code(wrong, "90")
