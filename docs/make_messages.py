"""Makes ``docs/messages.md``: what users do wrong and what they are told, from the tests of bad input.

``python docs/make_messages.py`` runs the tests named in AREAS, about a minute, and writes the page anew.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "messages.md"
AREAS = {
    "Arguments of `fit`, models and their parts": ["training/test_bad_arguments.py"],
    "Rows": ["training/test_bad_rows.py"],
    "Targets and weights": [
        *("training/test_bad_targets.py", "training/test_refused_gaps.py", "training/test_missing_targets.py"),
        "losses/test_targets.py",
    ],
    "Layers, losses, optimizers and schedules": [
        *("layers/test_refused_configurations.py", "layers/test_columns.py", "layers/test_containers.py"),
        *("losses/test_refused_configurations.py", "optimizers/test_refused_configurations.py"),
        *("schedules/test_refused_configurations.py", "test_initializers.py", "test_metrics.py"),
        "test_preprocessing.py",
    ],
    "Callbacks, checkpoints and explanations": [
        *("training/test_callbacks.py", "training/test_checkpoints.py", "training/test_checkpoint_folder.py"),
        *("training/test_explanations.py", "trackers/test_csv_log.py"),
    ],
    "Model files": ["files/test_damaged.py", "files/test_models.py"],
    "Tables": [
        *("tables/test_table.py", "tabular/test_delimited.py", "tabular/test_files.py", "tabular/test_encoder.py"),
        *("tabular/test_saved.py", "tabular/test_estimators.py", "tabular/test_export.py"),
        "tabular/test_bad_ground.py",
    ],
    "The command line": ["cli/test_commands.py", "cli/test_outputs.py", "cli/test_splits.py", "cli/test_explain.py"],
    "Estimators of `mlpcore.sklearn`": [
        *("sklearn/test_extras.py", "sklearn/test_labels.py", "sklearn/test_bad_splits.py"),
        *("sklearn/test_inputs.py", "sklearn/test_conversion.py"),
    ],
    "Stacks, ONNX and backends": [
        *("stacks/test_stack.py", "stacks/test_ensemble.py", "onnx/test_export.py", "backends/test_precision.py"),
    ],
}
FOLDERS = re.compile(r"(?:[A-Za-z]:\\|/)(?:[^\s'\",:;()]*[/\\])+")
CALLS = re.compile(r"-(?:fit|predict|evaluate|validation_data|partial_fit)$")  # a case for each call
INVENTED = ("disk full",)  # raised by a test in the place of the machine
UNREADABLE = re.compile(r"<|\\|\^|\.\*|[a-z_]\d+(?:-|$)|-.*-")  # a case whose name pytest has made of its arguments
HEAD = """# What goes wrong, and what it says

Every error names who complains, what it got, what was expected and, where that is not clear from it, what to do. These
tables are made from the tests that cause the errors (`python docs/make_messages.py`), so each message is one that was
given; numbers and names are those of the tests. All errors of the library are `mlpcore.MlpcoreError`; those of wrong
arguments and data are `ValueError` too, and the estimators raise a plain `ValueError` where scikit-learn has one.
"""


class Row(NamedTuple):
    """One error: what was done, the kind of error, the message."""

    what: str
    kind: str
    message: str


def notes(files: list[str]) -> list[tuple[str, Row]]:
    """The path below tests/ and the row of every error that the tests in these files expect, in their order."""
    with tempfile.TemporaryDirectory() as folder:
        noted = Path(folder) / "notes"
        words = ("-p", "error_messages", "--messages", str(noted), "-p", "no:cacheprovider", "-q")
        paths = os.pathsep.join((str(ROOT / "tests" / "helpers"), str(ROOT)))
        environment = {**os.environ, "PYTHONPATH": paths, "COLUMNS": "120"}
        command = [sys.executable, "-m", "pytest", *words, *(f"tests/{file}" for file in files)]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stdout[-4000:] + done.stderr[-4000:])
        lines = [json.loads(line) for line in noted.read_text(encoding="utf-8").splitlines()]
        lines = [line for line in lines if line["message"] not in INVENTED]
    return [(line["test"].split("::")[0].removeprefix("tests/"), row_of(**line)) for line in lines]


def row_of(test: str, kind: str, message: str) -> Row:
    """The row of a note; nothing in it depends on the machine."""
    name, _, case = test.rpartition("::")[2].partition("[")
    words, case = name.removeprefix("test_").replace("_", " "), CALLS.sub("", case.removesuffix("]"))
    readable = case and not UNREADABLE.search(case)
    what = (case if " " in case else f"{words}: {case}") if readable else words
    message = re.sub(r"PATH/test_\w+", "PATH/folder", FOLDERS.sub("PATH/", " ".join(message.split())))
    return Row(what, kind, re.sub(r" at 0x[0-9a-f]+", "", message))


def shape(row: Row) -> str:
    """What messages of one shape have in common: not the class, nor values."""
    text = re.sub(r"^[A-Za-z]\w*(\([^:]*\))?: ", "", row.message.removeprefix("validation_data: "))
    text = re.sub(r"another fit: .* here;", "another fit: #", text)
    text = re.sub(r" (is|dtype|names) .*?, (?=expected|which)", r" \1 #, ", text)
    return re.sub(r"<[^>]*>|'[^']*'|\b[A-Z]\w*\([^()]*\)|-?\d[\w.,+-]*", "#", text)


def table(rows: list[Row]) -> list[str]:
    """The rows as a table, the first of each shape."""
    first = {shape(row): row for row in reversed(rows)}
    kept = sorted(first.values(), key=rows.index)
    return ["| what was done | the message | error |", "|---|---|---|", *map(line_of, kept)]


def line_of(row: Row) -> str:
    """A row of a table; a message with a backtick stands between two."""
    what, message = (text.replace("|", "\\|") for text in (row.what, row.message))
    fence, space = ("``", " ") if "`" in message else ("`", "")
    return f"| {what} | {fence}{space}{message}{space}{fence} | {row.kind} |"


def section(area: str, rows: list[Row]) -> str:
    """The part of the page about an area."""
    return "\n".join([f"## {area}", "", *table(rows), ""])


def page() -> str:
    """The whole page."""
    found = notes([file for files in AREAS.values() for file in files])
    parts = [section(area, [row for file, row in found if file in files]) for area, files in AREAS.items()]
    return "\n".join([HEAD, *parts])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
