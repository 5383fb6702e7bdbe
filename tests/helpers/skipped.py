"""Hooks: what is marked ``long`` waits for ``--long``, and a run ends with a table of what was skipped and why."""

from collections import Counter
from typing import Any

import pytest

LONG = "long: pytest --long"
_modules: dict[str, str] = {}  # test modules that were skipped as a whole, and why


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option ``--long``."""
    parser.addoption("--long", action="store_true", help="run what is marked long, too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what is marked ``long``, unless it is asked for."""
    if not config.getoption("--long"):
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason=LONG))


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Note a skipped module."""
    if report.skipped:
        _modules[report.nodeid] = _reason(report)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A process of pytest-xdist sends the skipped modules, of which its reports say nothing."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["skipped_modules"] = _modules


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Every process has looked at the same modules."""
    _modules.update(getattr(node, "workeroutput", {}).get("skipped_modules", {}))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """One line for each reason, with what to install or to have."""
    reports = [one for one in terminalreporter.stats.get("skipped", []) if isinstance(one, pytest.TestReport)]
    tests, modules = Counter(map(_reason, reports)), Counter(_modules.values())
    if not (tests or modules):
        return
    terminalreporter.section("skipped")
    for reason in sorted(tests | modules, key=lambda reason: (-tests[reason], reason)):
        counts = (f"{n} {kind}{'s' * (n > 1)}" for n, kind in ((tests[reason], "test"), (modules[reason], "file")) if n)
        terminalreporter.write_line(f"{' and '.join(counts):>22}  {reason}")


def _reason(report: Any) -> str:
    """Why a test or a module was skipped, on one line."""
    said = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return " ".join(said.removeprefix("Skipped: ").split())
