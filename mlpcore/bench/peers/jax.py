"""JAX as a contender: a jitted step in a Python loop, or a whole epoch scanned under jit."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np

from mlpcore.bench.contenders import Contender, library
from mlpcore.bench.workloads import LEARNING_RATE, Task


def step(task: Task, device: str) -> Contender:
    """A contender in which each step is one call of a jitted function that gathers its rows and adds up the loss."""
    jax = library("jax")

    def compiled(update: Callable) -> Callable:
        def step_and_add(state: Any, total: Any, x: Any, y: Any, order: Any, i: Any) -> Any:
            state, loss = update(state, x, y, jax.lax.dynamic_index_in_dim(order, i, keepdims=False))
            return state, total + loss

        jitted = jax.jit(step_and_add, donate_argnums=(0, 1))

        def epoch(state: Any, x: Any, y: Any, order: np.ndarray) -> tuple[Any, Any]:
            placed, total = jax.numpy.asarray(order), jax.numpy.zeros((), x.dtype)
            for i in range(len(order)):
                state, total = jitted(state, total, x, y, placed, i)
            return state, total

        return epoch

    return _contender(jax, task, device, "jax step", compiled)


def scan(task: Task, device: str) -> Contender:
    """A contender in which an epoch is one call: ``lax.scan`` over the batches."""
    jax = library("jax")

    def compiled(update: Callable) -> Callable:
        def epoch(state: Any, x: Any, y: Any, order: Any) -> tuple[Any, Any]:
            state, losses = jax.lax.scan(lambda state, rows: update(state, x, y, rows), state, order)
            return state, losses.sum()

        return jax.jit(epoch, donate_argnums=0)

    return _contender(jax, task, device, "jax scan", compiled)


def _contender(jax: Any, task: Task, device: str, name: str, compiled: Callable) -> Contender:
    """The contender with this compilation; row orders come from NumPy, which is faster than JAX on the CPU."""
    jnp, place = jax.numpy, jax.devices(device)[0]
    rng, workload = np.random.default_rng(0), task.workload

    def scope() -> Any:
        return jax.enable_x64(True) if task.dtype == "float64" else nullcontext()

    with scope():
        params = [tuple(_placed(jax, leaf, place) for leaf in pair) for pair in task.params]
        zeros = [jax.tree.map(jnp.zeros_like, params) for _ in range(2)]
        state = (params, *zeros, _placed(jax, np.zeros((), np.int32), place))
        x, y = _placed(jax, task.x, place), _placed(jax, task.y.astype(np.int32), place)
        update, forward = _mathematics(jax, task.precision)
        epoch, probabilities = compiled(update), jax.jit(lambda params, x: jax.nn.softmax(forward(params, x)))

    def train(epochs: int) -> None:
        nonlocal state
        with scope():
            for _ in range(epochs):
                order = rng.permutation(len(x)).astype(np.int32).reshape(workload.steps, workload.batch)
                state, total = epoch(state, x, y, order)
                float(total)  # the epoch's mean loss, which all contenders report
            jax.block_until_ready(state)

    def stepper(order: np.ndarray) -> Callable[[], None]:
        rows = _placed(jax, order.astype(np.int32), place)

        def steps() -> None:
            nonlocal state
            with scope():
                state, total = epoch(state, x, y, rows)
                float(total)
                jax.block_until_ready(state)

        return steps

    def predictor(rows: np.ndarray) -> Any:
        with scope():
            placed = _placed(jax, rows, place)

        def predict() -> Any:
            with scope():
                return jax.block_until_ready(probabilities(state[0], placed))

        return predict

    return Contender(name, train, predictor, lambda: [(np.array(w), np.array(b)) for w, b in state[0]], stepper)


def stack(task: Task, members: int, device: str) -> Callable[[np.ndarray], Callable[[], np.ndarray]]:
    """The stepper of many networks, ``vmap`` over a scan of steps: ``stepper(orders (members, steps, batch))``.

    All start from the task's parameters. A run returns the sums of the losses (members,).
    """
    jax = library("jax")
    place, update = jax.devices(device)[0], _mathematics(jax, task.precision)[0]
    x, y = _placed(jax, task.x, place), _placed(jax, task.y.astype(np.int32), place)
    params = [tuple(_placed(jax, np.stack([leaf] * members), place) for leaf in pair) for pair in task.params]
    zeros = [jax.tree.map(jax.numpy.zeros_like, params) for _ in range(2)]
    state = (params, *zeros, _placed(jax, np.zeros(members, np.int32), place))

    def epoch(state: Any, x: Any, y: Any, order: Any) -> tuple[Any, Any]:
        state, losses = jax.lax.scan(lambda state, rows: update(state, x, y, rows), state, order)
        return state, losses.sum()

    run = jax.jit(jax.vmap(epoch, in_axes=(0, None, None, 0)), donate_argnums=0)

    def stepper(orders: np.ndarray) -> Callable[[], np.ndarray]:
        rows = _placed(jax, orders.astype(np.int32), place)

        def steps() -> np.ndarray:
            nonlocal state
            state, totals = run(state, x, y, rows)
            jax.block_until_ready(state)
            return np.asarray(totals)

        return steps

    return stepper


def _placed(jax: Any, host: np.ndarray, place: Any) -> Any:
    """A copy in JAX's own memory: the state is donated to XLA, which must not overwrite the host's array."""
    return jax.numpy.array(host, copy=True, device=place)


def _mathematics(jax: Any, precision: str) -> tuple[Callable, Callable]:
    """``update(state, x, y, rows) -> (state, loss)`` by gradient and Adam, and ``forward(params, x)``.

    With the precision "bfloat16" the forward and backward passes are in bfloat16, as usual in JAX, with products summed
    in float32; parameters, loss and Adam stay in float32.
    """
    jnp = jax.numpy
    # On GPUs JAX's default is less precise than float32.
    products = {"highest": "highest", "tf32": "tensorfloat32", "bfloat16": "default"}[precision]

    def affine(x: Any, weight: Any, bias: Any) -> Any:
        return jnp.matmul(x, weight, precision=products) + bias

    def forward(params: Any, x: Any) -> Any:
        dtype = x.dtype
        if precision == "bfloat16":
            params, x = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), (params, x))
        for weight, bias in params[:-1]:
            x = jax.nn.relu(affine(x, weight, bias))
        return affine(x, *params[-1]).astype(dtype)

    def loss(params: Any, x: Any, y: Any) -> Any:
        logs = jax.nn.log_softmax(forward(params, x))
        return -jnp.mean(jnp.take_along_axis(logs, y[:, None], axis=1))

    def update(state: Any, x: Any, y: Any, rows: Any) -> tuple[Any, Any]:
        params, mean, square, count = state
        value, grads = jax.value_and_grad(loss)(params, x[rows], y[rows])
        count = count + 1
        mean = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, mean, grads)
        square = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, square, grads)
        first, second = (1 - beta ** count.astype(value.dtype) for beta in (0.9, 0.999))

        def moved(p: Any, m: Any, v: Any) -> Any:
            return p - LEARNING_RATE * (m / first) / (jnp.sqrt(v / second) + 1e-8)

        return (jax.tree.map(moved, params, mean, square), mean, square, count), value

    return update, forward
