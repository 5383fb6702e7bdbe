"""Printed kernels under NVIDIA's compiler, as CuPy calls it, without a device.

``python tests/helpers/nvrtc.py 0 1000`` compiles random graphs; tests/compiler/cuda/test_nvrtc.py what is
printed for members.
"""

import argparse
import random
import re
import time
from collections.abc import Iterable
from importlib import import_module
from typing import Any

import pytest
from cuda_host import KERNEL
from fuzz import ROWS
from graphs import random_graph
from optional import optional

from mlpcore.backends.cupy.device import OPTIONS
from mlpcore.compiler.cuda.program import DeviceProgram
from mlpcore.compiler.trace import Tracer

ARCHITECTURES = ("80", "90", "100")
TOGETHER = 100  # kernels of a text: the functions before them are compiled as often
GRAPHS = 20  # of a program, as in tests/helpers/fuzz.py


def compiler() -> Any:
    """CuPy's module of compilers; skips with the reason where NVRTC is missing."""
    optional("cupy")
    module = import_module("cupy.cuda.compiler")
    try:
        module.nvrtc.getVersion()
    except Exception as error:
        pytest.skip(f"NVRTC cannot be loaded (pip install nvidia-cuda-nvrtc): {str(error).splitlines()[0]}")
    return module


def machine_code(code: str, architecture: str, form: str = "cubin") -> bytes:
    """The text compiled by CuPy's own call, with its own options, or as "ptx". Only the question for which device is
    answered here: CuPy asks the driver for it."""
    module = compiler()
    with pytest.MonkeyPatch.context() as patch:
        answer = f"-arch={'sm' if form == 'cubin' else 'compute'}_{architecture}", form
        patch.setattr(module, "_get_arch_for_options_for_nvrtc", lambda arch=None: answer)
        options = (*OPTIONS, "-ftz=true")  # added where CuPy looks the text up among those that it keeps
        made, _ = module.compile_using_nvrtc(code, options, architecture, cache_in_memory=True)
    return made


def spilled(code: str, architecture: str, name: str) -> int:
    """The bytes of a thread's variables that a kernel stores for lack of registers, by the compiler's own report."""
    module = compiler().nvrtc
    program = module.createProgram(code, "kernels.cu", (), ())
    module.compileProgram(program, (*OPTIONS, "-ftz=true", f"-arch=sm_{architecture}", "--ptxas-options=-v"))
    about = module.getProgramLog(program).partition(f"Function properties for {name}\n")[2]
    return int(re.findall(r"(\d+) bytes spill stores", about)[0])


def distinct(sources: Iterable[str]) -> list[str]:
    """Texts with all kernels of these sources, of those that differ in names alone one."""
    found: dict[str, str] = {}
    functions = ""
    for source in sources:
        before = source[: source.index('extern "C" __global__')].rpartition("// ")[0]
        functions = max(functions, before, key=len)  # with the draws, where there are some
        for kernel in KERNEL.finditer(source):
            key = _renumbered(f"({kernel[2]}) {{{kernel[3]}")
            found.setdefault(key, kernel[0].replace(f" {kernel[1]}(", f" {kernel[1]}_{len(found)}(", 1))
    kernels = list(found.values())
    return [functions + "\n".join(kernels[i : i + TOGETHER]) for i in range(0, len(kernels), TOGETHER)]


def _renumbered(text: str) -> str:
    """The text with its variables counted in the order in which they come."""
    numbers: dict[str, int] = {}
    return re.sub(r"\b([vus])\d+", lambda one: f"{one[1]}{numbers.setdefault(one[0], len(numbers))}", text)


def random_source(first: int, last: int) -> str:
    """Random graphs as one program."""
    tracer, outputs, pairs = Tracer(), [], []
    rows = random.Random(first).choice(ROWS)
    for seed in range(first, last):
        graph = random_graph(seed, rows)
        inputs = [tracer.input(shape, array.dtype) for shape, array in zip(graph.shapes, graph.arrays, strict=True)]
        values = graph.run(tracer, inputs)
        outputs += [values[i] for i in graph.outputs]
        pairs += [(values[new], values[old]) for new, old in graph.replaced]
    return DeviceProgram(tracer, outputs, pairs).source


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=int)
    parser.add_argument("last", type=int)
    options = parser.parse_args()
    for architecture in ARCHITECTURES:
        begin = time.monotonic()
        for first in range(options.first, options.last, GRAPHS):
            machine_code(random_source(first, min(first + GRAPHS, options.last)), architecture)
        print(
            f"{options.first} to {options.last - 1}: compiled for sm_{architecture}, {time.monotonic() - begin:.0f} s"
        )


if __name__ == "__main__":
    main()
