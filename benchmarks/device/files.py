"""The result file of a part, OUT/PART.json: written whole after every case, so that nothing measured is lost.

Needs the standard library only: the runner works where mlpcore cannot be imported.
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Record = dict[str, Any]  # JSON values; "case" names what it belongs to


def write(path: Path, text: str) -> None:
    """Replace the file in one step: a reader sees the old or the new text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def read(path: Path) -> dict[str, Any]:
    """The content of a JSON file, {} where there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


class PartFile:
    """The records of a part. ``about`` are the facts of machine and process; a resumed part keeps its records."""

    def __init__(self, out: Path, part: str, about: dict[str, Any] | None = None, **settings: Any) -> None:
        self.path = out / f"{part}.json"
        earlier = read(self.path)
        if about is not None and earlier.get("about", about).get("gpu") != about.get("gpu"):
            earlier = {}  # measured on another card
        empty: dict[str, Any] = {"about": {}, "settings": {}, "running": None, "cases": [], "unfinished": []}
        self.content = empty | {"records": list[Record]()} | earlier
        if about is not None:
            self.content |= {"about": about, "settings": settings}
        self._write()

    @property
    def records(self) -> list[Record]:
        """All records."""
        return self.content["records"]

    def pending(self, names: Iterable[str]) -> list[str]:
        """The cases that have not ended, those that were begun before last: one that hangs stops no others."""
        begun = self.content["unfinished"]
        waiting = [name for name in names if name not in self.content["cases"]]
        return sorted(waiting, key=lambda name: begun.count(name))

    def begin(self, case: str) -> None:
        """Note that a case runs now."""
        self.content["running"] = case
        self.content["unfinished"] = [*self.content["unfinished"], case]
        self._write()

    def end(self, case: str, records: Iterable[Record]) -> None:
        """Keep the records of a case, which has ended."""
        self.content["records"] += [{"case": case} | record for record in records]
        self.content["cases"].append(case)
        self.content["unfinished"] = [name for name in self.content["unfinished"] if name != case]
        self.content["running"] = None
        self._write()

    def replace(self, case: str, record: Record) -> None:
        """Put a record in the place of those that the case has so far, before it ends."""
        self.content["records"] = [one for one in self.records if one["case"] != case] + [{"case": case} | record]
        self._write()

    def crashed(self, reason: str) -> str | None:
        """End the running case with a record of why it failed; its name, None where none was running."""
        case = self.content["running"]
        if case is not None:
            self.end(case, [{"failed": reason}])
        return case

    def _write(self) -> None:
        lines = ",\n".join(json.dumps(record) for record in self.records)
        head = json.dumps({key: value for key, value in self.content.items() if key != "records"}, indent=1)[:-2]
        write(self.path, f'{head},\n "records": [\n{lines}\n]}}\n')
