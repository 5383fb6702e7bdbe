"""What commands write: whole files or none, never over what they read, and words that every terminal takes."""

import csv
import io
import json
import os
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from cases import pairwise
from optional import optional

from mlpcore import plotting
from mlpcore.cli import main
from mlpcore.errors import ConfigurationError, TrainingInterrupted
from mlpcore.files import writing
from mlpcore.files.writing import check_target, replace_file
from mlpcore.layers import Linear
from mlpcore.losses import HalfSquaredError
from mlpcore.model import Model
from mlpcore.training.history import History

optional("polars")
ROWS = 40
LABELS = ["é, ü", "漢字 😀"]
TARGET = "größe"
FACTS = {"cpu": "é", "cores": 1, "system": "", "python": "", "versions": {}, "date": "", "commit": None}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Every test has a current directory with a table and nothing else; nothing is measured."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mlpcore.cli.bench.epochs", lambda *_, **__: [])
    monkeypatch.setattr("mlpcore.cli.bench.about", lambda device: FACTS)
    table([f'"{LABELS[i % 2]}"' for i in range(ROWS)])
    return tmp_path


def table(target, name="t.csv"):
    rows = [f"{i},{i * 7 % 5},{cell}\n" for i, cell in enumerate(target)]
    Path(name).write_text("".join([f"a,b,{TARGET}\n", *rows]), encoding="utf-8")


@pytest.fixture
def model():
    assert main(["train", "t.csv", "--target", TARGET, "--epochs", "1"]) == 0
    return "t.safetensors"


def names(of, way, folder):
    """Another name for a file: written otherwise, or led there by a link."""
    if way == "same":
        return of
    if way == "longer":
        return os.path.join("..", folder.name, ".", of)
    other = f"other{Path(of).suffix}"
    (os.symlink if way == "symbolic link" else os.link)(Path(of).absolute(), other)
    return other


