"""Fits an estimator: from checked data and arguments to a trained model and the fitted attributes."""

from numbers import Integral
from typing import Any

from mlpcore.layers import Sequential
from mlpcore.model import Model
from mlpcore.random import Stream
from mlpcore.sklearn import fullbatch, translation
from mlpcore.sklearn.constraints import FULL_BATCH
from mlpcore.sklearn.draws import Draws
from mlpcore.sklearn.minibatch import fit_in_batches
from mlpcore.sklearn.predictor import tree_from, tree_parts
from mlpcore.sklearn.problem import DeviceAndDtype, Problem, Start
from mlpcore.sklearn.warm_start import earlier_tree, rollback
from mlpcore.typing import Params


def fit(estimator: Any, problem: Problem, place: DeviceAndDtype, *, first: bool, once: bool) -> dict[str, Any]:
    """Train the estimator; returns the fitted attributes by name.

    With ``first`` training starts from drawn parameters, otherwise from those of the estimator. ``once`` means a
    ``partial_fit``.
    """
    with place.backend.scope(place.dtype):
        n_in, n_out = problem.x.shape[1], problem.loss.outputs(problem.targets)
        net = translation.network(estimator, n_in, n_out)
        before = getattr(estimator, "_optimizer", None)
        earlier_draws = None if first or before is None or estimator.compat == "sklearn" else before.draws
        draws = earlier_draws or Draws(estimator.random_state)
        if first:
            tree = initial_tree(estimator, net, n_in, n_out, draws, place.dtype)
        else:
            tree = earlier_tree(estimator, net, n_in, n_out)
        start = Start(estimator, problem, place, net, tree, draws)
        with rollback(None if first else before, draws_too=isinstance(estimator.random_state, Integral)):
            if estimator.solver == FULL_BATCH:
                model, attributes = _fit_in_full(start)
            else:
                model, attributes = fit_in_batches(start, before, first, once)
            return attributes | start.network(model)


def initial_tree(estimator: Any, net: Sequential, n_in: int, n_out: int, draws: Draws, dtype: str) -> Params:
    """The initial parameters: drawn weights and biases, and the initial parameters of other layers."""
    units = [n_in, *translation.hidden_sizes(estimator), n_out]
    linear = draws.parameters(units, translation.initial_factors(estimator), dtype)
    other_params = tree_parts(net, net.init(Stream(0), dtype))[2]
    return tree_from(net, [weight for weight, _ in linear], [bias for _, bias in linear], other_params)


def _fit_in_full(start: Start) -> tuple[Model, dict[str, Any]]:
    """The model trained by full-batch L-BFGS, and the fitted attributes by name."""
    estimator, model = start.estimator, start.model(steps=1, seed=0)
    solved = fullbatch.train(
        model.trainer,
        start.data(),
        max_iter=estimator.max_iter,
        max_fun=estimator.max_fun,
        tol=float(estimator.tol),
        verbose=bool(estimator.verbose),
    )
    return model, {"n_iter_": solved.iterations, "loss_": solved.loss, "t_": 0}
