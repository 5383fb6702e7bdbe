"""C into machine code by the system's compiler."""

import ctypes
import shutil
import subprocess
import tempfile
from pathlib import Path

COMPILER = "cc"
FLAGS = (
    *("-O3", "-march=native", "-std=gnu11", "-fPIC", "-shared", "-fvisibility=default"),
    # The same bits from every compiler: no fused multiply-add that the text does not ask for; no errno and no traps,
    # which would keep loops from becoming vectors.
    *("-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"),
)


class CompilerError(Exception):
    """The compiler could not be run, or refused the text."""


def find_compiler() -> str | None:
    """The compiler's path, None where there is none."""
    return shutil.which(COMPILER)


def build(text: str) -> ctypes.CDLL:
    """The library of a C file."""
    executable = shutil.which(COMPILER)
    if executable is None:
        raise CompilerError(f"there is no C compiler {COMPILER!r}")
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "step.c"), Path(folder, "step.so")
        source.write_text(text)
        command = [executable, *FLAGS, str(source), "-o", str(library), "-lm"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise CompilerError(f"{COMPILER} refused the printed text:\n{done.stderr[:2000]}")
        return ctypes.CDLL(str(library))
