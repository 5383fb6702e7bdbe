"""A process that fits ever new networks keeps no memory of them: caches are bounded, and libraries are unloaded."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from compiled import needs_compiler
from devices import emulated_device, open_place

MIB = 1 << 20
# Modes of the emulated device that keep memory to find errors.
MODES = [f"CUDA_ON_CPU_{mode}" for mode in ("POOL", "RACES", "FENCE")]

PROGRAM = """
import ctypes, gc, sys
import numpy as np
import mlpcore as mc
from mlpcore.backends.compiled import step_cache
from mlpcore.compiler import program
from mlpcore.compiler.once import Once

kind, fits, mark, caches = sys.argv[1], *map(int, sys.argv[2:])
step_cache.CACHE_SIZE = min(step_cache.CACHE_SIZE, caches)
program.library = Once(program.library.function, min(program.LIBRARIES, caches))
random = np.random.default_rng(0)
X, Y = (random.normal(size=(64, columns)).astype("float32") for columns in (7, 2))
FUNCTIONS = [mc.Tanh(), mc.ReLU(), mc.GELU(), mc.Mish()]


def net(i, columns):
    '''The i-th network: no two of 2,000 have the same shapes.'''
    first, second = 3 + i % 50, 2 + i // 50
    dropout = [mc.Dropout(0.1)] if i % 3 == 0 else []
    return mc.Sequential(
        mc.Linear(columns, first), FUNCTIONS[i % 4], *dropout, mc.Linear(first, second), mc.Tanh(), mc.Linear(second, 2)
    )


def fit(i, kind):
    i = i % 2 if kind == "cupy" else i  # whose kernels take the emulated device seconds to compile
    rows, columns = 20 + i % 40, 1 + i % 7
    x, y = X[:rows, :columns], Y[:rows]
    words = {"epochs": 2, "batch_size": 8 + i % 9} | ({} if kind == "C" else {"validation_data": (x, y)})
    if kind == "estimators":
        from mlpcore.sklearn import MLPClassifier

        sizes = (3 + i % 50, 2 + i // 50)
        return MLPClassifier(sizes, max_iter=2, batch_size=8).fit(x, (y[:, 0] > 0).astype(int)).predict(x)
    if kind == "stacks":
        models = [mc.Model(net(3 * i + 1, columns), mc.SquaredError(), compile=False, seed=seed) for seed in range(3)]
        return mc.Stack(models).fit(x, y, **words)
    place = {"compile": kind == "C"} if kind != "cupy" else {"backend": "cupy"}
    optimizer = [mc.Adam(), mc.SGD(0.1)][i % 2]
    model = mc.Model(net(i, columns), mc.SquaredError(), optimizer, seed=i, ema=[None, 0.9][i % 5 == 0], **place)
    model.fit(x, y, **words)
    if kind not in ("C", "cupy"):  # whose compilations take most of the time
        model.predict(x), model.input_gradient(x, 0)


def memory():
    '''Bytes in memory and the number of libraries, when all that can be freed is.'''
    gc.collect()
    if "cupy" in sys.modules:
        sys.modules["cupy"].get_default_memory_pool().free_all_blocks()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/status") as status, open("/proc/self/maps") as maps:
        resident = next(int(line.split()[1]) << 10 for line in status if line.startswith("VmRSS"))
        return resident, len({line.split()[-1] for line in maps if ".so" in line})


def kind_of(i):
    '''Of twenty fits of a mix one is compiled, one is of an estimator and one of a stack.'''
    return {1: "C", 7: "estimators", 13: "stacks"}.get(i % 20, "NumPy calls") if kind == "mix" else kind


for i in range(fits):
    if i == mark:
        before = memory()
    fit(i, kind_of(i))
after = memory()
print(*before, *after)
"""

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/maps").exists(), reason="only Linux tells what a process has loaded"
)


def grown(kind: str, fits: int, mark: int, caches: int) -> tuple[int, int]:
    """By how many bytes and libraries a process has grown between the fit ``mark`` and the last."""
    words = [sys.executable, "-W", "ignore", "-c", PROGRAM, kind, *map(str, (fits, mark, caches))]
    plain = {name: value for name, value in os.environ.items() if name not in MODES}
    done = subprocess.run(words, capture_output=True, text=True, timeout=3600, env=plain)
    assert done.returncode == 0, done.stderr
    bytes_before, libraries_before, bytes_after, libraries_after = map(int, done.stdout.split())
    return bytes_after - bytes_before, libraries_after - libraries_before


@needs_compiler
@pytest.mark.parametrize(("kind", "fits", "mark"), [("C", 10, 5), ("mix", 60, 20)])
def test_small_caches_are_soon_full(kind: str, fits: int, mark: int) -> None:
    more, libraries = grown(kind, fits, mark, caches=1)
    assert more < 3 * MIB and libraries <= 0, (more, libraries)


@needs_compiler
@pytest.mark.long
def test_two_thousand_fits_of_changing_shapes() -> None:
    more, libraries = grown("mix", 2000, 200, caches=1 << 30)
    print(f"{more / MIB:.1f} MiB and {libraries} libraries more after 2,000 fits than after 200")
    assert more < 10 * MIB, f"{more / MIB:.1f} MiB"


@pytest.mark.gpu
def test_on_a_device() -> None:
    """On the emulated one, whose memory is that of the process; every model loads its kernels anew."""
    emulated_device("has its memory in the process")
    open_place("cupy")
    more, _ = grown("cupy", 24, 8, caches=1)
    assert more < 5 * MIB, more
