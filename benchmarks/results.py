"""Result files: records with machine, versions, date and commit; those of pytest-benchmark are read as well."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from mlpcore.bench.about import about
from mlpcore.bench.suite import Record
from mlpcore.files.writing import replace_file

FOLDER = Path(__file__).parent / "results"


class Results(NamedTuple):
    """What one run measured, and where, with what and when it was."""

    name: str
    about: dict[str, Any]
    records: list[Record]
    parts: dict[str, Any] = {}  # noqa: RUF012  # of a device run: state and records of each, see benchmarks/device


class Writer:
    """Collects the records of a run and writes them after each addition: a run that is cut short is not lost."""

    def __init__(self, path: str | Path | None, device: str, **settings: Any) -> None:
        self.path, self.records = path and Path(path), list[Record]()
        self.head = {"about": about(device), "settings": settings}
        if self.path:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        self.add([])

    def add(self, records: Iterable[Record]) -> list[Record]:
        """Keep the records, and give them back as a list."""
        new_records = list(records)
        self.records += new_records
        if self.path:
            text = ",\n".join(json.dumps(rounded(record)) for record in self.records)
            head = json.dumps(self.head, indent=1)[:-2]
            replace_file(self.path, [f'{head},\n "records": [\n{text}\n]}}\n'.encode()])
        return new_records


def rounded(record: Record) -> Record:
    """The record with its times to six digits, a line of the file."""
    return {
        key: [float(f"{number:.6g}") for number in value] if key == "seconds" else value
        for key, value in record.items()
    }


def read(path: str | Path) -> Results:
    """The results in a file of `Writer`, of ``mlpcore bench --json`` or of ``pytest benchmarks --benchmark-json``."""
    path = Path(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    if "benchmarks" in content:
        records = [
            benchmark["extra_info"] | {"seconds": [benchmark["stats"]["median"]]}
            for benchmark in content["benchmarks"]
            if "what" in benchmark["extra_info"]
        ]
        return Results(path.stem, content["machine_info"]["mlpcore"], records)
    return Results(path.stem, content["about"], content["records"], content.get("parts", {}))
