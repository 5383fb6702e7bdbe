"""Messages of errors say who, what was got, what is expected or to be done; docs/messages.md is what tests cause."""

import re
import sys
from collections import defaultdict
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from message_rule import Raised, fault, raised

import mlpcore as mc
from mlpcore import errors

ROOT = Path(__file__).parent.parent
OURS = {name for name in errors.__all__ if issubclass(getattr(errors, name), errors.MlpcoreError)}
# Where users see errors of Python; elsewhere these are turned to one of ours.
ESTIMATORS = r"sklearn/|tabular/(base|classifier|regressor|residuals|members|held_out)"
BUILT_IN = {"FileNotFoundError": "", "ValueError": ESTIMATORS}
# Reasons for columns that a benchmark leaves out; texts that come within another message, which says the rest.
WITHIN = (
    *("bench/ours.py", "bench/peers/", "layers/containers.py: Sequential: # gives"),
    *("tabular/saved.py: it leaves", "training/evaluation.py: validation_data: #"),
)
ROW = re.compile(r"^\| (?P<what>.+) \| (?P<fence>`+) ?(?P<message>.+?) ?(?P=fence) \| (?P<kind>[\w ]+) \|$", re.M)


def seen_by_users(site: Raised) -> bool:
    where = BUILT_IN.get(site.error)
    known = site.error in OURS if where is None else re.match(where, site.file)
    return bool(known) and not f"{site.file}: {site.text}".startswith(WITHIN)


def generator() -> ModuleType:
    """docs/make_messages.py."""
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        return import_module("make_messages")
    finally:
        sys.path.pop(0)


def sections(page: str) -> dict[str, str]:
    """The page's parts by their titles."""
    return {part.partition("\n")[0]: f"## {part}".rstrip("\n") for part in page.split("\n## ")[1:]}


def test_every_raise_says_what_is_expected_or_to_be_done() -> None:
    sites = [site for site in raised(Path(mc.__file__).parent) if seen_by_users(site)]
    faults = {f"{site.file}:{site.line}": (said, site.text) for site in sites if (said := fault(site.text))}
    assert len(sites) > 300 and not faults, faults


@pytest.mark.parametrize(
    "message",
    [
        "Model: dtype is 'float16'",
        "invalid dtype, expected one of 'float32', 'float64'",
        "x has shape (3,), expected\n(rows, columns)",
        "the file is damaged, which is used later",
    ],
)
def test_the_rule_finds_poor_messages(message: str) -> None:
    assert fault(message)


def test_every_message_of_the_page_keeps_the_rule() -> None:
    page = (ROOT / "docs" / "messages.md").read_text(encoding="utf-8")
    rows = [match.groupdict() for match in ROW.finditer(page)]
    assert len(rows) == sum(line.startswith("| ") for line in page.splitlines()) - page.count("\n|---|")
    assert 150 < len(rows) < 800
    messages = [row["message"].replace("\\|", "|") for row in rows]
    faults = {message: said for message in messages if (said := fault(message))}
    assert not faults, faults
    kinds = {row["kind"] for row in rows}
    assert {"ConfigurationError", "DataError", "ModelFileError", "ValueError", "command line"} <= kinds
    assert not [message for message in messages if re.search(r"/tmp|/home|/root|0x[0-9a-f]{6}", message)]


def check(areas: list[str]) -> None:
    """These parts of the page are what their tests cause now, and every message keeps the rule."""
    maker = generator()
    files = [file for area in areas for file in maker.AREAS[area]]
    found = defaultdict(list)
    for file, row in maker.notes(files):
        found[file].append(row)
    page = sections((ROOT / "docs" / "messages.md").read_text(encoding="utf-8"))
    for area in areas:
        rows = [row for file in maker.AREAS[area] for row in found[file]]
        assert rows and not {row.message: said for row in rows if (said := fault(row.message))}
        assert maker.section(area, rows).rstrip("\n") == page[area], "python docs/make_messages.py"


def test_the_page_is_current_for_arguments() -> None:
    """For all else with ``--long``."""
    check([next(iter(generator().AREAS))])


@pytest.mark.long
def test_the_page_is_current() -> None:
    check(list(generator().AREAS))
