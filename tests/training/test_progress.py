"""Progress: plain lines where nobody watches, a live bar in a terminal, and names that are never markup."""

import contextlib
import copy
import io
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from optional import optional

from mlpcore.errors import ConfigurationError, NonFiniteError
from mlpcore.layers import Linear
from mlpcore.losses import HalfSquaredError
from mlpcore.model import Model
from mlpcore.optimizers import SGD
from mlpcore.stacks import Stack
from mlpcore.training.callbacks import Stop
from mlpcore.training.progress import Progress, said

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 3)), RNG.normal(size=(40, 1))


class Terminal(io.StringIO):
    def isatty(self):
        return True


def fitted(progress, epochs=5, rate=0.1, more=(), metrics=("r2",), held=(X, Y), times=1):
    model = Model(Linear(3, 1), HalfSquaredError(), SGD(rate), metrics=metrics)
    for _ in range(times):
        history = model.fit(X, Y, epochs=epochs, validation_data=held, callbacks=[progress, *more])
    return history


def test_a_line_says_everything():
    values = {"loss": 0.123456, "learning_rate": 0.1, "rows_per_second": 1234567.8, "val_loss": 2e-7}
    assert said(values) == "loss 0.1235  val_loss 2e-07  1,234,568 rows/s"
    assert said({"val_accuracy": 0.98765, "val_r2": 0.5}) == "val_accuracy 98.77 %  val_r2 0.5"


def test_plain_lines_to_stderr(capsys):
    history = fitted(Progress(), epochs=3)
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == "" and [line.split()[1] for line in lines] == ["1/3", "2/3", "3/3"]
    for line, row in zip(lines, history.rows, strict=True):
        assert f"loss {row['loss']:.4g}  val_loss {row['val_loss']:.4g}  val_r2 {row['val_r2']:.4g}  " in line
        assert re.search(r" [\d,]+ rows/s$", line)


def test_lines_without_validation(capsys):
    fitted(Progress(), epochs=1, metrics=(), held=None)
    assert re.fullmatch(r"epoch 1/1  loss \S+  [\d,]+ rows/s\n", capsys.readouterr().err)


def epochs_in(text):
    return re.findall(r"^epoch (\S+)", text, re.MULTILINE)


def test_every_so_many_epochs_and_the_last():
    stream = io.StringIO()
    fitted(Progress(every=3, file=stream), epochs=8)
    assert epochs_in(stream.getvalue()) == ["3/8", "6/8", "8/8"]


class StopAt:
    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_end(self, report):
        return Stop("enough") if report.epoch == self.epoch else None


def test_the_last_line_comes_where_training_stops_early():
    stream = io.StringIO()
    fitted(Progress(every=10, file=stream), epochs=8, more=[StopAt(4)])
    assert epochs_in(stream.getvalue()) == ["4/8"]


def test_a_second_fit_counts_on():
    stream = io.StringIO()
    fitted(Progress(file=stream), epochs=2, times=2)
    assert epochs_in(stream.getvalue()) == ["1/2", "2/2", "3/4", "4/4"]


def test_a_resumed_fit_ends_where_it_was_to_end(tmp_path):
    stream, path = io.StringIO(), tmp_path / "checkpoint"
    model = Model(Linear(3, 1), HalfSquaredError(), SGD(0.1))
    model.fit(X, Y, epochs=2, checkpoint=path)
    model = Model(Linear(3, 1), HalfSquaredError(), SGD(0.1))
    model.fit(X, Y, epochs=5, resume=path, callbacks=[Progress(file=stream)])
    assert epochs_in(stream.getvalue()) == ["3/5", "4/5", "5/5"]


def test_a_live_bar_in_a_terminal(monkeypatch):
    optional("rich")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    for name in ("NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    stream = Terminal()
    history = fitted(Progress(file=stream), epochs=4)
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stream.getvalue())
    last = shown[shown.rindex("epoch 4/4") :]
    assert f"val_loss {history['val_loss'][-1]:.4g}  val_r2 {history['val_r2'][-1]:.4g}" in last
    assert "━" * 20 in last and "rows/s" in last
    assert stream.getvalue().count("\x1b[?25l") == stream.getvalue().count("\x1b[?25h") == 1  # the cursor is back


def précision(target, prediction):  # a name that many terminals lack
    return (target * 0).sum()


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "shift_jis", "utf-8", "utf-16"])
@pytest.mark.parametrize("columns", ["40", "160"])
def test_every_encoding_of_a_terminal_will_do(monkeypatch, encoding, columns):
    optional("rich")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", columns)
    for watched in (True, False):
        stream = io.TextIOWrapper(io.BytesIO(), encoding)
        monkeypatch.setattr(stream, "isatty", lambda watched=watched: watched, raising=False)
        fitted(Progress(file=stream), epochs=2, metrics=(précision,))
        stream.flush()
        shown = stream.buffer.getvalue().decode(encoding)
        assert "epoch 2/2" in shown
        name = "précision".encode(encoding, "backslashreplace").decode(encoding)
        assert f"{name} 0" in shown or (watched and columns == "40")  # where it is cut off


def test_the_bar_ends_where_training_fails(monkeypatch):
    optional("rich")
    monkeypatch.setenv("TERM", "xterm-256color")
    stream, progress = Terminal(), Progress()
    progress.file = stream
    with pytest.raises(NonFiniteError):
        fitted(progress, epochs=50, rate=1e30)
    assert progress._bar is None and stream.getvalue().rstrip().endswith("\x1b[?25h")


