"""Fits in batches: the split into training and held-out rows, and the continuation of an earlier fit."""

import warnings
from typing import Any

import numpy as np
from scipy.sparse import issparse

from mlpcore.layers import Dropout
from mlpcore.model import Model
from mlpcore.numerics import weights_of_rows
from mlpcore.sklearn import translation
from mlpcore.sklearn.draws import Draws
from mlpcore.sklearn.hooks import EpochTasks
from mlpcore.sklearn.problem import Problem, Start, weights_or_ones
from mlpcore.sklearn.sparse import densified
from mlpcore.sklearn.stochastic import Batches, FitLog, FitPlan, train
from mlpcore.sklearn.stopping import Rate, StoppingRule, continued_rule
from mlpcore.sklearn.validation import HeldOut, validator
from mlpcore.sklearn.warm_start import WarmStart, continued
from mlpcore.training.callbacks import check_callbacks
from mlpcore.training.progress import Progress


def fit_in_batches(start: Start, before: WarmStart | None, first: bool, once: bool) -> tuple[Model, dict[str, Any]]:
    """The trained model, and the fitted attributes by name; ``before`` is the state of an earlier fit, if any."""
    estimator, problem, draws = start.estimator, start.problem, start.draws
    held_out, rows = _split(estimator, problem, draws)
    batch_size = _batch_size(estimator, rows.size)
    model, rate = _model_and_rate(start, before, -(-rows.size // batch_size) * int(estimator.max_iter), first, once)
    stopping = StoppingRule(bool(estimator.early_stopping), float(estimator.tol), float(estimator.n_iter_no_change))
    log = FitLog()
    if not first:
        stopping, log.loss_curve = continued_rule(stopping, estimator), list(getattr(estimator, "loss_curve_", ()))
        log.rows_seen = getattr(estimator, "t_", 0)
        log.curves = {name: getattr(estimator, name, None) for name in log.curves}
    # In scikit-learn a warm start that finds no better weights ends with its last ones.
    if first or estimator.compat is None:
        stopping.begin(model)
    data = start.data()
    if issparse(data[0]) and not getattr(model.trainer.run, "densifies", False):
        model.trainer.run = densified(model.trainer.run, start.place.backend)
    validate = None if held_out is None else validator(estimator, held_out, problem.loss, start.place)
    columns = ["loss", "learning_rate", "rows_per_second"]
    columns += [] if validate is None else ["val_loss", "val_score"]
    callbacks = [*estimator.callbacks, *([Progress()] if estimator.progress else [])]
    if problem.task is not None:
        context, arrays = problem.task
        callbacks.append(EpochTasks(context, estimator, arrays, start.network))
    plan = FitPlan(
        max_iter=int(estimator.max_iter),
        shuffle=bool(estimator.shuffle),
        once=once,
        verbose=bool(estimator.verbose),
        callbacks=check_callbacks(callbacks, columns),
        validate=validate,
        on_nonfinite=estimator.on_nonfinite,
    )
    weights = weights_of_rows(weights_or_ones(problem))
    train(model, Batches(data, weights, rows, batch_size), draws, plan, rate, stopping, log)
    keeps_state = once or estimator.warm_start or estimator.compat == "sklearn"
    attributes: dict[str, Any] = {
        "n_iter_": log.epochs,
        "t_": log.rows_seen,
        "loss_curve_": log.loss_curve,
        **log.curves,
        "best_loss_": None if stopping.early_stopping else stopping.best_loss,
        "validation_scores_": stopping.scores if stopping.early_stopping else None,
        "best_validation_score_": stopping.best_score if stopping.early_stopping else None,
        "_no_improvement_count": stopping.count,
        "_optimizer": WarmStart(
            model if keeps_state else None, draws if keeps_state else None, rate.current, rate.factor
        ),
    }
    if problem.validation is None and held_out is not None:
        attributes["_held_out_rows"] = np.setdiff1d(np.arange(problem.x.shape[0]), rows)
    if log.loss_curve:
        attributes["loss_"] = log.loss_curve[-1]
    return model, attributes


def _model_and_rate(start: Start, before: WarmStart | None, steps: int, first: bool, once: bool) -> tuple[Model, Rate]:
    """The model to train and its learning rate: new ones, or those of an earlier fit."""
    estimator = start.estimator
    current_rate, factor = None, 1.0
    if not first and before is not None and before.model is not None and (once or estimator.compat is None):
        model = start.model(steps, before.model.seed)
        if estimator.compat == "sklearn" or model.optimizer.learning_rate == before.model.optimizer.learning_rate:
            current_rate, factor = before.learning_rate, before.factor  # unless the argument has changed since
        model = continued(model, before.model, start.tree)
    else:
        random = any(isinstance(layer, Dropout) for layer in start.net.children)
        model = start.model(steps, start.draws.seed() if random else 0)
    rule = estimator.learning_rate if translation.decays(estimator) else "constant"
    return model, Rate(rule, float(estimator.learning_rate_init), float(estimator.power_t), current_rate, factor)


def _batch_size(estimator: Any, rows: int) -> int:
    """The number of rows in a batch."""
    if estimator.batch_size == "auto":
        return min(200, rows)
    if estimator.batch_size > rows:
        warnings.warn(
            "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=6
        )
    return min(int(estimator.batch_size), rows)


def _split(estimator: Any, problem: Problem, draws: Draws) -> tuple[HeldOut | None, np.ndarray]:
    """Held-out rows for validation, if any, and the numbers of the rows to train on."""
    all_rows = np.arange(problem.x.shape[0])
    if problem.validation is not None:
        validation = problem.validation
        return HeldOut(validation.x, validation.target, validation.weights, validation.y), all_rows
    if not estimator.early_stopping:
        return None, all_rows
    fraction = float(estimator.validation_fraction)
    if problem.split is not None:
        rows, held = problem.split
    elif problem.groups is not None:
        rows, held = draws.held_out_groups(problem.groups, fraction, **problem.stratify)
    else:
        rows, held = draws.held_out(all_rows.size, fraction, **problem.stratify)
    if held.size < 2 and problem.split is None:
        raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of your dataset.")
    for which, numbers in (("held out for early stopping", held), ("left to train on", rows)):
        if problem.weights is not None and not problem.weights[numbers].any():
            raise ValueError(f"all {numbers.size} rows {which} have weight 0; pass validation_data, or drop such rows")
    return HeldOut.of(problem, held), rows
