"""Models that the tests of files save."""

from typing import Any

import numpy as np
import pytest
from devices import gpu

from mlpcore import layers as nn
from mlpcore.errors import BackendUnavailable
from mlpcore.losses import HalfSquaredError
from mlpcore.model import Model
from mlpcore.optimizers import SGD
from mlpcore.random import Stream

ROWS = 12
BACKENDS = [
    "array_api_strict",
    *(pytest.param(name, marks=pytest.mark.oracle) for name in ("torch", "jax")),
    gpu("cupy"),
]
NET = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm(4), nn.ReLU(), nn.Linear(4, 2))


def table(columns: int = 3) -> np.ndarray:
    return Stream(5, "x").normal((ROWS, columns)).astype("float32")


def trained(net: Any = NET, loss: Any = None, optimizer: Any = None, **words: Any) -> Model:
    """A model after one epoch, so that statistics and averages are not what they were at first."""
    model = Model(net, loss or HalfSquaredError(), optimizer or SGD(0.01), **words)
    x = table()
    model.fit(x, np.zeros((ROWS, net.output_width(3))), epochs=1, batch_size=5)
    return model


def available(backend: str) -> str:
    try:
        trained().to(backend)
    except BackendUnavailable as error:
        pytest.skip(str(error))
    return backend
