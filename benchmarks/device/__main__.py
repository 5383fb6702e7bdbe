"""``python -m benchmarks.device OUT``: all parts, the cheapest that could fail first; see device.sh.

Needs the standard library only.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.device.files import read
from benchmarks.device.provenance import digest, name_of_card
from benchmarks.device.runner import Part, module, run

PARTS = (  # 590 seconds together
    Part("provenance", 10, module("provenance")),
    Part("first", 30, module("first")),
    Part("prepare", 55, module("steps", "prepare")),
    Part("kernels", 35, module("suites", "kernels")),
    Part("steps", 170, module("steps")),
    Part("stacks", 30, module("stacked")),
    Part("suite", 95, module("suites", "suite")),
    Part("laws", 50, module("suites", "laws")),
    Part("streamed", 15, module("streamed")),
    Part("counts", 15, module("counts")),
    Part("calls", 25, module("suites", "calls")),
    Part("memcheck", 25, module("sanitizer", "memcheck")),
    Part("racecheck", 25, module("sanitizer", "racecheck")),
    Part("probes", 10, module("suites", "probes")),
)


def another(out: Path) -> str | None:
    """What the results in OUT were made of or on, if that is not what is here."""
    for record in read(out / "summary.json").get("parts", {}).get("provenance", {}).get("records", []):
        if record["sources"] != digest():
            return "other sources"
        if record["name of card"] != name_of_card():
            return f"another card, {record['name of card']}"
    return None


def main(argv: Sequence[str]) -> int:
    """Run, and print the tables; 0 if every part is done and nothing has failed."""
    if len(argv) != 1:
        print("usage: benchmarks/device.sh OUT", file=sys.stderr)
        return 2
    out = Path(argv[0]).resolve()
    if (other := another(out)) is not None:
        print(f"{out} has results of {other}: use an empty folder", file=sys.stderr)
        return 2
    summary = run(PARTS, out, float(os.environ.get("DEVICE_BUDGET", "600")), lambda text: print(text, flush=True))
    shown = subprocess.run([*module("tables"), str(out / "summary.json")], check=False)
    done = all(part.get("state") == "done" for part in summary["parts"].values())
    return 0 if done and shown.returncode == 0 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
