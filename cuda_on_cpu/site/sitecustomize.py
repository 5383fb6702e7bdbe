"""Loaded from PYTHONPATH: makes CuPy use the emulated device when it is imported, in child processes too."""

import ctypes
import importlib.machinery
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LIB = ROOT / "lib"
# Modules of the wheel that contain NVIDIA's code, and the files that replace them.
REPLACED = {
    "cupy_backends.cuda.api.runtime": next(LIB.glob("runtime.*.so"), LIB / "runtime.so"),
    "cupy.cuda.thrust": ROOT / "site/cuda_on_cpu_thrust.py",
}


class Finder:
    """Finds the replaced modules; before CuPy is imported, loads the libraries under the names that CuPy looks for."""

    loaded = False

    @classmethod
    def find_spec(cls, name: str, path: Any = None, target: Any = None) -> Any:
        """The spec of a replaced module, as the import system requires."""
        if name in ("cupy", "cupy_backends"):
            cls.load()
        if name == "cupy" and os.environ.get("CUDA_ON_CPU_POOL") == "0":
            return cls.without_pool(importlib.machinery.PathFinder.find_spec(name, path))
        if name in REPLACED:
            return importlib.util.spec_from_file_location(name, REPLACED[name])
        return None

    @classmethod
    def load(cls) -> None:
        """Load the libraries, once."""
        if cls.loaded:
            return
        cls.loaded = True
        os.environ.setdefault("CUPY_ACCELERATORS", "")  # no CUB, which is code of NVIDIA
        os.environ.setdefault("CUPY_CACHE_DIR", str(ROOT / "cache"))
        if not (LIB / "version").exists():
            raise ImportError(f"the emulated device is not built: python {ROOT}/build.py")
        for library in ("libcuda_on_cpu.so", *sorted(path.name for path in LIB.glob("lib*.so.*"))):
            ctypes.CDLL(str(LIB / library), mode=ctypes.RTLD_GLOBAL)

    @staticmethod
    def without_pool(spec: Any) -> Any:
        """With CUDA_ON_CPU_POOL=0, turn off CuPy's pools, so that every array has its own guard zones and poison."""
        run = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            run(module)
            module.cuda.set_allocator(None)
            module.cuda.set_pinned_memory_allocator(None)

        spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, Finder)  # type: ignore[arg-type]
