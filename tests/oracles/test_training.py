"""Whole training runs on digits against a plain torch loop: same initial weights, same rows in every step."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from optional import optional

from mlpcore.layers import Linear, ReLU, Sequential, Tanh
from mlpcore.losses import SoftmaxCrossEntropy, SquaredError
from mlpcore.model import Model
from mlpcore.optimizers import SGD, Adam, AdamW
from mlpcore.random import Stream
from mlpcore.training.orders import shuffled
from mlpcore.trees import named_leaves

torch = optional("torch")
datasets = optional("sklearn.datasets")
pytestmark = pytest.mark.oracle

NET = Sequential(Linear(64, 32), ReLU(), Linear(32, 16), Tanh(), Linear(16, 10))
EPOCHS, BATCH, SEED = 6, 100, 3  # 1797 rows: the last batch of an epoch has 97


def split(net: Any) -> tuple[list, list]:
    """torch's weights, and its biases."""
    named = list(net.named_parameters())
    return [p for n, p in named if n.endswith("weight")], [p for n, p in named if n.endswith("bias")]


def decayed(net: Any) -> Any:
    weights, biases = split(net)
    groups = [{"params": weights, "weight_decay": 0.05}, {"params": biases, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=2e-3)


CASES: dict[str, tuple[Any, Callable[[Any], Any], dict[str, float]]] = {
    "SGD, momentum": (SGD(0.05, momentum=0.9), lambda net: torch.optim.SGD(net.parameters(), 0.05, momentum=0.9), {}),
    "SGD, Nesterov": (
        SGD(0.05, momentum=0.9, nesterov=True),
        lambda net: torch.optim.SGD(net.parameters(), 0.05, momentum=0.9, nesterov=True),
        {},
    ),
    "Adam": (Adam(2e-3), lambda net: torch.optim.Adam(net.parameters(), lr=2e-3), {}),
    "AdamW, decay on weights only": (AdamW(2e-3, weight_decay=0.05), decayed, {}),
    "Adam, clipped by norm": (Adam(2e-3), lambda net: torch.optim.Adam(net.parameters(), lr=2e-3), {"clip_norm": 0.5}),
}


def digits(dtype: str) -> tuple[np.ndarray, np.ndarray]:
    x, y = datasets.load_digits(return_X_y=True)
    return (x / 16).astype(dtype), y


def plain_torch(model: Model, make_optimizer: Callable, dtype: str, clip: float | None) -> tuple[list[float], Any]:
    """The loss of every epoch, the mean over its rows; the network starts from the model's weights."""
    kind = getattr(torch, dtype)
    net = torch.nn.Sequential(
        torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 16), torch.nn.Tanh(), torch.nn.Linear(16, 10)
    ).to(kind)
    with torch.no_grad():
        for name, leaf in named_leaves(model.params):
            place, _, key = name.partition(".")
            getattr(net[int(place)], key).copy_(torch.asarray(np.array(leaf.T)))
    optimizer, criterion = make_optimizer(net), torch.nn.CrossEntropyLoss()
    x, y = map(torch.asarray, digits(dtype))
    order, curve = shuffled(SEED, len(y)), []
    for epoch in range(EPOCHS):
        total = 0.0
        for rows in torch.asarray(order(epoch)).split(BATCH):
            optimizer.zero_grad()
            loss = criterion(net(x[rows]), y[rows])
            loss.backward()
            if clip is not None:
                norm = torch.nn.utils.get_total_norm([p.grad for p in net.parameters()])
                for p in net.parameters():  # not clip_grad_norm_, which adds 1e-6 to the norm
                    p.grad *= clip / max(norm, clip)
            optimizer.step()
            total += loss.item() * len(rows)
        curve.append(total / len(y))
    return curve, net


@pytest.mark.parametrize(("dtype", "rtol"), [("float32", 1e-5), ("float64", 1e-10)])
@pytest.mark.parametrize("case", CASES)
def test_a_whole_run_has_the_loss_curve_of_torch(case: str, dtype: str, rtol: float) -> None:
    optimizer, make_optimizer, rules = CASES[case]
    model = Model(NET, SoftmaxCrossEntropy(), optimizer, dtype=dtype, seed=SEED, **rules)
    curve, net = plain_torch(model, make_optimizer, dtype, rules.get("clip_norm"))
    x, y = digits(dtype)
    history = model.fit(x, y, epochs=EPOCHS, batch_size=BATCH)
    np.testing.assert_allclose(history.loss, curve, rtol=rtol)
    assert history.loss[-1] < 0.4 * history.loss[0]
    with torch.no_grad():
        expected = torch.softmax(net(torch.asarray(x)), dim=-1).numpy()
    np.testing.assert_allclose(model.predict(x), expected, rtol=0, atol=10 * rtol)


def test_torch_compile_changes_rounding_only() -> None:
    """``compile=True`` on the torch backend: the same plain step under torch's own compiler."""
    net = Sequential(Linear(4, 5), Tanh(), Linear(5, 2))
    x = Stream(1).normal((16, 4))
    states = []
    for words in ({"compile": True}, {}):
        model = Model(net, SquaredError(), backend="torch", dtype="float64", **words)
        model.fit(x, x[:, :2], epochs=2, batch_size=8)
        states.append((model.compiled.kind, model.backend.to_numpy(model.trainer.state.params)))
    assert [kind for kind, _ in states] == ["torch.compile", "eager"]
    np.testing.assert_allclose(states[0][1], states[1][1], rtol=1e-12, atol=1e-14)
