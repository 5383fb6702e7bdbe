"""CSVLog: what a file holds after a fit, after a kill and a resume, and of whom."""

import copy
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tracked import NET, KillAt, Killed, X, Y, fit, lines, model

import mlpcore as mc
from mlpcore.errors import ConfigurationError, DataError, ModelFileError


def epochs(path: Path) -> list[int]:
    return [int(row["epoch"]) for row in lines(path)]


def test_a_line_has_all_digits_of_the_history(tmp_path: Path) -> None:
    log = mc.CSVLog(tmp_path / "log.csv")
    history = fit([log])
    rows = lines(tmp_path / "log.csv")
    assert log.run == "log.csv" and list(rows[0]) == ["epoch", *history.columns, "seconds"]
    assert [{name: float(row[name]) for name in history.columns} for row in rows] == history.rows
    assert epochs(tmp_path / "log.csv") == [1, 2, 3, 4, 5]
    assert all(0 < float(row["seconds"]) < 60 for row in rows)


def test_a_further_fit_goes_on_and_another_begins_another_file(tmp_path: Path) -> None:
    log, network = mc.CSVLog(tmp_path / "log.csv"), model()
    fit([log], network, epochs=2)
    fit([log], network, epochs=3)
    fit([log], epochs=1)
    fit([mc.CSVLog(tmp_path / "log.csv")], epochs=2)
    assert epochs(tmp_path / "log.csv") == [1, 2, 3, 4, 5]
    assert epochs(tmp_path / "log-2.csv") == [1] and epochs(tmp_path / "log-3.csv") == [1, 2]


def test_a_copy_begins_another_file(tmp_path: Path) -> None:
    log, network = mc.CSVLog(tmp_path / "log.csv"), model()
    fit([log], network, epochs=2)
    other = copy.deepcopy(log)
    fit([other], network, epochs=1)
    assert other.run == "log-2.csv" and epochs(tmp_path / "log-2.csv") == [3]
    assert log.run == "log.csv" and epochs(tmp_path / "log.csv") == [1, 2]


@pytest.mark.parametrize("epoch", [1, 2, 5])
def test_a_resumed_fit_has_every_epoch_once(epoch: int, tmp_path: Path) -> None:
    paths: dict[str, Any] = {"checkpoint": tmp_path / "run", "resume": tmp_path / "run"}
    with pytest.raises(Killed):
        fit([mc.CSVLog(tmp_path / "log.csv"), KillAt(epoch)], **paths)
    assert epochs(tmp_path / "log.csv") == [*range(1, epoch + 1)]
    with open(tmp_path / "log.csv", "a") as file:
        file.write("1")  # the line of epoch 12, of which a power failure has left this
    history = fit([mc.CSVLog(tmp_path / "log.csv")], **paths)
    written = tmp_path / ("log.csv" if epoch > 1 else "log-2.csv")  # before the first checkpoint there is no run
    rows = lines(written)
    assert epochs(written) == [1, 2, 3, 4, 5]
    assert [float(row["loss"]) for row in rows] == history.loss


