"""The report: what it says of both tasks, that it is whole, safe HTML that loads nothing, and small; importance."""

import re
from typing import Any

import numpy as np
import pytest
from markup import Checked
from optional import optional

optional("matplotlib")

from mlpcore.cli import main, report  # noqa: E402
from mlpcore.cli.report import Importance, Results, importance_by_permutation  # noqa: E402
from mlpcore.cli.report.page import page  # noqa: E402
from mlpcore.errors import ConfigurationError  # noqa: E402
from mlpcore.preprocessing import Standardize  # noqa: E402
from mlpcore.tabular import TableEncoder  # noqa: E402
from mlpcore.tabular.description import Description  # noqa: E402
from mlpcore.tabular.target import Target  # noqa: E402
from mlpcore.training.history import History  # noqa: E402

RANDOM = np.random.default_rng(0)
EVIL = "<script>alert(1)</script> &\"'\n"
FRAME = {
    "size": np.where(np.arange(60) % 9 == 0, np.nan, RANDOM.normal(size=60)),
    EVIL: np.array(["a", "b", "c"] * 20),
    "constant": np.ones(60),
}
ENCODER = TableEncoder().fit(FRAME)
HISTORY = History([{"loss": 1 / e, "val_loss": 1.2 / e, "val_accuracy": 1 - 0.5 / e} for e in range(1, 9)])


def results(labels: tuple[Any, ...] = (), n: int = 60, **changes: Any) -> Results:
    """A report of classes with these labels, or of amounts."""
    if labels:
        target, y = Target(EVIL, labels), RANDOM.integers(0, len(labels), n)
        prediction = RANDOM.dirichlet(np.ones(len(labels)), n)
        measures = {"this network": {"accuracy": 0.75, "log loss": 0.5}, "a constant": {"accuracy": 0.5, "log loss": 1}}
    else:
        target, y = Target(EVIL, (), Standardize([0.0], [1.0])), RANDOM.normal(size=n) * 1e5
        prediction = y + RANDOM.normal(size=n) * 1e4
        measures = {"this network": {"R2": 0.75}, "a constant": {"R2": float("nan")}}
    importance = [Importance(EVIL, 0.25, 0.01), Importance("size", 0.0, 0.0)]
    whole = Results(
        EVIL, Description(ENCODER, target), [("rows", EVIL)], HISTORY, "test", y, prediction, measures, importance,
        ["mlpcore predict 'a & b'"], 5,
    )  # fmt: skip
    return whole._replace(**changes)


CASES = {
    "two classes": results(("no", "yes")),
    "labels of a file": results((EVIL, "b", "c")),
    "many classes": results(tuple(range(30)), 500),
    "amounts": results(),
    "one epoch": results(history=History(HISTORY.rows[:1]), best_epoch=1),
    "no epoch": results(("no", "yes"), history=History(), best_epoch=None),
    "no importance": results(importance=()),
    "no facts, no commands": results(facts=(), commands=()),
    "no rows held out": results(y=np.zeros(0), prediction=np.zeros(0), measures={}, importance=()),
    "one row": results(("no", "yes"), 1),
    "one class there": results(("no", "yes"), y=np.zeros(60, int)),
    "nothing is known": results(measures={"this network": {"R2": float("nan")}}),
    "the same amount everywhere": results(y=np.ones(60), prediction=np.ones(60)),
    "large amounts": results(y=np.linspace(-1e300, 1e300, 60), prediction=np.zeros(60)),
}


@pytest.mark.parametrize("case", CASES)
def test_the_page_is_whole_and_loads_nothing(case: str) -> None:
    text = page(CASES[case])
    found = Checked(text)
    assert not {"script", "img", "iframe", "object", "form"} & set(found.tags)
    addresses = [value for name, value in found.attributes if name in ("src", "href", "xlink:href")]
    assert all(address and address.startswith("#") for address in addresses)
    assert set(re.findall(r"https?://[^\s\"'<]+", text)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert not any(name.startswith("on") for name, _ in found.attributes)
    headings = [int(tag[1]) for tag in found.tags if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == 1 and set(headings[1:]) == {2}
    assert found.tags.count("figure") == found.tags.count("figcaption")
    ids = [value for name, value in found.attributes if name == "id"]
    assert len(ids) == len(set(ids))


def said(**changes: Any) -> str:
    labels = changes.pop("labels", ())
    return re.sub(r"\s+", " ", " ".join(Checked(page(results(labels, **changes))).texts))


def test_what_is_said_of_classes() -> None:
    text = said(labels=("no", "yes"))
    assert "This network has accuracy 0.7500, better than a constant (0.5000) by 0.2500." in text
    for words in ("Right and wrong predictions", "expected calibration error", "kept, epoch 5", "1 column, 3 levels"):
        assert words in text, words
    text = said(labels=("no", "yes"), errors={"this network": 0.02, "a constant": 0.03})
    assert "has accuracy 0.7500 ± 0.0200, better than a constant (0.5000) by 0.2500 ± 0.0300." in text
    assert "That of a difference is of a paired comparison" in text
    worse = {"this network": {"accuracy": 0.5}, "trees": {"accuracy": 0.75}}
    assert "worse than trees (0.7500) by 0.2500" in said(labels=("no", "yes"), measures=worse)


def test_the_confusion_is_counted() -> None:
    y, chosen = np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 0])
    text = said(labels=("no", "yes"), y=y, prediction=np.eye(2)[chosen])
    assert re.search(r"no 2 67 % 1 33 % 3 yes 1 50 % 1 50 % 2", text)


