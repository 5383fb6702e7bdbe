"""The command line: what it trains, saves, predicts and prints, and that every error of the user's is one line."""

import csv
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from optional import optional

import mlpcore
from mlpcore.backends import available_backends
from mlpcore.cli import fitting, main
from mlpcore.files import read_extra, save_model
from mlpcore.loading import load
from mlpcore.tables import split
from mlpcore.tabular import TableEncoder
from mlpcore.tabular.description import load_description

optional("polars")

RNG = np.random.default_rng(0)
SIZES = RNG.normal(size=(90, 2)) * [1, 1000] + [3, -5000]
KINDS = np.array(["<=100", "a, b", "größer"])[np.digitize(SIZES[:, 0], [2.5, 3.5])]
PRICES = 1e6 + 2e5 * SIZES[:, 0] + 30 * SIZES[:, 1]


def write_csv(path, names, columns):
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows(zip(*columns, strict=True))
    return str(path)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Every test has an empty current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def kinds(folder):
    return write_csv(folder / "kinds.csv", ["length", "kind", "weight"], [SIZES[:, 0], KINDS, SIZES[:, 1]])


@pytest.fixture
def prices(folder):
    return write_csv(folder / "prices.csv", ["length", "weight", "price"], [*SIZES.T, PRICES])


def run(capsys, *words):
    """The exit code, the standard output and the standard error of a command."""
    code = main([str(word) for word in words])
    return (code, *capsys.readouterr())


def refused(capsys, *words):
    """The message of a command that must fail with one line and no traceback."""
    code, out, err = run(capsys, *words)
    assert code == 2 and err.startswith("mlpcore: error: ") and err.endswith("\n") and err.count("\n") == 1, (out, err)
    return err


def table_of(text):
    return list(csv.reader(io.StringIO(text, newline="")))


def test_digits(capsys, folder):
    optional("sklearn")
    code, out, err = run(capsys, "train", "digits", "--epochs", 5, "--hidden", "64", "--out", "d.safetensors")
    assert code == 0
    assert "64 columns, classes 0, 1, 2, 3, 4, 5, 6, 7, 8, 9; 1293 rows to train, 144 rows to validate" in out
    (line,) = [line for line in out.splitlines() if line.startswith("test accuracy")]
    assert line.endswith("% of 360 rows") and float(line.split()[2]) > 80
    assert [line.split()[1] for line in err.splitlines()] == ["1/5", "2/5", "3/5", "4/5", "5/5"]
    assert all(word in err for word in ("loss ", "val_accuracy ", " rows/s"))
    assert (folder / "d.safetensors").exists() and (folder / "d.png").read_bytes().startswith(b"\x89PNG")
    assert out.splitlines()[-1] == "learning curves: d.png"


@pytest.mark.parametrize("word", ["target", "types", "ignore", "test", "time", "group"])
def test_digits_takes_settings_but_no_target(capsys, word):
    assert "target and test rows are fixed" in refused(capsys, "train", "digits", f"--{word}", "3")


def test_digits_needs_a_share_to_validate_with_below_one(capsys):
    assert "validation is 1.0" in refused(capsys, "train", "digits", "--validation", "1")


def test_labels_round_trip(capsys, kinds):
    code, out, _ = run(capsys, "train", kinds, "--target", "kind", "--epochs", 30, "--seed", 3, "--test", 0)
    assert code == 0
    assert "classification of 'kind', because the target is text" in out
    assert "2 columns, classes '<=100', 'a, b', 'größer'; 81 rows to train, 9 rows to validate" in out
    assert run(capsys, "predict", "kinds.safetensors", kinds, "--out", "made.csv")[:2] == (0, "")

    head, *rows = table_of(Path("made.csv").read_text(encoding="utf-8"))
    assert head == ["prediction", "probability_<=100", "probability_a, b", "probability_größer"]
    classes, numbers = np.unique(KINDS, return_inverse=True)
    train, held = split(90, 0.1, 3, numbers)
    table = {"length": SIZES[:, 0], "weight": SIZES[:, 1]}
    encoder = TableEncoder().fit({name: column[train] for name, column in table.items()})
    assert load_description("kinds.safetensors").encoder.to_json() == encoder.to_json()
    expected = load("kinds.safetensors").predict(encoder.transform(table))
    np.testing.assert_array_equal(np.array([row[1:] for row in rows], dtype="float32"), expected)
    assert [row[0] for row in rows] == list(classes[expected.argmax(axis=1)])
    assert np.mean(expected.argmax(axis=1) == numbers) > 0.9
    reached = 100 * np.mean(expected[held].argmax(axis=1) == numbers[held])
    assert f"validation accuracy {reached:.2f} % of 9 rows" in out


