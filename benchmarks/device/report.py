"""A device run becomes a result file, and with it the page of benchmarks and the section of the README.

``python -m benchmarks.device.report OUT`` writes ``benchmarks/results/CARD-DATE.json`` from OUT/summary.json,
docs/benchmarks.md, and what is between the marks in README.md.
"""

import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.device.tables import failures, stack_table, step_table
from benchmarks.results import FOLDER, Results, read
from mlpcore.bench.tables import as_markdown
from mlpcore.errors import ConfigurationError
from mlpcore.files.writing import replace_file

README = Path(__file__).parents[2] / "README.md"
MARKS = "<!-- written by python -m benchmarks.device.report -->", "<!-- end -->"
NONE = "`benchmarks/device.sh` tests and measures all this on one card in ten minutes; it has run on no card yet."
MEASURED = ("steps", "stacks")  # the parts whose records are times


def result(summary: dict[str, Any]) -> dict[str, Any]:
    """The content of the result file; ConfigurationError for a rehearsal, whose times mean nothing."""
    parts = summary["parts"]
    about = next((parts[name]["about"] for name in MEASURED if parts.get(name, {}).get("about")), {})
    if parts.get("steps", {}).get("settings", {}).get("peers on") == "cpu" or not about.get("gpu"):
        raise ConfigurationError("a rehearsal, or a run without an NVIDIA GPU, is no result of a device")
    records = [record for name in MEASURED for record in parts.get(name, {}).get("records", []) if "what" in record]
    kept = ("state", "took", "limit", "settings", "records")
    shown = {name: {key: part[key] for key in kept if key in part} for name, part in parts.items()}
    for part in shown.values():
        part["records"] = [{key: record[key] for key in record if key != "log"} for record in part.get("records", [])]
    for name in MEASURED:
        if name in shown:  # what failed there stays visible
            shown[name]["records"] = [record for record in shown[name].get("records", []) if "what" not in record]
    return {"about": about, "settings": {}, "records": records, "parts": shown}


def name_of(about: dict[str, Any]) -> str:
    """``h200-2026-11-26`` for an NVIDIA H200 on that day."""
    card = about["gpu"].partition(",")[0].lower().removeprefix("nvidia").strip()
    return f"{re.sub('[^a-z0-9]+', '-', card)}-{about['date']}"


def section(sources: Sequence[Results]) -> str:
    """The section of the README about the latest run of each card."""
    latest = {source.about["gpu"].partition(",")[0]: source for source in sources if source.parts}
    return "\n\n".join(text for source in latest.values() for text in _card(source)) or NONE


def _card(source: Results) -> Iterator[str]:
    records = [record for part in source.parts.values() for record in part.get("records", [])]
    counts = [record["counts"] for record in records if "counts" in record]
    total, passed = (sum(count[word] for count in counts) for word in ("tests", "passed"))
    skipped, wrong = sum(count["skipped"] for count in counts), len(list(failures(source.parts)))
    states = [name for name, part in source.parts.items() if part["state"] != "done"]
    rest = f" Not complete: {', '.join(states)}." if states else ""
    card, commit = source.about["gpu"].partition(",")[0], source.about["commit"] or "unknown"
    yield (
        f"On one {card} ({source.about['date']}, commit {commit}) {passed:,} of {total:,} tests for GPUs passed and "
        f"{skipped:,} were skipped; {wrong} failures in all parts.{rest} [All results](docs/benchmarks.md)."
    )
    yield from (as_markdown(table) for table in (step_table(source.records), stack_table(source.records)) if table)


def with_section(text: str, sources: Sequence[Results]) -> str:
    """The text of the README with the section between its marks."""
    begin, end = MARKS
    before, _, rest = text.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ConfigurationError(f"README.md has no {begin} followed by {end}")
    return f"{before}{begin}\n{section(sources)}\n{end}{after}"


def main(argv: Sequence[str]) -> int:
    """Write the result file of a run, if one is named, the page and the README."""
    for out in argv:
        content = result(json.loads((Path(out) / "summary.json").read_text(encoding="utf-8")))
        path = FOLDER / f"{name_of(content['about'])}.json"
        replace_file(path, [(json.dumps(content, indent=1) + "\n").encode()])
        print(path)
    report.main([])
    sources = [read(path) for path in sorted(FOLDER.glob("*.json"))]
    replace_file(README, [with_section(README.read_text(encoding="utf-8"), sources).encode()])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
