"""Gaps in targets that cannot be left out, and what is said about it."""

from typing import Any

import numpy as np
import pytest
from fitting import GAPPED, LABELS, PLAIN, ROWS, SKIP, THERE, X, Y, classifier, make
from refusals import INF, NAN, changed, refused

import mlpcore as mc


@pytest.mark.parametrize("call", ["fit", "evaluate", "validation_data"])
@pytest.mark.parametrize(
    ("y", "weights", "said"),
    [
        (np.full_like(Y, NAN), None, r"^y has shape \(22, 2\) and every entry is NaN, expected at least one target$"),
        (changed(GAPPED, (3, 1), INF), None, r"^HalfSquaredError\(\): y holds NaN or infinity in column 1, .* rows$"),
        (GAPPED, np.where(THERE, 0.0, 1.0), "^sample_weight, left out where y is NaN, makes every row's weight zero"),
        (GAPPED[:, :1], None, r"^HalfSquaredError\(\): y has shape \(22, 1\), expected \(n, 2\)"),
        (GAPPED[:, :, None], None, r"y has shape \(22, 2, 1\), expected \(n, 2\)"),
        (GAPPED, np.ones((ROWS, 3)), r"^sample_weight has shape \(22, 3\), expected \(22,\) .* or \(22, 2\)"),
    ],
)
def test_gaps_that_cannot_be_skipped(y: Any, weights: Any, said: str, call: str) -> None:
    model = make(PLAIN)
    acts = {
        "fit": lambda: model.fit(X, y, sample_weight=weights, **SKIP),
        "evaluate": lambda: model.evaluate(X, y, sample_weight=weights, **SKIP),
        "validation_data": lambda: model.fit(X, Y, validation_data=(X, y, weights), **SKIP),
    }
    refused(model, acts[call], mc.DataError, said.replace("^", "^validation_data: ") if call[0] == "v" else said)


class OfRows:
    """A user's loss, which knows no weights of entries."""

    def __getattr__(self, name: str) -> Any:
        return getattr(mc.HalfSquaredError(), name) if name != "entry_weights" else getattr(object, name)


@pytest.mark.parametrize("model", [classifier(), make(PLAIN, OfRows())], ids=["labels", "own"])
def test_losses_of_whole_rows_refuse(model: mc.Model) -> None:
    y = LABELS if model.loss == mc.SoftmaxCrossEntropy() else Y
    for act in (lambda: model.fit(X, y, **SKIP), lambda: model.evaluate(X, y, **SKIP)):
        refused(model, act, mc.ConfigurationError, "missing_targets is 'skip', which needs a loss with a term for each")


@pytest.mark.parametrize("given", ["drop", None, True, np.array(["skip"])])
def test_other_words(given: Any) -> None:
    model = make(PLAIN)
    said = "missing_targets is .*, expected one of 'error', 'skip'"
    refused(model, lambda: model.fit(X, Y, missing_targets=given), mc.ConfigurationError, said)
    refused(model, lambda: model.evaluate(X, Y, missing_targets=given), mc.ConfigurationError, said)
