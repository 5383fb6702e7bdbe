"""Out of memory at any allocation: one clear error, the model is as it was or at a whole step, and the next call works.

The emulated device lets each allocation of a call fail in turn; a card cannot be asked for that.
"""

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from devices import emulated_device, open_place
from fitting import EVERYTHING, FIT, LABELS, NET, PLAIN, X, Y, make, state_of, untimed, with_extras
from shortages import Case, survive

import mlpcore as mc
from mlpcore.backends import streaming
from mlpcore.backends.backend import Backend
from mlpcore.backends.cupy.first_product import check_device
from mlpcore.backends.transfer import to_host
from mlpcore.sklearn import MLPClassifier

pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")]
FOLDERS = ExitStack()  # with files of models
SAMPLE = 4  # allocations of a case that fail, without --long


@pytest.fixture(scope="module")
def device() -> ModuleType:
    """The emulated device."""
    return emulated_device("lets an allocation fail: none of these did")


@pytest.fixture(scope="module")
def cupy() -> Backend:
    return open_place("cupy")


def model(**words: Any) -> Callable[[Backend], mc.Model]:
    return lambda backend: make(NET, backend=backend, **EVERYTHING, **words)


def anew(backend: Backend) -> Backend:
    """The same backend, which has loaded no kernels yet."""
    return with_extras(mc.get_backend("cupy"), max_chunk_steps=backend.extras.max_chunk_steps)


def fit(model: mc.Model, **words: Any) -> Any:
    return untimed(model.fit(X, Y, epochs=2, **FIT, **words))


def stack(backend: Backend) -> list[mc.Model]:
    return [make(NET, backend=backend, **EVERYTHING | {"seed": seed}) for seed in range(2)]


def stacked(models: list[mc.Model]) -> Any:
    """Of one kind in whole batches, of two in the last ones."""
    rows = [np.arange(len(X)), np.arange(1, len(X))]
    return [untimed(history) for history in mc.Stack(models).fit(X, Y, epochs=2, rows=rows, **FIT)]


def changed(model: mc.Model) -> Any:
    """Parameters that are set, and a snapshot that is restored."""
    model.params = model.params
    model.restore(model.snapshot())
    return model.to(model.backend).predict(X)


def explained(model: mc.Model) -> Any:
    return model.input_gradient(X, 1)


def fitted(backend: Backend) -> MLPClassifier:
    words: dict[str, Any] = {"backend": "cupy", "batch_size": 7, "max_iter": 2, "random_state": 0}
    words |= {"warm_start": True, "early_stopping": True, "hidden_layer_sizes": (5,)}
    return MLPClassifier(**words).fit(X, LABELS)


def in_a_new_thread(model: mc.Model) -> Any:
    """Where cuBLAS has no handle yet when the first layer has seen its rows."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(fit, model).result()


def saved(backend: Backend) -> Path:
    """The path of a file with a model."""
    path = Path(FOLDERS.enter_context(TemporaryDirectory())) / "model"
    model()(backend).save(path)
    return path


@pytest.fixture(autouse=True, scope="module")
def clean_up() -> Iterator[None]:
    yield
    FOLDERS.close()


def opened(path: Path) -> Any:
    """The numbers of a model that is made and of one that is read, on a device that nobody has used yet."""
    check_device.cache_clear()
    states = [state_of(model()(mc.get_backend("cupy")))]
    return [*states, state_of(mc.load(path, "cupy"))]


def learned(estimator: MLPClassifier) -> dict[str, np.ndarray]:
    """What a fit of an estimator changes."""
    arrays = {
        f"{kind}{i}": part for kind in ("coefs_", "intercepts_") for i, part in enumerate(getattr(estimator, kind))
    }
    arrays |= {name: getattr(estimator, name) for name in ("n_iter_", "t_", "loss_curve_")}
    return {name: np.array(to_host(array)) for name, array in arrays.items()}


CASES = {
    "fit": Case(model(), fit, steps=True),
    "captured": Case(model(compile=True), fit, steps=True),
    "eager": Case(
        lambda backend: make(PLAIN, backend=backend, compile=False),
        lambda model: untimed(model.fit(X, Y, epochs=2, batch_size=11)),
        steps=True,
    ),
    "new kernels": Case(
        lambda backend: make(NET, backend=anew(backend), **EVERYTHING),
        lambda model: untimed(model.fit(X, Y, epochs=1, batch_size=11)),
        steps=True,
    ),
    "new thread": Case(
        lambda backend: make(mc.Sequential(mc.BatchNorm(3), NET), backend=backend, **EVERYTHING),
        in_a_new_thread,
        steps=True,
    ),
    "streamed": Case(lambda backend: model()(with_extras(backend, free_memory=lambda: 0)), fit, steps=True),
    "stack": Case(stack, stacked, steps=True),
    "predict": Case(model(), lambda model: model.predict(X)),
    "evaluate": Case(model(metrics=["r2"]), lambda model: model.evaluate(X, Y)),
    "changes": Case(model(), changed),
    "opened": Case(saved, opened, models=lambda _: [], states=lambda _: []),
    "input gradient": Case(model(), explained),
    "estimator": Case(
        fitted,
        lambda estimator: learned(estimator.fit(X, LABELS)),
        models=lambda _: [],
        states=lambda estimator: [learned(estimator)],
    ),
}


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows stream in pieces of two steps."""
    monkeypatch.setattr(streaming, "BUFFER_BYTES", 2 * 5 * 8 * (3 + 2 + 1))


@pytest.mark.parametrize("in_a_row", [1, 4])
@pytest.mark.parametrize("name", CASES)
def test_whatever_allocation_fails(
    name: str, in_a_row: int, cupy: Backend, device: ModuleType, request: pytest.FixtureRequest
) -> None:
    """CuPy's pools ask again: with them one failure is no error, and four in a row are."""
    most = sys.maxsize if request.config.getoption("--long") else SAMPLE
    assert survive(CASES[name], cupy, device, r"cuda:\d", in_a_row, most) or in_a_row == 1
