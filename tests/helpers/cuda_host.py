"""A device of host memory for printed CUDA programs: g++ and cuda_shim.h compile their kernels for the CPU."""

import atexit
import ctypes
import hashlib
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from host_epilogues import fused_product

from mlpcore.backends import get_backend
from mlpcore.backends.backend import Backend, Compilers
from mlpcore.backends.compilation import CHOICES, ONE_KERNEL
from mlpcore.backends.compiled.device_functions import device_jit
from mlpcore.backends.compiled.device_groups import run_as_one
from mlpcore.backends.compiled.device_steps import device_steps
from mlpcore.backends.run import run_eagerly
from mlpcore.compiler.cuda.device import Device
from mlpcore.compiler.cuda.schedule import BLOCK

SHARED_BYTES = 99 << 10  # of a block
SHIM = Path(__file__).parent / "cuda_shim.h"  # what kernels see; cuda_shim.cpp beside it runs their threads
LOCK = threading.Lock()  # the threads of a kernel take turns in memory that all kernels share
COMPILER = shutil.which("g++")
needed = pytest.mark.skipif(COMPILER is None, reason="g++ is not installed: no CUDA source was run in these tests")
FLAGS = ["-std=c++17", "-O0", "-w", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off", "-fno-strict-aliasing"]
# An access of 16 bytes that does not begin at a multiple of 16 ends the process: a device refuses it, a CPU would not.
FLAGS += ["-fsanitize=alignment", "-fsanitize-undefined-trap-on-error"]
KERNEL = re.compile(r'extern "C" __global__ void __launch_bounds__\([\d, ]+\) (\w+)\(([^)]*)\) \{(.*?)\n\}', re.DOTALL)


@cache
def folder() -> Path:
    """A folder with the shim, compiled beforehand: that takes two thirds off the time of every kernel."""
    made = tempfile.TemporaryDirectory(prefix="mlpcore-cuda-")
    atexit.register(made.cleanup)
    header = Path(made.name) / SHIM.name
    header.write_text(SHIM.read_text())
    subprocess.run([COMPILER, *FLAGS, "-x", "c++-header", header, "-o", f"{header}.gch"], check=True)
    subprocess.run([COMPILER, *FLAGS, "-c", SHIM.with_suffix(".cpp"), "-o", header.with_suffix(".o")], check=True)
    return Path(made.name)


@cache
def library(code: str) -> ctypes.CDLL:
    """All kernels of a source as C functions ``run_NAME(grid, block, arguments)``."""
    runners = []
    for name, declared, body in KERNEL.findall(code):
        names = [part.replace("*", " ").split()[-1] for part in declared.split(",")]
        together = "true" if re.search(r"__sync|__shfl", body) else "false"
        call = f"""auto call = [=] {{ {name}({", ".join(names)}); }};
  shim::run(g, b, {together}, [](void *it) {{ (*(decltype(call) *)it)(); }}, &call);"""
        head = f'extern "C" __attribute__((visibility("default"))) void run_{name}'
        runners.append(f"{head}(const unsigned *g, const unsigned *b, {declared}) {{\n  {call}\n}}")
    stem = folder() / hashlib.sha1(code.encode()).hexdigest()
    code = re.sub(r"extern __shared__ double (\w+)\[\];", f"static double \\1[{SHARED_BYTES // 8}];", code)
    stem.with_suffix(".cpp").write_text("\n".join([f'#include "{SHIM.name}"', code, *runners]))
    command = [COMPILER, *FLAGS, "-shared", f"{stem}.cpp", folder() / "cuda_shim.o", "-o", f"{stem}.so"]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr[:3000] + code
    return ctypes.CDLL(f"{stem}.so")


@cache
def kinds(code: str, name: str) -> list[str]:
    """The C types of a kernel's parameters, ``*`` for pointers."""
    (declared,) = [declared for one, declared, _ in KERNEL.findall(code) if one == name]
    return ["*" if "*" in part else " ".join(part.split()[:-1]) for part in declared.split(",")]


def structure(value: np.void) -> ctypes.Structure:
    """A structure of 64-bit integers as ctypes passes it."""
    words = {"_fields_": [("words", ctypes.c_longlong * (value.nbytes // 8))]}
    return type("Words", (ctypes.Structure,), words).from_buffer_copy(value.tobytes())


def product(a: np.ndarray, b: np.ndarray, out: np.ndarray, precision: str) -> Callable[[], None]:
    """A product of factors of that precision, with sums in the dtype of the result."""
    kept = {"bfloat16": read_bfloat16, "tf32": partial(nearest, bits=10), "highest": lambda x: x}[precision]
    return lambda: np.matmul(kept(a), kept(b), out=out)


def read_bfloat16(bits: np.ndarray) -> np.ndarray:
    """The float32 numbers whose upper halves these are."""
    assert bits.dtype == np.uint16
    return (bits.astype(np.uint32) << 16).view(np.float32)


def nearest(x: np.ndarray, bits: int) -> np.ndarray:
    """float32 numbers rounded to so many bits after the leading one, ties to even."""
    lost = 23 - bits
    whole = x.astype("float32").view("uint32")
    half = np.uint32((1 << (lost - 1)) - 1) + ((whole >> np.uint32(lost)) & np.uint32(1))
    return ((whole + half) >> np.uint32(lost) << np.uint32(lost)).view("float32")


def device(backwards: bool = False) -> Device:
    """The device; ``backwards``: the threads of a block take their turns from the last to the first."""

    def kernel(code: str, name: str, shared: int) -> Callable[[int, int, tuple], None]:
        assert shared <= SHARED_BYTES
        return recorded(partial(launch, code, name))

    def launch(code: str, name: str, blocks: int, members: int, arguments: tuple) -> None:
        given = []
        for kind, value in zip(kinds(code, name), arguments, strict=True):
            if kind == "*":
                assert isinstance(value, np.ndarray) and value.ndim <= 2, (name, value)
                given.append(ctypes.c_void_p(value.ctypes.data))
            else:
                given.append(ctypes.c_longlong(value) if kind == "I" else structure(value))
        grid, block = (ctypes.c_uint * 4)(blocks, members, 1), (ctypes.c_uint * 4)(BLOCK, 1, 1, backwards)
        with LOCK:
            getattr(library(code), f"run_{name}")(grid, block, *given)

    def view(x: np.ndarray, offset: int, shape: tuple, strides: tuple) -> np.ndarray:
        return np.lib.stride_tricks.as_strided(x[offset:], shape, [one * x.itemsize for one in strides])

    this_thread = threading.local()

    def recorded(call: Callable[..., None]) -> Callable[..., None]:
        """The call, which is noted but not made while work is captured."""

        def made(*words: Any) -> None:
            if (calls := getattr(this_thread, "calls", None)) is not None:
                calls.append(partial(call, *words))
            else:
                call(*words)

        return made

    def capture(work: Callable[[], None]) -> Callable[[], None]:
        calls = this_thread.calls = list[Callable[[], None]]()
        try:
            work()
        finally:
            this_thread.calls = None

        def launch_all() -> None:
            for call in calls:
                call()

        return launch_all

    return Device(
        kernel=kernel,
        put=np.array,
        empty=lambda count, dtype: np.full(count * np.dtype(dtype).itemsize, 255, np.uint8).view(dtype),
        view=view,
        product=lambda *words: recorded(product(*words)),
        copy=recorded(lambda source, target: np.copyto(target, source)),
        clear=recorded(lambda target: target.fill(0)),
        read=lambda *arrays: [array.copy() for array in arrays],
        address=lambda x: x.ctypes.data,
        capture=capture,
        fused_product=lambda call: recorded(fused_product(call, product)),
    )


def backend() -> Backend:
    """NumPy's arrays, with steps and predictions as they go on CuPy; threads take their turns backwards."""
    numpy, place = get_backend("numpy"), device(backwards=True)
    steps = device_steps(run_eagerly(numpy.xp, numpy.asarray), place)
    precisions = "highest", "tf32", "bfloat16"
    choices = (*CHOICES, ONE_KERNEL)
    compilers = Compilers(steps, device_jit(place), precisions, run_as_one(place), choices=choices)
    return replace(numpy, compile=compilers)
