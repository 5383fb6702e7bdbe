"""What `mlpcore train` prints of a model beside baselines, how it says to go on, and that it can be done."""

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optional import optional

import mlpcore as mc
from mlpcore.cli import main
from mlpcore.cli.quality import measures
from mlpcore.preprocessing import Standardize
from mlpcore.tabular.target import Target

RANDOM = np.random.default_rng(0)
CLASSES = Target("kind", ("a", "b", "c"))
PAIR = Target("kind", (0, 1))
PRICE = Target("price", (), Standardize([200.0], [50.0]))


@pytest.mark.parametrize("target", [CLASSES, PAIR])
def test_measures_of_classes_are_those_of_scikit_learn(target: Target) -> None:
    metrics = optional("sklearn.metrics")
    classes = len(target.labels)
    y = RANDOM.integers(0, classes, 60)
    p = RANDOM.dirichlet(np.ones(classes), 60).round(2)  # with ties
    p /= p.sum(axis=1, keepdims=True)
    found = measures(p, y, target)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(y, p.argmax(axis=1)))
    assert found["balanced accuracy"] == pytest.approx(metrics.balanced_accuracy_score(y, p.argmax(axis=1)))
    assert found["log loss"] == pytest.approx(metrics.log_loss(y, p), rel=1e-6)
    area = metrics.roc_auc_score(y, p[:, 1] if classes == 2 else p, multi_class="ovr")
    assert found["area under ROC"] == pytest.approx(area)
    one = measures(p, np.zeros(60, int), target)
    assert np.isnan(one["area under ROC"]) and 0 <= one["balanced accuracy"] <= 1


def test_measures_of_amounts_are_those_of_scikit_learn() -> None:
    metrics = optional("sklearn.metrics")
    y, z = RANDOM.normal(size=(2, 50, 1))
    found = measures(z, y, PRICE)
    price, predicted = (PRICE.scaling.inverse(one) for one in (y, z))  # type: ignore[union-attr]
    assert found["R2"] == pytest.approx(metrics.r2_score(price, predicted))
    assert found["root mean squared error"] == pytest.approx(metrics.root_mean_squared_error(price, predicted))
    assert found["mean absolute error"] == pytest.approx(metrics.mean_absolute_error(price, predicted))
    assert np.isnan(measures(z, np.ones((50, 1)), PRICE)["R2"])


@pytest.fixture
def flats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A mixed table of 300 rows in the current folder, as a frame."""
    pandas = optional("pandas")
    monkeypatch.chdir(tmp_path)
    size, town = RANDOM.lognormal(size=300), RANDOM.choice(["Rome", "Oslo"], 300)
    signal = np.log(size) * np.where(town == "Rome", 2, -1)
    table = {"size": size, "town": town, "price": 1e5 + 4e4 * signal, "kind": np.where(signal > 0, "high", "low")}
    frame = pandas.DataFrame(table)
    frame.loc[::20, "size"] = np.nan
    frame.to_csv("my flats.csv", index=False)
    return frame


def trained(capsys: Any, *words: str) -> list[str]:
    """The lines that `mlpcore train` prints."""
    assert main(["train", "my flats.csv", "--epochs", "64", "--recipe", "realmlp-s", *words]) == 0
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("target, other", [("price", "kind"), ("kind", "price")])
def test_the_network_stands_beside_baselines(target: str, other: str, flats: Any, capsys: Any) -> None:
    optional("sklearn")
    lines = trained(capsys, "--target", target, "--ignore", other, "--test", "0.3")
    start = next(i for i, line in enumerate(lines) if line.startswith("test, 90 rows"))
    names = [line[:24].strip() for line in lines[start + 2 : start + 5]]
    assert names == ["this network", "gradient-boosted trees", "a constant"]
    first = [float(line[24:].split()[0]) for line in lines[start + 2 : start + 5]]
    assert first[0] > first[2] + 0.2 and first[1] > first[2] + 0.2
    assert ("units of 'price'" in lines[start]) == (target == "price")
    without = trained(capsys, "--target", target, "--ignore", other, "--no-baselines")
    assert not any("a constant" in line for line in without)


def test_the_last_lines_say_how_to_go_on(flats: Any, capsys: Any) -> None:
    lines = trained(capsys, "--target", "kind", "--ignore", "price", "--out", "m.safetensors")
    command = next(line for line in lines if line.startswith("to predict new rows: ")).partition(": ")[2]
    assert shlex.split(command) == ["mlpcore", "predict", "m.safetensors", "my flats.csv"]
    assert main(shlex.split(command)[1:]) == 0
    printed = capsys.readouterr().out.splitlines()
    names: dict[str, Any] = {"frame": flats}
    code = "\n".join(line[2:] for line in lines[-2:])
    exec(code.replace("load('m", "found = load('m"), names)  # the lines as they stand, but for the name
    assert names["found"].tolist() == [line.partition(",")[0] for line in printed[1:]]


def test_a_saved_model_takes_data_frames(flats: Any, capsys: Any) -> None:
    trained(capsys, "--target", "price", "--ignore", "kind", "--out", "price.safetensors")
    trained(capsys, "--target", "kind", "--ignore", "price", "--out", "kind.safetensors")
    price, kind = mc.tabular.load("price.safetensors"), mc.tabular.load("kind.safetensors")
    assert repr(price) == "TableModel('price' from 2 columns)" and price.classes == ()
    assert repr(kind) == "TableModel(2 classes of 'kind' from 2 columns)" and kind.classes == ("high", "low")
    error = price.predict(flats) - flats["price"].to_numpy()
    assert np.sqrt(np.mean(error**2)) < 0.7 * flats["price"].std()
    share = kind.predict_proba(flats)
    assert share.shape == (300, 2) and np.mean(kind.predict(flats) == flats["kind"]) > 0.8
    np.testing.assert_array_equal(kind.predict_proba(flats[["town", "size"]]), share)
    columns = {name: flats[name].to_numpy() for name in ("size", "town")}
    np.testing.assert_array_equal(kind.predict_proba(columns), share)
    with pytest.raises(mc.DataError, match="amounts have no probabilities"):
        price.predict_proba(flats)
    with pytest.raises(mc.DataError, match=r"TableModel.*: the table lacks the column 'town'"):
        kind.predict(flats[["size"]])
    mc.Model(mc.Linear(2, 1), mc.SquaredError()).save("plain.safetensors")
    with pytest.raises(mc.ModelFileError, match="was not made by mlpcore train"):
        mc.tabular.load("plain.safetensors")
