"""From scikit-learn's words to mlpcore's configurations: the one place where the arguments are read."""

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
from mlpcore.typing import Layer, Loss, Optimizer

LINK_LOSSES: dict[str, Loss] = {"softmax": SoftmaxCrossEntropy(), "logistic": SigmoidCrossEntropy()}
_NORMALIZATIONS = {"batch": BatchNorm, "layer": LayerNorm, "rms": RMSNorm}
# Glorot's bound is sqrt(6 / (in + out)); scikit-learn takes 2 for the logistic function.
_FACTOR, _LOGISTIC_FACTOR = 6.0, 2.0


def hidden_sizes(estimator: Any) -> list[int]:
    """The widths of the hidden layers as a list, each above 0."""
    given = estimator.hidden_layer_sizes
    sizes = list(given) if hasattr(given, "__iter__") else [given]
    if np.any(np.array(sizes) <= 0):
        raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
    if not all(isinstance(size, Integral) for size in sizes):
        raise ValueError(f"hidden_layer_sizes must be integers, got {sizes}.")
    return [int(size) for size in sizes]


def _for_each(name: str, given: Any, sizes: Sequence[int]) -> list[Any]:
    """One value for every hidden layer, from a single one or from as many."""
    if isinstance(given, str) or not hasattr(given, "__len__"):
        return [given] * len(sizes)
    if len(given) != len(sizes):
        raise ValueError(f"{name} has {len(given)} entries, expected {len(sizes)}: one for every hidden layer, or one")
    return list(given)


def activations(estimator: Any) -> list[Layer]:
    """The layer after every hidden `Linear`."""
    made = []
    for one in _for_each("activation", estimator.activation, hidden_sizes(estimator)):
        if isinstance(one, str) and one in ACTIVATIONS:
            made.append(ACTIVATIONS[one])
        elif isinstance(one, Layer) and not isinstance(one, type):
            made.append(one)
        else:
            known = ", ".join(ACTIVATIONS)
            raise ValueError(f"activation is {one!r}, expected a layer such as GELU() or one of {known}")
    return made


def initial_factors(estimator: Any) -> list[float]:
    """The factor in the bound of the initial weights of every `Linear`; the last layer has that of the one before."""
    factors = [_LOGISTIC_FACTOR if layer == Sigmoid() else _FACTOR for layer in activations(estimator)]
    alone = _LOGISTIC_FACTOR if estimator.activation == "logistic" else _FACTOR
    return [*factors, factors[-1] if factors else alone]


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
    """The loss to train with: itself, or one that reports its value as scikit-learn does."""
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
    """Whether the rate follows scikit-learn's rules between epochs, which it does for sgd only."""
    return estimator.solver == "sgd" and estimator.learning_rate in RATES


def learning_rate(estimator: Any, steps: int) -> Any:
    """A number, or a schedule over ``steps`` updates. scikit-learn's three rules begin with the number."""
    given, first = estimator.learning_rate, float(estimator.learning_rate_init)
    if not isinstance(given, str):
        return given
    if given == "cosine":
        return CosineDecay(first, steps)
    if given == "linear":
        return PolynomialDecay(first, steps)
    if given == "one_cycle":
        if steps < 4:  # the shortest cycle that rises and falls
            raise ConfigurationError(f"learning_rate='one_cycle' has {steps} updates in this fit, expected 4 or more")
        return OneCycle(first, steps)
    return first


class _Words(NamedTuple):
    """How an optimizer's fields are called here."""

    kind: type
    fields: dict[str, str]


_MOMENTS = {"beta1": "beta_1", "beta2": "beta_2", "eps": "epsilon"}
_OPTIMIZERS = {
    "adam": _Words(Adam, _MOMENTS),
    "adamw": _Words(AdamW, _MOMENTS),
    "nadam": _Words(NAdam, _MOMENTS),
    "radam": _Words(RAdam, _MOMENTS),
    "rmsprop": _Words(RMSprop, {"eps": "epsilon"}),
    "adagrad": _Words(Adagrad, {"eps": "epsilon"}),
    "lion": _Words(Lion, {}),  # Adam's betas, which beta_1 and beta_2 are by default, would not serve it
    "sgd": _Words(SGD, {"momentum": "momentum"}),
}


def optimizer(estimator: Any, steps: int) -> Optimizer:
    """The update rule, for a fit of so many updates; lbfgs has none, and gets one that is never asked."""
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
    """Arguments that cannot go together: lbfgs takes all rows at once and wants one and the same function, and an
    optimizer of mlpcore has its own rate and decay."""
    if not isinstance(estimator.solver, str):
        for name, default in (("weight_decay", None), ("learning_rate", "constant")):
            if (given := getattr(estimator, name)) != default:
                raise ValueError(
                    f"{name}={given!r} cannot be used with solver={estimator.solver!r}, expected {default!r}; "
                    "say it to that optimizer"
                )
    if isinstance(estimator.scoring, str) and estimator.scoring != "loss":
        get_scorer(estimator.scoring)  # a ValueError for a name that nobody knows, watched or not
    if estimator.solver != FULL_BATCH:
        return
    for name, ok in (
        ("dropout", not np.any(estimator.dropout)),
        ("normalization", estimator.normalization != "batch"),
        ("weight_decay", estimator.weight_decay is None),
        ("clip_norm", estimator.clip_norm is None),
        ("callbacks", not estimator.callbacks),
    ):
        if not ok:
            raise ValueError(
                f"{name}={getattr(estimator, name)!r} cannot be used with solver='lbfgs', expected its default; "
                "take a solver such as 'adam', or alpha as the penalty"
            )
