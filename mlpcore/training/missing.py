"""Targets with gaps: an entry of y that is NaN is replaced by a number, and gets weight 0."""

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
    """ConfigurationError unless ``missing_targets`` is "error" or "skip", and for "skip" if the loss or one of the
    ``metrics`` cannot leave out entries."""
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
    """``(y, observed)``: y (n, c) or (n,) with a finite number in place of each NaN, and the mask (n, c) of the entries
    that are not NaN.

    ``observed`` is None if there is no NaN. The number is the largest target of the column, or of y if the column has
    none, so that the loss accepts it. DataError if every entry is NaN.
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
