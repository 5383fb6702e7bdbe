"""Compares work on many networks at once with the same work one network after the other, and with other libraries.

Run ``python -m benchmarks.stacks WORK``; ``--help`` lists the works. Contenders alternate in every round. Times are
medians over the rounds, ratios medians of the ratios of each round.
"""

import argparse
import statistics
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier as Theirs

import mlpcore as mc
from mlpcore.bench.measure import alternate, repeat
from mlpcore.sklearn import MLPClassifier, StackedSearchCV

GRID = {"alpha": [1e-5, 1e-4, 1e-3, 1e-2], "learning_rate_init": [1e-3, 2e-3, 5e-3, 1e-2], "beta_1": [0.9, 0.95]}


def shown(runs: Mapping[str, Callable[[], Any]], rounds: int) -> None:
    """Measure, and print a line for each run, with its time relative to that of the first."""
    samples = alternate({name: repeat(run) for name, run in runs.items()}, rounds, seconds=0.0)
    first = next(iter(samples.values()))
    for name, times in samples.items():
        ratio = statistics.median(time / base for time, base in zip(times, first, strict=True))
        print(f"{name:44} {statistics.median(times):8.2f} s {ratio:8.2f} x", flush=True)


def search(arguments: argparse.Namespace) -> None:
    """A grid of 32 candidates on 5 folds of the digits, one hidden layer, float32; the same scores in all of ours."""
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32)
    words = {"hidden_layer_sizes": (arguments.hidden,), "max_iter": arguments.epochs, "random_state": 0}
    ours, theirs = MLPClassifier(compile=arguments.compile, **words), Theirs(**words)
    count = arguments.jobs
    searches = {
        "StackedSearchCV, mlpcore": StackedSearchCV(ours, GRID, cv=5, refit=False),
        "GridSearchCV, mlpcore, n_jobs=1": GridSearchCV(ours, GRID, cv=5, refit=False),
        f"GridSearchCV, mlpcore, n_jobs={count}": GridSearchCV(ours, GRID, cv=5, refit=False, n_jobs=count),
        f"GridSearchCV, scikit-learn, n_jobs={count}": GridSearchCV(theirs, GRID, cv=5, refit=False, n_jobs=count),
    }
    shown({name: partial(one.fit, x, y) for name, one in searches.items()}, arguments.rounds)
    for name, one in searches.items():
        print(f"{name:44} best score {one.best_score_:.4f}, {one.best_params_}")


def digits(arguments: argparse.Namespace) -> None:
    """64 networks 64-100-10 on the digits in batches of 200, against fits of scikit-learn in processes."""
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32)
    net = mc.Sequential(mc.Linear(64, 100), mc.ReLU(), mc.Linear(100, 10))
    fit = {"epochs": arguments.epochs, "batch_size": 200}
    stack, alone = (_models(arguments.networks, net, mc.SoftmaxCrossEntropy()) for _ in range(2))
    words = {"batch_size": 200, "max_iter": arguments.epochs, "tol": 0.0, "n_iter_no_change": 10**6}
    theirs = [Theirs((100,), random_state=seed, **words) for seed in range(arguments.networks)]
    workers = Parallel(arguments.jobs)
    runs = {
        "mc.Stack": partial(mc.Stack(stack).fit, x, y, **fit),
        "the same fits, one after the other": lambda: [model.fit(x, y, **fit) for model in alone],
        f"scikit-learn, {arguments.jobs} processes": lambda: workers(delayed(_fit)(one, x, y) for one in theirs),
    }
    shown(runs, arguments.rounds)


def tiny(arguments: argparse.Namespace) -> None:
    """1,000 networks 8-16-1 on 2,000 rows in batches of 32 with Adam, against JAX's vmap over a scan of steps."""
    random = np.random.default_rng(0)
    x = random.normal(size=(2000, 8)).astype(np.float32)
    y = np.sin(x[:, :1])
    net = mc.Sequential(mc.Linear(8, 16), mc.Tanh(), mc.Linear(16, 1))
    fit = {"epochs": arguments.epochs, "batch_size": 32}
    stack, alone = (_models(arguments.networks, net, mc.SquaredError()) for _ in range(2))
    runs = {
        "mc.Stack": partial(mc.Stack(stack).fit, x, y, **fit),
        "the same fits, one after the other": lambda: [model.fit(x, y, **fit) for model in alone],
        "JAX, vmap over a scan": partial(_jax_stack(arguments.networks, x, y, 32), arguments.epochs),
    }
    shown(runs, arguments.rounds)


