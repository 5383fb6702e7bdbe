"""What an installed mlpcore takes: the size of the environment and the time of its import, held to limits.

    python .ci/footprint.py

Run it with the Python of an environment that has `pip install mlpcore` and nothing else; pip itself does not count. The
time is the median over ten processes of the processor time of `import mlpcore`, on a quiet machine the time on the
clock. NumPy's share is printed beside: most of the size and half of the time are its.
"""

import statistics
import subprocess
import sys
import sysconfig
from importlib.metadata import Distribution, distributions
from pathlib import Path

MEGABYTES, SECONDS = 60, 0.15  # the aims
# What CI demands: NumPy's wheels with their BLAS take 20 to 60 MB of the aim, and a machine in a cloud may be slow.
OTHERS_MEGABYTES, SLOW = 5, 3.0
TIMED = "import time; begin = time.process_time(); import {}; print(time.process_time() - begin)"


def size_of(distribution: Distribution) -> int:
    """The bytes of the files of a distribution, without compiled Python."""
    paths = {Path(str(file.locate())) for file in distribution.files or () if file.suffix != ".pyc"}
    return sum(path.stat().st_size for path in paths if path.is_file())


def seconds(module: str, rounds: int = 10) -> float:
    """The median processor time of the import of this module."""
    command = [sys.executable, "-c", TIMED.format(module)]
    runs = [subprocess.run(command, check=True, capture_output=True, text=True) for _ in range(rounds)]
    return statistics.median(float(run.stdout) for run in runs)


def main() -> int:
    """Print the figures; 1 if a limit is passed."""
    folder = sysconfig.get_path("purelib")
    sizes = {one.name: size_of(one) for one in distributions(path=[folder]) if one.name not in ("pip", "setuptools")}
    for name, size in sorted(sizes.items(), key=lambda pair: -pair[1]):
        print(f"{name:20s} {size / 1e6:7.2f} MB")
    total = sum(sizes.values()) / 1e6
    print(f"{'together':20s} {total:7.2f} MB (aim {MEGABYTES})")
    numpy, ours = seconds("numpy"), seconds("mlpcore")
    print(f"import mlpcore {ours:.3f} s, of which NumPy {numpy:.3f} s (aim {SECONDS})")
    others = total - sizes["numpy"] / 1e6
    return int(others > OTHERS_MEGABYTES or ours > SLOW * SECONDS)


if __name__ == "__main__":
    raise SystemExit(main())
