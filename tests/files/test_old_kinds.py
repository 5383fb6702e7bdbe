"""Files of earlier days of every kind but a single model: stacks, ensembles, tables, checkpoints within an epoch.

``PYTHONPATH=tests/helpers python tests/files/test_old_kinds.py NAME`` writes ``golden/kinds-NAME.zip``. What was
written stays, so that each format is read for ever.
"""

import io
import json
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from fitting import EVERYTHING, FIT, X, Y, make
from optional import optional

import mlpcore as mc

GOLDEN = Path(__file__).parents[1] / "golden"
ARCHIVES = {path.stem: path for path in sorted(GOLDEN.glob("kinds-*.zip"))}
CLASSES = (X[:, 0] > 0).astype(int)
TABLE = {"size": X[:, 0], "town": np.array(["Rome", "Oslo"] * 11), "day": np.datetime64("2020-01-01") + CLASSES}
NET = mc.Sequential(mc.Linear(3, 4), mc.BatchNorm(4), mc.Tanh(), mc.Linear(4, 2))


def members() -> list[mc.Model]:
    return [make(NET, mc.SoftmaxCrossEntropy(), seed=seed) for seed in range(3)]


def several(path: Path, kind: Any) -> Any:
    made = kind(members())
    for model in made:
        model.fit(X, CLASSES, epochs=2, batch_size=5)
    made.save(path)
    return read_several(path, kind)


def read_several(path: Path, kind: Any) -> Any:
    return [np.asarray(part).tolist() for part in [kind.load(path).predict(X)]]


def table(path: Path, classes: bool) -> Any:
    from mlpcore.tabular import TabularClassifier, TabularRegressor
    from mlpcore.tabular.recipes import PlainMLP

    estimator: Any = TabularClassifier if classes else TabularRegressor
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = estimator(PlainMLP(hidden=(4,), epochs=2, batch_size=8), random_state=0)
        fitted.fit(TABLE, CLASSES if classes else Y[:, 0]).save(path)
    return read_table(path, classes)


def read_table(path: Path, classes: bool) -> Any:
    optional("polars")
    from mlpcore.tabular import load

    loaded = load(path)
    return np.asarray(loaded.predict_proba(TABLE) if classes else loaded.predict(TABLE)).tolist()


def rules() -> list[Any]:
    return [mc.EarlyStopping(patience=9), mc.ReduceOnPlateau("loss", factor=0.5, patience=1, min_delta=1e6)]


def within(path: Path) -> Any:
    """A checkpoint after two epochs and three of their five steps."""
    folder = path.with_suffix(".folder")
    checkpoint = mc.CheckpointFolder(folder, keep=99, every_steps=13)
    make(**EVERYTHING).fit(X, Y, **FIT, epochs=4, callbacks=rules(), checkpoint=checkpoint, on_nonfinite="skip")
    (folder / "000001-epoch-2-step-13.safetensors").rename(path)
    return read_within(path)


def read_within(path: Path) -> Any:
    model = make(**EVERYTHING)
    history = model.fit(X, Y, **FIT, epochs=4, callbacks=rules(), resume=path, on_nonfinite="skip")
    return [history.loss, history["skipped"], model.predict(X).tolist()]


# Each writes a file and reads it, or only reads it; what is read are numbers.
CASES: dict[str, tuple[Callable[[Path], Any], Callable[[Path], Any]]] = {
    "stack": (lambda path: several(path, mc.Stack), lambda path: read_several(path, mc.Stack)),
    "ensemble": (lambda path: several(path, mc.Ensemble), lambda path: read_several(path, mc.Ensemble)),
    "table of classes": (lambda path: table(path, True), lambda path: read_table(path, True)),
    "table of amounts": (lambda path: table(path, False), lambda path: read_table(path, False)),
    "checkpoint within an epoch": (within, read_within),
}
NAMES = [(day, name) for day, path in ARCHIVES.items() for name in zipfile.ZipFile(path).namelist() if "." not in name]


@pytest.mark.parametrize(("day", "name"), NAMES)
def test_a_file_gives_what_it_gave(day: str, name: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(ARCHIVES[day]) as archive:
        (tmp_path / "file").write_bytes(archive.read(name))
        expected = json.loads(archive.read("expected.json"))[name]
    found = CASES[name][1](tmp_path / "file")
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-9)


def test_every_kind_has_a_file() -> None:
    assert {name for _, name in NAMES} == set(CASES)


def write(path: Path) -> None:
    """The archive of today."""
    expected, data = {}, io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive, TemporaryDirectory() as folder:
        for name, (make_file, _) in CASES.items():
            expected[name] = make_file(Path(folder) / name)
            archive.write(Path(folder) / name, name)
        archive.writestr("expected.json", json.dumps(expected))
    path.write_bytes(data.getvalue())


if __name__ == "__main__":
    write(GOLDEN / f"kinds-{sys.argv[1]}.zip")
