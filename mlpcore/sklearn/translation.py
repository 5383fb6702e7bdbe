"""Translates the estimators' arguments to mlpcore's layers, losses, optimizers and schedules."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from sklearn.metrics import get_scorer

from mlpcore.configuration import check_number
from mlpcore.errors import ConfigurationError
from mlpcore.layers import BatchNorm, Dropout, Identity, LayerNorm, Linear, RMSNorm, Sequential, Sigmoid
from mlpcore.losses import HalfSquaredError, SigmoidCrossEntropy, SoftmaxCrossEntropy
from mlpcore.optimizers import SGD, Adagrad, Adam, AdamW, Lion, NAdam, RAdam, RMSprop
from mlpcore.schedules import CosineDecay, OneCycle, PolynomialDecay
from mlpcore.sklearn.constraints import ACTIVATIONS, FULL_BATCH, RATES, REGRESSION_LOSSES
from mlpcore.sklearn.reported import ClippedProbabilities, MeanOverOutputs
from mlpcore.training.rules import Rules
from mlpcore.typing import Layer, Loss, Optimizer, follows

LINK_LOSSES: dict[str, Loss] = {"softmax": SoftmaxCrossEntropy(), "logistic": SigmoidCrossEntropy()}
_NORMALIZATIONS = {"batch": BatchNorm, "layer": LayerNorm, "rms": RMSNorm}
# Glorot's bound is sqrt(6 / (in + out)); scikit-learn uses 2 in place of 6 for the logistic function.
_FACTOR, _LOGISTIC_FACTOR = 6.0, 2.0


def hidden_sizes(estimator: Any) -> list[int]:
    """The widths of the hidden layers as a list, each above 0."""
    widths = estimator.hidden_layer_sizes
    sizes = list(widths) if hasattr(widths, "__iter__") else [widths]
    if np.any(np.array(sizes) <= 0):
        raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
    if not all(isinstance(size, Integral) for size in sizes):
        raise ValueError(f"hidden_layer_sizes must be integers, got {sizes}.")
    return [int(size) for size in sizes]


def _for_each(name: str, value: Any, sizes: Sequence[int]) -> list[Any]:
    """The values of all hidden layers: a single value is repeated, a list must have one for each layer."""
    if isinstance(value, str) or not hasattr(value, "__len__"):
        return [value] * len(sizes)
    if len(value) != len(sizes):
        raise ValueError(f"{name} has {len(value)} entries, expected {len(sizes)}: one for every hidden layer, or one")
    return list(value)


def activations(estimator: Any) -> list[Layer]:
    """The layer after every hidden `Linear`."""
    layers = []
    for activation in _for_each("activation", estimator.activation, hidden_sizes(estimator)):
        if isinstance(activation, str) and activation in ACTIVATIONS:
            layers.append(ACTIVATIONS[activation])
        elif follows(activation, Layer):
            layers.append(activation)
        else:
            names = ", ".join(ACTIVATIONS)
            raise ValueError(f"activation is {activation!r}, expected a layer such as GELU() or one of {names}")
    return layers


def initial_factors(estimator: Any) -> list[float]:
    """For every `Linear` the factor in the bound ``sqrt(factor / (in + out))`` of its initial weights.

    It depends on the activation after the layer; the last layer has the factor of the one before.
    """
    factors = [_LOGISTIC_FACTOR if layer == Sigmoid() else _FACTOR for layer in activations(estimator)]
    without_hidden = _LOGISTIC_FACTOR if estimator.activation == "logistic" else _FACTOR
    return [*factors, factors[-1] if factors else without_hidden]


def network(estimator: Any, n_in: int, n_out: int) -> Sequential:
    """Linear, normalization, activation and dropout for every hidden layer; then a Linear that gives raw scores."""
    sizes, width = hidden_sizes(estimator), n_in
    layers: list[Layer] = []
    rates = _for_each("dropout", estimator.dropout, sizes)
    for size, activation, rate in zip(sizes, activations(estimator), rates, strict=True):
        check_number("dropout", dropout=rate, least=0, below=1)
        layers.append(Linear(width, size))
        if estimator.normalization is not None:
            layers.append(_NORMALIZATIONS[estimator.normalization](size))
        layers += [activation] if activation != Identity() else []
        layers += [Dropout(rate)] if rate else []
        width = size
    return Sequential(*layers, Linear(width, n_out))


def regression_loss(loss: str | Loss) -> Loss:
    """The loss of a regressor by its name, or itself."""
    return REGRESSION_LOSSES[loss] if isinstance(loss, str) else loss


def reported(loss: Loss, compat: str | None) -> Loss:
    """The loss to train with: ``loss``, or with ``compat`` the compatibility loss that reports scikit-learn's value."""
    if compat == "sklearn" and isinstance(loss, (SoftmaxCrossEntropy, SigmoidCrossEntropy)):
        return ClippedProbabilities(loss)
    if compat == "sklearn" and loss == HalfSquaredError():
        return MeanOverOutputs(loss)
    return loss


