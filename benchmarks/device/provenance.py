"""What the results were measured with: card, driver, tools, versions, switches, and a digest of the sources.

Needs the standard library only, so that it tells what is missing.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from benchmarks.device.files import PartFile, Record

ROOT = Path(__file__).parents[2]
CARD = "name,driver_version,memory.total,compute_cap,power.limit,clocks.max.sm,clocks.max.memory,ecc.mode.current"
SWITCHES = ("NVIDIA_TF32_OVERRIDE", "CUPY_TF32", "CUPY_ACCELERATORS", "CUBLAS_WORKSPACE_CONFIG", "XLA_FLAGS",
            "JAX_PLATFORMS", "CUDA_VISIBLE_DEVICES", "CUDA_LAUNCH_BLOCKING", "DEVICE_REHEARSAL")  # fmt: skip
WORDS = ("numpy", "cupy", "torch", "jax", "triton", "nvidia", "cuda", "pytest", "hypothesis", "array", "scikit",
         "safetensors", "ml_dtypes", "ml-dtypes")  # fmt: skip


def sanitizer() -> str | None:
    """The path of compute-sanitizer; None where it is absent."""
    return shutil.which("compute-sanitizer") or shutil.which("compute-sanitizer", path="/usr/local/cuda/bin")


def name_of_card() -> str:
    """The name of the first card."""
    return said("nvidia-smi", "--query-gpu=name", "--format=csv,noheader").partition("\n")[0]


def digest() -> str:
    """Sixteen digits that change with any file of the package."""
    sha = hashlib.sha256()
    for path in sorted((ROOT / "mlpcore").rglob("*")):
        if path.suffix in (".py", ".h", ".cuh", ".cu"):
            sha.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return sha.hexdigest()[:16]


def facts() -> Record:
    """All that is known, by name."""
    versions = {}
    for distribution in metadata.distributions():
        name = (distribution.metadata["Name"] or "").lower()
        if name.startswith(WORDS):
            versions[name] = distribution.version
    return {
        "name of card": name_of_card(),
        "card": said("nvidia-smi", f"--query-gpu={CARD}", "--format=csv"),
        "nvcc": said("nvcc", "--version"),
        "compute-sanitizer": said(sanitizer() or "compute-sanitizer", "--version"),
        "system": said("uname", "-srm"),
        "cores": len(os.sched_getaffinity(0)),
        "python": sys.version,
        "versions": dict(sorted(versions.items())),
        "switches": {name: os.environ[name] for name in SWITCHES if name in os.environ},
        "commit": said("git", "-C", str(ROOT), "rev-parse", "HEAD"),
        "sources": digest(),
    }


def said(*command: str) -> str:
    """The output of a command, or why there is none."""
    try:
        output = subprocess.run(command, capture_output=True, timeout=8, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return f"absent ({type(error).__name__})"
    return (output.stdout or output.stderr).decode("utf-8", "replace").strip()[:1000]


def main(argv: Sequence[str]) -> int:
    """Note the facts."""
    file = PartFile(Path(argv[0]), "provenance")
    for name in file.pending(["facts"]):
        file.end(name, [record := facts()])
        print(record)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