def test_names_of_metrics_are_no_markup(monkeypatch):
    optional("rich")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "160")

    def metric(target, prediction):
        return (target * 0).sum()

    metric.__name__ = "[bold]x[/nonsense]"
    stream = Terminal()
    fitted(Progress(file=stream), epochs=2, metrics=(metric,))
    assert "[bold]x[/nonsense] 0" in stream.getvalue()


def test_a_terminal_without_rich_gets_lines(monkeypatch):
    monkeypatch.setitem(sys.modules, "rich.console", None)
    stream = Terminal()
    fitted(Progress(file=stream), epochs=2)
    assert epochs_in(stream.getvalue()) == ["1/2", "2/2"]


def test_a_dumb_terminal_gets_lines(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    stream = Terminal()
    fitted(Progress(file=stream), epochs=2)
    assert epochs_in(stream.getvalue()) == ["1/2", "2/2"]


def test_training_is_the_same_with_it():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fitted(Progress(file=io.StringIO()))["loss"] == fitted(StopAt(99))["loss"]


@pytest.mark.parametrize("every", [0, 1.5, True])
def test_every_is_a_whole_number(every):
    with pytest.raises(ConfigurationError, match="Progress: every is"):
        Progress(every=every)


COLOURS = re.compile(r"\x1b\[[0-9;]*m")
CODES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def terminal(monkeypatch, columns, **variables):
    optional("rich")
    for name in ("NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm-256color", "COLUMNS": str(columns), **variables}.items():
        monkeypatch.setenv(name, value)
    return Terminal()


@pytest.mark.parametrize(("columns", "has_bar", "has_time"), [(79, False, True), (40, False, False)])
def test_a_narrow_terminal_has_room_for_the_numbers(monkeypatch, columns, has_bar, has_time):
    stream = terminal(monkeypatch, columns)
    history = fitted(Progress(file=stream), epochs=3)
    *_, last = (line for line in re.split(r"[\r\n]", CODES.sub("", stream.getvalue())) if line.strip())
    assert f"loss {history.loss[-1]:.4g}" in last and len(last.strip()) <= columns
    assert ("━" in last) == has_bar and ("0:00:0" in last) == has_time


def test_no_color_takes_the_colours_away(monkeypatch):
    for variables in ({}, {"NO_COLOR": "1"}):
        stream = terminal(monkeypatch, 120, **variables)
        fitted(Progress(file=stream), epochs=2)
        assert bool(COLOURS.search(stream.getvalue())) != bool(variables) and "━" in stream.getvalue()


def test_a_terminal_that_nobody_watches_gets_lines(monkeypatch):
    stream = terminal(monkeypatch, 120, TTY_INTERACTIVE="0")
    fitted(Progress(file=stream, every=2), epochs=4)
    assert epochs_in(stream.getvalue()) == ["2/4", "4/4"] and "\x1b" not in stream.getvalue()


def test_plain_lines_have_no_escape_codes(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    stream = io.StringIO()
    fitted(Progress(file=stream), epochs=2)
    assert "\x1b" not in stream.getvalue() and "\r" not in stream.getvalue()


def members(count):
    return Stack([Model(Linear(3, 1), HalfSquaredError(), SGD(0.1), seed=i) for i in range(count)])


def test_members_of_a_stack_have_bars_below_each_other(monkeypatch):
    stream = terminal(monkeypatch, 120)
    histories = members(3).fit(X, Y, epochs=4, callbacks=[Progress(file=stream)])
    text = stream.getvalue()
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1  # one display, which ended
    last = CODES.sub("", text).splitlines()[-3:]
    for line, history in zip(last, histories, strict=True):
        assert "epoch 4/4" in line and f"loss {history.loss[-1]:.4g}" in line
    fitted(Progress(file=stream), epochs=1)  # the stream has a display of its own again
    assert stream.getvalue().count("\x1b[?25h") == 2


def test_copies_write_to_the_same_stream():
    stream = io.StringIO()
    members(2).fit(X, Y, epochs=2, callbacks=[Progress(2, stream)])
    assert epochs_in(stream.getvalue()) == ["2/2", "2/2"]
    assert copy.deepcopy(Progress(3, sys.__stderr__)).file is sys.__stderr__


SCRIPT = """
import numpy as np, mlpcore as mc
x = np.ones((8, 2))
mc.Model(mc.Linear(2, 1), mc.HalfSquaredError()).fit(x, x[:, 0], epochs=3, callbacks=[mc.Progress()])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals on Windows")
def test_a_real_terminal_of_40_columns():
    optional("rich")
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        stderr=theirs,
        env=environment | {"TERM": "xterm"},
        cwd=Path(__file__).parents[2],
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # where nobody has the other end open any more
        while part := os.read(ours, 4096):
            shown += part
    os.close(ours)
    assert process.wait() == 0
    screen = [line for line in re.split(r"[\r\n]+", CODES.sub("", shown.decode())) if line.strip()]
    assert re.match(r"epoch 3/3 loss \S+", screen[-1]) and max(map(len, screen)) <= 40
    assert b"\x1b[?25l" in shown and shown.rstrip().endswith(b"\x1b[?25h")
