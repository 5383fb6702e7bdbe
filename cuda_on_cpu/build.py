#!/usr/bin/env python
"""Builds the emulated device into lib/ for the CuPy wheel of the Python that runs this: `python build.py`.

Needs g++ and, by pip: cupy-cuda13x or cupy-cuda12x, nvidia-cuda-runtime and nvidia-cuda-crt (headers), Cython, NumPy.
The sources of CuPy, of which one file is used, are downloaded by pip (--source: a folder that holds them already).
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import distributions
from pathlib import Path

import numpy

HERE = Path(__file__).resolve().parent
LIB, BUILD = HERE / "lib", HERE / "build"
SITE = Path(sysconfig.get_paths()["purelib"])
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
# As in src/compile.cpp: g++ uses the precompiled header only with the same options.
KERNELS = ["-std=c++17", "-fPIC", "-O1", "-w", "-ffp-contract=off", "-fno-strict-aliasing"]
KERNELS += ["-fwhole-program", "-fno-threadsafe-statics"]
STUB = """extern "C" __attribute__((visibility("default"))) int {name}() {{
  cuda_on_cpu::report("{name} is not emulated");
  return {error};
}}
"""
CUDART_NOT_SUPPORTED, CUBLAS_NOT_SUPPORTED = 801, 15


def run(*words: object) -> str:
    """The output of a command; if it fails, this program ends and prints its errors."""
    result = subprocess.run([str(word) for word in words], check=False, capture_output=True, text=True)
    if result.returncode:
        sys.exit(" ".join(map(str, words)) + "\n" + result.stdout + result.stderr)
    return result.stdout


def wheel() -> tuple[str, str]:
    """CUDA's major version and CuPy's version, from the installed wheel."""
    for distribution in distributions():
        name = distribution.metadata["Name"]
        if name.startswith("cupy-cuda"):
            return name.removeprefix("cupy-cuda").removesuffix("x"), distribution.version
    sys.exit("no CuPy wheel: pip install cupy-cuda13x")


def cuda_headers(major: str) -> Path:
    """The folder with cuda_runtime_api.h, from the wheel nvidia-cuda-runtime or from a toolkit."""
    folders = [SITE / f"nvidia/cu{major}/include", SITE / "nvidia/cuda_runtime/include"]
    folders += [Path(os.environ[name]) / "include" for name in ("CUDA_PATH", "CUDA_HOME") if name in os.environ]
    for folder in folders:
        if (folder / "cuda_runtime_api.h").exists():
            return folder
    sys.exit("no CUDA headers: pip install nvidia-cuda-runtime nvidia-cuda-crt")


def download(version: str) -> Path:
    """The folder of CuPy's sources, downloaded and unpacked. pip runs their setup, which must not search for CUDA."""
    folder = BUILD / f"cupy-{version}"
    if not folder.exists():
        os.environ["CUPY_INSTALL_USE_STUB"] = "1"
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", "cupy"]
        run(*pip, f"cupy=={version}", "-d", BUILD)
        with tarfile.open(BUILD / f"cupy-{version}.tar.gz") as archive:
            archive.extractall(BUILD, filter="data")
    return folder


def symbols(path: Path, *options: str) -> set[str]:
    """The names of functions of cudart and cuBLAS that `nm` lists, without their versions."""
    names = [line.split()[-1].split("@")[0] for line in run("nm", *options, path).splitlines()]
    return {name for name in names if name.startswith(("cuda", "cublas"))}


def stubs(needed: set[str], units: list[Path], error: int, unit: Path) -> Path:
    """An object with a function that reports "not emulated" for each that CuPy needs and the units do not define."""
    defined = set().union(*(symbols(path, "--defined-only") for path in units))
    text = [STUB.format(name=name, error=error) for name in sorted(needed - defined)]
    unit.with_suffix(".cpp").write_text(f'#include "{HERE}/src/device.h"\n' + "".join(text))
    run("g++", "-std=c++17", "-fPIC", "-c", unit.with_suffix(".cpp"), "-o", unit)
    return unit


def runtime_unit(cupy: Path, major: str, include: Path) -> Path:
    """The object of `cupy_backends.cuda.api.runtime`; the wheel's own contains NVIDIA's libcudart (static)."""
    source, unit = BUILD / "runtime.cpp", BUILD / "runtime.o"
    constants = {"CUPY_CUDA_VERSION": f"{major}000", "CUPY_HIP_VERSION": 0, "CUPY_USE_CUDA_PYTHON": False}
    values = [f"-E{name}={value}" for name, value in constants.items()]
    cython = [sys.executable, "-m", "cython", "-3", "--cplus", *values, "-I", cupy]
    run(*cython, cupy / "cupy_backends/cuda/api/runtime.pyx", "-o", source)
    (BUILD / "cuda_profiler_api.h").write_text(  # else another wheel would be needed for it
        'extern "C" int cudaProfilerStart(void); extern "C" int cudaProfilerStop(void);\n'
    )
    folders = [BUILD, sysconfig.get_paths()["include"], numpy.get_include(), include]
    folders += [cupy / "cupy_backends/cuda/api", cupy]
    flags = ["-O1", "-w", "-fPIC", "-std=c++17", "-DNPY_TARGET_VERSION=NPY_2_0_API_VERSION"]
    run("g++", *flags, *[f"-I{folder}" for folder in folders], "-c", source, "-o", unit)
    return unit


