"""The runner of a device run, with parts that end, hang, crash and leave cases out; no device is needed."""

import json
import sys
import time
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT))  # for the package benchmarks; what is installed goes first

from benchmarks.device import __main__ as device  # noqa: E402
from benchmarks.device import running, shard, suites  # noqa: E402
from benchmarks.device.files import PartFile, read  # noqa: E402
from benchmarks.device.runner import INCOMPLETE, Part, run  # noqa: E402
from mlpcore.errors import MlpcoreWarning  # noqa: E402

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the script is for Linux")

# A part of three cases, which does as the file at its side says.
FAKE = """
import os, sys, time
from pathlib import Path
sys.path.append({root!r})
from benchmarks.device.files import PartFile
out = Path(sys.argv[-1])
file = PartFile(out, os.environ["DEVICE_PART"], {{"gpu": "a card"}})
print("output of", os.environ["DEVICE_PART"])
for name in file.pending(["a", "b", "c"]):
    file.begin(name)
    with open({seen!r}, "a") as seen:
        seen.write(name)
    what = Path({behaviour!r}).read_text().partition(name + ":")[2].split()
    if what and what[0] == "hang":
        os.system("sleep 60")
    if what and what[0] == "crash":
        os.abort()
    if what and what[0] == "leave":
        sys.exit(3)
    file.end(name, [{{"value": name.upper()}}])
"""


class Fake:
    """Parts of the script above."""

    def __init__(self, folder: Path) -> None:
        self.out, self.behaviour, self.seen = folder / "out", folder / "behaviour", folder / "seen"
        self.script = folder / "part.py"
        words = {"root": str(ROOT), "behaviour": str(self.behaviour), "seen": str(self.seen)}
        self.script.write_text(FAKE.format(**words))

    def run(self, behaviour: str = "", *, seconds: float = 20, budget: float = 600, names: tuple = ("one",)) -> dict:
        self.behaviour.write_text(behaviour)
        self.seen.write_text("")
        parts = [Part(name, seconds, [sys.executable, str(self.script)]) for name in names]
        return run(parts, self.out, budget, say=lambda text: None)["parts"]

    def values(self, name: str = "one") -> list:
        return [record.get("value") for record in read(self.out / "summary.json")["parts"][name]["records"]]


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    return Fake(tmp_path)


def test_parts_are_run_once_and_few_files_are_left(fake: Fake) -> None:
    found = fake.run(names=("one", "two"))
    assert [part["state"] for part in found.values()] == ["done", "done"]
    assert fake.values("two") == ["A", "B", "C"] and found["one"]["about"] == {"gpu": "a card"}
    assert sorted(path.name for path in fake.out.iterdir()) == ["logs.txt", "summary.json"]
    assert "===== two =====\noutput of two" in (fake.out / "logs.txt").read_text()
    logs = (fake.out / "logs.txt").read_text()
    assert fake.run(names=("one", "two")) == found and (fake.out / "logs.txt").read_text() == logs


def test_a_part_that_left_cases_out_goes_on(fake: Fake) -> None:
    assert fake.run("b: leave")["one"]["state"] == "incomplete"
    assert fake.values() == ["A"]
    assert fake.run()["one"]["state"] == "done"
    assert fake.seen.read_text() == "cb", "what was begun comes last"
    assert fake.values() == ["A", "C", "B"]


def test_a_part_that_hangs_is_killed_with_its_children_and_the_others_run(fake: Fake) -> None:
    began = time.perf_counter()
    found = fake.run("b: hang", seconds=4.5, names=("one", "two"))
    assert time.perf_counter() - began < 25
    assert [part["state"] for part in found.values()] == ["timed out", "timed out"]
    assert fake.values("one") == ["A"] and fake.values("two") == ["A"]
    assert fake.run(names=("one", "two"))["one"]["state"] == "done" and fake.values() == ["A", "C", "B"]


def test_a_case_that_crashes_is_noted_and_the_others_run(fake: Fake) -> None:
    found = fake.run("b: crash")["one"]
    assert found["state"] == "done" and fake.values() == ["A", None, "C"]
    assert "status 134" in found["records"][1]["failed"] or "status -6" in found["records"][1]["failed"]


def test_a_part_that_cannot_begin_has_failed(fake: Fake) -> None:
    fake.script.write_text("raise SystemExit(7)")
    assert fake.run(names=("one",))["one"]["state"] == "failed"
    assert "===== one =====" in (fake.out / "logs.txt").read_text()


def test_limits_are_shares_of_the_budget_and_what_is_left_over_is_kept(fake: Fake) -> None:
    found = fake.run(seconds=60, budget=300, names=("one", "two"))
    assert found["one"]["limit"] == 30 and 31 < found["two"]["limit"] <= 60
    fake.run(seconds=60, budget=300, names=("one", "two", "three"))  # parts that are done take no time
    assert read(fake.out / "summary.json")["parts"]["three"]["limit"] > 85