def test_values_come_out_in_the_units_of_the_target(capsys, prices):
    words = ("--target", -1, "--recipe", "mlp", "--epochs", 300, "--test", 0, "--dtype", "float64", "--out", "p.model")
    code, out, _ = run(capsys, "train", prices, *words)
    assert code == 0 and "regression of 'price', because the target holds fractions" in out
    code, made, said = run(capsys, "predict", "p.model", prices)
    head, *rows = table_of(made)
    values = np.array(rows, dtype=float)[:, 0]
    assert code == 0 and head == ["prediction"]
    description = load_description("p.model")
    x = description.encoder.transform({"weight": SIZES[:, 1], "length": SIZES[:, 0]}, "float64")
    expected = description.target.scaling.inverse(load("p.model").predict(x))
    np.testing.assert_allclose(values, expected[:, 0], rtol=1e-14)
    error = np.sqrt(np.mean((values - PRICES) ** 2))
    assert error < 0.1 * PRICES.std()
    assert f"root mean squared error {error:.6g} over 90 rows, in the units of 'price'" in said
    held = split(90, 0.1, 0)[1]
    error = np.sqrt(np.mean((values[held] - PRICES[held]) ** 2))
    assert f"root mean squared error {error:.6g} in the units of 'price', 9 rows" in out


@pytest.mark.parametrize("offset", [1e9, -3e12])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_columns_and_targets_far_from_zero_keep_their_digits(capsys, folder, offset, dtype):
    steps = np.arange(100.0)
    columns = {"near": steps % 3, "far": offset + steps / 2, "target": 3 * offset - steps / 4}
    path = write_csv(folder / "t.csv", list(columns), columns.values())
    words = ("--target", "target", "--task", "regression", "--recipe", "mlp", "--dtype", dtype)
    assert run(capsys, "train", path, *words)[0] == 0
    code, out, said = run(capsys, "predict", "t.safetensors", path)
    values = np.array(table_of(out)[1:], dtype=float)[:, 0]
    error = np.sqrt(np.mean((values - columns["target"]) ** 2))
    assert code == 0 and len(set(values)) == 100
    assert error < 0.1 * columns["target"].std()  # learnt from the column far from zero alone
    assert f"root mean squared error {error:.6g} over" in said
    description, model = load_description("t.safetensors"), load("t.safetensors")
    scaling = description.target.scaling
    exact = (
        model.predict(description.encoder.transform(columns, dtype)).astype("float64") * scaling.scale + scaling.mean
    )
    np.testing.assert_array_equal(values, exact[:, 0])


def test_the_error_of_large_predictions_is_a_number(capsys, folder):
    steps = np.arange(40.0)
    path = write_csv(folder / "t.csv", ["a", "b"], [steps, 1e300 * steps])
    run(capsys, "train", path, "--target", "b", "--task", "regression", "--epochs", 1)
    said = run(capsys, "predict", "t.safetensors", path)[2]
    assert 1e299 < float(said.split("root mean squared error ")[1].split()[0]) < 1e302


def test_npz(capsys, folder):
    np.savez(folder / "t.npz", x=SIZES, y=KINDS, amount=PRICES)
    np.savez(folder / "new.npz", x=SIZES[:5])
    assert run(capsys, "train", "t.npz", "--epochs", 2)[0] == 0
    code, out, err = run(capsys, "predict", "t.safetensors", "new.npz")
    assert code == 0 and len(table_of(out)) == 6 and err == ""
    assert "accuracy" in run(capsys, "predict", "t.safetensors", "t.npz")[2]
    assert run(capsys, "train", "t.npz", "--target", "amount", "--epochs", 2, "--out", "a.model")[0] == 0
    assert load_description("a.model").target.task == "regression"
    # Where one side has no names, columns are matched by their places.
    both = write_csv(folder / "both.csv", ["u", "v"], SIZES[:5].T)
    assert run(capsys, "predict", "t.safetensors", both)[1] == out
    np.savez(folder / "wide.npz", x=np.ones((2, 3)))
    assert "3 columns, expected 2 like the model" in refused(capsys, "predict", "t.safetensors", "wide.npz")
    assert "there is no array 'z'" in refused(capsys, "train", "t.npz", "--target", "z")


