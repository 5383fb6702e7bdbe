"""Mutation testing: do the tests see small faults? ``python tests/helpers/mutants.py --sample 300``.

A mutant is a small change of a file's text. It is *killed* if a test fails, and *survives* if none does. Survivors that
change nothing, or nothing that is promised, are listed with the reason in tests/golden/mutants.json; any other
survivor, and an entry that names no mutant, is an error. ``--results FILE.jsonl`` notes each outcome, and FILE.tests
what each test executes: a run with the same files goes on behind it, and runs the survivors again.
"""

import argparse
import importlib.machinery
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from executed_lines import digest
from mutant_runs import Runs, quick
from mutant_texts import Mutant, mutants

ROOT = Path(__file__).parents[2]
EXPLAINED = ROOT / "tests" / "golden" / "mutants.json"
SCHEDULER = (
    "schedule",
    "places",
    "memory",
    "blocks",
    "concatenation",
    "cuts",
    "phases",
    "tiling",
    "workspace",
    "storage",
    "pointers",
)
FILES = [
    *(str(path.relative_to(ROOT)) for folder in ("layers", "losses", "optimizers")
      for path in sorted((ROOT / "mlpcore" / folder).glob("*.py"))),
    *(f"mlpcore/compiler/{name}.py" for name in SCHEDULER),
]  # fmt: skip
TESTS = [
    *(f"tests/{folder}" for folder in ("layers", "losses", "optimizers", "laws")),
    *(f"tests/test_{name}.py" for name in ("large_numbers", "summary")),
    *(f"tests/compiler/test_{name}.py" for name in ("plans", "places", "memory", "tiling", "threads")),
    *(
        f"tests/compiler/test_{name}.py"
        for name in ("arrays", "functions", "loops", "random_graphs", "found_by_graphs")
    ),
    "tests/training/test_factors.py",
]
OTHERS = "not torch and not jax and not cupy and not CUDA"


def options_of_pytest(names: list[str]) -> list[str]:
    return ["-q", "-s", "-p", "no:cacheprovider", "-p", "no:xdist", "-k", OTHERS, *names]


def sample(found: list[Mutant], count: int | None, seed: int) -> list[Mutant]:
    """An even sample in a random order: as large a share of each file's mutants, those of the smallest digests."""
    order = sorted(found, key=lambda mutant: digest(f"{seed} {mutant.key}"))
    if count is None:
        return order
    sizes, chosen, done = Counter(mutant.file for mutant in found), [], 0.0
    for file in dict.fromkeys(mutant.file for mutant in found):
        before, done = round(done), done + count * sizes[file] / len(found)
        chosen += [mutant for mutant in order if mutant.file == file][: round(done) - before]
    return [mutant for mutant in order if mutant in chosen]


def one(root: Path, key: str, names: list[str]) -> int:
    """Import the module with the fault, and run the tests."""
    file = key.split("::")[0]
    (mutant,) = (mutant for mutant in mutants(root, file) if mutant.key == key)
    loader = importlib.machinery.SourceFileLoader
    get_code = loader.get_code

    def changed(self: importlib.machinery.SourceFileLoader, name: str) -> object:
        if self.path != str(root / file):
            return get_code(self, name)
        return compile(mutant.tree((root / file).read_text()), self.path, "exec")

    loader.get_code = changed  # type: ignore[method-assign, assignment]
    return pytest.main([*options_of_pytest(names), "-x"], plugins=[Quick()])


class Quick:
    """A plugin for pytest, see `mutant_runs.quick`."""

    def pytest_collection_finish(self) -> None:
        quick()


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", default=FILES, help="of mlpcore/; all by default")
    parser.add_argument("--sample", type=int, help="so many mutants, as large a share of each file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--tests", nargs="+", default=TESTS)
    parser.add_argument("--budget", type=float, default=20, help="CPU seconds of the tests of a mutant")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="after which no mutant is begun")
    parser.add_argument("--results", type=Path)
    parser.add_argument("--root", type=Path, default=ROOT, help="the folder of files and tests")
    parser.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    root = options.root.resolve()
    os.chdir(root)
    sys.path.insert(0, str(root))
    if options.one:
        return one(root, options.one[0], options.one[1:])

    every = [mutant for file in options.files for mutant in mutants(root, file)]
    explained = {
        f"{entry['file']}::{entry['function']}: {entry['change']}" for entry in json.loads(EXPLAINED.read_text())
    }
    stale = {key for key in explained if key.split("::")[0] in options.files} - {mutant.key for mutant in every}
    texts = {file: digest((root / file).read_text()) for file in options.files}
    chosen, outcomes = sample(every, options.sample, options.seed), {}
    lines = options.results.read_text().splitlines() if options.results and options.results.exists() else []
    for key, text, outcome in map(json.loads, lines):
        if text == texts.get(key.split("::")[0]) and outcome in ("killed", "timeout"):
            outcomes[key] = outcome

    def report(mutant: Mutant, outcome: str, seconds: float) -> None:
        outcomes[mutant.key] = outcome
        if options.results:
            with options.results.open("a") as file:
                file.write(json.dumps([mutant.key, texts[mutant.file], outcome]) + "\n")
        if outcome in ("survived", "untested") and mutant.key not in explained:
            print(f"{outcome}: {mutant.file}:{mutant.line} {mutant.function}: {mutant.change}", flush=True)

    todo = [mutant for mutant in chosen if mutant.key not in outcomes]
    kept = options.results and options.results.with_suffix(".tests")
    files = [file for file in dict.fromkeys([*FILES, *options.files]) if (root / file).exists()]
    limits = {"jobs": options.jobs, "budget": options.budget, "stop": time.monotonic() + options.seconds}
    runs = Runs(root, files, mutants=todo, report=report, kept=kept, **limits)
    if todo:
        pytest.main([*options_of_pytest(options.tests)], plugins=[runs])
    counts = Counter(outcomes[mutant.key] for mutant in chosen if mutant.key in outcomes)
    alive = [mutant for mutant in chosen if outcomes.get(mutant.key) in ("survived", "untested")]
    new = [mutant for mutant in alive if mutant.key not in explained]
    print(f"{len(every)} mutants of {len(options.files)} files, {len(chosen)} chosen: {dict(counts)}; "
          f"{len(alive) - len(new)} survivors explained, {len(new)} not")  # fmt: skip
    for key in sorted(stale):
        print(f"explained, but there is no such mutant: {key}")
    for name in sorted(runs.broken):
        print(f"fails without a mutant: {name}")
    return bool(new or stale or runs.broken)


if __name__ == "__main__":
    sys.exit(main())
