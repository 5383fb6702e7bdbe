"""One fit: checked data and the estimator's arguments to a trained model and the fitted attributes that tell of it."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import issparse

from mlpcore.backends.backend import Backend
from mlpcore.backends.transfer import to_backend
from mlpcore.layers import Dropout, Sequential
from mlpcore.model import Model
from mlpcore.random import Stream
from mlpcore.sklearn import fullbatch, translation
from mlpcore.sklearn.constraints import FULL_BATCH
from mlpcore.sklearn.draws import Draws
from mlpcore.sklearn.runtime import Runtime, on_host, tree_from, tree_parts
from mlpcore.sklearn.sparse import densified
from mlpcore.sklearn.stochastic import Batches, FitLog, FitPlan, WarmStart, rollback, train
from mlpcore.sklearn.stopping import Rate, StoppingRule, going_on
from mlpcore.sklearn.validation import HeldOut, validator
from mlpcore.training.callbacks import check_callbacks
from mlpcore.training.ingest import ingest_target
from mlpcore.training.progress import Progress
from mlpcore.trees import tree_map
from mlpcore.typing import Loss, Params


class Problem(NamedTuple):
    """What is to be learnt: x as the backend or as CSR takes it, the target as the loss takes it, both with all rows;
    row weights on the host or None; ``y`` as a score takes it. ``given`` is validation data of the same kind."""

    x: Any
    target: np.ndarray
    weights: np.ndarray | None
    y: Any
    loss: Loss
    targets: int  # columns, or classes
    stratify: dict[str, Any]
    columns: int  # of the target, as n_outputs_ counts them
    given: "Problem | None" = None


class DeviceAndDtype(NamedTuple):
    """Where and in what dtype it is computed; ``name`` is library and device of X."""

    backend: Backend
    dtype: str
    name: tuple[str, str]


def placed(problem: Problem, outputs: int, place: DeviceAndDtype) -> tuple:
    """``(x, target, weights)`` on the backend; a sparse x stays on the host."""
    backend, dtype = place.backend, place.dtype
    rows = problem.x.shape[0]
    x = problem.x.astype(dtype, copy=False) if issparse(problem.x) else to_backend(problem.x, backend, dtype)
    target = ingest_target(problem.target, rows, problem.loss, outputs, backend, dtype)
    weights = np.ones(rows) if problem.weights is None else problem.weights
    return x, target, backend.asarray(weights, dtype=backend.dtypes[dtype])


def initial_tree(estimator: Any, net: Sequential, n_in: int, n_out: int, draws: Draws, dtype: str) -> Params:
    """Drawn weights and biases; the other layers' parameters as they begin."""
    units = [n_in, *translation.hidden_sizes(estimator), n_out]
    drawn = draws.parameters(units, translation.initial_factors(estimator), dtype)
    others = tree_parts(net, net.init(Stream(0), dtype))[2]
    return tree_from(net, [weight for weight, _ in drawn], [bias for _, bias in drawn], others)


def fit(estimator: Any, problem: Problem, place: DeviceAndDtype, *, first: bool, once: bool) -> dict[str, Any]:
    """Train, and return the fitted attributes by name.

    ``first`` begins with drawn parameters, otherwise the estimator's own go on; ``once`` is a ``partial_fit``.
    """
    with place.backend.scope(place.dtype):
        n_in, n_out = problem.x.shape[1], problem.loss.outputs(problem.targets)
        net = translation.network(estimator, n_in, n_out)
        memory = getattr(estimator, "_optimizer", None)
        kept = None if first or memory is None or estimator.compat == "sklearn" else memory.draws
        draws = kept or Draws(estimator.random_state)
        if first:
            tree = initial_tree(estimator, net, n_in, n_out, draws, place.dtype)
        else:
            coefs, intercepts = on_host((tuple(estimator.coefs_), tuple(estimator.intercepts_)))
            _check_units([n_in, *translation.hidden_sizes(estimator), n_out], coefs)
            tree = tree_from(net, coefs, intercepts, _others(estimator, net))
        solve = _in_full if estimator.solver == FULL_BATCH else _in_batches
        with rollback(None if first else memory, draws_too=isinstance(estimator.random_state, Integral)):
            model, attributes = solve(estimator, problem, place, net, tree, draws, memory, first, once)
        state = model.trainer.state
        running = tuple(leaf + 0 for leaf in state.statistics)
        coefs, intercepts, others = tree_parts(net, model.layout.view(state.params + 0, running))
    attributes |= {"coefs_": coefs, "intercepts_": intercepts, "n_layers_": len(coefs) + 1}
    attributes["_runtime"] = Runtime(
        *(net, problem.loss, others, place.backend, place.dtype, place.name), model.compiled
    )
    return attributes


