"""The training loops of the contenders of `benchmarks.cold_start`, including their imports."""

from collections.abc import Callable
from typing import Any

import numpy as np

HIDDEN, BATCH, EPOCHS, RATE, L2, TIMEOUT, TOLERANCE = 100, 200, 200, 1e-3, 1e-4, 10, 1e-4
Trained = tuple[Callable[[np.ndarray], np.ndarray], int]  # the predictor of labels, and the number of epochs


class Stopping:
    """scikit-learn's rule: ``over`` after EPOCHS, or after TIMEOUT + 1 that did not lower the loss by TOLERANCE."""

    def __init__(self) -> None:
        self.epochs, self.best, self.without, self.over = 0, np.inf, 0, False

    def see(self, loss: float) -> None:
        """Record the mean loss of another epoch."""
        self.epochs += 1
        self.without = self.without + 1 if loss > self.best - TOLERANCE else 0
        self.best = min(self.best, loss)
        self.over = self.epochs == EPOCHS or self.without > TIMEOUT


def by_sklearn(x: np.ndarray, y: np.ndarray) -> Trained:
    """scikit-learn's estimator at its defaults."""
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier(random_state=0).fit(x, y)
    return model.predict, model.n_iter_


def by_mlpcore(x: np.ndarray, y: np.ndarray) -> Trained:
    """mlpcore's estimator at the same defaults."""
    from mlpcore.sklearn import MLPClassifier

    model = MLPClassifier(random_state=0).fit(x, y)
    return model.predict, model.n_iter_


def by_torch(x: np.ndarray, y: np.ndarray) -> Trained:
    """PyTorch in an eager loop."""
    import torch

    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Linear(x.shape[1], HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, int(y.max()) + 1)
    )
    optimizer = torch.optim.Adam(net.parameters(), lr=RATE)
    rows, labels = torch.from_numpy(x), torch.from_numpy(y.astype(np.int64))
    batch, stopping = min(BATCH, len(x)), Stopping()
    while not stopping.over:
        total = torch.zeros(())
        for batch_rows in torch.randperm(len(x)).split(batch):
            optimizer.zero_grad()
            penalty = sum((layer.weight**2).sum() for layer in (net[0], net[2])) * (L2 / 2 / len(batch_rows))
            loss = torch.nn.functional.cross_entropy(net(rows[batch_rows]), labels[batch_rows]) + penalty
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(batch_rows)
        stopping.see(total.item() / len(x))
    return lambda rows: net(torch.from_numpy(rows)).argmax(dim=1).numpy(), stopping.epochs


def by_jax(x: np.ndarray, y: np.ndarray) -> Trained:
    """JAX: the batches of an epoch scanned under jit, and another jitted step for the smaller last batch."""
    import jax
    import jax.numpy as jnp

    def forward(params: Any, x: Any) -> Any:
        (weight, bias), (last, end) = params
        return jax.nn.relu(x @ weight + bias) @ last + end

    def objective(params: Any, x: Any, y: Any) -> Any:
        logs = jnp.take_along_axis(jax.nn.log_softmax(forward(params, x)), y[:, None], axis=1)
        return -logs.mean() + L2 / 2 / len(x) * sum((weight**2).sum() for weight, _ in params)

    def step(state: Any, rows: Any) -> Any:
        params, first, second, count = state
        value, grads = jax.value_and_grad(objective)(params, x[rows], y[rows])
        count = count + 1
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, grads)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, grads)
        rate = RATE * jnp.sqrt(1 - 0.999**count) / (1 - 0.9**count)
        params = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + 1e-8), params, first, second)
        return (params, first, second, count), value * len(rows)

    rng = np.random.default_rng(0)
    params = []
    for n_in, n_out in ((x.shape[1], HIDDEN), (HIDDEN, int(y.max()) + 1)):
        bound = np.sqrt(6 / (n_in + n_out))
        params.append((jnp.array(rng.uniform(-bound, bound, (n_in, n_out)), jnp.float32), jnp.zeros(n_out)))
    batch, stopping = min(BATCH, len(x)), Stopping()
    full_batches = len(x) // batch * batch
    scan, last = jax.jit(lambda state, order: jax.lax.scan(step, state, order)), jax.jit(step)
    zeros = jax.tree.map(jnp.zeros_like, params)
    x, y = jnp.array(x), jnp.array(y, jnp.int32)
    state = (params, zeros, zeros, jnp.zeros(()))
    while not stopping.over:
        order = rng.permutation(len(x)).astype(np.int32)
        state, values = scan(state, order[:full_batches].reshape(-1, batch))
        total = values.sum()
        if full_batches < len(x):
            state, value = last(state, order[full_batches:])
            total = total + value
        stopping.see(float(total) / len(x))
    return lambda rows: np.asarray(forward(state[0], rows).argmax(axis=1)), stopping.epochs


LOOPS = {"scikit-learn": by_sklearn, "mlpcore": by_mlpcore, "torch": by_torch, "jax": by_jax}