def test_results_of_another_card_are_no_part_of_this_one(tmp_path: Path) -> None:
    file = PartFile(tmp_path, "steps", {"gpu": "one"}, seconds=1)
    file.end("a", [{"value": 1}])
    assert PartFile(tmp_path, "steps").pending(["a", "b"]) == ["b"]
    assert PartFile(tmp_path, "steps", {"gpu": "one"}).pending(["a", "b"]) == ["b"]
    assert PartFile(tmp_path, "steps", {"gpu": "other"}).pending(["a", "b"]) == ["a", "b"]


def test_the_parts_fit_in_ten_minutes_and_have_modules() -> None:
    assert sum(part.seconds for part in device.PARTS) <= 590
    assert len({part.name for part in device.PARTS}) == len(device.PARTS)
    for part in device.PARTS:
        name = part.command[part.command.index("-m") + 1]
        assert (ROOT / (name.replace(".", "/") + ".py")).exists(), name


def test_a_folder_with_results_of_other_sources_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    record = {"sources": "other", "name of card": ""}
    (tmp_path / "summary.json").write_text(json.dumps({"parts": {"provenance": {"records": [record]}}}))
    assert device.main([str(tmp_path)]) == 2
    assert "has results of other sources: use an empty folder" in capsys.readouterr().err


TESTS = """
import os
import pytest

@pytest.mark.parametrize("i", range(4))
def test_good(i): pass
def test_crash(): os.abort()
def test_skip(): pytest.skip("no device")
def test_sticky(): raise RuntimeError("cudaErrorIllegalAddress: an illegal memory access was encountered")
@pytest.mark.parametrize("i", range(4))
def test_after(i): assert i < 3
@pytest.fixture
def broken(): raise ValueError("broken")
def test_broken(broken): pass
"""


def test_processes_that_crash_go_on_with_their_tests(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(TESTS)
    words = [sys.executable, "-m", "pytest", "-q", "-p", "benchmarks.device.shard", "-p", "no:cacheprovider"]
    shards = [suites.Shard([*words, str(tmp_path / "test_some.py")], i, 2, tmp_path) for i in range(2)]
    ends = time.perf_counter() + 60
    while sum(one.running() for one in shards):
        assert time.perf_counter() < ends
        time.sleep(0.05)
    found = suites.tally([shard.lines(one.log) for one in shards])
    assert found["counts"] == {"tests": 12, "passed": 7, "failed": 2, "error": 1, "skipped": 1}
    assert found["not run"] == 1 and [name.split("::")[-1] for name in found["not ended"]] == ["test_crash"]
    assert found["crashes"] == 2 and found["reasons of skips"] == {"no device": 1}
    assert sorted(one["test"].split("::")[-1] for one in found["failures"]) == [
        "test_after[3]",
        "test_broken",
        "test_sticky",
    ]


SLOW = """
import os, time
import pytest

@pytest.mark.parametrize("i", range(4))
def test_one(i):
    with open({seen!r}, "a") as seen:
        seen.write(str(i))
    time.sleep({seconds} * (i == 2))
"""


@pytest.mark.long
def test_tests_go_on_where_an_earlier_run_had_no_more_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, seen = tmp_path / "test_slow.py", tmp_path / "seen"
    words = [sys.executable, "-m", "pytest", "-q", "-p", "benchmarks.device.shard", "-p", "no:cacheprovider", str(file)]
    monkeypatch.setattr(suites, "SUITES", {"laws": suites.Suite((str(file),), processes=1)})
    monkeypatch.setattr(suites, "command", lambda suite: words)
    monkeypatch.setenv("DEVICE_SECONDS", "15")
    file.write_text(SLOW.format(seen=str(seen), seconds=60))
    assert suites.run(tmp_path, "laws", ("laws",)) == INCOMPLETE
    (record,) = read(tmp_path / "laws.json")["records"]
    assert record["counts"]["passed"] == 2 and record["not run"] == 2 and len(record["not ended"]) == 1
    assert seen.read_text() == "012" and len(record["log"]) == 2
    file.write_text(SLOW.format(seen=str(seen), seconds=0))
    assert suites.run(tmp_path, "laws", ("laws",)) == 0
    (record,) = read(tmp_path / "laws.json")["records"]
    assert seen.read_text() == "01223" and record["counts"]["passed"] == 4 and "log" not in record


def test_tests_that_are_absent_are_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suites, "SUITES", {"one": suites.Suite(("tests/none.py",)), "two": suites.Suite(("no",))})
    assert suites.run(tmp_path, "probes", ("one", "two")) == 0
    assert [record["absent"] for record in read(tmp_path / "probes.json")["records"]] == [
        "there is no tests/none.py", "there is no no",
    ]  # fmt: skip


def test_what_a_warning_tells_is_a_failure(tmp_path: Path) -> None:
    def warn() -> list:
        warnings.warn("steps are launched one by one", MlpcoreWarning, stacklevel=1)
        return [{"value": 1}]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as outside of the tests, where a warning is no error
        assert running.run_cases(tmp_path, "streamed", {"a": warn, "b": lambda: [{"value": 2}]}) == 0
    first, second = read(tmp_path / "streamed.json")["records"]
    assert first == {"case": "a", "failed": "MlpcoreWarning: steps are launched one by one"} and second["value"] == 2
