"""What may be passed as X and y: frames, sparse tables, memory maps, labels of any kind, arrays of other libraries."""

import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from devices import gpu, open_place
from optional import optional

sklearn = optional("sklearn")

import scipy.sparse as sp  # noqa: E402
from sklearn.base import clone  # noqa: E402
from sklearn.preprocessing import LabelBinarizer  # noqa: E402

import mlpcore  # noqa: E402
import mlpcore.sklearn.sparse as own_sparse  # noqa: E402
from mlpcore.sklearn import MLPClassifier, MLPRegressor  # noqa: E402

RNG = np.random.default_rng(0)
X = RNG.normal(size=(100, 5)) * (RNG.uniform(size=(100, 5)) < 0.4)
LABELS = np.argmax(X @ RNG.normal(size=(5, 3)), axis=1)
Y = X[:, 0] + X[:, 1] ** 2
NAMES = [f"column {i}" for i in range(5)]
WORDS: dict[str, Any] = {"hidden_layer_sizes": 7, "random_state": 0, "max_iter": 8, "batch_size": 30}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def flat(estimator: Any) -> np.ndarray:
    return np.concatenate([np.asarray(part).reshape(-1) for part in (*estimator.coefs_, *estimator.intercepts_)])


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_frames(library: str) -> None:
    module = optional(library)
    columns = {name: X[:, i] for i, name in enumerate(NAMES)}
    make = {
        "pandas": lambda c: module.DataFrame(c),
        "polars": lambda c: module.DataFrame(c),
        "pyarrow": lambda c: module.table(c),
    }
    frame = make[library](columns)
    for estimator, y in ((MLPClassifier(**WORDS), LABELS), (MLPRegressor(**WORDS, early_stopping=True), Y)):
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            warnings.simplefilter("ignore", sklearn.exceptions.ConvergenceWarning)
            model = estimator.fit(frame, y)
            prediction = model.predict(frame)
        assert model.feature_names_in_.tolist() == NAMES
        np.testing.assert_array_equal(prediction, sklearn.base.clone(estimator).fit(X, y).predict(X))
        with pytest.raises(ValueError, match="feature names should match"):
            model.predict(make[library](dict(reversed(columns.items()))))
    series = {
        "pandas": lambda v: module.Series(v),
        "polars": lambda v: module.Series(v),
        "pyarrow": lambda v: module.array(v),
    }
    words = np.array(["a", "b", "c"])[LABELS]
    labelled = MLPClassifier(**WORDS).fit(frame, series[library](words))
    assert set(labelled.predict(frame)) <= {"a", "b", "c"}