def test_columns_are_matched_by_name(capsys, folder, kinds):
    run(capsys, "train", kinds, "--target", "kind", "--epochs", 2)
    straight = run(capsys, "predict", "kinds.safetensors", kinds)[1]
    turned = write_csv(folder / "turned.csv", ["weight", "length"], SIZES.T[::-1])
    assert run(capsys, "predict", "kinds.safetensors", turned)[1] == straight
    other = write_csv(folder / "other.csv", ["length", "height", "kind"], [*SIZES.T, KINDS])
    message = refused(capsys, "predict", "kinds.safetensors", other)
    assert "other.csv: the table lacks the column 'weight'; add it: columns are matched by name" in message
    extra = write_csv(folder / "extra.csv", ["weight", "height", "length"], [SIZES[:, 1], KINDS, SIZES[:, 0]])
    assert run(capsys, "predict", "kinds.safetensors", extra)[1] == straight


@pytest.mark.parametrize(
    ("target", "words", "task", "why"),
    [
        (np.arange(90) % 3, (), "classification", "because the target holds 3 different whole numbers"),
        (np.arange(90), (), "regression", "because the target holds many whole numbers"),
        (np.arange(90) % 3 / 2, (), "regression", "because the target holds fractions"),
        (np.arange(90) % 3, ("--task", "regression"), "regression", "as told"),
        (np.arange(90) % 30, ("--task", "classification"), "classification", "as told"),
        (np.arange(90) % 2 == 0, (), "classification", "because the target is text"),
    ],
)
def test_the_task(capsys, folder, target, words, task, why):
    path = write_csv(folder / "t.csv", ["a", "b"], [SIZES[:, 0], target])
    code, out, _ = run(capsys, "train", path, "--target", "b", "--epochs", 1, *words)
    assert code == 0 and f"{task} of 'b', {why}" in out
    if task == "classification":
        assert set(load_description("t.safetensors").target.labels) == {str(label) for label in target.tolist()}


def test_without_validation(capsys, prices):
    code, out, err = run(capsys, "train", prices, "--target", "price", "--validation", 0, "--test", 0, "--epochs", 3)
    assert code == 0 and "90 rows to train\n" in out and "\nvalidat" not in out and "val_" not in err


def test_one_seed_gives_the_same_file(capsys, prices):
    for out in ("a.model", "b.model"):
        run(capsys, "train", prices, "--target", "price", "--epochs", 3, "--seed", 5, "--out", out)
    run(capsys, "train", prices, "--target", "price", "--epochs", 3, "--seed", 6, "--out", "c.model")
    a, b, c = (Path(f"{name}.model").read_bytes() for name in "abc")
    assert a == b != c