def device_unit(source: Path, include: Path) -> Path:
    """The object of a file of src/."""
    flags = ["-std=c++17", "-O3" if source.stem.startswith("cublas") else "-O2", "-Wall", "-fPIC", "-ffp-contract=off"]
    run("g++", *flags, f"-I{include}", "-c", source, "-o", BUILD / f"{source.stem}.o")
    return BUILD / f"{source.stem}.o"


def compiled_header() -> None:
    """Precompile include/cuda_on_cpu.h together with CuPy's headers."""
    target = LIB / "header"
    target.mkdir(exist_ok=True)
    shutil.copy(HERE / "include/cuda_on_cpu.h", target)
    folders = [f"-I{HERE}/include/stand-ins", f"-I{HERE}/include", f"-I{SITE}/cupy/_core/include"]
    flags = [*KERNELS, "-DCUDA_ON_CPU_CUPY", *folders, "-x", "c++-header"]
    run("g++", *flags, HERE / "include/cuda_on_cpu.h", "-o", target / "cuda_on_cpu.h.gch")


def version() -> str:
    """A digest of all files that a kernel is compiled from; it is part of the key of CuPy's kernel cache."""
    files = sorted(path for path in (HERE / "include").rglob("*") if path.is_file())
    files += [HERE / "src/translate.cpp", HERE / "src/compile.cpp"]
    return hashlib.sha1(b"".join(path.read_bytes() for path in files)).hexdigest()


def link(name: str, *words: object) -> None:
    """Link a library into lib/, where it finds the others."""
    run("g++", "-shared", "-o", LIB / name, *words, "-L", LIB, "-Wl,-rpath,$ORIGIN")


def link_all(units: list[Path], runtime: Path, major: str) -> None:
    """Link the device, empty libraries with NVIDIA's names that load it, cuBLAS, and CuPy's module."""
    device = [unit for unit in units if not unit.stem.startswith("cublas")]
    missing = stubs(symbols(runtime, "-u"), device, CUDART_NOT_SUPPORTED, BUILD / "cudart_stubs.o")
    link("libcuda_on_cpu.so", *device, missing, "-ldl", "-lpthread")
    for name in ("libcuda.so.1", *(f"lib{name}.so.{major}" for name in ("cudart", "nvrtc"))):
        link(name, f"-Wl,-soname,{name}", "-Wl,--no-as-needed", "-lcuda_on_cpu")
    name = f"libcublasLt.so.{major}"  # CuPy loads it, and calls none of its functions
    link(name, BUILD / "cublasLt.o", f"-Wl,-soname,{name}", "-L", LIB, "-lcuda_on_cpu")
    name, needed = f"libcublas.so.{major}", symbols(SITE / f"cupy_backends/cuda/libs/cublas{SUFFIX}", "-D", "-u")
    missing = stubs(needed, [BUILD / "cublas.o"], CUBLAS_NOT_SUPPORTED, BUILD / "cublas_stubs.o")
    versions = BUILD / "cublas.map"  # CuPy requires symbols with this version
    versions.write_text(f"{name} {{ global: cublas*; local: *; }};\n")
    script = f"-Wl,--version-script={versions}"
    link(name, BUILD / "cublas.o", missing, f"-Wl,-soname,{name}", script, "-L", LIB, "-lcuda_on_cpu")
    link(f"runtime{SUFFIX}", runtime, "-L", LIB, f"-l:libcudart.so.{major}")


def main() -> None:
    """Build everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, help="folder of CuPy's sources, which pip then does not download")
    options = parser.parse_args()
    start = time.perf_counter()
    major, cupy_version = wheel()
    include = cuda_headers(major)
    for folder in (LIB, BUILD):
        folder.mkdir(exist_ok=True)
    jobs: list[Callable[[], object]] = [
        lambda: runtime_unit(options.source or download(cupy_version), major, include),
        compiled_header,
        *(lambda source=source: device_unit(source, include) for source in sorted((HERE / "src").glob("*.cpp"))),
    ]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        runtime, _, *units = pool.map(lambda job: job(), jobs)
    link_all(units, runtime, major)
    (LIB / "version").write_text(version())
    print(f"built for CuPy {cupy_version}, CUDA {major}, in {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
