"""Formats records as tables: rows/s, GFLOP/s, the share of the limit and the ratio to the best peer."""

import statistics
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from mlpcore.bench.contenders import OURS
from mlpcore.bench.suite import LIMIT, Record

HEAD = ("contender", "rows/s", "GFLOP/s", "of the limit", "against the best peer")
NONE = "-"


class TextTable(NamedTuple):
    """A title, the names of the columns, and the cells as text."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def case(record: Record) -> tuple:
    """The key of comparable records: task, workload, batch, dtype and device."""
    return tuple(record[key] for key in ("what", "workload", "batch", "dtype", "device"))


def cases(records: Iterable[Record]) -> dict[tuple, dict[str, Record]]:
    """The records of each case by contender, in their order."""
    by_case: dict[tuple, dict[str, Record]] = {}
    for record in records:
        by_case.setdefault(case(record), {})[record["contender"]] = record
    return by_case


def rate(record: Record | None) -> float | None:
    """The median of the rounds in rows/s; None where nothing was measured."""
    return record["rows"] / statistics.median(record["seconds"]) if record and "seconds" in record else None


def ratio(record: Record | None, baseline: Record | None) -> float | None:
    """The speed relative to the ``baseline``: the median of the ratios of each round, so that drift cancels."""
    if not record or not baseline or "seconds" not in record or "seconds" not in baseline:
        return None
    pairs = zip(record["seconds"], baseline["seconds"], strict=True)
    return statistics.median(theirs / mine for mine, theirs in pairs) * record["rows"] / baseline["rows"]


def best(records: dict[str, Record], names: Iterable[str]) -> Record | None:
    """The fastest of the named contenders; None where none of them ran."""
    ran = [records[name] for name in names if rate(records.get(name))]
    return max(ran, key=lambda record: rate(record) or 0.0, default=None)


def is_peer(name: str) -> bool:
    """Whether the contender is neither mlpcore nor the limit."""
    return name != LIMIT and not name.startswith(OURS)


def table(records: dict[str, Record]) -> TextTable:
    """The table of one case, the fastest first, then the limit, then those that could not run."""
    first = next(iter(records.values()))
    peer, limit = best(records, filter(is_peer, records)), records.get(LIMIT)
    ran = sorted((record for record in records.values() if rate(record)), key=lambda record: -(rate(record) or 0.0))
    rows = [_row(record, limit, peer) for record in ran if record is not limit]
    rows += [_row(limit, None, None)] if limit else []
    rows += [
        (record["contender"], f"skipped: {record['skipped']}", *[NONE] * 3)
        for record in records.values()
        if not rate(record)
    ]
    task = {"epoch": "training", "predict": "prediction"}[first["what"]]
    shape = "-".join(map(str, first["widths"]))
    return TextTable(f"{first['workload']}: {task}, {shape}, batch {first['batch']}, {first['dtype']}", HEAD, rows)


def _row(record: Record, limit: Record | None, peer: Record | None) -> tuple[str, ...]:
    speed = rate(record) or 0.0
    flops = f"{speed * record['flops'] / record['rows'] / 1e9:.3g}"
    return record["contender"], count(speed), flops, share(ratio(record, limit)), times(ratio(record, peer))


def count(value: float | None) -> str:
    """A number of rows to three digits, with commas."""
    return NONE if value is None else f"{float(f'{value:.3g}'):,.0f}"


def share(value: float | None) -> str:
    """A percentage."""
    return NONE if value is None else f"{100 * value:.0f} %"


def times(value: float | None) -> str:
    """A ratio."""
    return NONE if value is None else f"{value:.2f} x"


def as_text(table: TextTable) -> str:
    """The table for a terminal."""
    lines_in_columns = [cells for cells in (table.head, *table.rows) if not _long(cells)]
    widths = [max(len(cells[i]) for cells in lines_in_columns) for i in range(len(table.head))]
    lines = [_line(cells, widths) for cells in (table.head, *table.rows)]
    return "\n".join([table.title, lines[0], "-" * (sum(widths) + 2 * len(widths) - 2), *lines[1:]])


def as_markdown(table: TextTable) -> str:
    """The table as Markdown, without its title."""
    lines = (table.head, ("---", *["---:"] * (len(table.head) - 1)), *table.rows)
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |" for cells in lines)


def where(about: dict[str, Any]) -> str:
    """The line below a table: machine, versions, date, commit."""
    gpu = f"{about['gpu']}; " if about.get("gpu") else ""
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    settings = [f"{name}={value}" for name, value in about.get("settings", {}).items()]
    pools = f"; {', '.join([*about['blas'], *settings])}" if about.get("blas") else ""
    return (
        f"{gpu}{about['cpu']}, {about['cores']} cores; {about['system']}, Python {about['python']}; {versions}{pools}; "
        f"{about['date']}; commit {about['commit'] or 'unknown'}"
    )


def _long(cells: Sequence[str]) -> bool:
    """Whether the second cell is a text that may be longer than its column."""
    return len(cells) > 1 and cells[1].startswith("skipped")


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    if _long(cells):
        return f"{cells[0].ljust(widths[0])}  {cells[1]}"
    right_aligned = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
    return "  ".join([cells[0].ljust(widths[0]), *right_aligned]).rstrip()
