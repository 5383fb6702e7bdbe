"""`mlpcore explain`: a page that is whole, safe and small, and runs only its own script; arguments and errors."""

import base64
import hashlib
import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markup import Checked
from optional import optional

from mlpcore.cli import main
from mlpcore.cli.explain import MOST_LAYERS
from mlpcore.cli.lesson import Lesson, Rows, page, train
from mlpcore.cli.lesson.page import embedded

EVIL = "</script><script>alert(1)</script><!-- &\"'\n"


def lesson(
    columns: int = 3, hidden: tuple[int, ...] = (4,), labels: tuple[str, ...] = (EVIL, "b"), n: int = 40
) -> Lesson:
    """A lesson whose texts are all hostile."""
    random = np.random.default_rng(0)
    x = random.normal(size=(n, columns))
    y = np.arange(n) % len(labels) if labels else x[:, :1]
    names = tuple(f"{EVIL}{i}" for i in range(columns))
    rows = Rows(EVIL, EVIL, names, EVIL, labels, (x, y), (x[:5], y[:5]))
    return train(rows, hidden, "relu", epochs=3, learning_rate=0.05, batch_size=8)


def data_of(text: str) -> Any:
    """What the page's script reads."""
    return json.loads(re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[0])


CASES: dict[str, dict[str, Any]] = {
    "a plane": {"columns": 2},
    "a table": {},
    "many classes": {"columns": 2, "labels": tuple(f"{EVIL}{i}" for i in range(20))},
    "amounts": {"labels": ()},
    "no hidden layer": {"hidden": ()},
}


@pytest.mark.parametrize("case", CASES)
def test_the_page_is_whole_and_runs_only_its_own_script(case: str) -> None:
    text = page(lesson(**CASES[case]))
    found = Checked(text)
    assert found.tags.count("script") == 2 and not {"img", "iframe", "object", "form", "link"} & set(found.tags)
    assert not any(name in ("src", "href") or name.startswith("on") for name, _ in found.attributes)
    assert "http" not in re.sub(r"http-equiv|http://www\.w3\.org/2000/svg", "", text)
    script = re.findall(r"<script>(.*?)</script>", text, re.S)[-1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    assert ("content", policy) in found.attributes
    assert "alert(1)" not in script and "<script>alert" not in text
    ids = [value for name, value in found.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    headings = [int(tag[1]) for tag in found.tags if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == 1 and all(after - before <= 1 for before, after in pairwise(headings))
    labelled = {value for name, value in found.attributes if name == "for"}
    assert {"epoch", "row", "step"} <= labelled
    read = data_of(text)
    assert read["target"] == EVIL and all(EVIL in name for name in read["inputs"])


def test_json_cannot_end_its_element() -> None:
    text = embedded({"a": EVIL, "b": [1.5, None]})
    assert not set("<>&") & set(text) and json.loads(text) == {"a": EVIL, "b": [1.5, None]}


def test_what_the_page_shows_of_each_array_is_in_its_data() -> None:
    text = page(lesson())
    data = data_of(text)
    known = {*data["numbers"]["slots"], *data["weights"]["slots"]}
    named = {value for name, value in Checked(text).attributes if name in ("data-array", "data-number")}
    assert named <= known and {"x", "W1", "dW1", "new_W1", "z1", "dz1", "a1", "da1", "t", "p", "L", "new_L"} <= named
    assert "dx" not in named  # a gradient with respect to the data is not computed


def test_a_large_network_gives_a_page_of_two_megabytes_at_most() -> None:
    wide = lesson(30, (40,) * MOST_LAYERS, tuple(map(str, range(10))), 400)
    wide.epochs, wide.params, wide.measures = (
        [*one[:1], *one[-1:] * 40] for one in (wide.epochs, wide.params, wide.measures)
    )
    assert 1e6 < len(page(wide).encode()) < 2.1e6


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_page_of_an_example(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "xor", "--hidden", "3,2", "--activation", "sigmoid", "--epochs", "9", "--seed", "4"]) == 0
    said = capsys.readouterr().out
    assert "xor: 2-3-2-1, 9 epochs; loss" in said and "page: xor.html" in said
    text = (folder / "xor.html").read_text("utf-8")
    data = data_of(text)
    assert data["widths"] == [2, 3, 2, 1] and data["epochs"] == [*range(10)] and len(data["rows"]) == 4
    assert "Layer 2: Sigmoid" in text and data["labels"] == ["no", "yes"]
    assert (
        main(
            [
                "explain",
                "xor",
                "--epochs",
                "9",
                "--seed",
                "4",
                "--hidden",
                "3,2",
                "--activation",
                "sigmoid",
                "-o",
                "again.html",
            ]
        )
        == 0
    )
    assert (folder / "again.html").read_text("utf-8") == text


def test_a_page_of_a_table_with_categories_and_gaps(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    optional("polars")
    lines = [
        f"{'' if i % 9 == 0 else i % 7},{('<b>red</b>', 'blue')[i % 2]},{('no', 'yes', 'perhaps')[i % 3]}"
        for i in range(60)
    ]
    Path("t.csv").write_text("\n".join(["a<i>,colour,answer", *lines]))
    assert main(["explain", "t.csv", "--target", "answer", "--epochs", "2", "--out", "page.html"]) == 0
    text = Path("page.html").read_text("utf-8")
    data = data_of(text)
    assert data["inputs"] == ["a<i>", "a<i> is missing", "colour = <b>red</b>", "colour = blue"]
    assert sorted(data["outputs"]) == ["no", "perhaps", "yes"] and "<b>red</b>" not in text
    assert "48 rows" in text and "12 rows were held out" in text
    Path("n.csv").write_text("\n".join(["a,b,y", *(f"{i * 3 % 11},{i * 7 % 5},{i * 1.5}" for i in range(50))]))
    assert main(["explain", "n.csv", "--target", "y", "--epochs", "2"]) == 0
    assert data_of(Path("n.html").read_text("utf-8"))["plane"]["kind"] == "amount"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["xor", "--hidden", "0"], "hidden[0] is 0"),
        (["xor", "--hidden", "1,1,1,1,1,1,1"], "expected up to 6"),
        (["xor", "--hidden", "a"], "no widths"),
        (["xor", "--epochs", "0"], "epochs is 0"),
        (["xor", "--learning-rate", "-1"], "learning_rate is -1"),
        (["xor", "--activation", "step"], "invalid choice"),
        (["xor", "--target", "y"], "for files"),
        (["nothing.csv", "--target", "y"], "nothing.csv"),
        (["xor", "-o", "no/such/folder.html"], "no directory"),
        (["xor", "--learning-rate", "1e300", "--activation", "relu", "--epochs", "2"], "--learning-rate"),
    ],
)
def test_errors_say_what_is_wrong(arguments: list[str], said: str, folder: Path, capsys: Any) -> None:
    assert main(["explain", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error and error.strip().splitlines()[-1].startswith("mlpcore: error: "), error
    assert not [*folder.glob("*.html")]


def test_the_table_is_not_overwritten(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("t.csv").write_text("a,y\n1,2\n")
    assert main(["explain", "t.csv", "--target", "y", "-o", "t.csv"]) == 2
    assert "overwritten" in capsys.readouterr().err and Path("t.csv").read_text() == "a,y\n1,2\n"