def _check_units(asked: list[int], coefs: Sequence[np.ndarray]) -> None:
    """A ValueError where the arguments or the data ask for another network than the one that is to go on."""
    fitted = [*(weight.shape[0] for weight in coefs), coefs[-1].shape[1]]
    if asked != fitted:
        raise ValueError(
            f"hidden_layer_sizes, loss and data ask for layers of {asked} units, but the fitted network, with which "
            f"warm_start and partial_fit go on, has {fitted}; fit with warm_start=False, or a clone of the estimator"
        )


def _others(estimator: Any, net: Sequential) -> Sequence[Params]:
    """The parameters of the layers that are not Linear, of the last fit; fresh ones where only coefs_ were given."""
    runtime = getattr(estimator, "_runtime", None)
    if runtime is None or runtime.net != net:
        return tree_parts(net, net.init(Stream(0), "float64"))[2]
    return on_host(tuple(runtime.others))


def _model(
    estimator: Any, problem: Problem, place: DeviceAndDtype, net: Sequential, tree: Params, steps: int, seed: int
) -> Model:
    """A model to train, with the tree's numbers; the seed is that of the masks of dropout."""
    return Model(
        net,
        translation.reported(problem.loss, estimator.compat),
        translation.optimizer(estimator, steps),
        backend=place.backend,
        dtype=place.dtype,
        seed=seed,
        params=tree,
        compile=estimator.compile,
        **translation.rules(estimator),
    )


def _in_full(
    estimator: Any, problem: Problem, place: DeviceAndDtype, net: Sequential, tree: Params, draws: Draws, *rest: Any
) -> tuple[Model, dict[str, Any]]:
    """L-BFGS."""
    model = _model(estimator, problem, place, net, tree, 1, 0)
    solved = fullbatch.solve(
        model,
        placed(problem, problem.loss.outputs(problem.targets), place),
        max_iter=estimator.max_iter,
        max_fun=estimator.max_fun,
        tol=float(estimator.tol),
        verbose=bool(estimator.verbose),
    )
    model.trainer.state = model.trainer.state._replace(params=solved.vector)
    return model, {"n_iter_": solved.iterations, "loss_": solved.loss, "t_": 0}


