"""What it takes to install and to import mlpcore and its peers: ``python -m benchmarks.footprint`` writes the results.

Each contender gets a virtual environment of its own. Its size is that of site-packages without pip. The time of an
import is the processor's, in a new interpreter with warm file caches, without its own start; the median of `TIMES`.
"""

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from mlpcore.bench.about import about
from mlpcore.files.writing import replace_file

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "footprint.json"
TIMES = 9
# For each contender what is installed, one pip after the other, and what a first program imports. torch comes first, so
# that what needs it takes the build for a CPU.
TORCH = "torch==2.13.0"
CONTENDERS: dict[str, tuple[list[list[str]], str]] = {
    "mlpcore": ([["ROOT"]], "import mlpcore"),
    "scikit-learn": ([["scikit-learn"]], "import sklearn.neural_network"),
    "PyTorch + skorch": ([[TORCH], ["skorch"]], "import skorch, torch"),
    "Keras on JAX": ([["jax", "keras"]], "import os; os.environ['KERAS_BACKEND'] = 'jax'; import keras"),
    "pytabkit": ([[TORCH], ["pytabkit[models]"]], "import pytabkit"),
    "JAX": ([["jax"]], "import jax, jax.numpy"),
}


def measured(name: str, folder: Path) -> dict[str, Any]:
    """The size in bytes, the seconds of an import, and the versions that were installed."""
    requirements, statement = CONTENDERS[name]
    environment = folder / re.sub(r"\W+", "-", name)
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    python = environment / "bin" / "python"
    for words in requirements:
        packages = [str(ROOT) if word == "ROOT" else word for word in words]
        subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True, cwd=folder)
    words: dict[str, Any] = {"check": True, "cwd": folder, "capture_output": True, "text": True}
    words["env"] = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([python, "-c", statement], **words)  # which compiles the modules
    (site,) = (environment / "lib").glob("python*/site-packages")
    code = f"import time; start = time.process_time(); {statement}; print(time.process_time() - start)"
    seconds = [float(subprocess.run([python, "-c", code], **words).stdout) for _ in range(TIMES)]
    listed = subprocess.run([python, "-m", "pip", "list", "--format=json"], **words)
    found = {
        "megabytes": round(size(site) / 1e6, 1),
        "import_seconds": float(f"{statistics.median(seconds):.3g}"),
        "packages": {one["name"]: one["version"] for one in json.loads(listed.stdout) if one["name"] != "pip"},
    }
    shutil.rmtree(environment)
    return found


def size(site: Path) -> int:
    """The bytes of all files but pip's own and compiled modules, which depend on what was imported."""
    files = (path for path in site.rglob("*") if path.is_file() and not path.is_symlink())
    own = (path for path in files if path.suffix != ".pyc" and not path.relative_to(site).parts[0].startswith("pip"))
    return sum(path.stat().st_size for path in own)


def main() -> None:
    """Measure all contenders, or those that are named."""
    names = sys.argv[1:] or list(CONTENDERS)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"contenders": {}}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            results["contenders"][name] = measured(name, Path(folder))
            results["about"] = {
                key: about()[key] for key in ("cpu", "cores", "system", "python", "date", "commit", "load")
            }
            replace_file(RESULTS, [(json.dumps(results, indent=1) + "\n").encode()])
            found = results["contenders"][name]
            print(f"{name}: {found['megabytes']} MB, {found['import_seconds']} s")


if __name__ == "__main__":
    main()