@pytest.mark.parametrize("form", ["csr_matrix", "csc_matrix", "csr_array", "csc_array"])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_sparse_tables(form: str, solver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_sparse, "BLOCK_BYTES", 8 * 5 * 65)
    sparse, more = getattr(sp, form)(X), {"early_stopping": True} if solver == "adam" else {}
    for kind, y in ((MLPClassifier, LABELS), (MLPRegressor, Y)):
        dense = kind(**WORDS, solver=solver, **more).fit(X, y)
        model = kind(**WORDS, solver=solver, **more).fit(sparse, y)
        np.testing.assert_allclose(flat(model), flat(dense), rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(model.predict(sparse), dense.predict(X), rtol=1e-9, atol=1e-11)
    single = MLPClassifier(**WORDS, solver=solver).fit(sparse.astype("float32"), LABELS)
    assert single.coefs_[0].dtype == np.float32


@pytest.mark.parametrize("backend", ["torch", "array_api_strict", gpu("cupy")])
def test_sparse_tables_on_a_backend(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    open_place(backend)
    monkeypatch.setattr(own_sparse, "BLOCK_BYTES", 8 * 5 * 65)
    sparse = sp.csr_matrix(X)
    host, model = MLPClassifier(**WORDS), MLPClassifier(**WORDS, backend=backend)
    for _ in range(2):
        for one, x in ((host, X), (model, sparse)):
            one.partial_fit(x, LABELS, classes=[0, 1, 2])
    np.testing.assert_allclose(model.predict_proba(sparse), host.predict_proba(X), rtol=1e-9)


def test_a_sparse_table_is_made_dense_by_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    heights: list[int] = []
    toarray = sp.csr_matrix.toarray

    def noted(self: Any, *arguments: Any, **options: Any) -> Any:
        heights.append(self.shape[0])
        return toarray(self, *arguments, **options)

    monkeypatch.setattr(sp.csr_matrix, "toarray", noted)
    monkeypatch.setattr(own_sparse, "BLOCK_BYTES", 8 * 5 * 65)
    MLPClassifier(**WORDS).fit(sp.csr_matrix(X), LABELS)
    assert heights and max(heights) == 60
    heights.clear()
    MLPClassifier(**WORDS, solver="lbfgs").fit(sp.csr_matrix(X), LABELS)
    assert heights and max(heights) == 65


def test_read_only_memory_maps_and_fortran_order(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    plain = MLPClassifier(**WORDS).fit(X, LABELS)
    for x in (mapped, np.asfortranarray(X), X[::-1][::-1]):
        for solver in ("adam", "lbfgs"):
            expected = MLPClassifier(**WORDS, solver=solver).fit(X, LABELS)
            np.testing.assert_allclose(
                flat(MLPClassifier(**WORDS, solver=solver).fit(x, LABELS)), flat(expected), rtol=1e-12
            )
        np.testing.assert_allclose(plain.predict_proba(x), plain.predict_proba(X), rtol=1e-12)


@pytest.mark.parametrize("kind", ["words", "objects", "floats", "booleans", "negative", "one"])
def test_labels_of_any_kind(kind: str) -> None:
    labels = {
        "words": np.array(["red", "green", "blue"])[LABELS],
        "objects": np.array(["red", "green", "blue"], dtype=object)[LABELS],
        "floats": LABELS.astype(float),
        "booleans": LABELS > 0,
        "negative": LABELS * 3 - 4,
        "one": np.full(100, "only"),
    }[kind]
    model = MLPClassifier(**(WORDS | {"max_iter": 60, "learning_rate_init": 0.02})).fit(X, labels)
    assert model.classes_.tolist() == np.unique(labels).tolist()
    prediction = model.predict(X)
    assert prediction.dtype == model.classes_.dtype == LabelBinarizer().fit(labels).classes_.dtype
    assert np.mean(prediction == labels) > 0.8
    assert model.predict_proba(X).shape == (100, max(2, len(model.classes_)))
    early = MLPClassifier(**WORDS, early_stopping=True).fit(X, labels)
    assert np.isfinite(early.validation_scores_).all()


def test_several_labels_a_row() -> None:
    several = (X[:, :3] > 0).astype(int)
    model = MLPClassifier(**(WORDS | {"max_iter": 100, "learning_rate_init": 0.02})).fit(X, several)
    assert model.predict(X).dtype.kind == "i" and np.mean(model.predict(X) == several) > 0.9
    of_sparse = MLPClassifier(**(WORDS | {"max_iter": 100, "learning_rate_init": 0.02})).fit(X, sp.csr_matrix(several))
    np.testing.assert_array_equal(of_sparse.predict(X).toarray(), model.predict(X))
    with pytest.raises(ValueError, match="Multioutput target data"):
        MLPClassifier(**WORDS).fit(X, np.stack([LABELS, LABELS], axis=1))
    with pytest.raises(ValueError, match="Unknown label type"):
        MLPClassifier(**WORDS).fit(X, Y)
    with pytest.raises(ValueError, match=r"has shape \(100, 2\), expected \(n, 3\)"):
        MLPClassifier(**WORDS).fit(X, several).partial_fit(X, several[:, :2])


# --- arrays of other libraries, without scikit-learn's dispatch


def makers() -> dict[str, Any]:
    def strict(x: np.ndarray) -> Any:
        import array_api_strict

        return array_api_strict.asarray(x, device=array_api_strict.Device("device1"))

    def torch(x: np.ndarray) -> Any:
        import torch

        return torch.asarray(x)

    def jax(x: np.ndarray) -> Any:
        import jax.numpy

        return jax.numpy.asarray(x)

    def cupy(x: np.ndarray) -> Any:
        return open_place("cupy").xp.asarray(x)

    return {"array_api_strict": strict, "torch": torch, "jax": jax, "cupy": cupy}


def to_numpy(x: Any) -> np.ndarray:
    from mlpcore.backends.transfer import to_host

    return to_host(x)


@pytest.mark.parametrize(
    ("library", "solver"),
    [
        *(("array_api_strict", "adam"), ("array_api_strict", "sgd"), ("torch", "adam"), ("jax", "sgd")),
        *(gpu("cupy", "adam"), gpu("cupy", "sgd")),
    ],
)
def test_the_library_of_x_is_followed(library: str, solver: str) -> None:
    open_place(library)
    put = makers()[library]
    x32 = X.astype("float32")
    for kind, y in ((MLPClassifier, LABELS), (MLPClassifier, LABELS == 1), (MLPRegressor, Y.astype("float32"))):
        words = WORDS | {"solver": solver, "early_stopping": True}
        host = kind(**words).fit(x32, y)
        model = kind(**words).fit(put(x32), put(y))
        assert type(model.coefs_[0]) is type(put(x32)) and model.coefs_[0].dtype == put(x32).dtype
        np.testing.assert_allclose(to_numpy(model.coefs_[0]), host.coefs_[0], rtol=1e-3, atol=1e-4)
        for name in (
            "predict",
            "transform",
            *(["predict_proba", "predict_log_proba"] if kind is MLPClassifier else []),
        ):
            made = getattr(model, name)(put(x32))
            assert type(made) is type(put(x32)) and made.device == put(x32).device
            np.testing.assert_allclose(to_numpy(made), getattr(host, name)(x32), rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(model.predict(x32), host.predict(x32), rtol=1e-3, atol=1e-3)
        assert isinstance(model.predict(x32), np.ndarray)
        loaded = pickle.loads(pickle.dumps(model))
        assert all(isinstance(part, np.ndarray) for part in (*loaded.coefs_, *loaded.intercepts_))
        np.testing.assert_allclose(loaded.predict(x32), host.predict(x32), rtol=1e-3, atol=1e-3)
        extra = {"classes": None} if kind is MLPClassifier else {}
        model.set_params(early_stopping=False).partial_fit(put(x32), put(y), **extra)
        with pytest.raises(ValueError, match="NaN or infinity in column 0"):
            kind(**words).fit(put(np.full((4, 5), np.nan, dtype="float32")), put(y[:4]))
        with pytest.raises(ValueError, match="X has 4 features"):
            model.predict(put(x32[:, :4]))
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            kind(**words).fit(put(x32), put(y[:4]))


@pytest.mark.parametrize("library", ["array_api_strict", "torch", gpu("cupy")])
def test_a_backend_by_name_takes_and_gives_numpy(library: str) -> None:
    open_place(library)
    host = MLPClassifier(**WORDS).fit(X, LABELS)
    model = MLPClassifier(**WORDS, backend=library).fit(X, LABELS)
    np.testing.assert_allclose(model.predict_proba(X), host.predict_proba(X), rtol=1e-9)
    assert type(model.coefs_[0]).__module__.partition(".")[0] != "numpy"
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_allclose(loaded.predict_proba(X), host.predict_proba(X), rtol=1e-9)
    back = MLPClassifier(**WORDS, backend="numpy").fit(makers()[library](X), LABELS)
    assert isinstance(back.coefs_[0], np.ndarray)
    assert type(back.predict_proba(makers()[library](X))) is type(makers()[library](X))


def test_a_pickle_loads_where_the_library_is_missing(tmp_path: Path) -> None:
    optional("torch")
    model = MLPClassifier(**WORDS, backend="torch", warm_start=True).fit(X, LABELS)
    (tmp_path / "model.pickle").write_bytes(pickle.dumps(model))
    script = """
import importlib.abc, pickle, sys
class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("no torch here", name="torch")
sys.meta_path.insert(0, Missing())
model = pickle.load(open(sys.argv[1], "rb"))
print(*model.predict([[0.0] * 5]), model._optimizer.model.backend.name)
"""
    command = [sys.executable, "-c", script, str(tmp_path / "model.pickle")]
    environment = os.environ | {"PYTHONPATH": str(Path(mlpcore.__file__).parent.parent)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == [str(model.predict([[0.0] * 5])[0]), "numpy"]


@pytest.mark.parametrize("backend", ["array_api_strict", "torch", gpu("cupy")])
def test_lbfgs_stays_where_the_arrays_are(backend: str) -> None:
    open_place(backend)
    for kind, y in ((MLPClassifier, LABELS), (MLPRegressor, Y)):
        words = WORDS | {"solver": "lbfgs", "max_iter": 60, "hidden_layer_sizes": (), "alpha": 1.0, "tol": 1e-8}
        host = kind(**words).fit(X, y)
        for x in (X, sp.csr_matrix(X), makers()[backend](X)):
            model = kind(**words, backend=backend).fit(x, y)
            assert model.loss_ == pytest.approx(host.loss_, rel=1e-7) and 1 <= model.n_iter_ <= 60
            np.testing.assert_allclose(to_numpy(model.predict(x)), host.predict(X), rtol=1e-3, atol=1e-3)
            assert not hasattr(model, "loss_curve_") and type(model.coefs_[0]).__module__.partition(".")[0] != "numpy"
        with pytest.warns(sklearn.exceptions.ConvergenceWarning, match="lbfgs failed to converge after 2 iteration"):
            kind(**(words | {"max_iter": 2}), backend=backend).fit(X, y)


@pytest.mark.parametrize("count", [1, 2048, 2049, 16_384, 20_001])
def test_many_rows_are_those_of_few(count: int) -> None:
    many = np.resize(X, (count, 5)) + np.arange(count)[:, None] / count
    model = MLPClassifier(**WORDS).fit(X, LABELS)
    hidden = np.maximum(many @ model.coefs_[0] + model.intercepts_[0], 0)
    z = hidden @ model.coefs_[1] + model.intercepts_[1]
    expected = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    for _ in range(3):  # traced, bound, called
        for rows in (many, sp.csr_matrix(many), many.astype("float32")):
            tolerance = 1e-12 if rows.dtype == np.float64 else 1e-4
            np.testing.assert_allclose(model.predict_proba(rows), expected, rtol=tolerance)


FRAMES, TITLES = ("pandas", "polars", "pyarrow"), ("age", "fare", "height")


@pytest.mark.filterwarnings("ignore:X has feature names")
@pytest.mark.parametrize("library", ["lists", "numpy", "objects", *FRAMES])
@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_columns_that_are_not_finite_are_named(library: str, number: float) -> None:
    """With their titles, in fits and predictions, and nothing else."""
    table = X[:20, :3].astype(np.float64)
    fitted = MLPClassifier(max_iter=2, random_state=0).fit(table, LABELS[:20] % 2)
    table[4, 1], table[5, 2] = number, -np.inf if np.isnan(number) else np.nan
    if library in FRAMES:
        module, columns = optional(library), {name: table[:, i] for i, name in enumerate(TITLES)}
        rows = module.table(columns) if library == "pyarrow" else module.DataFrame(columns)
    else:
        rows = {"lists": table.tolist(), "numpy": table, "objects": table.astype(object)}[library]
    place = 1 if np.isnan(number) else 2
    where = f"in column {repr(TITLES[place]) if library in FRAMES else place}; drop these rows, or fill the gaps first"
    for call in (lambda: clone(fitted).fit(rows, LABELS[:20] % 2), lambda: fitted.predict(rows)):
        with pytest.raises(ValueError, match=f"Input X contains NaN {where}"):
            call()
