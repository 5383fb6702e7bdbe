"""C into machine code by the system's compiler."""

import ctypes
import shutil
import subprocess
import tempfile
from pathlib import Path

COMPILER = "cc"
FLAGS = (
    # Not -O3, which copies the bodies of short loops before it looks for vectors: slower code in twice the time.
    *("-O2", "-ftree-vectorize", "-fvect-cost-model=dynamic"),
    *("-march=native", "-std=gnu11", "-fPIC", "-shared", "-fvisibility=default"),
    # The same bits from every compiler: no fused multiply-add that the text does not ask for; no errno and no traps,
    # which would keep loops from becoming vectors.
    *("-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"),
)


def build(text: str) -> ctypes.CDLL:
    """The library of a C file."""
    executable = shutil.which(COMPILER)
    if executable is None:
        raise FileNotFoundError(f"there is no C compiler {COMPILER!r}")
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "step.c"), Path(folder, "step.so")
        source.write_text(text)
        command = [executable, *FLAGS, str(source), "-o", str(library), "-lm"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{COMPILER} refused the printed text:\n{done.stderr[:2000]}")
        return ctypes.CDLL(str(library))
