"""What is read off logs and reports of a device run, its tables, and how they come to the pages."""

import json
import sys
from pathlib import Path

import pytest
from printing import CASES, programs

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT))  # for the package benchmarks; what is installed goes first

from benchmarks import report as page  # noqa: E402
from benchmarks import results  # noqa: E402
from benchmarks.device import cases, counts, report, running, sanitizer, suites, tables  # noqa: E402
from mlpcore.errors import ConfigurationError  # noqa: E402

STEPPED = {
    "what": "step", "case": "c", "workload": "mnist", "batch": 128, "widths": [784, 256, 128, 10], "dtype": "float32",
    "device": "cuda", "rows": 1280, "flops": 10**9, "steps": 10, "goals": {"torch": 1.5, "jax": 1.2, "share": 0.85},
}  # fmt: skip
RECORDS = [
    STEPPED | {"contender": "mlpcore cupy", "seconds": [3e-3, 4e-3, 4e-3]},
    STEPPED | {"contender": "mlpcore cupy captured", "seconds": [1e-3, 2e-3, 2e-3]},
    STEPPED | {"contender": "torch eager", "seconds": [9e-3, 9e-3, 9e-3]},
    STEPPED | {"contender": "torch graph", "seconds": [4e-3, 4e-3, 4e-3]},
    STEPPED | {"contender": "torch.compile", "skipped": "no compiler"},
    STEPPED | {"contender": "jax scan", "seconds": [1e-3, 1e-3, 1e-3]},
    STEPPED | {"contender": "cublas product", "seconds": [5e-4, 1e-3, 1e-3]},
]
STACKED = STEPPED | {"what": "stack", "workload": "stack", "members": 64, "goals": {"time of one": 2.0, "jax": 1.5}}
STACK = [
    STACKED | {"contender": "mlpcore cupy captured", "seconds": [1e-3, 1e-3]},
    STACKED | {"contender": "mlpcore cupy stack captured", "seconds": [3e-3, 3e-3]},
    STACKED | {"contender": "jax vmap scan", "seconds": [6e-3, 6e-3]},
]
COUNTS = {"tests": 4, "passed": 2, "failed": 1, "error": 0, "skipped": 1}
TESTED = {"case": "laws", "counts": COUNTS, "not run": 0, "not ended": [], "reasons of skips": {"no torch": 1},
          "failures": [{"test": "t.py::test_a", "text": "one\nE  wrong"}]}  # fmt: skip
ABOUT = {"gpu": "NVIDIA H100 80GB HBM3, 580.1", "cpu": "a chip", "cores": 16, "system": "Linux", "python": "3.12",
         "versions": {"numpy": "2.5"}, "date": "2026-12-01", "commit": "abc"}  # fmt: skip


def summary(**about) -> dict:
    part = {"state": "done", "took": 9.0, "limit": 30.0, "settings": {}, "about": ABOUT | about}
    failed = {"case": "memcheck", "failed": "========= Invalid read"}
    return {"parts": {
        "prepare": {"state": "done", "took": 50.0, "limit": 60.0},
        "steps": part | {"records": [*RECORDS, {"case": "d", "failed": "ValueError"}]},
        "stacks": part | {"records": STACK, "state": "incomplete"},
        "laws": part | {"records": [TESTED]},
        "memcheck": part | {"records": [{"case": "the script alone", "status": 0}, failed]},
        "probes": part | {"records": [{"case": "narrow", "absent": "no file"}]},
    }}  # fmt: skip


def test_ratios_stand_beside_their_targets() -> None:
    table = tables.step_table(RECORDS)
    assert table is not None
    # Ratios in each round: torch graph 4, 2, 2; JAX 1, 1/2, 1/2; the product 1/2, 1/2, 1/2.
    assert table.rows == [["128", "784-256-128-10", "float32", "200.0", "400.0", "400.0, torch graph",
                           "2.00 x (1.50 x)", "100.0", "0.50 x (1.20 x)", "50 % (85 %)"]]  # fmt: skip
    table = tables.stack_table(STACK)
    assert table is not None
    assert table.rows == [["64", "784-256-128-10", "128", "100.0", "300.0", "3.00 x (2.00 x)", "600.0",
                           "2.00 x (1.50 x)"]]  # fmt: skip
    assert tables.step_table([]) is None and tables.stack_table(RECORDS) is None


def test_failures_are_listed_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "summary.json").write_text(json.dumps(summary()))
    assert tables.main([str(tmp_path / "summary.json")]) == 1
    out = capsys.readouterr().out
    for line in ("steps: d: ValueError", "laws: t.py::test_a: E  wrong", "memcheck: memcheck: ========= Invalid read"):
        assert line in out
    assert "3 failures" in out and "4 tests, 2 passed, 1 failed, 1 skipped" in out
    assert "narrow: absent (no file)" in out