@pytest.mark.parametrize(
    ("names", "columns", "words", "said"),
    [
        ("ab", "NN", (), "which column is to be predicted? Name one by --target: 'a', 'b'"),
        ("ab", "NN", ("--target", "c"), "there is no column 'c', expected one of 'a', 'b'"),
        ("a", "N", ("--target", "a"), "'a' is the only column"),
        ("abc", "ITN", ("--target", "b"), "column 'a' has infinite numbers in 1 of"),
        ("ab", "NE", ("--target", "b"), "'b' has no label in any of 4 rows"),
        ("ab", "NE", ("--target", "b", "--task", "regression"), "no row has a 'b'"),
        ("ab", "NI", ("--target", "b", "--task", "regression"), "the target 'b' is infinite in 1 of 4 rows"),
        (
            "ab",
            "NT",
            ("--target", "b", "--task", "regression"),
            "column 'b' has 4 of 4 cells that are no numbers, such as 'red' in",
        ),
        ("ab", "NF", ("--target", "b", "--task", "classification"), "'b' holds fractions, which are no labels"),
        ("ab", "N1", ("--target", "b"), "'b' holds the one label '7'"),
        ("ab", "ND", ("--target", "b"), "'b' holds 4 labels in 4 rows, too many to learn"),
    ],
)
def test_tables_that_cannot_be_used(capsys, folder, names, columns, words, said):
    kinds = {
        "N": [1, 2, 1, 2],
        "T": ["red", "blue", "red", "blue"],
        "I": [1, 2, "inf", 2],
        "E": [""] * 4,
        "F": [0.5, 1, 0.5, 1],
        "1": [7, 7, 7, 7],
        "D": ["a", "b", "c", "d"],
    }
    path = write_csv(folder / "t.csv", list(names), [kinds[kind] for kind in columns])
    assert said in refused(capsys, "train", path, *words)
    assert [file.name for file in folder.iterdir()] == ["t.csv"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--epochs", "x"), "argument --epochs: invalid int value: 'x'; see mlpcore train --help"),
        (("--epochs", "0"), "epochs is 0, expected a whole number of 1 or more"),
        (("--batch-size", "-3"), "batch_size is -3"),
        (("--learning-rate", "nan"), "learning_rate is nan"),
        (("--learning-rate", "-1"), "learning_rate is -1.0"),
        (("--hidden", "8,x"), "'8,x' are no widths"),
        (("--hidden", "8,0"), "hidden[1] is 0"),
        (("--validation", "1"), "validation is 1.0"),
        (("--test", "-0.5"), "test is -0.5"),
        (("--test", "none.csv"), "there is no file none.csv"),
        (("--validation", "0.5", "--test", "0.6"), "leave no rows to train with"),
        (("--time", "length", "--group", "weight"), "--time and --group are both given, expected one"),
        (("--group", "price"), "names the target 'price'"),
        (("--recipe", "trees"), "argument --recipe: invalid choice: 'trees'"),
        (("--time-limit", "0"), "time_limit is 0.0"),
        (("--seed", "-1"), "seed is -1"),
        (("--dtype", "float16"), "argument --dtype: invalid choice: 'float16'"),
        (("--task", "guess"), "argument --task: invalid choice: 'guess'"),
        (("--backend", "nump"), "backend is 'nump', expected one of 'numpy'"),
        (("--device", "cuda:7"), "there is no device 'cuda:7'"),
        (("--precision", "tf32"), "precision is 'tf32', expected one of 'highest'"),
        (("--out", "no/where.model"), "there is no directory no"),
        (("--out", "."), ". is a directory"),
        (("--out", "prices.csv"), "need different names"),
        (("--out", "prices.png"), "need different names"),
        (("--frobnicate",), "unrecognized arguments: --frobnicate"),
    ],
)
def test_arguments_that_cannot_be(capsys, folder, prices, words, said):
    assert said in refused(capsys, "train", prices, "--target", "price", *words)
    assert [file.name for file in folder.iterdir()] == ["prices.csv"]


def test_commands_that_are_none(capsys):
    assert "COMMAND" in refused(capsys)
    assert "invalid choice: 'teach'" in refused(capsys, "teach")


def test_missing_files(capsys, prices):
    assert "there is no file nothing.csv" in refused(capsys, "train", "nothing.csv", "--target", "a")
    assert "nothing.model" in refused(capsys, "predict", "nothing.model", prices)
    run(capsys, "train", prices, "--target", "price", "--epochs", 1)
    assert "there is no file nothing.csv" in refused(capsys, "predict", "prices.safetensors", "nothing.csv")
    assert "there is no directory no" in refused(capsys, "predict", "prices.safetensors", prices, "--out", "no/x.csv")
    assert "cut.model" in refused(capsys, "predict", _cut("prices.safetensors", "cut.model"), prices)


def _cut(source, path):
    Path(path).write_bytes(Path(source).read_bytes()[:-10])
    return path


def test_a_backend_that_is_not_there(capsys, folder, prices):
    reason = available_backends()["cupy"]
    if reason.startswith("ready"):
        pytest.skip("CuPy runs here")
    message = refused(capsys, "train", prices, "--target", "price", "--backend", "cupy")
    assert "cupy" in message and ("pip install" in message or "nvidia-smi" in message)
    assert [file.name for file in folder.iterdir()] == ["prices.csv"]


def test_device_and_precision(capsys, prices):
    optional("torch")
    words = ("--backend", "torch", "--device", "cpu", "--precision", "bfloat16")
    run(capsys, "train", prices, "--target", "price", "--epochs", 1, *words)
    assert load("prices.safetensors", backend="torch").precision == "bfloat16"


def test_a_model_file_of_another_origin(capsys, prices):
    run(capsys, "train", prices, "--target", "price", "--epochs", 1)
    model = load("prices.safetensors")
    model.save("bare.model")
    assert "was not made by mlpcore train" in refused(capsys, "predict", "bare.model", prices)
    words = read_extra("prices.safetensors").values["table"]
    columns, target = words["columns"], words["target"]
    damages = [
        {"columns": "length"},
        {"columns": []},
        {"columns": [1, 2]},
        {"columns": [columns[0] | {"kind": "odd"}]},
        {"columns": [columns[0] | {"encoder": None}]},
        {"columns": [columns[0] | {"encoder": columns[0]["encoder"] | {"scale": 0.0}}]},
        {"columns": [columns[0] | {"encoder": columns[0]["encoder"] | {"scale": "1"}}]},
        {"columns": [columns[0], columns[0]]},
        {"named": 1},
        {"target": None},
        {"target": target | {"labels": [[]]}},
        {"target": target | {"scaling": [0.0]}},
        {"notations": []},
        {"notations": {"length": ["odd", ""]}},
    ]
    for damage in damages:
        save_model("bad.model", model.specification, model.params, extra={"table": words | damage})
        assert "description of the table is damaged" in refused(capsys, "predict", "bad.model", prices)