def device(arguments: argparse.Namespace) -> None:
    """64 networks 64-256-256-10 on CuPy, 20,000 rows in batches of 128, against one of them and one after the other."""
    random = np.random.default_rng(0)
    x = random.normal(size=(20_000, 64)).astype(np.float32)
    y = np.argmax(x @ random.normal(size=(64, 10)), axis=1)
    net = mc.Sequential(mc.Linear(64, 256), mc.ReLU(), mc.Linear(256, 256), mc.ReLU(), mc.Linear(256, 10))
    fit = {"epochs": arguments.epochs, "batch_size": 128}
    stack, alone = (_models(arguments.networks, net, mc.SoftmaxCrossEntropy(), backend="cupy") for _ in range(2))
    runs = {
        "one network": partial(alone[0].fit, x, y, **fit),
        f"mc.Stack of {arguments.networks}": partial(mc.Stack(stack).fit, x, y, **fit),
        "the same fits, one after the other": lambda: [model.fit(x, y, **fit) for model in alone],
    }
    shown(runs, arguments.rounds)


def _models(count: int, net: Any, loss: Any, **words: Any) -> list[mc.Model]:
    return [mc.Model(net, loss, mc.Adam(1e-3), seed=seed, compile=True, **words) for seed in range(count)]


def _fit(estimator: Any, x: np.ndarray, y: np.ndarray) -> None:
    warnings.simplefilter("ignore", ConvergenceWarning)
    estimator.fit(x, y)


def _jax_stack(count: int, x: np.ndarray, y: np.ndarray, batch: int) -> Callable[[int], None]:
    """The function ``train(epochs)`` of networks 8-16-1 in JAX, each with its own order; a ragged batch is left out."""
    import jax
    from jax import numpy as jnp

    random, steps = np.random.default_rng(0), x.shape[0] // batch
    sizes = ((8, 16), (16, 1))
    bounds = [(6 / sum(size)) ** 0.5 for size in sizes]
    weights = [random.uniform(-b, b, (count, *size)) for b, size in zip(bounds, sizes, strict=True)]
    params = [(jnp.asarray(w, jnp.float32), jnp.zeros((count, w.shape[-1]))) for w in weights]
    rows, targets = jnp.asarray(x), jnp.asarray(y)

    def loss(params: Any, x: Any, y: Any) -> Any:
        (w1, b1), (w2, b2) = params
        return jnp.mean((jnp.tanh(x @ w1 + b1) @ w2 + b2 - y) ** 2)

    def step(state: Any, numbers: Any) -> Any:
        params, first, second, count = state
        grads = jax.grad(loss)(params, rows[numbers], targets[numbers])
        count = count + 1
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, grads)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, grads)
        sizes = 1 - 0.9**count, 1 - 0.999**count
        params = jax.tree.map(
            lambda p, m, v: p - 1e-3 * (m / sizes[0]) / (jnp.sqrt(v / sizes[1]) + 1e-8), params, first, second
        )
        return (params, first, second, count), None

    run = jax.jit(jax.vmap(lambda state, order: jax.lax.scan(step, state, order)[0]))
    state = (params, *(jax.tree.map(jnp.zeros_like, params) for _ in range(2)), jnp.zeros(count))

    def train(epochs: int) -> None:
        nonlocal state
        for _ in range(epochs):
            order = np.argsort(random.random((count, x.shape[0])), axis=1)[:, : steps * batch]
            state = run(state, jnp.asarray(order.reshape(count, steps, batch)))
        jax.block_until_ready(state)

    train(1)
    return train


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    works = parser.add_subparsers(required=True, metavar="WORK")
    work = works.add_parser("search", help=search.__doc__)
    work.set_defaults(run=search)
    work.add_argument("--hidden", type=int, default=50)
    work.add_argument("--epochs", type=int, default=30)
    work.add_argument("--jobs", type=int, default=2, help="processes of GridSearchCV")
    work.add_argument("--auto", dest="compile", action="store_const", const="auto", default=True, help="compile='auto'")
    work.add_argument("--rounds", type=int, default=3)
    for run, networks, epochs in ((digits, 64, 50), (tiny, 1000, 10), (device, 64, 10)):
        work = works.add_parser(run.__name__, help=run.__doc__)
        work.set_defaults(run=run)
        work.add_argument("--networks", type=int, default=networks)
        work.add_argument("--epochs", type=int, default=epochs)
        work.add_argument("--jobs", type=int, default=2, help="processes of scikit-learn")
        work.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    arguments.run(arguments)


if __name__ == "__main__":
    main()