def rules(estimator: Any) -> dict[str, Any]:
    """The penalty and the clipping, as arguments of `mlpcore.Model`."""
    clip = None if estimator.clip_norm is None else float(estimator.clip_norm)
    return Rules(l2=float(estimator.alpha), clip_norm=clip)._asdict()


def decays(estimator: Any) -> bool:
    """Whether the rate changes by scikit-learn's rules between epochs, which is so for sgd only."""
    return estimator.solver == "sgd" and estimator.learning_rate in RATES


def learning_rate(estimator: Any, steps: int) -> Any:
    """The initial rate as a number (also for scikit-learn's three rules), or a schedule over ``steps`` updates."""
    rule, first = estimator.learning_rate, float(estimator.learning_rate_init)
    if not isinstance(rule, str):
        return rule
    if rule == "cosine":
        return CosineDecay(first, steps)
    if rule == "linear":
        return PolynomialDecay(first, steps)
    if rule == "one_cycle":
        if steps < 4:  # the shortest cycle that rises and falls
            raise ConfigurationError(f"learning_rate='one_cycle' has {steps} updates in this fit, expected 4 or more")
        return OneCycle(first, steps)
    return first


class _OptimizerFields(NamedTuple):
    """An optimizer, and the estimator's argument for each of its fields."""

    kind: type
    fields: dict[str, str]


_MOMENTS = {"beta1": "beta_1", "beta2": "beta_2", "eps": "epsilon"}
_OPTIMIZERS = {
    "adam": _OptimizerFields(Adam, _MOMENTS),
    "adamw": _OptimizerFields(AdamW, _MOMENTS),
    "nadam": _OptimizerFields(NAdam, _MOMENTS),
    "radam": _OptimizerFields(RAdam, _MOMENTS),
    "rmsprop": _OptimizerFields(RMSprop, {"eps": "epsilon"}),
    "adagrad": _OptimizerFields(Adagrad, {"eps": "epsilon"}),
    "lion": _OptimizerFields(Lion, {}),  # keeps its own betas: the defaults of beta_1 and beta_2 are Adam's
    "sgd": _OptimizerFields(SGD, {"momentum": "momentum"}),
}


def optimizer(estimator: Any, steps: int) -> Optimizer:
    """The optimizer for a fit of ``steps`` updates; for lbfgs a placeholder that is never called."""
    solver = estimator.solver
    if solver == FULL_BATCH:
        return SGD(1.0)
    if not isinstance(solver, str):
        return solver
    kind, fields = _OPTIMIZERS[solver]
    words: dict[str, Any] = {field: float(getattr(estimator, name)) for field, name in fields.items()}
    if solver == "adam":
        words["eps_on"] = "uncorrected"
    if solver == "sgd":
        words |= {"nesterov": bool(estimator.nesterovs_momentum) and words["momentum"] > 0, "rate_on": "gradient"}
    if estimator.weight_decay is not None:
        words["weight_decay"] = float(estimator.weight_decay)
    return kind(learning_rate(estimator, steps), **words)


def check_together(estimator: Any) -> None:
    """ValueError for arguments that cannot be combined.

    lbfgs needs a deterministic objective that is a sum over rows. An optimizer of mlpcore has its own learning rate and
    weight decay.
    """
    if not isinstance(estimator.solver, str):
        for name, default in (("weight_decay", None), ("learning_rate", "constant")):
            if (value := getattr(estimator, name)) != default:
                raise ValueError(
                    f"{name}={value!r} cannot be used with solver={estimator.solver!r}, expected {default!r}; "
                    "set it in that optimizer"
                )
    if isinstance(estimator.scoring, str) and estimator.scoring != "loss":
        get_scorer(estimator.scoring)  # ValueError for an unknown name, even if no score is computed
    if estimator.solver != FULL_BATCH:
        return
    for name, ok in (
        ("dropout", not np.any(estimator.dropout)),
        ("normalization", estimator.normalization != "batch"),
        ("weight_decay", estimator.weight_decay is None),
        ("clip_norm", estimator.clip_norm is None),
        ("on_nonfinite", estimator.on_nonfinite == "raise"),
        ("callbacks", not estimator.callbacks),
    ):
        if not ok:
            raise ValueError(
                f"{name}={getattr(estimator, name)!r} cannot be used with solver='lbfgs', expected its default; "
                "use a solver such as 'adam', or alpha as the penalty"
            )