def test_names_from_a_file_cannot_steer_the_terminal(capsys, folder):
    evil = "\x1b[2J[bold]%s\r\u202e"
    path = write_csv(folder / "t.csv", ["a", evil, "kind"], [[1, 2] * 9, ["1", "inf"] * 9, [evil, "y"] * 9])
    assert "\x1b" not in refused(capsys, "train", path, "--target", "kind")
    assert "no\\x1b[2Jthing" in refused(capsys, "train", "no\x1b[2Jthing", "--target", "a")
    path = write_csv(folder / "t.csv", ["a", evil], [[1, 2] * 9, [evil, "y"] * 9])
    code, out, err = run(capsys, "train", path, "--target", 1, "--epochs", 1)
    assert code == 0 and not {"\x1b", "\r", "\u202e"} & set(out + err) and "\\x1b[2J" in out
    code, out, err = run(capsys, "predict", "t.safetensors", path, "--out", "made.csv")
    assert code == 0 and not {"\x1b", "\r", "\u202e"} & set(out + err)
    assert table_of(Path("made.csv").read_bytes().decode())[0][1:] == [f"probability_{evil}", "probability_y"]


@pytest.mark.usefixtures("ctrl_c")
def test_interrupted_training_keeps_the_model(capsys, prices, monkeypatch):
    class Interrupting(fitting.BestEpoch):
        def on_epoch_end(self, report):
            if report.epoch == 2:
                signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(fitting, "BestEpoch", Interrupting)
    code, out, err = run(capsys, "train", prices, "--target", "price")
    assert code == 130 and "stopped: interrupted" in out and "model: prices.safetensors" in out
    assert "mlpcore: warning: training was interrupted in epoch 3" in err and "Traceback" not in err
    assert run(capsys, "predict", "prices.safetensors", prices)[0] == 0


def test_training_that_diverges(capsys, folder, prices):
    code, _, err = run(capsys, "train", prices, "--target", "price", "--learning-rate", "1e30")
    assert code == 2 and err.splitlines()[-1].startswith(
        "mlpcore: error: the loss or its gradient became infinite or NaN"
    )
    assert [file.name for file in folder.iterdir()] == ["prices.csv"]


def test_without_matplotlib_the_model_is_saved(capsys, folder, prices, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    code, out, _ = run(capsys, "train", prices, "--target", "price", "--epochs", 1)
    assert code == 0 and "no picture: " in out and "pip install 'mlpcore[plot]'" in out
    assert sorted(file.name for file in folder.iterdir()) == ["prices.csv", "prices.safetensors"]


def test_backends(capsys):
    code, out, err = run(capsys, "backends")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert [line.split()[0] for line in lines] == list(available_backends())
    for line, status in zip(lines, available_backends().values(), strict=True):
        assert line.endswith(status) and ("not ready: " in line) == (not status.startswith("ready"))


def test_version_and_help(capsys):
    for words in (["--version"], ["--help"], ["train", "--help"], ["predict", "--help"]):
        with pytest.raises(SystemExit) as end:
            main(words)
        assert end.value.code == 0
        out = capsys.readouterr().out
        assert out == f"mlpcore {mlpcore.__version__}\n" if words == ["--version"] else "usage: mlpcore" in out


def test_python_m_mlpcore(prices):
    def command(*words):
        words = [sys.executable, "-m", "mlpcore", *words]
        path = {"PYTHONPATH": str(Path(mlpcore.__file__).parents[1])}
        return subprocess.run(words, capture_output=True, text=True, env=os.environ | path)

    done = command("train", prices, "--target", "price", "--epochs", "2")
    assert done.returncode == 0 and "model: prices.safetensors" in done.stdout
    failed = command("train", "nothing.csv", "--target", "a")
    assert (failed.returncode, failed.stdout) == (2, "")
    assert failed.stderr == "mlpcore: error: there is no file nothing.csv\n"
