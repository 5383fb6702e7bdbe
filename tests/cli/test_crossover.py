"""`mlpcore crossover`: what it measures, prints, draws and keeps, and the lines of ``--backend auto``.

No test asserts on time: where a rule is needed, the clock is a false one.
"""

import csv
import json
from pathlib import Path
from typing import Any

import crossover
import numpy as np
import pytest
from crossover import HERE, choosing, document, write
from devices import gpu, open_place
from optional import optional

from mlpcore.backends import get_backend
from mlpcore.backends.choice import Work, choose, kept
from mlpcore.backends.choice.measurement import parsed
from mlpcore.bench import crossover as measuring
from mlpcore.bench import measure
from mlpcore.bench.about import cpu
from mlpcore.bench.crossover import Size, measured, sizes
from mlpcore.bench.crossover_report import as_json, as_lines
from mlpcore.bench.crossover_report import document as document_of
from mlpcore.cli import crossover as command
from mlpcore.cli import main

SMALL = ("crossover", "--widths", "3,5", "--batches", "4", "--seconds", "0.001")
folder, card, no_card = crossover.folder, crossover.card, crossover.no_card  # fixtures


@pytest.fixture
def numpy_again(monkeypatch: pytest.MonkeyPatch, card: dict[str, str]) -> dict[str, str]:
    """NumPy in the place of the GPU."""
    monkeypatch.setattr(command, "open_gpu", lambda device: (get_backend("numpy"), card))
    return card


def run(capsys: pytest.CaptureFixture[str], *words: Any) -> tuple[int, str, str]:
    code = main([str(word) for word in words])
    return (code, *capsys.readouterr())


def false_times(monkeypatch: pytest.MonkeyPatch, gpu_seconds: float, flops_per_second: float) -> None:
    """On NumPy a call takes as long as it has operations, on the GPU always the same; nothing is run."""

    def rows(size: Size, backend: Any) -> dict[str, Any]:
        workload = size.workload
        forward = workload.forward_flops * size.batch
        seconds = {"step": 3 * forward * workload.steps, "prediction": forward}
        if backend.name == "numpy":
            return {what: flops / flops_per_second for what, flops in seconds.items()}
        return {"step": gpu_seconds * workload.steps, "prediction": gpu_seconds}

    class Call(float):
        def __call__(self, times: int) -> None:
            """Nothing is run."""

    monkeypatch.setattr(measuring, "_runs", lambda *words: {k: Call(v) for k, v in rows(*words).items()})
    monkeypatch.setattr(measure, "timed", lambda call, times: float(call) * times)


def write_table() -> None:
    """A table with two columns of numbers."""
    with open("data.csv", "w", newline="") as file:
        rows = np.random.default_rng(0).normal(size=(40, 2)).round(3).tolist()
        csv.writer(file).writerows([["a", "b"], *rows])


def test_the_grid_is_measured_and_kept_and_followed(
    capsys: pytest.CaptureFixture[str], folder: Path, numpy_again: dict[str, str]
) -> None:
    code, out, err = run(capsys, *SMALL)
    assert (code, err) == (0, "")
    for title in ("a training step (Adam)", "a prediction"):
        for dtype in ("float32", "float64"):
            assert out.count(f"{title} in {dtype}\nwidth  batch") == 1
    assert out.count("the GPU pays f") == 4 and f"Card: {cpu()}" in out
    path = folder / "mlpcore-crossover.json"
    assert f'kept for backend="auto": {path}' in out and path.stat().st_mode & 0o777 == 0o600
    content = json.loads(path.read_text())
    assert content["setup"] == HERE and content["about"]["cpu"] and content["seconds"] >= 0
    rows = content["measurements"]
    assert len(rows) == 8 and {tuple(row["widths"]) for row in rows} == {(3, 3, 3, 10), (5, 5, 5, 10)}
    assert all(0 < row[name] < 60 for row in rows for name in ("numpy", "gpu"))
    assert {row["flops"] for row in rows if row["what"] == "step"} == {3 * 4 * 2 * n for n in (48, 100)}
    assert kept()[0] is not None
    assert run(capsys, "cache")[1].count(f"crossover  measured on {content['date']}") == 1


@pytest.mark.long
def test_json_alone_is_printed_and_is_what_is_kept(
    capsys: pytest.CaptureFixture[str], folder: Path, numpy_again: dict[str, str]
) -> None:
    code, out, err = run(capsys, *SMALL, "--json")
    assert (code, err) == (0, "") and out == (folder / "mlpcore-crossover.json").read_text()
    assert parsed(out.encode()) == kept()[0]


