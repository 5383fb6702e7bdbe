"""Files of estimators for tables: what is loaded predicts the same bits, and damaged files are one error."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optional import optional
from table_frames import CLASSES, RECIPE, SIGNAL, TEST, TRAIN

optional("sklearn")


import mlpcore as mc  # noqa: E402
from mlpcore.cli import main  # noqa: E402
from mlpcore.errors import ConfigurationError, DataError, ModelFileError  # noqa: E402
from mlpcore.files import tensors  # noqa: E402
from mlpcore.tabular import TabularClassifier, TabularRegressor, load, residuals  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::mlpcore.errors.MlpcoreWarning")


def classifier(kind: str = "texts", **words: Any) -> TabularClassifier:
    return TabularClassifier(words.pop("recipe", RECIPE["mlp"]), random_state=0, **words).fit(TRAIN, CLASSES[kind])


def regressor(y: np.ndarray = SIGNAL, **words: Any) -> TabularRegressor:
    return TabularRegressor(words.pop("recipe", RECIPE["mlp"]), random_state=0, **words).fit(TRAIN, y)


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("recipe", RECIPE)
def test_classes(recipe: str, members: int, kind: str, tmp_path: Path) -> None:
    fitted = classifier(kind, recipe=RECIPE[recipe], n_ensemble=members)
    fitted.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert loaded.classes == tuple(fitted.classes_.tolist()) and loaded.columns == fitted.encoder_.columns
    for frame in (TRAIN, TEST):
        assert loaded.predict_proba(frame).tobytes() == fitted.predict_proba(frame).tobytes()
        found, expected = loaded.predict(frame), fitted.predict(frame)
        assert found.dtype == expected.dtype and found.tolist() == expected.tolist()
    loaded.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "model").read_bytes()


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_amounts_and_quantiles(dtype: str, outputs: int, members: int, tmp_path: Path) -> None:
    y = np.column_stack([SIGNAL * 1e5, SIGNAL])[:, :outputs]
    fitted = regressor(y[:, 0] if outputs == 1 else y, n_ensemble=members, dtype=dtype)
    fitted.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    for frame in (TRAIN, TEST):
        for words in ({}, {"quantiles": [0.1, 0.5, 0.9]}):
            found, expected = loaded.predict(frame, **words), fitted.predict(frame, **words)
            assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
            assert found.tobytes() == expected.tobytes()
    with pytest.raises(DataError, match="amounts have no probabilities"):
        loaded.predict_proba(TEST)


def test_without_held_out_rows_there_are_no_quantiles(tmp_path: Path) -> None:
    regressor(validation_fraction=0.0).save(tmp_path / "model")
    with pytest.raises(ValueError, match="quantiles need held-out rows"):
        load(tmp_path / "model").predict(TEST, quantiles=[0.5])
    classifier().save(tmp_path / "model")
    with pytest.raises(DataError, match="classes have no quantiles"):
        load(tmp_path / "model").predict(TEST, quantiles=[0.5])


def test_many_residuals_are_as_many_quantiles() -> None:
    """At multiples of 1/10000 the quantiles stay what they were, to rounding."""
    many, levels = np.random.default_rng(0).standard_t(2, size=(50_000, 2)), [0.0001, 0.05, 0.5, 0.975, 0.9999]
    few = residuals.kept(many)
    assert few.shape == (residuals.MOST, 2) and residuals.kept(many[:9]).tolist() == np.sort(many[:9], 0).tolist()
    np.testing.assert_allclose(np.quantile(few, levels, axis=0), np.quantile(many, levels, axis=0), rtol=1e-9)


def test_networks_alone(tmp_path: Path) -> None:
    """The files are those of a model or an ensemble, which read them too."""
    single, several = classifier(), classifier(n_ensemble=2)
    single.save(tmp_path / "single")
    several.save(tmp_path / "several")
    x = single.encoder_.transform(TEST)
    np.testing.assert_array_equal(mc.load(tmp_path / "single").predict(x), single.members_[0].predict(x))
    assert len(mc.Ensemble.load(tmp_path / "several")) == 2
    with pytest.raises(ModelFileError, match="is an ensemble"):
        mc.load(tmp_path / "several")
    mc.Ensemble(several.members_).save(tmp_path / "bare")
    with pytest.raises(ModelFileError, match="nothing says what its columns are"):
        load(tmp_path / "bare")


def test_classes_that_no_file_holds() -> None:
    fitted = classifier()
    fitted.classes_ = np.array([b"a", b"b", b"c"])
    with pytest.raises(ConfigurationError, match=r"classes of \|S1 cannot be stored"):
        fitted.save("nowhere")


def test_every_changed_byte_and_truncation_is_found(tmp_path: Path) -> None:
    regressor(n_ensemble=2).save(tmp_path / "model")
    data, path = (tmp_path / "model").read_bytes(), tmp_path / "damaged"
    for place in range(0, len(data), 97):
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        for content in (changed, data[:place]):
            path.write_bytes(content)
            with pytest.raises(ModelFileError):
                load(path)


def put(*places: Any) -> Any:
    """A change that puts the last argument at the place named by the others."""
    *inner, last, value = places

    def change(about: Any, arrays: Any) -> None:
        for place in inner:
            about = about[place]
        about[last] = value

    return change


TABLE = ("extra", "table")
FORGERIES = {
    "no description": put("extra", {}),
    "labels of another kind": put(*TABLE, "target", "labels", [1, 2, 3]),
    "labels that do not fit": put(*TABLE, "target", "dtype", "int8"),
    "a dtype of code": put(*TABLE, "target", "dtype", "object_"),
    "a label that is a list": put(*TABLE, "target", "labels", ["a", [], "b"]),
    "too few labels": put(*TABLE, "target", "labels", ["a", "b"]),
    "a scaling for classes": put(*TABLE, "target", {"name": "", "labels": [], "scaling": [0.0, 1.0]}),
    "a column less": lambda about, arrays: about["extra"]["table"]["columns"].pop() and None,
    "one-hot for a network that takes indices": put(*TABLE, "one_hot", True),
    "one-hot is a text": put(*TABLE, "one_hot", "no"),
    "no members": put("members", []),
    "a member less": lambda about, arrays: about["members"].pop() and None,
    "members are numbers": put("members", [1, 2]),
    "residuals of another shape": lambda about, arrays: arrays.update({"extra.residuals": np.zeros(3)}),
    "residuals of other outputs": lambda about, arrays: arrays.update({"extra.residuals": np.zeros((3, 7))}),
    "no residuals": lambda about, arrays: arrays.update({"extra.residuals": np.zeros((0, 3))}),
    "infinite residuals": lambda about, arrays: arrays.update({"extra.residuals": np.full((3, 3), np.inf)}),
}


@pytest.mark.parametrize("change", FORGERIES.values(), ids=FORGERIES.keys())
def test_forged_files_are_refused(change: Any, tmp_path: Path) -> None:
    path = tmp_path / "model"
    classifier(n_ensemble=2).save(path)
    about, arrays = tensors.read(path, "ensemble")
    about = json.loads(json.dumps({name: about[name] for name in ("members", "extra")}))
    change(about, arrays)
    tensors.write(path, "ensemble", about, arrays)
    with pytest.raises(ModelFileError) as caught:
        load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("kind", [*CLASSES, "amounts"])
def test_the_command_predict_scores_by_the_name_of_the_series(
    kind: str, library: str, tmp_path: Path, capsys: Any
) -> None:
    frames, y = optional(library), CLASSES.get(kind, SIGNAL)
    frame = {"size": TRAIN["X"], "town": np.where(SIGNAL > 0, "Rome", "Oslo")}
    if kind == "texts":
        y = np.where(y == "", "none", y)
    table = frames.DataFrame(frame | {"kind": y})
    if library == "pandas":
        table.to_csv(tmp_path / "table.csv", index=False)
    else:
        table.write_csv(tmp_path / "table.csv")
    estimator = TabularRegressor if kind == "amounts" else TabularClassifier
    fitted = estimator(RECIPE["mlp"], random_state=0).fit(frame, table["kind"])
    fitted.save(tmp_path / "model")
    assert load(tmp_path / "model").target == "kind"
    assert main(["predict", str(tmp_path / "model"), str(tmp_path / "table.csv")]) == 0
    said, found = capsys.readouterr().err, fitted.predict(frame)
    error = np.sqrt(np.mean((found - SIGNAL) ** 2)) if kind == "amounts" else 0.0
    share = 0.0 if kind == "amounts" else 100 * np.mean(found == y)
    expected = f"root mean squared error {error:.6g} over" if kind == "amounts" else f"accuracy {share:.2f} % of"
    assert said.startswith(f"{expected} {len(y)} rows")


def test_a_target_has_no_name_that_is_not_told_or_that_a_feature_has(tmp_path: Path) -> None:
    pandas = optional("pandas")
    features = pandas.DataFrame({"size": TRAIN["X"], "price": SIGNAL})
    for y, name in (
        (SIGNAL, ""),
        (pandas.Series(SIGNAL), ""),
        (features["price"], ""),
        (pandas.Series(SIGNAL, name="next"), "next"),
        (pandas.DataFrame({"next": SIGNAL, "last": SIGNAL}), ""),
    ):
        TabularRegressor(RECIPE["mlp"], random_state=0).fit(features, y).save(tmp_path / "model")
        assert load(tmp_path / "model").target == name


@pytest.mark.parametrize("members", [1, 2])
def test_the_command_predict_takes_the_files(members: int, tmp_path: Path, capsys: Any) -> None:
    polars = optional("polars")
    frame = {"size": TRAIN["X"], "town": np.where(SIGNAL > 0, "Rome", "Oslo")}
    polars.DataFrame(frame).write_csv(tmp_path / "table.csv")
    words: dict[str, Any] = {"random_state": 0, "n_ensemble": members}
    kinds = TabularClassifier(RECIPE["mlp"], **words).fit(frame, CLASSES["texts"])
    both = TabularRegressor(RECIPE["mlp"], **words).fit(frame, np.column_stack([SIGNAL, -SIGNAL]))
    for fitted, head in (
        (kinds, "prediction,probability_,probability_low,probability_ö"),
        (both, "prediction,prediction_2"),
    ):
        fitted.save(tmp_path / "model")
        assert main(["predict", str(tmp_path / "model"), str(tmp_path / "table.csv")]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == head and len(lines) == 1 + len(SIGNAL)
        first = [cell.strip('"') for cell in lines[1].split(",")]
        expected = [str(one) for one in np.atleast_1d(fitted.predict(frame)[0]).tolist()]
        assert (
            first[0] == str(fitted.predict(frame)[0])
            if fitted is kinds
            else np.allclose([float(c) for c in first], [float(e) for e in expected])
        )