def _in_batches(
    estimator: Any,
    problem: Problem,
    place: DeviceAndDtype,
    net: Sequential,
    tree: Params,
    draws: Draws,
    memory: WarmStart | None,
    first: bool,
    once: bool,
) -> tuple[Model, dict[str, Any]]:
    """Epochs of batches."""
    held_out, rows = _split(estimator, problem, draws)
    batch_size = _batch_size(estimator, rows.size)
    steps = -(-rows.size // batch_size) * int(estimator.max_iter)
    now, factor = None, 1.0
    if not first and memory is not None and memory.model is not None and (once or estimator.compat is None):
        fresh = _model(estimator, problem, place, net, tree, steps, memory.model.seed)
        if estimator.compat == "sklearn" or fresh.optimizer.learning_rate == memory.model.optimizer.learning_rate:
            now, factor = memory.learning_rate, memory.factor  # not where another rate was set since
        model = _gone_on(fresh, memory.model, tree)
    else:
        random = any(isinstance(layer, Dropout) for layer in net.layers)
        model = _model(estimator, problem, place, net, tree, steps, draws.seed() if random else 0)
    rule = estimator.learning_rate if translation.decays(estimator) else "constant"
    rate = Rate(rule, float(estimator.learning_rate_init), float(estimator.power_t), now, factor)
    stopping = StoppingRule(bool(estimator.early_stopping), float(estimator.tol), float(estimator.n_iter_no_change))
    log = FitLog()
    if not first:
        stopping, log.loss_curve = going_on(stopping, estimator), list(getattr(estimator, "loss_curve_", ()))
        log.rows_seen = getattr(estimator, "t_", 0)
        log.validation_loss_curve = getattr(estimator, "validation_loss_curve_", None)
    if first or estimator.compat is None:  # scikit-learn's warm start overwrites the best weights of the fit before
        stopping.begin(model)
    data = placed(problem, problem.loss.outputs(problem.targets), place)
    if issparse(data[0]) and not getattr(model.trainer.run, "densifies", False):
        model.trainer.run = densified(model.trainer.run, place.backend)
    weights = np.ones(data[0].shape[0]) if problem.weights is None else problem.weights
    validate = None if held_out is None else validator(estimator, held_out, problem.loss, place)
    columns = ["loss", "learning_rate", "rows_per_second"]
    columns += [] if validate is None else ["val_loss", "val_score"]
    callbacks = [*estimator.callbacks, *([Progress()] if estimator.progress else [])]
    plan = FitPlan(
        max_iter=int(estimator.max_iter),
        shuffle=bool(estimator.shuffle),
        once=once,
        verbose=bool(estimator.verbose),
        callbacks=check_callbacks(callbacks, columns),
        validate=validate,
    )
    train(model, Batches(data, weights, rows, batch_size), draws, plan, rate, stopping, log)
    goes_on = once or estimator.warm_start or estimator.compat == "sklearn"
    attributes: dict[str, Any] = {
        "n_iter_": log.epochs,
        "t_": log.rows_seen,
        "loss_curve_": log.loss_curve,
        "validation_loss_curve_": log.validation_loss_curve,
        "best_loss_": None if stopping.early_stopping else stopping.best_loss,
        "validation_scores_": stopping.scores if stopping.early_stopping else None,
        "best_validation_score_": stopping.best_score if stopping.early_stopping else None,
        "_no_improvement_count": stopping.count,
        "_optimizer": WarmStart(model if goes_on else None, draws if goes_on else None, rate.now, rate.factor),
    }
    if log.loss_curve:
        attributes["loss_"] = log.loss_curve[-1]
    return model, attributes


def _batch_size(estimator: Any, rows: int) -> int:
    if estimator.batch_size == "auto":
        return min(200, rows)
    if estimator.batch_size > rows:
        warnings.warn(
            "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=6
        )
    return min(int(estimator.batch_size), rows)


def _split(estimator: Any, problem: Problem, draws: Draws) -> tuple["HeldOut | None", np.ndarray]:
    """What is held out to look at, if anything, and the numbers of the rows to train on."""
    everything = np.arange(problem.x.shape[0])
    if problem.given is not None:
        given = problem.given
        return HeldOut(given.x, given.target, given.weights, given.y), everything
    if not estimator.early_stopping:
        return None, everything
    rows, held = draws.held_out(everything.size, float(estimator.validation_fraction), **problem.stratify)
    if held.size < 2:
        raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of your dataset.")
    for part, numbers in (("held out for early stopping", held), ("left to train on", rows)):
        if problem.weights is not None and not problem.weights[numbers].any():
            raise ValueError(f"all {numbers.size} rows {part} have weight 0; pass validation_data, or drop such rows")
    return HeldOut.of(problem, held), rows


def _gone_on(fresh: Model, old: Model, tree: Params) -> Model:
    """A model with the tree's numbers, and optimizer state, progress and seed of the old one.

    The old one itself where nothing was changed, as it has its step compiled.
    """
    if fresh.specification == old.specification and _where(fresh) == _where(old):
        old.params = tree
        return old
    state, before = fresh.trainer.state, old.trainer.state
    fits = type(fresh.optimizer) is type(old.optimizer) and fresh.layout.slots == old.layout.slots
    if fits and type(state.optimizer) is type(before.optimizer):

        def moved(leaf: Any, own: Any) -> Any:
            return fresh.backend.asarray(old.backend.to_numpy(leaf).astype(fresh.backend.to_numpy(own).dtype))

        moments = tree_map(moved, before.optimizer, state.optimizer)
        count = moved(before.count, state.count)
        fresh.trainer.state = state._replace(optimizer=moments, count=count)
        fresh.trainer.progress = replace(old.trainer.progress)
    return fresh


def _where(model: Model) -> tuple[str, str]:
    return model.backend.name, str(model.backend.device)