WAYS = ["same", "longer", "symbolic link", "hard link"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("read", ["t.csv", "t.safetensors"])
def test_predictions_never_replace_what_is_read(capsys, folder, model, read, way):
    out = names(read, way, folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert main(["predict", model, "t.csv", "--out", out]) == 2
    what = "the table" if read == "t.csv" else "the model"
    assert f"{out} is {what}, which would be overwritten; write to a file of another name" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("data", ["t.csv", "t.safetensors", "t.png"])
def test_neither_model_nor_picture_replaces_the_table(capsys, folder, data, way):
    Path("t.csv").rename("table")
    Path("table").rename(data)
    out = names(data, way, folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert main(["train", data, "--target", TARGET, "--epochs", "1", "--out", out]) == 2
    assert "need different names" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("out", ["m.png", "m.PNG", "m.Png"])
def test_model_and_picture_have_two_names_whatever_the_case(capsys, folder, out):
    assert main(["train", "t.csv", "--target", TARGET, "--epochs", "1", "--out", out]) == 2
    assert "need different names" in capsys.readouterr().err and os.listdir() == ["t.csv"]


def test_a_picture_that_cannot_be_is_told_before_training(capsys):
    Path("m.png").mkdir()
    assert main(["train", "t.csv", "--target", TARGET, "--epochs", "1", "--out", "m.model"]) == 2
    assert "m.png is a directory" in capsys.readouterr().err and not Path("m.model").exists()


def save_picture(path):
    plotting.save_history(History([{"loss": 1.0}]), path)


def save_model(path):
    Model(Linear(1, 1), HalfSquaredError()).save(path)


def save_onnx(path):
    optional("onnx")
    from mlpcore.onnx import to_onnx

    to_onnx(Model(Linear(1, 1), HalfSquaredError()), path)


def save_checkpoint(path):
    Model(Linear(1, 1), HalfSquaredError()).fit([[1.0]], [[1.0]], epochs=1, checkpoint=path)


def save_predictions(path):
    assert main(["predict", "t.safetensors", "t.csv", "--out", path]) == 0


def save_records(path):
    assert main(["bench", "--json", path]) == 0


WRITERS = [save_picture, save_model, save_onnx, save_checkpoint, save_predictions, save_records]


@pairwise(save=WRITERS, call=["fsync", "replace"], failure=[OSError("disk full"), KeyboardInterrupt()])
def test_a_file_is_written_whole_or_not_at_all(capsys, folder, model, monkeypatch, save, call, failure):
    Path("out.png").write_text("old")
    before = sorted(os.listdir())

    def fails(*_):
        raise failure

    with monkeypatch.context() as patch:
        patch.setattr(writing.os, call, fails)
        # A command turns them into an exit code, and an interrupted fit says so.
        with pytest.raises((OSError, KeyboardInterrupt, AssertionError, TrainingInterrupted)):
            save("out.png")
    assert Path("out.png").read_text() == "old" and sorted(os.listdir()) == before
    save("out.png")
    assert Path("out.png").read_bytes()[:3] != b"old" and sorted(os.listdir()) == before


def test_predictions_that_fail_midway_leave_the_old_file(capsys, model, monkeypatch):
    made = []

    def lines(labels, predictions):
        yield "prediction\n"
        made.append(1)
        raise KeyboardInterrupt

    monkeypatch.setattr("mlpcore.cli.predict.lines", lines)
    Path("out.csv").write_text("old")
    assert main(["predict", model, "t.csv", "--out", "out.csv"]) == 130
    assert made and Path("out.csv").read_text() == "old" and not list(Path().glob("*.tmp"))


def test_a_picture_that_fails_is_told_and_the_model_stays(capsys, monkeypatch):
    def fails(*_):
        raise OSError("disk full")

    monkeypatch.setattr("mlpcore.cli.train.save_history", fails)
    assert main(["train", "t.csv", "--target", TARGET, "--epochs", "1"]) == 0
    assert "no picture: disk full" in capsys.readouterr().out and Path("t.safetensors").exists()


def test_a_link_stays_and_what_it_leads_to_is_replaced(capsys):
    Path("there").mkdir()
    os.symlink(Path("there", "file"), "link")
    for text in (b"first", b"second"):
        replace_file("link", [text[:2], text[2:]])
        assert Path("link").is_symlink() and Path("there", "file").read_bytes() == text
    os.symlink(Path("nowhere", "file"), "lost")
    with pytest.raises(FileNotFoundError, match="there is no directory nowhere to write lost in"):
        check_target("lost")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_written_to_and_not_replaced():
    os.mkfifo("pipe")
    found = []
    reader = threading.Thread(target=lambda: found.append(Path("pipe").read_bytes()))
    reader.start()
    replace_file("pipe", [b"a", b"b"])
    reader.join()
    assert found == [b"ab"] and Path("pipe").is_fifo()


def test_what_is_not_read_may_be_replaced():
    with pytest.raises(ConfigurationError, match=r"t\.csv is the table"):
        check_target("t.csv", {"the model": "none", "the table": "t.csv"})
    Path("u.csv").write_text("")
    assert check_target("u.csv", {"the table": "t.csv"}) == "u.csv"


def said(words, encoding, monkeypatch, errors="strict"):
    """The exit code of a command and what it writes, in bytes, where both streams have this encoding."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding, errors) for _ in range(2)]
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", streams[0])
        patch.setattr(sys, "stderr", streams[1])
        code = main(words)
    for stream in streams:
        stream.flush()
    return code, *(stream.buffer.getvalue() for stream in streams)


def escaped(text, encoding):
    return text.encode(encoding, "backslashreplace").decode(encoding)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "koi8-r", "shift_jis", "utf-8", "utf-16"])
def test_any_encoding_will_do(encoding, monkeypatch):
    code, out, err = said(["train", "t.csv", "--target", TARGET, "--epochs", "1"], encoding, monkeypatch)
    out, err = out.decode(encoding), err.decode(encoding)
    assert code == 0 and "epoch 1/1" in err and "Traceback" not in err
    assert all(escaped(repr(label), encoding) in out for label in (*LABELS, TARGET))

    code, out, err = said(["predict", "t.safetensors", "t.csv"], encoding, monkeypatch)
    rows = list(csv.reader(io.StringIO(out.decode(encoding), newline="")))
    expected = [escaped(label, encoding) for label in LABELS]
    assert code == 0 and rows[0] == ["prediction", *(f"probability_{label}" for label in expected)]
    assert len(rows) == ROWS + 1 and {row[0] for row in rows[1:]} <= set(expected)
    # A file is UTF-8, wherever the command runs.
    assert said(["predict", "t.safetensors", "t.csv", "--out", "p.csv"], encoding, monkeypatch)[:2] == (0, b"")
    head, *rows = csv.reader(io.StringIO(Path("p.csv").read_bytes().decode("utf-8"), newline=""))
    assert head[1:] == [f"probability_{label}" for label in LABELS] and {row[0] for row in rows} <= set(LABELS)

    for words in (["train", "é漢.csv", "--target", "a"], ["train", "t.csv", "--target", "é漢"], ["é漢"]):
        code, out, err = said(words, encoding, monkeypatch)
        assert (code, out.decode(encoding)) == (2, "") and escaped("é漢", encoding) in err.decode(encoding)


def test_a_handler_that_was_asked_for_is_left(monkeypatch):
    assert b"no file ?.csv" in said(["train", "é.csv", "--target", "a"], "ascii", monkeypatch, "replace")[2]


def test_labels_that_no_encoding_has(capsys):
    np.savez("s.npz", x=np.arange(2.0 * ROWS).reshape(-1, 2), y=np.array(["\ud800", "b"] * (ROWS // 2)))
    assert main(["train", "s.npz", "--epochs", "1"]) == 0
    assert main(["predict", "s.safetensors", "s.npz", "--out", "p.csv"]) == 0
    assert Path("p.csv").read_text(encoding="utf-8").startswith("prediction,probability_b,probability_\\ud800\n")


def test_records_are_utf8():
    save_records("r.json")
    assert json.loads(Path("r.json").read_text(encoding="utf-8"))["about"] == FACTS
