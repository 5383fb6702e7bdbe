"""The facts about a measurement: machine, versions, date and commit."""

import datetime
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

NARROW = {"Haswell", "Zen", "Excavator", "Sandybridge", "Nehalem", "Prescott"}  # kernels without AVX-512
LIBRARIES = ("numpy", "array-api-compat", "scipy", "torch", "jax", "jaxlib", "scikit-learn")


def about(device: str = "cpu") -> dict[str, Any]:
    """The facts of this machine and process as JSON values; ``gpu`` is empty unless ``device`` is "cuda"."""
    return {
        "gpu": gpu() if device == "cuda" else "",
        "cpu": cpu(),
        "cores": cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions(),
        "blas": blas(),
        "settings": {name: value for name, value in sorted(os.environ.items()) if name.startswith("OPENBLAS_")},
        "date": datetime.date.today().isoformat(),
        "commit": commit(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def cpu() -> str:
    """The name of the processor, and on Linux its widest vector instructions."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    facts = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    facts = {name.strip(): value.strip() for name, value in facts.items()}
    family = f", family {facts['cpu family']} model {facts['model']}" if {"cpu family", "model"} <= facts.keys() else ""
    wide = next((name for name in ("avx512f", "avx2") if name in facts.get("flags", "").split()), None)
    return f"{facts.get('model name', platform.machine())}{family}{f', {wide}' if wide else ''}"


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def versions() -> dict[str, str]:
    """The installed versions of the measured libraries, CuPy under the name of its wheel."""
    installed = {}
    for distribution in metadata.distributions():
        name = (distribution.metadata["Name"] or "").lower()
        if name in LIBRARIES or name == "mlpcore" or name.startswith("cupy-"):
            installed[name] = distribution.version
    return dict(sorted(installed.items()))


def pools() -> list[dict[str, Any]]:
    """The thread pools of NumPy's BLAS and others, from threadpoolctl; empty without it."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return []
    return list(threadpool_info())


def blas() -> list[str]:
    """A line for each thread pool: library, version, architecture of its kernels, threads."""
    words = ("internal_api", "version", "architecture")
    seen = (" ".join([*(pool.get(word) or "" for word in words), f"x {pool['num_threads']}"]) for pool in pools())
    return sorted({" ".join(line.split()) for line in seen})


def advice() -> str:
    """A hint where OpenBLAS uses kernels with narrower vectors than the processor has; else empty."""
    chosen = {str(pool.get("architecture")) for pool in pools() if pool["internal_api"] == "openblas"}
    if not cpu().endswith("avx512f") or not chosen or not chosen <= NARROW:
        return ""
    return (
        f"OpenBLAS runs its {' and '.join(sorted(chosen))} kernels, though this processor has AVX-512. Where NumPy's "
        "products limit the speed, set OPENBLAS_CORETYPE=SKYLAKEX before Python starts, and measure again."
    )


def gpu() -> str:
    """The first NVIDIA GPU, its driver, and its part (MIG) if only that is visible; empty where there is none."""
    first = _output("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader").split("\n")[0]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").partition(",")[0].strip()
    if not first or not visible.startswith("MIG-"):
        return first
    # As `MIG 1g.10gb     Device  0: (UUID: MIG-...)`.
    parts = [line.split() for line in _output("nvidia-smi", "-L").split("\n") if f"(UUID: {visible})" in line]
    return f"{first}, {' '.join(parts[0][:2]) if parts else 'MIG'}"


def commit() -> str | None:
    """The commit of the checkout, with ``+`` where mlpcore's files are modified; None without a checkout."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    head = _output("git", "-C", str(root), "rev-parse", "--short=10", "HEAD")
    return head and head + ("+" if _output("git", "-C", str(root), "status", "--porcelain", "--", "mlpcore") else "")


def _output(*command: str) -> str:
    try:
        output = subprocess.run(command, capture_output=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    return output.decode("utf-8", "replace").strip()  # other encodings lose letters, but raise no error
