"""Full-batch L-BFGS: SciPy's on NumPy, mlpcore's own, in Array API code, on other backends."""

import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.optimize
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.optimize import _check_optimize_result

from mlpcore.backends.transfer import move
from mlpcore.namespace import namespace
from mlpcore.numerics import weights_of_rows
from mlpcore.random import Stream
from mlpcore.sklearn.sparse import rows_at_a_time, rows_on_backend
from mlpcore.sklearn.stochastic import NOT_FINITE
from mlpcore.training.gradients import value_and_grad
from mlpcore.training.interruption import shared_interruption
from mlpcore.training.loop import Trainer
from mlpcore.trees import Layout
from mlpcore.typing import Array, Dataset


class Solved(NamedTuple):
    """The result: parameters, objective and number of iterations."""

    vector: Array
    loss: float
    iterations: int


def objective(trainer: Trainer, data: Dataset) -> Callable[[Array], tuple[Array, Array]]:
    """The function of the flat vector ``(..., P)``: the loss of all rows with its penalty, and its gradient.

    ``(sum_i w_i loss_i + l2/2 ||weight||^2) / sum_i w_i``, as in a training step, with weights of entries too. A sparse
    x, and data on the host, are moved to the backend in blocks of rows, whose sums are added up.
    """
    x, target, weights = data
    backend, layout, l2 = trainer.backend, trainer.layout, trainer.rules.l2
    xp = backend.xp
    sums = value_and_grad(trainer.net, trainer.loss)
    # Without random numbers: lbfgs allows no dropout. Rows are independent: it allows no batch normalization.
    noise = trainer.net.noise(Stream(0), tuple(x.shape), trainer.dtype)

    def loss_and_gradient(x: Array, target: Array, weights: Array, vector: Array) -> tuple[Array, Array]:
        value, _, grads, _ = sums(layout.view(vector), x, target, weights, noise)
        return value, layout.flat(grads)

    total = move(namespace(weights).sum(weights_of_rows(weights)), backend)
    trainer.compilation.decide(x.shape[0], x.shape[0], layout.size)
    compiled = backend.compile.function(loss_and_gradient, trainer.compilation, (0, 1, 2))

    def evaluate(vector: Array) -> tuple[Array, Array]:
        if backend.owns(x):
            value, g = compiled(x, target, weights, vector)
        else:
            value, g, count = 0.0, 0.0, rows_at_a_time(x)
            for start in range(0, x.shape[0], count):
                stop = min(start + count, x.shape[0])
                rows, targets, row_weights = (rows_on_backend(array, start, stop, backend) for array in data)
                block_value, block_gradient = loss_and_gradient(rows, targets, row_weights, vector)
                value, g = value + block_value, g + block_gradient
        decayed = vector[: layout.decayed]
        shrinkage = l2 * decayed
        penalty_gradient = xp.concat([shrinkage, xp.zeros_like(vector[layout.decayed :])])
        return (value + 0.5 * xp.sum(shrinkage * decayed)) / total, (g + penalty_gradient) / total

    return evaluate


def train(trainer: Trainer, data: Dataset, *, max_iter: int, max_fun: int, tol: float, verbose: bool) -> Solved:
    """Minimise the objective, starting at the trainer's parameters, which are then replaced by the result.

    Training ends when no entry of the gradient is larger than ``tol``. ConvergenceWarning where training ends
    before that, for example at the limit of iterations. Ctrl-C ends training with the last iterate and a warning.
    ValueError where the parameters or the objective are not finite.
    """
    with trainer.one_thread.training("fit"):
        return _train(trainer, data, Limits(max_iter, max_fun, tol), verbose)


def _train(trainer: Trainer, data: Dataset, limits: "Limits", verbose: bool) -> Solved:
    function = objective(trainer, data)
    start, xp = trainer.state.params + 0, trainer.backend.xp
    last = Solved(start, math.nan, 0)

    def report(vector: Array, loss: float) -> None:
        nonlocal last
        last = Solved(vector, loss, last.iterations + 1)
        if verbose:
            print(f"Iteration {last.iterations}, loss = {loss:.8f}")
        if shared_interruption():
            raise KeyboardInterrupt

    method = _with_scipy if trainer.backend.name == "numpy" else _on_device
    try:
        last = method(function, start, trainer.layout, limits, report)
        finite = math.isfinite(last.loss)
    except KeyboardInterrupt:
        warnings.warn("Training interrupted by user.", stacklevel=6)
        finite = True  # before the first iteration there is no loss
    if not (finite and bool(xp.all(xp.isfinite(last.vector)))):
        raise ValueError(NOT_FINITE)
    trainer.state = trainer.state._replace(params=last.vector)
    return last


class Limits(NamedTuple):
    """The limits of iterations and evaluations, and the tolerance."""

    max_iter: int
    max_fun: int
    tol: float


def _with_scipy(function: Callable, start: np.ndarray, layout: Layout, limits: Limits, report: Callable) -> Solved:
    """SciPy's L-BFGS-B on a float64 vector without the layout's padding, as scikit-learn runs it."""
    used = np.concatenate([np.arange(slot.start, slot.stop) for slot in layout.slots.values()])

    def padded(packed: np.ndarray) -> np.ndarray:
        vector = np.zeros_like(start)
        vector[used] = packed
        return vector

    def values(packed: np.ndarray) -> tuple[float, np.ndarray]:
        loss, g = function(padded(packed))
        return float(loss), g[used].astype(np.float64)

    def callback(intermediate_result: Any) -> None:
        report(padded(intermediate_result.x), float(intermediate_result.fun))

    result = scipy.optimize.minimize(
        values,
        start[used].astype(np.float64),
        method="L-BFGS-B",
        jac=True,
        options={"maxfun": limits.max_fun, "maxiter": limits.max_iter, "gtol": limits.tol},
        callback=callback,
    )
    iterations = _check_optimize_result("lbfgs", result, limits.max_iter)
    return Solved(padded(result.x), float(result.fun), iterations)


def _on_device(function: Callable, start: Array, layout: Layout, limits: Limits, report: Callable) -> Solved:
    """mlpcore's L-BFGS, with its vectors on the device of ``start``. The padding has no gradient and stays zero."""
    from mlpcore.training.lbfgs import minimize

    result = minimize(
        function,
        start,
        max_iterations=limits.max_iter,
        max_evaluations=limits.max_fun,
        tolerance=limits.tol,
        callback=lambda minimum: report(minimum.x, minimum.value),
    )
    if not result.converged:
        warnings.warn(
            f"lbfgs failed to converge after {result.iterations} iteration(s): {result.message}\n\nIncrease the "
            f"number of iterations to improve the convergence (max_iter={limits.max_iter}), or scale the data.",
            ConvergenceWarning,
            stacklevel=2,
        )
    return Solved(result.x, result.value, result.iterations)
