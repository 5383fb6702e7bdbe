"""Runs the CUDA sources of `mlpcore.kernels.cuda` on the CPU (g++ and cuda_shim.h), and compiles them with NVRTC."""

import atexit
import ctypes
import hashlib
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import array_api_compat.numpy as compat
import numpy as np
import pytest

from mlpcore.kernels.cuda import Source
from mlpcore.kernels.cuda.device import Device

SHIM = Path(__file__).parent / "cuda_shim.h"
COMPILER = shutil.which("g++")
C_TYPES = {"float": ctypes.c_float, "double": ctypes.c_double, "long long": ctypes.c_longlong, "int": ctypes.c_int}
C_TYPES |= {"unsigned long long": ctypes.c_ulonglong, "unsigned int": ctypes.c_uint}
needed = pytest.mark.skipif(COMPILER is None, reason="g++ is not installed: no CUDA source was run in these tests")


def parameters(source: Source) -> list[tuple[str, str]]:
    """``(C type, name)`` of the kernel's parameters; a pointer's type ends with ``*``."""
    found = re.search(
        rf'extern "C" __global__ void (?:__launch_bounds__\([^)]*\) )?{source.name}\(([^)]*)\)', source.code
    )
    assert found, f"no kernel {source.name}"
    alias = re.search(r"typedef (\w+) T;", source.code)
    pairs = []
    for part in found.group(1).split(","):
        words = part.replace("__restrict__", "").replace("*", " * ").split()
        kind = " ".join(word for word in words[:-1] if word not in ("const", "*"))
        kind = alias.group(1) if kind == "T" and alias else kind
        pairs.append((kind + ("*" if "*" in words else ""), words[-1]))
    return pairs


FLAGS = ["-std=c++17", "-O1", "-w", "-fPIC", "-ffp-contract=off", "-fno-strict-aliasing"]


@cache
def _folder() -> Path:
    """A folder with the shim, compiled beforehand: that halves the time of every kernel."""
    folder = tempfile.TemporaryDirectory(prefix="mlpcore-cuda-")
    atexit.register(folder.cleanup)
    header = Path(folder.name) / SHIM.name
    header.write_text(SHIM.read_text())
    subprocess.run([COMPILER, *FLAGS, "-x", "c++-header", header, "-o", f"{header}.gch"], check=True)
    return Path(folder.name)


@cache
def compiled(source: Source):
    """The kernel as a C function of grid, block and its parameters."""
    names = [name for _, name in parameters(source)]
    declared = re.search(rf"{source.name}\(([^)]*)\)", source.code[source.code.index('extern "C"') :]).group(1)
    together = "true" if re.search(r"__sync|__shfl", source.code) else "false"
    runner = f"""
extern "C" void run_it(const unsigned *grid_, const unsigned *block_, {declared}) {{
  shim::run(grid_, block_, {together}, [=] {{ {source.name}({", ".join(names)}); }});
}}
"""
    stem = _folder() / hashlib.sha1(source.code.encode()).hexdigest()
    stem.with_suffix(".cpp").write_text(f'#include "{SHIM.name}"\n{source.code}\n{runner}')
    built = subprocess.run(
        [COMPILER, *FLAGS, "-shared", str(stem.with_suffix(".cpp")), "-o", str(stem.with_suffix(".so"))],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr[:4000] + source.code
    return ctypes.CDLL(str(stem.with_suffix(".so"))).run_it


class Emulator:
    """A `Device` of host memory; ``launched`` lists the sources that were run, with blocks and threads.

    ``backwards``: the threads of a block take their turns from the last to the first, which must not matter.
    """

    def __init__(self, backwards: bool = False) -> None:
        self.backwards = backwards
        self.launched: list[tuple] = []
        self.device = Device(
            kind=(np.ndarray, np.generic),  # NumPy gives numbers where CuPy gives arrays without axes
            library=compat,
            launch=self.launch,
            empty=lambda shape, dtype: np.full(shape, 99, dtype),  # no number that a kernel could rely on
            address=lambda x: x.ctypes.data if isinstance(x, np.ndarray) else 0,
            packed=lambda x: x.flags.c_contiguous,
        )

    def launch(self, source: Source, blocks, threads, arguments: tuple) -> None:
        self.launched.append((source, blocks, threads))
        given, kept = [], []
        kinds = parameters(source)
        assert len(kinds) == len(arguments), (kinds, len(arguments))
        for (kind, name), value in zip(kinds, arguments, strict=True):
            if kind.endswith("*"):
                value = np.asarray(value)
                kept.append(value)
                assert value.flags.c_contiguous, name
                assert np.dtype(ctypes_of(kind)) == value.dtype, (name, kind, value.dtype)
                given.append(ctypes.c_void_p(value.ctypes.data))
            else:
                assert type(value) is int or isinstance(value, np.generic), (name, type(value))
                size = 8 if type(value) is int else value.dtype.itemsize
                assert ctypes.sizeof(C_TYPES[kind]) == size, (name, kind, value)
                given.append(C_TYPES[kind](value if type(value) is int else value.item()))
        sizes = [(ctypes.c_uint * 4)(*_three(of), self.backwards) for of in (blocks, threads)]
        compiled(source)(*sizes, *given)


def ctypes_of(kind: str) -> type:
    """The element of a pointer."""
    return {"bool": np.bool_}.get(kind.rstrip("*")) or C_TYPES[kind.rstrip("*")]


def _three(sizes: tuple) -> tuple:
    return (*sizes, 1, 1)[:3]


def nvrtc():
    """CuPy's binding of the compiler, which needs neither a device nor a driver; skips with the reason without it."""
    pytest.importorskip("cupy", reason="CuPy is not installed: no CUDA source was compiled for a GPU")
    from cupy.cuda import nvrtc

    try:
        nvrtc.getVersion()
    except Exception as error:
        pytest.skip(f"NVRTC cannot be loaded (pip install nvidia-cuda-nvrtc): {str(error).splitlines()[0]}")
    return nvrtc


def usage(source: Source, architecture: str) -> dict[str, int]:
    """Compiles for ``sm_80`` and so on; registers, and bytes of stack, spill stores and spill loads."""
    library = nvrtc()
    program = library.createProgram(source.code, f"{source.name}.cu", [], [])
    options = [f"-arch={architecture}", "--std=c++17", "--ptxas-options=-v", *source.options]
    try:
        library.compileProgram(program, options)
    except Exception:
        pytest.fail(library.getProgramLog(program) + source.code)
    log = library.getProgramLog(program)
    library.destroyProgram(program)
    found = re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", log)
    assert found, log
    return dict(zip(("stack", "stores", "loads"), map(int, found.groups()), strict=True)) | {
        "registers": int(re.search(r"Used (\d+) registers", log).group(1))
    }
