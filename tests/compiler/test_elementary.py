"""exp, expm1, log, log1p and tanh of the printed C: errors in units in the last place, and every special value."""

import ctypes
import math
import shutil
import subprocess
from decimal import Decimal, localcontext

import numpy as np
import pytest
from compiled import needs_compiler

from mlpcore.compiler.build import FLAGS, GCC_FLAGS
from mlpcore.compiler.elementary import text
from mlpcore.compiler.program import library

pytestmark = needs_compiler
LARGEST = {"exp": 1.0, "expm1": 1.7, "log": 0.9, "log1p": 1.5, "tanh": 2.5}  # units in the last place
SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, -1.0, -2.0, 1e30, -1e30, 1e-40]
INNER = ("", "fabsf", "-fabsf", *(f"mlp_{name}f" for name in LARGEST))
KINDS = {"float32": ("float", "f"), "float64": ("double", "")}
HEAD = "#include <math.h>\n#include <stdint.h>\n"


def compute(name: str, x: np.ndarray) -> np.ndarray:
    source = HEAD + text("float") + text("double")
    for kind, suffix in KINDS.values():
        for function in LARGEST:
            source += (
                f"void {function}_all{suffix}({kind} *restrict y, const {kind} *restrict x, int64_t n) "
                f"{{ for (int64_t i = 0; i < n; i++) y[i] = mlp_{function}{suffix}(x[i]); }}\n"
            )
    y = np.empty_like(x)
    function = getattr(library(source), f"{name}_all{KINDS[str(x.dtype)][1]}")
    function(ctypes.c_void_p(y.ctypes.data), ctypes.c_void_p(x.ctypes.data), ctypes.c_int64(x.size))
    return y


@pytest.mark.parametrize("name", LARGEST)
def test_float32_over_its_whole_range(name: str) -> None:
    x = np.arange(0, 2**32, 1009, dtype=np.uint64).astype(np.uint32).view(np.float32)
    y = compute(name, x)
    with np.errstate(all="ignore"):
        exact = getattr(np, name)(x.astype(np.float64))
        rounded = exact.astype(np.float32)
    finite = np.isfinite(rounded)
    np.testing.assert_array_equal(y[~finite], rounded[~finite])
    error = np.abs(y[finite] - exact[finite]) / np.spacing(np.abs(rounded[finite])).astype(np.float64)
    assert np.max(error) <= LARGEST[name]


def exactly(name: str, x: float) -> Decimal:
    with localcontext() as context:
        context.prec = 60
        value = Decimal(x)
        if name == "log":
            return value.ln()
        if name == "log1p":
            return (1 + value).ln()
        if name == "exp":
            return value.exp()
        if name == "expm1":
            return value.exp() - 1
        power = (2 * value).exp()
        return (power - 1) / (power + 1)


@pytest.mark.parametrize("name", LARGEST)
def test_float64_against_sixty_digits(name: str) -> None:
    draws = np.random.default_rng(0)
    sizes = 10.0 ** draws.uniform(-8, 2.4, 400)
    x = np.concatenate([sizes, -sizes, draws.uniform(-2, 2, 200), draws.uniform(0.5, 2, 200)])
    x = np.abs(x) if name == "log" else x[x > -1] if name == "log1p" else x
    for number, y in zip(x.tolist(), compute(name, x).tolist(), strict=True):
        exact = exactly(name, number)
        assert abs(Decimal(y) - exact) <= Decimal(LARGEST[name] * math.ulp(float(exact))), (name, number, y)


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("name", LARGEST)
def test_special_values(name: str, dtype: str) -> None:
    x = np.array(SPECIAL, dtype=dtype)
    y = compute(name, x)
    with np.errstate(all="ignore"):
        expected = getattr(np, name)(x)
    np.testing.assert_allclose(y, expected, rtol=1e-6)
    zeros = x == 0
    assert np.array_equal(np.signbit(y[zeros]), np.signbit(expected[zeros]))


def test_each_within_each_becomes_vectors(tmp_path) -> None:
    """gcc says of which loops it makes vectors; a jump left in one of these functions makes a loop ten times slower."""
    gcc = shutil.which("gcc")
    if gcc is None or "Free Software" not in subprocess.run([gcc, "--version"], capture_output=True, text=True).stdout:
        pytest.skip("gcc is not installed, and only gcc takes these flags")
    calls = {f"mlp_{outer}f({inner}(x[i]))" for outer in LARGEST for inner in INNER}
    calls |= {f"mlp_{outer}f(mlp_{inner}f(-fabsf(x[i])))" for outer in LARGEST for inner in LARGEST}
    source = HEAD + text("float") + "\n"
    numbers = {}
    for number, call in enumerate(sorted(calls)):
        numbers[source.count("\n") + 1] = call
        source += f"void f{number}(float *restrict y, const float *restrict x, int64_t n) "
        source += f"{{ for (int64_t i = 0; i < n; i++) y[i] = {call}; }}\n"
    (tmp_path / "loops.c").write_text(source)
    command = [gcc, *FLAGS, *GCC_FLAGS, "-fopt-info-vec-optimized", "loops.c", "-o", "loops.so", "-lm"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stderr
    lines = {int(line.split(":")[1]) for line in said.splitlines() if "loop vectorized" in line}
    assert [call for number, call in numbers.items() if number not in lines] == []
