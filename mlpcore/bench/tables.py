"""Records as tables: rows/s, GFLOP/s, the share of the limit and the ratio to the best peer."""

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
    """What was measured; records of one case can be compared."""
    return tuple(record[key] for key in ("what", "workload", "batch", "dtype", "device"))


def cases(records: Iterable[Record]) -> dict[tuple, dict[str, Record]]:
    """The records of each case by contender, in the order they come in."""
    found: dict[tuple, dict[str, Record]] = {}
    for record in records:
        found.setdefault(case(record), {})[record["contender"]] = record
    return found


def rate(record: Record | None) -> float | None:
    """The median of the rounds in rows/s; None where nothing was measured."""
    return record["rows"] / statistics.median(record["seconds"]) if record and "seconds" in record else None


def ratio(one: Record | None, other: Record | None) -> float | None:
    """How many times as fast as the ``other`` it is: the median of the rounds' own ratios, so that drift cancels."""
    if not one or not other or "seconds" not in one or "seconds" not in other:
        return None
    pairs = zip(one["seconds"], other["seconds"], strict=True)
    return statistics.median(theirs / own for own, theirs in pairs) * one["rows"] / other["rows"]


def best(found: dict[str, Record], names: Iterable[str]) -> Record | None:
    """The fastest of the named contenders; None where none of them ran."""
    ran = [found[name] for name in names if rate(found.get(name))]
    return max(ran, key=lambda record: rate(record) or 0.0, default=None)


def is_peer(name: str) -> bool:
    """Whether it is neither mlpcore nor the limit."""
    return name != LIMIT and not name.startswith(OURS)


def table(found: dict[str, Record]) -> TextTable:
    """The table of one case, the fastest first, then the limit, then those that could not run."""
    first = next(iter(found.values()))
    peer, limit = best(found, filter(is_peer, found)), found.get(LIMIT)
    ran = sorted((one for one in found.values() if rate(one)), key=lambda one: -(rate(one) or 0.0))
    rows = [_row(one, limit, peer) for one in ran if one is not limit]
    rows += [_row(limit, None, None)] if limit else []
    rows += [(one["contender"], f"skipped: {one['skipped']}", *[NONE] * 3) for one in found.values() if not rate(one)]
    what = {"epoch": "training", "predict": "prediction"}[first["what"]]
    shape = "-".join(map(str, first["widths"]))
    return TextTable(f"{first['workload']}: {what}, {shape}, batch {first['batch']}, {first['dtype']}", HEAD, rows)


def _row(record: Record, limit: Record | None, peer: Record | None) -> tuple[str, ...]:
    speed = rate(record) or 0.0
    flops = f"{speed * record['flops'] / record['rows'] / 1e9:.3g}"
    return record["contender"], count(speed), flops, share(ratio(record, limit)), times(ratio(record, peer))


def count(value: float | None) -> str:
    """A number of rows to three digits, with commas."""
    return NONE if value is None else f"{float(f'{value:.3g}'):,.0f}"


def share(value: float | None) -> str:
    """A per cent."""
    return NONE if value is None else f"{100 * value:.0f} %"


def times(value: float | None) -> str:
    """A ratio."""
    return NONE if value is None else f"{value:.2f} x"


def as_text(one: TextTable) -> str:
    """The table for a terminal."""
    wide = [max(len(cell[i]) for cell in (one.head, *one.rows) if not _long(cell)) for i in range(len(one.head))]
    lines = [_line(cells, wide) for cells in (one.head, *one.rows)]
    return "\n".join([one.title, lines[0], "-" * (sum(wide) + 2 * len(wide) - 2), *lines[1:]])


def as_markdown(one: TextTable) -> str:
    """The table for a page, without its title."""
    lines = (one.head, ("---", *["---:"] * (len(one.head) - 1)), *one.rows)
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |" for cells in lines)


def where(about: dict[str, Any]) -> str:
    """The line under a table: machine, versions, date, commit."""
    gpu = f"{about['gpu']}; " if about.get("gpu") else ""
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    settings = [f"{name}={value}" for name, value in about.get("settings", {}).items()]
    pools = f"; {', '.join([*about['blas'], *settings])}" if about.get("blas") else ""
    return (
        f"{gpu}{about['cpu']}, {about['cores']} cores; {about['system']}, Python {about['python']}; {versions}{pools}; "
        f"{about['date']}; commit {about['commit'] or 'unknown'}"
    )


def _long(cells: Sequence[str]) -> bool:
    return len(cells) > 1 and cells[1].startswith("skipped")


def _line(cells: Sequence[str], wide: Sequence[int]) -> str:
    if _long(cells):
        return f"{cells[0].ljust(wide[0])}  {cells[1]}"
    rest = (cell.rjust(width) for cell, width in zip(cells[1:], wide[1:], strict=True))
    return "  ".join([cells[0].ljust(wide[0]), *rest]).rstrip()
