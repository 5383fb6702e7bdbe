"""Targets with gaps: entries of y that are NaN get a number in their place, and take no part by their weight 0."""

from collections.abc import Mapping
from typing import Any

from mlpcore.configuration import check_choice
from mlpcore.errors import ConfigurationError, DataError
from mlpcore.metrics import takes_weights
from mlpcore.namespace import namespace
from mlpcore.typing import Array, Loss

CHOICES = ("error", "skip")


def takes_entries(loss: Loss) -> bool:
    """Whether the loss takes weights of the entries of its target (n, c)."""
    return bool(getattr(loss, "entry_weights", False))


def check_missing_targets(who: str, missing_targets: str, loss: Loss, metrics: Mapping[str, Any] | None = None) -> None:
    """A ConfigurationError for another value than "error" and "skip", or for "skip" where the loss or a metric that is
    to be measured cannot leave out entries."""
    check_choice(who, CHOICES, missing_targets=missing_targets)
    if missing_targets != "skip":
        return
    if not takes_entries(loss):
        raise ConfigurationError(
            f"{who}: missing_targets is 'skip', which needs a loss with a term for each column of y, got {loss!r}; "
            "drop the rows without a target, or take SigmoidCrossEntropy, SquaredError or another such loss"
        )
    for name, metric in (metrics or {}).items():
        if not takes_weights(metric):
            raise ConfigurationError(
                f"{who}: missing_targets is 'skip', but the metric {name} takes no weights, so that gaps would count; "
                "expected a function (target, prediction, weights)"
            )


def without_gaps(y: Array) -> tuple[Array, Array | None]:
    """``(y, observed)``: y (n, c) or (n,) with a finite number for each NaN, and which entries (n, c) were not NaN.

    ``observed`` is None where there is no NaN. The number is the largest target of the column, or of y where the column
    has none: one that the loss accepts. DataError where every entry is NaN.
    """
    xp = namespace(y)
    if y.ndim not in (1, 2) or not xp.isdtype(y.dtype, "real floating") or 0 in y.shape:
        return y, None
    missing = xp.isnan(y)
    if not bool(xp.any(missing)):
        return y, None
    if bool(xp.all(missing)):
        raise DataError(f"y has shape {tuple(y.shape)} and every entry is NaN, expected at least one target")
    largest = xp.max(xp.where(missing, -float("inf"), y), axis=0)
    stand_ins = xp.where(xp.all(missing, axis=0), xp.max(largest), largest)
    observed = ~missing
    return xp.where(missing, stand_ins, y), observed if y.ndim == 2 else xp.expand_dims(observed, axis=-1)