@pytest.mark.long
def test_the_rule_follows_the_times(monkeypatch: pytest.MonkeyPatch, folder: Path, card: dict[str, str]) -> None:
    """A GPU that takes 1 ms for any call, beside 1 GFLOP/s: it pays from a million operations on."""
    false_times(monkeypatch, 1e-3, 1e9)
    other = get_backend("array_api_strict")  # a backend of another name; nothing runs on it
    grid = sizes((16, 256), (32, 2048))
    rows = list(measured(grid, other, 0.01, 1e9))
    assert len(rows) == 2 * len(grid) == 16 and len(sizes()) == 24
    text = as_json(document_of(rows, card, 1.0))
    write(folder, text)
    measurement = parsed(text.encode())
    for key in measurement.points:
        below = max(point.flops for point in measurement.points[key] if point.flops < 1.2e6)
        above = min(point.flops for point in measurement.points[key] if point.flops > 1.2e6)
        assert measurement.threshold(*key) == pytest.approx((below * above) ** 0.5)
    assert [choose(Work("step", flops, "float32")).backend for flops in (1e5, 1e7)] == ["numpy", "cupy"]
    lines = as_lines(rows).splitlines()
    (line,) = [line for line in lines if line.split()[:2] == ["256", "2048"] and "1.6e+09" in line][:1]
    assert line.split()[2:] == ["1.6e+09", "1.642e+06", "1000", "1.64e+03"]


def test_no_size_is_begun_when_the_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    false_times(monkeypatch, 1e-3, 1e9)
    ticks = iter([0.0, 1.0, 9.0, 11.0])
    other = get_backend("array_api_strict")
    rows = list(measured(sizes(), other, 0.01, 10.0, clock=lambda: next(ticks)))
    assert [(row.dtype, row.widths[0], row.batch) for row in rows] == [("float32", 16, 32)] * 2 + [
        ("float32", 64, 32)
    ] * 2


@pytest.mark.long
def test_rows_that_were_left_out_are_counted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, folder: Path, numpy_again: dict[str, str]
) -> None:
    monkeypatch.setattr(command, "BUDGET", 0.0)
    monkeypatch.setattr(command, "measured", lambda *words: list(measured(*words[:3], 1e9))[:2])
    assert "left out, as the time was up: 6 of 8 rows" in run(capsys, *SMALL)[1]


@pytest.mark.long
def test_the_picture(capsys: pytest.CaptureFixture[str], folder: Path, numpy_again: dict[str, str]) -> None:
    optional("matplotlib")
    picture = folder / "picture.png"
    assert run(capsys, *SMALL, "--plot", picture)[0] == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_machine_without_a_gpu_says_so_and_measures_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, folder: Path, no_card: None
) -> None:
    monkeypatch.setattr(command, "setup", choosing["setup"])
    code, out, err = run(capsys, "crossover")
    assert (code, err) == (0, "") and "there is none; buy one" in out and out.count("\n") == 1
    assert 'backend="auto" is NumPy on this machine' in out and not [*folder.iterdir()]
    assert "crossover  not measured" in run(capsys, "cache")[1]


@pytest.mark.long
def test_a_folder_that_is_not_used_keeps_nothing(
    capsys: pytest.CaptureFixture[str], folder: Path, numpy_again: dict[str, str]
) -> None:
    folder.chmod(0o777)
    code, out, _ = run(capsys, *SMALL)
    assert code == 0 and "not kept" in out and "other users may write there" in out
    assert not (folder / "mlpcore-crossover.json").exists()


@pytest.mark.parametrize("words", [("--widths", "a"), ("--batches", "0"), ("--seconds", "0"), ("--plot", "/no/x.png")])
def test_wrong_arguments_are_one_line(
    words: tuple[str, str], capsys: pytest.CaptureFixture[str], folder: Path, numpy_again: dict[str, str]
) -> None:
    code, out, err = run(capsys, *SMALL, *words)
    assert code == 2 and not out and err.startswith("mlpcore: error: ") and err.count("\n") == 1


def test_train_and_predict_say_what_auto_chose(
    capsys: pytest.CaptureFixture[str], folder: Path, no_card: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    optional("polars")
    monkeypatch.chdir(folder.parent)
    write_table()
    words = ("--target", "b", "--epochs", "1", "--no-baselines", "--backend", "auto")
    code, out, err = run(capsys, "train", "data.csv", *words)
    said = "backend: numpy: no GPU can be used (there is none; buy one)\n"
    assert code == 0 and said in out
    code, out, err = run(capsys, "predict", "data.safetensors", "data.csv", "--backend", "auto")
    assert code == 0 and said in err and said not in out


@pytest.mark.parametrize("place", [gpu("cupy")])
def test_on_a_device(
    place: str, capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_place(place)
    code, out, err = run(capsys, *SMALL, "--plot", tmp_path / "picture.png")
    assert (code, err) == (0, "") and (tmp_path / "picture.png").exists()
    measurement, _ = kept()
    assert measurement is not None and measurement.difference(choosing["setup"]()) == ""
    assert measurement.setup["card"] in choose(Work("step", 1e3, "float32")).why
    write(folder, document(1.0, setup=dict(measurement.setup)))
    monkeypatch.chdir(tmp_path)
    optional("polars")
    write_table()
    words = ("--target", "b", "--epochs", "1", "--no-baselines", "--backend", "auto")
    code, out, err = run(capsys, "train", "data.csv", *words)
    assert code == 0 and "backend: cupy: a step has" in out
    assert (
        "backend: cupy: a prediction has"
        in run(capsys, "predict", "data.safetensors", "data.csv", "--backend", "auto")[2]
    )
