"""The same Model on torch and on JAX: digits are learned as on NumPy, curve for curve."""

from typing import Any

import numpy as np
import pytest
from optional import optional

from mlpcore.layers import Dropout, Linear, ReLU, Sequential
from mlpcore.losses import SoftmaxCrossEntropy
from mlpcore.model import Model
from mlpcore.optimizers import Adam

datasets = optional("sklearn.datasets")
selection = optional("sklearn.model_selection")
pytestmark = pytest.mark.oracle

NET = Sequential(Linear(64, 128), ReLU(), Dropout(0.2), Linear(128, 10))
TOLERANCE = {"float32": 1e-5, "float64": 1e-10}


@pytest.fixture(scope="module")
def digits() -> Any:
    """Training and test rows, a fixed stratified 20 % split."""
    x, y = datasets.load_digits(return_X_y=True)
    return selection.train_test_split(x / 16, y, test_size=0.2, stratify=y, random_state=0)


def train(backend: str, dtype: str, digits: Any) -> tuple[Any, Model]:
    x, held_x, y, held_y = digits
    model = Model(NET, SoftmaxCrossEntropy(), Adam(2e-3), backend=backend, dtype=dtype, metrics=["accuracy"])
    return model.fit(x, y, epochs=20, batch_size=64, validation_data=(held_x, held_y)), model


@pytest.fixture(scope="module")
def on_numpy(digits: Any) -> dict[str, Any]:
    return {dtype: train("numpy", dtype, digits) for dtype in TOLERANCE}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_digits_are_learned_as_on_numpy(backend: str, dtype: str, digits: Any, on_numpy: dict[str, Any]) -> None:
    optional(backend)
    expected, _ = on_numpy[dtype]
    history, model = train(backend, dtype, digits)
    rtol = TOLERANCE[dtype]
    for column in ("loss", "val_loss"):
        np.testing.assert_allclose(history[column], expected[column], rtol=rtol, err_msg=column)
    np.testing.assert_allclose(history["val_accuracy"], expected["val_accuracy"], rtol=rtol)
    assert model.evaluate(digits[1], digits[3])["accuracy"] == history["val_accuracy"][-1]
    assert history["val_accuracy"][-1] > 0.96
