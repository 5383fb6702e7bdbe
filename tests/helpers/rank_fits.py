"""Fits that several ranks make, and one process: data, networks and rules."""

from typing import Any

import numpy as np

import mlpcore as mc
from mlpcore.distributed import Communicator

RNG = np.random.default_rng(0)
X = RNG.normal(size=(103, 7))
LABELS = (X @ RNG.normal(size=(7, 3))).argmax(axis=1)
AMOUNTS = X @ RNG.normal(size=(7, 2)) + 0.1 * RNG.normal(size=(103, 2))
WEIGHTS = RNG.integers(0, 3, size=103).astype(float)
WEIGHTS[:20] = 0
ENTRIES = RNG.integers(0, 3, size=(103, 2)).astype(float)


class Jitter(mc.Activation):
    """A layer of a user's own, whose noise only the host can draw."""

    def noise(self, stream: Any, shape: tuple[int, ...], dtype: str) -> Any:
        return 0.1 * stream.normal(shape).astype(dtype)

    def forward(self, params: Any, x: Any, training: Any = None) -> Any:
        return (x, None) if training is None else (x + training.noise, None)

    def backward(self, params: Any, cache: Any, dy: Any, *, need_dx: bool = True) -> Any:
        return (dy if need_dx else None), {}


def net(*layers: Any, outputs: int) -> Any:
    return mc.Sequential(mc.Linear(7, 16), mc.ReLU(), *layers, mc.Linear(16, outputs))


CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "weights": {"fit": {"sample_weight": WEIGHTS}},
    "class weights": {"fit": {"class_weight": "balanced"}},
    "entry weights": {"y": AMOUNTS, "loss": mc.SquaredError(), "outputs": 2, "fit": {"sample_weight": ENTRIES}},
    "unshuffled": {"fit": {"shuffle": False}},
    "dropout": {"layers": (mc.Dropout(0.4),)},
    "dropout that falls": {"layers": (mc.Dropout(mc.FlatCosine(0.5, 60)),)},
    "noise of the host": {"layers": (Jitter(),)},
    "layer norm": {"layers": (mc.LayerNorm(16),)},
    "l2": {"model": {"l2": 0.1}},
    "clipping": {"model": {"clip_norm": 0.1, "clip_value": 0.05}},
    "average": {"model": {"ema": 0.9}},
    "schedule": {"optimizer": mc.AdamW(mc.CosineDecay(0.02, 60), weight_decay=0.1)},
    "momentum": {"optimizer": mc.SGD(0.05, momentum=0.9)},
    "few rows": {"rows": 3},
    "ragged": {"rows": 101},
    "validation": {"validation": True},
    "early stopping": {"validation": True, "rule": lambda: mc.EarlyStopping(patience=1, min_delta=0.2)},
    "plateau": {"validation": True, "rule": lambda: mc.ReduceOnPlateau(patience=1, min_delta=0.5)},
}


def fitted(
    case: dict[str, Any], ranks: Communicator | str | None, epochs: int = 5, batch_size: int = 20, **words: Any
) -> tuple[mc.Model, mc.History]:
    outputs = case.get("outputs", 3)
    model = mc.Model(
        net(*case.get("layers", ()), outputs=outputs),
        case.get("loss", mc.SoftmaxCrossEntropy()),
        case.get("optimizer", mc.Adam(0.02)),
        dtype="float64",
        seed=5,
        distributed=ranks,
        **{"compile": False, **case.get("model", {}), **words},
    )
    count = case.get("rows", 103)
    x, y, arguments = X[:count], case.get("y", LABELS)[:count], dict(case.get("fit", {}))
    if case.get("validation"):
        arguments["validation_data"] = (X[::3], LABELS[::3], WEIGHTS[::3])
    if "rule" in case:
        arguments["callbacks"] = [case["rule"]()]
    return model, model.fit(x, y, epochs=epochs, batch_size=batch_size, **arguments)
