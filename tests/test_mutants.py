"""The tester of tests: which faults it makes of a text, which it finds, and that the explained survivors exist."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import mutants as command
import pytest
from executed_lines import ExecutedLines
from mutant_texts import mutants

TEXT = '''"""A module."""

LIMIT = 3


def clipped(x: float, least: float = 0.0) -> float:
    """x between ``least`` and LIMIT."""
    if x < least:
        return least
    return min(x, LIMIT)
'''
CHANGES = [
    "3 -> 4",
    "0.0 -> 1.0",
    "x < least -> x <= least",
    "x < least -> x >= least",
    "return least -> return None",
    "return min(x, LIMIT) -> return None",
    "min(x, LIMIT) -> max(x, LIMIT)",
]
SEEN = {"killed": 5, "survived": 2}  # 0.0 -> 1.0, which no test uses, and x <= least, which is the same


def write(folder: Path) -> None:
    (folder / "clipping.py").write_text(TEXT)
    test = "assert [clipped(x, 0.5) for x in (0, 0.5, 2, 4)] == [0.5, 0.5, 2, 3]"
    (folder / "test_clipping.py").write_text(f"from clipping import clipped\n\n\ndef test_clipped():\n    {test}\n")


def test_the_faults_of_a_text(tmp_path: Path) -> None:
    write(tmp_path)
    found = mutants(tmp_path, "clipping.py")
    assert Counter(mutant.change for mutant in found) == Counter(CHANGES)
    assert [mutant.function for mutant in found] == ["module"] + ["clipped"] * 6
    assert [mutant.in_body for mutant in found] == [False] * 2 + [True] * 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_what_no_test_sees_survives(tmp_path: Path) -> None:
    write(tmp_path)
    words = [sys.executable, command.__file__, "clipping.py", "--root", str(tmp_path), "--tests", "test_clipping.py"]
    for again in (False, True):  # the second run goes on behind the first, and runs survivors again
        run = subprocess.run(
            [*words, "--results", "results", "--jobs", "1"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert run.returncode == 1 and all(f"{name!r}: {count}" in run.stdout for name, count in SEEN.items()), (
            run.stderr
        )
        assert "survived: clipping.py:8 clipped: x < least -> x <= least" in run.stdout
        assert len((tmp_path / "results").read_text().splitlines()) == (9 if again else 7)


def test_executed_lines_are_those_of_the_files(tmp_path: Path) -> None:
    write(tmp_path)
    values: dict = {}
    exec(compile(TEXT, "clipping.py", "exec"), values)
    with ExecutedLines({"clipping.py": "clipping"}) as lines:
        values["clipped"](1)
    assert lines == {"clipping": {6, 8, 10}}
    with ExecutedLines({"clipping.py": "clipping"}) as lines:
        values["clipped"](-1)
    assert lines == {"clipping": {6, 8, 9}}


def test_a_sample_is_even_and_part_of_a_larger_one() -> None:
    found = [mutant for file in command.FILES[:8] for mutant in mutants(command.ROOT, file)]
    small, large = (command.sample(found, count, 0) for count in (60, 180))
    assert len(small) == 60 and set(small) < set(large) and len(large) == 180
    share = 60 / len(found)
    sizes, chosen = (Counter(mutant.file for mutant in some) for some in (found, small))
    assert all(abs(chosen[file] - share * sizes[file]) <= 1 for file in sizes)


def test_explained_survivors_exist_and_have_a_reason() -> None:
    explained = json.loads(command.EXPLAINED.read_text())
    keys = [f"{entry['file']}::{entry['function']}: {entry['change']}" for entry in explained]
    files = {entry["file"] for entry in explained}
    assert len(set(keys)) == len(keys) and all(entry["reason"] for entry in explained)
    assert files <= set(command.FILES)
    assert set(keys) <= {mutant.key for file in files for mutant in mutants(command.ROOT, file)}
