"""Run the jobs of docs/jobs with this Python, from an installed mlpcore, and print how long each takes.

    python .ci/jobs.py [NAME ...]

Without names: all of them. A job that needs a backend which is not ready here is left out, with the reason; named, it
fails. Works on every system: needs the extra `jobs` of the project only.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

JOBS = Path(__file__).resolve().parent.parent / "docs" / "jobs"
NEEDS = {"cupy_arrays": "cupy"}  # a backend, by the name of the job
READY = "import json, mlpcore; print(json.dumps([mlpcore.__file__, mlpcore.available_backends()]))"
NOTEBOOK = """
import sys
import nbformat
from nbclient import NotebookClient

NotebookClient(nbformat.read(sys.argv[1], as_version=4), timeout=120).execute()
"""


def command(job: Path) -> list[str]:
    """The command that runs a script or a notebook."""
    return [sys.executable, "-c", NOTEBOOK, job.name] if job.suffix == ".ipynb" else [sys.executable, job.name]


def main(names: list[str]) -> int:
    """Run the jobs; the number of those that failed."""
    jobs = sorted(path for path in JOBS.iterdir() if path.suffix in (".py", ".ipynb"))
    unknown = set(names) - {job.stem for job in jobs}
    if unknown:
        raise SystemExit(f"there is no job {', '.join(sorted(unknown))}")
    failed = 0
    with tempfile.TemporaryDirectory() as folder:  # outside of the source tree: mlpcore is the installed one
        environment = os.environ | {"MPLBACKEND": "Agg"}
        words = {"cwd": folder, "env": environment, "text": True, "capture_output": True}
        where, backends = json.loads(subprocess.run([sys.executable, "-c", READY], **words, check=True).stdout)
        print(f"jobs with {where}", flush=True)
        for job in jobs:
            status = backends.get(NEEDS.get(job.stem, "numpy"), "")
            if names and job.stem not in names:
                continue
            if not names and not status.startswith("ready"):
                print(f"{job.name:24s} left out: {status.splitlines()[0]}", flush=True)
                continue
            shutil.copy(job, folder)
            begin = time.perf_counter()
            done = subprocess.run(command(job), **words)
            result = "passed" if done.returncode == 0 else "FAILED"
            print(f"{job.name:24s} {result} in {time.perf_counter() - begin:.0f} s", flush=True)
            if done.returncode:
                print(done.stdout + done.stderr, flush=True)
                failed += 1
    return failed


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
