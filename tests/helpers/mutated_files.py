"""Mutated files: ``PYTHONPATH=tests/helpers python tests/helpers/mutated_files.py 0 100000 models``.

Numbers FIRST to LAST - 1 of the mutated files of a kind (models, checkpoints, tables) are read. Each must be refused
with an error of mlpcore's own, or be read; in 1 s of the processor for a kilobyte, and with less than 64 MB allocated
for a small file, by Python, and on Linux by the process. The number of the present file is on the standard error, for a
process that dies, or that takes a minute for one file and then is ended.
"""

import argparse
import contextlib
import faulthandler
import random
import re
import resource
import sys
import tempfile
import time
import traceback
import tracemalloc
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import hostile_seeds
import hostile_tables
import numpy as np
from mutations import mutated

from mlpcore.errors import DataError, ModelFileError, NonFiniteError

MOST_BYTES, MOST_SECONDS = 64 << 20, 1.0  # seconds for each kilobyte begun


class Kind(NamedTuple):
    """The files that are mutated, the mutation, and the errors that readers may raise."""

    seeds: Callable[[Path], list[tuple[Path, hostile_seeds.Reader]]]
    mutate: Callable[[bytes, random.Random], bytes]
    errors: tuple[type[Exception], ...]


KINDS = {
    "models": Kind(hostile_seeds.model_files, mutated, (ModelFileError,)),
    "checkpoints": Kind(hostile_seeds.checkpoint_files, mutated, (ModelFileError, NonFiniteError)),
    "tables": Kind(hostile_tables.table_files, hostile_tables.mutated_table, (DataError,)),
}


def check(kind: str, first: int, last: int, folder: Path) -> tuple[list[str], Counter, dict[str, float]]:
    """What is wrong with these files; counts of files read and refused; the largest figures."""
    seeds, mutate, errors = KINDS[kind].seeds(folder), KINDS[kind].mutate, KINDS[kind].errors
    contents = [path.read_bytes() for path, _ in seeds]
    for path, reader in seeds:  # the files as they are can be read, and modules are imported
        reader(path)
    wrong, counts, figures = [], Counter[str](), {"s/kB": 0.0, "MB": 0.0}
    before = _resident()
    tracemalloc.start()
    for number in range(first, last):
        draw = random.Random(f"{kind} {number}")
        place = draw.randrange(len(seeds))
        path, reader = seeds[place]
        data = mutate(contents[place], draw)
        path.write_bytes(data)
        faulthandler.dump_traceback_later(60, exit=True)
        print(number, end="\r", file=sys.stderr, flush=True)
        tracemalloc.reset_peak()
        resident = _resident_now()
        base, begin = tracemalloc.get_traced_memory()[0], time.process_time()
        result = _result(reader, path, errors)
        seconds = (time.process_time() - begin) / (len(data) // 1000 + 1)
        peak = max((tracemalloc.get_traced_memory()[1] - base) / (1 << 20), _resident() - resident)
        faulthandler.cancel_dump_traceback_later()
        counts["read" if result is None else "refused" if result == "refused" else "wrong"] += 1
        figures = {"s/kB": max(figures["s/kB"], seconds), "MB": max(figures["MB"], peak)}
        if result not in (None, "refused"):
            wrong.append(f"{kind} {number} ({path.name}): {result}")
        if seconds > MOST_SECONDS or peak > MOST_BYTES >> 20:
            wrong.append(f"{kind} {number} ({path.name}): {seconds:.2f} s/kB, {peak:.0f} MB for {len(data)} bytes")
    tracemalloc.stop()
    figures["MB resident"] = _resident() - before
    return wrong, counts, figures


def _result(reader: Any, path: Path, errors: tuple[type[Exception], ...]) -> str | None:
    """None for a file that was read, "refused", or what was raised and where."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            reader(path)
    except errors:
        return "refused"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        where = [
            f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)
        ]
        return f"{type(error).__name__}: {str(error)[:200]!r} at {' '.join(where[-4:])}"
    return None


def _resident_now() -> float:
    """The memory of this process in MB, from which `_resident` counts anew where the system can do so (Linux)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _resident()


def _resident() -> float:
    """The largest memory that this process has had, in MB."""
    try:
        return int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1]) / (1 << 10)
    except (OSError, TypeError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 10)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=int)
    parser.add_argument("last", type=int)
    parser.add_argument("kinds", nargs="+", choices=KINDS)
    options = parser.parse_args()
    faulthandler.enable()
    faults = 0
    for kind in options.kinds:
        with tempfile.TemporaryDirectory() as folder:
            wrong, counts, figures = check(kind, options.first, options.last, Path(folder))
        said = ", ".join(f"{value:.3g} {name}" for name, value in figures.items())
        print(*wrong, f"{kind} {options.first} to {options.last - 1}: {dict(counts)}; at most {said}", sep="\n")
        faults += len(wrong)
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
