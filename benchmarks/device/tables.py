"""Tables of what a device run found: ``python -m benchmarks.device.tables OUT/summary.json`` prints them."""

import json
import statistics
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.device.files import Record
from mlpcore.bench.contenders import OURS
from mlpcore.bench.tables import NONE, TextTable, as_text, best, cases, ratio, share, times

PRODUCT = "cublas product"
STEP_HEAD = ("batch", "widths", "products in", "mlpcore, us a step", "one by one", "best torch", "against it (target)",
             "jax scan", "against it (target)", "of the product's rate (target)")  # fmt: skip


def step_table(records: Sequence[Record]) -> TextTable | None:
    """Microseconds of a step of mlpcore, captured and one by one, and of peers; ratios beside their targets."""
    rows = []
    for (what, *_), found in cases([record for record in records if record.get("what") == "step"]).items():
        assert what == "step"
        first = next(iter(found.values()))
        if "goals" not in first:
            continue
        goals = first["goals"]
        ours = best(found, [name for name in found if name.startswith(OURS)])
        torch = best(found, [name for name in found if name.startswith("torch")])
        jax = best(found, ["jax scan"])
        cells = [microseconds(ours), microseconds(found.get("mlpcore cupy"))]
        for peer, goal in ((torch, goals["torch"]), (jax, goals["jax"])):
            named = f", {peer['contender']}" if peer is torch and peer else ""
            cells += [microseconds(peer) + named, f"{times(ratio(ours, peer))} ({times(goal)})"]
        limit = ratio(ours, found.get(PRODUCT))
        cells.append(NONE if goals["share"] is None else f"{share(limit)} ({share(goals['share'])})")
        rows.append([f"{first['batch']:,}", "-".join(map(str, first["widths"])), first["dtype"], *cells])
    return TextTable("training steps (in brackets: the target)", STEP_HEAD, rows) if rows else None


def stack_table(records: Sequence[Record]) -> TextTable | None:
    """Microseconds of a step of one network, of a stack and of JAX's vmap over a scan."""
    found = {record["contender"]: record for record in records if record.get("what") == "stack"}
    if not found:
        return None
    first = next(iter(found.values()))
    one = best(found, [name for name in found if name.startswith(OURS) and "stack" not in name])
    stack = best(found, [name for name in found if name.startswith(OURS + "cupy stack")])
    jax, goals = best(found, ["jax vmap scan"]), first["goals"]
    slower = ratio(one, stack)
    row = [
        str(first["members"]), "-".join(map(str, first["widths"])), f"{first['batch']:,}", microseconds(one),
        microseconds(stack), f"{times(slower)} ({times(goals['time of one'])})", microseconds(jax),
        f"{times(ratio(stack, jax))} ({times(goals['jax'])})",
    ]  # fmt: skip
    head = ["networks", "widths", "batch", "one network, us a step", "all of them", "time of one (at most)",
            "jax vmap scan", "against it (target)"]  # fmt: skip
    return TextTable("many networks at once", head, [row])


def microseconds(record: Record | None) -> str:
    """The median time of a step."""
    if not record or "seconds" not in record:
        return NONE
    return f"{statistics.median(record['seconds']) / record['steps'] * 1e6:,.1f}"


def all_table(records: Iterable[Record]) -> TextTable | None:
    """Microseconds of a step of every contender."""
    rows = [
        [f"{record['batch']:,}; {'-'.join(map(str, record['widths']))} {record['dtype']}", record["contender"],
         microseconds(record) if "seconds" in record else f"skipped: {record['skipped'][:70]}"]
        for record in records
        if record.get("what") in ("step", "stack") and "steps" in record
    ]  # fmt: skip
    return TextTable("every contender, us a step", ["case", "contender", "us"], rows) if rows else None


def proof_table(parts: Mapping[str, Any]) -> TextTable:
    """A line for each part that proves something: its state, and what it found."""
    rows = [[name, part["state"], f"{part['took']:.0f}", "; ".join(findings(part))] for name, part in parts.items()]
    return TextTable("parts", ["part", "state", "seconds", "found"], rows)


def findings(part: Mapping[str, Any]) -> Iterator[str]:
    """What a part found, in a few words for each case."""
    records = part.get("records", [])
    for record in records:
        if "counts" in record:
            counts = ", ".join(f"{number:,} {word}" for word, number in record["counts"].items() if number)
            rest = f", {record['not run']} not run" if record["not run"] else ""
            yield f"{counts or 'no tests'}{rest}"
        elif "failed" in record:
            yield f"{record['case']} FAILED"
        elif "absent" in record:
            yield f"{record['case']}: absent ({record['absent']})"
    good = sum(not {"counts", "failed", "absent"} & record.keys() for record in records)
    if good:
        yield f"{good} records"


def failures(parts: Mapping[str, Any]) -> Iterator[str]:
    """Every failure, with the first line of its text."""
    for name, part in parts.items():
        for record in part.get("records", []):
            if "failed" in record:
                yield f"{name}: {record['case']}: {str(record['failed']).strip()[:300]}"
            for failure in record.get("failures", []):
                yield f"{name}: {failure['test']}: {failure['text'].strip().splitlines()[-1][:300]}"
            for test in record.get("not ended", []):
                yield f"{name}: {test}: did not end"


def main(argv: Sequence[str]) -> int:
    """Print the tables and the failures; 1 if there are any."""
    parts = json.loads(Path(argv[0]).read_text(encoding="utf-8"))["parts"]
    steps, stacks = (parts.get(name, {}).get("records", []) for name in ("steps", "stacks"))
    tables = [all_table([*steps, *stacks]), step_table(steps), stack_table(stacks)]
    print(*(as_text(table) for table in tables if table), sep="\n\n", end="\n\n")
    for name, state, seconds, found in proof_table(parts).rows:
        print(f"{name:10}  {state:10}  {seconds:>4} s  {found}")
    failed = list(failures(parts))
    print(*failed, f"{len(failed)} failures", sep="\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
