"""Targets with gaps on every backend: weights of entries where weights of rows go, on the device or from the host."""

from typing import Any

import cuda_host
import pytest
from compiled import needs_compiler
from devices import open_place
from fitting import EAGER, EVERYTHING, GAPPED, NET, PLAIN, SKIP, X, make, with_extras, with_steps
from members import assert_close

from mlpcore.backends import streaming
from mlpcore.backends.backend import Backend
from mlpcore.backends.copy_queues import PlainCopies

FIT: dict[str, Any] = {"epochs": 3, "batch_size": 5, "validation_data": (X, GAPPED), **SKIP}


def streaming_backend(monkeypatch: pytest.MonkeyPatch) -> Backend:
    """A device without free memory: the rows of two steps at a time come from the host."""
    monkeypatch.setattr(streaming, "BUFFER_BYTES", 2 * 5 * 8 * (3 + 2 + 2))
    backend = open_place("torch")
    queue = PlainCopies(backend.asarray)

    def steps(*step: Any) -> Any:
        return streaming.streamed(backend.compile.steps(*step), lambda: queue, backend.xp.concat)

    return with_extras(with_steps(backend, steps), free_memory=lambda: 0)


OTHERS = ("torch", "jax", "array_api_strict")
PLACES = [pytest.param("C", marks=needs_compiler), "NumPy calls", pytest.param("CUDA", marks=cuda_host.needed)]


@pytest.mark.parametrize("net", [PLAIN, NET], ids=["plain", "BatchNorm, Dropout"])
@pytest.mark.parametrize("place", [*PLACES, *OTHERS, "streamed"])
def test_every_backend_trains_as_eager_numpy_does(net: Any, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words: dict[str, Any] = {"compile": place == "C"}
    if place == "streamed":
        words = {"backend": streaming_backend(monkeypatch)}
    elif place == "CUDA":
        words = {"backend": cuda_host.backend()}
    elif place in OTHERS:
        words = {"backend": open_place(place)}
    model, other = make(net, **EVERYTHING, **words), make(net, **EVERYTHING, backend=EAGER)
    got, expected = model.fit(X, GAPPED, **FIT), other.fit(X, GAPPED, **FIT)
    assert place not in ("C", "NumPy calls", "CUDA") or model.compiled.kind == place
    assert got.loss == pytest.approx(expected.loss, rel=1e-9)
    assert got.val_loss == pytest.approx(expected.val_loss, rel=1e-9)
    assert_close(model.predict(X), other.predict(X), 10_000)
