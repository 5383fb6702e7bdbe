"""A plugin of pytest: one of several processes that share the tests, each with a line in a log as soon as it ends.

DEVICE_SHARD is "2/12", DEVICE_SHARD_LOG the file of lines, DEVICE_SHARD_DONE one of tests that an earlier run has done.
What these name is left out: a process that crashed is started again and goes on. After an error that leaves the device
of no use the process ends itself.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from benchmarks.device.running import sticky

LOG = Path(os.environ.get("DEVICE_SHARD_LOG", os.devnull))
TEXT = 1500  # characters of a failure that are kept


def lines(log: Path) -> list[dict[str, Any]]:
    """What a log has."""
    found = []
    for line in log.read_text(encoding="utf-8").splitlines() if log.is_file() else ():
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:  # the line that a crashed process was writing
            continue
    return found


def note(**words: Any) -> None:
    """Add a line."""
    with LOG.open("a", encoding="utf-8") as log:
        log.write(json.dumps(words) + "\n")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep every n-th test, but for those that have begun before."""
    number, count = map(int, os.environ.get("DEVICE_SHARD", "0/1").split("/"))
    begun = {line.get("test") for line in (*lines(LOG), *lines(Path(os.environ.get("DEVICE_SHARD_DONE", os.devnull))))}
    share = items[number::count]
    note(share=len(share))
    items[:] = [item for item in share if item.nodeid not in begun]


def pytest_runtest_logstart(nodeid: str) -> None:
    """Note that a test begins."""
    note(test=nodeid, outcome="begun")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note how a test ended."""
    if report.when != "call" and report.passed:
        return
    outcome = "failed" if report.failed and report.when == "call" else "error" if report.failed else report.outcome
    words: dict[str, Any] = {"test": report.nodeid, "outcome": outcome, "seconds": round(report.duration, 3)}
    if report.failed:
        words["text"] = str(report.longrepr)[-TEXT:]
    if report.skipped:
        words["text"] = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    note(**words)
    if report.failed and sticky(RuntimeError(str(report.longrepr))):
        os._exit(70)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Note modules that cannot be collected, or are skipped as a whole."""
    if report.failed or report.skipped:
        outcome = "error" if report.failed else "skipped"
        note(test=report.nodeid, outcome=outcome, text=str(report.longrepr)[-TEXT:], module=True)
