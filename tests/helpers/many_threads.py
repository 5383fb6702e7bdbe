"""Work for eight threads at once, and for other processes: fits and predictions as bytes."""

import hashlib
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import mlpcore as mc
from mlpcore.random import Stream

X = Stream(1, "x").normal((600, 20)).astype("float32")
LABELS = (X[:, 0] > 0).astype("int64") + (X[:, 1] > 0.5)
THREADS = 8


def at_once(works: Sequence[Callable[[], Any]], seconds: float = 240.0) -> list[Any]:
    """The results of the works, each in a thread of its own, or its error; they begin together."""
    results: list[Any] = [None] * len(works)
    begin = threading.Barrier(len(works))

    def run(number: int) -> None:
        begin.wait()
        try:
            results[number] = works[number]()
        except Exception as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds)
    assert not any(thread.is_alive() for thread in threads), "threads that wait for ever"
    return results


def model(compile: bool = True, width: int = 16, seed: int = 0) -> mc.Model:
    """A classifier; wide ones run in tiles."""
    layers = [mc.Linear(20, width), mc.BatchNorm(width), mc.ReLU(), mc.Dropout(0.1), mc.Linear(width, width), mc.Tanh()]
    net = mc.Sequential(*layers, mc.Linear(width, 3))
    return mc.Model(net, mc.SoftmaxCrossEntropy(), mc.Adam(0.01), compile=compile, seed=seed)


def of_a_model(compile: bool, width: int, seed: int) -> str:
    """A digest of the predictions after a fit with a ragged batch, in two calls."""
    trained = model(compile, width, seed)
    for _ in range(2):
        trained.fit(X, LABELS, epochs=1, batch_size=500)
    return digest(trained.predict(X))


def of_a_stack(compile: bool, width: int, seed: int) -> str:
    """The same of two models side by side."""
    stack = mc.Stack([model(compile, width, seed), model(compile, width, seed + 1)])
    stack.fit(X, LABELS, epochs=2, batch_size=500)
    return digest(*(member.predict(X) for member in stack))


def of_an_estimator(compile: bool, width: int, seed: int) -> str:
    """The same of an estimator."""
    from mlpcore.sklearn import MLPClassifier

    words = {"hidden_layer_sizes": (width,), "max_iter": 2, "random_state": seed, "compile": compile}
    return digest(MLPClassifier(**words).partial_fit(X, LABELS, classes=[0, 1, 2]).predict_proba(X))


KINDS = {"model": of_a_model, "stack": of_a_stack, "estimator": of_an_estimator}


def digest(*arrays: np.ndarray) -> str:
    """Of the bytes of some arrays."""
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()


def go_on(trained: Any) -> Any:
    """A model or an estimator that was sent to another process, after one more epoch there."""
    if isinstance(trained, mc.Model):
        trained.fit(X, LABELS, epochs=1, batch_size=500)
        return trained
    return trained.partial_fit(X, LABELS)
