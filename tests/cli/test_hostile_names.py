"""Names of columns, labels and files that are hostile to terminals, command lines or pictures, through the commands."""

import csv
import sys
from pathlib import Path

import pytest
from optional import optional

from mlpcore.cli import main

for _name in ("polars", "sklearn", "matplotlib"):
    optional(_name)

ROWS = 40
NAMES = {
    "newline": "a\nb\r\nc",
    "escape": "\x1b[2J\x1b]0;title\x07",
    "option": "--ignore",
    "separator": "a,b",
    "equals": "a=numeric",
    "nul": "a\0b",
    "bidirectional": "\u202eabc\u2066",
    "pattern": "^.*$",
    "star": "*",
    "mathematics": r"$\frac{$",
    "markup": "<script>alert(1)</script>",
    "format": "{0} %s %(x)d",
    "surrogate": "\U0001f600\u0301",
    "index": "-1",
    "kind": "=date",
    "long": "x" * 100_000,
}


FEW = ("escape", "pattern")
CASES = [pytest.param(text, id=key, marks=() if key in FEW else pytest.mark.long) for key, text in NAMES.items()]


@pytest.fixture(params=CASES)
def name(request, tmp_path, monkeypatch):
    """A name, of a column in the file t.csv in the current directory."""
    monkeypatch.chdir(tmp_path)
    with open("t.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerow(["u", request.param, "v", "y"])
        writer.writerows([i * 7 % 11, i / 8, "ab"[i % 2], "no" if i % 4 else request.param[:50]] for i in range(ROWS))
    return request.param


def run(capsys, *words):
    """The exit code and the output of a command, which has no character that a terminal obeys."""
    code = main(list(words))
    out, err = capsys.readouterr()
    for text in (out, err):
        assert all(character.isprintable() or character == "\n" for character in text), ascii(text)[-500:]
        assert len(text) < 30_000
    return code, out + err


def train(capsys, *words):
    return run(capsys, "train", "t.csv", "--epochs=1", "--out=m", "--no-baselines", *words)


def test_training_and_prediction(name, capsys):
    code, said = train(capsys, "--target=y", "--report=r.html")
    assert code == 0, said
    assert b"<script>alert" not in Path("r.html").read_bytes()
    code, said = run(capsys, "predict", "m", "t.csv", f"--keep={name}", "--out=p.csv")
    assert code == 0, said
    with open("p.csv", encoding="utf-8", newline="") as file:
        before = csv.field_size_limit(1 << 20)
        try:
            rows = list(csv.reader(file))
        finally:
            csv.field_size_limit(before)
    assert rows[0][0] == name and len(rows) == ROWS + 1 and rows[9][0] == "1.0"


@pytest.mark.parametrize("words", ["--ignore={}", "--types={}=categorical", "--time={}", "--group={}"])
def test_arguments_with_names(name, words, capsys):
    code, said = train(capsys, "--target=y", words.format(name))
    assert code == 0, said


def test_the_target(name, capsys):
    code, said = train(capsys, f"--target={name}")
    assert code == 0 and "regression" in said, said
    code, said = run(capsys, "predict", "m", "t.csv", "--out=p.csv")
    assert code == 0 and "root mean squared error" in said, said


@pytest.mark.parametrize("words", ["--target={}", "--target=y --ignore={}", "--target=y --types={}=date", "{}"])
def test_a_name_that_is_not_there(name, words, capsys):
    code, said = train(capsys, *words.format("no" + name).split(" ", 1))
    assert code == 2 and said.splitlines()[-1].startswith("mlpcore: error: "), said


@pytest.mark.skipif(sys.platform == "win32", reason="no such file names")
def test_names_of_files(name, capsys):
    file = (name.replace("\0", "").replace("/", "") + ".csv")[-100:]
    Path("t.csv").rename(file)
    path = str(Path(file).absolute())
    code, said = run(capsys, "train", path, "--epochs=1", "--no-baselines", "--target=y")
    assert code == 0, said
    code, said = run(capsys, "predict", path, path)
    assert code == 2, said