def test_a_run_becomes_a_result_file_a_page_and_a_section(tmp_path: Path) -> None:
    content = report.result(summary())
    assert report.name_of(content["about"]) == "h100-80gb-hbm3-2026-12-01"
    assert content["records"] == [*RECORDS, *STACK] and content["parts"]["steps"]["records"][0]["case"] == "d"
    path = tmp_path / "card.json"
    path.write_text(json.dumps(content))
    source = results.read(path)
    text = page.page([source], tmp_path)
    assert "200.0 | 400.0 | 400.0, torch graph" in text and "| laws | done | 9 | 4 tests, 2 passed" in text
    text = report.with_section(f"before\n{report.MARKS[0]}\nold\n{report.MARKS[1]}\nafter", [source])
    assert "On one NVIDIA H100 80GB HBM3 (2026-12-01, commit abc) 2 of 4 tests for GPUs passed and 1 were" in text
    assert "3 failures in all parts. Not complete: stacks." in text and "old" not in text
    assert text.startswith("before\n") and text.endswith("\nafter")
    with pytest.raises(ConfigurationError, match="has no"):
        report.with_section("nothing", [])


def test_a_rehearsal_is_no_result() -> None:
    rehearsed = summary()
    rehearsed["parts"]["steps"]["settings"] = {"peers on": "cpu"}
    for one in (rehearsed, summary(gpu="")):
        with pytest.raises(ConfigurationError, match="rehearsal"):
            report.result(one)


def test_the_readme_says_what_the_results_say() -> None:
    sources = [results.read(path) for path in sorted(results.FOLDER.glob("*.json"))]
    text = report.README.read_text(encoding="utf-8")
    assert report.with_section(text, sources) == text, "run python -m benchmarks.device.report"


def test_tests_are_counted_once_whatever_their_processes_do() -> None:
    first = [
        {"share": 4},
        {"test": "m.py", "outcome": "skipped", "text": "no polars", "module": True},
        {"test": "a", "outcome": "begun"}, {"test": "a", "outcome": "passed", "seconds": 2.0},
        {"test": "b", "outcome": "begun"}, {"crash": -11}, {"share": 4},
        {"test": "c", "outcome": "begun"}, {"test": "c", "outcome": "failed", "seconds": 1.0, "text": "E  c"},
    ]  # fmt: skip
    second = [
        {"share": 1},
        {"test": "n.py", "outcome": "error", "text": "E  import", "module": True},
        {"test": "d", "outcome": "skipped", "seconds": 0.0, "text": "Skipped: no  device"},
    ]
    found = suites.tally([first, second, [second[1]]])
    assert found["counts"] == {"tests": 5, "passed": 1, "failed": 1, "error": 1, "skipped": 1}
    assert found["not run"] == 2 and found["not ended"] == ["b"] and found["crashes"] == 1
    assert [one["test"] for one in found["failures"]] == ["c", "n.py"] and found["reasons of skips"] == {"no device": 1}


@pytest.mark.parametrize(
    ("output", "status", "good"),
    [
        ("========= COMPUTE-SANITIZER\nfinished\n========= ERROR SUMMARY: 0 errors\n", 0, True),
        ("========= Invalid read\nfinished\n========= ERROR SUMMARY: 2 errors\n", 99, False),
        ("finished\n========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)\n", 0, True),
        ("finished\n========= RACECHECK SUMMARY: 1 hazard displayed (1 error, 0 warnings)\n", 99, False),
        ("========= ERROR SUMMARY: 0 errors\n", 0, False),  # the script did not come to its end
        ("Device not supported\n", 1, False),
        ("finished\n", 0, False),  # no word of the tool
    ],
)
def test_reports_of_the_sanitizer(output: str, status: int, good: bool) -> None:
    assert ("failed" not in sanitizer.judged(output, status)) == good


def test_launches_are_sorted_out_by_their_names() -> None:
    traced = programs(CASES["workload digits"], "float32")[0][0]
    printed = counts.printed_names(traced.source)
    assert len(printed) == traced.source.count("__global__") and "loop0" in printed
    names = ["step_0", "step_0", "gemm_x", "Memcpy DtoD (Device -> Device)", "Memset (Device)"]
    few = counts.sorted_out(names, {"step_0"})
    assert few == {"kernels": 2, "products": 1, "copies": 1, "clears": 1}
    assert counts.each_step(few, few + few + few, 2)["kernels"] == 2


def test_a_device_that_is_of_no_more_use_is_recognised() -> None:
    for text in ("cudaErrorIllegalAddress: an illegal memory access was encountered", "CUDA error: misaligned address"):
        assert running.sticky(RuntimeError(text))
    assert not running.sticky(RuntimeError("out of memory"))


def test_orders_have_every_row_equally_often() -> None:
    case = cases.CASES[0]._replace(steps=256)
    order = case.order()
    assert order.shape == (256, case.workload.batch)
    assert sorted(order.ravel().tolist()) == sorted([*range(case.workload.rows)] * 2)


def test_a_case_begins_only_if_it_would_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(running.time, "perf_counter", lambda: now[0])
    monkeypatch.setenv("DEVICE_SECONDS", "15")
    clock, begun = running.Clock(reserve=5), []
    for seconds in (3.0, 4.0, 4.0, 1.0):
        if clock.fits():
            began = now[0]
            begun.append(seconds)
            now[0] += seconds
            clock.note(began)
    assert begun == [3.0, 4.0]
