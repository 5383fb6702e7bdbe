"""Random graphs against NumPy, as many as one likes: ``python tests/helpers/fuzz.py 0 100000 --progress graphs.txt``.

Graphs FIRST to LAST - 1 run in processes of their own, `PART` graphs each, as C, as C in tiles on two threads, and as
NumPy calls; with ``--cuda shim`` as CUDA C by `cuda_host`, with ``--cuda cupy`` by CuPy, on a card or on the
emulated device. The file of progress holds a line for each part; a run with the same file goes on behind the last one.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from compiled import FORCED
from graphs import RandomGraph, compiled, random_graph
from rounding import differences

from mlpcore.compiler.tiling import DEFAULT, Tiling

PART, TOGETHER = 500, 20  # graphs of a process, and of a program
ROWS = (0, 1, 1, 2, 3, 5, 17, 40, 40, 70)


def check(first: int, ways: Sequence[str], together: int = TOGETHER) -> tuple[list[str], Counter]:
    """What is wrong with the graphs of one program, and counts: entries left out, refusals by their reasons."""
    rows, counts, lines = random.Random(first).choice(ROWS), Counter(), []
    with warnings.catch_warnings():  # NumPy, of the mean of nothing
        warnings.simplefilter("ignore", RuntimeWarning)
        graphs = [random_graph(seed, rows) for seed in range(first, first + together)]
        counts["instructions"] = sum(len(graph.todo) for graph in graphs)
        for graph in graphs:
            reasons = [reason.split() for reason in graph.refusals if reason.startswith("Untraceable")]
            counts.update("refused: " + " ".join(words[1:5]) for words in reasons)
        for way in ways:
            found = _results(graphs, rows, way, FORCED[first // together % 2])
            for graph, results in zip(graphs, found, strict=True):
                if isinstance(results, str):
                    wrong, loose = [results], 0
                else:
                    wrong, loose = differences(results, graph)
                counts["entries left out"] += loose
                lines += [f"graph {graph.seed}, {rows} rows, {way}: {line}" for line in wrong]
    return lines, counts


def _results(graphs: Sequence[RandomGraph], rows: int, way: str, forced: Tiling) -> list:
    """The results of every graph, or what was raised in its place."""
    tiles = way == "C in tiles"
    given = (rows, "C" if tiles else way, forced if tiles else DEFAULT, 2 if tiles else 1)
    try:
        return compiled(graphs, *given)
    except Exception as error:
        if len(graphs) > 1:
            return [one for graph in graphs for one in _results([graph], rows, way, forced)]
        return [f"{type(error).__name__}: {error}"]


WAYS = ("C", "C in tiles", "NumPy", "NumPy in tiles")
CUDA = {"shim": "CUDA", "cupy": "CUDA on a GPU"}


def part(first: int, last: int, cuda: str | None = None) -> None:
    """Check graphs in this process, and print what is wrong and the counts."""
    begin, total, wrong = time.monotonic(), Counter(), 0
    for seed in range(first, last, TOGETHER):
        # C in both ways would take the compiler twice as long: every other program is in tiles.
        ways = (CUDA[cuda],) if cuda else (WAYS[seed // TOGETHER % 2], *WAYS[2:])
        lines, counts = check(seed, ways, min(TOGETHER, last - seed))
        total += counts
        wrong += len(lines)
        print("\n".join([*lines, ""]), end="", flush=True)
    refused = sorted(name.removeprefix("refused: ") for name in total if name.startswith("refused"))
    print(
        f"{first} to {last - 1}: {wrong} wrong, {total['instructions']} instructions, "
        f"{total['entries left out']} entries left out, {time.monotonic() - begin:.0f} s; refused {refused}"
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=int)
    parser.add_argument("last", type=int)
    parser.add_argument("--progress", type=Path, help="where each part is noted; without it all is one part")
    parser.add_argument("--cuda", choices=CUDA, help="as CUDA C, by g++ and a shim, or by CuPy")
    options = parser.parse_args()
    if options.progress is None:
        part(options.first, options.last, options.cuda)
        return
    done = options.progress.read_text().splitlines() if options.progress.exists() else []
    ends = [int(line.split(":")[0].split()[2]) for line in done if " to " in line.split(":")[0]]
    for first in range(max([options.first, *(end + 1 for end in ends)]), options.last, PART):
        last = min(first + PART, options.last)
        with tempfile.TemporaryDirectory() as folder:
            command = [
                sys.executable,
                __file__,
                str(first),
                str(last),
                *(["--cuda", options.cuda] if options.cuda else []),
            ]
            words = os.environ | {"MLPCORE_CACHE_DIR": folder, "OPENBLAS_NUM_THREADS": "1"}
            run = subprocess.run(command, env=words, capture_output=True, text=True, check=False)
        text = run.stdout
        if run.returncode:
            text += f"{first} to {last - 1}: ended with {run.returncode}: {run.stderr.strip().splitlines()[-1:]}\n"
        with options.progress.open("a") as file:
            file.write(text)


if __name__ == "__main__":
    main()