def test_the_folder_may_be_another_after_a_resume(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        fit([mc.CSVLog(tmp_path / "log.csv"), KillAt(3)], checkpoint=tmp_path / "run")
    (tmp_path / "moved").mkdir()
    fit([mc.CSVLog(tmp_path / "moved" / "log.csv")], resume=tmp_path / "run")
    assert epochs(tmp_path / "moved" / "log.csv") == [3, 4, 5] and epochs(tmp_path / "log.csv") == [1, 2, 3]


SCRIPT = """
import sys, mlpcore as mc
from tracked import fit
fit([mc.CSVLog(sys.argv[1])], epochs=int(sys.argv[3]), checkpoint=sys.argv[2], resume=sys.argv[2])
"""


def test_a_killed_process_leaves_whole_lines(tmp_path: Path) -> None:
    log, script = tmp_path / "log.csv", [sys.executable, "-c", SCRIPT, tmp_path / "log.csv", tmp_path / "run"]
    process = subprocess.Popen([*script, "100000"], cwd=Path(__file__).parent.parent / "helpers")
    try:
        limit = time.monotonic() + 60
        while not (log.exists() and log.read_bytes().count(b"\n") > 20):
            assert process.poll() is None and time.monotonic() < limit
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
        process.wait()
    killed = log.read_text()
    assert killed.endswith("\n") and len({line.count(",") for line in killed.splitlines()}) == 1
    last = epochs(log)[-1]
    history = fit([mc.CSVLog(log)], epochs=last + 3, checkpoint=tmp_path / "run", resume=tmp_path / "run")
    assert epochs(log) == [*range(1, last + 4)] and [float(row["loss"]) for row in lines(log)] == history.loss


class LateColumn:
    def on_epoch_end(self, report: Any) -> None:
        if report.epoch > 2:
            report.values["late, by two"] = 1 / report.epoch


def test_a_new_column_is_empty_in_earlier_lines(tmp_path: Path) -> None:
    fit([LateColumn(), mc.CSVLog(tmp_path / "log.csv")], epochs=4)
    rows = lines(tmp_path / "log.csv")
    assert [row["late, by two"] for row in rows] == ["", "", repr(1 / 3), "0.25"] and epochs(tmp_path / "log.csv")[
        3
    ] == 4


def test_numbers_that_are_not_finite(tmp_path: Path) -> None:
    class Undefined:
        def on_epoch_end(self, report: Any) -> None:
            report.values.update(val_loss=float("nan"), val_accuracy=float("-inf"))

    fit([Undefined(), mc.CSVLog(tmp_path / "log.csv")], epochs=1)
    assert [lines(tmp_path / "log.csv")[0][name] for name in ("val_loss", "val_accuracy")] == ["nan", "-inf"]


def test_members_of_a_stack_have_files_of_their_own_and_resume_them(tmp_path: Path) -> None:
    words: dict[str, Any] = {"batch_size": 20, "checkpoint": tmp_path / "run", "resume": tmp_path / "run"}
    for count in (2, 5):
        stack = mc.Stack([model(rate, seed=i) for i, rate in enumerate([0.001, 0.01, 0.1])])
        histories = stack.fit(X, Y, epochs=count, callbacks=[mc.CSVLog(tmp_path / "log.csv")], **words)
    assert len(list(tmp_path.glob("log*.csv"))) == 3
    written = [lines(tmp_path / name) for name in ("log.csv", "log-2.csv", "log-3.csv")]
    assert [[float(row["loss"]) for row in rows] for rows in written] == [history.loss for history in histories]


def test_a_callback_in_two_fits_at_once_is_refused(tmp_path: Path) -> None:
    log = mc.CSVLog(tmp_path / "log.csv")

    class Within:
        def on_epoch_end(self, report: Any) -> None:
            mc.Model(NET, mc.SoftmaxCrossEntropy()).fit(X, Y, epochs=1, callbacks=[log])

    with pytest.raises(ConfigurationError, match="CSVLog is at work in two fits at once"):
        fit([Within(), log])


def test_paths_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="is a directory"):
        mc.CSVLog(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no directory"):
        mc.CSVLog(tmp_path / "missing" / "log.csv")


def test_a_file_that_was_changed_by_hand_is_not_written_again(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        fit([mc.CSVLog(tmp_path / "log.csv"), KillAt(3)], checkpoint=tmp_path / "run")
    text = (tmp_path / "log.csv").read_text() + "my notes\n"
    (tmp_path / "log.csv").write_text(text)
    with pytest.raises(DataError, match="the line 'my notes' is none of CSVLog"):
        fit([mc.CSVLog(tmp_path / "log.csv")], resume=tmp_path / "run")
    assert (tmp_path / "log.csv").read_text() == text


def test_a_checkpoint_without_the_callback_is_refused(tmp_path: Path) -> None:
    fit([], epochs=2, checkpoint=tmp_path / "run")
    with pytest.raises(ModelFileError, match="callbacks"):
        fit([mc.CSVLog(tmp_path / "log.csv")], resume=tmp_path / "run")
    assert not (tmp_path / "log.csv").exists()