def test_what_is_said_of_amounts() -> None:
    text = said()
    for words in ("This network has R2 0.7500.", "Predictions and residuals", "Left out: 1", "constant: '1'"):
        assert words in text, words
    assert "−" in text and "worse" not in text


def test_a_large_report_is_small() -> None:
    for labels in ((), ("no", "yes")):
        assert len(page(results(labels, 100_000))) < 1_000_000


def test_files_that_are_read_are_not_overwritten(tmp_path: Any) -> None:
    path = tmp_path / "data.csv"
    path.write_text("a")
    with pytest.raises(ConfigurationError, match="the table"):
        report.write_report(path, results(), {"the table": path})
    assert path.read_text() == "a"
    count = report.write_report(tmp_path / "r.html", results())
    assert (tmp_path / "r.html").stat().st_size == count


def test_importance_is_that_of_scikit_learn() -> None:
    inspection, linear = optional("sklearn.inspection"), optional("sklearn.linear_model")
    x = RANDOM.normal(size=(400, 3))
    y = 3 * x[:, 0] + x[:, 1]
    encoder = TableEncoder().fit({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2]})
    encoded = encoder.transform({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2]}, "float64")
    model = linear.LinearRegression().fit(encoded[:, :2], y)

    class Model:
        def fit(self, x: Any, y: Any) -> "Model":
            return self

        def score(self, x: Any, y: Any) -> float:
            return float(model.score(x[:, :2], y))

    found = importance_by_permutation(lambda x: model.predict(x[:, :2]), encoded, y, encoder, seed=3, repetitions=20)
    expected = inspection.permutation_importance(Model(), encoded, y, n_repeats=20, random_state=0)
    assert [one.name for one in found] == ["a", "b", "c"] and found[2] == ("c", 0.0, 0.0)
    for one, mean, spread in zip(found, expected.importances_mean, expected.importances_std, strict=True):
        assert abs(one.fall - mean) <= spread and one.deviation == pytest.approx(spread, rel=0.5)
    again = importance_by_permutation(lambda x: model.predict(x[:, :2]), encoded, y, encoder, seed=3, repetitions=20)
    assert again == found


def test_columns_of_one_column_are_permuted_together() -> None:
    frame = {
        "gaps": np.where(np.arange(200) % 2, np.nan, RANDOM.standard_t(1, 200)),
        "kind": np.array(["u", "v"] * 100),
    }
    encoder = TableEncoder().fit(frame)
    x = encoder.transform(frame, "float64")
    assert x.shape[1] == 4  # the number, its tail, where it is missing, and the kind
    together: list[bool] = []

    def predict(changed: np.ndarray) -> np.ndarray:
        rows = {tuple(row) for row in x[:, :3].tolist()}
        together.append(all(tuple(row) in rows for row in changed[:, :3].tolist()))
        return np.eye(2)[changed[:, 3].astype(int) - 1]

    found = importance_by_permutation(predict, x, x[:, 3].astype(int) - 1, encoder)
    assert all(together) and found[0] == ("gaps", 0.0, 0.0) and found[1].fall > 0.3


@pytest.mark.parametrize("words", [(), ("--test", "0"), ("--no-baselines",), ("--test", "0", "--validation", "0")])
@pytest.mark.parametrize("target", ["price", "kind"])
def test_the_command_writes_it(
    target: str, words: tuple[str, ...], tmp_path: Any, monkeypatch: Any, capsys: Any
) -> None:
    optional("polars")
    monkeypatch.chdir(tmp_path)
    lines = [f"{RANDOM.normal():.3f},{i % 3},{RANDOM.normal():.3f},{'ab'[i % 2]}" for i in range(80)]
    (tmp_path / "t.csv").write_text("\n".join(["size,<b>,price,kind", *lines]))
    train = ["train", "t.csv", "--target", target, "--epochs", "2", "--recipe", "mlp", "--report", "r.html"]
    assert main([*train, *words]) == 0
    assert "report: r.html" in capsys.readouterr().out
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    Checked(text)
    assert "&lt;b&gt;" in text and "mlpcore predict t.safetensors t.csv" in text
    assert ("nothing is known of the quality" in text) == ("--validation" in words)
    assert main([*train[:-1], "t.csv"]) == 2
    assert "t.csv" in capsys.readouterr().err and (tmp_path / "t.csv").read_text().startswith("size")
